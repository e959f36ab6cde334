// SPDX-License-Identifier: GPL-3.0-or-later
// The reader's token: kept for the life of the tab, sent to this cluster alone.

const KEPT = "clusterops-token";

export class Access {
  constructor(changed) {
    this.changed = changed;
    this.role = "none";
    this.mayChange = false;
  }

  get token() {
    return sessionStorage.getItem(KEPT);
  }

  headers() {
    return this.token ? {Authorization: `Bearer ${this.token}`} : {};
  }

  /** Try a token. Returns why it is of no use, or null. */
  async use(token, change) {
    let answer;
    try {
      answer = await fetch("api/v1/access", {
        headers: {Authorization: `Bearer ${token}`}, cache: "no-store", signal: AbortSignal.timeout(5000),
      });
    } catch {
      return "The scaler does not answer: try again when it does.";
    }
    if (answer.status === 401) return "The cluster does not know this token.";
    if (!answer.ok) return `The scaler answers ${answer.status}.`;
    const {role, may_change: may} = await answer.json();
    if (role === "none") return "The cluster does not know this token.";
    if (change && !may) return "This token may only read; the controls need the cluster's own.";
    sessionStorage.setItem(KEPT, token);
    this.role = role;
    this.mayChange = may;
    this.changed();
    return null;
  }

  forget() {
    sessionStorage.removeItem(KEPT);
    this.role = "none";
    this.mayChange = false;
    this.changed();
  }
}

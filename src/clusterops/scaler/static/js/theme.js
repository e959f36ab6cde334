// SPDX-License-Identifier: GPL-3.0-or-later
// Light or dark: as the system has it, or as the reader chose. Not a module: it runs before the
// page is painted, so that nothing flashes.
(() => {
  const KEPT = "clusterops-theme", NEXT = {auto: "light", light: "dark", dark: "auto"};
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const kept = () => { try { return localStorage.getItem(KEPT) ?? "auto"; } catch { return "auto"; } };
  const apply = () => {
    const choice = NEXT[kept()] ? kept() : "auto";
    root.dataset.theme = choice === "auto" ? (dark.matches ? "dark" : "light") : choice;
    const button = document.getElementById("theme");
    if (!button) return;
    button.querySelector("span").textContent = {auto: "◐ Auto", light: "☀ Light", dark: "☾ Dark"}[choice];
    button.setAttribute("aria-label", `Colours: ${choice === "auto" ? "as the system" : choice}. Change to ${NEXT[choice] === "auto" ? "the system's" : NEXT[choice]}.`);
  };
  apply();
  dark.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme").addEventListener("click", () => {
      try { localStorage.setItem(KEPT, NEXT[kept()] ?? "auto"); } catch { /* a browser that keeps nothing */ }
      apply();
    });
  });
})();

#!/usr/bin/python
# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_files
short_description: Keep the files of services, and tell which services do not run with them
description:
  - Writes several files, links and folders in one run. A task for each costs a small node a second,
    whatever there is to do.
  - Then compares when the services began to run with when their files changed, so that a run which
    was cut off before a restart is repaired by the next one.
  - Does not restart anything; notify a handler for RV(stale) and RV(unlike).
  - An action plugin asks first; where there is nothing to do, the module is not even started.
version_added: 0.1.0
author:
  - Cluster Operations Playground contributors (@clusterops)
options:
  files:
    description: In this order. The first that is refused ends the run.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path. Missing parent folders are made, with mode C(0755).
        type: path
        required: true
      content:
        description: What is in the file. With neither this nor one of the next two it is a folder.
        type: str
      secret_content:
        description: The same, for what is not to be shown anywhere, neither in a diff nor in a log.
        type: str
      link:
        description: Path that a symbolic link names. It may come later.
        type: str
      owner:
        description: Its owner.
        type: str
        default: root
      group:
        description: Its group.
        type: str
        default: root
      mode:
        description: Its mode as octal text; V(0644), for folders V(0755), if not given.
        type: str
      validate:
        description: Command and arguments that must accept the file before it takes its place;
          C(%s) stands for its path.
        type: list
        elements: str
        default: []
      prune:
        description: Not the folder itself is meant then, but the folders in it whose names match
          this pattern; all but the newest of them are removed.
        type: str
      keep:
        description: How many of them stay.
        type: int
  services:
    description: Units of systemd to compare. Each must be enabled and run since its files changed.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the unit.
        type: str
        required: true
      files:
        description: Paths that it reads when it starts; all of O(files) if not given.
        type: list
        elements: path
      environment:
        description: What its main process must have been started with, by name.
        type: dict
        default: {}
      url:
        description: Where the running service says which configuration it has, as
          V(http://HOST:PORT/PATH), for one that takes it up without a start.
        type: str
      says:
        description: Text that is in the answer at O(services[].url) if it has the one of O(files).
        type: str
attributes:
  check_mode:
    description: Says which files would be written, and which services do not run with theirs.
    support: full
  diff_mode:
    description: Shows the content before and after, but not of secret files.
    support: full
"""

EXAMPLES = r"""
- name: Configure Prometheus
  clusterops.playground.service_files:
    files:
      - path: /etc/prometheus/prometheus.yml
        content: "{{ lookup('ansible.builtin.template', 'etc/prometheus/prometheus.yml.j2') }}"
        validate: [promtool, check, config, "%s"]
    services:
      - name: prometheus.service
  notify: Restart Prometheus
"""

RETURN = r"""
written:
  description: Paths that were, or in check mode would be, brought to what they should be.
  returned: always
  type: list
  elements: str
  sample: [/etc/prometheus/prometheus.yml]
stale:
  description: Units that are not enabled, do not run, or began to before a file of theirs changed.
  returned: success
  type: list
  elements: str
  sample: [prometheus.service]
unlike:
  description: Units whose answer is not the one that they should give.
  returned: success
  type: list
  elements: str
  sample: [nginx.service]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.clusterops.playground.plugins.module_utils._commands import (
    CommandFailed,
    Commands,
)
from ansible_collections.clusterops.playground.plugins.module_utils._node_files import (
    FileRefused,
    NodeFile,
    is_as_wanted,
    put,
    read,
)
from ansible_collections.clusterops.playground.plugins.module_utils._service_files import (
    stale_services,
    unlike_services,
    wanted_file,
)
from ansible_collections.clusterops.playground.plugins.module_utils._units import SHOW

FILE = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str"},
    "secret_content": {"type": "str", "no_log": True},
    "link": {"type": "str"},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str"},
    "validate": {"type": "list", "elements": "str", "default": []},
    "prune": {"type": "str"},
    "keep": {"type": "int"},
}
SERVICE = {
    "name": {"type": "str", "required": True},
    "files": {"type": "list", "elements": "path"},
    "environment": {"type": "dict", "default": {}},
    "url": {"type": "str"},
    "says": {"type": "str"},
}


class ServiceFiles:
    """The run of the module."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.commands = Commands(module)
        self.written: list[str] = []
        self.diff: list[dict] = []

    def write(self, entry: dict) -> None:
        """One entry of files."""
        wanted = wanted_file(entry)
        try:
            as_wanted = is_as_wanted(wanted)
        except FileRefused:
            # While only checking, the package that brings the user may not be there yet.
            if not self.module.check_mode:
                raise
            as_wanted = False
        if as_wanted:
            return
        if entry["content"] is not None:
            before, after = read(wanted.path) or "", entry["content"]
            headers = {"before_header": wanted.path, "after_header": wanted.path}
            self.diff.append({**headers, "before": before, "after": after})
        if not self.module.check_mode:
            put(wanted, self.accept)
        self.written.append(wanted.path)

    def accept(self, wanted: NodeFile, temporary: str) -> None:
        """Raises FileRefused with the words of the command that does not take the file."""
        if not wanted.validate:
            return
        command = [part.replace("%s", temporary) for part in wanted.validate]
        try:
            self.commands.run(*command)
        except CommandFailed as error:
            reason = str(error).replace(temporary, wanted.path)
            raise FileRefused(f"{wanted.path} was not changed: {reason}") from error

    def show(self, unit: str) -> str:
        """What systemd says of a unit."""
        _code, shown, _stderr = self.commands.run(*SHOW, unit, check=False)
        return shown


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": FILE,
                "mutually_exclusive": [("content", "secret_content", "link", "prune")],
                "required_together": [("prune", "keep")],
            },
            "services": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": SERVICE,
                "required_together": [("url", "says")],
            },
        },
        supports_check_mode=True,
    )
    run = ServiceFiles(module)
    try:
        for entry in module.params["files"]:
            run.write(entry)
        stale, unlike = stale_services(module.params, run.show), unlike_services(module.params)
    except (FileRefused, OSError) as error:
        module.fail_json(msg=str(error), written=run.written, changed=bool(run.written))
    module.exit_json(
        changed=bool(run.written or stale or unlike),
        written=run.written,
        stale=stale,
        unlike=unlike,
        diff=run.diff,
    )


if __name__ == "__main__":
    main()

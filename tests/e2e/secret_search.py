# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for secrets where none may be. What is looked for goes through standard input, because a
command line is one of the places."""

from __future__ import annotations

import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from clusterops.secrets_of import Secret, found_in

Places = Mapping[str, set[str]]
"""Where something was found -> names of the secrets; never the secrets themselves."""

READABLE = "/etc /opt /home /root /run /srv /tmp /usr/local /var /dev/shm"

NODE = f"""
set -u
umask 077
needles=$(mktemp /run/needles.XXXXXX)
trap 'rm -f "$needles"' EXIT
cat > "$needles"
search() {{ grep --text --only-matching --fixed-strings --file "$needles" "$@"; }}
# In no log, whoever may read it.
journalctl --no-pager --all --output export | search --no-filename | sed 's,^,journal:,'
search --recursive --with-filename --devices skip /var/log --exclude-dir journal
find /var/lib/docker/containers -name '*.log' -exec grep --text --only-matching --with-filename \\
    --fixed-strings --file "$needles" {{}} +
# In no file, process list or environment that a user without rights can read.
runuser --user nobody -- grep --recursive --text --only-matching --with-filename --no-messages \\
    --devices skip --fixed-strings --file - {READABLE} < "$needles"
for process in /proc/[0-9]*; do
    runuser --user nobody -- cat "$process/cmdline" 2> /dev/null | tr '\\0' '\\n' |
        search --no-filename | sed 's,^,process list:,'
done
# In no layer of an image that agents pull.
find /var/lib/docker-registry -path '*/blobs/*' -name data 2> /dev/null | while read -r blob; do
    zcat --force "$blob" | search --no-filename | sed "s,^,registry $blob:,"
done
exit 0
"""

IMAGE = f"""
exec 2> /dev/null
exec grep --recursive --text --only-matching --with-filename --devices skip --fixed-strings \\
    --file - {READABLE}
"""


def needles(secrets: Iterable[Secret]) -> dict[str, str]:
    """Text to look for -> name of the secret."""
    return {form: secret.name for secret in secrets for form in secret.forms()}


def in_node(container: str, secrets: list[Secret]) -> Places:
    """Logs, the process list, what anyone may read, and the registry's images."""
    return _named(_piped(["docker", "exec", "-i", container, "sh", "-c", NODE], secrets), secrets)


def in_image(image: str, secrets: list[Secret]) -> Places:
    """The history and the files of an image."""
    history = _output(["docker", "history", "--no-trunc", "--format", "{{.CreatedBy}}", image])
    places: dict[str, set[str]] = defaultdict(set)
    places[f"history of {image}"].update(found_in(history, secrets))
    command = ["docker", "run", "--rm", "-i", "--network=none", "--entrypoint=sh", image]
    for place, names in _named(_piped([*command, "-c", IMAGE], secrets), secrets).items():
        places[f"{image} {place}"] |= names
    return {place: names for place, names in places.items() if names}


def in_repository(root: Path, secrets: list[Secret]) -> Places:
    """What git has, or would take."""
    command = ["git", "-C", str(root), "grep", "--untracked", "--text", "--only-matching"]
    return _named(_piped([*command, "--fixed-strings", "-f", "-"], secrets), secrets)


class ProcessLists:
    """Looks at the command lines of all processes of this host and its nodes, again and again."""

    def __init__(self, secrets: list[Secret], every_s: float = 0.05) -> None:
        self.found: dict[str, set[str]] = defaultdict(set)
        self.looks = 0
        self._needles = {form.encode(): name for form, name in needles(secrets).items()}
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> ProcessLists:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(timeout=10)

    def _watch(self) -> None:
        while not self._over.wait(self._every_s):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = path.read_bytes()
                except OSError:  # it has ended
                    continue
                for needle, name in self._needles.items():
                    if needle in line:
                        self.found[line.split(b"\0", 1)[0].decode("utf-8", "replace")].add(name)
            self.looks += 1


def _piped(command: list[str], secrets: list[Secret]) -> str:
    text = "\n".join(needles(secrets)) + "\n"
    done = subprocess.run(command, input=text, capture_output=True, text=True, errors="replace")
    # grep ends with 1 where it finds nothing.
    assert done.returncode in (0, 1), f"{command[:3]} ended with {done.returncode}: {done.stderr}"
    return done.stdout


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _named(output: str, secrets: list[Secret]) -> Places:
    """Lines PLACE:MATCH, without the matches."""
    known = needles(secrets)
    places: dict[str, set[str]] = defaultdict(set)
    for line in output.splitlines():
        place, _, match = line.rpartition(":")
        places[place].add(known.get(match, "a part of a line"))
    return dict(places)

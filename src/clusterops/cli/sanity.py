# SPDX-License-Identifier: GPL-3.0-or-later
"""`test sanity`: ansible-test's checks of the collection, as it is built and installed."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

PLACE = Path("ansible_collections", "clusterops", "playground")
PIP_SCRIPT_NAME = "get_pip_24_2.py"
"""What ansible-test of ansible-core 2.19 calls the script that it would download."""
PIP_SCRIPT = '''\
"""In place of a download: Python brings a pip, and that one fetches the version asked for."""
import ensurepip
import os
import subprocess
import sys

environment = dict(os.environ)  # ensurepip takes pip's variables out
ensurepip.bootstrap()
wanted = [word for word in sys.argv[1:] if not word.startswith("--no-")]
install = [sys.executable, "-m", "pip", "install", "--upgrade", *wanted]
sys.exit(subprocess.call(install, env=environment))
'''


def check(root: Path, environment: Mapping[str, str], arguments: list[str]) -> int:
    """Build the artifact, unpack it where a user would have it, and let ansible-test judge it.

    Its environments are kept below .cache: the first run takes some minutes, others seconds.

    Returns:
        The exit code of what failed, or 0.
    """
    home = root / ".cache" / "ansible-test"
    script = home / ".ansible" / "test" / "cache" / PIP_SCRIPT_NAME
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(PIP_SCRIPT, encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="clusterops-sanity-") as name:
        folder = Path(name)
        build = ["ansible-galaxy", "collection", "build", "--output-path", name]
        built = subprocess.run(build, cwd=root, env=dict(environment))  # noqa: S603
        if built.returncode:
            return built.returncode
        (artifact,) = folder.glob("*.tar.gz")
        (folder / PLACE).mkdir(parents=True)
        with tarfile.open(artifact) as archive:
            archive.extractall(folder / PLACE)  # noqa: S202 - made a moment ago, here
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return subprocess.run(  # noqa: S603 - a tool of the project's environment
            ["ansible-test", "sanity", "--python", version, "--color", "no", *arguments],  # noqa: S607
            cwd=folder / PLACE,
            env={**environment, "HOME": str(home), "PWD": os.fspath(folder / PLACE)},
        ).returncode

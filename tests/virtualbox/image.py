# SPDX-License-Identifier: GPL-3.0-or-later
"""An image with real VirtualBox 7.2 that runs machines without a kernel driver.

VirtualBox comes from Debian's archive (suite sid, component contrib). Its machines really run,
interpreted: the stub ``VirtualBoxVM`` of the package virtualbox-qt loads the headless front end
with the options that select the interpreter, which VBoxHeadless itself does not take.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

from clusterops.images.base import image_cache
from clusterops.images.host_context import apt_sources
from clusterops.locks import exclusively
from clusterops.processes import install_packages, run

SUITE = "sid"
FOLDER = "/usr/lib/virtualbox"
PROGRAM = f"{FOLDER}/VBoxManage"
UNUSED = (
    *(f"/usr/lib/*/{name}*" for name in ("libLLVM", "libgallium", "libz3")),
    "/usr/src/*",
    *(f"/usr/share/{name}/*" for name in ("doc", "man", "locale")),
)
STUB = """cd /tmp && apt-get download virtualbox-qt &&
dpkg-deb --fsys-tarfile virtualbox-qt_*.deb | tar -x -C / ./usr/lib/virtualbox/VirtualBoxVM &&
rm virtualbox-qt_*.deb"""
HEADLESS = f"""#!/bin/sh
exec {FOLDER}/VirtualBoxVM --comment --execute-all-in-iem --comment --driverless "$@"
"""
INTERPRET = f"""cp {FOLDER}/VBoxHeadless.so {FOLDER}/VirtualBoxVM.so
cat > {FOLDER}/VBoxHeadless <<'END'
{HEADLESS}END
chmod 755 {FOLDER}/VBoxHeadless"""


def ensure_image(client: Any) -> str:
    """The image's tag; built from the package archive where neither engine nor cache has it.

    One process makes it while the others wait.
    """
    key = hashlib.sha256("\n".join([*UNUSED, STUB, INTERPRET]).encode()).hexdigest()[:12]
    tag = f"clusterops-test/virtualbox:{key}"
    cache = image_cache()
    with exclusively(cache / "virtualbox.lock"):
        if client.images.list(name=tag):
            return tag
        archive = cache / f"virtualbox-{key}.tar"
        if not archive.exists():
            _bootstrap(archive)
        repository, _, version = tag.rpartition(":")
        client.api.import_image_from_file(str(archive), repository=repository, tag=version)
    return tag


def _bootstrap(archive: Path) -> None:
    print("Building an image with VirtualBox from the package archive", flush=True)
    if not shutil.which("mmdebstrap"):
        install_packages("mmdebstrap")
    partial = archive.with_name("partial-" + archive.name)
    mirror = apt_sources().archive
    command = [
        "mmdebstrap",
        "--variant=minbase",
        "--components=main,contrib",
        "--include=virtualbox",
        # The unstable suite's index is used however old the mirror's copy is.
        '--aptopt=Acquire::Check-Valid-Until "false"',
        '--aptopt=APT::Install-Recommends "false"',
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in UNUSED),
        f"--customize-hook=chroot \"$1\" sh -ec '{STUB}'",
        '--customize-hook=chroot "$1" sh -ec "$INTERPRET"',
        SUITE,
        str(partial),
        *([mirror] if mirror else []),
    ]
    run(command, timeout_s=900, environment={"INTERPRET": INTERPRET})
    partial.replace(archive)

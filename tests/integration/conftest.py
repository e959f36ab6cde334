# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests with real programs share. A missing engine is a failure, not a reason to skip."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from clusterops.engine import connect
from clusterops.images.base import image_cache
from clusterops.locks import exclusively
from clusterops.virtualbox._vboxmanage_client import VBoxManage
from tests.integration.base import ensure_test_base
from tests.virtualbox.host import VirtualBoxHost
from tests.virtualbox.image import ensure_image

ROOT = Path(__file__).resolve().parents[2]


def one_at_a_time(what: str) -> AbstractContextManager[None]:
    """Of the processes that run tests side by side, one makes a thing and the others wait."""
    return exclusively(image_cache() / f"{what}.lock")


@pytest.fixture(scope="session")
def engine() -> Any:
    """A client of the container engine; `./playground test` has started one."""
    return connect(300)


@pytest.fixture(scope="session")
def base_image(engine: Any) -> str:
    """Debian as the cluster's own images start from it."""
    with one_at_a_time("base"):
        return ensure_test_base(engine)


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus' own checker: out of the distribution's package, which is not installed, because
    that would start a Prometheus on this machine.
    """
    found = shutil.which("promtool")
    if found:
        return found
    folder = ROOT / ".cache" / "promtool"
    program = folder / "usr/bin/promtool"
    with one_at_a_time("promtool"):
        if not program.exists():
            folder.mkdir(parents=True, exist_ok=True)
            for command in (["apt-get", "update", "-q"], ["apt-get", "download", "prometheus"]):
                subprocess.run(command, cwd=folder, check=True, capture_output=True)
            package = next(folder.glob("prometheus_*.deb"))
            subprocess.run(["dpkg-deb", "--extract", package, folder / "all"], check=True)
            program.parent.mkdir(parents=True, exist_ok=True)
            (folder / "all/usr/bin/promtool").replace(program)
            shutil.rmtree(folder / "all")
            package.unlink()
    return str(program)


@pytest.fixture(scope="session")
def virtualbox_image(engine: Any) -> str:
    """The image with real VirtualBox, built from the package archive when it is not here."""
    return ensure_image(engine)


@pytest.fixture(scope="module")
def virtualbox(
    engine: Any, virtualbox_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VirtualBoxHost]:
    """A VirtualBox of the module's own, without machines; see :class:`VirtualBoxHost`."""
    host = VirtualBoxHost(engine, virtualbox_image, tmp_path_factory.mktemp("vbox") / "host")
    yield host
    host.close()


@pytest.fixture(scope="module")
def manage(virtualbox: VirtualBoxHost) -> VBoxManage:
    """The project's own client for that VirtualBox."""
    return virtualbox.client()

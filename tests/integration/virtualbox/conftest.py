# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines of every odd kind, and the web service that tells of them."""

from __future__ import annotations

import pytest

from tests.virtualbox.host import VirtualBoxHost
from tests.virtualbox.zoo import populate, start_web_service


@pytest.fixture(scope="module")
def uuids(virtualbox: VirtualBoxHost) -> dict[str, str]:
    return populate(virtualbox)


@pytest.fixture(scope="module")
def url(virtualbox: VirtualBoxHost, uuids: dict[str, str]) -> str:
    return start_web_service(virtualbox)

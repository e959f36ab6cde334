# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests with real programs share. A missing engine is a failure, not a reason to skip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clusterops.engine import connect
from clusterops.engine_names import image_tag
from clusterops.images.base import ensure_base
from clusterops.images.build import image_id

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def engine() -> Any:
    """A client of the container engine; `./playground test` has started one."""
    return connect(300)


@pytest.fixture(scope="session")
def base_image(engine: Any) -> str:
    """Debian as the cluster's own images start from it."""
    tag = image_tag("test", "base")
    if image_id(engine, tag) is None:
        ensure_base(engine, tag, ROOT / ".cache" / "images", print)
    return tag

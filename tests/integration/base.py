# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian as the cluster's own images start from it, for tests and benchmarks."""

from __future__ import annotations

from typing import Any

from clusterops.engine_names import image_tag
from clusterops.images.base import ensure_base, image_cache
from clusterops.images.build import image_id


def ensure_test_base(engine: Any) -> str:
    """The image's tag; it is made where the engine does not have it."""
    tag = image_tag("test", "base")
    if image_id(engine, tag) is None:
        ensure_base(engine, tag, image_cache(), print)
    return tag

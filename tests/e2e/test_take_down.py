# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of the cluster that the tests before have used; test_vagrant takes its images away."""

from __future__ import annotations

import pytest

from tests.e2e.cluster import Cluster

pytestmark = pytest.mark.e2e


def test_down_leaves_nothing_but_the_images_that_were_to_be_kept(cluster: Cluster) -> None:
    images = cluster.left("image")
    assert images != ""
    cluster.run("down", "--keep-images")
    for kind in ("container", "volume", "network"):
        assert cluster.left(kind) == "", kind
    assert cluster.left("image") == images
    assert not (cluster.folder / ".playground").exists()
    again = cluster.run("down", "--keep-images")
    assert "nothing to remove" in again.stdout
    assert cluster.run("status", check=False).returncode == 3

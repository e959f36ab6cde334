# SPDX-License-Identifier: GPL-3.0-or-later
"""Every API against its own OpenAPI document, with requests that nobody thought of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.fuzz import assert_keeps_to_its_document
from tests.integration.http_apis.conftest import Api

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("name", ["manager", "scaler", "metrics"])
def test_no_crash_and_no_undocumented_answer(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    api: Api = request.getfixturevalue(name)
    token = ["--header", f"Authorization: Bearer {api.token}"] if api.token else []
    # An answer without an end is tested in tests/integration/dashboard.
    endless = ["--exclude-path", "/api/v1/stream"] if name == "scaler" else []
    assert_keeps_to_its_document(api.url, tmp_path, *token, *endless, examples=20)

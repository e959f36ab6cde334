# SPDX-License-Identifier: GPL-3.0-or-later
"""Users and databases of applications: what is missing is made, what is wrong is put right."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.clusterops.playground.plugins.module_utils import (
    _postgres_access as access,
)
from ansible_collections.clusterops.playground.plugins.modules import postgres_access as module

GOOD = {"encoding": "UTF8", "collate": "C.UTF-8", "ctype": "C.UTF-8", "owner": "shop"}
PASSWORD = 'it\'s "quoted" \\ %s'


def state(**changes: Any) -> dict[str, Any]:
    """A PostgreSQL on which everything is as it should be, with changes to shop's user."""
    kept = access.verifier(PASSWORD, b"salt")
    shop = {"password": kept, "login": True, "powerful": False, **changes}
    roles = {"postgres": {"password": None, "login": True, "powerful": True}, "shop": shop}
    return {
        "roles": {**roles, "prometheus": {"password": None, "login": True, "powerful": False}},
        "databases": {"postgres": {**GOOD, "owner": "postgres"}, "shop": dict(GOOD)},
        "monitors": ["prometheus"],
    }


PARAMS = {
    "applications": [{"name": "shop", "password": PASSWORD}],
    "monitoring_user": "prometheus",
}


def test_the_verifier_is_the_one_of_the_standard() -> None:
    """RFC 7677, section 3: user "user", password "pencil"."""
    salt = "W22ZaJ0SNY7soEsUEjb6gQ=="
    made = access.verifier("pencil", access.base64.b64decode(salt))
    assert made == (
        f"SCRAM-SHA-256$4096:{salt}"
        "$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )
    assert access.is_password("pencil", made)


@pytest.mark.parametrize("kept", [None, "", "md5aa", "SCRAM-SHA-256$x:y$z", "SCRAM-SHA-256$1:$"])
def test_what_is_no_verifier_of_the_password_is_none(kept: str | None) -> None:
    assert not access.is_password("pencil", kept)


def test_where_everything_is_as_it_should_be_nothing_is_done() -> None:
    assert access.statements(PARAMS, state()) == []


def test_what_is_missing_is_made_in_an_order_that_works() -> None:
    found = access.statements(PARAMS, {"roles": {}, "databases": {}, "monitors": []})
    assert [what for what, _sql in found] == [
        "user shop",
        "database shop",
        "user prometheus",
        "statistics for prometheus",
    ]
    assert PASSWORD not in str(found)
    assert 'OWNER "shop"' in found[1][1]
    assert access.statements({**PARAMS, "monitoring_user": ""}, state()) == []


@pytest.mark.parametrize(
    "changes",
    [{"login": False}, {"powerful": True}, {"password": None}, {"password": "md5x"}],
)
def test_a_user_that_was_changed_by_hand_is_put_right(changes: dict[str, Any]) -> None:
    ((what, sql),) = access.statements(PARAMS, state(**changes))
    assert what == "user shop"
    assert sql.startswith('ALTER ROLE "shop" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD ')


def test_a_database_gets_its_owner_back_and_one_of_another_encoding_is_refused() -> None:
    found = state()
    found["databases"]["shop"]["owner"] = "postgres"
    assert access.statements(PARAMS, found) == [
        ("owner of shop", 'ALTER DATABASE "shop" OWNER TO "shop"')
    ]
    found["databases"]["shop"]["encoding"] = "SQL_ASCII"
    with pytest.raises(access.AccessRefused, match="database shop: found SQL_ASCII"):
        access.statements(PARAMS, found)


def test_a_name_cannot_leave_its_quotes() -> None:
    params = {"applications": [{"name": 'a"; DROP TABLE b; --', "password": "p"}]}
    found = access.statements(params, {"roles": {}, "databases": {}, "monitors": []})
    assert all('"a""; DROP TABLE b; --"' in sql for _what, sql in found)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    def call(code: int, stdout: str, stderr: str = "", **options: Any) -> Any:
        sent = []

        def run_command(_self: Any, _argv: list[str], data: str) -> tuple[int, str, str]:
            sent.append(data)
            return code, stdout, stderr

        monkeypatch.setattr(module.AnsibleModule, "run_command", run_command)
        arguments = {**PARAMS, **{f"_ansible_{key}": value for key, value in options.items()}}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out), sent

    return call


def test_check_mode_only_asks(run: Any) -> None:
    empty = json.dumps({"roles": {}, "databases": {}, "monitors": []})
    result, sent = run(0, empty, check_mode=True)
    assert (result["changed"], len(result["changes"]), len(sent)) == (True, 4, 1)
    result, sent = run(0, empty)
    assert len(sent) == 5
    assert PASSWORD not in json.dumps([result, sent])
    result, sent = run(0, json.dumps(state()))
    assert (result["changed"], len(sent)) == (False, 1)


def test_a_postgres_that_does_not_answer_is_told_in_one_line(run: Any) -> None:
    result, _sent = run(2, "", "psql: error: connection to server failed: No such file\n")
    assert result["failed"]
    assert result["msg"] == (
        "'psql --no-psqlrc --quiet --tuples-only' failed with exit code 2: "
        "psql: error: connection to server failed: No such file"
    )


def test_the_question_before_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    class Answer:
        stdout = json.dumps(state())

    monkeypatch.setattr("subprocess.run", lambda *_a, **_o: Answer)
    assert access.look(PARAMS) == {"done": True}
    Answer.stdout = json.dumps(state(login=False))
    assert access.look(PARAMS) == {"done": False}
    Answer.stdout = ""
    assert access.look(PARAMS) == {"done": False}

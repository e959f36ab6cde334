# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
from fibonacci.errors import IndexRejectedError
from fibonacci.numbers import fibonacci, parse_index
from hypothesis import given
from hypothesis import strategies as st


def test_the_first_numbers_and_the_last() -> None:
    assert [fibonacci(i) for i in range(11)] == [0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55]
    assert fibonacci(40) == 102334155


def test_a_negative_index_is_an_error() -> None:
    with pytest.raises(ValueError, match="-1 is negative"):
        fibonacci(-1)


@pytest.mark.parametrize("index", range(41))
def test_every_allowed_index_is_accepted(index: int) -> None:
    assert parse_index(str(index)) == index


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Index is required"),
        (" ", "Index is required"),
        ("41", "Index must be between 0 and 40"),
        ("-1", "Index must be between 0 and 40"),
        ("9" * 10_000, "Index must be between 0 and 40"),
        ("1.5", "Index must be an integer"),
        ("10.0", "Index must be an integer"),
        ("1e1", "Index must be an integer"),
        ("0x0a", "Index must be an integer"),
        ("010", "Index must be an integer"),
        ("00", "Index must be an integer"),
        ("-0", "Index must be an integer"),
        ("+5", "Index must be an integer"),
        ("Infinity", "Index must be an integer"),
        ("abc", "Index must be a number"),
        ("NaN", "Index must be a number"),
        ("10abc", "Index must be a number"),
        ("10 ", "Index must be a number"),
        ("10\n", "Index must be a number"),
        ("1_0", "Index must be a number"),
        ("1/0", "Index must be a number"),
        ("\u0661\u0660", "Index must be a number"),
        ("10\x00", "Index must be a number"),
    ],
)
def test_everything_else_is_refused_with_its_reason(text: str, message: str) -> None:
    with pytest.raises(IndexRejectedError) as caught:
        parse_index(text)
    assert str(caught.value) == message


@given(st.text())
def test_what_is_accepted_is_spelled_in_one_way(text: str) -> None:
    try:
        index = parse_index(text)
    except IndexRejectedError:
        return
    assert str(index) == text
    assert 0 <= index <= 40

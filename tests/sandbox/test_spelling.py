"""What tells of a name that was spelled otherwise calls nothing of the program that has failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from sandbox.inside import spelling

BARS = pd.DataFrame(1.0, range(3), ["open", "close"])


def error_of(action: Callable[[], Any]) -> BaseException:
    try:
        action()
    except Exception as error:
        return error
    raise AssertionError("it has not failed")


class Elsewhere:
    """It says that it is of pandas."""

    __module__ = "pandas.x"

    @property
    def columns(self) -> Any:
        raise SystemExit(3)


class Frame(pd.DataFrame):
    @property
    def columns(self) -> Any:
        raise SystemExit(4)


class Inside(Elsewhere):
    __module__ = "pandas"
    __qualname__ = "DataFrame"


class Told(AttributeError):
    @property
    def obj(self) -> Any:
        raise SystemExit(5)


def test_columns_that_are_spelled_otherwise_are_told() -> None:
    assert 'write ["close"]' in spelling.meant(error_of(lambda: BARS.Close))
    assert 'write ["close"]' in spelling.meant(error_of(lambda: BARS["Close"]))
    assert 'write ["open"]' in spelling.meant(error_of(lambda: BARS[["close", "Open"]]))


@pytest.mark.parametrize("label", ["closes\u202e", "closes\x1b[31m", "close" + "s" * 200])
def test_names_that_turn_a_line_around_or_fill_it_are_not_told(label: str) -> None:
    bars = pd.DataFrame(1.0, range(3), ["open", label])
    assert spelling.meant(error_of(lambda: bars["closes"])) == ""
    assert spelling.meant(error_of(lambda: BARS[label])) == ""


@pytest.mark.parametrize("kind", [Elsewhere, Inside, Frame])
def test_what_only_says_that_it_is_of_pandas_is_not_asked(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(kind, "columns", property(lambda _: asked.append(1) or BARS.columns))
    error = AttributeError(name="Close", obj=object.__new__(kind))
    assert "close" not in spelling.meant(error) and not asked


def test_whatever_goes_wrong_the_error_itself_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(*_: Any) -> str:
        raise SystemExit(6)

    assert spelling.meant(Told(name="Close", obj=1)) == ""
    monkeypatch.setattr(spelling, "_by_case", leave)
    assert spelling.meant(error_of(lambda: BARS.Close)) == ""

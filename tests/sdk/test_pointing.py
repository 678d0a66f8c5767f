"""Warnings name the line of the program, however deep in a library they arise."""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from qfp import pointing
from qfp.backtesting import Backtest, Strategy
from qfp.backtesting.lib import FractionalBacktest
from qfp.copied import warned

DEAR = 1_000.0  # above the cash that the accounts begin with
DAYS = pd.date_range("2020-01-01", periods=30)
BARS = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), DEAR), index=DAYS)


class Buys(Strategy):
    def init(self) -> None:
        pass

    def next(self) -> None:
        if not self.position:
            self.buy()


@pytest.mark.parametrize("kind", [Backtest, FractionalBacktest])
def test_warnings_of_a_backtest_are_about_the_line_that_made_it_and_columns_may_be_small(kind: Any) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        stats = kind(BARS[::-1], Buys, cash=100).run()
    assert {warning.filename for warning in said} == {__file__}
    assert any("not in order" in str(warning.message) for warning in said)
    assert stats["Start"] == DAYS[0]


def test_what_another_library_warns_of_in_its_own_file_is_shown_at_the_programs_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "library" / "broker.py"
    file.parent.mkdir()
    module = types.ModuleType("library.broker")
    module.__file__ = str(file)
    source = "import warnings\n\n\ndef order():\n    warnings.warn('refused')\n"
    exec(compile(source, str(file), "exec"), module.__dict__)
    shown: list[tuple[Any, ...]] = []

    def show(message: Warning | str, category: type[Warning], filename: str, lineno: int, *more: Any) -> None:
        shown.append((str(message), filename, lineno))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", show)
        order: Callable[[], None] = module.order
        with pointing.at_programs_line(module), warned.folded():
            for _ in range(warned.MOST_ALIKE + 1):  # the last is counted at the end
                order()
        order()
    line = test_what_another_library_warns_of_in_its_own_file_is_shown_at_the_programs_line.__code__.co_firstlineno
    *within, (_, after, after_line) = shown
    assert len(within) == warned.MOST_ALIKE + 1 and within[-1][0].endswith("refused")
    assert {place for _, place, _ in within} == {__file__}
    assert all(line < inside < line + 25 for _, _, inside in within)
    assert (after, after_line) == (str(file), 5), "outside of it, nothing is changed"

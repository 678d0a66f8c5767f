"""Sweeps: every combination once, the same for a seed, whatever fails; resumed where they were; plateau before peak."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
from collections import deque
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import qfp
from qfp import metrics
from qfp.backtesting import Strategy
from qfp.significance import probability_of_overfitting
from qfp.sweeps.changes import changes_of
from qfp.sweeps.searching import Learning
from qfp.sweeps.space import Parameters, Space
from qfp.sweeps.standing import stands_on, values_read
from qfp.sweeps.trial import BLOCKS, Trial

GRID = {"a": range(10), "b": range(10)}


def bowl(a, b):
    return -((a - 3) ** 2) - (b - 6) ** 2


def quiet(*arguments, **named):
    return qfp.sweep(*arguments, show=False, **named)


def bars(count=200):
    rng = np.random.default_rng(4)
    close = 100 * np.exp(np.cumsum(rng.normal(0.0005, 0.01, count)))
    opened = np.concatenate([[100.0], close[:-1]])
    high, low = np.maximum(opened, close), np.minimum(opened, close)
    return pd.DataFrame(
        {"open": opened, "high": high, "low": low, "close": close, "volume": 1e6},
        index=pd.bdate_range("2020-01-01", periods=count),
    )


class Dip(Strategy):
    days = 5
    hold = 3

    def init(self):
        self.mean = self.I(lambda values, n: pd.Series(values).rolling(n).mean().to_numpy(), self.data.Close, self.days)

    def next(self):
        if not self.position and self.data.Close[-1] < self.mean[-1]:
            self.buy(size=0.9)
        elif self.position and len(self.data) % self.hold == 0:
            self.position.close()


def test_a_grid_of_a_hundred_is_the_same_on_four_workers_as_on_one():
    one, four = quiet(bowl, GRID, workers=1), quiet(bowl, GRID, workers=4)
    assert len(one) == 100 and one.trials.equals(four.trials)
    assert one.best == {"a": 3, "b": 6} and one.best_score == 0
    assert one.stopped == "Every combination was tried."


def test_a_seed_repeats_a_random_sweep_and_its_random_numbers():
    def noisy(a, b):
        return a + b + np.random.random()

    found = [quiet(noisy, GRID, method="random", trials=30, seed=5, workers=n).trials for n in (1, 3)]
    assert found[0].equals(found[1])
    assert not found[0].drop_duplicates(["a", "b"]).equals(quiet(noisy, GRID, method="random", trials=30).trials)
    assert len(found[0].drop_duplicates(["a", "b"])) == 30


def test_a_failing_combination_does_not_end_the_sweep_even_when_it_ends_its_process():
    def fragile(a, b):
        if (a, b) == (2, 2):
            raise ArithmeticError("no such thing")
        if (a, b) == (7, 1):
            os._exit(3)
        return float(a)

    found = quiet(fragile, GRID, workers=2).trials
    failed = found[found["error"] != ""]
    assert len(found) == 100 and found["score"].notna().sum() == 98
    assert failed["error"].iloc[0] == "ArithmeticError: no such thing"
    assert failed["error"].iloc[1].startswith("WorkerDied")


def test_budget_constraint_and_early_stop_are_kept():
    found = quiet(bowl, GRID, constraint=lambda p: p.a < p.b, trials=20)
    assert len(found) == 20 and (found.trials["a"] < found.trials["b"]).all()
    assert found.stopped == "The budget of 20 trials was used up."
    stopped = [quiet(lambda a, b: -a, GRID, early_stop=15, workers=n) for n in (1, 3)]
    assert [len(each) for each in stopped] == [16, 16] and "15 trials" in stopped[0].stopped


def test_the_plateau_comes_before_a_single_peak():
    def lonely(a, b):
        return 100.0 if (a, b) == (8, 1) else bowl(a, b)

    found = quiet(lonely, GRID)
    assert found.best == {"a": 8, "b": 1} and found.plateau == {"a": 3, "b": 6}


def test_what_was_recorded_is_not_tried_again(tmp_path):
    tried = tmp_path / "tried"

    def counted(a, b):
        with tried.open("a") as file:
            file.write("x")
        return bowl(a, b)

    record = tmp_path / "sweep.jsonl"
    first = quiet(counted, GRID, trials=40, record=record)
    cut = record.read_bytes()[:-10]  # the last line was being written when the power went
    head, lines = cut.split(b"\n", 1)
    about = json.loads(head)["sweep"]
    assert about.pop("values_read")
    earlier = json.dumps({"sweep": about}, sort_keys=True).encode()  # before what its code reads was told
    record.write_bytes(earlier + b"\n" + lines)
    whole = quiet(counted, GRID, record=record)
    assert whole.resumed == 39 and len(whole) == 100 and tried.stat().st_size == 40 + 61
    assert whole.trials.drop(columns="error")[:40].equals(first.trials.drop(columns="error"))
    with pytest.raises(ValueError, match="another sweep"):
        quiet(counted, GRID, record=record, seed=1)
    other_code = lambda a, b: bowl(a, b)  # noqa: E731
    other_code.__name__ = "counted"
    with pytest.raises(ValueError, match="another sweep"):
        quiet(other_code, GRID, record=record)


def level():
    return LEVEL


LEVEL, SETTINGS, PRICES = 1, {"up": [1.0]}, pd.Series([1.0, 2.0])


class Reading(Dip):
    limits = (1, 2)

    def next(self):
        if self.data.Close[-1] > level() + SETTINGS["up"][0] + PRICES.iloc[0]:
            super().next()


def test_whatever_its_trials_stand_on_makes_another_sweep_when_it_changes(monkeypatch):
    def around(of_cell):
        return lambda a: a + of_cell

    first = stands_on(Reading, "sharpe", {"commission": lambda size, price: 1.0})
    assert stands_on(Reading, "sharpe", {"commission": lambda size, price: 1.0}) == first
    found = {first, stands_on(Reading, "sharpe", {"commission": lambda size, price: 2.0})}
    usual = {"commission": lambda size, price: 1.0}
    this = sys.modules[__name__]
    for place, name, value in (
        (this, "LEVEL", 2),
        (this, "SETTINGS", {"up": [1.5]}),
        (this, "PRICES", pd.Series([1.5, 2.0])),
        (Dip, "hold", 4),
        (Reading, "limits", (1, 3)),
        (Dip, "next", lambda self: None),
        (level, "number", 3),
        (qfp, "__version__", "0.2.0"),
    ):
        with monkeypatch.context() as changed:
            changed.setattr(place, name, value, raising=False)
            found.add(stands_on(Reading, "sharpe", usual))
        assert stands_on(Reading, "sharpe", usual) == first
    assert len(found) == 10
    assert stands_on(around(1)) == stands_on(around(1)) != stands_on(around(2))
    assert len({stands_on(lambda m: m["sharpe"]), stands_on(lambda m: m["calmar"])}) == 2
    deep = []
    for _ in range(5_000):
        deep = [deep]
    for untold in (around(np.random.default_rng(1)), around(deep)):
        assert stands_on(untold) != stands_on(untold)


def shift(strategy):
    return strategy.shift


class Stepped(Reading):
    shift, unread, days = 1, 1, 5

    def next(self):
        if shift(self) < LEVEL:
            super().next()


def test_trials_of_equal_parameters_are_told_apart_by_what_their_code_reads_and_by_nothing_else(monkeypatch):
    this = sys.modules[__name__]
    first = values_read(["days"], Stepped, {"cash": 1})
    read = [(this, "LEVEL", 2), (this, "SETTINGS", {"up": [1.5]}), (Dip, "hold", 4), (Stepped, "shift", 2)]
    read += [(Reading, "limits", 3), (Dip, "init", lambda self: None)]
    idle = [(Stepped, "days", 7), (Stepped, "unread", 2), (qfp, "__version__", "0.2.0"), (this, "GRID", {})]
    found = []
    for place, name, value in read + idle:
        with monkeypatch.context() as changed:
            changed.setattr(place, name, value)
            found.append(values_read(["days"], Stepped, {"cash": 1}))
    assert found[4] == first, "no code names it"
    assert first not in found[:4] + found[5:6] and len(set(found[:6])) == 6 and set(found[6:]) == {first}
    drawn = [lambda a, k=k: np.random.default_rng(k).normal() + a for k in (1, 1, 2)]
    one, again, other = (values_read(["a"], each) for each in drawn)
    assert one == again != other
    rng = np.random.default_rng(1)
    before = values_read(["a"], lambda a: rng.normal() + a)
    rng.normal()
    assert values_read(["a"], lambda a: rng.normal() + a) == before, "what cannot be told makes no further trial"


@dataclass
class Config:
    hold: int = 3


@dataclass(slots=True)
class Slotted:
    hold: int = 3


RNG, LOCK, CONFIG, SLOTTED = np.random.default_rng(1), threading.Lock(), Config(), Slotted()
QUEUE, RAW, CACHE, LOG, COUNT = deque([1]), bytearray(b"1"), {}, [], 0


class Unreadable:
    def __getattr__(self, name):
        raise OSError(name)


UNREADABLE = Unreadable()


def test_what_cannot_be_told_hides_nothing_that_is_read_after_it():
    def drawn(a):
        return RNG.random() + UNREADABLE.x + LOCK.locked() + CONFIG.hold + SLOTTED.hold + QUEUE[0] + RAW[0] + a

    found = [values_read(["a"], drawn)]
    for thing, change in ((CONFIG, {"hold": 4}), (SLOTTED, {"hold": 4}), (QUEUE, 2), (RAW, 2), (CONFIG, {"hold": 3})):
        if isinstance(change, dict):
            thing.hold = change["hold"]
        else:
            thing[0] = change
        found.append(values_read(["a"], drawn))
    assert len(set(found)) == 6
    assert stands_on(deque([1], 2)) == stands_on(deque([1], 2)) != stands_on(deque([1]))


class Remembering(Dip):
    kept, seen, up, size = [], 0, [1], 1

    def init(self):
        global COUNT
        COUNT += 1
        super().init()
        self.own, self.up = [], list(self.up)

    def next(self):
        count = len(self.data)
        CACHE[count] = CACHE.get(count, 0) + 1
        LOG.append(count)
        self.kept.append(count)
        type(self).seen += 1
        CONFIG.calls = count
        self.up[0] = self.size
        if self.hold:
            super().next()


def test_what_a_strategy_keeps_from_run_to_run_makes_no_other_trials_of_equal_ones(tmp_path, monkeypatch):
    def told(name):
        return json.loads((tmp_path / name).read_text().splitlines()[0])["sweep"]["values_read"]

    frame, space = bars(), {"days": (3, 5)}
    found = []
    for name in ("first", "second"):
        quiet(Remembering, frame, space, workers=1, record=tmp_path / name)
        found.append(told(name))
    assert len(LOG) and len(CACHE) and COUNT and Remembering.kept and len(set(found)) == 1
    for place, name, value in ((Remembering, "hold", 4), (Remembering, "up", [2]), (Remembering, "size", 2)):
        with monkeypatch.context() as changed:
            changed.setattr(place, name, value)
            found.append(values_read(["days"], Remembering, {}))
    assert len(set(found)) == 4, "what it only reads, or changes of its own, still does"


@pytest.mark.parametrize(
    ("line", "names", "attributes"),
    [
        ("KEPT[n] += 1", {"KEPT"}, set()),
        ("KEPT[OTHER if n else v][v] = OTHER[n]", {"KEPT"}, set()),
        ("mod.KEPT[1:2] = v", {"KEPT"}, set()),
        ("del KEPT[n]; TABLE.loc[n, 1] = v", {"KEPT", "TABLE"}, set()),
        ("KEPT.setdefault(OTHER, []).append(v); KEPT.get(OTHER).add(v)", {"KEPT"}, set()),
        ("Settings.hold = self.__class__.count = v", {"hold", "count"}, set()),
        ("self.kept.by[n].rows.append(v)", set(), {"by"}),
        ("self.trades[-1].sl = v[OTHER] = OTHER[n]; rows = [OTHER]; rows.append(v)", set(), set()),
        ("self.hold = OTHER.hold + max(OTHER[n], v); print(f'{OTHER[n]}')", set(), set()),
    ],
)
def test_what_code_changes_is_told_by_the_names_it_stands_under(line, names, attributes):
    made = {}
    exec(f"def code(self, n, v):\n    {line}", made)
    found = changes_of(made["code"].__code__)
    assert found[:2] == (names, attributes)


def test_what_code_reads_by_any_name_is_read():
    class Named(Dip):
        other = 1

        def next(self):
            if getattr(self, "".join(["oth", "er"])):
                super().next()

    first = values_read(["days"], Named)
    Named.other = 2
    assert values_read(["days"], Named) != first


def test_a_strategy_gives_the_figures_of_its_backtest_and_the_overfitting_of_its_returns(monkeypatch):
    monkeypatch.setattr(qfp.BacktestResult, "_announce", lambda self: None)
    frame, space = bars(), {"days": range(3, 9), "hold": (2, 3)}
    found = quiet(Dip, frame, space, commission=0.002, workers=2)
    returns = []
    for at, params in enumerate(Space(space).grid()):
        alone = qfp.backtest(Dip, frame, commission=0.002, **params)
        row = found.trials.iloc[at]
        assert row["score"] == pytest.approx(alone.metrics["sharpe"], rel=1e-9)
        assert row["total_return"] == pytest.approx(alone.metrics["total_return"], rel=1e-9)
        assert row["trades"] == alone.metrics["trades"]
        returns.append(metrics.returns_of(alone.equity.to_numpy()))
    expected = probability_of_overfitting(np.array(returns).T, BLOCKS)
    assert found.overfitting.configurations == 12 and not found.overfitting.too_few
    assert found.overfitting.probability == pytest.approx(expected.probability, abs=1e-12)
    assert found.deflated().trials == 12 and 0 <= found.deflated().probability <= 1
    assert "Too few" in quiet(Dip, frame, {"days": (3, 4, 5)}).overfitting.text
    found.best["days"], before = 99, found.best
    assert found.best == before and found.best["days"] != 99
    monkeypatch.setattr(Dip, "next", lambda self: self.buy(size=0.1))
    with pytest.raises(ValueError, match="has another score now"):
        found.deflated()


def test_pictures_and_table_have_every_trial():
    found = quiet(bowl, GRID)
    (heat, *marks) = found.heatmap().data
    assert len(heat["z"]) == 10 and heat["z"][6][3] == 0 and len(marks) == 2
    assert len(found.parallel().data[0]["dimensions"][0]["values"]) == 100
    assert "Plateau" in repr(found.table())


def test_what_cannot_be_swept_says_what_to_do():
    with pytest.raises(ValueError, match="at least one parameter"):
        quiet(bowl, {})
    with pytest.raises(ValueError, match="Between"):
        quiet(bowl, {"a": qfp.Between(0.0, 1.0), "b": [1]})
    with pytest.raises(ValueError, match="there is no figure"):
        quiet(Dip, bars(), {"days": [3]}, objective="sharp")
    with pytest.raises(TypeError, match="its bars"):
        quiet(Dip, {"days": [3]})
    nothing = quiet(lambda a: math.nan, {"a": [1, 2]})
    with pytest.raises(ValueError, match="no trial has a score"):
        _ = nothing.best


# SAMBO takes half a minute, the others a few seconds.
@pytest.mark.parametrize(
    ("method", "trials"), [("tpe", 40), ("cma-es", 40), *([("sambo", 20)] if os.environ.get("SLOW_SEARCHES") else [])]
)
def test_a_learning_search_repeats_for_a_seed_and_gets_near(method, trials):
    space = {"a": qfp.Between(0.0, 9.0), "b": range(10)}
    one, other = (quiet(bowl, space, method=method, trials=trials, seed=2, workers=n) for n in (1, 2))
    assert one.trials.equals(other.trials) and len(one) == trials
    assert one.best_score > -1.5


def test_a_search_that_proposes_only_what_is_known_goes_on_with_draws_until_nothing_is_new():
    class Stubborn(Learning):
        def propose(self):
            return "point", Parameters(a=1)

        def answer(self, point, score):
            assert point == "point"

    search, asked = Stubborn(Space({"a": range(6)}, lambda p: p.a < 5), seed=0), []
    while found := search.ask(3):
        search.tell([Trial(0, each, 1.0) for each in found], True)
        asked.append(sorted(each.a for each in found))
    assert [len(each) for each in asked] == [3, 2] and 1 in asked[0]
    assert sorted(a for each in asked for a in each) == [0, 1, 2, 3, 4]

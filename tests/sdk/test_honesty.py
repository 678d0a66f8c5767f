"""The tests of honesty: leaks are found with their first bar, honest programs raise no alarm, and the band is exact."""

from __future__ import annotations

import json
import mmap
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.csv
import pyarrow.dataset
import pytest
from django.conf import settings
from qfp import metrics
from qfp.backtesting import Strategy
from qfp.checking import apart, programs
from qfp.checking.band import COSTS, FILLS, band
from qfp.checking.clock import BUSY, Clock
from qfp.checking.decisions import Decision, first_difference
from qfp.checking.lookahead import NotRepeatable, examine
from qfp.checking.recording import StrategyRuns
from qfp.checking.telling import Telling, largest_moves, of_backtest
from qfp.checking.variations import other_columns
from qfp.checking.verdict import joined
from qfp.conventions import BacktestingPy, Usual
from qfp.data import catalogue
from qfp.replay import replay

from runner.honesty.checking import findings
from tests.sdk.conftest import SDK

PROGRAMS = Path(__file__).resolve().parents[1] / "data" / "honesty"
PAGE = Path(settings.BASE_DIR) / "docs" / "honesty.md"
# The first bar whose decision changes when the data end there, found by trying all of them; 1 where it is not named.
FIRST_BARS = {
    "shift_of_five_days": 7,
    "z_score_over_everything": 2,
    "min_and_max_over_everything": 2,
    "z_score_in_init": 2,
    "centred_mean": 6,
    "centred_mean_in_an_indicator": 7,
    "bfill_of_a_gap": 8,
    "interpolated": 7,
    "scaler_fitted_on_everything": 2,
    "best_day_of_the_week": 2,
    "winners_of_the_whole_period": 10,
    "smoothed_both_ways": 18,
    "volatility_of_the_whole_period": 32,
    "principal_component_of_everything": 4,
    "figures_before_their_publication": 61,
    "figures_on_the_last_day_of_their_quarter": 123,
    "close_of_the_day_in_its_hours": 24,
    "average_of_the_month_in_its_days": 39,
}
# Of the honest programs and of those as people write them every so many are run, for each takes a second;
# `make test-whole` runs all.
EVERY = int(os.environ.get("HONESTY_EVERY", "0"))
EVERY_HONEST, EVERYDAY = EVERY or 3, EVERY or 6


@pytest.fixture
def judged(starter, tmp_path):
    """The findings for programs of a file, by name."""

    def run(name: str, every: int = 1) -> dict[str, list[dict]]:
        done = subprocess.run(
            [
                str(Path(settings.SANDBOX_ENV) / "bin" / "python"),
                str(Path(__file__).parent / "honesty_programs.py"),
                str(PROGRAMS / name),
                str(every),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=400,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SDK), "QFP_DATA": str(starter.folder)},
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return {each["name"]: each["found"] for each in map(json.loads, done.stdout.splitlines())}

    return run


def test_leaks_are_found_with_their_first_bar_and_the_line_that_leaks(judged):
    found = judged("leaking.py")
    assert len(found) >= 30
    leaks = {name: each[0]["lookahead"] for name, each in found.items() if each[0]["lookahead"]["state"] == "leak"}
    right = [name for name, leak in leaks.items() if leak["bar"] <= FIRST_BARS.get(name, 1)]
    assert len(leaks) >= len(found) - 1, found.keys() - leaks.keys()
    assert len(right) >= len(found) - 1, {name: leaks[name]["bar"] for name in leaks.keys() - set(right)}
    assert "shift(-1)" in leaks["shift_outside_the_class"]["expression"]
    assert "center=True" in leaks["centred_mean"]["expression"]
    assert sum(bool(leak.get("expression")) for leak in leaks.values()) >= len(leaks) - 1


def test_honest_programs_raise_no_alarm(judged):
    found = judged("honest*.py", EVERY_HONEST)
    assert len(found) >= 60 // EVERY_HONEST
    states = {(name, each["lookahead"]["state"]) for name, findings in found.items() for each in findings}
    assert {state for _, state in states} <= {"clean", "partly"}, states
    remembering = [name for name, findings in found.items() if findings[0]["amnesia"]["state"] == "remembers"]
    assert not remembering


def test_programs_as_people_write_them_are_told_apart(judged):
    """Columns, loops, scikit-learn, portfolios: written after the tests were, in the manner of users."""
    leaking, honest = judged("everyday_leaking*.py", EVERYDAY), judged("everyday_honest*.py", EVERYDAY)
    assert {each["lookahead"]["state"] for found in leaking.values() for each in found} == {"leak"}, leaking
    assert {each["lookahead"]["state"] for found in honest.values() for each in found} <= {"clean", "partly"}, honest
    if "pandas_columns_zscore_all" in leaking:
        assert leaking["pandas_columns_zscore_all"][0]["lookahead"]["expression"].startswith(
            'df["signal"] = (df["close"]'
        )


def test_random_numbers_without_a_seed_are_said_and_are_no_leak_and_hide_none(judged):
    found = judged("unrepeatable.py")
    (leak,) = found.pop("leak: tomorrow_beside_an_order_that_is_drawn")
    assert leak["lookahead"]["state"] == "leak", leak
    assert {each[0]["lookahead"]["state"] for each in found.values()} <= {"untested", "partly"}
    assert all("seed" in each[0]["lookahead"]["why"] for each in found.values())


def test_where_other_data_vary_and_the_traded_bars_do_not_nothing_is_called_clean(judged):
    for name, (found,) in judged("unvaried.py").items():
        assert found["lookahead"]["state"] in ("partly", "untested"), name
        assert "the bars it trades were not varied" in found["lookahead"]["why"], name


def test_a_memory_of_dates_and_names_is_flagged(judged):
    for name, (found,) in {**judged("remembering.py"), **judged("portfolios.py")}.items():
        what = name.partition(":")[0]
        if what in ("dates", "boundary", "days", "names", "prices", "numbers", "table"):
            assert (found["amnesia"]["state"], found["amnesia"].get("what")) == ("remembers", what), name
        elif what == "clean":
            assert found["lookahead"]["state"] == "clean" and found["amnesia"]["state"] != "remembers", name
        elif what in ("named", "same"):
            assert (found["amnesia"]["state"], found["amnesia"].get("named", False)) == ("clean", what == "named"), name
        elif what == "doubted":
            assert "table by date" in found["amnesia"]["why"], name
        elif name != "leak: winner_of_the_whole_period":  # one share wins to every cut
            assert found["lookahead"]["state"] == "leak", name


class Follower:
    """Decides on each bar whether the value `ahead` bars later is higher; no value is none."""

    tails_are_whole = False

    def __init__(self, ahead: int = 0, noise: bool = False) -> None:
        self.values = np.random.default_rng(0).normal(size=120).cumsum()
        self.count, self.ahead, self.noise = len(self.values), ahead, noise
        self.runs = 0

    def decide(self, variation, until):
        self.runs += 1
        values = self.values
        if variation is not None:
            head = variation.cut + 1
            values = values[:head]
            if variation.tail:
                after = values[-1] + variation.tail * np.arange(1, self.count - head + 1)
                values = np.concatenate([values, after])
        side = [values[bar + self.ahead] > values[bar - 1] for bar in range(1, len(values) - self.ahead)]
        if self.noise:
            side = np.random.default_rng().random(len(side)) > 0.5
        return [Decision(bar, 0, "market", 1.0 if up else -1.0) for bar, up in enumerate(side, 1) if bar <= until]


def test_a_look_ahead_of_one_bar_is_found_at_the_first_decision_and_none_is_not():
    leaking, honest = Follower(ahead=1), Follower()
    assert examine(leaking, leaking.decide(None, 200), 10, 0.001).bar == 1
    seen = examine(honest, honest.decide(None, 200), 10, 0.001)
    assert seen.bar is None and seen.cuts >= 25 and seen.tails >= 5


class Patient(Follower):
    """Knows what comes on a few days, and orders on every other day what never fills."""

    def decide(self, variation, until):
        values = self.values
        if variation is not None:
            values = values[: variation.cut + 1]
            if variation.tail:
                values = np.concatenate([values, np.full(self.count - len(values), values[-1])])
        known = {bar for bar in KNOWN if bar + 1 < len(values) and values[bar + 1] != values[bar]}
        kinds = ["market" if bar in known else "limit" for bar in range(len(values))]
        return [Decision(bar, 0, kind, 1.0, 20.0) for bar, kind in enumerate(kinds) if bar <= until]


KNOWN = (17, 71, 97)


def test_orders_that_never_fill_do_not_hide_the_days_that_earn():
    patient = Patient()
    orders = [{"bar": bar, "size": 1.0, "outcome": "filled" if bar in KNOWN else "cancelled"} for bar in range(120)]
    fills = [
        {"bar": bar + after, "size": size, "price": 20.0 + after, "commission": 0.0}
        for bar in KNOWN
        for after, size in ((1, 1.0), (2, -1.0))
    ]
    telling = of_backtest(orders, fills)
    assert list(telling.opened) == list(KNOWN) and telling.filled == set(KNOWN)
    assert telling.best[:2] == [17, 18], "where it was bought, and where it was sold"
    assert examine(patient, patient.decide(None, 200), 1e-9, 0.01, telling=telling).bar is not None


class Seldom(Follower):
    """Looks `ahead` on few bars only, and never orders otherwise than it did; ends with the data where `to_end`."""

    def __init__(self, bars: set[int], to_end: bool = False) -> None:
        super().__init__()
        self.bars, self.to_end = bars, to_end

    def decide(self, variation, until):
        values = self.values
        if variation is not None:
            values = values[: variation.cut + 1]
            if variation.tail:
                after = values[-1] + variation.tail * np.arange(1, self.count - len(values) + 1)
                values = np.concatenate([values, after])
        rises = [values[bar] > values[bar - 1] for bar in range(1, len(values))]
        for bar in self.bars:
            if bar + 1 < len(values):
                rises[bar - 1] = values[bar + 1] > values[bar]
        if self.to_end:
            rises[-1] = not rises[-1]
        return [Decision(bar, 0, "market", 1.0 if up else -1.0) for bar, up in enumerate(rises, 1) if bar <= until]


@pytest.mark.parametrize(("bars", "moves"), [({118}, ()), ({63}, (63,))])
def test_what_looks_ahead_at_the_end_or_after_the_largest_move_only_is_found_in_few_runs(bars, moves):
    seldom = Seldom(bars)
    base = seldom.decide(None, 200)
    assert examine(seldom, base, 1e-9, 0.01, telling=Telling(moves=moves)).bar == min(bars)
    assert examine(Seldom(set()), Seldom(set()).decide(None, 200), 10, 0.001).bar is None


def test_what_follows_the_end_of_data_is_no_leak_and_hides_none():
    honest, leaking = Seldom(set(), to_end=True), Seldom({118}, to_end=True)
    seen = examine(honest, honest.decide(None, 200), 10, 0.001)
    assert seen.bar is None and not seen.cuts_tell
    assert examine(leaking, leaking.decide(None, 200), 1e-9, 0.01).bar == 118


def test_the_largest_moves_are_those_with_something_after_them():
    close = np.array([10.0, 11, 5, 5, 9, 9, 1])
    assert largest_moves(close) == [2, 4]
    assert largest_moves(np.column_stack([close, close * 2])) == [2, 4] and largest_moves(close[:2]) == []


def test_instruments_are_compared_by_their_series_wherever_they_stand_and_unknown_ones_by_their_place():
    assert programs._places(["b", "a"], ["a", "b"]) == {0: 1, 1: 0}
    assert programs._places(["a", "c"], ["a", "b"]) == {0: 0, 1: 3}, "another share was chosen"
    assert programs._places(["", "a"], ["b", ""]) == {0: 0, 1: 1}, "bars of the program, or of another library"


def test_shares_that_another_library_has_chosen_are_told_apart_by_their_names(monkeypatch):
    entries = {name: {"id": f"s/{name}", "symbol": name} for name in ("a", "b", "c")}
    monkeypatch.setattr(catalogue, "current", lambda: SimpleNamespace(by_name={**entries, "alias": entries["b"]}))
    ours = {"instruments": [{"series": "s/a", "symbol": "A"}, {"series": "s/b", "symbol": "B"}]}

    def places(*names: str) -> dict[int, int]:
        claim = {"instruments": [{"series": None, "symbol": name} for name in names]}
        return programs._places(programs._recognised(claim, ours), programs._series(ours))

    assert places("B", "A") == {0: 1, 1: 0} and places("A", "alias") == {0: 0, 1: 1}
    assert places("A", "C") == {0: 0, 1: 3}, "another share was chosen"
    assert places("feed", "data1") == {0: 0, 1: 1}, "names that say nothing"


def test_time_that_a_busy_machine_takes_away_is_not_counted():
    clock = Clock()
    time.sleep(0.2)
    assert clock.passed < 0.15
    worked = time.process_time() + 0.05
    while time.process_time() < worked:
        pass
    assert clock.passed >= 0.05
    assert Clock.within(spare=3.0, seconds=1.0).slowness == 1.5 and Clock.within(None, 1.0).slowness == BUSY


def test_a_copy_on_a_busy_machine_has_the_time_that_it_works_and_an_idle_one_no_more_than_that():
    def work_seldom(say):
        for _ in range(10):
            ready = time.process_time() + 0.005
            while time.process_time() < ready:
                pass
            time.sleep(0.25)
        return "done"

    assert apart.tried_apart(work_seldom, 2.0).get("value") == "done"
    idle = apart.tried_apart(lambda say: time.sleep(600), 0.3)
    assert idle["failed"] == apart.TOOK_TOO_LONG


def test_a_copy_that_works_on_and_on_is_ended_whether_it_talks_or_not():
    def work(say):
        told = 0.0
        while (now := time.process_time()) < 10:
            if now > told + 0.02:
                say(told := now)

    busy = apart.tried_apart(work, 0.5)
    assert busy["failed"] == apart.TOOK_TOO_LONG and busy["said"][-1] - busy["said"][0] < 5
    silent = apart.tried_apart(lambda say: work(lambda told: None), 0.5)
    assert silent["failed"] == apart.TOOK_TOO_LONG


def test_patience_is_with_what_works_however_slowly_and_not_with_what_does_nothing():
    clock = SimpleNamespace(worked=0.0, elapsed=0.0, passed=0.0)
    patience = apart.Patience(clock, 1.0)
    for clock.elapsed, clock.worked in ((0.9, 0.0), (1.8, 0.1), (2.7, 0.2), (3.6, 0.3)):
        assert not patience.is_over, clock
    clock.elapsed = 4.7
    assert patience.is_over, "nothing for more than a second"
    clock.elapsed, clock.worked, clock.passed = 4.8, 1.1, 1.1
    assert patience.is_over, "it had its time"


def test_what_differs_by_itself_is_no_leak():
    noisy = Follower(noise=True)
    with pytest.raises(NotRepeatable):
        examine(noisy, noisy.decide(None, 200), 10, 0.001)


class Drawing(Follower):
    """Beside what it follows it draws: a small order on one bar, and each of its sides anew with this probability."""

    def __init__(self, ahead: int, seed: int, anew: float = 0.0) -> None:
        super().__init__(ahead)
        self.random, self.anew = np.random.default_rng(seed), anew

    def decide(self, variation, until):
        drawn = [
            each._replace(size=self.random.choice([1.0, -1.0])) if self.random.random() < self.anew else each
            for each in super().decide(variation, until)
        ]
        small = Decision(int(self.random.integers(1, self.count)), 0, "market", 1e-6)
        return sorted([*drawn, small] if small.bar <= until else drawn)


def test_a_small_order_that_is_drawn_hides_no_leak():
    for seed in range(20):
        leaking = Drawing(1, seed)
        seen = examine(leaking, leaking.decide(None, 200), 10, 0.001)
        assert not seen.repeats and seen.bar == seen.lasting[0].bar == seen.variation.cut


@pytest.mark.parametrize("anew", [0.0, 0.1, 1.0])
def test_what_is_drawn_by_an_honest_program_is_no_leak(anew):
    """Also where it is the same twice on the first bars, as by chance it is."""
    for seed in range(10):
        honest = Drawing(0, seed, anew)
        with pytest.raises(NotRepeatable):
            examine(honest, honest.decide(None, 200), 10, 0.001)


def test_little_time_still_tries_the_most_telling_ones():
    slow = Follower()
    base = slow.decide(None, 200)
    slow.runs = 0
    seen = examine(slow, base, seconds=1e-9, run_seconds=100.0)
    assert slow.runs == seen.tried == 6


def test_decisions_are_compared_with_their_prices_mapped_back_and_their_last_digits_left():
    ours = [Decision(3, 0, "limit", 10.0, limit=20.0), Decision(5, 0, "market", -1.0)]
    theirs = [Decision(3, 0, "limit", 10.0 + 1e-9, limit=80.0), Decision(5, 0, "market", 1.0)]
    assert first_difference(ours, theirs, 9, prices=4.0) == 5
    assert first_difference(ours, theirs, 4, prices=4.0) is None
    assert first_difference(ours, theirs, 4) == 3


def test_other_tails_keep_what_was_and_change_what_comes():
    close = np.linspace(50, 60, 80)
    columns = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": np.arange(80.0) + 1}
    for tail in (1, -1):
        varied = other_columns(columns, 50, tail, 3)
        for name, values in columns.items():
            assert np.array_equal(varied[name][:50], values[:50]) and not np.array_equal(varied[name], values)
        assert np.sign(varied["close"][50] / close[49] - 1) == tail
        assert np.all(varied["low"] <= varied["close"]) and np.all(varied["close"] <= varied["high"] + 1e-9)


def test_splits_and_dividends_come_on_other_days_and_stay_as_large():
    split = np.where(np.arange(60) == 50, 2.0, 1.0)
    dividend = np.where(np.arange(60) % 20 == 5, 0.5, np.nan)
    varied = other_columns({"close": np.linspace(50, 60, 60), "split": split, "dividend": dividend}, 10, 1, 3)
    for ours, theirs in ((split, varied["split"]), (dividend, varied["dividend"])):
        assert not np.array_equal(ours, theirs, equal_nan=True)
        assert np.array_equal(np.sort(ours[10:]), np.sort(theirs[10:]), equal_nan=True)


BARS = SimpleNamespace(
    open=np.array([10.0, 11, 12, 13, 14]),
    high=np.array([12.0, 13, 14, 15, 16]),
    low=np.array([9.0, 10, 11, 12, 13]),
    close=np.array([11.0, 12, 13, 14, 15]),
)


@pytest.mark.parametrize("rules", [Usual(), Usual(trade_on_close=True), BacktestingPy(spread=0.01)])
def test_the_band_has_twelve_cells_and_its_base_is_the_result_itself(rules):
    usual = BARS.close if rules.trade_on_close else BARS.open
    paid = usual[1] * (1 + rules.spread)
    fills = [
        {"bar": 1, "size": 5.0, "price": paid, "commission": rules.commission_for(5, paid)},
        {"bar": 3, "size": -5.0, "price": usual[3], "commission": rules.commission_for(5, usual[3])},
    ]
    cells = band(fills, BARS, 1_000.0, rules, 365)
    assert [(cell.fill, cell.costs) for cell in cells] == [(fill, costs) for fill in FILLS for costs in COSTS]
    (base,) = [cell for cell in cells if cell.base]
    assert base.final_equity == replay(fills, BARS.close, 1_000.0).equity[-1]
    returns = metrics.returns_of(replay(fills, BARS.close, 1_000.0).equity)
    assert base.sharpe == metrics.sharpe_ratio(returns, periods_per_year=365)
    assert (base.fill, base.costs) == ("same close" if rules.trade_on_close else "next open", 1)
    # A fill on bar 1 was decided on bar 0, or on bar 1 where it is at the close that decides; by hand without costs:
    first = 1 if rules.trade_on_close else 0
    free = {cell.fill: cell.final_equity for cell in cells if cell.costs == 0}
    assert free["next close"] == 1_000 + 5 * (BARS.close[first + 3] - BARS.close[first + 1])
    assert free["same close"] == 1_000 + 5 * (BARS.close[first + 2] - BARS.close[first])


def test_the_programs_of_the_page_say_what_it_says(in_box_environment):
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    text, _ = in_box_environment(program)
    told = [f"`{line}`" for line in text.splitlines()[-2:]]
    assert all(each in PAGE.read_text(encoding="utf-8") for each in told), told


class Endless(Strategy):
    def init(self):
        pass

    def next(self):
        if not self.position:
            self.buy()


def test_a_run_that_is_to_be_compared_with_ends_at_its_deadline_and_says_where():
    close = np.linspace(50, 60, 200)
    index = pd.date_range("2020-01-01", periods=200)
    frame = pd.DataFrame({"Open": close, "High": close, "Low": close, "Close": close, "Volume": 1.0}, index=index)
    runs = StrategyRuns(Endless, frame, {"cash": 10_000}, {})
    whole, cut = runs.recorded(frame, 200), runs.recorded(frame, 200, seconds=0.0)
    assert whole.until == 200 and whole.decisions
    assert cut.until == 15 and not [decision for decision in cut.decisions if decision.bar > 15]


def test_a_table_that_came_with_a_package_is_a_doubt_and_files_of_the_program_are_none(tmp_path, monkeypatch):
    folder, packages = tmp_path / "program", tmp_path / "packages"
    for place in (folder, packages):
        place.mkdir()
        (place / "Stocks.csv").write_text("date,close\n")
        (place / "style.txt").write_text("1")
    (packages / "backtesting" / "test").mkdir(parents=True)
    (packages / "backtesting" / "test" / "GOOG.csv").write_text("1")
    monkeypatch.setattr(sys, "path", [str(folder), str(packages), *sys.path])

    def opened(*paths, how=open):
        def run(say):
            names = programs._elsewhere(str(folder))
            for path in paths:
                how(path)
            return {"names": names}

        answer = apart.tried_apart(run, 10.0)
        programs.clean_up(str(folder))
        assert "value" in answer, answer
        return answer["value"]["names"]

    assert opened(folder / "Stocks.csv", packages / "style.txt") == []
    for how in (
        open,
        lambda path: os.open(os.fsencode(path), os.O_RDONLY),
        lambda path: mmap.mmap(os.open(path, os.O_RDONLY), 0, access=mmap.ACCESS_READ),
        lambda path: pyarrow.csv.read_csv(str(path)),
        lambda path: pyarrow.memory_map(str(path)),
        lambda path: pyarrow.dataset.dataset([str(path)], format="csv"),
    ):
        assert opened(packages / "Stocks.csv", how=how) == ["Stocks.csv"]
        assert not opened(folder / "Stocks.csv", how=how)
    # Its own samples were read when backtesting.test was imported, and are varied; who opens the file gets others.
    assert opened(packages / "backtesting/test/GOOG.csv") == ["GOOG.csv"]
    said = joined({"state": "partly", "cuts": 3}, {"state": "files", "name": "Stocks.csv", "programs": 3})
    found = findings({"lookahead": said, "amnesia": {}})["lookahead"]
    assert found["state"] == "amber" and "it reads Stocks.csv, which came with a package" in found["sentence"]

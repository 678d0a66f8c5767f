"""Which programs trade nearly the same, whatever they look like, and what that makes of the count of trials?"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from qfp import starter

from runner import trials
from runner.likeness import traded
from runner.models import Backtest, TradedAlike
from tests.bars import read_bars
from tests.factories import make_project, make_user
from tests.runner.reported import STORE
from tests.runner.trading import count, line_of, made

DAYS = 2_500


@pytest.fixture(scope="module")
def prices() -> pd.DataFrame:
    built = starter.build(STORE)
    entry = next(series for series in built.series if series["id"].endswith("index/SPX"))
    columns = read_bars(STORE, built.snapshot, entry["id"], "split")
    dates = pd.to_datetime(columns.pop("date"))
    return pd.DataFrame({name: columns[name] for name in ("open", "close")}, index=dates).iloc[:DAYS]


def backtest_of(prices: pd.DataFrame, wanted, name: str = "a", begun: int = 0, least: float = 0.0) -> Backtest:
    """Holds what is wanted (a part of the account by bar, at most 1) from the next open on; least: always held."""
    prices, wanted = prices.iloc[begun:], np.nan_to_num(np.asarray(wanted, dtype=float))[begun:]
    held = np.maximum(np.concatenate([[0.0], wanted[:-1]]), least)
    opens = prices["open"].to_numpy()
    changes = np.flatnonzero(np.diff(held, prepend=0.0))
    sizes = np.diff(np.round(held[changes] * 1e6 / opens[0]), prepend=0.0)
    both = zip(changes.tolist(), sizes.tolist(), strict=True)
    fills = [{"bar": at, "size": size, "price": float(opens[at])} for at, size in both]
    dates = [str(day)[:10] for day in prices.index]
    return Backtest(instruments=[{"series": name}], dates=dates, equity=[1e6] * len(dates), fills=fills)


def together(*backtests: Backtest) -> Backtest:
    """Of an account that trades what each of them does, a share each: a, b, c."""
    fills = [{**fill, "instrument": at} for at, each in enumerate(backtests) for fill in each.fills]
    instruments = [{"series": name} for name, _ in zip("abcdef", backtests, strict=False)]
    one = backtests[0]
    fills.sort(key=lambda fill: fill["bar"])
    return Backtest(instruments=instruments, dates=one.dates, equity=one.equity, fills=fills)


def mean(close, days):
    return close.rolling(days).mean()


def latched(enters, leaves):
    state, found = False, []
    for enter, leave in zip(enters, leaves, strict=True):
        state = enter if not state else not leave
        found.append(state)
    return found


def strategies(close: pd.Series) -> dict:
    fast, slow = close.ewm(span=21).mean(), close.ewm(span=90).mean()
    change = close.diff()
    macd = close.ewm(span=12).mean() - close.ewm(span=26).mean()
    deviation = close.rolling(20).std()
    up, down = change.clip(lower=0).rolling(2).mean(), (-change.clip(upper=0)).rolling(2).mean()
    month = close.index.month
    return {
        "crossing": mean(close, 21) > mean(close, 90),
        "exponential crossing": fast > slow,
        "of medians": close.rolling(21).median() > close.rolling(90).median(),
        "slow crossing": mean(close, 50) > mean(close, 200),
        "above its mean": close > mean(close, 200),
        "above its exponential mean": close > close.ewm(span=200).mean(),
        "momentum": close > close.shift(250),
        "quick momentum": close > close.shift(60),
        "macd": macd > macd.ewm(span=9).mean(),
        "channel": latched(close >= close.rolling(20).max(), close <= close.rolling(10).min()),
        "wide channel": latched(close >= close.rolling(55).max(), close <= close.rolling(20).min()),
        "bands": latched(close < mean(close, 20) - 2 * deviation, close > mean(close, 20)),
        "two days": latched(100 * up / (up + down) < 10, 100 * up / (up + down) > 70),
        "winter": np.isin(month, (11, 12, 1, 2, 3, 4)),
        "turn of the month": (close.index.day >= 26) | (close.index.day <= 4),
        "calm": change.rolling(20).std() < change.rolling(250).std(),
        "calm crossing": (mean(close, 21) > mean(close, 90)) & (change.rolling(20).std() < change.rolling(250).std()),
    }


def agreement(one: Backtest, other: Backtest) -> float:
    return traded.agreement(traded.sides_of(one), traded.sides_of(other))


def test_one_strategy_is_told_by_its_trades_with_other_sizes_numbers_nearby_and_days_left_out(prices):
    close = prices["close"]
    crossing = mean(close, 21) > mean(close, 90)
    one = backtest_of(prices, crossing)
    calm = close.diff().rolling(20).std() < close.diff().rolling(250).std()
    again = {
        "the same": backtest_of(prices, crossing),
        "half of it": backtest_of(prices, crossing * 0.5),
        "and a little always": backtest_of(prices, crossing * 0.9, least=0.01),
        "from a year later on": backtest_of(prices, crossing, begun=250),
        "other numbers": backtest_of(prices, mean(close, 21) > mean(close, 92)),
        "some days not": backtest_of(prices, crossing & (np.arange(DAYS) % 97 > 0)),
        "and a little of another one, to and fro": together(
            backtest_of(prices, crossing), backtest_of(prices, 0.05 * (np.arange(DAYS) % 9 < 5))
        ),
        "and five that flutter in the last year": together(
            backtest_of(prices, crossing * 0.8),
            *[backtest_of(prices, (np.arange(DAYS) > DAYS - 300) * (0.03 + 0.02 * (np.arange(DAYS) % 2)))] * 5,
        ),
        "and a fifth of another one": together(
            backtest_of(prices, crossing * 0.8), backtest_of(prices, 0.16 * (np.arange(DAYS) % 9 < 5))
        ),
        "and a little whenever it stands aside": backtest_of(
            prices, np.where(crossing, 0.9, 0.12 * (np.arange(DAYS) % 9 < 5))
        ),
        "and as much of it as it is calm, to and fro": backtest_of(prices, crossing * np.where(calm, 0.9, 0.4)),
        "both": backtest_of(prices, np.where(crossing, np.where(calm, 0.9, 0.6), 0.09 * (np.arange(DAYS) % 9 < 5))),
    }
    assert {way for way, other in again.items() if agreement(one, other) < traded.LEAST} == set()
    assert agreement(one, backtest_of(prices, ~crossing)) < -0.9
    assert agreement(one, backtest_of(prices, crossing, name="b")) == 0, "of another instrument nothing is known"
    assert traded.sides_of(backtest_of(prices, crossing, begun=DAYS - 300)) == {}, "there it turns too seldom"
    later = backtest_of(prices.iloc[DAYS // 3 :], crossing[DAYS // 3 :])
    assert agreement(backtest_of(prices.iloc[: DAYS // 2], crossing[: DAYS // 2]), later) == 0, "few days are of both"


def test_different_strategies_on_the_same_prices_are_told_apart(prices):
    found = {name: traded.sides_of(backtest_of(prices, wanted)) for name, wanted in strategies(prices["close"]).items()}
    assert all(found.values())
    pairs = list(combinations(found, 2))
    assert len(pairs) > 100
    same = [pair for pair in pairs if traded.agreement(*map(found.get, pair)) >= traded.LEAST]
    assert same == []


def test_what_everybody_holds_all_the_time_makes_no_two_programs_alike(prices):
    assert traded.sides_of(backtest_of(prices, np.ones(DAYS))) == {}, "to buy and hold is to do as everybody does"
    turning = [np.arange(DAYS) % 40 < 20, np.arange(DAYS) % 40 >= 10]

    def both(wanted):
        """Three shares are held all the time, and one is traded."""
        return together(backtest_of(prices, wanted), *(backtest_of(prices, np.ones(DAYS)) for _ in range(3)))

    assert agreement(both(turning[0]), both(turning[0])) == pytest.approx(1)
    assert agreement(both(turning[0]), both(turning[1])) < 0.1


def test_splits_and_instruments_that_end_are_no_trades_and_only_the_latest_changes_are_kept(prices, monkeypatch):
    wanted = np.arange(DAYS) % 100 < 60
    plain = traded.sides_of(backtest_of(prices, wanted))
    split = backtest_of(prices, wanted)
    split.flows = [{"bar": 130, "instrument": 0, "kind": "split", "ratio": 2.0}]
    split.fills[3]["size"] *= 2  # what was held then is twice as many
    assert traded.sides_of(split)["held"] == plain["held"]
    ended = backtest_of(prices, wanted)
    ended.fills = ended.fills[:-1]
    assert traded.sides_of(ended)["held"]["a"][-1][1] == traded.STEPS
    ended.flows = [
        {"bar": DAYS - 2, "instrument": 0, "kind": "delisting", "amount": 1.0},
        {"bar": DAYS - 2, "instrument": None, "kind": "interest", "amount": 1.0},
    ]
    assert traded.sides_of(ended)["held"]["a"][-1][1] == 0
    monkeypatch.setattr(traded, "MOST_CHANGES", 20)
    late = traded.sides_of(backtest_of(prices, wanted))
    assert len(late["held"]["a"]) == 21 and late["first"] > plain["first"]
    assert traded.agreement(late, plain) == pytest.approx(1)


@pytest.mark.django_db
def test_what_an_author_tries_elsewhere_counts_where_it_trades_nearly_the_same_also_when_it_is_deleted(settings):
    settings.STORE_DIR = STORE
    author = make_user()
    first, other = make_project(author, "value = 1"), make_project(author, "def other(): pass")
    for text in ("value = 2", "value = 3"):  # other numbers, which trade otherwise
        first.draft = {"main.py": text}
        made(first, (10, 30))
    first.draft = {"main.py": "value = 4"}
    made(first, (20, 20))
    second = make_project(author, "import this; call(this)")
    result = made(second, (20, 20))
    made(other, (30, 10))
    made(stranger := make_project(source="class C: pass"), (20, 20))
    assert (count(first), count(second), count(other), count(stranger)) == (4, 4, 1, 1)
    assert "4 different trials, with 3 of other programs of its author that trade nearly the same," in line_of(result)
    first.remove()
    assert (count(second), count(other), count(stranger)) == (4, 1, 1)
    assert traded.traded_alike(second) == [] and traded.pairs_of(second) == set()
    third = make_project(author, "lambda: 0")
    made(third, (20, 20))
    assert count(third) == 5, "those of the deleted one, of the one that traded the same, and its own"


@pytest.mark.django_db
def test_a_benchmark_beside_two_strategies_makes_them_not_alike_and_what_one_adds_does_not_hide_it(settings):
    settings.STORE_DIR = STORE
    author = make_user()
    one, other, alone = (make_project(author, text) for text in ("a()", "def f(): pass", "class C: pass"))
    made(one, (20, 20), (6, 3))
    made(other, (30, 10), (6, 3))
    made(alone, (20, 20))
    assert (count(one), count(other), count(alone)) == (3, 2, 3)


@pytest.mark.django_db
def test_what_is_alike_by_its_text_and_by_its_trades_counts_once(settings):
    settings.STORE_DIR = STORE
    author = make_user()
    first, same, other = (make_project(author, text) for text in ("value = 1", "value = 2", "class C: pass"))
    for project in (first, same):
        made(project, (20, 20))
    with CaptureQueriesContext(connection) as asked:
        tried = trials.of_project(first)
    assert (tried.count, tried.others) == (2, 0)
    counted = [query["sql"] for query in asked if "UNION" in query["sql"]]
    assert len(counted) == 1, "what its text has found is not looked for again"
    made(other, (20, 20))
    found = [trials.of_project(project) for project in (first, same, other)]
    assert [(each.count, each.others) for each in found] == [(3, 1), (3, 1), (3, 2)]


@pytest.mark.django_db
def test_backtests_that_were_made_before_it_was_kept_are_compared_afterwards(settings, capsys):
    settings.STORE_DIR = STORE
    author = make_user()
    first, second = (make_project(author, text) for text in ("a()", "class C: pass"))
    for project in (first, second):
        made(project, (20, 20))
    TradedAlike.objects.all().delete()
    Backtest.objects.update(sides={})
    assert (count(first), count(second)) == (1, 1)
    for filled in (2, 0):
        call_command("compare_trades")
        assert f"of {filled} backtests" in capsys.readouterr().out
        assert (count(first), count(second)) == (2, 2)

"""Whether a program chose among the members of a day that was still to come is read from its text, and varied."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from qfp import objects
from qfp.checking.sources import OF_DATA, OF_PANDAS, Sources
from qfp.checking.variations import other_stays
from qfp.data.frames import adjusted_columns

from marketdata.store import read_manifest
from runner.honesty import membership
from runner.honesty.differences import numbered
from runner.honesty.examinable import NotComparable
from runner.honesty.varied_data import varied_snapshot
from tests.sdk.conftest import data, starter  # noqa: F401

DATES = ["2016-01-04", "2016-01-05", "2016-01-06T00:00:00Z"]


def said(text: str, first: int = 0) -> str:
    fills = [{"bar": 2}, {"bar": first}]
    return membership.noted({"id": "usual"}, {"main.py": text}, DATES, fills).get("survivorship", "")


IDLE = (
    'data.universe("synth/us500", asof="2016-01-04")',
    'data.universe("synth/us500", asof="2016-01-04")[:3]',
    'early = data.universe("synth/us500", asof="2016-01-04")',
    'print(len(data.universe("synth/us500", asof="2016-01-04")))',
    'e = data.universe("synth/us500", asof="2016-01-04")\nprint(e)',
    'e = data.universe("synth/us500", asof="2016-01-04")\nprint(", ".join(e))',
    'len(data.universe("synth/us500", asof="2016-01-04"))',
    'sorted(data.universe("synth/us500", asof="2016-01-04"))',
    'e: list = data.universe("synth/us500", asof="2016-01-04")\nfirst = e[0]',
    'one, e = 1, data.universe("synth/us500", asof="2016-01-04")\nhold(one)',
    'if data.universe("synth/us500", asof="2016-01-04"): pass',
    'for name in data.universe("synth/us500", asof="2016-01-04"):\n    print(f"{name}")',
    'if "A" in data.universe("synth/us500", asof="2016-01-04"):\n    "idle"',
    'early = data.universe("synth/us400", asof="2016-01-04")\nhold(early)',
)


LATER = 'late = data.universe("synth/us500", asof="2018-12-31")'
USES = (
    "hold(early)",
    "names = sorted(early)[:80]\nhold(names=names)",
    "for name in early:\n    hold(name)",
    "one, two = early, 1\nhold(one)",
    "hold([name for name in all if name in early])",
    "weights = {name: 1 / len(early) for name in early}\nhold(weights)",
    "def members():\n    return early",
    "class Its(Strategy):\n    names = early\n    def next(self):\n        hold(self.names)",
    "if symbol in early:\n    hold(symbol)",
    "shares.held = early",
    "names = all & set(early)\nprices[names]",
)


@pytest.mark.parametrize(
    "text",
    [
        'names = data.universe("synth/us500", asof="2018-12-31")[:80]',
        'from qfp.data import universe as chosen\nnames = chosen("synth/us500", "2018-12-31")',
        'START, END = "2016-01-04", "2018-12-31"\nnames = data.universe("synth/us500", asof=END)',
        'import datetime\nnames = data.universe("synth/us500", asof=datetime.date(2018, 12, 31))',
        'names = data.universe("synth/us500", asof=pd.Timestamp("2018-12-31"))',
        # That it also asks for an earlier day counts where it makes use of that, and of the same universe.
        *(f'{idle}\nnames = data.universe("synth/us500", asof="2018-12-31")' for idle in IDLE),
    ],
)
def test_members_as_of_a_day_after_the_first_one_traded_are_a_doubt(text: str) -> None:
    assert said(text).startswith("The program asks who belonged to a universe as of 2018-12-31, after the first day")


@pytest.mark.parametrize(
    "text",
    [
        'names = data.universe("synth/us500", asof="2016-01-05")[:80]',
        'names = data.universe("synth/us500")',
        'for day in days:\n    names = data.universe("synth/us500", asof=day)',
        'day = "2018-12-31"\nday = "2016-01-04"\nnames = data.universe("synth/us500", asof=day)',
        'names = data.universe("synth/us500", asof=date(2018, 13, 31))',
        '# data.universe("synth/us500", asof="2018-12-31")',
        "universe(asof",
        'def universe(symbols, start):\n    return symbols\nnames = universe(["IBM"], "2018-12-31")',
        *(f'early = data.universe("synth/us500", "2016-01-04")\n{use}\n{LATER}' for use in USES),
        'for u in all:\n    hold(data.universe(u, "2016-01-04"), data.universe("synth/us500", asof="2018-12-31"))',
    ],
)
def test_members_of_a_day_until_the_first_one_traded_are_none(text: str) -> None:
    assert said(text, first=1) == ""


def test_what_was_said_of_the_choice_before_is_kept() -> None:
    files = {"main.py": 'data.universe("synth/us500", asof="2018-12-31")'}
    noted = membership.noted({"survivorship": "Survivorship not controlled."}, files, DATES, [])
    assert noted["survivorship"].endswith("2016-01-04. Survivorship not controlled.")


STAYS = [
    {"symbol": f"S{at}", "series": f"s/{at}", "entered": entered, "left": left}
    for at, (entered, left) in enumerate(
        [(None, "2016-05-02"), ("2016-01-04", "2017-03-01"), ("2016-01-04", None), ("2017-09-01", "2018-02-01")] * 25
    )
]


def on(stays: list[dict[str, Any]], day: str) -> set[str]:
    return {s["symbol"] for s in stays if (s["entered"] or day) <= day and (s["left"] is None or day <= s["left"])}


@pytest.mark.parametrize("tail", [1, -1])
def test_members_until_a_day_stay_and_who_leaves_or_comes_after_it_is_another(tail: int) -> None:
    other = other_stays(STAYS, "2017-01-02", tail, 3)
    for day in ("2016-01-04", "2016-05-02", "2016-05-03", "2017-01-02"):
        assert on(other, day) == on(STAYS, day)
    assert all(on(other, day) < on(STAYS, day) for day in ("2017-03-01", "2018-01-05", "2019-01-04"))
    assert [stay["symbol"] for stay in other] == [stay["symbol"] for stay in STAYS], "in their order"
    ended = other_stays(STAYS, "2017-01-02", 0, 3)
    assert not [stay for stay in ended if stay["left"] and stay["left"] > "2017-01-02"]


def test_a_universe_without_dates_stays_as_it_is() -> None:
    static = [{**stay, "entered": None, "left": None} for stay in STAYS]
    assert other_stays(static, "2017-01-02", 1, 3) == static


def test_a_program_that_is_run_again_gets_other_members_after_the_day(data, monkeypatch) -> None:  # noqa: F811
    for module, names in ((data, OF_DATA), (pd, OF_PANDAS)):
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name))  # vary() is for the rest of a process
    before, now = data.members("synth/us500"), pd.Timestamp("2017-01-02")
    Sources(now, 1, 3).vary()
    after = data.members("synth/us500")

    def soon(rows: pd.DataFrame) -> set[str]:
        return set(rows.symbol[(rows.left > now) & (rows.left < now + pd.Timedelta(days=90))])

    assert len(soon(after)) > len(soon(before)) + 20
    assert data.universe("synth/us500", asof="2017-01-02") == list(
        before.symbol[(before.entered <= now) & ~(before.left < now)]
    )


def test_the_site_varies_members_with_the_rest_of_its_data(tmp_path) -> None:
    objects.put(tmp_path, b"a store has objects")
    snapshot = objects.write_snapshot(tmp_path, {"series": [], "universes": [{"name": "u", "members": STAYS}]})
    moment = np.datetime64("2017-01-02", "us")
    with varied_snapshot(tmp_path, snapshot, moment, 1, 3, all_shares=True) as other:
        stays = read_manifest(tmp_path, other)["universes"][0]["members"]
        with varied_snapshot(tmp_path, snapshot, moment, 1, 3, all_shares=True) as again:
            assert again != other, "boxes may stand ready for one that has gone"
        assert (tmp_path / "snapshots" / other).exists()
    assert on(stays, "2017-01-02") == on(STAYS, "2017-01-02") and on(stays, "2017-03-01") < on(STAYS, "2017-03-01")


def shares_of(store: Path, ends: dict[str, int]) -> str:
    """A snapshot with a universe of these shares, whose bars end after so many days; all have left by then."""
    dates = np.arange("2016-01-04", "2018-12-27", dtype="datetime64[us]", step=np.timedelta64(1, "D"))
    paid = {"split": np.array([2.0, 1.0, 3.0]), "dividend": np.array([0.0, 0.4, 0.0])}
    actions = objects.put(store, objects.arrow_bytes(dates[[200, 500, 600]], paid))
    series, members = [], []
    for name, end in ends.items():
        close = np.random.default_rng(end).normal(50.0, 2.0, end)
        entry = {"id": f"s/{name}", "symbol": name, "interval": "1d", "rows": end, "last": str(dates[end - 1])[:10]}
        notice = "" if end == len(dates) else "It fails and is delisted."
        bars = objects.put(store, objects.arrow_bytes(dates[:end], {"close": close, "open": close}))
        series.append({**entry, "object": bars, "actions": actions if end > 600 else None, "notice": notice})
        left = None if end == len(dates) else entry["last"]
        members.append({"symbol": name, "series": entry["id"], "entered": "2016-01-04", "left": left})
    return objects.write_snapshot(store, {"series": series, "universes": [{"name": "u", "members": members}]})


def test_who_will_be_delisted_after_the_day_looks_like_any_other(tmp_path) -> None:
    ends = {"early": 100, "soon": 500, "later": 700, "alone": 500, **{f"living{n}": 1088 for n in range(4)}}
    snapshot = shares_of(tmp_path, ends)
    moment = np.datetime64("2016-12-01", "us")
    varied = {"moment": moment, "tail": 1, "seed": 3, "all_shares": True, "alone": {"s/alone"}}
    before = {each["symbol"]: each for each in read_manifest(tmp_path, snapshot)["series"]}
    with varied_snapshot(tmp_path, snapshot, **varied) as other:
        manifest = read_manifest(tmp_path, other)
        found = {each["symbol"]: each for each in manifest["series"]}
        stays = {each["symbol"]: each["left"] for each in manifest["universes"][0]["members"]}
        read = {name: objects.read(tmp_path, each["object"]) for name, each in found.items()}
    for name in ("soon", "later"):
        assert {key: found[name][key] for key in ("last", "rows", "notice")} == {
            key: before["living0"][key] for key in ("last", "rows", "notice")
        }
        assert len(read[name]["close"]) == found[name]["rows"] and stays[name] != before[name]["last"]
        assert not np.isnan(read[name]["close"]).any()
    for name in ("early", "alone"):
        assert all(found[name][key] == before[name][key] for key in ("last", "rows", "notice"))


def test_splits_and_dividends_after_the_day_come_on_others_and_adjusted_prices_before_it_stay(tmp_path) -> None:
    snapshot = shares_of(tmp_path, {"a": 1088})
    moment = np.datetime64("2016-12-01", "us")
    (ours,) = read_manifest(tmp_path, snapshot)["series"]
    with varied_snapshot(tmp_path, snapshot, moment, 1, 3, all_shares=True) as other:
        (theirs,) = read_manifest(tmp_path, other)["series"]
        acted = [objects.read(tmp_path, each["actions"]) for each in (ours, theirs)]
        adjusted = [adjusted_columns(tmp_path, each, "all") for each in (ours, theirs)]
    days = [set(each["date"]) for each in acted]
    assert len(days[1]) == 3 and days[0] & days[1] == {acted[0]["date"][0]}, "only what came before is known"
    assert sorted(acted[1]["split"]) == sorted(acted[0]["split"])
    known = adjusted[0]["date"] <= moment
    for name in ("open", "close"):
        assert np.allclose(adjusted[0][name][known], adjusted[1][name][known], rtol=1e-12)


def test_more_splits_and_dividends_than_bars_that_follow_stay_together(tmp_path) -> None:
    """As between two bars of weeks: what counts of them, and adjusted prices before the day, stay as they are."""
    dates = np.arange("2016-01-04", "2018-01-01", dtype="datetime64[us]", step=np.timedelta64(7, "D"))
    paid = {"split": np.array([1.0, 2.0, 1.0, 3.0]), "dividend": np.array([0.4, 0.0, 0.2, 0.0])}
    late = dates[[-3, -2, -2, -2]] + np.array([1, 1, 2, 3]) * np.timedelta64(1, "D")
    close = np.random.default_rng(1).normal(50.0, 2.0, len(dates))
    entry = {"id": "s/a", "symbol": "a", "interval": "1w", "rows": len(dates), "last": str(dates[-1])[:10]}
    entry["object"] = objects.put(tmp_path, objects.arrow_bytes(dates, {"close": close, "open": close}))
    entry["actions"] = objects.put(tmp_path, objects.arrow_bytes(late, paid))
    snapshot = objects.write_snapshot(tmp_path, {"series": [entry], "universes": []})
    for seed in range(5):
        sunday = dates[-4] + np.timedelta64(6, "D")
        with varied_snapshot(tmp_path, snapshot, sunday, 1, seed, all_shares=True) as other:
            (theirs,) = read_manifest(tmp_path, other)["series"]
            acted = objects.read(tmp_path, theirs["actions"])
            adjusted = [adjusted_columns(tmp_path, each, "all")["close"][:-3] for each in (entry, theirs)]
        assert sorted(acted["split"]) == [1.0, 1.0, 2.0, 3.0] and (acted["date"] > dates[-4]).all()
        assert len(set(acted["date"])) == 2 and np.allclose(*adjusted, rtol=1e-12)


def test_instruments_of_another_run_are_numbered_as_those_of_the_first() -> None:
    backtest = SimpleNamespace(instruments=[{"series": name} for name in "abc"])
    claim = {"instruments": [{"series": name} for name in "acd"]}
    rows = [{"bar": 1, "instrument": 0}, {"bar": 1, "instrument": 1}, {"bar": 2, "instrument": 2}]
    assert [row["instrument"] for row in numbered(claim, backtest, rows)] == [0, 2, 5]


def test_instruments_that_another_library_names_are_compared_by_their_names_or_said_to_be_unknown() -> None:
    backtest = SimpleNamespace(instruments=[{"series": f"s/{name}", "symbol": name} for name in "ab"])
    rows = [{"bar": 1, "instrument": 0}, {"bar": 2, "instrument": 1}]
    turned = {"instruments": [{"series": None, "symbol": "b"}, {"series": "s/c", "symbol": "c"}]}
    assert [row["instrument"] for row in numbered(turned, backtest, rows)] == [1, 3]
    unknown = {"instruments": [{"series": "s/a", "symbol": "a"}, {"series": None, "symbol": "feed1"}]}
    with pytest.raises(NotComparable, match="the same instruments"):
        numbered(unknown, backtest, rows)

"""Code written for other libraries: what backtrader gives by itself is what is recorded, checked and shown."""

from __future__ import annotations

import contextlib
import copy
import importlib.metadata
import io
import json
import re
import runpy
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qfp import channel, checking
from qfp.conventions import CopiedRules
from qfp.copied.of_backtesting import faster_way

from runner import packages
from runner.access import Viewer
from runner.backtests import ClaimRefused, check_claim
from runner.claims import copied
from runner.claims.bars import NotVerified
from runner.claims.reading import read_attempt
from runner.execution import execute_next
from runner.models import Run, Trial
from runner.recording import Recording
from runner.reports import records
from runner.starting import start_run
from tests.factories import make_project, make_user
from tests.sandbox.test_examples_in_docs import examples
from tests.sdk.conftest import SDK, STORE, data, starter  # noqa: F401

SCRIPTS = Path(__file__).parent.parent / "data" / "copied" / "backtrader"
ORIGINALS = SCRIPTS.parent / "backtesting"
FINAL = re.compile(r"Final Portfolio Value: ([\d.]+)")

Said = list[dict[str, Any]]


@pytest.fixture(scope="module")
def alone(starter) -> Callable[[], dict[str, str]]:  # noqa: F811
    """What each script prints as its last value by itself, before anybody listens; from then on somebody does."""
    pytest.importorskip("backtrader")
    found: dict[str, str] = {}

    def run() -> dict[str, str]:
        if not found:
            from qfp.copied import of_backtrader

            for path in sorted(set(SCRIPTS.glob("*.py")) - {SCRIPTS / "stop_trail.py", SCRIPTS / "optimise.py"}):
                source, printed = path.read_text().partition("    cerebro.plot(")[0], io.StringIO()
                with contextlib.redirect_stdout(printed):  # without the plot, which wants a window
                    exec(compile(source, str(path), "exec"), {"__name__": "__main__"})
                found[path.name] = FINAL.findall(printed.getvalue())[-1]
            of_backtrader.listen()
        return found

    return run


@pytest.fixture
def run_script(data, alone, monkeypatch, tmp_path, capsys) -> Callable[[str], tuple[str, Said]]:  # noqa: F811
    """Run a script with backtrader listened to, as in a box; what it printed, and the messages it sent."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(SDK / "compat")
    alone()

    def run(name: str) -> tuple[str, Said]:
        checking.forget()
        checking.before += 1  # another cell of a session
        with tempfile.TemporaryFile() as sent:
            monkeypatch.setenv("QFP_CHANNEL_FD", str(sent.fileno()))
            channel.connect()
            try:
                runpy.run_path(str(SCRIPTS / name), run_name="__main__")
            finally:
                monkeypatch.delenv("QFP_CHANNEL_FD")
                channel.connect()
            sent.seek(0)
            return capsys.readouterr().out, [json.loads(line) for line in sent]

    return run


def claim_of(said: Said) -> dict[str, Any]:
    return next(message["claim"] for message in said if message["type"] == "backtest")


@pytest.mark.parametrize(
    ("name", "rules", "instruments", "kinds"),
    [
        ("sma_cross.py", "backtrader/next-open", ["IBM"], {"market"}),
        ("rsi_bracket.py", "backtrader/next-open", ["MSFT"], {"limit", "stop"}),
        ("rotation.py", "backtrader/next-open", ["IBM", "MSFT", "KO", "JPM"], {"market"}),
        ("percent_sizer.py", "backtrader/same-close", ["AAPL"], {"market"}),
        ("stop_trail.py", "backtrader/next-open", ["IBM"], {"market", "stop"}),
        ("short.py", "backtrader/same-open", ["GOOG"], {"market"}),
    ],
)
def test_a_script_as_it_was_found_is_recorded_and_verified_to_the_cent(
    run_script, alone, name, rules, instruments, kinds
) -> None:
    printed, said = run_script(name)
    checked = check_claim(claim_of(said), STORE)
    assert checked.verified, checked.verified_text
    assert "the word of the library" in checked.verified_text
    final = f"{checked.equity[-1]:.2f}"
    assert final == FINAL.findall(printed)[-1]
    if name != "stop_trail.py":  # which downloads
        assert final == alone()[name], "listening changes a number"
    assert (checked.conventions["id"], checked.conventions["version"]) == (rules, 1)
    assert sorted(each["symbol"] for each in checked.instruments) == sorted(instruments)
    assert {order["kind"] for order in checked.orders} >= kinds
    assert checked.trade_count > 3 and (checked.engine_name, checked.engine_version) == ("backtrader", "1.9.78.123")
    for line in checked.conventions["lines"]:
        assert line in " ".join(printed.split())


def test_the_example_of_the_manual_does_what_it_says(run_script, tmp_path) -> None:
    (tmp_path / "main.py").write_text(examples("copied-code.md")[0])
    printed, said = run_script(str(tmp_path / "main.py"))
    checked = check_claim(claim_of(said), STORE)
    assert checked.verified and f"{checked.equity[-1]:.2f}" == FINAL.findall(printed)[-1]


def test_plot_shows_a_chart_of_the_page(run_script) -> None:
    _, said = run_script("sma_cross.py")
    [figure] = [message["data"]["application/vnd.plotly.v1+json"] for message in said if message["type"] == "display"]
    names = [trace["name"] for trace in figure["data"]]
    assert names[:4] == ["Equity", "IBM", "bought", "sold"] or names[:4] == ["Equity", "data0", "bought", "sold"]
    assert any("SMA" in name or "SimpleMovingAverage" in name for name in names)


_kept: dict[str, dict[str, Any]] = {}


@pytest.fixture
def honest(run_script) -> dict[str, Any]:
    if not _kept:
        _kept["claim"] = claim_of(run_script("sma_cross.py")[1])
    return copy.deepcopy(_kept["claim"])


@pytest.mark.parametrize(
    ("forge", "doubt"),
    [
        (lambda claim: claim["fills"][0].update(price=claim["fills"][0]["price"] * 1.002), "is not at a price"),
        (lambda claim: claim["fills"][0].update(price=claim["fills"][0]["price"] * 0.5), "lies outside"),
        (lambda claim: claim["fills"][0].update(commission=0.0), "was charged 0"),
        (lambda claim: claim["orders"][0].update(bar=claim["fills"][0]["bar"]), "before anything was decided"),
        (lambda claim: claim["fills"][-1].update(size=-1.0), "more of IBM was sold than was ordered"),
        (lambda claim: claim["fills"][-1].update(bar=claim["fills"][-1]["bar"] + 1), "lies outside"),
        (lambda claim: claim["equity"].__setitem__(-1, 1e6), "Replaying the fills gives"),
        (lambda claim: claim["instruments"][0].update(object=None), "Its bars came from the program"),
    ],
)
def test_a_forged_claim_is_not_verified(honest, forge, doubt) -> None:
    forge(honest)
    checked = check_claim(honest, STORE)
    assert not checked.verified
    assert doubt in checked.verified_text


def test_no_more_is_filled_than_was_ordered_and_the_cash_could_pay_for(honest) -> None:
    def larger(factor: float, *lists: str) -> str:
        forged = copy.deepcopy(honest)
        for each in (each for name in lists for each in forged[name]):
            each["size"] *= factor
            if "commission" in each:
                each["commission"] *= factor
        return check_claim(forged, STORE).verified_text

    assert "more of IBM was bought than was ordered" in larger(1.5, "fills")
    assert "more than the account could pay" in larger(1_000.0, "fills", "orders")
    assert "Replaying the fills gives" in larger(1.01, "fills", "orders")


def test_rules_of_a_library_that_the_run_did_not_have_are_not_accepted(honest) -> None:
    assert check_claim(honest, STORE, packages={"backtrader"}).verified
    assert "not among the run's packages" in check_claim(honest, STORE, packages={"pandas"}).verified_text


def test_what_a_bar_bought_and_sold_again_has_paid_for_nothing_on_it() -> None:
    rules = CopiedRules(library="backtrader", library_version="1.9.78", commission=0.0)

    def check(*fills: tuple[int, float], **changed: Any) -> None:
        columns = [(bar, 0, size, 10.0, 0.0) for bar, size in fills]
        copied.check_cash(tuple(map(np.array, zip(*columns, strict=True))), 1_000.0, 9, replace(rules, **changed))

    check((1, 90.0), (2, -90.0), (2, 90.0), (2, -90.0), (2, 90.0), (3, 10.0))
    check((1, 700.0), (1, -700.0), leverage=8.0)
    for at in (1, 2):
        with pytest.raises(NotVerified, match=r"On bar 1 it bought for 6\s000\.00 more"):
            check((1, 700.0), (at, -700.0))


def test_a_limit_order_frees_no_fill_but_its_own(honest) -> None:
    honest["orders"][0].update(kind="limit", limit=1.0)
    assert check_claim(honest, STORE).verified  # at the open all the same
    honest["fills"][0]["price"] *= 1.002
    assert "is not at a price" in check_claim(honest, STORE).verified_text


def test_a_stop_buys_nothing_below_the_open_and_only_a_limit_at_that_price_does(honest) -> None:
    fill = honest["fills"][0]
    honest["orders"][0].update(kind="stop", stop=1.0)
    assert fill["size"] > 0 and check_claim(honest, STORE).verified
    fill["price"] *= 0.9999
    assert "is not at a price" in check_claim(honest, STORE).verified_text
    for limit, said in ((fill["price"] * 1.00005, "is not at a price"), (fill["price"], "Replaying the fills gives")):
        honest["orders"][0].update(kind="limit", limit=limit)
        fill["commission"] = fill["size"] * fill["price"] * honest["conventions"]["commission"]
        assert said in check_claim(honest, STORE).verified_text


def test_stated_slippage_makes_no_fill_better_than_its_bar(honest) -> None:
    honest["conventions"].update(slippage=0.0, slippage_fixed=1e9, per_unit=None)
    honest["orders"][0].update(kind="limit", limit=1.0)
    assert check_claim(honest, STORE).verified
    unknown = copy.deepcopy(honest)
    unknown["conventions"].update(slippage=None, slippage_fixed=0.0)
    assert "a scheme of slippage decided" in check_claim(unknown, STORE).verified_text
    bought = next(fill for fill in honest["fills"] if fill["size"] > 0)
    bought["price"] *= 0.5
    assert "lies outside" in check_claim(honest, STORE).verified_text


@pytest.mark.parametrize(
    "change",
    [
        {"library": "other"},
        {"fill": "yesterday"},
        {"library_version": "<b>"},
        {"library_version": "1.prices-of-somebody"},
        {"at_close": 1},
        {"version": 9},
    ],
)
def test_rules_that_are_not_known_are_refused(honest, change) -> None:
    honest["conventions"].update(change)
    with pytest.raises(ClaimRefused):
        check_claim(honest, STORE)


def test_the_sentences_of_the_rules_are_the_sites_own(honest) -> None:
    forged = copy.deepcopy(honest)
    forged["conventions"]["lines"] = ["Everything is fine."]
    assert check_claim(forged, STORE).conventions["lines"] == honest["conventions"]["lines"]


def test_of_thousands_of_runs_only_as_many_are_recorded_as_the_site_takes(run_script, tmp_path) -> None:
    once = (SCRIPTS / "percent_sizer.py").read_text()
    source = once.replace("cerebro.run(runonce=False)", "for _ in range(22):\n    cerebro.run(runonce=False)")
    source = source.replace('"2005-01-01", "2007-12-31"', '"2005-01-01", "2005-03-31"')
    (tmp_path / "main.py").write_text(source)
    _, said = run_script(str(tmp_path / "main.py"))
    claims = [message["claim"] for message in said if message["type"] == "backtest"]
    assert len(claims) == 22 and sum("equity" in claim for claim in claims) == checking.MOST_BACKTESTS
    tried = [read_attempt(claim) for claim in claims]
    assert tried[20] == tried[21], "what is left of them says what was tried"
    for name in ("strategy", "params", "start", "end", "cash", "conventions"):
        assert tried[20][name] == tried[0][name]


def test_packages_that_need_an_older_one_are_offered_with_it() -> None:
    files = {"main.py": "import zipline\n"}
    project = make_project_stand_in(files)
    assert [one.distribution for one in packages.offered(project, files)] == ["zipline-reloaded"]
    asked = packages.with_packages(files, ["zipline-reloaded"])["main.py"].splitlines()[0]
    assert asked == "# requirements: zipline-reloaded, pandas<3"
    given = {"main.py": "# requirements: pandas==2.3.3\nimport zipline\n"}
    asked = packages.with_packages(given, ["zipline-reloaded"])["main.py"].splitlines()[0]
    assert asked == "# requirements: pandas==2.3.3, zipline-reloaded"


def make_project_stand_in(files: dict[str, str]) -> Any:
    from runner.models import Project

    return Project(slug="x", title="x", draft=files)


WHOLE = """# requirements: backtrader
import backtrader as bt
from qfp import data


class Cross(bt.Strategy):
    params = dict(fast=5, slow=20)

    def __init__(self):
        self.cross = bt.ind.CrossOver(bt.ind.SMA(period=self.p.fast), bt.ind.SMA(period=self.p.slow))

    def next(self):
        if self.cross > 0:
            self.buy(size=10)
        elif self.cross < 0:
            self.close()


class Tomorrow(bt.Strategy):
    def next(self):
        if self.data.volume[0] > 0 and not self.position:
            self.buy(size=10)
        elif self.data.volume[0] < 0:
            self.close()


bars = data.prices("IBM", "2006-01-03", "2006-12-29")
known = bars.assign(volume=bars["close"].shift(-1) - bars["close"])
for frame, strategy in ((bars, Cross), (known, Tomorrow)):
    cerebro = bt.Cerebro()
    cerebro.adddata(bt.feeds.PandasData(dataname=frame))
    cerebro.addstrategy(strategy)
    cerebro.run()
    print("Final Portfolio Value: %.2f" % cerebro.broker.getvalue())

cerebro = bt.Cerebro(maxcpus=1)
cerebro.optstrategy(Cross, fast=[5, 10], slow=[20, 30])
cerebro.adddata(bt.feeds.PandasData(dataname=bars))
cerebro.run()
"""


def finished(source: str) -> tuple[Run, list[str]]:
    """The run of a program by the worker's own path, and the values it printed."""
    user = make_user("ada")
    run = start_run(make_project(user, source=source), Viewer(user), files={"main.py": source})
    execute_next()
    run.refresh_from_db()
    events = Recording(run.pk).read()
    assert run.status == Run.Status.SUCCEEDED, events[-6:]
    return run, FINAL.findall("".join(event["text"] for event in events if event["type"] == "stdout"))


@pytest.mark.django_db(transaction=True)
def test_copied_code_runs_with_its_package_as_a_layer_and_is_tested_like_any_other(engine, package_index) -> None:
    files = importlib.metadata.files("backtrader") or ()
    own = [file for file in files if file.parts[0] == "backtrader" and file.suffix == ".py"]
    modules: dict[str, bytes | str] = {str(file): Path(str(file.locate())).read_bytes() for file in own}
    package_index.add_package("backtrader", modules, versions=("1.9.76.123", "1.9.77.123", "1.9.78.123"))
    run, finals = finished(WHOLE)
    honest, leaking = run.backtests.order_by("position")
    for backtest, final in zip((honest, leaking), finals, strict=True):
        assert backtest.verified, backtest.verified_text
        assert f"{backtest.equity[-1]:.2f}" == final
    assert honest.checks["lookahead"]["state"] == "green", honest.checks
    assert leaking.checks["lookahead"]["state"] == "red", leaking.checks
    assert "cannot be run again" in honest.checks["amnesia"]["sentence"]
    assert honest.checks["band"]["cells"]
    assert Trial.objects.filter(run=run).count() == 4
    record = records.record_of(honest, True)
    assert record.prices is not None and len(record.equity) == len(honest.equity)


@pytest.mark.django_db(transaction=True)
def test_code_of_backtesting_py_itself_is_recorded_with_what_it_has_chosen(engine) -> None:
    scripts = [(ORIGINALS / name).read_text() for name in ("sma_cross.py", "brackets.py", "optimised.py")]
    run, finals = finished("\n".join(scripts))
    crossed, bracketed, chosen = run.backtests.order_by("position")
    for backtest, final in zip((crossed, bracketed, chosen), finals, strict=True):
        assert backtest.verified, backtest.verified_text
        assert f"{backtest.equity[-1]:.2f}" == final
        assert (backtest.engine_name, backtest.conventions["version"]) == ("backtesting.py", 1)
        assert "unlogged" not in backtest.conventions
    assert [each.conventions["id"] for each in (crossed, bracketed, chosen)] == ["next-open", "next-open", "same-close"]
    assert {order["outcome"] for order in bracketed.orders} >= {"filled"}
    assert any("sl" in order and "tp" in order for order in bracketed.orders)
    for backtest in (crossed, bracketed):
        assert backtest.checks["lookahead"]["state"] == "green", backtest.checks
        assert backtest.checks["amnesia"]["state"] == "green", backtest.checks
    assert chosen.params["slow"] in (20, 40) and Trial.objects.filter(run=run).count() == 6
    assert chosen.checks["overfitting"]["sentence"].startswith("This run has tried 6 combinations")
    assert "overfitting" not in crossed.checks


ALONE = """
import backtrader as bt
from qfp import data


class Sells(bt.Strategy):
    def next(self):
        {body}


cerebro = bt.Cerebro()
cerebro.adddata(bt.feeds.PandasData(dataname=data.prices("GOOG", "2006-01-03", "2007-06-29")), name="GOOG")
cerebro.addstrategy(Sells)
cerebro.broker.setcash(2_000)
cerebro.run()
"""


def checked_of(run_script: Any, tmp_path: Path, body: str) -> Any:
    (tmp_path / "main.py").write_text(ALONE.format(body=body))
    return check_claim(claim_of(run_script(str(tmp_path / "main.py"))[1]), STORE)


def test_an_account_that_went_on_with_less_than_nothing_is_followed_until_nothing_was_left(
    run_script, tmp_path
) -> None:
    checked = checked_of(run_script, tmp_path, "if len(self) % 9 == 2: self.sell(size=5)")
    assert checked.verified, checked.verified_text
    ruined = checked.equity.index(0.0)
    assert f"Nothing was left of the account on {checked.dates[ruined][:10]}" in checked.verified_text
    assert 9 < ruined < len(checked.equity) - 9 and not any(checked.equity[ruined:])
    assert not checked.holdings and checked.metrics["total_return"] == -1


def test_what_closes_a_position_and_cannot_pay_for_turning_it_has_filled_in_part(run_script, tmp_path) -> None:
    # As many as the money pays for at the close: at a higher open it closes what is short, and opens nothing.
    everything = "self.buy(size=self.broker.getcash() / self.data.close[0])"
    body = f"if len(self) % 9 == 2: self.order_target_size(target=-2)\n        if len(self) % 9 == 6: {everything}"
    checked = checked_of(run_script, tmp_path, body)
    assert checked.verified, checked.verified_text
    assert [order for order in checked.orders if order["outcome"] == "filled" and order["size"] > 5]
    assert {round(fill["size"], 9) for fill in checked.fills} >= {2.0, -2.0}


def test_a_fill_that_only_one_limit_explains_has_it_before_others_use_it_up() -> None:
    rules = CopiedRules(library="backtrader", library_version="1.9.78", commission=0.0)
    orders: list[dict[str, Any]] = [
        {"bar": 0, "instrument": 0, "size": 1.0, "kind": kind, kind: price, "outcome": "filled"}
        for kind, price in (("limit", 9.0), ("stop", 12.0))
    ]
    fills = tuple(map(np.array, zip((1, 0, 1.0, 8.5, 0.0), (2, 0, 1.0, 9.0, 0.0), strict=True)))
    found = copied._ordered(fills, np.array([True, True]), np.array([False, True]), orders, rules)
    assert found.tolist() == [True, True]


def test_a_search_of_the_library_that_takes_minutes_is_told_the_faster_way() -> None:
    assert "10,000 combinations" in faster_way({"fast": range(100), "slow": [*range(100)], "maximize": "SQN"})
    assert not faster_way({"fast": range(100), "slow": range(9), "constraint": len})
    assert not faster_way({"fast": range(100), "slow": range(100), "max_tries": 200})

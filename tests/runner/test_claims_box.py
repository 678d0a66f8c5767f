"""What a backtest says of itself: nine lines in an order that nobody can change, and what each is drawn from."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from django.template import engines
from qfp.checking import apart, words
from qfp.checking.literals import LONG
from qfp.tearsheet.states import STATES

from runner import claims_box, private, trials
from runner.honesty import checking
from runner.honesty.examinable import why_never
from runner.honesty.held_sweeps import HeldSweeps, chose_from_all
from runner.manifests import lineage_of
from runner.models import GPU, Backtest, Project, Run, Sweep, Trial
from runner.sweeps.questions import SweepQuestions
from tests.factories import make_finished_run, make_project

pytestmark = pytest.mark.django_db

KEYS = ["lookahead", "amnesia", "trials", "pbo", "survivorship", "data", "conventions", "sample", "verified"]


def make_backtest(project=None, trial="a" * 64, drift=0.001, **values) -> Backtest:
    run = make_finished_run(project or make_project())
    returns = np.random.default_rng(5).normal(drift, 0.01, 1_000)
    equity = np.concatenate([[10_000.0], 10_000 * np.cumprod(1 + returns)])
    return Backtest.objects.create(
        **{
            "run": run,
            "position": 0,
            "strategy": "Example",
            "start": datetime(2010, 1, 4, tzinfo=UTC),
            "end": datetime(2013, 1, 4, tzinfo=UTC),
            "cash": 10_000,
            "conventions": {"id": "next-open", "version": 2},
            "equity": equity.tolist(),
            "metrics": {"sharpe": 1.0},
            "verified": True,
            "trial": trial,
        }
        | values
    )


def state_of(backtest, key):
    return next(line for line in claims_box.lines(backtest) if line["key"] == key)["state"]


def test_there_are_nine_lines_in_their_order_and_each_leads_to_the_manual():
    backtest = make_backtest()
    lines = claims_box.lines(backtest)
    assert [line["key"] for line in lines] == KEYS
    assert all(line["text"] and line["word"] and line["link"].startswith("/docs/honesty#") for line in lines)


def test_synthetic_bars_are_called_so(monkeypatch):
    entry = {
        "id": "synth/us/1d/SYN001",
        "symbol": "SYN001",
        "last": "2010-12-31",
        "rights": "redistribute",
        "tier": "S",
    }
    monkeypatch.setattr(claims_box, "_known", lambda snapshot: {"b" * 64: entry})
    backtest = make_backtest(snapshot="a" * 64, instruments=[{"series": entry["id"], "object": "b" * 64}])
    (line,) = [line for line in claims_box.lines(backtest, private=()) if line["key"] == "data"]
    assert line["state"] == "amber" and "SYN001 are synthetic" in line["text"]
    monkeypatch.setattr(claims_box, "_known", lambda snapshot: {"b" * 64: entry | {"tier": "A"}})
    assert state_of(backtest, "data") == "green"


def test_a_sweep_of_a_window_chooses_nothing_from_all_data():
    """Where the site finds a difference, only another sweep may be what it comes from."""
    backtest = make_backtest(dates=["2010-01-04T00:00:00Z", "2010-01-05T00:00:00Z"])
    asked = SweepQuestions(backtest.run)
    window = {"window": 1, "train": ["2009-01-01", "2009-12-31"], "test": ["2010-01-04", "2010-01-05"]}
    for about, chose in (({"target": "f", "bars": window}, False), ({"target": "f", "bars": "b" * 64}, True)):
        sweep = asked.answer({"do": "open", "about": about})["sweep"]
        asked.answer({"do": "add", "sweep": sweep, "trials": [{"number": 1, "params": {"n": 1}, "score": 1.0}]})
        assert chose_from_all(backtest.run) is chose
        # While it is private, it is said what publishing will have looked at.
        backtest.run.snapshot = "a" * 64
        backtest.checks = {"lookahead": {"state": "green", "sentence": "No look-ahead found."}}
        line = claims_box.lines(backtest)[0]
        assert line["state"] == "grey" and ("where it then chooses otherwise" in line["text"]) is chose


def test_a_sweep_that_is_asked_again_on_other_data_gives_what_it_gave_at_first():
    run = make_finished_run()
    told = [{"number": 1, "params": {"n": 1}, "score": 1.0}]
    for name, bars in (("f", "a" * 64), ("f", "b" * 64), ("g", None)):
        asked = SweepQuestions(run)
        sweep = asked.answer({"do": "open", "about": {"target": name, "bars": bars, "values_read": bars}})["sweep"]
        asked.answer({"do": "add", "sweep": sweep, "trials": [{**told[0], "params": {"n": len(bars or "")}}, *told]})
    held = HeldSweeps(run)

    def known(name, bars):
        sweep = held.answer({"do": "open", "about": {"target": name, "bars": bars, "values_read": bars}})["sweep"]
        return sweep, len(held.answer({"do": "known", "sweep": sweep, "after": -1})["trials"])

    first, second = known("f", "c" * 64), known("f", "d" * 64)
    assert first[0] < second[0] and first[1] == second[1] == 2 and known("f", "c" * 64) == first
    assert known("g", None)[1] == 2 and held.whole
    assert "error" in held.answer({"do": "open", "about": {"target": "h"}}) and not held.whole
    held = HeldSweeps(run)
    sweep, count = known("f", "e" * 64)
    assert held.answer({"do": "add", "sweep": sweep, "trials": told}) == {} and not held.whole
    assert known("f", "e" * 64)[1] == count


def test_a_sweep_whose_values_are_read_from_the_data_gives_what_those_in_their_places_gave():
    run = make_finished_run()

    def about(days, **others):
        return {"target": "f", "space": {"days": days, "up": [True]}, "method": "grid", "options": {}, **others}

    asked = SweepQuestions(run)
    for days, others in (([8, 9, 70], {}), ([8, 71], {}), ([5], {"options": {"library": "another"}})):
        sweep = asked.answer({"do": "open", "about": about(days, **others)})["sweep"]
        trials = [{"number": day, "params": {"days": day, "up": True}, "score": float(day)} for day in days]
        asked.answer({"do": "add", "sweep": sweep, "trials": trials})
    held = HeldSweeps(run)

    def known(days, **others):
        sweep, found, after = held.answer({"do": "open", "about": about(days, **others)}).get("sweep"), {}, -1
        while trials := held.answer({"do": "known", "sweep": sweep, "after": after}).get("trials"):
            found |= {each["params"]["days"]: each["score"] for each in trials}
            after = trials[-1]["id"]
        return found

    assert known([9, 6, 8, 7]) == {8: 8.0, 9: 9.0, 6: 70.0, 7: None}, "the first, by place, and no other is chosen"
    assert known([8, *range(100, 600)])[100] == 71.0 and held.whole, "the second"
    assert known([6], options={"library": "another"}) == {} and not held.whole, "it chooses without asking"
    held = HeldSweeps(run)
    assert known({"low": 1.0, "high": 7.5}, method="grid") == {}, "nothing can be said, so all of it will be tried"


def test_the_links_are_headings_of_the_manual(client):
    page = client.get("/docs/honesty").content.decode()
    assert all(f'id="{line["link"].partition("#")[2]}"' in page for line in claims_box.lines(make_backtest()))


# Where the box or its badge is drawn, what stands there of each state, and which state has nothing of its own there.
DRAWN = [
    ("templates/runner/_claims_box.html", 'summary.state == "{}"', set()),
    ("templates/runner/_result_claims.html", 'line.state == "{}"', set()),
    ("templates/includes/claims_badge.html", 'summary.state == "{}"', {"grey"}),
    ("static/css/workspace.css", ".claims--{} ", {"green"}),
    ("static/css/workspace.css", ".claims__line--{} ", {"green"}),
    ("static/css/result_parts.css", ".result-claims__sum--{},", set()),
    ("static/css/result_parts.css", ".result-claims__line--{} ", set()),
    ("static/editor/backtest.ts", ' {}: "badge--', {"grey"}),
    ("static/editor/events.ts", ' "{}"', set()),
    ("static/editor/claims.ts", ' {}: "', set()),
    ("sandbox/sdk/qfp/tearsheet/page.py", ".{}>i", set()),
    ("runner/reports/report.typ", " {}: ", set()),
    ("docs/api.md", "`{}`", set()),
]


@pytest.mark.parametrize(("path", "said", "missing"), DRAWN)
def test_wherever_the_box_is_drawn_every_state_has_its_colour_or_icon(path, said, missing):
    text = Path(path).read_text(encoding="utf-8")
    assert {state for state in STATES if said.format(state) not in text} == missing


def test_what_hangs_on_fills_or_costs_is_a_doubt_or_a_problem():
    def judged(same_close=False, has_costs=True, **totals):
        told = {"base": 0.5, "next": 0.4, "double": 0.3, "later": 0.2} | totals
        kept = [("base", "same close", 1), ("next", "next open", 1), ("double", "next open", 2), ("later", "later", 1)]
        cells = [
            {
                "fill": fill,
                "costs": costs,
                "total_return": told[name],
                "base": name == ("base" if same_close else "next"),
            }
            for name, fill, costs in kept
        ]
        found = checking._judged(cells, same_close, has_costs)
        return found["state"], found["sentence"].partition(":")[2] or found["sentence"].rpartition(". ")[2]

    assert judged()[0] == "green"
    assert judged(double=-0.1) == ("red", " it is a loss at twice the costs.")
    assert judged(later=-0.1) == ("amber", " some of them are a loss.")
    assert judged(has_costs=False) == ("amber", "It pays no costs at all.")
    assert judged(same_close=True)[0] == "amber"
    assert judged(same_close=True, next=-0.1) == (
        "red",
        " it is a loss at the next open, the first price that can be had.",
    )
    assert judged(next=-0.1, double=-0.1, base=-0.1)[0] == "green", "a loss loses nothing by it"


def test_which_runs_are_never_made_again_has_a_reason():
    run = make_finished_run(make_project(), snapshot="a" * 64)
    assert why_never(run) == ""
    for values, said in (
        ({"session_id": 1}, "a cell of a session"),
        ({"queue": GPU}, "on a GPU"),
        ({"status": Run.Status.FAILED}, "that succeeded"),
        ({"snapshot": ""}, "no data of the site"),
        ({"wall_seconds": 121.0}, "more than 120 seconds"),
    ):
        again = copy.copy(run)
        vars(again).update(values)
        assert said in why_never(again)


def test_the_badge_is_as_bad_as_the_worst_line():
    found = [{"state": state} for state in ("green", "amber", "amber")]
    assert claims_box.summary(found) == {"state": "amber", "text": "2 doubts"}
    assert claims_box.summary([*found, {"state": "red"}]) == {"state": "red", "text": "1 problem"}
    assert claims_box.summary(found[:1])["state"] == "green"
    assert claims_box.summary([{"state": "grey"}])["state"] == "green", "a note is no doubt"
    pending = [*found[:1], {"state": "blue"}]
    assert claims_box.summary(pending) == {"state": "blue", "text": "Waiting to be checked"}
    assert claims_box.summary([*found, *pending])["text"] == "2 doubts"
    # While tests go on a number of doubts would grow; a problem stays one.
    assert claims_box.summary(found, "Checking: 3 of 5 done") == {"state": "blue", "text": "Checking: 3 of 5 done"}
    assert claims_box.summary([*found, {"state": "red"}], "Being checked")["text"] == "1 problem"


def test_a_loss_is_no_fault_of_honesty():
    loses = make_backtest(drift=-0.002)
    lines = {line["key"]: line for line in claims_box.lines(loses)}
    assert lines["trials"]["state"] == lines["sample"]["state"] == "grey"
    assert lines["trials"]["word"] == "note" and "1 trial" in lines["trials"]["text"]
    lucky = make_backtest(drift=0.0003)
    found = next(line for line in claims_box.lines(lucky, trials.Trials(1_000)) if line["key"] == "trials")
    assert found["state"] == "red", "what is chosen from many and gains less than their luck is one"


def test_what_the_windows_of_a_walk_forward_chose_from_is_told_apart_and_everything_else_counts():
    project = make_project()
    run = make_finished_run(project)

    def sweep(bars, keys):
        made = Sweep.objects.create(project=project, key=str(Sweep.objects.count()), about={"bars": bars})
        made.runs.add(run)
        for number, key in enumerate(keys):
            Trial.objects.create(sweep=made, run=run, key=str(key), number=number)

    def line(**values):
        found = claims_box.lines(make_backtest(run=run, position=Backtest.objects.count(), **values))
        return next(line for line in found if line["key"] == "trials")

    for at in (1, 2):
        sweep({"window": [at]}, range(98))
    sweep("b" * 64, [*range(98), "beyond"])  # what was tried on all bars before, with one that no window has
    joined = {"overfitting": {"state": "green", "sentence": "Out of sample.", "windows": 2}}
    all_of_them = line()
    assert all_of_them["text"].startswith(
        "100 different trials (99 combinations of sweeps, 1 backtest of another run) along the project's lineage. "
    )
    out = line(checks=joined, drift=0.0011)
    assert out["text"].startswith(
        "2 different trials (1 combination of a sweep, 1 backtest of another run) along the project's lineage, besides "
        "the 98 combinations that"
    )
    assert "% if those counted, too." in out["text"]
    states = {
        drift: (line(drift=drift)["state"], line(checks=joined, drift=drift)["state"]) for drift in (4e-4, 9e-4, 0.004)
    }
    assert states == {4e-4: ("red", "amber"), 9e-4: ("amber", "amber"), 0.004: ("green", "green")}


def test_a_backtest_that_nothing_was_found_out_about_is_doubted_and_not_praised():
    assert state_of(make_backtest(checks={}), "lookahead") == state_of(make_backtest(checks={}), "amnesia") == "amber"


def test_of_what_was_not_tested_it_is_said_that_a_check_is_still_to_come():
    def said(visibility, **checks):
        untested = checking.findings({"lookahead": {"state": "untested", "why": "many runs"}, "amnesia": {}})
        backtest = make_backtest(make_project(visibility=visibility), checks=untested | checks)
        backtest.run.snapshot = "a" * 64
        return claims_box.lines(backtest)[0]["text"]

    begun = "Look-ahead could not be tested: many runs."
    assert said(Project.Visibility.PUBLIC).startswith(f"{begun} Still to come: the site makes the run again")
    assert said(Project.Visibility.PRIVATE).startswith(f"{begun} Once the project is unlisted or public, the site")
    assert said(Project.Visibility.PUBLIC, companion={"state": "amber", "sentence": "No."}) == begun


def test_findings_are_read_as_words_and_never_as_a_colour():
    message = {"lookahead": {"state": "green", "why": "trust me"}, "amnesia": {"state": "remembers", "what": "dates"}}
    found = checking.findings(message)
    assert (found["lookahead"]["state"], found["amnesia"]["state"]) == ("amber", "red")
    assert checking.findings({"lookahead": {"state": "leak"}, "amnesia": {}})["lookahead"]["state"] == "red"


def test_errors_that_may_quote_private_data_are_not_quoted():
    message = {"lookahead": {"state": "untested", "why": "on other data it fails: ValueError: close was 31.4"}}
    assert "31.4" in checking.findings(message)["lookahead"]["sentence"]
    kept = checking.findings(message, quoting=False)["lookahead"]
    assert "31.4" not in str(kept) and kept["state"] == "amber"
    leak = {"lookahead": {"state": "leak", "bar": 3, "expression": "x = 31.4", "date": "2009-01-07"}}
    assert "31.4" not in str(checking.findings(leak, quoting=False))


def test_the_reason_that_is_not_kept_is_told_in_words_that_are_true_for_everybody():
    message = {"lookahead": {"state": "untested", "why": "close was 31.4"}}
    said = checking.findings(message, quoting=False)["lookahead"]["sentence"]
    assert "this run could read data that one person alone may see" in said and "its owner" not in said
    for why in words.QUOTES_NOTHING:
        told = checking.findings({"lookahead": {"state": "untested", "why": why}}, quoting=False)
        assert told["lookahead"]["sentence"] == f"Look-ahead could not be tested: {why}."
    # Each is one that the tests give.
    said_there = "".join(file.read_text() for file in Path(words.__file__).parent.glob("[!w]*.py"))
    assert all(f'"{why}"' in said_there for why in words.QUOTES_NOTHING)


def test_whoever_reads_that_time_ran_out_is_told_what_to_do():
    why = apart.why_failed(apart.TOOK_TOO_LONG)
    message = {"lookahead": {"state": "partly", "cuts": 2, "why": why}, "amnesia": {"state": "untested", "why": why}}
    found = checking.findings(message, quoting=False)
    again = "time ran out, as when the site is busy. Run it again for the whole test."
    assert found["lookahead"]["sentence"] == f"No look-ahead found in the strategy (2 cuts); {again}"
    assert found["amnesia"]["sentence"] == f"Memory of history could not be tested: {again}"


def test_what_the_site_has_not_made_again_is_the_word_of_the_sandbox_and_no_praise(monkeypatch):
    """Also to its author: a report is a file that is handed on."""
    entry = {"last": "2010-12-31", "rights": "redistribute"}
    monkeypatch.setattr(claims_box, "_known", lambda snapshot: {"b" * 64: entry})
    monkeypatch.setattr(claims_box, "personal_series", lambda snapshot: ())
    clean = checking.findings({"lookahead": {"state": "clean"}, "amnesia": {"state": "clean"}})
    clean["band"] = {"state": "green", "sentence": "Total return over other fills and costs."}

    def said(visibility="private", wall_seconds=0.1, checks=clean):
        backtest = make_backtest(
            make_project(visibility=visibility),
            drift=0.01,
            checks=checks,
            snapshot="a" * 64,
            instruments=[{"series": "us/1d/IBM", "object": "b" * 64}],
        )
        backtest.run.snapshot, backtest.run.wall_seconds = "a" * 64, wall_seconds
        found = claims_box.lines(backtest)
        return claims_box.summary(found), {line["key"]: (line["state"], line["text"]) for line in found}

    theirs, later = "The program's own sandbox says: ", "on changed data; it does once the project is shared."
    together, lines = said()
    assert together == {"state": "grey", "text": "No doubts found by its own sandbox"}
    for key in ("lookahead", "amnesia"):
        assert lines[key][0] == "grey" and lines[key][1].startswith(theirs)
    assert lines["lookahead"][1].endswith(later), "once is enough"
    assert lines["verified"][0] == "grey" and lines["verified"][1].endswith(
        "It has not made the run again on changed data."
    )
    _, lines = said(wall_seconds=500.0)
    assert lines["lookahead"][0] == lines["verified"][0] == "grey" and "once the project" not in lines["lookahead"][1]
    assert lines["lookahead"][1].endswith("on changed data: runs of more than 120 seconds are not made again.")
    for visibility in ("unlisted", "public"):
        together, lines = said(visibility)
        assert together["state"] == "amber" and lines["amnesia"][0] == lines["verified"][0] == "grey"
        assert lines["amnesia"][1].startswith(theirs) and "once the project" not in lines["amnesia"][1]
    seen = clean | {"lookahead": clean["lookahead"] | {"evidence": "site"}}
    seen["companion"] = {"state": "green", "sentence": "Made again."}
    for visibility in Project.Visibility:
        together, lines = said(visibility, checks=seen)
        assert together == {"state": "green", "text": "No doubts found"}, "it stays so for one that is withdrawn"
        assert lines["lookahead"][0] == lines["verified"][0] == "green" and lines["amnesia"][0] == "grey"


def test_a_table_in_the_text_of_the_program_is_said_whatever_its_box_says():
    def said(told, written):
        found = checking.findings({"amnesia": told}, written=written)["amnesia"]
        return found["state"], found["evidence"]

    assert said({"state": "clean"}, LONG - 1) == ("green", "box")
    assert said({"state": "clean"}, LONG) == ("amber", "site")
    assert said({"state": "remembers", "what": "dates"}, LONG) == ("red", "box")


def test_unverified_bars_from_the_code_are_a_problem():
    backtest = make_backtest(verified=False, verified_text="Not verified. The bars came from the code.", snapshot="")
    assert state_of(backtest, "verified") == state_of(backtest, "data") == "red"
    # Where the site has followed it over a sample that everybody has, nothing is forged, and it is no more verified.
    backtest.conventions = backtest.conventions | {"sample": "GOOG"}
    lines = {line["key"]: line for line in claims_box.lines(backtest)}
    assert (lines["verified"]["state"], lines["data"]["state"]) == ("amber", "grey")
    assert lines["verified"]["text"].startswith("Not verified.") and not backtest.standing.verified
    assert not private._is_verified({"type": "checks", "lines": list(lines.values())}), "for others it is its word"


def test_what_only_a_library_can_say_is_a_doubt_and_so_is_a_fill_at_an_open_already_past():
    known = {"id": "backtrader/next-open", "library": "backtrader", "version": 1, "fill": "next-open"}
    known |= {"commission": 0.001, "per_unit": 0.0, "slippage": 0.0}
    clean = checking.findings({"lookahead": {"state": "clean"}, "amnesia": {}})

    def lines(**changed):
        found = claims_box.lines(make_backtest(conventions=known | changed, checks=clean))
        return {line["key"]: (line["state"], line["text"]) for line in found}

    assert (lines()["verified"][0], lines()["lookahead"][0]) == ("grey", "grey")
    state, text = lines(slippage=None)["verified"]
    assert state == "amber" and "Where in their bars its orders filled is the word of the library." in text
    state, text = lines(commission=None)["verified"]
    assert state == "amber" and "What the account could pay for is the word of the library." in text
    state, text = lines(fill="same-open")["lookahead"]
    assert state == "amber" and "cheat-on-open" in text


def test_a_file_of_the_authors_that_was_read_is_said_and_doubts_the_look_ahead_test(monkeypatch):
    clean = {"state": "green", "sentence": "No look-ahead found.", "evidence": "site", "found": {"state": "clean"}}
    traded = {"object": "b" * 64, "series": "us/1d/IBM"}
    backtest = make_backtest(checks={"lookahead": clean}, snapshot="a" * 64, instruments=[traded])
    monkeypatch.setattr(claims_box, "_known", lambda snapshot: {"b" * 64: {"last": "2010-12-31"}})

    def said(*read):
        backtest.run.manifest = {"data": {"private": list(read)}}
        lines = {line["key"]: line for line in claims_box.lines(backtest)}
        return lines["data"], lines["lookahead"]

    data, lookahead = said()
    assert (data["state"], lookahead["state"]) == ("green", "green") and "Everybody may use it" in data["text"]
    data, lookahead = said("mine/mood@1")
    assert (data["state"], lookahead["state"]) == ("amber", "amber") and "Everybody" not in data["text"]
    assert "mine/mood@1, for its author alone" in data["text"] and "mine/mood@1, a file" in lookahead["text"]
    data, lookahead = said("tiingo/1d/VEND")
    assert (data["state"], lookahead["state"]) == ("amber", "green"), "what a vendor says is no file of the author's"
    # What its author says may be shared is a file of the author's all the same, and so is what others have shared.
    for name, whose in (("mine/mood@1", "its author"), ("bob/mood@1", "somebody")):
        backtest.run.manifest = {"data": {"private": [], "brought": [name]}}
        lines = {line["key"]: line for line in claims_box.lines(backtest)}
        assert (lines["data"]["state"], lines["lookahead"]["state"]) == ("green", "amber")
        assert f"{name}, a file that {whose} brought along" in lines["lookahead"]["text"]
    backtest.run.manifest = {"data": {"private": [], "brought": ["mine/mood@1", "bob/mood@1"]}}
    assert "bob/mood@1, files that somebody brought along" in claims_box.lines(backtest)[0]["text"]
    backtest.run.manifest = {"data": {"private": [], "brought": ["us/1d/IBM"]}}
    assert claims_box.lines(backtest)[0]["state"] == "green", "what is traded is changed for the test"
    monkeypatch.setattr(claims_box, "_known", lambda snapshot: {"b" * 64: {"last": "2010-12-31", "rights": "own"}})
    line = {line["key"]: line for line in claims_box.lines(backtest)}["data"]
    assert line["state"] == "amber" and "a file that somebody brought along" in line["text"]
    monkeypatch.setattr(claims_box, "_known", lambda snapshot: {"b" * 64: {"rights": "personal"}})
    line = {line["key"]: line for line in claims_box.lines(backtest)}["data"]
    assert line["state"] == "amber" and "others cannot repeat it" in line["text"]
    monkeypatch.setattr(claims_box, "_known", lambda snapshot: {"c" * 64: {}})
    line = {line["key"]: line for line in claims_box.lines(backtest)}["data"]
    assert line["state"] == "red" and "not part of its data snapshot" in line["text"]
    backtest.run.manifest, backtest.run.snapshot = {}, "a" * 64
    monkeypatch.setattr(claims_box, "_known", lambda snapshot: {"b" * 64: {"last": "2010-12-31"}})
    monkeypatch.setattr(claims_box, "personal_series", lambda snapshot: ("mine/mood@1",))
    monkeypatch.setattr(claims_box, "brought_series", lambda snapshot: ("mine/mood@1",))
    assert {line["key"]: line for line in claims_box.lines(backtest)}["data"]["state"] == "amber", "it may have read it"


def test_a_manifest_names_what_it_was_forked_from_only_where_everybody_may_see_that():
    # The token of a guest's project is its address.
    origin = make_project()
    fork = make_project(forked_from=origin.make_revision(origin.draft, author=None))
    for visibility in Project.Visibility:
        origin.visibility = visibility
        named = lineage_of(fork, trials.Trials(1))["forked_from"]
        assert named.endswith(" r1") and (origin.token in named) == (visibility == "public")


def test_the_box_is_drawn_with_all_lines_and_text_of_others_is_no_markup():
    finding = {"state": "red", "sentence": "Look-ahead: <script>alert(1)</script>"}
    backtest = make_backtest(checks={"lookahead": finding})
    html = engines["django"].from_string("{% load claims %}{% claims_box backtest %}").render({"backtest": backtest})
    assert html.count("claims__line ") == 9 and "claims--red" in html
    assert "<script>" not in html and "&lt;script&gt;" in html


def test_a_run_that_knows_the_future_says_so_beside_verified_and_chances_are_not_praised():
    leak = {"lookahead": {"state": "red", "sentence": "Look-ahead: the order of 2012-03-05 changed."}}
    leaking = make_backtest(drift=0.01, checks=leak)
    honest = make_backtest(drift=0.01, checks={"lookahead": {"state": "green", "sentence": "Fine."}}, snapshot="0" * 64)
    assert state_of(leaking, "trials") == state_of(leaking, "sample") == "amber"
    assert state_of(honest, "trials") == state_of(honest, "sample") == "green"
    drawn = engines["django"].from_string(
        '{% load claims %}{% include "includes/backtest_badges.html" %}{% claims_box backtest %}'
    )
    said = drawn.render({"backtest": leaking})
    assert "badge--verified" not in said and "2012-03-05" in said and " open>" in said
    assert said.index("badge--problem") < said.index(">Verified<")
    quiet = drawn.render({"backtest": honest})
    assert "badge--verified" in quiet and "badge--problem" not in quiet and " open>" not in quiet


def test_costs_that_are_an_income_are_a_problem():
    checks = {"band": {"state": "green", "sentence": "Total return over other fills and costs.", "cells": []}}
    paid = [{"bar": 5, "size": 1.0, "price": 10.0, "commission": -50.0}]
    for fills, state, said in ((paid, "red", "50 were paid to the trader"), ([], "green", "over other fills")):
        found = claims_box.lines(make_backtest(checks=checks, fills=fills))
        line = next(line for line in found if line["key"] == "conventions")
        assert line["state"] == state and said in line["text"]

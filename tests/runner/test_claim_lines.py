"""Single lines of what a backtest can claim, each by what is known of it and by how long and often it was tried."""

from __future__ import annotations

import math

import numpy as np
import pytest
from qfp import metrics

from runner import claims_box, trials
from runner.honesty import checking
from tests.runner.test_claims_box import make_backtest

pytestmark = pytest.mark.django_db


def test_what_was_seen_of_one_thing_is_a_doubt_beside_what_praises_it_and_takes_no_problem_away():
    def line(key, **checks):
        return next(line for line in claims_box.lines(make_backtest(checks=checks)) if line["key"] == key)

    def seen(state, sentence="Seen by the site."):
        return {"state": state, "sentence": sentence}

    clean = checking.findings({"lookahead": {"state": "clean"}, "amnesia": {"state": "clean"}})
    knows = checking.findings({"lookahead": {"state": "clean"}, "amnesia": {"state": "remembers", "what": "dates"}})
    for key in ("dates", "numbers"):
        found = line("amnesia", **clean, **{key: seen("amber")})
        assert (found["state"], found["text"]) == ("amber", "Seen by the site.")
        found = line("amnesia", **knows, **{key: seen("amber")})
        assert found["state"] == "red" and "Seen by the site." not in found["text"]
        found = line("amnesia", **clean, **{key: seen("grey")})
        assert found["state"] == "grey" and found["text"].endswith(" Seen by the site.")
    stayed = {"lookahead": {}, "amnesia": {"state": "untested", "why": "with other dates it fails", "but_dates": True}}
    looked_up = {"lookahead": {}, "amnesia": {"state": "untested", "why": "it looks up other data, which stay"}}
    by_number = {
        "amnesia": {"state": "untested", "why": "its orders are looked up in a table by the number of the bar"}
    }
    for told, written, same, state in (
        (stayed, 0, True, "grey"),
        (looked_up, 0, True, "amber"),
        (stayed, 0, False, "amber"),
        (stayed, 20, True, "amber"),
        (by_number, 0, True, "amber"),
    ):
        found = line("amnesia", **checking.findings(told, written=written), dates=seen("grey") | {"same": same})
        assert found["state"] == state and found["text"].endswith(" Seen by the site."), found
        assert told["amnesia"]["why"] in found["text"]
    assert line("amnesia", **knows, numbers=seen("grey"))["text"].endswith(" Seen by the site.")
    by_site = {"lookahead": clean["lookahead"] | {"evidence": "site"}}
    for state, said in (("amber", " But: Seen by the site."), ("grey", " Seen by the site.")):
        found = line("lookahead", **by_site, splits=seen(state))
        assert found["state"] == ("amber" if state == "amber" else "green") and found["text"].endswith(said)
        assert ("But" in found["text"]) == (state == "amber")
    chosen = checking.findings({"lookahead": {"state": "chosen"}, "amnesia": {}})
    assert (line("pbo", **chosen)["state"], line("pbo", **clean)["state"]) == ("amber", "green")
    found = line("pbo", **chosen, overfitting=seen("red"))
    assert (found["state"], found["text"]) == ("red", "Seen by the site.")


def test_a_sample_is_as_long_as_it_has_to_be_from_its_last_needed_return_on():
    equity = make_backtest().equity
    needed = math.ceil(metrics.minimum_track_record(metrics.returns_of(np.array(equity))))
    line = next(line for line in claims_box.lines(make_backtest(drift=0.0003)) if line["key"] == "sample")
    assert line["state"] == "amber" and line["text"].startswith("1\u202f000 returns, but ")
    line = next(line for line in claims_box.lines(make_backtest()) if line["key"] == "sample")
    assert line["state"] == "green" and f"; {needed:,} are enough".replace(",", "\u202f") in line["text"]


def test_of_trials_it_is_said_what_kinds_they_are():
    kinds = trials.Trials(10, others=2, in_sweeps=4, of_searches=1, deleted=3)
    assert claims_box._lineage(kinds, 0) == (
        "10 different trials (4 combinations of sweeps, 1 result of a sweep or walk-forward, 2 backtests of other "
        "runs, 3 in deleted projects), with 2 of other programs of its author that trade nearly the same, along the "
        "project's lineage."
    )
    assert claims_box._lineage(trials.Trials(3), 0) == "3 different trials along the project's lineage."
    assert claims_box._lineage(trials.Trials(2, in_sweeps=1), 1).startswith(
        "1 trial along the project's lineage, besides the one combination that its windows chose from:"
    )


def test_what_a_box_tells_counts_something_and_turns_no_sentence_round():
    lookahead = {"state": "clean", "cuts": 4, "tails": -3, "programs": 10**30}
    amnesia = {"state": "untested", "why": "it said \u202eodd\u2069\n\u200bthings\x00", "line": -1}
    found = checking.findings({"lookahead": lookahead, "amnesia": amnesia})
    assert found["lookahead"]["found"] == {"state": "clean", "cuts": 4}
    assert found["lookahead"]["sentence"] == "No look-ahead found: 4 cuts left every earlier decision as it was."
    assert found["amnesia"]["found"] == {"state": "untested", "why": "it said odd things"}
    assert found["amnesia"]["sentence"] == "Memory of history could not be tested: it said odd things."
    forged = checking.findings({"lookahead": {"state": "clean", "tails": -3}, "amnesia": {}})["lookahead"]
    assert forged["sentence"] == "No look-ahead found: what was tried left every earlier decision as it was."

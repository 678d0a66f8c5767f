"""Is a finding told in full once its run is known to have read nothing of one person alone?"""

from __future__ import annotations

import pytest

from runner.data_questions import DataQuestions
from runner.events import Publisher
from runner.intake import Intake
from runner.recording import Recording
from tests.factories import make_run
from tests.runner.reported import STORE, claim_of, stored

WHY = "on other data it fails: KeyError: 'IBM'"


@pytest.mark.django_db
def test_a_reason_is_withheld_while_the_run_may_read_private_data_and_told_once_it_has_not(settings):
    settings.STORE_DIR = STORE
    run = make_run()
    backtest = stored(run, claim_of("IBM", 40, 20, bars=300))
    run.snapshot = "0" * 64  # of one that is gone nobody knows what is in it
    intake = Intake(run, Publisher(run.pk), DataQuestions(run))
    intake.claimed[0] = backtest
    intake.take({"type": "checks", "backtest": 0, "lookahead": {}, "amnesia": {"state": "untested", "why": WHY}})
    backtest.refresh_from_db()
    assert "the reason is not kept" in backtest.checks["amnesia"]["sentence"] and WHY not in str(backtest.checks)
    intake.quote_findings([])
    intake.publisher.close()
    backtest.refresh_from_db()
    assert WHY in backtest.checks["amnesia"]["sentence"]
    first, last = (str(event["lines"]) for event in Recording(run.pk).read() if event["type"] == "checks")
    assert "KeyError" not in first and "KeyError" in last and "Everybody may use it" in last

"""A run ends, counts and gives its place back, whatever its box sent."""

from __future__ import annotations

import pytest
from rq.timeouts import JobTimeoutException

from playground.mail import ConsoleAndFilesBackend
from runner import trials
from runner.execution import UNSTORABLE, Execution
from runner.models import Run
from runner.recording import Recording
from tests.factories import make_run
from tests.runner.reported import STORE, claim_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("services")]


LEAK = {"lookahead": {"state": "leak", "bar": 5, "date": "2020-01-02"}, "amnesia": {"state": "clean"}}


@pytest.fixture
def execution(settings):
    settings.STORE_DIR = STORE
    return Execution(make_run(status=Run.Status.RUNNING))


@pytest.mark.parametrize("sent", ["\x00", "\ud800"])
def test_a_run_whose_end_cannot_be_stored_ends_as_its_own_fault(execution, sent):
    execution._finish({"outcome": "succeeded", "exit": {"code": sent}, "cpu_seconds": 1.5})
    run = Run.objects.get(pk=execution.run.pk)
    assert (run.status, run.message, run.cpu_seconds) == (Run.Status.FAILED, UNSTORABLE, 1.5)
    assert Run.objects.counted_today().filter(pk=run.pk).exists()
    assert Recording(run.pk).read()[-1]["message"] == UNSTORABLE


def test_a_message_that_breaks_its_reader_is_left_out_and_the_run_goes_on(execution):
    execution._handle(None, {"type": "artefact", "name": "x", "content_base64": "a", "t": 0.0})
    execution._handle(None, {"type": "stdout", "text": "still here", "t": 0.0})
    assert [event["type"] for event in Recording(execution.run.pk).read()] == ["notice", "stdout"]


def test_what_runs_and_mails_leave_is_closed_to_other_accounts_of_the_machine(settings, tmp_path):
    settings.RUNS_DIR, settings.EMAIL_FILE_PATH = tmp_path / "runs", tmp_path / "mail"
    Recording("0" * 32).append([{}])
    ConsoleAndFilesBackend()
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("runs", "mail")] == [0o700, 0o700]


def test_findings_and_reports_go_to_the_backtest_they_name_when_another_was_lost_or_refused(execution):
    """Of the numbers 0 to 2 the first never came, as its message was too large, and the second is no claim."""
    execution._handle(None, {"type": "backtest", "claim": {}, "number": 1})
    execution._handle(None, {"type": "backtest", "claim": claim_of("IBM", 40, 20, bars=300), "number": 2})
    for number in range(3):
        execution._handle(
            None, {"type": "report", "backtest": number, "form": "pdf", "title": str(number), "notes": ""}
        )
    (backtest,) = execution.run.backtests.all()
    assert [report.title for report in backtest.reports.all()] == ["2"]
    execution._handle(None, {"type": "checks", "backtest": 0, **LEAK})
    backtest.refresh_from_db()
    assert backtest.checks == {}
    execution._handle(None, {"type": "checks", "backtest": 2, **LEAK})
    backtest.refresh_from_db()
    assert backtest.checks["lookahead"]["state"] == "red"


@pytest.mark.parametrize("error", [OverflowError, MemoryError, AttributeError])
def test_a_claim_that_breaks_what_is_made_of_it_is_left_out_and_the_run_goes_on(execution, monkeypatch, error):
    def breaks(*_):
        raise error

    monkeypatch.setattr(trials, "of_backtest", breaks)
    execution._handle(None, {"type": "backtest", "claim": claim_of("IBM", 40, 20, bars=300), "number": 0})
    assert not execution.run.backtests.exists()
    assert [event["type"] for event in Recording(execution.run.pk).read()] == ["notice"]


def test_the_time_limit_on_our_side_ends_a_run_in_the_middle_of_a_message(execution, monkeypatch):
    def breaks(*_):
        raise JobTimeoutException

    monkeypatch.setattr(trials, "of_backtest", breaks)
    with pytest.raises(JobTimeoutException):
        execution._handle(None, {"type": "backtest", "claim": claim_of("IBM", 40, 20, bars=300), "number": 0})


def test_a_run_whose_manifest_cannot_be_made_ends_and_still_says_what_was_private(execution, monkeypatch):
    def breaks(*_):
        raise KeyError("count")

    monkeypatch.setattr(trials, "of_project", breaks)
    execution._finish({"outcome": "succeeded"})
    run = Run.objects.get(pk=execution.run.pk)
    assert run.status == Run.Status.SUCCEEDED
    assert run.manifest["data"] == {"snapshot": None, "private": [], "brought": [], "series": []}


@pytest.mark.parametrize("nested", ["-" * 100_000 + "1", "1" + "+1" * 100_000], ids=["MemoryError", "RecursionError"])
def test_code_nested_too_deeply_for_the_parser_has_a_fingerprint(nested):
    one, other = (trials.Code({"main.py": text}) for text in (nested, f"{nested}\n# a\n"))
    assert one.fingerprint({}) == other.fingerprint({})

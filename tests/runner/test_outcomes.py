"""Every outcome, observed in a real box, with the sentence that names the limit and its figure."""

from __future__ import annotations

from html import unescape

import pytest
from django.template import Context, Template

from runner.execution import execute_next
from runner.likeness import alike
from runner.models import Run
from runner.outcomes import in_short
from runner.recording import Recording
from tests.factories import make_project, make_run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run_source(engine):
    """Run a source by the worker's own path, in a real box, and return the finished Run."""

    def run_it(source: str, params: dict | None = None, **limits: float) -> Run:
        run = make_run(make_project(source=source), limits=limits, params=params or {})
        execute_next()
        run.refresh_from_db()
        return run

    return run_it


def events_of(run: Run, kind: str) -> list[dict]:
    return [event for event in Recording(run.pk).read() if event["type"] == kind]


def text_of(run: Run, kind: str = "stdout") -> str:
    return "".join(event["text"] for event in events_of(run, kind))


def test_output_is_stored_and_the_end_is_the_last_event(run_source):
    run = run_source("import sys\nprint('to out')\nprint('to err', file=sys.stderr)")
    assert run.status == Run.Status.SUCCEEDED
    assert text_of(run) == "to out\n"
    assert text_of(run, "stderr") == "to err\n"
    events = Recording(run.pk).read()
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "finished" and events[-1]["status"] == "succeeded"
    assert run.cpu_seconds > 0 and run.peak_memory_bytes > 1_000_000 and run.first_output is not None
    assert run.revision.sha256 in alike._programs  # no page has to read what it is alike to


def test_exception_names_the_error_and_its_line(run_source):
    run = run_source("x = 1\n\n1 / 0\n")
    assert run.status == Run.Status.FAILED
    assert run.message == "ZeroDivisionError: division by zero (main.py, line 3)."
    assert "ZeroDivisionError" in text_of(run, "stderr")
    # What the console says below the error, the page and the lists of runs say, too.
    run = run_source("import pandas as pd\nbars = pd.DataFrame({'close': [1.0]})\nbars['Close']\n")
    hint = 'There is no "Close" among close: write ["close"].'
    assert hint in text_of(run, "stderr") and run.message.startswith(f"KeyError: 'Close' (main.py, line 3). {hint}")


def test_exit_code_is_a_failure_and_137_is_not_mistaken_for_memory(run_source):
    run = run_source("import os\nos._exit(137)")
    assert (run.status, run.message) == (Run.Status.FAILED, "The program ended with exit code 137.")


def test_endless_loop_is_stopped_at_the_cpu_limit(run_source):
    run = run_source("while True: pass", cpu_seconds=2, wall_seconds=20)
    assert run.status == Run.Status.TIMED_OUT
    assert "Time limit of 2 s of processor time reached" in run.message
    assert 2 <= run.cpu_seconds < 2 + 2


def test_sleeping_is_stopped_at_the_deadline(run_source):
    run = run_source("import time\nprint('kept', flush=True)\ntime.sleep(60)", wall_seconds=2)
    assert run.status == Run.Status.TIMED_OUT
    assert "Time limit of 2 s reached" in run.message
    assert 2 <= run.wall_seconds < 60, "not the program's own end"
    assert text_of(run) == "kept\n"


def test_too_much_memory_is_named(run_source):
    run = run_source("held = []\nwhile True: held.append(bytearray(10_000_000))", memory_bytes=300_000_000)
    assert run.status == Run.Status.OUT_OF_MEMORY
    assert "Memory limit of 300\u2009MB reached" in run.message.replace(" MB", "\u2009MB")


def test_a_flood_of_output_is_cut(run_source):
    run = run_source("while True: print('x' * 1000)", output_bytes=200_000)
    assert run.status == Run.Status.OUTPUT_EXCEEDED
    assert "Output limit of 200 KB reached" in run.message
    assert len(text_of(run)) <= 200_000


def test_a_full_disk_is_named(run_source):
    run = run_source("open('big', 'wb').write(b'x' * 50_000_000)", disk_bytes=10_000_000)
    assert run.status == Run.Status.DISK_FULL
    assert "all of its disk space (limit 10 MB)" in run.message.replace("\u2009", " ")


def test_code_cannot_forge_its_ending(run_source):
    run = run_source(
        "import os, json\n"
        "channel = int(os.environ['QFP_CHANNEL_FD'])\n"
        "for kind in ('finished', 'ended', 'started', 'phase'):\n"
        "    message = {'type': kind, 'status': 'succeeded', 'outcome': 'succeeded'}\n"
        "    os.write(channel, json.dumps(message).encode() + b'\\n')\n"
        "raise SystemExit(3)\n"
    )
    assert run.status == Run.Status.FAILED
    assert len(events_of(run, "finished")) == 1 and not events_of(run, "ended")


def test_a_second_delivery_of_the_job_does_nothing(run_source):
    run = run_source("print('once')")
    before = Recording(run.pk).read()
    execute_next()
    assert Recording(run.pk).read() == before


def test_parameters_reach_the_code_and_are_recorded(run_source):
    run = run_source("from qfp import param\nprint(param('lookback', 60, 10, 200, step=10))", params={"lookback": 20})
    assert text_of(run).strip() == "20"
    assert run.declared_params[0]["name"] == "lookback"
    assert run.declared_params[0]["default"] == 60


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            "RuntimeError: The indicator 'x' failed: AttributeError: the bars have no column 'Clsoe'; they have Open, "
            "High, Low, Close, Volume. Did you mean Close? (main.py, line 7).",
            "Did you mean Close? AttributeError: the bars have no column 'Clsoe'; they have Open, High, Low, Close, "
            "Volume (main.py, line 7).",
        ),
        (
            'KeyError: \'Clsoe\' (main.py, line 3). There is no "Clsoe" among Close. Did you mean ["Close"]?',
            'Did you mean ["Close"]? KeyError: \'Clsoe\' (main.py, line 3). There is no "Clsoe" among Close',
        ),
        (
            "NameError: name 'Rising' is not defined. Did you mean: 'rising'?",
            "Did you mean: 'rising'? NameError: name 'Rising' is not defined",
        ),
        ("ValueError: 3 is not 4 (main.py, line 1).", "ValueError: 3 is not 4 (main.py, line 1)."),
    ],
)
def test_a_list_shows_first_what_was_meant_and_of_two_errors_the_cause(message, shown):
    assert in_short(message) == shown
    page = Template("{% load leading %}{{ message|in_short }}").render(Context({"message": message}))
    assert unescape(page) == shown


def test_files_left_behind_are_kept_and_links_are_not_followed(run_source):
    run = run_source(
        "import os\nopen('kept.csv', 'w').write('a,b\\n1,2\\n')\n"
        "os.symlink('/etc/passwd', 'link.txt')\nos.mkfifo('pipe')"
    )
    assert [artefact.name for artefact in run.artefacts.all()] == ["kept.csv"]
    artefact = run.artefacts.get()
    assert Recording(run.pk).artefact_path(artefact.sha256).read_text() == "a,b\n1,2\n"


def test_nul_and_lone_surrogates_in_what_a_run_sends_do_not_harm_the_record(run_source):
    run = run_source("raise ValueError('a\\x00b\\ud800c')")
    assert run.status == Run.Status.FAILED
    assert "ValueError" in run.message


def test_a_lost_engine_ends_the_run_as_ours_to_answer_for(settings, tmp_path, monkeypatch):
    settings.ENGINE_SOCKET = tmp_path / "nobody.sock"
    monkeypatch.setattr("runner.engines.PATIENCE_SECONDS", 0.1)
    run = make_run()
    execute_next()
    run.refresh_from_db()
    assert run.status == Run.Status.CRASHED
    assert "does not count" in run.message

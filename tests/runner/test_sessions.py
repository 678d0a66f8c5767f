"""Does a project's live session keep its promises through real workers, whoever dies in between?"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from playground import processes
from runner import cells, hosts, leftovers, sessions
from runner.events import MOST_LINES, lines_key, redis_connection, send_line
from runner.hosts import Unanswered
from runner.models import Run, Session
from runner.recording import Recording
from tests.conftest import _end, _launch
from tests.factories import make_project, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("engine", "worker")]

JSON = {"HTTP_ACCEPT": "application/json"}
FILE = "# %% First\nx = 41\nprint('one')\n\n# %% Second\nprint(x + 1)\n\n# %% Third\nprint('three')\n"


@pytest.fixture(autouse=True)
def _no_session_outlives_its_test(engine):
    yield
    for each in engine.sessions():
        engine.close_session(each["id"], each["owner"])


class Author:
    """A signed-in person at the session of a project of theirs."""

    def __init__(self, source: str = FILE) -> None:
        self.user = make_user()
        self.project = make_project(self.user, source=source)
        self.client = Client()
        self.client.force_login(self.user, backend="accounts.backends.AccountBackend")
        self.url = f"{self.project.base_url}/session"

    def run(self, what: str = "all", line: int = 1, source: str | None = None, expect: int = 200) -> list[Run]:
        fields = {"what": what, "line": line} | ({} if source is None else {"source": source})
        answer = self.client.post(f"{self.url}/cells", fields, **JSON)
        assert answer.status_code == expect, answer.content
        return [Run.objects.get(pk=each["run"]) for each in answer.json()["cells"]]

    def ran(self, *arguments: Any, **options: Any) -> list[Run]:
        return [finished(run) for run in self.run(*arguments, **options)]

    def state(self) -> dict[str, Any]:
        return self.client.get(self.url, **JSON).json()["session"]

    def act(self, action: str) -> Any:
        return self.client.post(f"{self.url}/{action}", **JSON)

    @property
    def session(self) -> Session:
        return sessions.current(self.project)


def finished(run: Run, seconds: float = 40) -> Run:
    until(lambda: Run.objects.get(pk=run.pk).is_finished, seconds)
    return Run.objects.get(pk=run.pk)


def until(question: Callable[[], Any], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline, "still not so"
        time.sleep(0.05)


def printed(run: Run) -> str:
    return "".join(event["text"] for event in Recording(run.pk).read() if event["type"] == "stdout")


def test_all_cells_run_in_order_in_one_interpreter():
    author = Author()
    runs = author.ran()
    assert [run.status for run in runs] == ["succeeded"] * 3
    assert [printed(run) for run in runs] == ["one\n", "42\n", "three\n"]
    assert [(run.cell_index, run.cell_title, run.cell_line) for run in runs] == [
        (0, "First", 2),
        (1, "Second", 6),
        (2, "Third", 9),
    ]
    assert [printed(run) for run in author.ran("cell", 6, source=FILE.replace("x + 1", "x + 2"))] == ["43\n"]
    state = author.state()
    assert state["number"] == 1 and state["state"] == "idle" and 0 < state["idle_left"] <= 30 * 60
    assert author.session.host == hosts.settings.SANDBOX_HOST


def test_above_runs_the_cells_above_and_no_other():
    author = Author()
    runs = author.ran("above", 9)
    assert [run.cell_index for run in runs] == [0, 1]
    assert (
        "no code above"
        in author.client.post(f"{author.url}/cells", {"what": "above", "line": 1}, **JSON).json()["message"]
    )


def test_cells_after_a_failed_one_are_not_run():
    author = Author("# %%\nprint(1)\n# %% Broken\n1 / 0\n# %%\nprint(3)\n")
    first, second, third = author.ran()
    assert (first.status, second.status, third.status) == ("succeeded", "failed", "cancelled")
    assert "(main.py, line 4)" in second.message and "“Broken”" in third.message
    assert author.session.is_alive


def test_interrupting_keeps_the_variables_and_drops_what_waits():
    author = Author("# %%\nx = 5\n# %%\nprint('on', flush=True)\nwhile True: pass\n# %%\nprint(x)\n")
    first, second, third = author.run()
    finished(first)
    until(lambda: "on" in printed(second))
    assert author.state()["state"] == "busy"
    assert author.act("interrupt").status_code == 200
    assert finished(second).status == "cancelled" and finished(third).status == "cancelled"
    assert [printed(run) for run in author.ran("cell", 6)] == ["5\n"]


def test_variables_and_data_are_looked_at_and_sorted():
    author = Author("import pandas as pd\nframe = pd.DataFrame({'n': [20, 10, 30]})\nname = '<b>bold</b>'\n")
    author.ran()
    listed = author.client.get(f"{author.url}/_variables", HTTP_HX_REQUEST="true").content.decode()
    assert "frame" in listed and "3 × 1" in listed and "&lt;b&gt;bold" in listed and "<html" not in listed
    page = author.client.get(
        f"{author.url}/_data", {"name": "frame", "sort": "0", "descending": "1"}, HTTP_HX_REQUEST="true"
    )
    text = page.content.decode()
    assert text.index(">30<") < text.index(">20<") < text.index(">10<") and 'aria-sort="descending"' in text
    assert "rows 1 to 3 of 3" in text
    assert author.client.get(f"{author.url}/_data", {"name": "gone"}, HTTP_HX_REQUEST="true").status_code == 409
    whole = author.client.get(f"{author.url}/_variables").content.decode()
    assert "<html" in whole and "frame" in whole  # without scripts it is a page


def test_a_page_of_a_million_rows_is_small():
    author = Author(
        "import numpy as np, pandas as pd\n"
        "frame = pd.DataFrame(np.random.default_rng(7).normal(size=(1_000_000, 10)), columns=list('abcdefghij'))\n"
    )
    author.ran()
    for query in ({}, {"sort": "3", "descending": "1"}, {"sort": "3", "descending": "1", "first": "500000"}):
        page = author.client.get(f"{author.url}/_data", {"name": "frame", **query}, HTTP_HX_REQUEST="true")
        assert page.status_code == 200 and len(page.content) <= 200_000
    assert "rows 500\u202f001 to 500\u202f100 of 1\u202f000\u202f000" in page.content.decode()


def test_questions_reach_another_host_through_its_queue(settings):
    author = Author("x = 1\n")
    author.ran()
    settings.SANDBOX_HOST = "a-web-server-elsewhere"
    answer = sessions.ask(author.session, "ask", what="variables", question={})
    assert answer["variables"][0]["name"] == "x" and answer["idle_left"] > 0
    assert author.state()["state"] == "idle"
    (again,) = author.ran()
    assert again.status == "succeeded" and author.session.number == 1


def test_a_busy_and_a_lost_host_give_clear_answers(settings, monkeypatch):
    author = Author("import time\nx = 1\n# %%\ntime.sleep(6)\n")
    author.ran("cell", 1)
    settings.SANDBOX_HOST = "elsewhere"
    monkeypatch.setattr(hosts, "ANSWER_SECONDS", 1.0)
    (busy,) = author.run("cell", 4)
    until(lambda: Run.objects.get(pk=busy.pk).status == "running")
    with pytest.raises(Unanswered, match="busy"):  # the only worker is
        sessions.ask(author.session, "ask", what="variables", question={})
    finished(busy)
    Session.objects.filter(pk=author.session.pk).update(host="a-machine-that-burned")
    with pytest.raises(Unanswered, match="does not answer"):
        sessions.ask(author.session, "look")
    assert "does not answer" in author.client.post(f"{author.url}/cells", {"what": "all"}, **JSON).json()["message"]
    Session.objects.filter(pk=author.session.pk).update(last_used=timezone.now() - timedelta(days=1))
    leftovers.end_lost_runs()
    assert author.state()["state"] == "ended"


def test_a_lost_interpreter_is_told_and_the_next_cell_has_a_new_one(engine):
    author = Author("# %%\nx = 1\n# %%\nprint(x)\n")
    author.ran()
    engine.close_session(str(author.session.pk), author.session.owner_key)  # as an engine that was restarted
    (lost,) = author.ran("cell", 4)
    assert lost.status == "crashed" and "Run the cells above again" in lost.message
    assert author.state()["state"] == "ended" and "Run the cells above" in author.state()["why"]
    (alone,) = author.ran("cell", 4)
    assert alone.status == "failed" and "NameError" in alone.message and author.session.number == 2
    assert [run.status for run in author.ran()] == ["succeeded"] * 2


def test_the_page_notices_a_lost_interpreter_by_itself(engine):
    author = Author("x = 1\n")
    author.ran()
    engine.close_session(str(author.session.pk), author.session.owner_key)
    assert author.state()["state"] == "ended"


def test_restart_and_close_end_it():
    author = Author("# %%\nx = 1\n# %%\nprint(x)\n")
    author.ran()
    assert author.act("restart").status_code == 200
    assert author.state()["state"] == "ended" and "restarted" in author.state()["why"]
    (alone,) = author.ran("cell", 4)
    assert alone.status == "failed" and author.session.number == 2
    author.act("close")
    assert author.state()["state"] == "ended"
    assert author.act("keep").status_code == 409
    assert author.client.post(f"{author.url}/nonsense", **JSON).status_code == 404


def test_a_cell_that_ends_the_interpreter_says_so():
    author = Author("import os\nos._exit(3)\n")
    (run,) = author.ran()
    assert run.status == "failed" and "interpreter ended with it" in run.message
    until(lambda: not author.session.is_alive)


def test_input_of_a_cell_is_answered_through_its_run():
    ask = "from getpass import getpass\nname, word = input('Who? '), getpass('Word? ')\n"
    author = Author(f"{ask}print('hello', name, len(word))\n")
    (run,) = author.run()
    until(lambda: any(e["type"] == "input" for e in Recording(run.pk).read()))
    for text in ("Ada", "secret", "secret of nobody's question"):  # the last two before they are asked for
        assert author.client.post(f"/r/{run.pk}/input", {"text": text}, **JSON).status_code == 200
    assert printed(finished(run)) == "hello Ada 6\n"
    # Whoever comes back reads what was asked and typed, and no password.
    pages = [author.client.get(author.url), author.client.get(f"/r/{run.pk}")]
    assert all("Who? Ada\nWord? ••••••\nhello Ada 6\n" in page.content.decode() for page in pages)
    assert "secret" not in str(Recording(run.pk).read())
    # What nobody asks for is kept up to a number of lines, and no longer than the run.
    with redis_connection() as redis:
        until(lambda: not redis.exists(lines_key(run.pk)))
    Run.objects.filter(pk=run.pk).update(status=Run.Status.RUNNING, finished=None)
    assert all(send_line(run.pk, "x") for _ in range(MOST_LINES))
    refused = author.client.post(f"/r/{run.pk}/input", {"text": "x"}, **JSON)
    assert refused.status_code == 429 and "until the program asks" in refused.json()["message"]


def test_nobody_else_sees_a_session_or_its_cells():
    author = Author()
    author.project.visibility = "public"
    author.project.save()
    (run,) = author.ran("cell", 1)
    stranger = Client()
    stranger.force_login(make_user(), backend="accounts.backends.AccountBackend")
    for other in (stranger, Client()):
        for path in ("", "/_variables", "/_data?name=x"):
            assert other.get(author.url + path).status_code == 404
        for path in ("/cells", "/interrupt", "/close", "/restart", "/keep"):
            assert other.post(author.url + path, {"what": "all"}).status_code == 404
        assert other.get(f"/r/{run.pk}").status_code == 404
        assert other.get(f"/r/{run.pk}/events").status_code == 404
        page = other.get(author.project.base_url).content.decode()
        assert str(run.pk) not in page and "print(" not in page
    assert author.client.get(f"/r/{run.pk}").status_code == 200


def test_sessions_and_their_cells_count(settings):
    author = Author()
    plan = author.user.plan
    plan.sessions, plan.concurrent_runs, plan.runs_per_day = 1, 1, 5
    plan.save()
    author.ran()
    second = make_project(author.user, source="print(2)")
    answer = author.client.post(f"{second.base_url}/session/cells", {"what": "all"}, **JSON)
    assert answer.status_code == 422 and "live session" in answer.json()["message"]
    # An idle session is no run: a run may go on beside it.
    assert (
        author.client.post(f"{second.base_url}/run", {"source": "print(2)"}, HTTP_HX_REQUEST="true").status_code == 200
    )
    until(lambda: not Run.objects.in_progress().exists())
    answer = author.client.post(f"{author.url}/cells", {"what": "all"}, **JSON)
    assert answer.status_code == 422 and "24 hours" in answer.json()["message"]


def test_deleting_the_project_ends_its_session(engine):
    author = Author("x = 1\n")
    author.ran()
    key = str(author.session.pk)
    assert any(each["id"] == key for each in engine.sessions())
    author.client.post(f"{author.project.base_url}/delete")
    assert not any(each["id"] == key for each in engine.sessions())


def test_the_sweeper_goes_on_where_a_worker_died_between_two_cells():
    author = Author()
    author.ran()
    first, second, _ = author.run()
    finished(first)
    finished(second)
    waiting = Run.objects.create(
        revision=first.revision, user=author.user, limits=first.limits, session=author.session, cell_index=1,
        cell_line=6, cell_source="print(x + 3)\n", queued=timezone.now() - timedelta(seconds=60),
    )  # fmt: skip
    until(lambda: not Run.objects.filter(session=author.session, status="running").exists())
    Run.objects.filter(pk=waiting.pk).update(queued=timezone.now() - timedelta(seconds=16))
    leftovers.end_lost_runs()
    assert printed(finished(waiting)) == "44\n"


def test_a_session_nobody_used_is_swept(engine):
    author = Author("x = 1\n")
    author.ran()
    engine.close_session(str(author.session.pk), author.session.owner_key)
    Session.objects.update(last_used=timezone.now() - timedelta(hours=2))
    leftovers.end_lost_runs()
    assert author.session.state == "ended"


@pytest.mark.parametrize(
    "source",
    [
        FILE,
        "print(1)",
        "a = 1\n#%% [markdown] Words\n# text\n# %%\n\n\n# %% Only a title\n",
        "text = '''\n# %% no mark\n'''\n# %% mark\nprint(text)",
        "a = 1  # \x0c \u2028 \x85\n# %% second\nprint('\u2028')\n# %% third\nprint(2)",
    ],
)
def test_cells_are_split_as_a_run_splits_them(engine, source):
    from sandbox.client import BoxRequest
    from tests.sandbox.conftest import LIMITS, Limits

    request = BoxRequest("split", "tester", {"main.py": source}, "main.py", {}, Limits(**LIMITS))
    with engine.start(request) as box:
        told = [event for event in box.events() if event is not None and event["type"] == "cell"]
    ours = cells.split(source)
    if told:
        assert [(each["title"], each["line"]) for each in told] == [(cell.title, cell.line) for cell in ours]
    else:
        assert len(ours) == 1 and ours[0].line == 1


# The last of this file, because it takes the file's worker away.
def test_a_worker_killed_during_a_cell_loses_the_cell_and_not_the_session(worker, request):
    author = Author("# %%\nx = 5\n# %%\nprint('on', flush=True)\nwhile True: pass\n# %%\nprint(x)\n")
    author.ran("cell", 1)
    (busy,) = author.run("cell", 4)
    until(lambda: "on" in printed(busy))
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    second = _launch("worker", processes.worker_command(f"host-{hosts.settings.SANDBOX_HOST}", "runs"))
    request.addfinalizer(lambda: _end(second))

    def is_ended() -> bool:  # as by the scheduler, again and again: what the worker left may hold on for a moment
        Run.objects.filter(pk=busy.pk).update(lease_expires=timezone.now() - timedelta(seconds=1))
        leftovers.end_lost_runs()
        return Run.objects.get(pk=busy.pk).is_finished

    until(is_ended)
    lost = finished(busy)
    assert lost.status == "crashed" and "The session goes on" in lost.message
    (after,) = author.ran("cell", 6)
    assert printed(after) == "5\n" and author.session.number == 1

"""Does a live interpreter keep what it is given, obey its limits, and answer for itself and nobody else?"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sandbox.client import (
    BoxRefused,
    BoxRequest,
    Cell,
    EngineClient,
    EngineUnavailable,
    Limits,
    SessionBusy,
    SessionGone,
)
from tests.sandbox.conftest import LIMITS, MEGABYTE, Engine, Result

FRAME = """
import numpy as np, pandas as pd
rng = np.random.default_rng(7)
frame = pd.DataFrame(rng.normal(size=(1_000_000, 9)), columns=list("abcdefghi"))
frame["j"] = pd.date_range("1990-01-01", periods=len(frame), freq="min")
"""
HUNGRY = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        held = b"x" * 200_000_000
        time.sleep(20)
time.sleep(20)
"""
TABLES = """
import numpy as np, pandas as pd
series = pd.Series([3, 1, None], index=list("xyz"), name="n")
array = np.arange(6).reshape(3, 2)
mixed = pd.DataFrame({"a": ["b", 2, None], "a2": pd.date_range("2024", periods=3)})
twice = pd.DataFrame([[1, 2]], columns=["same", "same"])
empty = pd.DataFrame()
wide = pd.DataFrame(np.zeros((300, 300)))
texts = pd.DataFrame({"t": ["é" * 5000] * 500})
levels = mixed.set_index(["a", "a2"])
index = pd.Index([2, 1])
"""
FORGED_REPLY = """
from qfp import channel
old = channel.emit
def emit(message, **options):
    return old({**message, CHANGE} if message["type"] == "reply" else message, **options)
channel.emit = emit
"""
FLOOD = """
import os, threading
def flood():
    for _ in range(200):
        os.write(1024, b"\\x00{" * 5000 + b"\\n")
        print("noise" * 100)
threading.Thread(target=flood, daemon=True).start()
x = 1
"""


class Live:
    """A session with the words of a test."""

    _count = 0

    def __init__(self, client: EngineClient, idle_seconds: float = 60, most: int = 50, **limits: Any) -> None:
        Live._count += 1
        self.client, self.id, self.owner = client, f"session-{Live._count}", "tester"
        self.limits = Limits(**{**LIMITS, **limits})
        self.line = 1
        request = BoxRequest(self.id, self.owner, {"main.py": ""}, "main.py", {}, self.limits, session=True)
        self.opened = client.open_session(request, idle_seconds, most)

    def cell(
        self,
        source: str,
        line: int = 1,
        params: dict[str, Any] | None = None,
        on_event: Callable[[Any, dict[str, Any]], None] | None = None,
        **limits: Any,
    ) -> Result:
        values = {name: getattr(self.limits, name) for name in LIMITS} | limits
        result, start = Result(), time.monotonic()
        with self.client.run_cell(
            self.id, self.owner, Cell("a-cell", source, Limits(**values), line, params or {})
        ) as box:
            for event in box.events():
                if event is None:
                    continue
                result.events.append(event)
                if on_event is not None:
                    on_event(box, event)
        result.seconds = time.monotonic() - start
        return result

    def ask(self, what: str, **question: Any) -> dict[str, Any]:
        return self.client.ask_session(self.id, self.owner, what, question)

    def facts(self) -> dict[str, Any] | None:
        return next((each for each in self.client.sessions() if each["id"] == self.id), None)

    def wait_until_gone(self, seconds: float = 15) -> None:
        deadline = time.monotonic() + seconds
        while self.facts() is not None:
            assert time.monotonic() < deadline, "the session is still there"
            time.sleep(0.05)

    def close(self) -> None:
        try:
            self.client.close_session(self.id, self.owner)
        except (SessionGone, EngineUnavailable):
            pass


@pytest.fixture
def live(engine: Engine) -> Iterator[Callable[..., Live]]:
    made: list[Live] = []

    def make(**options: Any) -> Live:
        made.append(Live(options.pop("client", engine.client), **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def interrupt_when_printed(box: Any, event: dict[str, Any]) -> None:
    if event["type"] == "stdout":
        box.cancel()


# Cells


def test_ten_cells_share_one_interpreter(live):
    session = live()
    session.cell("total = 0\ndef add(x):\n    global total\n    total += x\n")
    for number in range(1, 9):
        ended = session.cell(f"add({number})").ended
        assert ended["outcome"] == "succeeded" and ended["session"]["alive"]
    assert session.cell("print(total)").stdout == "36\n"
    assert session.facts()["state"] == "idle"


def test_a_cell_ends_like_a_run(live):
    session = live()
    shown = session.cell("print('text')\n{'a': 1}")
    assert [event["type"] for event in shown.events] == ["started", "stdout", "display", "ended"]
    failed = session.cell("x = 1\n1 / 0\n", line=20)
    assert failed.outcome == "failed" and failed.ended["session"]["alive"]
    assert failed.ended["error"]["name"] == "ZeroDivisionError" and failed.ended["error"]["line"] == 21
    assert 'File "\x1b[36m"main.py"' in failed.stderr or "main.py" in failed.stderr
    assert "1 / 0" in failed.stderr and "line \x1b[36m21" in failed.stderr
    assert session.cell("print(x)").stdout == "1\n"
    assert session.cell("def f(:\n", line=3).ended["error"]["name"] == "SyntaxError"


def test_the_lines_of_earlier_cells_are_quoted(live):
    session = live()
    session.cell("def divide(by):\n    return 100 / by  # here\n", line=5)
    failed = session.cell("divide(0)\n", line=30)
    assert "return 100 / by  # here" in failed.stderr
    assert [frame["line"] for frame in failed.ended["error"]["frames"]] == [30, 6]


def test_parameters_are_those_of_the_cell(live):
    session = live()
    source = "from qfp import param\nprint(param('n', 1, 0, 9))"
    assert session.cell(source).stdout == "1\n"
    assert session.cell(source, params={"n": 4}).stdout == "4\n"


def test_input_is_asked_of_whoever_runs_the_cell(live):
    def answer(box: Any, event: dict[str, Any]) -> None:
        if event["type"] == "input":
            box.send_input("Ada")

    session = live()
    assert session.cell("name = input('Who? ')\nprint('hello', name)", on_event=answer).stdout == "hello Ada\n"
    assert session.cell("print(name)").stdout == "Ada\n"


def test_leaving_and_raising_keep_the_interpreter_and_ending_it_does_not(live):
    session = live()
    assert session.cell("kept = 1\nexit()").outcome == "succeeded"
    assert session.cell("raise SystemExit(3)").outcome == "failed"
    assert session.cell("print(kept)").stdout == "1\n"
    ended = session.cell("import os; os._exit(4)").ended
    assert ended["outcome"] == "failed" and ended["exit"]["code"] == 4
    assert not ended["session"]["alive"] and "ended itself" in ended["session"]["why"]
    with pytest.raises(SessionGone, match="ended itself"):
        session.cell("1")


def test_what_a_thread_prints_between_cells_comes_with_the_next(live):
    session = live()
    session.cell("import threading\nthreading.Timer(0.3, print, ['late']).start()")
    time.sleep(1)
    assert session.cell("print('now')").stdout == "late\nnow\n"


# Interrupts and limits


def test_interrupting_a_busy_cell_keeps_its_variables(live):
    session = live()
    session.cell("x = 41")
    counts = "y = 1\nwhile True:\n    y += 1\n    if y == 3: print('on', flush=True)"
    stopped = session.cell(counts, on_event=interrupt_when_printed)
    assert stopped.outcome == "cancelled" and stopped.ended["session"]["alive"] and stopped.seconds < 10
    assert session.cell("print(x + 1, y > 1)").stdout == "42 True\n"


def test_an_interrupt_between_cells_changes_nothing(live):
    session = live()
    session.cell("x = 1")
    session.client.interrupt_session(session.id, session.owner)
    assert session.cell("print(x)").stdout == "1\n"
    session.cell("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)")
    stopped = session.cell("print(1, flush=True)\nwhile True: pass", on_event=interrupt_when_printed)
    assert stopped.outcome == "cancelled"


def test_a_client_that_goes_away_interrupts_its_cell_and_keeps_the_session(live):
    session = live()
    box = session.client.run_cell(
        session.id, session.owner, Cell("lost", "z = 5\nprint(1, flush=True)\nwhile True: pass", session.limits)
    )
    for event in box.events():
        if event is not None and event["type"] == "stdout":
            break
    assert session.facts()["state"] == "busy" and session.facts()["run"] == "lost"
    box.close()
    assert session.cell("print(z)").stdout == "5\n"


@pytest.mark.parametrize(
    ("source", "limits", "outcome", "limit"),
    [
        ("while True: pass", {"cpu_seconds": 1}, "timed_out", "cpu_seconds"),
        ("import time; time.sleep(60)", {"wall_seconds": 1}, "timed_out", "wall_seconds"),
        ("while True: print('x' * 1000)", {"output_bytes": 50_000}, "output_exceeded", "output_bytes"),
        ("while True: display(1)", {"events": 50}, "output_exceeded", "events"),
    ],
)
def test_a_cell_at_its_limit_is_interrupted_and_the_session_stays(live, source, limits, outcome, limit):
    session = live()
    session.cell("x = 1")
    ended = session.cell(source, **limits).ended
    assert (ended["outcome"], ended["limit"]["name"]) == (outcome, limit)
    assert ended["session"]["alive"]
    assert session.cell("print(x)").stdout == "1\n"


def test_processor_time_is_counted_for_each_cell(live):
    session = live(cpu_seconds=3)
    burn = "import time\nend = time.process_time() + 2\nwhile time.process_time() < end: pass"
    assert [session.cell(burn).outcome for _ in range(3)] == ["succeeded"] * 3


def test_a_cell_that_cannot_be_interrupted_takes_the_session_with_it(live):
    session = live()
    stubborn = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    ended = session.cell(stubborn, wall_seconds=1).ended
    assert ended["outcome"] == "timed_out" and not ended["session"]["alive"]
    session.wait_until_gone()


def test_memory_is_the_sessions_and_too_much_of_it_is_told(live):
    session = live()
    refused = session.cell("x = 1\ny = bytearray(10 ** 9)")
    assert refused.outcome == "out_of_memory" and refused.ended["session"]["alive"]
    assert session.cell("print(x)").stdout == "1\n"
    # Several processes together: no single one is refused anything, the kernel ends them all.
    ended = session.cell(HUNGRY).ended
    assert ended["outcome"] == "out_of_memory" and not ended["session"]["alive"]
    assert "memory" in ended["session"]["why"]


def test_a_full_disk_fails_the_cell_only(live):
    session = live()
    failed = session.cell("open('big', 'wb').write(b'x' * 10 ** 8)")
    assert failed.outcome == "disk_full" and failed.ended["session"]["alive"]
    assert session.cell("import os; os.remove('big'); print('on')").stdout == "on\n"


def test_cells_wait_for_their_turn(live):
    session = live()
    ends: list[str] = []
    thread = threading.Thread(target=lambda: ends.append(session.cell("import time; time.sleep(1); n = 1").outcome))
    thread.start()
    while session.facts()["state"] != "busy":
        time.sleep(0.01)
    with pytest.raises(SessionBusy, match="running"):
        session.ask("variables")
    assert session.cell("print(n)").stdout == "1\n"
    thread.join()
    assert ends == ["succeeded"]


# The session's life


def test_a_session_without_use_ends_and_says_so_before(live):
    session = live(idle_seconds=2)
    assert session.cell("import time; time.sleep(3); x = 1").outcome == "succeeded"  # only time without use counts
    assert 0 < session.facts()["idle_left"] <= 2
    time.sleep(1)
    assert session.client.keep_session(session.id, session.owner) > 1.5
    time.sleep(1)
    assert session.cell("print(x)").stdout == "1\n"
    session.wait_until_gone()
    with pytest.raises(SessionGone, match="without use"):
        session.cell("1")


def test_what_goes_on_between_cells_has_a_limit_too(live):
    session = live(cpu_seconds=1)
    session.cell(
        "import threading\ndef spin():\n    while True: pass\nthreading.Thread(target=spin, daemon=True).start()"
    )
    session.wait_until_gone()
    with pytest.raises(SessionGone, match="between the cells"):
        session.ask("variables")


def test_nobody_reaches_the_session_of_another(live):
    session = live()
    session.cell("secret = 1")
    for attempt in (
        lambda: session.client.ask_session(session.id, "somebody", "variables"),
        lambda: session.client.close_session(session.id, "somebody"),
        lambda: session.client.interrupt_session(session.id, "somebody"),
        lambda: session.client.keep_session(session.id, "somebody"),
        lambda: session.client.run_cell(session.id, "somebody", Cell("r", "print(secret)", session.limits)),
    ):
        with pytest.raises(SessionGone, match="no such session"):
            attempt()
    assert session.cell("print(secret)").stdout == "1\n"


def test_the_number_of_sessions_has_limits(make_engine):
    engine = make_engine("--no-zygote", "--max-sessions", "2")
    first = Live(engine.client, most=1)
    with pytest.raises(BoxRefused, match="limit of your plan"):
        Live(engine.client, most=1)
    second = Live(engine.client, most=2)
    with pytest.raises(BoxRefused, match="machine are in use"):
        Live(engine.client, most=9)
    first.close()
    Live(engine.client, most=2)
    second.close()


def test_an_ended_engine_takes_its_sessions_along(make_engine):
    engine = make_engine("--ready", "0")
    session = Live(engine.client)
    session.cell("x = 1")
    engine.process.kill()
    engine.process.wait()
    with pytest.raises(EngineUnavailable):
        session.cell("x")
    engine.start()
    with pytest.raises(SessionGone):
        session.cell("x")


def test_a_session_without_a_zygote_works_the_same(live, cold_engine):
    session = live(client=cold_engine.client)
    session.cell("x = 41")
    assert session.cell("print(x + 1)").stdout == "42\n"
    assert session.ask("variables")["variables"][0]["name"] == "x"


def test_nothing_is_left_of_closed_sessions(engine, live):
    before = engine.client.status()["boxes"]
    sessions = [live() for _ in range(5)]
    for session in sessions:
        session.cell("x = 1")
        session.close()
    assert engine.client.status()["boxes"] == before and engine.client.status()["sessions"] == 0


# Questions


def test_variables_are_listed_with_shape_size_and_preview(live):
    session = live()
    session.cell(
        "import numpy as np, pandas as pd\nprices = pd.DataFrame({'close': [1.0, 2.0], 'open': [3.0, 4.0]})\n"
        "weights = np.ones((3, 2))\nname = 'AAPL'\n_hidden = 1\ndef rule(a, b): return a\nnumbers = list(range(10_000))"
    )
    body = session.ask("variables")
    found = {each["name"]: each for each in body["variables"]}
    assert list(found) == ["prices", "weights", "name", "rule", "numbers"]
    assert found["prices"]["shape"] == "2 × 2" and found["prices"]["preview"] == "close, open"
    assert found["prices"]["pages"] and found["prices"]["size"] >= 32
    assert found["weights"]["type"] == "ndarray (float64)" and found["weights"]["size"] == 48
    assert found["name"]["preview"] == "'AAPL'" and not found["name"]["pages"]
    assert found["rule"]["preview"] == "rule(a, b)"
    assert found["numbers"]["shape"] == "10,000" and len(found["numbers"]["preview"]) <= 120
    assert body["idle_left"] > 50


def test_a_million_rows_are_paged_and_sorted_in_small_answers(live):
    session = live(memory_bytes=700 * MEGABYTE, cpu_seconds=60)
    assert session.cell(FRAME).outcome == "succeeded"
    page = session.ask("page", name="frame", first=999_900, count=100, left=0, width=10)
    assert page["total_rows"] == 1_000_000 and page["total_columns"] == 10
    assert [row[0] for row in page["rows"]] == list(range(999_900, 1_000_000))
    assert len(json.dumps(page)) <= 200_000
    ascending = session.ask("page", name="frame", first=0, count=100, left=0, width=10, sort=2, descending=False)
    column = [row[1 + 2] for row in ascending["rows"]]
    assert column == sorted(column) and column[0] < -4
    descending = session.ask("page", name="frame", first=0, count=100, left=0, width=10, sort=2, descending=True)
    column = [row[1 + 2] for row in descending["rows"]]
    assert column == sorted(column, reverse=True) and column[0] > 4
    # The user's own object is as it was, and a change is seen.
    assert session.cell("print(frame.index[0], frame['c'].is_monotonic_increasing)").stdout == "0 False\n"
    session.cell("frame.loc[5, 'c'] = 99.0")
    changed = session.ask("page", name="frame", first=0, count=1, left=2, width=1, sort=2, descending=True)
    assert changed["rows"] == [[5, 99.0]]


def test_pages_of_every_kind_of_table(live):
    session = live()
    session.cell(TABLES)
    series = session.ask("page", name="series", first=0, count=10, left=0, width=5, sort=0, descending=True)
    assert series["rows"] == [["x", 3.0], ["y", 1.0], ["z", None]] and series["columns"][1]["name"] == "n"
    assert session.ask("page", name="array", first=1, count=1, left=0, width=5)["rows"] == [[1, 2, 3]]
    mixed = session.ask("page", name="mixed", first=0, count=9, left=0, width=9, sort=0)
    assert mixed["rows"][0][1] == "2"
    assert session.ask("page", name="twice", first=0, count=9, left=1, width=9)["rows"] == [[0, 2]]
    assert session.ask("page", name="empty", first=0, count=9, left=0, width=9)["rows"] == []
    assert session.ask("page", name="levels", first=0, count=9, left=0, width=9)["index_columns"] == 2
    assert session.ask("page", name="index", first=0, count=9, left=0, width=9)["rows"] == [[0, 2], [1, 1]]
    wide = session.ask("page", name="wide", first=0, count=10_000, left=290, width=10_000)
    assert len(wide["columns"]) == 11 and len(wide["rows"]) == 200
    texts = session.ask("page", name="texts", first=0, count=200, left=0, width=1)
    assert texts["rows"] and len(json.dumps(texts)) <= 200_000
    for name, reason in (("nothing", "no variable"), ("pd", "no rows")):
        with pytest.raises(BoxRefused, match=reason):
            session.ask("page", name=name, first=0, count=1, left=0, width=1)
    with pytest.raises(BoxRefused, match="column"):
        session.ask("page", name="array", first=0, count=1, left=0, width=1, sort=7)


def test_a_hostile_answer_is_refused_and_hurts_nobody(live):
    changes = ["'body': {'variables': 'no'}", "'body': [1]", "'body': {'variables': ['x' * 10**6]}", "'id': 10**9"]
    sessions = [live() for _ in changes]
    for session, change in zip(sessions, changes, strict=True):
        session.cell(FORGED_REPLY.replace("CHANGE", change))
    with ThreadPoolExecutor(len(changes)) as pool:  # each is waited for until it could have come
        asked = [pool.submit(session.ask, "variables") for session in sessions]
        assert [type(question.exception()) for question in asked] == [BoxRefused] * len(changes)
    other = live()
    other.cell("x = 1")
    assert other.ask("variables")["variables"][0]["name"] == "x"


def test_an_answer_is_rebuilt_field_by_field(live):
    session = live()
    entry = "{'name': 'n' * 10**5, 'size': -1, 'pages': 'yes', 'evil': 1}"
    session.cell(FORGED_REPLY.replace("CHANGE", f"'body': {{'variables': [{entry}, 7], 'more': 'x'}}, 'evil': 2"))
    body = session.ask("variables")
    kept = {"name": "n" * 100, "type": "", "shape": "", "size": None, "preview": "", "pages": False}
    assert body.pop("idle_left") > 0 and body == {"variables": [kept], "more": 0}


def test_a_forged_end_of_a_cell_buys_no_time(live):
    session = live(cpu_seconds=1)
    ended = session.cell(
        "from qfp import channel\nchannel.emit({'type': 'cell_ended', 'id': 1, 'end': 'ok'})\nwhile True: pass"
    ).ended
    assert ended["outcome"] == "succeeded"  # its own loss
    session.wait_until_gone()


def test_words_of_a_session_mean_nothing_in_a_run(engine):
    result = engine.run(
        "from qfp import channel\nchannel.emit({'type': 'cell_ended', 'id': 1, 'end': 'ok'})\n"
        "channel.emit({'type': 'reply', 'id': 1, 'body': {}})\nprint('on')"
    )
    assert result.outcome == "succeeded" and result.stdout == "on\n"
    assert not result.of("reply") and not result.of("cell_ended") and len(result.of("notice")) == 2


def test_garbage_on_the_channel_between_cells_is_survived(live):
    session = live()
    session.cell(FLOOD)
    time.sleep(0.5)
    assert "1" in session.cell("print(x)").stdout
    assert session.ask("variables")["variables"]


def test_requests_that_make_no_sense_are_refused(live):
    session = live()
    for what, question in (("passwords", {}), ("page", {"name": "x" * 5000})):
        with pytest.raises(BoxRefused, match="cannot be done"):
            session.client.ask_session(session.id, session.owner, what, question)
    with pytest.raises(BoxRefused):
        session.ask("page", name=None, first="a", count=-1)
    request = BoxRequest("s", "o", {"main.py": ""}, "main.py", {}, session.limits)
    with pytest.raises(BoxRefused, match="time after which"):
        session.client.open_session(request, 10, 1)

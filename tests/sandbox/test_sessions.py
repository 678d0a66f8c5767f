"""Does a live interpreter keep what it is given, obey its limits, and answer for itself and nobody else?"""

from __future__ import annotations

import time
from typing import Any

import pytest

from sandbox.client import (
    BoxRefused,
    BoxRequest,
    Cell,
    EngineUnavailable,
    SessionBusy,
    SessionGone,
)
from tests.sandbox.conftest import Live

HUNGRY = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        held = b"x" * 200_000_000
        time.sleep(20)
time.sleep(20)
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
LATE = """
import signal, threading, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
def say():
    while signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # the end of the cell takes it back
        time.sleep(0.01)
    time.sleep(0.3)
    print("late")
late = threading.Thread(target=say)
late.start()
"""


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
    assert session.cell(LATE).stdout == ""
    time.sleep(1)
    assert session.cell("late.join()\nprint('now')").stdout == "late\nnow\n"


# Interrupts and limits


def test_interrupting_a_busy_cell_keeps_its_variables(live):
    session = live()
    session.cell("x = 41")
    counts = "y = 1\nwhile True:\n    y += 1\n    if y == 3: print('on', flush=True)"
    stopped = session.cell(counts, on_event=interrupt_when_printed)
    assert stopped.outcome == "cancelled" and stopped.ended["session"]["alive"]
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


def type_much(box: Any, event: dict[str, Any]) -> None:
    if event["type"] == "input":
        box.send_input("x" * 9_000)


@pytest.mark.parametrize(
    ("source", "limits", "outcome", "limit"),
    [
        ("while True: pass", {"cpu_seconds": 1}, "timed_out", "cpu_seconds"),
        ("import time; time.sleep(60)", {"wall_seconds": 1}, "timed_out", "wall_seconds"),
        ("while True: print('x' * 1000)", {"output_bytes": 50_000}, "output_exceeded", "output_bytes"),
        ("while True: input()", {"output_bytes": 50_000, "wall_seconds": 20}, "output_exceeded", "output_bytes"),
        ("while True: display(1)", {"events": 50}, "output_exceeded", "events"),
    ],
)
def test_a_cell_at_its_limit_is_interrupted_and_the_session_stays(live, source, limits, outcome, limit):
    session = live()
    session.cell("x = 1")
    ended = session.cell(source, on_event=type_much, **limits).ended
    assert (ended["outcome"], ended["limit"]["name"]) == (outcome, limit)
    assert ended["session"]["alive"]
    assert session.cell("print(x)").stdout == "1\n"


def test_processor_time_is_counted_for_each_cell(live):
    session = live(cpu_seconds=2)
    burn = "import time\nend = time.process_time() + 1.2\nwhile time.process_time() < end: pass"
    assert [session.cell(burn).outcome for _ in range(2)] == ["succeeded"] * 2


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
    cell = Cell("first", "n = input()", session.limits)
    with session.client.run_cell(session.id, session.owner, cell) as first:
        assert "input" in (event["type"] for event in first.events() if event is not None)
        with pytest.raises(SessionBusy, match="running"):
            session.ask("variables")
        cell = Cell("second", "print(n)", session.limits)
        with session.client.run_cell(session.id, session.owner, cell) as second:
            first.send_input("1")
            printed = [event["text"] for event in second.events() if event is not None and event["type"] == "stdout"]
        assert printed == ["1\n"]
        assert [event for event in first.events() if event is not None][-1]["outcome"] == "succeeded"


# The session's life


def test_a_session_without_use_ends_and_says_so_before(live):
    session = live(idle_seconds=4)
    assert session.cell("import time; time.sleep(5); x = 1").outcome == "succeeded"  # only time without use counts
    assert 0 < session.facts()["idle_left"] <= 4
    while (left := session.facts()["idle_left"]) > 3:
        time.sleep(0.05)
    assert session.client.keep_session(session.id, session.owner) > left
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

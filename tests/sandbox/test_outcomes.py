"""How runs end: each outcome from a program that earns it, observed and named with its limit."""

# ruff: noqa: E501  (programs for the box read better in one line)
from __future__ import annotations

import errno
import threading
from typing import Any

import pytest

from sandbox.host import outcome
from sandbox.host.boxes import TRIAL_LIMITS
from sandbox.host.outcome import Observed
from tests.sandbox.conftest import MEGABYTE, Engine


def test_a_program_that_ends_has_succeeded(engine: Engine) -> None:
    result = engine.run("print(6 * 7)")
    assert result.outcome == "succeeded"
    assert result.stdout == "42\n"
    assert result.ended["exit"] == {"code": 0, "signal": None}
    assert result.ended["limit"] is None
    assert result.ended["cpu_seconds"] > 0
    assert result.ended["peak_memory_bytes"] > MEGABYTE


def test_events_begin_with_started_and_end_with_ended(engine: Engine) -> None:
    result = engine.run("print(1)")
    assert result.events[0]["type"] == "started"
    assert [event["type"] for event in result.events].count("ended") == 1
    times = [event["t"] for event in result.events]
    assert times == sorted(times)


def test_an_exception_has_failed(engine: Engine) -> None:
    result = engine.run("x = 1\nraise KeyError('gone')")
    assert result.outcome == "failed"
    assert result.ended["exit"]["code"] == 1
    assert result.ended["error"]["name"] == "KeyError"
    assert (result.ended["error"]["file"], result.ended["error"]["line"]) == ("main.py", 2)


@pytest.mark.parametrize(
    ("source", "outcome", "code"),
    [
        ("import sys; sys.exit(3)", "failed", 3),
        ("import sys; sys.exit(0)", "succeeded", 0),
        ("exit()", "succeeded", 0),
        ("import sys; sys.exit('no data')", "failed", 1),
        ("import os; os._exit(137)", "failed", 137),
    ],
)
def test_the_exit_code_decides(engine: Engine, source: str, outcome: str, code: int) -> None:
    result = engine.run(source)
    assert result.outcome == outcome
    assert result.ended["exit"]["code"] == code
    assert "Traceback" not in result.stderr


def test_a_crash_of_the_interpreter_is_a_failure_with_its_signal(engine: Engine) -> None:
    result = engine.run("import ctypes; ctypes.string_at(0)")
    assert result.outcome == "failed"
    assert result.ended["exit"]["signal"] == 11


def test_killing_itself_is_not_taken_for_a_limit(engine: Engine) -> None:
    result = engine.run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert result.outcome == "failed"
    assert result.ended["exit"]["signal"] == 9


def test_an_endless_loop_meets_the_processor_limit(engine: Engine) -> None:
    result = engine.run("while True: pass", cpu_seconds=1)
    assert result.outcome == "timed_out"
    assert result.ended["limit"] == {"name": "cpu_seconds", "value": 1}
    assert result.ended["cpu_seconds"] < 2


def test_processor_time_is_counted_over_all_processes(engine: Engine) -> None:
    source = "import os\nfor _ in range(4):\n    if os.fork() == 0:\n        while True: pass\nos.wait()"
    result = engine.run(source, cpu_seconds=1)
    assert result.outcome == "timed_out"
    assert result.ended["limit"]["name"] == "cpu_seconds"


def test_waiting_meets_the_deadline(engine: Engine) -> None:
    result = engine.run("import time; time.sleep(60)", wall_seconds=1)
    assert result.outcome == "timed_out"
    assert result.ended["limit"] == {"name": "wall_seconds", "value": 1}
    assert 1 <= result.ended["wall_seconds"] < 60, "not the program's own end"


@pytest.mark.parametrize(
    "prelude",
    [
        "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass",
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))",
        "import os\nos.closerange(0, 2000)",
    ],
)
def test_no_program_can_refuse_its_end(engine: Engine, prelude: str) -> None:
    result = engine.run(prelude + "\nimport time\nwhile True: time.sleep(1)", wall_seconds=1)
    assert result.outcome == "timed_out"


def test_memory_error_names_the_memory_limit(engine: Engine) -> None:
    result = engine.run("kept = []\nwhile True: kept.append(b'x' * (8 << 20))")
    assert result.outcome == "out_of_memory"
    assert result.ended["limit"] == {"name": "memory_bytes", "value": 256 * MEGABYTE}
    assert "MemoryError" in result.stderr
    assert result.ended["error"]["line"] == 2


def test_memory_is_limited_as_a_sum(engine: Engine) -> None:
    source = (
        "import os, time\nfor _ in range(10):\n    if os.fork() == 0:\n"
        "        held = bytearray(b'x' * (100 << 20)); time.sleep(20)\ntime.sleep(20)"
    )
    result = engine.run(source)
    assert result.outcome == "out_of_memory"


def test_a_memory_error_that_is_handled_is_a_notice(engine: Engine) -> None:
    source = "kept = []\ntry:\n    while True: kept.append(b'x' * (4 << 20))\nexcept MemoryError:\n    kept = None\n    print('ok')"
    result = engine.run(source)
    assert result.outcome == "succeeded"
    assert "memory_bytes" in result.notices()


def test_a_full_disk_names_the_disk_limit(engine: Engine) -> None:
    result = engine.run("with open('big', 'wb') as file:\n    while True: file.write(b'x' * (1 << 20)); file.flush()")
    assert result.outcome == "disk_full"
    assert result.ended["limit"] == {"name": "disk_bytes", "value": 16 * MEGABYTE}


@pytest.mark.parametrize(
    "source",
    [
        "import errno\nraise OSError(errno.ENOSPC, 'No space left on device')",
        "import errno\nraise OSError(errno.EFBIG, 'File too large')",
        "raise MemoryError",
        "def load():\n    raise MemoryError('too many rows')\ntry:\n    load()\nexcept MemoryError as error:\n    raise error",
        "exec('raise MemoryError')",
    ],
)
def test_a_limit_that_a_program_only_speaks_of_was_not_met(engine: Engine, source: str) -> None:
    result = engine.run(source)
    assert (result.outcome, result.ended["limit"], result.notices()) == ("failed", None, [])
    assert result.ended["error"]["name"] in ("OSError", "MemoryError")


def test_an_error_raised_because_of_a_full_disk_is_one_of_a_full_disk(engine: Engine) -> None:
    source = (
        "def save():\n    with open('big', 'wb') as file:\n        while True: file.write(b'x' * (1 << 20))\n"
        "try:\n    save()\nexcept OSError as error:\n    raise RuntimeError('not saved') from error"
    )
    assert engine.run(source).outcome == "disk_full"


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm", "/box"])
def test_every_writable_place_shares_one_limit(engine: Engine, place: str) -> None:
    source = f"import itertools\nfor n in itertools.count():\n    open(f'{place}/{{n}}', 'wb').write(b'x' * (2 << 20))"
    assert engine.run(source).outcome == "disk_full"


def test_inodes_are_limited(engine: Engine) -> None:
    result = engine.run("for n in range(100_000): open(f'f{n}', 'w').close()")
    assert result.outcome == "disk_full"


def test_a_full_disk_that_is_handled_is_a_notice(engine: Engine) -> None:
    source = "try:\n    while True: open('big', 'ab').write(b'x' * (1 << 20))\nexcept OSError: print('handled')"
    result = engine.run(source)
    assert result.outcome == "succeeded"
    assert result.notices() == ["disk_bytes"]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_flood_keeps_its_first_part_and_ends(engine: Engine, stream: str) -> None:
    result = engine.run(f"import sys\nwhile True: sys.{stream}.write('x' * 10_000)")
    assert result.outcome == "output_exceeded"
    assert result.ended["limit"] == {"name": "output_bytes", "value": 256 * 1024}
    assert len(result.stdout + result.stderr) == 256 * 1024


def test_what_is_typed_counts_as_what_is_printed(engine: Engine) -> None:
    source = "while True: print(len(input()), flush=True)"
    result = engine.run(source, answers=("x" * 60_000,) * 9, wall_seconds=20)
    assert (result.outcome, result.ended["limit"]["name"]) == ("output_exceeded", "output_bytes")
    assert len(result.of("input")) == 5


def test_a_flood_of_charts_ends(engine: Engine) -> None:
    result = engine.run("from IPython.display import HTML\nwhile True: display(HTML('x' * 100_000))")
    assert result.outcome == "output_exceeded"
    assert result.ended["limit"]["name"] == "rich_bytes"


def test_a_flood_of_small_messages_ends(engine: Engine) -> None:
    result = engine.run("from IPython.display import HTML\nwhile True: display(HTML('x'))", events=300)
    assert result.outcome == "output_exceeded"
    assert result.ended["limit"] == {"name": "events", "value": 300}
    assert len(result.events) <= 302


def test_a_fork_bomb_meets_the_process_limit(engine: Engine) -> None:
    source = (
        "import os, time\nn = 0\ntry:\n    while True:\n        if os.fork() == 0: time.sleep(30); os._exit(0)\n        n += 1\n"
        "except BlockingIOError: time.sleep(.3); print('stopped at', n)"
    )
    result = engine.run(source)
    assert result.outcome == "succeeded"
    assert result.stdout == "stopped at 31\n"
    assert result.notices() == ["processes"]


def test_threads_count_as_processes(engine: Engine) -> None:
    source = (
        "import threading, time\nn = 0\ntry:\n    while True:\n"
        "        threading.Thread(target=time.sleep, args=(30,), daemon=True).start(); n += 1\n"
        "except RuntimeError: print(n < 40)"
    )
    assert engine.run(source).stdout == "True\n"


def test_cancel_ends_the_box(engine: Engine) -> None:
    result = engine.run("print('on', flush=True)\nimport time\ntime.sleep(60)", on_event=_cancel_after_output)
    assert result.outcome == "cancelled"


def test_interrupt_is_a_keyboard_interrupt(engine: Engine) -> None:
    def interrupt(box, event) -> None:
        if event["type"] == "stdout" and "on" in event["text"]:
            box.interrupt()

    source = "import time\ntry:\n    print('on', flush=True)\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('caught')"
    assert engine.run(source, on_event=interrupt).stdout == "on\ncaught\n"
    result = engine.run("import time\nprint('on', flush=True)\ntime.sleep(60)", on_event=interrupt)
    assert result.outcome == "cancelled"
    assert "KeyboardInterrupt" in result.stderr


def test_what_a_stopped_program_wrote_is_kept(engine: Engine) -> None:
    result = engine.run("open('half.csv', 'w').write('1,2')\nwhile True: pass", cpu_seconds=1)
    assert result.outcome == "timed_out"
    assert [artefact["name"] for artefact in result.of("artefact")] == ["half.csv"]


def test_nothing_is_added_after_the_end(engine: Engine) -> None:
    source = "import os, time\nif os.fork() == 0:\n    os.setsid(); time.sleep(1)\n    print('late', flush=True)\nelse:\n    print('end')"
    result = engine.run(source)
    assert result.stdout == "end\n"


def _cancel_after_output(box, event) -> None:
    if event["type"] == "stdout":
        box.cancel()


def test_no_signal_of_the_program_reaches_process_1(engine: Engine) -> None:
    source = """
import os, signal, time
for number in sorted(signal.valid_signals()):
    os.kill(1, number)
    os.kill(1, signal.SIGCHLD)
time.sleep(.3)
for _ in range(3):
    os.kill(1, signal.SIGINT)
open('kept.txt', 'w').write('x')
print('on')
"""
    result = engine.run(source)
    assert result.outcome == "succeeded", result.ended
    assert result.stdout == "on\n"
    assert [artefact["name"] for artefact in result.of("artefact")] == ["kept.txt"]


def test_processes_that_never_stop_signalling_process_1_do_not_keep_it_from_its_work(engine: Engine) -> None:
    source = """
import os, signal, time
for _ in range(4):
    if os.fork() == 0:
        while True:
            os.kill(1, signal.SIGCHLD)
            os.kill(1, signal.SIGINT)
time.sleep(.5)
open('kept.txt', 'w').write('x')
"""
    result = engine.run(source)
    assert result.outcome == "succeeded", result.ended
    assert [artefact["name"] for artefact in result.of("artefact")] == ["kept.txt"]


JUNK = ['{"a":1}', "no JSON", ""]


@pytest.mark.parametrize("line", JUNK)
def test_a_flood_of_junk_on_the_rich_channel_ends_the_run_and_holds_nobody_up(engine: Engine, line: str) -> None:
    flood = (
        "import os, fcntl\nchannel = int(os.environ['QFP_CHANNEL_FD'])\nfcntl.fcntl(channel, 1031, 1 << 20)\n"
        f"data = {line + chr(10)!r}.encode() * 20000\nprint('on', flush=True)\nwhile True: os.write(channel, data)"
    )
    begun, results = threading.Event(), []

    def run() -> None:
        settings = {"rich_bytes": 20 * MEGABYTE, "events": 20_000}
        results.append(engine.run(flood, on_event=lambda *_: begun.set(), **settings))

    flooding = threading.Thread(target=run)
    flooding.start()
    assert begun.wait(30)
    neighbour = engine.run("print(1)")
    flooding.join()
    assert (neighbour.outcome, neighbour.stdout) == ("succeeded", "1\n")
    assert results[0].outcome == "output_exceeded"
    assert results[0].ended["limit"] == {"name": "events", "value": 20_000}


def test_junk_left_in_the_channel_counts_after_the_program_has_ended(engine: Engine) -> None:
    source = "import os\nos.write(int(os.environ['QFP_CHANNEL_FD']), b'{}\\n' * 3000)\nos._exit(0)"
    result = engine.run(source)
    assert result.outcome == "output_exceeded"
    assert result.ended["limit"]["name"] == "events"


def test_a_little_junk_is_only_left_out(engine: Engine) -> None:
    source = "import os\nos.write(int(os.environ['QFP_CHANNEL_FD']), b'{}\\n' * 900)\nprint('on')"
    result = engine.run(source)
    assert (result.outcome, result.stdout) == ("succeeded", "on\n")
    assert [event["type"] for event in result.events].count("notice") == 3


# An engine with a mistake of its own in what it does with the messages or the files of a box.
MISTAKEN = """
import sys
from sandbox.host import box, engine, output
def mistake(*arguments):
    if b"trip" in repr(arguments).encode():
        raise AttributeError("a mistake")
    return kept(*arguments)
kept = {place}
{place} = mistake
sys.exit(engine.main())
"""


@pytest.mark.parametrize("place", ["output.dump_json", "box.Box._on_exited", "box.base64.b64encode"])
def test_a_mistake_of_the_engine_ends_its_box_as_crashed_and_no_other(make_engine, place: str) -> None:
    mark = "'code': 77" if place == "box.Box._on_exited" else "trip"
    engine = make_engine("--no-zygote", start_with=MISTAKEN.replace("{place}", place).replace("trip", mark))
    trip = "import os\nopen('trip.txt', 'w').write('trip')\nfrom IPython.display import HTML\ndisplay(HTML('trip'))\nos._exit(77)"
    result = engine.run(trip)
    assert result.outcome == "crashed", result.events
    assert engine.run("print(1)").stdout == "1\n"


def test_a_disk_that_nobody_saw_full_is_not_told_as_full():
    for seen, told in ((True, {}), (False, {"met": False})):
        observed = Observed(reported=True, exit_code=1, error_number=errno.ENOSPC, disk_full=seen)
        ended = outcome.ended(observed, TRIAL_LIMITS, "cold", 0.1, 0.1, 0, [])
        assert ended["outcome"] == "disk_full"
        assert ended["limit"] == {"name": "disk_bytes", "value": TRIAL_LIMITS.disk_bytes, **told}


def test_answers_that_a_program_does_not_read_do_not_pile_up_with_the_host(engine: Engine) -> None:
    source = """
from qfp import channel
for number in range(1, 5):
    channel.emit({"type": "ask", "id": number, "what": "data", "body": {}})
input()  # by now all are answered
answers = [channel.receive()["body"] for _ in range(4)]
print([len(answer.get("content", "")) for answer in answers], answers[3].get("error"))
"""

    def answer(box: Any, event: dict[str, Any]) -> None:
        if event["type"] == "ask":
            box.answer(event["id"], {"content": "x" * (3 << 20)})

    done = engine.run(source, answers=("",), on_event=answer)
    assert done.stdout.startswith(f"[{3 << 20}, {3 << 20}, 0, 0] This program does not read"), done.stderr

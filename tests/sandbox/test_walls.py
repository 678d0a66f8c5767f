"""Programs that try to get out of a box cannot, and an open box is noticed: a check that cannot fail proves nothing."""

# ruff: noqa: E501  (programs for the box read better in one line)
from __future__ import annotations

import threading

import pytest

from tests.sandbox.attacks import ATTACKS, PRELUDE
from tests.sandbox.conftest import Engine

# An engine whose boxes lack what is named: shared network, no filter, the host's /proc and /tmp, its environment.
LEAKY = """
import sys
from sandbox.host import cold, engine, nsjail, seccomp
closed = nsjail.cold_command
def command(*arguments):
    words = closed(*arguments)
    words.remove("--disable_proc")
    words[1:1] = ["--disable_clone_newnet", "--keep_env", "--bindmount_ro", "/var:/var"]
    return words
cold.cold_command = command
cold.filter_program = lambda: bytes.fromhex("060000000000ff7f")  # one instruction: allow
sys.exit(engine.main())
"""
FLAGGED = (
    "network: sockets of every family",
    "syscalls: new namespaces by unshare",
    "syscalls: tracing and other memory",
    "leaks: paths of the host in /proc",
    "filesystem: homes, mounts and state of the host",
)


@pytest.mark.parametrize("name", ATTACKS)
def test_the_box_holds(engine: Engine, name: str) -> None:
    _check(engine, name)


@pytest.mark.parametrize("name", ATTACKS)
def test_the_box_of_an_ordinary_user_holds(ordinary_engine: Engine, name: str) -> None:
    _check(ordinary_engine, name)


def _check(engine: Engine, name: str) -> None:
    result = engine.run(PRELUDE + ATTACKS[name])
    assert "ESCAPED" not in result.stdout, result.stdout
    assert "HELD" in result.stdout, (result.outcome, result.stderr)
    assert "QFPTOKEN" not in result.stdout + result.stderr


def test_an_open_box_is_flagged(make_engine) -> None:
    leaky = make_engine("--no-zygote", start_with=LEAKY)
    flagged = [name for name in FLAGGED if "ESCAPED" in leaky.run(PRELUDE + ATTACKS[name]).stdout]
    assert flagged == list(FLAGGED)


def test_two_boxes_do_not_see_each_other(engine: Engine) -> None:
    leave = "import time\nopen('/tmp/left', 'w').write('x'); open('/box/left', 'w'); open('/dev/shm/left', 'w')\nprint('left', flush=True); time.sleep(3)"
    look = "import os\nprint([p for p in ('/tmp/left', '/box/left', '/dev/shm/left') if os.path.exists(p)])"
    neighbour = threading.Thread(target=engine.run, args=(leave,))
    neighbour.start()
    assert engine.run(look).stdout == "[]\n"
    neighbour.join()
    assert engine.run(look).stdout == "[]\n"


def test_root_gives_every_box_a_user_of_its_own(engine: Engine) -> None:
    """Seen from outside, where it matters: two living boxes are two users, and neither is one of this machine's."""
    import os
    import pwd
    from pathlib import Path

    if os.geteuid() != 0:
        assert any("own user" in weakness for weakness in engine.status["weaknesses"])
        return
    seen = {}

    def note(name):
        def on_event(box, event):
            if event["type"] == "stdout":
                seen[name] = event["text"]

        return on_event

    mark = "import time\nprint('here', flush=True)\ntime.sleep(4)"
    threads = [threading.Thread(target=engine.run, args=(mark,), kwargs={"on_event": note(n)}) for n in range(2)]
    for thread in threads:
        thread.start()
    while len(seen) < 2 and any(thread.is_alive() for thread in threads):
        pass
    users = set()
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:
            continue
        if "NSpid" in text and "/opt/inside" in (status.parent / "cmdline").read_text():
            users.add(int(text.split("Uid:")[1].split()[0]))
    users.discard(0)  # nsjail itself, whose command line names the same files
    for thread in threads:
        thread.join()
    assert len(users) >= 2
    assert not users & {entry.pw_uid for entry in pwd.getpwall()}

"""Programs that try to get out of a box cannot, and an open box is noticed: a check that cannot fail proves nothing."""

# ruff: noqa: E501  (programs for the box read better in one line)
from __future__ import annotations

import base64
import json
import os
import pwd
import threading
from pathlib import Path

import pytest

from sandbox.host.box import FORK_SLACK_BYTES, GROUP_SLACK_BYTES
from tests.sandbox.attacks import ATTACKS, PRELUDE
from tests.sandbox.broken import BROKEN, engine_with
from tests.sandbox.conftest import LIMITS, Engine, make_request
from tests.sandbox.greedy import LIMITED, Greedy
from tests.sandbox.test_engine import SLEEPER, boxes_of, first_output

# Whose engine makes the box (root's, where a test may be root, and that of a user without any rights), and how.
ENGINES = {
    "engine": {"ready", "fork"},
    "cold_engine": {"cold"},
    "ordinary_engine": {"ready", "fork"},
}


# Boxes of a root's zygote meet every attack; the others, which have the same walls, the first of each promise.
# SANDBOX_ALL=1 runs everything everywhere.
FIRST_OF_EACH = {name.partition(":")[0]: name for name in reversed(ATTACKS)}
TRIED = [
    (engine, name)
    for engine in ENGINES
    for name in ATTACKS
    if engine == "engine" or os.environ.get("SANDBOX_ALL") or name in FIRST_OF_EACH.values()
]


@pytest.fixture(params=ENGINES)
def walls(request: pytest.FixtureRequest) -> Engine:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize(("engine_name", "name"), TRIED)
def test_the_box_holds(request: pytest.FixtureRequest, engine_name: str, name: str) -> None:
    result = request.getfixturevalue(engine_name).run(PRELUDE + ATTACKS[name])
    assert result.ended["start"] in ENGINES[engine_name]
    assert "ESCAPED" not in result.stdout, result.stdout
    assert "HELD" in result.stdout, (result.outcome, result.stderr)
    assert "QFPTOKEN" not in result.stdout + result.stderr


@pytest.mark.parametrize("name", LIMITED)
def test_a_greedy_program_gets_its_end_and_no_other(engine: Engine, name: str) -> None:
    check_greedy(engine, LIMITED[name])


def check_greedy(engine: Engine, greedy: Greedy) -> None:
    result = engine.run(greedy.source, **greedy.limits)
    outcomes = (greedy.outcome,) if isinstance(greedy.outcome, str) else greedy.outcome
    assert result.outcome in outcomes, (result.ended, result.stderr[-500:])
    named = {(result.ended["limit"] or {}).get("name"), *result.notices()}
    assert not greedy.limit or greedy.limit in named, result.ended
    code, signal = result.ended["exit"]["code"], result.ended["exit"]["signal"]
    assert greedy.code in (None, code) and greedy.signal in (None, signal), result.ended
    assert greedy.says in result.stdout and "late" not in result.stdout
    limits = {**LIMITS, **greedy.limits}
    assert result.ended["cpu_seconds"] < limits["cpu_seconds"] + 2
    assert result.ended["wall_seconds"] < limits["wall_seconds"] + 10
    most = limits["memory_bytes"] + limits["disk_bytes"] + GROUP_SLACK_BYTES + FORK_SLACK_BYTES
    assert result.ended["peak_memory_bytes"] <= most
    files = result.of("artefact")
    assert len(files) <= limits["artefact_count"]
    assert all(b"root:" not in base64.b64decode(file["content_base64"]) for file in files)


OPENED = [
    (way, start)
    for way, broken in BROKEN.items()
    if broken.flagged_by
    for start in ("cold", "fork")
    # The walls are the same either way, and a zygote takes seconds to load: both with SANDBOX_ALL=1.
    if start in broken.starts and (start == "cold" or "cold" not in broken.starts or os.environ.get("SANDBOX_ALL"))
]


@pytest.mark.parametrize(("way", "start"), OPENED)
def test_a_box_with_a_wall_taken_down_is_flagged(make_engine, way: str, start: str) -> None:
    """A check that cannot fail proves nothing: each of these engines makes boxes that lack one wall."""
    options = ("--no-zygote",) if start == "cold" else ("--ready", "0")
    leaky = make_engine(*options, start_with=engine_with(way))
    results = [leaky.run(PRELUDE + ATTACKS[name]) for name in BROKEN[way].flagged_by]
    assert all(result.ended["start"] == start for result in results)
    said = [result.stdout for result in results]
    assert all("ESCAPED" in text or "QFPTOKEN" in text for text in said), said


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
    if os.geteuid() != 0:
        assert any("own user" in weakness for weakness in engine.status["weaknesses"])
        return
    boxes = [engine.client.start(make_request(SLEEPER)) for _ in range(2)]
    for box in boxes:
        first_output(box)
    status = [Path(f"/proc/{pid}/status").read_text() for pid in boxes_of(engine)]
    users = {int(text.split("Uid:")[1].split()[0]) for text in status}
    users.discard(0)  # nsjail itself
    for box in boxes:
        box.close()
    assert len(users) >= 2
    assert not users & {entry.pw_uid for entry in pwd.getpwall()}


def test_a_poisoned_interpreter_is_nobody_elses(walls: Engine) -> None:
    poison = "import builtins, json, os, random, sys, warnings, pandas, numpy as np\nfor module in (builtins, json, pandas, np): module.left = 1\nnp.mean = lambda *a, **k: 99.0\nbuiltins.print = len\nos.environ['LEFT'] = '1'\nsys.path.insert(0, '/left'); sys.modules['left'] = json\nsys.setrecursionlimit(77)\nwarnings.simplefilter('error'); random.seed(1); np.random.seed(1)\nos.umask(0)"
    look = "import builtins, json, os, sys, warnings, pandas, numpy as np\nprint([hasattr(m, 'left') for m in (builtins, json, pandas, np)], np.mean([1, 3]), 'LEFT' in os.environ, '/left' in sys.path, 'left' in sys.modules, sys.getrecursionlimit() > 500, os.umask(0))"
    before = walls.run(look).stdout
    for _ in range(2):
        assert walls.run(poison).outcome == "succeeded"
        assert walls.run(look).stdout == before
    assert before.startswith("[False, False, False, False] 2.0 False False False True")


def test_two_boxes_draw_different_random_numbers(walls: Engine) -> None:
    draw = "import json, os, random, secrets, ssl, tempfile, uuid, numpy as np\nprint(json.dumps([np.random.rand(), random.random(), str(uuid.uuid4()), secrets.token_hex(8), ssl.RAND_bytes(8).hex(), os.urandom(8).hex(), np.random.default_rng().random(), tempfile.mktemp()]))"
    first, second, third = (json.loads(walls.run(draw).stdout) for _ in range(3))
    for numbers in zip(first, second, third, strict=True):
        assert len(set(numbers)) == 3

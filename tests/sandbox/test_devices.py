"""A device in a box: harmless nodes stand in for a GPU's, because it is the passing that is tested, not the driver."""

# ruff: noqa: E501  (programs for the box read better in one line)
from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.client import Box, BoxRefused
from sandbox.host import devices
from sandbox.host.seccomp import filter_program
from tests.sandbox.conftest import Engine, Result, make_request
from tests.sandbox.test_engine import first_output, wait_until

POLICY = """
[gpu]
units = ["{place}/unit[0-9]"]
nodes = ["{place}/shared"]
libraries = ["{place}/lib*"]
preload = ["wave", "not_installed_anywhere"]
processes = true

[gpu.environment]
CUDA_VISIBLE_DEVICES = "0"

[[gpu.when]]
call = "socket"
argument = 0
equals = [1]

[[gpu.allow]]
calls = "bind"
"""
LOOK = """
import json, os, stat, sys
place = {place!r}
def kind(name):
    try: return ('node' if stat.S_ISCHR(os.stat(place + '/' + name).st_mode) else 'empty'), os.open(place + '/' + name, os.O_RDWR) and 'opened'
    except OSError as error: return type(error).__name__
print(json.dumps({{name: kind(name) for name in ('unit0', 'unit1', 'shared')}} | {{
    'library': open(place + '/lib/one.so').read(), 'visible': os.environ.get('CUDA_VISIBLE_DEVICES'), 'loaded': 'wave' in sys.modules,
    'dev': sorted(os.listdir('/dev')), 'pid': os.getpid(), 'proc': sorted(os.listdir('/proc')),
    'comm': open(f'/proc/self/task/{{os.getpid()}}/comm', 'w').write('named'), 'init': os.path.exists('/proc/1')}}))
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """Not below /tmp, which is another place in a box."""
    if os.geteuid() != 0:
        pytest.skip("only root can make device nodes to stand in for a GPU's")
    with tempfile.TemporaryDirectory(prefix="devices-", dir="/var/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        for node, minor in (("unit0", 5), ("unit1", 5), ("shared", 3)):  # zero, zero and null
            os.mknod(directory / node, stat.S_IFCHR | 0o666, os.makedev(1, minor))
            (directory / node).chmod(0o666)
        (directory / "lib").mkdir()
        (directory / "lib" / "one.so").write_text("a library")
        (directory / "devices.toml").write_text(POLICY.format(place=directory))
        yield directory


@pytest.fixture
def gpu_engine(make_engine, place: Path):
    def make(*options: str) -> Engine:
        return make_engine("--device", "gpu", "--devices", str(place / "devices.toml"), *options)

    return make


def begin(engine: Engine, source: str, owner: str = "tester") -> Box:
    return engine.client.start(replace(make_request(source, owner=owner), device="gpu"))


def run(engine: Engine, source: str) -> Result:
    with begin(engine, source) as box:
        return Result([event for event in box.events() if event is not None])


@pytest.mark.parametrize("options", [(), ("--no-zygote",)], ids=["fork", "cold"])
def test_a_box_gets_one_unit_and_what_goes_with_it(gpu_engine, place: Path, options) -> None:
    result = run(gpu_engine(*options), LOOK.format(place=str(place)))
    assert result.outcome == "succeeded", result.stderr
    assert result.ended["start"] == ("cold" if options else "fork")
    seen = json.loads(result.stdout)
    opened = [name for name in ("unit0", "unit1", "shared") if seen[name] == ["node", "opened"]]
    assert len(opened) == 2 and "shared" in opened, seen
    assert (seen["library"], seen["visible"]) == ("a library", "0")
    assert seen["loaded"] is (not options)  # a zygote of its own, with the libraries of its own
    assert (seen["proc"], seen["comm"], seen["init"]) == ([str(seen["pid"]), "self", "thread-self"], 5, False)
    assert set(seen["dev"]) <= {"null", "zero", "full", "urandom", "random", "shm"}


def test_a_unit_is_one_box_s_at_a_time(gpu_engine, place: Path) -> None:
    engine = gpu_engine()
    assert engine.status["max_boxes"] == 2
    # Both take the same name of a socket without a file: they would not if they were in one network.
    own = f"import os, socket, stat\nmine = socket.socket(socket.AF_UNIX); mine.bind(chr(0) + 'meeting')\nprint([n for n in ('unit0', 'unit1') if os.path.exists({str(place)!r} + '/' + n) and stat.S_ISCHR(os.stat({str(place)!r} + '/' + n).st_mode)], flush=True)\n"
    boxes = [begin(engine, own + "input()", owner) for owner in ("one", "two")]  # one owner would have one of the two
    assert sorted(first_output(box) for box in boxes) == ["['unit0']\n", "['unit1']\n"]
    last = begin(engine, own)
    assert wait_until(lambda: engine.client.status()["waiting"] == 1)
    for box in boxes:
        box.send_input("")
    ends = [[event for event in box.events() if event is not None][-1] for box in (*boxes, last)]
    assert [end["outcome"] for end in ends] == ["succeeded"] * 3  # it waited until one of them was free


def test_who_asks_for_a_device_goes_to_the_engine_that_has_it(gpu_engine, engine: Engine) -> None:
    with pytest.raises(BoxRefused, match="no device"):
        engine.client.start(replace(make_request("print(1)"), device="gpu"))
    with pytest.raises(BoxRefused, match="gpu"):
        gpu_engine().client.start(make_request("print(1)"))


def test_a_machine_without_the_device_says_so(make_engine, tmp_path: Path) -> None:
    (tmp_path / "devices.toml").write_text(POLICY.format(place=tmp_path / "nowhere"))
    with pytest.raises(AssertionError, match="There is no gpu on this machine"):
        make_engine("--device", "gpu", "--devices", str(tmp_path / "devices.toml"))


def test_an_unknown_device_is_named(make_engine) -> None:
    with pytest.raises(AssertionError, match="The device abacus is not in"):
        make_engine("--device", "abacus")


def test_the_filter_grows_by_the_device_s_rules_alone() -> None:
    from tests.sandbox.test_filter import ALLOW, REFUSE, answer_of

    gpu = devices.find("gpu", here=False)
    with_it, without = filter_program(gpu, "x86_64"), filter_program(None, "x86_64")
    for request in (0xC0484652, 0x30000001, 0x41):
        assert answer_of(with_it, 16, (0, request)) == ALLOW
        assert answer_of(without, 16, (0, request)) == REFUSE
    assert answer_of(with_it, 16, (0, 0x5412)) == REFUSE  # typing into a terminal
    assert answer_of(with_it, 41, (1, 1)) == answer_of(with_it, 49, ()) == ALLOW  # a UNIX socket, and its name
    assert answer_of(with_it, 41, (2, 1)) == answer_of(without, 41, (1, 1)) == answer_of(with_it, 42, ()) == REFUSE
    assert answer_of(with_it, 16, (0, 0x541B)) == ALLOW  # of every box

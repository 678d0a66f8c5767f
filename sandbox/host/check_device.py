"""Do boxes get their device here, whole and alone, and nobody else? Tried with engines of this user's own.

`python -m sandbox.host.check_device --env DIR --device gpu` prints what was seen as one JSON object, and each line on
standard error as soon as it is known. What computes on the device needs PyTorch in that environment; without it those
lines say that they were not tried.
"""

from __future__ import annotations

import argparse
import json
import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from sandbox.client import BoxRefused, BoxRequest, EngineClient, EngineUnavailable, Limits
from sandbox.host import devices
from sandbox.host.check import Report
from sandbox.host.check_machine import ENGINE, Machine, started
from sandbox.host.processes import descendants

LIMITS = Limits(
    cpu_seconds=60,
    wall_seconds=90,
    memory_bytes=8 << 30,
    disk_bytes=64 << 20,
    processes=128,
    output_bytes=64 << 10,
    rich_bytes=1 << 20,
    rich_message_bytes=1 << 20,
    events=500,
    artefact_bytes=0,
    artefact_count=0,
)
HOLD_SECONDS = 1.5
GONE_SECONDS = 10.0  # after a kill, until the driver has taken back what the program had
PATTERN = 0x5A17C0DE5A17C0DE
SPARE_BYTES = 64 << 20  # that a driver may keep or free for reasons of its own between two looks

_OPEN = (
    "import os\n"
    "def opens(path):\n"
    "    try: return bool(held.append(os.open(path, os.O_RDWR)) or True)\n"
    "    except OSError: return False\n"
    "held = []\n"
)


@dataclass
class Told:
    """What one box printed, how it ended, and when, on this side's clock."""

    outcome: str = "did not start"
    printed: str = ""
    errors: str = ""
    first_output: float = 0.0
    ended: float = 0.0
    metered: float | None = None  # seconds that a run of the site would be charged with
    peak_memory: int = 0

    def value(self) -> Any:
        """What a program printed as JSON; ValueError says how it ended instead."""
        if self.outcome != "succeeded":
            raise ValueError(f"it ended as {self.outcome}: {self.errors.strip()[-400:]}")
        return json.loads(self.printed)


@dataclass
class Tried:
    """The two engines, one whose boxes have the device and one whose boxes have none."""

    device: devices.Device
    with_it: Machine
    without: Machine
    has_torch: bool = False

    def run(self, source: str, owner: str = "check", device: bool = True, kill: bool = False) -> Told:
        """One program; with `kill` its box is ended, without asking, as soon as it has printed something."""
        machine = self.with_it if device else self.without
        name = self.device.name if device else ""
        request = BoxRequest("check", owner, {"main.py": source}, "main.py", {}, LIMITS, device=name)
        told = Told()
        try:
            with machine.client.start(request) as box:
                for event in box.events():
                    if event is None:
                        continue
                    if event["type"] == "stdout":
                        told.first_output = told.first_output or time.monotonic()
                        told.printed += event["text"]
                        if kill:
                            told.outcome = "killed"
                            break
                    elif event["type"] == "stderr":
                        told.errors += event["text"]
                    elif event["type"] == "ended":
                        told.outcome, told.metered = event["outcome"], event["wall_seconds"]
                        told.peak_memory = event["peak_memory_bytes"]
                        told.errors += json.dumps(event["error"]) if event["error"] else ""
        except (BoxRefused, EngineUnavailable) as error:
            told.outcome = str(error)
        told.ended = time.monotonic()
        return told


@dataclass(frozen=True)
class Line:
    """look: what was seen, or ValueError with what is wrong."""

    name: str
    says: str
    look: Callable[[Tried], str]
    torch: bool = False


def _unit(tried: Tried) -> str:
    units, nodes = list(tried.device.units), list(tried.device.nodes)
    source = f"{_OPEN}import json\nprint(json.dumps([[p for p in some if opens(p)] for some in ({units}, {nodes})]))"
    opened, shared = tried.run(source).value()
    if len(opened) != 1:
        raise ValueError(f"it opens {', '.join(opened) or 'no unit'} of {', '.join(units)}")
    if missing := set(nodes) - set(shared):
        raise ValueError(f"it cannot open {', '.join(sorted(missing))}")
    return f"{opened[0]}, with {', '.join(shared) or 'nothing beside it'}"


def _others(tried: Tried) -> str:
    places, variables = [*tried.device.units, *tried.device.nodes], list(tried.device.environment)
    source = (
        f"import json, os\nprint(json.dumps([p for p in {places} if os.path.exists(p)]"
        f" + [v for v in {variables} if v in os.environ]))"
    )
    if found := tried.run(source, device=False).value():
        raise ValueError(f"it sees {', '.join(found)}")
    return f"none of {len(places)} nodes"


def _walls(tried: Tried) -> str:
    """What its device opens is no more than it needs: sockets of the box's own, and its own processes."""
    source = (
        "import json, os, socket\nmade = []\nfor family in range(1, 46):\n    for kind in (1, 2, 3, 5):\n"
        "        try: socket.socket(family, kind); made.append(family)\n        except OSError: pass\n"
        "names = os.listdir('/proc') if os.path.isdir('/proc') else []\n"
        "net = os.stat('/proc/self/ns/net').st_ino if names else 0\n"
        "print(json.dumps([sorted(set(made)), [n for n in names if n not in (str(os.getpid()), 'self', 'thread-self')],"
        " net]))"
    )
    families, others, network = tried.run(source).value()
    if set(families) - ({1} if tried.device.sockets else set()):
        raise ValueError(f"it makes sockets of the families {families}")
    if others:
        raise ValueError(f"it sees in /proc: {', '.join(others[:20])}")
    if tried.device.sockets and network and os.geteuid() == 0:
        outside = {os.getpid(), tried.with_it.client.status()["zygote"]["pid"]} - {0}
        if network in {os.stat(f"/proc/{pid}/ns/net").st_ino for pid in outside}:
            raise ValueError("its network is not its own")
    return f"{'UNIX sockets' if families else 'no sockets'}, {'its own processes' if network else 'no processes'}"


def _turns(tried: Tried) -> str:
    """One box more than there are units."""
    source = (
        f"{_OPEN}import time\nprint([p for p in {list(tried.device.units)} if opens(p)][0], flush=True)\n"
        f"time.sleep({HOLD_SECONDS})"
    )
    told: list[Told] = []
    owners = [f"owner {number}" for number in range(len(tried.device.units) + 1)]
    threads = [threading.Thread(target=lambda owner=owner: told.append(tried.run(source, owner))) for owner in owners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed := [each for each in told if each.outcome != "succeeded"]:
        raise ValueError(f"one of {len(told)} at a time ended as {failed[0].outcome}: {failed[0].errors[-300:]}")
    for one, two in combinations(told, 2):
        together = min(one.ended, two.ended) - max(one.first_output, two.first_output)
        if one.printed == two.printed and together > HOLD_SECONDS / 2:
            raise ValueError(f"two boxes had {one.printed.strip()} at the same time")
    last = max(each.first_output for each in told) - min(each.first_output for each in told)
    return f"{len(told)} boxes at a time: the last one had its unit {last:.1f} s after the first"


def _seconds(tried: Tried) -> str:
    begun = time.monotonic()
    told = tried.run(f"import time\ntime.sleep({HOLD_SECONDS})\nprint(1)")
    took = time.monotonic() - begun
    told.value()
    if told.metered is None or not HOLD_SECONDS <= told.metered <= took:
        raise ValueError(f"{told.metered} s of {took:.3f} s are counted for {HOLD_SECONDS} s of work")
    return f"{told.metered:.3f} s counted for {HOLD_SECONDS} s of work; {took:.3f} s with the box around it"


def _released(tried: Tried) -> str:
    if os.geteuid() != 0:
        return "not looked at: only root sees who holds it"
    device = tried.device
    numbers = {os.stat(path).st_rdev for path in device.units}
    source = (
        f"{_OPEN}import time\nif os.fork() == 0: os.setsid()\n"
        f"[opens(p) for p in {[*device.units, *device.nodes]}]\nprint(len(held), flush=True)\ntime.sleep(60)"
    )
    killed = tried.run(source, kill=True)
    if killed.outcome != "killed":
        raise ValueError(f"it ended as {killed.outcome}: {killed.errors[-300:]}")
    while (holders := _holders(numbers, tried.with_it)) and time.monotonic() - killed.ended < GONE_SECONDS:
        time.sleep(0.05)
    if holders:
        raise ValueError(f"processes {holders} still have it after {GONE_SECONDS:g} s")
    return f"nobody has it {time.monotonic() - killed.ended:.2f} s after the kill"


def _holders(numbers: set[int], machine: Machine) -> list[int]:
    """Processes below the engine that have such a node open."""
    found = []
    for pid in descendants(machine.process.pid):
        try:
            links = list(Path(f"/proc/{pid}/fd").iterdir())
        except OSError:
            continue
        for link in links:
            try:
                status = os.stat(link)
            except OSError:
                continue
            if stat.S_ISCHR(status.st_mode) and status.st_rdev in numbers:
                found.append(pid)
                break
    return found


def _computes(tried: Tried) -> str:
    source = (
        "import json, numpy, time, torch\n"
        "begun = time.perf_counter()\nn = 2048\nleft = numpy.arange(n * n).reshape(n, n) % 7\n"
        "right = numpy.arange(n * n).reshape(n, n) % 5\n"
        "a, b = (torch.tensor(each, dtype=torch.float64, device='cuda') for each in (left, right))\n"
        "product = (a @ b).cpu().numpy()\nfirst = time.perf_counter() - begun\n"
        "begun = time.perf_counter()\n(a @ b).sum().item()\nagain = time.perf_counter() - begun\n"
        "wanted = left.astype(float) @ right.astype(float)\n"
        "print(json.dumps([torch.cuda.get_device_name(0), torch.cuda.device_count(), bool((product == wanted).all()),"
        " first, again]))"
    )
    told = tried.run(source)
    name, count, right, first, again = told.value()
    if not right or count != 1:
        raise ValueError(f"{name}: {count} devices, the product is {'right' if right else 'wrong'}")
    return (
        f"{name}: a product of 2048 x 2048 is right; {first:.2f} s the first, {again * 1000:.1f} ms the next, "
        f"{told.peak_memory >> 20} MB of the machine's memory"
    )


def _blind(tried: Tried) -> str:
    source = "import torch\nprint('[%d]' % torch.cuda.device_count())"
    if tried.run(source, device=False).value() != [0]:
        raise ValueError("PyTorch finds a device")
    return "PyTorch finds no device"


_FREE = "import json, torch\nfree, total = torch.cuda.mem_get_info()\n"


def _memory(tried: Tried) -> str:
    """A killed program's memory is free again, and what it wrote is gone."""
    before, total = tried.run(f"{_FREE}print(json.dumps([free, total]))").value()
    fill = f"{_FREE}held = torch.full((free // 16,), {PATTERN}, dtype=torch.int64, device='cuda')\n"
    fill += "torch.cuda.synchronize()\nprint(torch.cuda.mem_get_info()[0], flush=True)\nimport time\ntime.sleep(60)"
    killed = tried.run(fill, kill=True)
    if killed.outcome != "killed":
        raise ValueError(f"the one that fills it ended as {killed.outcome}: {killed.errors[-300:]}")
    look = (
        f"{_FREE}found = torch.empty((free // 12,), dtype=torch.int64, device='cuda')\n"
        f"seen = sum(int((part == {PATTERN}).sum()) for part in found.split(1 << 26))\n"
        "print(json.dumps([free, seen, found.numel()]))"
    )
    after, seen, looked = tried.run(look).value()
    during = int(killed.printed)
    figures = f"free: {before >> 20} MB, {during >> 20} MB while it was held, {after >> 20} MB after the kill"
    if after < before - SPARE_BYTES:
        raise ValueError(figures)
    if seen:
        raise ValueError(f"{seen} of {looked} words are those of the box before")
    return f"{figures} (of {total >> 20}); none of {looked >> 17} MB holds a word of the box before"


LINES = (
    Line("unit", "a box opens one unit of the device, and what goes with it", _unit),
    Line("others", "a box of another queue sees nothing of it", _others),
    Line("walls", "beside it there is nothing that another box has not: no network, no process of others", _walls),
    Line("turns", "a unit is one box's at a time, and the next one waits", _turns),
    Line("seconds", "the seconds of a program are counted, and not those around it", _seconds),
    Line("released", "nobody holds it when a box was killed", _released),
    Line("computes", "PyTorch computes on it, and right", _computes, torch=True),
    Line("blind", "PyTorch of another queue's box finds no device", _blind, torch=True),
    Line("memory", "a killed program's memory is free again and empty", _memory, torch=True),
)


@dataclass
class DeviceReport(Report):
    starts: dict[str, str] = field(default_factory=dict)  # how the boxes of each engine begin


def check(
    environment: Path,
    name: str,
    policy: Path = devices.DEVICES,
    lines: Sequence[Line] = LINES,
    engine: Sequence[str] = ENGINE,
    tell: Callable[[dict[str, Any]], None] = lambda line: None,
) -> DeviceReport:
    report = DeviceReport()
    try:
        device = devices.find(name, policy)
    except devices.DeviceMissing as error:
        report.reason = str(error)
        return report
    with (
        started(environment, (*engine, "--device", name, "--devices", str(policy)), "fork") as with_it,
        started(environment, (*engine, "--ready", "0"), "fork") as without,
    ):
        for machine in (with_it, without):
            machine.wait()
            report.reason = report.reason or machine.reason
        report.status, report.weaknesses = with_it.status, [*with_it.status.get("weaknesses", [])]
        if report.reason:
            return report
        tried = Tried(device, with_it, without)
        for machine in (with_it, without):
            _wait_for_zygote(machine.client)
        report.starts = {"device": _zygote(with_it), "none": _zygote(without)}
        look = "import importlib.util, json\nprint(json.dumps(importlib.util.find_spec('torch') is not None))"
        found = tried.run(look, device=False)
        tried.has_torch = found.outcome == "succeeded" and found.value()
        for line in lines:
            said: dict[str, Any] = {"name": line.name, "says": line.says}
            if line.torch and not tried.has_torch:
                said |= {"kept": None, "seen": "not tried: PyTorch is not in this environment"}
            else:
                try:
                    said |= {"kept": True, "seen": line.look(tried)}
                except ValueError as wrong:
                    said |= {"kept": False, "seen": str(wrong)}
            report.promises.append(said)
            tell(said)
    broken = [said["name"] for said in report.promises if said["kept"] is False]
    report.ok = not broken
    if broken:
        report.reason = f"Boxes with the device {name} do not do what they should: {', '.join(broken)}."
    return report


def _wait_for_zygote(client: EngineClient, seconds: float = 120.0) -> None:
    """Until boxes are forked, or it is plain that they will not be: cold ones do as well, and slower."""
    deadline = time.monotonic() + seconds
    while "started" in (zygote := client.status()["zygote"]) and time.monotonic() < deadline:
        if zygote["state"] not in ("off", "starting"):
            return
        time.sleep(0.1)


def _zygote(machine: Machine) -> str:
    return "fork" if machine.client.status()["zygote"]["state"] == "ready" else "cold"


def main() -> int:
    parser = argparse.ArgumentParser(prog="sandbox.host.check_device", description=__doc__)
    parser.add_argument("--env", type=Path, required=True, help="the virtual environment of the boxes")
    parser.add_argument("--device", default="gpu", help="as an engine's; its name in the policy")
    parser.add_argument("--devices", type=Path, default=devices.DEVICES, help="what a device is (policy/devices.toml)")
    options = parser.parse_args()
    mark = {True: "kept  ", False: "BROKEN", None: "      "}

    def tell(said: dict[str, Any]) -> None:
        print(f"{mark[said['kept']]}  {said['name']:<8}  {said['says']}: {said['seen']}", file=sys.stderr, flush=True)

    report = check(Path(os.path.abspath(options.env)), options.device, options.devices, tell=tell)
    print(json.dumps(asdict(report), indent=2))
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())

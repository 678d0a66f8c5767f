"""How fast does a box start, and what does it cost? `make bench-engine`: the ways to start one, measured in turn.

plain   python in an nsjail by hand, with the same walls and no code of ours: what a sandboxed run costs anywhere
cold    a box of ours with an nsjail and an interpreter of its own
fork    a box forked from the zygote when it is asked for
ready   a box that stood ready

One round measures each of them once, so that whatever else the machine does meets all of them. The first byte is timed
where a worker would see it, from asking the engine to the first text event.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.client import BoxRequest, EngineClient, EngineUnavailable, Limits
from sandbox.host import staging
from sandbox.host.launching import Identity, Place
from sandbox.host.nsjail import cold_command, find_nsjail
from tests.benchmarks.report import Report

ROOT = Path(__file__).resolve().parent.parent.parent
ROUNDS = 30
WARM_ROUNDS = 3
TURNS, TURN_SECONDS = 5, 6.0  # of throughput
WORKERS = 2
TICKS = os.sysconf("SC_CLK_TCK")
MEGABYTE = 1 << 20
LIMITS = Limits(60, 120, 1024 * MEGABYTE, 64 * MEGABYTE, 64, MEGABYTE, 20 * MEGABYTE, 8 * MEGABYTE, 20_000, 0, 0)

TRIVIAL = "print(1)\n"
# Imports what strategies import, says so, and then works: a backtest, a chart and a test of its returns. What the site
# does with a backtest beside that, its record and several more runs of it on other data, is no part of a start and has
# no counterpart in a plain Python, so it is left out.
STRATEGY = """
import sys
import numpy as np, pandas as pd, plotly.graph_objects as go
from scipy import stats
from backtesting import Backtest, Strategy
from backtesting.lib import crossover
print("ready to work", flush=True)

days = 500
close = 100 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, days)))
bars = pd.DataFrame(
    {"Open": close, "High": close * 1.01, "Low": close * 0.99, "Close": close, "Volume": 1000},
    index=pd.date_range("2023-01-02", periods=days),
)

def average(values, length):
    return pd.Series(values).rolling(length).mean()

class Cross(Strategy):
    def init(self):
        self.fast = self.I(average, self.data.Close, 10)
        self.slow = self.I(average, self.data.Close, 30)

    def next(self):
        if crossover(self.fast, self.slow):
            self.buy(size=0.5)
        elif crossover(self.slow, self.fast):
            self.position.close()

if "qfp.copied.of_backtesting" in sys.modules:
    sys.modules["qfp.copied.of_backtesting"]._quiet = 1
result = Backtest(bars, Cross, cash=10_000, finalize_trades=True).run()
chart = go.Figure(go.Candlestick(x=bars.index, open=bars.Open, high=bars.High, low=bars.Low, close=bars.Close))
print(round(result["Return [%]"], 2), len(chart.to_json()), stats.jarque_bera(np.diff(np.log(close))).pvalue)
"""
PROGRAMS = {"print": TRIVIAL, "strategy": STRATEGY}

TARGETS_AT_LEAST = {
    "strategy first byte, plain / ready": 150.0,
    "strategy first byte, plain / fork": 60.0,
    "strategy runs a second, fork / plain": 30.0,
}
TARGETS_AT_MOST = {"idle ready box private": 5.0, "trivial run adds to its group": 3.0}


@dataclass
class Timing:
    first: float
    total: float
    cpu: float


class MeasuredEngine:
    """An engine of our own, whose processor time, with all it starts, can be read."""

    def __init__(self, directory: Path, environment: Path, start: str, *options: str) -> None:
        directory.mkdir(mode=0o755)
        self.start, self.socket = start, directory / "s"
        words = [sys.executable, "-m", "sandbox.host.engine", "--socket", str(self.socket), "--env", str(environment)]
        words += ["--store", str(directory / "store"), "--state", str(directory / "state"), *options]
        self.log = (directory / "log").open("w")
        self.process = subprocess.Popen(words, cwd=ROOT, stdout=self.log, stderr=self.log)
        self.client = EngineClient(self.socket)
        self._wait(lambda status: status["ready"] and (start == "cold" or status["zygote"]["state"] == "ready"))
        self.run(TRIVIAL)  # boxes stand ready for what was asked for before

    def _wait(self, done: Callable[[dict[str, Any]], bool], seconds: float = 90.0) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                status = self.client.status()
                if done(status):
                    return status
            except EngineUnavailable:
                pass
            time.sleep(0.02)
        raise SystemExit(f"The engine did not come to where it should be; see {self.log.name}.")

    def stand_ready(self) -> None:
        if self.start == "ready":
            self._wait(lambda status: status["ready_boxes"] > 0, 20)

    def run(self, source: str) -> Timing:
        before, begun, first = self.cpu(), time.monotonic(), 0.0
        with self.client.start(BoxRequest("benchmark", "benchmark", {"main.py": source}, "main.py", {}, LIMITS)) as box:
            for event in box.events():
                if event is None:
                    continue
                if event["type"] == "stdout" and not first:
                    first = time.monotonic() - begun
                if event["type"] == "ended" and event["outcome"] != "succeeded":
                    raise SystemExit(f"A program of the benchmark ended {event['outcome']}.")
        total = time.monotonic() - begun
        self.settle()
        return Timing(first, total, self.cpu() - before)

    def settle(self) -> None:
        """What is done after the answer, and ahead of the next question, belongs to the run as well."""
        self._wait(lambda status: not status["boxes"])
        self.stand_ready()

    def cpu(self) -> float:
        """Seconds of the engine, its zygote, the keeper, and everything they have waited for."""
        pids = [self.process.pid]
        if zygote := self.client.status()["zygote"]["pid"]:
            pids += [zygote, _parent_of(zygote)]
        return sum(map(_cpu_of, pids))

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


def _cpu_of(pid: int) -> float:
    return sum(map(int, _fields_of(pid)[11:15])) / TICKS  # own and that of children it has waited for


def _parent_of(pid: int) -> int:
    return int(_fields_of(pid)[1])


def _fields_of(pid: int) -> list[str]:
    """Of its line in /proc, those after the name."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


class Plain:
    """Python in an nsjail, started by hand for each program."""

    start = "plain"

    def __init__(self, directory: Path, environment: Path) -> None:
        directory.mkdir(mode=0o755)
        self._directory = directory
        etc, nothing = directory / "etc", directory / "nothing"
        staging.write_etc(etc)
        nothing.mkdir()
        prefix = staging.interpreter_prefix(environment)
        place = staging.Staging(environment, prefix, prefix, staging.INSIDE, staging.SDK, nothing, nothing, etc)
        self._words = cold_command(
            find_nsjail(), place, Identity(os.geteuid(), os.getegid()), Place(64 * MEGABYTE), (0, 0, 0), 2
        )
        self._words = self._words[: self._words.index("--") + 1]

    def stand_ready(self) -> None:
        pass

    def run(self, source: str) -> Timing:
        begun = time.monotonic()
        words = [*self._words, "/opt/env/bin/python", "-c", source]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/")
        assert process.stdout is not None
        os.read(process.stdout.fileno(), 1)
        first = time.monotonic() - begun
        process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        if status:
            raise SystemExit("The program in the plain nsjail failed; try `manage.py check_sandbox`.")
        return Timing(first, time.monotonic() - begun, usage.ru_utime + usage.ru_stime)

    def stop(self) -> None:
        pass


Way = MeasuredEngine | Plain


@contextmanager
def ways(environment: Path) -> Iterator[dict[str, Way]]:
    base = Path(tempfile.mkdtemp(prefix="bench-"))
    base.chmod(0o755)
    found: dict[str, Way] = {}
    try:
        found["plain"] = Plain(base / "p", environment)
        found["cold"] = MeasuredEngine(base / "c", environment, "cold", "--no-zygote")
        found["fork"] = MeasuredEngine(base / "f", environment, "fork", "--ready", "0")
        found["ready"] = MeasuredEngine(base / "r", environment, "ready")
        yield found
    finally:
        for way in found.values():
            way.stop()
        shutil.rmtree(base, ignore_errors=True)


@dataclass
class Latency:
    first: list[float] = field(default_factory=list)
    total: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def measure_latency(report: Report, found: dict[str, Way]) -> None:
    for program, source in PROGRAMS.items():
        seen = {name: Latency() for name in found}
        for round_number in range(WARM_ROUNDS + ROUNDS):
            for name, way in found.items():
                way.stand_ready()
                timing = way.run(source)
                if round_number >= WARM_ROUNDS:
                    seen[name].first.append(timing.first * 1000)
                    seen[name].total.append(timing.total * 1000)
                    seen[name].cpu.append(timing.cpu * 1000)
        for name, latency in seen.items():
            report.add_spread(f"{program} {name} first byte", latency.first, "ms")
            report.add_spread(f"{program} {name} total", latency.total, "ms")
            report.add(f"{program} {name} processor time", statistics.fmean(latency.cpu), "ms", ROUNDS)
        for base in ("plain", "cold"):
            for name in ("fork", "ready"):
                ratios = [one / other for one, other in zip(seen[base].first, seen[name].first, strict=True)]
                report.add(f"{program} first byte, {base} / {name}", statistics.median(ratios), "x", ROUNDS)


def measure_throughput(report: Report, found: dict[str, Way]) -> None:
    for program, source in PROGRAMS.items():
        rates: dict[str, list[float]] = {name: [] for name in found}
        for _ in range(TURNS):
            for name, way in found.items():
                rates[name].append(_rate(way, source))
        for name, seen in rates.items():
            report.add(f"{program} runs a second, {name}", statistics.median(seen), "1/s", TURNS)
        for base in ("plain", "cold"):
            for name in ("fork", "ready"):
                ratios = [one / other for one, other in zip(rates[name], rates[base], strict=True)]
                report.add(f"{program} runs a second, {name} / {base}", statistics.median(ratios), "x", TURNS)


def _rate(way: Way, source: str) -> float:
    """Finished programs a second with two of them asked for at any time."""
    rates = [0.0] * WORKERS

    def work(number: int) -> None:
        begun, count = time.monotonic(), 0
        while time.monotonic() - begun < TURN_SECONDS:
            _run_quickly(way, source)
            count += 1
            rates[number] = count / (time.monotonic() - begun)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rates)


def _run_quickly(way: Way, source: str) -> None:
    if isinstance(way, Plain):
        way.run(source)
        return
    owner = f"benchmark-{threading.get_ident()}"
    with way.client.start(BoxRequest("benchmark", owner, {"main.py": source}, "main.py", {}, LIMITS)) as box:
        for _event in box.events():
            pass


def measure_memory(report: Report, engine: MeasuredEngine) -> None:
    """Of boxes: what no other process shares, their share of all, and what their control group is charged."""
    source = "print(1, flush=True)\nimport time\ntime.sleep(1)\n"
    engine.stand_ready()
    time.sleep(0.5)
    idle = [_memory_of(name, pids) for name, pids in _boxes(engine, "ready program").items()]
    used: list[dict[str, float]] = []
    for each in (source, STRATEGY + "import time\ntime.sleep(1)\n"):
        with engine.client.start(BoxRequest("benchmark", "benchmark", {"main.py": each}, "main.py", {}, LIMITS)) as box:
            texts = 0
            for event in box.events():
                texts += event is not None and event["type"] == "stdout"
                if event is not None and event["type"] == "stdout" and texts == (1 if each is source else 2):
                    time.sleep(0.3)
                    used += [_memory_of(name, pids) for name, pids in _boxes(engine, "box program").items()]
    if not idle or len(used) < 2:
        print("No control groups to be read here: the memory of boxes was not measured.")
        return
    for name, figures in (("idle ready box", idle[0]), ("box after print", used[0]), ("box after strategy", used[1])):
        for kind, value in figures.items():
            report.add(f"{name} {kind}", value, "MiB", 1)
    report.add("trivial run adds to its group", used[0]["group"] - idle[0]["group"], "MiB", 1)


def _boxes(engine: MeasuredEngine, name: str) -> dict[str, list[int]]:
    """Control group -> its processes, for the boxes of this engine that have a process of that name."""
    found: dict[str, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text().strip() != name or not _is_below(int(path.parent.name), engine.process.pid):
                continue
            groups = (path.parent / "cgroup").read_text().splitlines()
        except OSError:
            continue
        for line in groups:
            _number, controllers, place = line.split(":", 2)
            if "memory" in controllers.split(","):
                directory = Path("/sys/fs/cgroup/memory") / place.lstrip("/")
            elif not controllers and "/box-" in place:
                directory = Path("/sys/fs/cgroup") / place.lstrip("/")
            else:
                continue
            found[str(directory)] = list(map(int, (directory / "cgroup.procs").read_text().split()))
    return found


def _is_below(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        pid = _parent_of(pid)
    return False


def _memory_of(group: str, pids: list[int]) -> dict[str, float]:
    sums = {"Pss": 0, "Private_Dirty": 0, "Private_Clean": 0}
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            kind, _, rest = line.partition(":")
            if kind in sums:
                sums[kind] += int(rest.split()[0])
    files = (Path(group) / name for name in ("memory.usage_in_bytes", "memory.current"))
    usage = next(path for path in files if path.exists())
    private = (sums["Private_Dirty"] + sums["Private_Clean"]) / 1024
    return {"proportional": sums["Pss"] / 1024, "private": private, "group": int(usage.read_text()) / MEGABYTE}


def measure_steps(report: Report, engine: MeasuredEngine) -> None:
    """What building a box is made of, from the engine's own figures over all that it has built."""
    text = engine.client.metrics()
    built = sum(map(float, re.findall(r'boxes_built_total\{start="fork"\} (\S+)', text)))
    found = re.findall(r'build_seconds_total\{start="fork",step="([^"]+)"\} (\S+)', text)
    steps = {step: float(seconds) for step, seconds in found}
    whole = sum(steps.values())
    for step, seconds in sorted(steps.items(), key=lambda item: -item[1]):
        report.add(f"building: {step}", seconds / built * 1000, "ms", int(built))
        report.add(f"building: {step}, share", 100 * seconds / whole, "%", int(built))


def measure() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "playground.settings")
    import django

    django.setup()
    from django.conf import settings

    report = Report("engine", TARGETS_AT_MOST, TARGETS_AT_LEAST)
    with ways(Path(settings.SANDBOX_ENV)) as found:
        measure_latency(report, found)
        fork = found["fork"]
        assert isinstance(fork, MeasuredEngine)
        measure_steps(report, fork)
        measure_throughput(report, found)
        ready = found["ready"]
        assert isinstance(ready, MeasuredEngine)
        measure_memory(report, ready)
    report.write(Path(settings.DATA_DIR))


if __name__ == "__main__":
    measure()

"""How fast is a backtest? `make bench-backtest`: qfp.backtesting against other engines, all ending with equal money.

Every measurement is a process of its own, in the boxes' environment or in that of its engine (competitors.py), the
engines taking turns, so that what else the machine does meets all of them; a ratio is the median of the rounds'
ratios, and of an engine that runs once, to the median of ours. In each process the strategy runs twice: the first run
is what a click costs, compilers included, the second what one more costs. At the end two of them are run in boxes of
the engine, as a user of the site runs them. The programs are in backtest_programs.py; JOBS is the list of what is
measured, to be added to.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.backtest_programs import GOOG_BARS, grid_of
from tests.benchmarks.competitors import interpreter
from tests.benchmarks.report import Report

SDK = Path(__file__).resolve().parents[2] / "sandbox" / "sdk"
PROGRAMS = Path(__file__).with_name("backtest_programs.py")
OURS = ("ours", "ours interpreted", "kernel")
# What the fill conventions of five engines make of the average crossing on GOOG; docs/speed.md says whose they are.
CONVENTIONS = {
    "open of the next bar": 6_415_269.77,
    "close that decides": 6_040_904.82,
    "close that decides, fractions": 6_042_042.23,
    "close of the next bar": 5_766_408.54,
    "open of the next bar, 95 % at the close": 5_913_680.13,
}
# The first compiles for seconds in every process, the second tries hundreds of combinations.
ONCE = ("vectorbt", "theirs optimize")
# bars -> (rounds, engines). backtrader takes minutes for a million bars.
SINGLE = {
    GOOG_BARS: (4, ("ours", "ours interpreted", "theirs", "vectorbt", "backtrader", "kernel")),
    100_000: (3, ("ours", "ours interpreted", "theirs", "vectorbt", "kernel")),
    1_000_000: (4, ("ours", "theirs", "vectorbt", "kernel")),
}
GRIDS = {1_000: 3, 10_000: 5}
AT_LEAST = {
    "click to figures, wall theirs / ours": 80.0,
    "1,000,000 bars, first, CPU theirs / ours": 200.0,
    "1,000,000 bars, again, CPU vectorbt / ours": 5.0,
    "10,000 combinations, first, CPU theirs / ours": 5_000.0,
    "10,000 combinations, again, CPU vectorbt / ours": 100.0,
    "2,148 bars, first, CPU theirs / ours interpreted": 5.0,
}
# CPU and wall beside each other: a run uses one thread, a search by us or backtesting.py's optimize() all cores.
WHENS = [
    (f"{when} {kind}", f"{when}, {word}")
    for when in ("first", "again")
    for kind, word in (("cpu", "CPU"), ("wall", "wall"))
]
AT_MOST = {"1,000,000 bars, first, CPU ours": 200.0}
# The same in boxes of the engine, whose memory is a copy of another process's, and where what was tried is told.
IN_A_BOX = """
import importlib.util, json, os, pathlib, warnings
import programs

warnings.simplefilter("ignore")
os.environ["GOOG"] = str(pathlib.Path(importlib.util.find_spec("backtesting").origin).parent / "test" / "GOOG.csv")
programs.ready = lambda: None  # as a box is by itself
found = programs.{job}("ours", {number})
print(json.dumps({{key: found[key] for key in ("first cpu", "first wall", "again cpu", "again wall")}}))
"""
BOXED = {"1,000,000 bars": ("single", 1_000_000), "10,000 combinations": ("grid", 10_000)}
BOXES = 5


class Bench:
    """The interpreters, and the processes started with them."""

    def __init__(self, boxes: Path, folder: Path) -> None:
        self.boxes, self.folder = boxes, folder
        goog = "import backtesting, pathlib; print(pathlib.Path(backtesting.__file__).parent / 'test' / 'GOOG.csv')"
        self.goog = subprocess.run(
            [str(boxes), "-W", "ignore", "-c", goog], capture_output=True, text=True, check=True
        ).stdout.strip()

    def process(self, engine: str, job: str, number: int = 0) -> dict[str, Any]:
        """What a program printed, and the wall time of its whole process."""
        python = self.boxes if engine in OURS or engine.startswith("theirs") else interpreter(engine, self.folder)
        begun = time.perf_counter()
        done = subprocess.run(
            [str(python), "-W", "ignore", str(PROGRAMS), engine, job, str(number)],
            capture_output=True,
            text=True,
            timeout=900,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "PYTHONPATH": str(SDK), "GOOG": self.goog},
        )
        if done.returncode:
            raise SystemExit(f"{engine}, {job} {number} failed: {done.stderr[-2000:]}")
        return {"process": time.perf_counter() - begun, **json.loads(done.stdout)}

    def rounds(self, engines: tuple[str, ...], job: str, number: int, count: int) -> dict[str, list[dict[str, Any]]]:
        """Every engine in turn, so many times; those of ONCE in the first round only."""
        found: dict[str, list[dict[str, Any]]] = {engine: [] for engine in engines}
        for round_ in range(count):
            for engine in engines:
                if not round_ or engine not in ONCE:
                    found[engine].append(self.process(engine, job, number))
        return found


def agree(found: dict[str, list[dict[str, Any]]], what: str) -> None:
    """Stop where engines end with different money: then they have not done the same work."""
    ends = {engine: {round(one["equity"], 2) for one in rounds} for engine, rounds in found.items()}
    if len(set().union(*ends.values())) != 1:
        raise SystemExit(f"The engines disagree on {what}: {ends}")


def tell(report: Report, name: str, found: dict[str, list[dict[str, Any]]], scale: dict[str, float]) -> None:
    """Times of every engine and their ratios. scale: by how much an engine's times stand for more work."""
    for engine, rounds in found.items():
        for key, text in WHENS:
            if key in rounds[0]:
                value = statistics.median(one[key] for one in rounds) * scale.get(engine, 1.0)
                report.add(f"{name}, {text} {engine}", value * 1000, "ms", len(rounds))
        report.add(f"{name}, memory {engine}", max(one["memory"] for one in rounds), "MiB", len(rounds))
    for ours in ("ours", "ours interpreted"):
        for engine in sorted(found.keys() - {"ours", "ours interpreted"}) if ours in found else ():
            for key, text in WHENS:
                kind = key.partition(" ")[2]  # where they run once, that stands for both
                their = [one.get(key, one[f"first {kind}"]) * scale.get(engine, 1.0) for one in found[engine]]
                own = [one[key] for one in found[ours]]
                pairs = [(their[0], statistics.median(own))] if engine in ONCE else zip(their, own, strict=True)
                ratios = [other / one for other, one in pairs]
                report.add(f"{name}, {text} {engine} / {ours}", statistics.median(ratios), "x", len(ratios))


def conventions(report: Report, bench: Bench) -> None:
    found = bench.process("ours", "conventions")
    for name, wanted in CONVENTIONS.items():
        if abs(found[name] - wanted) > 0.006:
            raise SystemExit(f"By {name} the equity is {found[name]}, not {wanted}")
        report.add(f"equity on GOOG, fill at {name}", found[name], "USD", 1)


def click(report: Report, bench: Bench) -> None:
    found = bench.rounds(("ours", "theirs"), "click", 0, 5)
    agree(found, "a click")
    ours, theirs = [one["wall"] for one in found["ours"]], [one["process"] for one in found["theirs"]]
    report.add("click to figures, wall ours", statistics.median(ours) * 1000, "ms", 5)
    report.add("click to figures, wall theirs", statistics.median(theirs) * 1000, "ms", 5)
    ratios = [other / one for other, one in zip(theirs, ours, strict=True)]
    report.add("click to figures, wall theirs / ours", statistics.median(ratios), "x", 5)


def single_runs(report: Report, bench: Bench) -> None:
    for bars, (rounds, engines) in SINGLE.items():
        found = bench.rounds(engines, "single", bars, rounds)
        agree(found, f"{bars} bars")
        tell(report, f"{bars:,} bars", found, {})


def grids(report: Report, bench: Bench) -> None:
    for count, rounds in GRIDS.items():
        found = bench.rounds(("ours", "theirs", "theirs optimize", "vectorbt", "kernel"), "grid", count, rounds)
        for one in found["theirs"]:  # tries some of them, which have to be equal one by one
            places = range(0, count, max(1, count // 25))
            if [found["ours"][0]["every"][place] for place in places] != one["every"]:
                raise SystemExit(f"The engines disagree on {count} combinations")
        fasts, slows = grid_of(count)
        for fast, slow, equity in found["theirs optimize"][0]["every"]:
            if found["ours"][0]["every"][fasts.index(fast) * len(slows) + slows.index(slow)] != equity:
                raise SystemExit(f"The engines disagree on the averages of {fast} and {slow} bars")
        agree({engine: found[engine] for engine in ("ours", "vectorbt", "kernel")}, f"{count} combinations")
        tell(
            report,
            f"{count:,} combinations",
            found,
            {one: count / found[one][0]["of"] for one in ("theirs", "theirs optimize")},
        )


def in_boxes(report: Report, bench: Bench) -> None:
    from tests.sandbox.conftest import Engine

    with tempfile.TemporaryDirectory(prefix="b-") as directory:
        os.chmod(directory, 0o755)
        engine = Engine(Path(directory))
        try:
            for name, (job, number) in BOXED.items():
                files = {"programs.py": PROGRAMS.read_text()}
                found = []
                for _ in range(BOXES):
                    done = engine.run(IN_A_BOX.format(job=job, number=number), files=files, memory_bytes=1 << 30)
                    if done.outcome != "succeeded":
                        raise SystemExit(f"A box ended {done.outcome}: {done.stderr}")
                    found.append(json.loads(done.stdout))
                for key, text in WHENS:
                    value = statistics.median(one[key] for one in found)
                    report.add(f"{name} in a box, {text} ours", value * 1000, "ms", BOXES)
        finally:
            engine.stop()


# Benchmarks of other parts take their place here: functions of the report and the bench.
JOBS: list[Callable[[Report, Bench], None]] = [conventions, click, single_runs, grids, in_boxes]


def measure() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "playground.settings")
    from django.conf import settings

    bench = Bench(Path(settings.SANDBOX_ENV) / "bin" / "python", Path(settings.DATA_DIR))
    report = Report("backtest", at_most=AT_MOST, at_least=AT_LEAST)
    for job in JOBS:
        job(report, bench)
    report.write(Path(settings.DATA_DIR))

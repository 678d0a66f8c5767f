"""How fast is an account with many instruments? `make bench-portfolio`: qfp.portfolio, vectorbt and bt, same weights.

Every measurement is a process of its own in the environment of its engine, the engines taking turns; a ratio is the
median of the rounds' ratios. The first run in a process is what a click costs, compilers included, the second what one
more costs. Without costs all engines that hold fractions of a share must end with the same money to the cent; with
costs they differ by when the cost is taken (the site solves for it, vectorbt takes it from cash), and bt holds whole
shares.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from pathlib import Path
from typing import Any

from tests.benchmarks.competitors import interpreter
from tests.benchmarks.report import Report

SDK = Path(__file__).resolve().parents[2] / "sandbox" / "sdk"
PROGRAMS = Path(__file__).with_name("portfolio_programs.py")
ROUNDS = 3
# With costs, as fractions of our final equity.
APART = {"vectorbt": 0.002, "bt": 0.005}
AT_LEAST = {
    "20 shares by the month, again, CPU bt / ours": 1_000.0,
    "20 shares by the month, again, CPU vectorbt / ours": 50.0,
}
AT_MOST = {
    "500 shares every day, first, wall ours": 5_000.0,
    "500 shares every day, memory ours": 1_000.0,
    "10 shares bar by bar, first, wall ours": 5_000.0,
}


def process(python: Path, home: Path, engine: str, job: str, cost: float = 0.001) -> dict[str, Any]:
    """What a program printed."""
    done = subprocess.run(
        [str(python), "-W", "ignore", str(PROGRAMS), engine, job, str(cost)],
        capture_output=True,
        text=True,
        timeout=900,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(SDK)},
    )
    if done.returncode:
        raise SystemExit(f"{engine}, {job} failed: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "playground.settings")
    from django.conf import settings

    folder = Path(settings.DATA_DIR)
    pythons = {"ours": Path(settings.SANDBOX_ENV) / "bin" / "python"}
    pythons |= {engine: interpreter(engine, folder) for engine in APART}
    report = Report("portfolio", at_most=AT_MOST, at_least=AT_LEAST)

    free = {
        engine: process(pythons[engine], folder, engine, "monthly", 0.0)["equity"] for engine in ("ours", "vectorbt")
    }
    if abs(free["ours"] - free["vectorbt"]) > 0.01:
        raise SystemExit(f"Without costs the engines disagree: {free}")
    rounds: dict[str, list[dict[str, Any]]] = {engine: [] for engine in pythons}
    for _ in range(ROUNDS):
        for engine, python in pythons.items():
            rounds[engine].append(process(python, folder, engine, "monthly"))
    for engine, found in rounds.items():
        apart = abs(found[0]["equity"] / rounds["ours"][0]["equity"] - 1)
        if apart > APART.get(engine, 0.0):
            raise SystemExit(f"With costs {engine} ends {apart:.2%} away")
        report.add(f"20 shares by the month, equity {engine}", found[0]["equity"], "USD", 1)
        tell(report, "20 shares by the month", engine, found)
        if engine != "ours":
            for when in ("first", "again"):
                pairs = zip(found, rounds["ours"], strict=True)
                ratios = [theirs[f"{when} cpu"] / ours[f"{when} cpu"] for theirs, ours in pairs]
                name = f"20 shares by the month, {when}, CPU {engine} / ours"
                report.add(name, statistics.median(ratios), "x", ROUNDS)
    for job, name in (("universe", "500 shares every day"), ("events", "10 shares bar by bar")):
        tell(report, name, "ours", [process(pythons["ours"], folder, "ours", job) for _ in range(ROUNDS)])
    report.write(folder)


def tell(report: Report, name: str, engine: str, found: list[dict[str, Any]]) -> None:
    for key, text in (("first cpu", "first, CPU"), ("again cpu", "again, CPU"), ("first wall", "first, wall")):
        report.add(f"{name}, {text} {engine}", statistics.median(one[key] for one in found) * 1000, "ms", len(found))
    report.add(f"{name}, memory {engine}", max(one["memory"] for one in found), "MiB", len(found))

"""How fast is a report? `make bench-reports`: our PDF against quantstats' HTML, both cold, each process in its turn.

The same returns and the same benchmark; quantstats has an environment of its own (competitors.py).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playground.paths import BASE_DIR, data_folder
from tests.benchmarks.competitors import interpreter
from tests.benchmarks.report import Report
from tests.benchmarks.report_programs import write_returns

PROGRAM = Path(__file__).with_name("report_programs.py")
ROUNDS = 3
NAMES = {"cpu": "CPU", "beyond": "CPU beyond numpy", "ready": "CPU of a ready process", "wall": "wall",
         "bytes": "size", "memory": "memory"}  # fmt: skip
UNITS = {"bytes": (1e-3, "kB"), "memory": (1, "MiB")}  # all else: milliseconds
# Half of a cold process of ours is Python and numpy; a reader of the site waits for neither.
AT_LEAST = dict.fromkeys(
    (
        "report, CPU quantstats / ours",
        "report, CPU beyond numpy quantstats / ours",
        "report, CPU cold quantstats / ready ours",
    ),
    40.0,
)


def process(python: Path, engine: str, folder: Path) -> dict[str, Any]:
    begun = time.perf_counter()
    done = subprocess.run(
        [str(python), "-W", "ignore", str(PROGRAM), engine, str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "MPLBACKEND": "agg",
            "OPENBLAS_NUM_THREADS": "1",  # of two cores; more threads only cost their start
            "PYTHONPATH": f"{BASE_DIR}{os.pathsep}{BASE_DIR / 'sandbox' / 'sdk'}",
        },
    )
    if done.returncode:
        raise SystemExit(f"{engine} failed: {done.stderr[-2000:]}")
    return {"wall": time.perf_counter() - begun, **json.loads(done.stdout.splitlines()[-1])}


def measure() -> None:
    folder = data_folder()
    pythons = {"ours": Path(sys.executable), "quantstats": interpreter("quantstats", folder)}
    report = Report("reports", at_least=AT_LEAST)
    with tempfile.TemporaryDirectory() as place:
        write_returns(place)
        # The first round of each only warms the disk and the fonts' caches.
        rounds = [
            {name: process(python, name, Path(place)) for name, python in pythons.items()} for _ in range(ROUNDS + 1)
        ][1:]
    for name in pythons:
        for what, words in NAMES.items():
            scale, unit = UNITS.get(what, (1000, "ms"))
            value = statistics.median(each[name][what] for each in rounds) * scale
            report.add(f"report, {words} {name}", value, unit, ROUNDS)
    for what in ("cpu", "beyond", "ready", "wall"):
        ratios = [each["quantstats"][what] / each["ours"][what] for each in rounds]
        report.add(f"report, {NAMES[what]} quantstats / ours", statistics.median(ratios), "x", ROUNDS)
    # As users get it: a worker is up before they ask.
    ratios = [each["quantstats"]["cpu"] / each["ours"]["ready"] for each in rounds]
    report.add("report, CPU cold quantstats / ready ours", statistics.median(ratios), "x", ROUNDS)
    report.write(folder)

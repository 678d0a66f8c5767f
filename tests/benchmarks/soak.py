"""A thousand mixed runs, one in a hundred hostile, through an engine of its own: `make bench-soak`.

It says how long they took, how they ended, and what was there before and after. RUNS=200 makes it shorter.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from tests.benchmarks.report import Report
from tests.sandbox import soak
from tests.sandbox.conftest import ROOT, Engine

HOSTILE_SHARE = 0.01


def measure() -> None:
    runs = int(os.environ.get("RUNS", "1000"))
    report = Report("soak", {"runs with a wrong end": 0, "engine memory growth": 24})
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        engine = Engine(directory, "--ready", "1")
        try:
            soak.soak(engine, soak.mix(max(20, runs // 10), HOSTILE_SHARE, seed=1))
            before, memory = soak.quiet(engine, seconds=5.0), soak.memory_bytes(engine)
            begun = time.monotonic()
            tally = soak.soak(engine, soak.mix(runs, HOSTILE_SHARE))
            seconds = time.monotonic() - begun
            differences = soak.settled(engine, before)
            growth = soak.memory_bytes(engine) - memory
        finally:
            engine.stop()
    report.add("runs a second", runs / seconds, "1/s", runs)
    report.add("runs with a wrong end", len(tally.wrong), "", runs)
    report.add("engine memory growth", growth / 2**20, "MiB", runs)
    for name, number in sorted(tally.outcomes.items()):
        report.add(f"ended {name}", number, "", runs)
    for name, number in sorted(tally.starts.items()):
        report.add(f"start {name or 'not heard of'}", number, "", runs)
    for name, number in before.items():
        report.add(f"{name} before", number, "", 1)
        report.add(f"{name} after", differences.get(name, (0, number))[1], "", 1)
    report.write(Path(os.environ.get("DATA_DIR") or ROOT / ".data").absolute())
    for wrong in tally.wrong[:20]:
        print("wrong:", wrong)
    if tally.wrong or differences:
        raise SystemExit(f"Not as it was: {differences or ''} {len(tally.wrong)} runs with a wrong end.")

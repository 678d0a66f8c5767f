"""How fast is a backtest? `make bench-backtest`: qfp.backtesting against backtesting.py, on daily and minute bars.

Every measurement is a process of its own in the boxes' environment, the two engines taking turns, so that what else the
machine does meets both; a ratio is the median of the rounds' ratios. In each process the strategy runs twice: the first
run is what a click costs, the second what one more costs. Both engines must end with the same equity to the cent.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SDK = Path(__file__).resolve().parents[2] / "sandbox" / "sdk"
ENGINES = ("ours", "theirs")
# bars -> rounds; 2,148 are the daily bars that come with backtesting.py, the others are made.
SIZES = {2_148: 7, 100_000: 3, 1_000_000: 2}
# Theirs by ours: the compatible tier is to be at least so many times as fast.
TARGETS = {
    "2,148 bars, run with statistics, first, CPU theirs / ours": 5.0,
    "2,148 bars, run with statistics, again, CPU theirs / ours": 5.0,
}


def program(engine: str, bars: int) -> dict[str, Any]:
    """In a process of its own: import, read bars, run twice."""
    begun = time.process_time()
    if engine == "ours":
        from qfp.backtesting import Backtest, Strategy
        from qfp.backtesting.lib import crossover
    else:
        from backtesting import Backtest, Strategy  # type: ignore[import-not-found]
        from backtesting.lib import crossover  # type: ignore[import-not-found]
    imported = time.process_time()
    import numpy as np
    import pandas as pd

    if bars == 2_148:
        import importlib.util

        spec = importlib.util.find_spec("backtesting")
        assert spec is not None and spec.origin is not None
        frame = pd.read_csv(Path(spec.origin).parent / "test" / "GOOG.csv", index_col=0, parse_dates=True)
    else:
        random = np.random.default_rng(42)
        close = 100 * np.exp(np.cumsum(random.standard_normal(bars) * 0.0005))
        begin = np.append(100.0, close[:-1])
        high, low = np.maximum(begin, close) * 1.0001, np.minimum(begin, close) * 0.9999
        frame = pd.DataFrame({"Open": begin, "High": high, "Low": low, "Close": close, "Volume": 1.0})
        frame.index = pd.date_range("2010-01-01", periods=bars, freq="min")

    def mean(values: Any, count: int) -> Any:
        return pd.Series(values).rolling(count).mean()

    class Averages(Strategy):  # type: ignore[misc]
        def init(self) -> None:
            self.fast = self.I(mean, self.data.Close, 10)
            self.slow = self.I(mean, self.data.Close, 20)

        def next(self) -> None:
            if crossover(self.fast, self.slow):
                self.buy(size=10) if bars > 2_148 else self.buy()
            elif crossover(self.slow, self.fast):
                self.position.close()

    found: dict[str, Any] = {"import": imported - begun}
    for which in ("first", "again"):
        wall, cpu = time.perf_counter(), time.process_time()
        stats = Backtest(frame, Averages, cash=1_000_000, commission=0.002).run()
        found[f"{which} wall"], found[f"{which} cpu"] = time.perf_counter() - wall, time.process_time() - cpu
    found["equity"], found["trades"] = float(stats["Equity Final [$]"]), int(stats["# Trades"])
    import resource

    found["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def one_process(interpreter: Path, engine: str, bars: int) -> dict[str, Any]:
    """What program() found, and the wall time of the whole process."""
    begun = time.perf_counter()
    done = subprocess.run(
        [str(interpreter), "-W", "ignore", __file__, engine, str(bars)],
        capture_output=True,
        text=True,
        timeout=600,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SDK)},
    )
    if done.returncode:
        raise SystemExit(f"{engine} on {bars} bars failed: {done.stderr[-2000:]}")
    return {"process": time.perf_counter() - begun, **json.loads(done.stdout)}


def measure() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "playground.settings")
    from django.conf import settings

    from tests.benchmarks.report import Report

    interpreter = Path(settings.SANDBOX_ENV) / "bin" / "python"
    report = Report("backtest", at_least=TARGETS)
    for bars, rounds in SIZES.items():
        found: dict[str, list[dict[str, Any]]] = {engine: [] for engine in ENGINES}
        for _ in range(rounds):
            for engine in ENGINES:
                found[engine].append(one_process(interpreter, engine, bars))
        ends = {round(one["equity"], 2) for engine in ENGINES for one in found[engine]}
        if len(ends) != 1:
            raise SystemExit(f"The engines disagree on {bars} bars: {sorted(ends)}")
        name = f"{bars:,} bars"
        for engine in ENGINES:
            for key, text in (
                ("first cpu", "run with statistics, first, CPU"),
                ("again cpu", "run with statistics, again, CPU"),
                ("import", "import, CPU"),
                ("process", "whole process, wall"),
            ):
                value = statistics.median(one[key] for one in found[engine])
                report.add(f"{name}, {text}, {engine}", value * 1000, "ms", rounds)
            report.add(f"{name}, memory, {engine}", max(one["memory"] for one in found[engine]), "MiB", rounds)
        for key, text in (
            ("first cpu", "run with statistics, first, CPU"),
            ("again cpu", "run with statistics, again, CPU"),
            ("first wall", "run with statistics, first, wall"),
            ("process", "whole process, wall"),
        ):
            ratios = [their[key] / our[key] for our, their in zip(found["ours"], found["theirs"], strict=True)]
            report.add(f"{name}, {text} theirs / ours", statistics.median(ratios), "x", rounds)
    report.write(Path(settings.DATA_DIR))


if __name__ == "__main__":
    json.dump(program(sys.argv[1], int(sys.argv[2])), sys.stdout)

"""How fast is Monte Carlo in a box? `make bench-parallel`: qfp.montecarlo on one and two cores against NumPy.

10 million European paths and 1 million Asian paths of 252 steps. All methods run in one real box, one after the other
in every round, so that what else the machine does meets them all; a ratio is the median of the rounds' ratios. Every
method's price is checked, because a fast wrong number is none.
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

from sandbox.client import BoxRequest, EngineClient, EngineUnavailable, Limits
from tests.benchmarks.report import Report

EUROPEAN_PATHS = 10_000_000
EUROPEAN_ROUNDS = 7
ASIAN_PATHS = 1_000_000
ASIAN_ROUNDS = 3
LEGACY = "numpy legacy"
# Ratios are written the other way round, ours by theirs, so that less is better here as everywhere.
TARGETS = {
    "european ours, 1 core / numpy legacy, CPU": 0.1,
    "european ours, 2 cores / numpy legacy, wall": 0.1,
    "asian ours, 1 core / numpy legacy, CPU": 0.15,
    "asian ours, 1 core / numpy single SFC64, CPU": 0.2,
    "asian ours, 2 cores / numpy legacy, wall": 0.1,
    "asian ours, 2 cores / ours, 1 core, wall": 0.7,
}
# Of the model: Black-Scholes, and 252 fixings simulated with 40 million paths and a control variate (+- 0.00007).
EXACT = {"european": 10.450584, "asian": 5.78176}
LIMITS = Limits(
    cpu_seconds=1800, wall_seconds=1800, memory_bytes=3_000_000_000, disk_bytes=64_000_000, processes=64,
    output_bytes=1_000_000, rich_bytes=8_000_000, rich_message_bytes=2_000_000, events=20_000, artefact_bytes=0,
    artefact_count=0, cores=2,
)  # fmt: skip

# Runs in the box, with its packages; prints a line for every measurement.
PROGRAM = '''
import json, math, resource, time
import numpy as np
from qfp import montecarlo, param

S, K, r, v, T = 100.0, 100.0, 0.05, 0.2, 1.0
PATHS = {"european": param("european_paths", 10_000_000), "asian": param("asian_paths", 1_000_000)}
ROUNDS = {"european": param("european_rounds", 7), "asian": param("asian_rounds", 3)}
N = 252
DISCOUNT = math.exp(-r * T)


def european_legacy(paths, seed):
    np.random.seed(seed)
    z = np.random.standard_normal(paths)
    return DISCOUNT * np.maximum(S * np.exp((r - v * v / 2) * T + v * math.sqrt(T) * z) - K, 0).mean()


def european_generator(paths, seed):
    z = np.random.default_rng(seed).standard_normal(paths)
    return DISCOUNT * np.maximum(S * np.exp((r - v * v / 2) * T + v * math.sqrt(T) * z) - K, 0).mean()


def european_single(paths, seed):
    """Single precision, SFC64, in place: what PERFORMANCE calls the best of plain NumPy."""
    generator, total = np.random.Generator(np.random.SFC64(seed)), 0.0
    z = np.empty(1 << 16, np.float32)
    for start in range(0, paths, len(z)):
        x = z[: min(len(z), paths - start)]
        generator.standard_normal(out=x, dtype=np.float32)
        x *= np.float32(v * math.sqrt(T))
        x += np.float32((r - v * v / 2) * T)
        np.exp(x, out=x)
        x *= np.float32(S)
        x -= np.float32(K)
        np.maximum(x, 0, out=x)
        total += float(x.sum())
    return DISCOUNT * total / paths


def asian_legacy(paths, seed):
    np.random.seed(seed)
    dt, total = T / N, 0.0
    for start in range(0, paths, 50_000):
        z = np.random.standard_normal((min(50_000, paths - start), N))
        prices = S * np.exp(np.cumsum((r - v * v / 2) * dt + v * math.sqrt(dt) * z, axis=1))
        total += np.maximum(prices.mean(axis=1) - K, 0).sum()
    return DISCOUNT * total / paths


def asian_single(paths, seed):
    generator, total = np.random.Generator(np.random.SFC64(seed)), 0.0
    dt = T / N
    for start in range(0, paths, 16_384):
        size = min(16_384, paths - start)
        log, mean, x, y = (np.zeros(size, np.float32) for _ in range(4))
        for _ in range(N):
            generator.standard_normal(out=x, dtype=np.float32)
            x *= np.float32(v * math.sqrt(dt))
            x += np.float32((r - v * v / 2) * dt)
            log += x
            np.exp(log, out=y)
            mean += y
        mean *= np.float32(S / N)
        mean -= np.float32(K)
        np.maximum(mean, 0, out=mean)
        total += float(mean.sum())
    return DISCOUNT * total / paths


def ours(price, workers, reduced):
    def run(paths, seed):
        got = price("call", S, K, r, v, T, paths=paths, seed=seed, workers=workers, variance_reduction=reduced)
        errors[reduced] = got.standard_error
        return got.value
    return run


errors = {}
METHODS = {
    "european": {
        "numpy legacy": european_legacy,
        "numpy Generator": european_generator,
        "numpy single SFC64": european_single,
        "ours, 1 core": ours(montecarlo.european, 1, False),
        "ours, 2 cores": ours(montecarlo.european, 2, False),
        "ours, antithetic, 2 cores": ours(montecarlo.european, 2, True),
    },
    "asian": {
        "numpy legacy": asian_legacy,
        "numpy single SFC64": asian_single,
        "ours, 1 core": ours(montecarlo.asian, 1, False),
        "ours, 2 cores": ours(montecarlo.asian, 2, False),
        "ours, control variate, 2 cores": ours(montecarlo.asian, 2, True),
    },
}


def cpu():
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


for option, methods in METHODS.items():
    for method in methods.values():
        method(2 * 16_384, 1)  # caches and first calls
    for number in range(ROUNDS[option]):
        for name, method in methods.items():
            errors.clear()
            spent, begun = cpu(), time.perf_counter()
            value = method(PATHS[option], number)
            wall, used = time.perf_counter() - begun, cpu() - spent
            error = next(iter(errors.values()), None)
            print(json.dumps([option, name, wall, used, float(value), error]), flush=True)
'''


def run_in_box(state: Path, environment: Path, params: dict[str, Any]) -> list[list[Any]]:
    """The lines of the program, from a box of an engine of our own."""
    socket = state / "engine.sock"
    words = [sys.executable, "-m", "sandbox.host.engine", "--socket", str(socket), "--env", str(environment)]
    words += ["--store", str(state / "store"), "--state", str(state / "state")]
    with (state / "engine.log").open("wb") as log:
        engine = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        client, deadline = EngineClient(socket), time.monotonic() + 60
        while True:
            try:
                status = client.status()
                break
            except EngineUnavailable:
                if engine.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit((state / "engine.log").read_text()) from None
                time.sleep(0.1)
        if not status["ready"]:
            raise SystemExit(f"No box can be had: {status['reason']}")
        return _lines(client, params)
    finally:
        engine.terminate()
        engine.wait(30)


def _lines(client: EngineClient, params: dict[str, Any]) -> list[list[Any]]:
    request = BoxRequest("bench-parallel", "benchmark", {"main.py": PROGRAM}, "main.py", params, LIMITS)
    printed, complaints = "", ""
    with client.start(request) as box:
        for event in box.events():
            if event is None:
                continue
            if event["type"] == "stdout":
                printed += event["text"]
            elif event["type"] == "stderr":
                complaints += event["text"]
            elif event["type"] == "ended" and event["outcome"] != "succeeded":
                raise SystemExit(f"The benchmark's run ended {event['outcome']}:\n{complaints}")
    return [json.loads(line) for line in printed.splitlines()]


def add_figures(report: Report, lines: list[list[Any]]) -> None:
    rounds: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for option, name, wall, cpu, value, error in lines:
        rounds.setdefault(option, {}).setdefault(name, []).append((wall, cpu))
        tolerance = 5 * (error or {"european": 0.0047, "asian": 0.008}[option])
        if abs(value - EXACT[option]) > tolerance + 2e-4:
            raise SystemExit(f"{option}, {name}: {value} is not the price {EXACT[option]}.")
    for option, methods in rounds.items():
        for name, times in methods.items():
            report.add(f"{option} {name}, wall", statistics.median(wall for wall, _ in times), "s", len(times))
            report.add(f"{option} {name}, CPU", statistics.median(cpu for _, cpu in times), "s", len(times))
        for name, base, which in _ratios(methods):
            pairs = zip(methods[name], methods[base], strict=True)
            ratio = statistics.median(ours[which] / theirs[which] for ours, theirs in pairs)
            report.add(f"{option} {name} / {base}, {('wall', 'CPU')[which]}", ratio, "", len(methods[name]))


def _ratios(methods: dict[str, Any]) -> list[tuple[str, str, int]]:
    ours = [name for name in methods if name.startswith("ours")]
    against = [(name, LEGACY, which) for name in ours for which in (0, 1)]
    return [*against, ("ours, 1 core", "numpy single SFC64", 1), ("ours, 2 cores", "ours, 1 core", 0)]


def measure() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "playground.settings")
    from django.conf import settings

    report = Report("parallel", TARGETS)
    params = {
        "european_paths": EUROPEAN_PATHS,
        "european_rounds": EUROPEAN_ROUNDS,
        "asian_paths": ASIAN_PATHS,
        "asian_rounds": ASIAN_ROUNDS,
    }
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        Path(folder).chmod(0o755)  # boxes have uids of their own
        lines = run_in_box(Path(folder), Path(settings.SANDBOX_ENV), params)
    add_figures(report, lines)
    report.write(Path(settings.DATA_DIR))


if __name__ == "__main__":
    measure()

"""How fast are prices read, and what do they cost in memory? `make bench-data`: our store against the usual others.

ours        objects of Arrow, memory-mapped, and of Parquet for minutes, through qfp.data as a program in a box reads
            them; the stored bars, as in the others, and on top of that with splits and dividends, or adjusted by them;
            minutes in Arrow as well, to compare with
parquet     a file per symbol, compressed with zstd, through pyarrow
duckdb      one table in a file, in the order of symbols
postgresql  one table with the key (symbol, date), read by ADBC, which is several times quicker than row by row

The same bars lie in all of them: 500 shares over 20 years of days, 10 over a year of minutes. Each answers with a
pandas DataFrame, all of whose values are then added up, so that what is only mapped is read, too. One round asks each
for the same symbol once, so that whatever else the machine does meets all of them; no symbol is asked for twice. Cold
means that the page cache holds nothing of the files; PostgreSQL is started anew for it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from playground.services import Services
from tests.benchmarks.report import Report
from tests.benchmarks.ways import (
    COLUMNS,
    MINUTE_SHARES,
    SESSION_DAYS,
    SHARES,
    DuckDB,
    Ours,
    OursAdjusted,
    OursMapped,
    OursWithActions,
    Parquet,
    PostgreSQL,
    Way,
)

# Only measured against, so not among what tests need.
OPPONENTS = ("duckdb==2.0.1", "adbc-driver-manager==1.13.0", "adbc-driver-postgresql==1.13.0")
ROUNDS, MINUTE_ROUNDS, DAY_ROUNDS, PANEL_ROUNDS, COLD_ROUNDS = 40, 8, 20, 7, 4
OPEN_AT_ONCE = 400
BOXES = 7
AT_LEAST = {
    f"daily symbol warm, {other} / ours{which}": least
    for other, least in (("parquet", 5.0), ("postgresql", 20.0))
    for which in ("", ", best of each")  # a machine with other work delays what is short more than what is long
}
AT_MOST = {"panel in a box, warm p50": 150.0, "400 symbols, ours, private": 10.0}
MEGABYTE = 1 << 20

IN_A_BOX = """
import time
import pandas, pyarrow
from qfp import data
begun = time.perf_counter()
closes = data.panel(data.universe("bench/shares"))
total = closes.to_numpy().sum()
print(time.perf_counter() - begun, closes.shape)
"""


def timed(call: Callable[[], pd.DataFrame]) -> float:
    """Milliseconds until every value has been read."""
    begun = time.perf_counter()
    total = call().to_numpy().sum()
    elapsed = time.perf_counter() - begun
    if not total > 0:
        raise SystemExit("What was read adds up to nothing.")
    return elapsed * 1000


def make_cold(way: Way) -> None:
    way.close()
    os.sync()
    for path in way.files():
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
    way.open()


def measure_symbols(report: Report, ways: list[Way], kind: str, prefix: str, rounds: int, count: int) -> None:
    warm: dict[str, list[float]] = {way.name: [] for way in ways}
    cold: dict[str, list[float]] = {way.name: [] for way in ways}
    order = np.random.default_rng(7).permutation(count)
    names = [f"{prefix}{number:03}" for number in order]
    for way in ways:
        for path in way.files():  # into the page cache; servers get what they keep themselves below
            path.read_bytes()
        way.symbol(names[-1])
    for name in names[:rounds]:
        for way in ways:
            if way.name == "postgresql":
                way.symbol(name)  # its own cache is warm as well
            warm[way.name].append(timed(lambda way=way, name=name: way.symbol(name)))
    for name in names[-1 - COLD_ROUNDS : -1] if count > rounds + COLD_ROUNDS else names[:COLD_ROUNDS]:
        for way in ways:
            make_cold(way)
            cold[way.name].append(timed(lambda way=way, name=name: way.symbol(name)))
    _tell(report, kind, warm, cold)


def measure_days(report: Report, ways: list[Way]) -> None:
    """The closes of one day of a symbol of minutes, another day each time; warm."""
    found: dict[str, list[float]] = {way.name: [] for way in ways}
    days = np.random.default_rng(8).choice(SESSION_DAYS, DAY_ROUNDS + 1, replace=False)
    for number, day in enumerate(days):
        for way in ways:
            elapsed = timed(lambda way=way, day=day, name=f"M{number % MINUTE_SHARES:03}": way.day(name, day))
            if number:
                found[way.name].append(elapsed)
    _tell(report, "a day of minutes", found, {})


def measure_panels(report: Report, ways: list[Way]) -> None:
    warm: dict[str, list[float]] = {way.name: [] for way in ways}
    cold: dict[str, list[float]] = {way.name: [] for way in ways}
    for number in range(PANEL_ROUNDS):
        for way in ways:
            if isinstance(way, Ours):
                way.close()  # kept frames would make every round but the first free
                way.open()
            elapsed = timed(way.panel)
            if number:
                warm[way.name].append(elapsed)
    for _ in range(2):
        for way in ways:
            make_cold(way)
            cold[way.name].append(timed(way.panel))
    _tell(report, "500-symbol panel", warm, cold)


def _tell(report: Report, kind: str, warm: dict[str, list[float]], cold: dict[str, list[float]]) -> None:
    for temperature, found in (("warm", warm), ("cold", cold)):
        for name, values in found.items():
            report.add(f"{kind} {temperature}, {name}", statistics.median(values), "ms", len(values))
            report.add(f"{kind} {temperature}, {name}, best", min(values), "ms", len(values))
        for name, values in found.items():
            if name != "ours":
                ratios = [other / own for other, own in zip(values, found["ours"], strict=True)]
                report.add(f"{kind} {temperature}, {name} / ours", statistics.median(ratios), "x", len(ratios))
                best = min(values) / min(found["ours"])
                report.add(f"{kind} {temperature}, {name} / ours, best of each", best, "x", len(values))


def private_memory() -> float:
    """Megabytes of this process that no other shares; pages of mapped files count only once they are written to."""
    kinds = {"Private_Dirty", "Private_Clean"}
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    found = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
    clean_files = 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if line[:1] in "0123456789abcdef" and "-" in line.split()[0]:
            mapped = ".arrow" in line
        elif mapped and line.startswith("Private_Clean"):
            clean_files += int(line.split()[1])
    return (sum(found[kind] for kind in kinds) - clean_files) / 1024


def hold_symbols(way: Way) -> float:
    """Megabytes of private memory that so many opened symbols take, all of them read."""
    way.open()
    way.symbol(f"D{SHARES - 1:03}").to_numpy().sum()
    before = private_memory()
    held = [way.symbol(f"D{number:03}") for number in range(OPEN_AT_ONCE)]
    total = sum(frame[name].sum() for frame in held for name in COLUMNS)
    grown = private_memory() - before
    way.close()
    assert total > 0
    return grown


def hold_minutes(way: Way) -> float:
    """Megabytes of private memory that all symbols of minutes take, all of them read."""
    way.open()
    way.symbol("M000").to_numpy().sum()
    before = private_memory()
    held = [way.symbol(f"M{number:03}") for number in range(MINUTE_SHARES)]
    total = sum(frame[name].sum() for frame in held for name in COLUMNS)
    grown = private_memory() - before
    way.close()
    assert total > 0
    return grown


def measure_memory(report: Report, folder: Path) -> None:
    """In a process of its own for each."""
    for name in ("Ours", "OursWithActions", "OursAdjusted", "Parquet", "DuckDB"):
        report.add(f"400 symbols, {globals()[name].name}, private", _held(name, folder, "hold_symbols"), "MB", 1)
    for name in ("Ours", "OursMapped", "Parquet", "DuckDB"):
        held = _held(name, folder, "hold_minutes")
        report.add(f"{MINUTE_SHARES} symbols of minutes, {globals()[name].name}, private", held, "MB", 1)


def _held(name: str, folder: Path, what: str) -> float:
    words = [sys.executable, "-m", "tests.benchmarks.data", name, str(folder), what]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=_with_opponents())
    return json.loads(done.stdout)


def measure_boxes(report: Report, ours: Ours, directory: Path) -> None:
    """The panel in boxes of the engine, each of which sees it for the first time; the page cache is warm."""
    from tests.sandbox.conftest import Engine

    engine = Engine(directory)
    try:
        seconds = []
        for number in range(BOXES + 1):
            done = engine.run(IN_A_BOX, snapshot=ours.snapshot, memory_bytes=1024 * MEGABYTE, owner=f"bench-{number}")
            if done.outcome != "succeeded":
                raise SystemExit(f"The panel's box ended {done.outcome}: {done.stderr}")
            seconds.append(float(done.stdout.split()[0]) * 1000)
        report.add_spread("panel in a box, warm", seconds[1:], "ms")
    finally:
        engine.stop()


def _with_opponents() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@contextmanager
def opponents(folder: Path) -> Iterator[None]:
    """duckdb and ADBC in a folder of their own, brought in once."""
    if not folder.is_dir():
        words = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable]
        subprocess.run([*words, "--no-deps", "--target", str(folder), *OPPONENTS], check=True)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def measure() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "playground.settings")
    import shutil
    import tempfile

    import django

    django.setup()
    from django.conf import settings

    report = Report("data", AT_MOST, AT_LEAST)
    base = Path(tempfile.mkdtemp(prefix="b-"))
    base.chmod(0o755)
    server = PostgreSQL(base / "pg")
    try:
        with opponents(Path(settings.DATA_DIR) / "bench" / "opponents"):
            ours, parquet, duckdb = Ours(base / "store"), Parquet(base / "parquet"), DuckDB(base / "duckdb")
            for way in (ours, parquet, server):
                _timed_build(report, way)
            _timed_build(report, duckdb, parquet.folder)
            for way in (ours, duckdb):
                way.open()
            ways: list[Way] = [ours, parquet, duckdb, server]
            for way in ways:
                in_arrow = ours.minutes("A") if way is ours else 0
                size = sum(path.stat().st_size for path in way.files() if "snapshots" not in path.parts) - in_arrow
                report.add(f"size, {way.name}", size / MEGABYTE, "MB", 1)
            report.add("size of the minutes, ours", ours.minutes("M") / MEGABYTE, "MB", 1)
            report.add("size of the minutes, ours in Arrow", ours.minutes("A") / MEGABYTE, "MB", 1)
            compressed = sum(path.stat().st_size for path in parquet.folder.glob("M*"))
            report.add("size of the minutes, parquet", compressed / MEGABYTE, "MB", 1)
            further: list[Way] = [OursWithActions(ours.folder), OursAdjusted(ours.folder)]
            measure_symbols(report, [*ways, *further], "daily symbol", "D", ROUNDS, SHARES)
            with_arrow: list[Way] = [*ways, OursMapped(ours.folder)]
            measure_symbols(report, with_arrow, "minute symbol", "M", MINUTE_ROUNDS, MINUTE_SHARES)
            measure_days(report, with_arrow)
            measure_panels(report, ways)
            for way in (duckdb, server):
                way.close()
            measure_memory(report, base)
            measure_boxes(report, ours, base)
        report.write(Path(settings.DATA_DIR))
    finally:
        Services(base / "pg").stop()
        shutil.rmtree(base, ignore_errors=True)


def _timed_build(report: Report, way: Any, *arguments: Any) -> None:
    begun = time.perf_counter()
    way.build(*arguments)
    report.add(f"writing, {way.name}", time.perf_counter() - begun, "s", 1)


if __name__ == "__main__":
    kind = globals()[sys.argv[1]]
    place = {"Parquet": "parquet", "DuckDB": "duckdb"}.get(kind.__name__, "store")
    print(json.dumps(globals()[sys.argv[3]](kind(Path(sys.argv[2]) / place))))

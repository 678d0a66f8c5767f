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

import importlib
import itertools
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
import pyarrow as pa
import pyarrow.parquet as pq
from qfp import data, objects, panels
from qfp.data import catalogue, frames

from playground.services import Services
from tests.benchmarks.report import Report

# Only measured against, so not among what tests need.
OPPONENTS = ("duckdb==2.0.1", "adbc-driver-manager==1.13.0", "adbc-driver-postgresql==1.13.0")
SHARES, SESSIONS = 500, 5040
MINUTE_SHARES = 10
SESSION_DAYS = np.busday_offset("2023-01-02", np.arange(252))  # of 390 minutes each
ROUNDS, MINUTE_ROUNDS, DAY_ROUNDS, PANEL_ROUNDS, COLD_ROUNDS = 40, 8, 20, 7, 4
OPEN_AT_ONCE = 400
BOXES = 7
# What is kept in which way: days, minutes, and minutes in Arrow to compare with.
FORMS = {"D": "1d", "M": "1m", "A": "1d"}
COLUMNS = ("open", "high", "low", "close", "volume")
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


def bars(number: int, dates: np.ndarray) -> dict[str, np.ndarray]:
    stream = np.random.default_rng(number)
    close = np.round(50 * np.exp(np.cumsum(stream.normal(0, 0.01, len(dates)))), 2)
    open_ = np.round(close * np.exp(stream.normal(0, 0.004, len(dates))), 2)
    spread = np.abs(stream.normal(0, 0.004, (2, len(dates))))
    high = np.round(np.maximum(open_, close) * (1 + spread[0]), 2)
    low = np.round(np.minimum(open_, close) * (1 - spread[1]), 2)
    volume = np.round(np.exp(stream.normal(13, 0.5, len(dates))))
    return dict(zip(COLUMNS, (open_, high, low, close, volume), strict=True))


def tables() -> Iterator[tuple[str, np.ndarray, dict[str, np.ndarray]]]:
    """(name, dates, columns) of every series; those of minutes have names that begin with M."""
    days = np.datetime64("2004-01-01", "us") + np.arange(SESSIONS) * np.timedelta64(1, "D")
    for number in range(SHARES):
        yield f"D{number:03}", days, bars(number, days)
    opens = SESSION_DAYS.astype("M8[m]") + np.timedelta64(14 * 60 + 30, "m")
    minutes = (opens[:, None] + np.arange(390)).ravel().astype("M8[us]")
    for number in range(MINUTE_SHARES):
        yield f"M{number:03}", minutes, bars(1000 + number, minutes)


# The four ways ----------------------------------------------------------------------------------------------


class Way:
    """close() lets go of the files, open() takes them again; files() are those whose pages are dropped in between."""

    name = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    def files(self) -> Iterator[Path]:
        return (path for path in self.folder.rglob("*") if path.is_file())

    def symbol(self, name: str) -> pd.DataFrame:
        raise NotImplementedError

    def panel(self) -> pd.DataFrame:
        raise NotImplementedError

    def day(self, name: str, day: np.datetime64) -> pd.DataFrame:
        """The closes of one day of minutes."""
        raise NotImplementedError


class Ours(Way):
    name = "ours"

    def build(self) -> None:
        entries = []
        minutes = ((f"A{name[1:]}", *rest) for name, *rest in tables() if name[0] == "M")
        for name, dates, columns in itertools.chain(tables(), minutes):
            fine = name[0] != "D"
            quarters = dates[63::63] if not fine else dates[:0]
            acted = {"split": np.ones(len(quarters)), "dividend": np.full(len(quarters), 0.1)}
            entries.append(
                {
                    "id": f"bench/{name}",
                    "symbol": name,
                    "aliases": [],
                    "name": name,
                    "kind": "equity",
                    "interval": "1m" if fine else "1d",
                    "zone": "UTC" if fine else "",
                    "adjustment": "none" if fine else "raw",
                    "unit": "USD",
                    "columns": list(COLUMNS),
                    "rows": len(dates),
                    "first": str(dates[0])[:10],
                    "last": str(dates[-1])[:10],
                    "object": objects.put(self.folder, *objects.bars_bytes(FORMS[name[0]], dates, columns)),
                    "actions": None if fine else objects.put(self.folder, objects.arrow_bytes(quarters, acted)),
                }
            )
        members = [
            {"series": entry["id"], "symbol": entry["symbol"], "entered": None, "left": None}
            for entry in entries
            if entry["interval"] == "1d"
        ]
        universe = {"name": "bench/shares", "title": "", "survivorship": "free", "notice": "", "members": members}
        sets = panels.derive(
            self.folder, [universe], entries, lambda entry: frames.adjusted_columns(self.folder, entry, "all")
        )
        snapshot = objects.write_snapshot(self.folder, {"version": 1, "series": entries, "universes": sets})
        (self.folder / "current").write_text(snapshot)

    @property
    def snapshot(self) -> str:
        return (self.folder / "current").read_text()

    def minutes(self, kind: str) -> int:
        """The bytes that they take."""
        hashes = (data.info(f"{kind}{number:03}")["object"] for number in range(MINUTE_SHARES))
        return sum(objects.object_path(self.folder, digest).stat().st_size for digest in hashes)

    def open(self) -> None:
        os.environ["QFP_DATA"] = str(self.folder / "snapshots" / self.snapshot)
        catalogue.current()

    def close(self) -> None:
        catalogue.current.cache_clear()
        catalogue.folder.cache_clear()

    def symbol(self, name: str) -> pd.DataFrame:
        return data.series(name)

    def panel(self) -> pd.DataFrame:
        return data.panel([f"D{number:03}" for number in range(SHARES)])

    def day(self, name: str, day: np.datetime64) -> pd.DataFrame:
        return data.prices(name, str(day), str(day), interval="1m", fields=["close"])


class OursMapped(Ours):
    """Minutes as everything else is kept, on the mapped file."""

    name = "ours in Arrow"

    def symbol(self, name: str) -> pd.DataFrame:
        return super().symbol(f"A{name[1:]}")

    def day(self, name: str, day: np.datetime64) -> pd.DataFrame:
        return super().day(f"A{name[1:]}", day)


class OursWithActions(Ours):
    """As traded, with the columns dividend and split, which none of the others has."""

    name = "ours with actions"

    def symbol(self, name: str) -> pd.DataFrame:
        return data.prices(name, adjust=None, interval="1m" if name[0] == "M" else "1d")


class OursAdjusted(Ours):
    name = "ours adjusted"

    def symbol(self, name: str) -> pd.DataFrame:
        return data.prices(name, interval="1m" if name[0] == "M" else "1d")


class Parquet(Way):
    name = "parquet"

    def build(self) -> None:
        self.folder.mkdir()
        for name, dates, columns in tables():
            pq.write_table(pa.table({"date": dates, **columns}), self.folder / f"{name}.parquet", compression="zstd")

    def symbol(self, name: str) -> pd.DataFrame:
        return pq.read_table(self.folder / f"{name}.parquet").to_pandas().set_index("date")

    def panel(self) -> pd.DataFrame:
        read = {
            name: pq.read_table(self.folder / f"{name}.parquet", columns=["date", "close"])
            .to_pandas()
            .set_index("date")["close"]
            for name in (f"D{number:03}" for number in range(SHARES))
        }
        return pd.concat(read, axis=1)

    def day(self, name: str, day: np.datetime64) -> pd.DataFrame:
        span = [("date", ">=", day.astype("M8[us]")), ("date", "<", (day + 1).astype("M8[us]"))]
        found = pq.read_table(self.folder / f"{name}.parquet", columns=["date", "close"], filters=span)
        return found.to_pandas().set_index("date")


class DuckDB(Way):
    name = "duckdb"

    def build(self, parquet: Path) -> None:
        self.folder.mkdir()
        with importlib.import_module("duckdb").connect(str(self.folder / "bars.duckdb")) as connection:
            for kind in "DM":
                connection.execute(
                    f"CREATE TABLE bars_{kind} AS SELECT parse_filename(filename, true) AS symbol, * EXCLUDE filename "
                    f"FROM read_parquet('{parquet}/{kind}*.parquet', filename=true) ORDER BY symbol, date"
                )

    def open(self) -> None:
        path = str(self.folder / "bars.duckdb")
        self.connection = importlib.import_module("duckdb").connect(path, read_only=True)

    def close(self) -> None:
        self.connection.close()

    def symbol(self, name: str) -> pd.DataFrame:
        question = f"SELECT * EXCLUDE symbol FROM bars_{name[0]} WHERE symbol = ? ORDER BY date"
        return self.connection.execute(question, [name]).df().set_index("date")

    def panel(self) -> pd.DataFrame:
        found = self.connection.execute("SELECT symbol, date, close FROM bars_D").df()
        return found.pivot(index="date", columns="symbol", values="close")

    def day(self, name: str, day: np.datetime64) -> pd.DataFrame:
        question = "SELECT date, close FROM bars_M WHERE symbol = ? AND date >= ? AND date < ? ORDER BY date"
        return self.connection.execute(question, [name, str(day), str(day + 1)]).df().set_index("date")


class PostgreSQL(Way):
    name = "postgresql"

    def build(self) -> None:
        self.services = Services(self.folder)
        self.open()
        for kind in "DM":
            with self.connection.cursor() as cursor:
                for name, dates, columns in tables():
                    if name[0] == kind:
                        part = pa.table({"symbol": pa.array([name] * len(dates)), "date": dates, **columns})
                        cursor.adbc_ingest(f"bars_{kind}", part, mode="create_append")
                cursor.execute(f'ALTER TABLE "bars_{kind}" ADD PRIMARY KEY (symbol, date)')
                cursor.execute(f'ANALYZE "bars_{kind}"')
            self.connection.commit()

    def open(self) -> None:
        self.services = Services(self.folder)
        self.services.start(redis=False)
        self.connection = importlib.import_module("adbc_driver_postgresql.dbapi").connect(self.services.database_url)

    def close(self) -> None:
        self.connection.close()
        self.services.stop()

    def files(self) -> Iterator[Path]:
        return (path for path in self.services.postgres_data.rglob("*") if path.is_file())

    def _ask(self, question: str) -> pd.DataFrame:
        with self.connection.cursor() as cursor:
            cursor.execute(question)
            return cursor.fetch_arrow_table().to_pandas()

    def symbol(self, name: str) -> pd.DataFrame:
        what = ", ".join(COLUMNS)
        found = self._ask(f"SELECT date, {what} FROM \"bars_{name[0]}\" WHERE symbol = '{name}' ORDER BY date")
        return found.set_index("date")

    def panel(self) -> pd.DataFrame:
        found = self._ask('SELECT symbol, date, close FROM "bars_D"')
        return found.pivot(index="date", columns="symbol", values="close")

    def day(self, name: str, day: np.datetime64) -> pd.DataFrame:
        span = f"date >= '{day}' AND date < '{day + 1}'"
        found = self._ask(f"SELECT date, close FROM \"bars_M\" WHERE symbol = '{name}' AND {span} ORDER BY date")
        return found.set_index("date")


# Measuring --------------------------------------------------------------------------------------------------


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

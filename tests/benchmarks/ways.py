"""In which ways are the same bars kept, and read? Ours, Parquet, DuckDB and PostgreSQL, for tests.benchmarks.data."""

from __future__ import annotations

import importlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from qfp import data, objects, panels
from qfp.data import catalogue, frames

from playground.services import Services

__all__ = [
    "COLUMNS",
    "MINUTE_SHARES",
    "SESSION_DAYS",
    "SHARES",
    "DuckDB",
    "Ours",
    "OursAdjusted",
    "OursMapped",
    "OursWithActions",
    "Parquet",
    "PostgreSQL",
    "Way",
]

SHARES, SESSIONS = 500, 5040
MINUTE_SHARES = 10
SESSION_DAYS = np.busday_offset("2023-01-02", np.arange(252))  # of 390 minutes each
# What is kept in which way: days, minutes, and minutes in Arrow to compare with.
FORMS = {"D": "1d", "M": "1m", "A": "1d"}
COLUMNS = ("open", "high", "low", "close", "volume")


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

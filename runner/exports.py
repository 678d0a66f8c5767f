"""How do equity, trades, orders and fills of a backtest leave as CSV and Parquet? In pieces, without formulas."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import numpy as np
from qfp.metrics import drawdowns

from marketdata.exporting import safe_cell, written
from runner.models import Backtest
from runner.reports.records import record_of

__all__ = ["KINDS", "csv_pieces", "parquet_pieces"]

ROWS_AT_ONCE = 5_000
PIECE_BYTES = 1 << 20
DAY = len("2020-01-31")  # a longer date has a time

Row = dict[str, Any]


def _equity(backtest: Backtest) -> Iterator[Row]:
    record = record_of(backtest, prices=True)
    unknown = np.full(len(record.equity), np.nan)
    series = (record.equity, drawdowns(record.equity), record.benchmark, record.net, record.gross)
    columns = [(unknown if each is None else each).tolist() for each in series]
    for date, *values in zip(backtest.dates, *columns, strict=True):
        told = [value if math.isfinite(value) else None for value in values]
        yield {"date": date, **dict(zip(EQUITY_NUMBERS, told, strict=True))}


def _fills(backtest: Backtest) -> Iterator[Row]:
    for fill in backtest.fills:
        yield {
            "date": backtest.dates[int(fill["bar"])],
            **_named(backtest, fill),
            "size": fill["size"],
            "price": fill["price"],
            "commission": fill["commission"],
        }


def _trades(backtest: Backtest) -> Iterator[Row]:
    # The row holds the first thousands of them; the account replayed over our bars has all.
    for trade in record_of(backtest, prices=True).trades:
        yield {
            "entry_date": backtest.dates[trade["entry_bar"]],
            "exit_date": backtest.dates[trade["exit_bar"]],
            **_named(backtest, trade),
            **{name: trade[name] for name in TRADE_NUMBERS},
        }


def _orders(backtest: Backtest) -> Iterator[Row]:
    for order in backtest.orders:
        yield {
            "date": backtest.dates[order["bar"]],
            **_named(backtest, order),
            "kind": order["kind"],
            "size": order["size"],
            **{name: order.get(name) for name in ("limit", "stop", "sl", "tp")},
            "closes": bool(order.get("closes")),
            "outcome": order["outcome"],
            "reason": order.get("reason") or "",
        }


TRADE_NUMBERS = ("size", "entry_price", "exit_price", "commission", "profit", "return_fraction")
EQUITY_NUMBERS = ("equity", "drawdown_fraction", "benchmark", "net_exposure_fraction", "gross_exposure_fraction")
KINDS: dict[str, Callable[[Backtest], Iterator[Row]]] = {
    "equity": _equity,
    "trades": _trades,
    "orders": _orders,
    "fills": _fills,
}
# The columns are named by hand: a file without rows has them, too.
NUMBER, TEXT, FLAG, MOMENT = "number", "text", "flag", "moment"
COLUMNS: dict[str, dict[str, str]] = {
    "equity": {"date": MOMENT, **dict.fromkeys(EQUITY_NUMBERS, NUMBER)},
    "trades": {"entry_date": MOMENT, "exit_date": MOMENT, "instrument": TEXT, **dict.fromkeys(TRADE_NUMBERS, NUMBER)},
    "orders": {
        "date": MOMENT,
        "instrument": TEXT,
        "kind": TEXT,
        **dict.fromkeys(("size", "limit", "stop", "sl", "tp"), NUMBER),
        "closes": FLAG,
        "outcome": TEXT,
        "reason": TEXT,
    },
    "fills": {"date": MOMENT, "instrument": TEXT, **dict.fromkeys(("size", "price", "commission"), NUMBER)},
}


def _named(backtest: Backtest, item: Row) -> Row:
    return {"instrument": backtest.instruments[int(item.get("instrument", 0))]["symbol"]}


def _parts(backtest: Backtest, kind: str) -> Iterator[list[Row]]:
    part: list[Row] = []
    for row in KINDS[kind](backtest):
        part.append(row)
        if len(part) == ROWS_AT_ONCE:
            yield part
            part = []
    yield part


def csv_pieces(backtest: Backtest, kind: str) -> Iterator[bytes]:
    """Some thousand rows at a time: ISO dates, moments with the Z of UTC, a point for decimals, all digits, empty for
    missing. Of a backtest that was not verified the first line is a comment that says so.
    """
    columns = COLUMNS[kind]
    if told := backtest.standing.told(kind.capitalize()):
        yield f"# {_one_cell(told)}\r\n".encode()
    yield written([list(columns)])
    for part in _parts(backtest, kind):
        yield written([[_cell(row[name], type_) for name, type_ in columns.items()] for row in part])


def _cell(value: Any, type_: str) -> str:
    if value is None:
        return ""
    if type_ == MOMENT:
        return str(value) if len(str(value)) <= DAY else f"{str(value).removesuffix('Z')}Z"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, (int, float)) else safe_cell(value)


def _one_cell(text: str) -> str:
    """Without what ends a cell in any spreadsheet, so that no part of it begins another, which could be a formula."""
    return re.sub(r'[\s,;|"]+', " ", text)


def parquet_pieces(backtest: Backtest, kind: str) -> Iterator[bytes]:
    """The same as Parquet, a row group at a time; whether it was verified stands in the metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    timed = any(len(date) > DAY for date in backtest.dates)
    types = {
        NUMBER: pa.float64(),
        TEXT: pa.string(),
        FLAG: pa.bool_(),
        MOMENT: pa.timestamp("us", "UTC" if timed else None),
    }
    moments = [name for name, type_ in COLUMNS[kind].items() if type_ == MOMENT]
    schema = pa.schema([(name, types[type_]) for name, type_ in COLUMNS[kind].items()])
    standing = backtest.standing
    said = {"verified": str(standing.verified).lower(), "note": standing.told(kind.capitalize()) or standing.said}
    written = _Pieces()
    with pq.ParquetWriter(written, schema.with_metadata(said)) as writer:
        for part in _parts(backtest, kind):
            for row in part:
                row.update({name: datetime.fromisoformat(row[name].removesuffix("Z")) for name in moments})
            writer.write_table(pa.Table.from_pylist(part, schema=schema))
            if written.waiting >= PIECE_BYTES:
                yield written.take()
    yield written.take()


class _Pieces(io.RawIOBase):
    """A file that is handed on while it is written; it knows how far it has come, and keeps nothing."""

    def __init__(self) -> None:
        self._held, self._position = bytearray(), 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, content: Any) -> int:
        self._held += content
        self._position += len(content)
        return len(content)

    @property
    def waiting(self) -> int:
        return len(self._held)

    def take(self) -> bytes:
        piece, self._held = bytes(self._held), bytearray()
        return piece

"""How does a program ask for a report? report() makes an HTML file on a laptop; on the site, the site makes it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from qfp import channel, checking, data, metrics
from qfp.backtests import BacktestResult
from qfp.figures import count, figures
from qfp.moments import instants
from qfp.portfolio import PortfolioResult
from qfp.results import Result
from qfp.tearsheet import FactorSet, Prices, Record, factor_sets
from qfp.tearsheet.describing import describe
from qfp.tearsheet.document import document
from qfp.tearsheet.page import html

__all__ = ["report"]

UNCHECKED = "Figures as told by the program, made on this machine; no site has checked them."
STATES = {"clean": "green", "leak": "red", "remembers": "red"}


def report(result: Result, form: str = "pdf", title: str = "", notes: str = "", path: str | None = None) -> str:
    """Make a report of a backtest: figures, claims, charts, tables and conventions.

    result: what backtest() or portfolio_backtest() returned.
    form: "pdf" or "html". On a laptop it is always HTML, one file that needs nothing else.
    title, notes: in your words; an empty line begins a paragraph. path: of the file, on a laptop.

    On the site the report is made when the run has ended and stands on the page of the backtest. Returns a sentence
    about it there, and on a laptop the path of the file. Raises ValueError for another form.
    """
    if form not in ("pdf", "html"):
        raise ValueError(f'form is "pdf" or "html", not {form!r}')
    if not isinstance(result, Result):
        raise TypeError("report() takes what backtest() or portfolio_backtest() returned")
    if result.number is not None:
        number = result.number - checking.before
        if number < 0:
            raise ValueError("that backtest is of an earlier cell; its own page makes a report of it")
        channel.emit(
            {"type": "report", "backtest": number, "form": form, "title": title[:120], "notes": notes[:20_000]}
        )
        print(said := f"The report of {result.strategy} is made when this run has ended; its page will have it.")
        return said
    file = Path(path or f"{re.sub(r'[^A-Za-z0-9]+', '-', result.strategy).strip('-') or 'backtest'}.html")
    file.write_text(_page(result, title, notes), encoding="utf-8")
    print(f"The report stands in {file}.")
    return str(file)


def _page(result: Result, title: str, notes: str) -> str:
    record = _record(result)
    first, last = str(record.dates[0])[:10], str(record.dates[-1])[:10]
    about = [
        ("Instruments", ", ".join(record.symbols[:8]) + (" and more" if len(record.symbols) > 8 else "")),
        ("Period", f"{first} to {last}, {count(len(record.dates))} bars"),
    ]
    claims = _claims(result)
    return html(
        document(
            record,
            title or result.strategy,
            about,
            description=describe([str(moment) for moment in record.dates], record.equity),
            conventions=result.conventions.lines(),
            claims=claims,
            leak=any(line["state"] == "red" for line in claims if line["title"] == "Look-ahead"),
            claims_summary="as far as it was tested here",
            notices=[("amber", UNCHECKED)],
            verified_text=UNCHECKED,
            notes=notes,
        )
    )


def _claims(result: Result) -> list[dict[str, str]]:
    from qfp.checking.words import DOUBTS, amnesia_sentence, sentence

    found = getattr(result, "checks", {})
    named = (("lookahead", "Look-ahead", sentence), ("amnesia", "Memory of history", amnesia_sentence))
    return [
        {
            "state": "amber" if found[key].get("what") in DOUBTS else STATES.get(found[key].get("state", ""), "amber"),
            "title": title,
            "text": say(found[key]),
        }
        for key, title, say in named
        if found.get(key)
    ]


def _record(result: Result) -> Record:
    dates = instants(result.equity.index).astype("datetime64[us]")
    symbols = tuple(each["symbol"] for each in result.claim["instruments"])
    equity = result.equity.to_numpy(dtype=float)
    record = Record(
        result.strategy, dates, equity, symbols=symbols, figures=figures(result.metrics), factors=_factors()
    )
    if isinstance(result, BacktestResult):
        frame, fills = result._run.frame, result.fills.to_dict("records")
        high, low, close = (frame[name].to_numpy(dtype=float) for name in ("High", "Low", "Close"))
        moved = np.bincount(result.fills["bar"].to_numpy(int), result.fills["size"].to_numpy(float), len(close))
        net, gross = metrics.exposure_series(np.cumsum(moved) * close, equity)
        return replace(
            record,
            trades=result.trades.to_dict("records"),
            fills=fills,
            net=net,
            gross=gross,
            benchmark=equity[0] * close / close[0],
            prices=Prices(symbols[0], high, low, close),
        )
    assert isinstance(result, PortfolioResult)
    run = result._run
    market = run.portfolio.market
    net, gross = metrics.exposure_series(run.replay.units * market.marks, equity)
    return replace(
        record,
        trades=list(run.replay.trades),
        fills=result.fills.to_dict("records"),
        net=net,
        gross=gross,
        benchmark=market.equal_money(run.portfolio.cash),
        benchmark_name="Equal money, held",
    )


def _factors() -> list[FactorSet]:
    """Those of the data on this machine, if there are any."""
    try:
        names = data.search(kind="factors")[["name", "interval", "symbol"]].to_dict("records")
        tables = [(about, data.factors(about["symbol"])) for about in names]
    except data.DataError:
        return []
    return factor_sets(
        [(about, {"date": instants(frame.index), **{name: frame[name].to_numpy() for name in frame}})
         for about, frame in tables]
    )  # fmt: skip

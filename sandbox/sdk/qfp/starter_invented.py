"""What is in the starter catalogue that no market has seen? Series of qfp.synthetic, with what must be said of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from qfp import synthetic
from qfp.starter_tables import Made

INVENTED = "SYNTHETIC: made by a seeded generator (qfp.synthetic), not observed in any market."


def made_up_markets() -> Iterator[Made]:
    euro = synthetic.euro_dollar()
    about = _invented("fx/EURUSD", "EURUSD", "Euro in US dollars, by the hour", "fx", "1h", "USD a euro", zone="UTC")
    yield Made(about, euro.dates, euro.columns)
    days, minutes = synthetic.bitcoin()
    about = _invented("crypto/1d/BTCUSD", "BTCUSD", "Bitcoin in US dollars", "crypto", "1d", "USD a bitcoin")
    yield Made(about, days.dates, days.columns)
    about = {**about, "id": "synth/crypto/1m/BTCUSD", "interval": "1m", "zone": "UTC"}
    yield Made(about, minutes.dates, minutes.columns)


FATES = {"listed": "", "failed": " It fails and is delisted.", "bought": " It is bought and delisted."}


def made_up_shares() -> Iterator[Made]:
    for share in synthetic.shares(synthetic.market()):
        about = _invented(
            f"us/1d/{share.symbol}",
            share.symbol,
            f"Invented share {share.symbol[3:]}",
            "equity",
            "1d",
            "USD",
            exchange="weekdays",
            adjustment="none (it has neither splits nor dividends)",
            survivorship="free: those that were delisted are kept",
            notice=INVENTED + FATES[share.fate],
        )
        yield Made(about, share.bars.dates, share.bars.columns)
        if share.minutes is not None:
            fine = {**about, "id": f"synth/us/1m/{share.symbol}", "interval": "1m", "zone": "America/New_York"}
            yield Made(fine, share.minutes.dates, share.minutes.columns)


def made_up_universe() -> dict[str, Any]:
    return {
        "name": "synth/us500",
        "title": "500 invented US shares whose members come and go",
        "survivorship": "free",
        "notice": INVENTED,
        "members": [
            {
                "series": f"synth/us/1d/{share.symbol}",
                "symbol": share.symbol,
                "entered": str(share.entered),
                "left": None if share.left is None else str(share.left),
            }
            for share in synthetic.shares(synthetic.market())
        ],
    }


def made_up_options(index: Made, volatility: Made, curve: Made) -> Made:
    """On the last session of every week in which the index, its volatility and the curve are all known."""
    sessions = np.intersect1d(np.intersect1d(index.dates, volatility.dates), curve.dates)
    level, vix = (made.columns["close"][np.isin(made.dates, sessions)] for made in (index, volatility))
    yields = {tenor: curve.columns[tenor][np.isin(curve.dates, sessions)] for tenor in ("1m", "3m", "6m")}
    weeks = (sessions.astype("datetime64[D]").astype(int) + 3) // 7  # Monday is the first day
    last = np.append(weeks[1:] != weeks[:-1], True) & ~np.isnan(vix)
    chain = synthetic.option_chain(
        sessions[last].astype("datetime64[D]"),
        level[last],
        vix[last] / 100,
        {tenor: values[last] for tenor, values in yields.items()},
    )
    about = _invented(
        "options/SPX_chain",
        "SPX_chain",
        "Options on the S&P 500, weekly",
        "options",
        "1w",
        "index points",
        aliases=["SPX_options"],
        quality="Prices by Black, Scholes and Merton from SPX, VIX and the Treasury curve, with a stated skew: nobody "
        "quoted them. A row per option and day: calendar days to expiry, strike, call (1) or put (0).",
    )
    return Made(about, chain.dates, chain.columns)


def _invented(series: str, symbol: str, name: str, kind: str, interval: str, unit: str, **more: Any) -> dict[str, Any]:
    return {
        "id": f"synth/{series}",
        "symbol": symbol,
        "aliases": [],
        "name": f"{name} (SYNTHETIC)",
        "kind": kind,
        "interval": interval,
        "unit": unit,
        "exchange": "",
        "adjustment": "none",
        "licence": "public domain (made here)",
        "source": "qfp.synthetic, seeded",
        "quality": "No missing bars. Normal log returns: no jumps, no fat tails, no clusters of volatility.",
        "survivorship": "not applicable",
        "notice": INVENTED,
        **more,
    }

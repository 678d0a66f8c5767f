"""What is in the starter catalogue for education alone? Twenty large companies and five funds of factors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from qfp.starter_tables import Made, read_table

EDUCATION = "BSD 3-Clause (package); for testing and examples only, not for investment, trading or commercial use"
TWENTY = (
    *("AAPL", "AMD", "BAC", "BBY", "CVX", "GE", "HD", "JNJ", "JPM", "KO"),
    *("LLY", "MRK", "MSFT", "PEP", "PFE", "PG", "RRC", "UNH", "WMT", "XOM"),
)
TWENTY_NAMES = {
    "AAPL": "Apple Inc.",
    "AMD": "Advanced Micro Devices Inc.",
    "BAC": "Bank of America Corp.",
    "BBY": "Best Buy Co. Inc.",
    "CVX": "Chevron Corp.",
    "GE": "General Electric Co.",
    "HD": "Home Depot Inc.",
    "JNJ": "Johnson & Johnson",
    "JPM": "JPMorgan Chase & Co.",
    "KO": "Coca-Cola Co.",
    "LLY": "Eli Lilly & Co.",
    "MRK": "Merck & Co. Inc.",
    "MSFT": "Microsoft Corp.",
    "PEP": "PepsiCo Inc.",
    "PFE": "Pfizer Inc.",
    "PG": "Procter & Gamble Co.",
    "RRC": "Range Resources Corp.",
    "UNH": "UnitedHealth Group Inc.",
    "WMT": "Walmart Inc.",
    "XOM": "Exxon Mobil Corp.",
}
TWENTY_NOTICE = (
    "For education only: the package that carries it says so. Ends 2022-12-28 and is not brought up to date."
)


def twenty_shares(sources: Path) -> Iterator[Made]:
    frame = read_table(sources / "skfolio/datasets/data/sp500_dataset.csv.gz")
    dates = frame.days("Date", "%Y-%m-%d")
    for symbol in TWENTY:
        yield Made(
            {
                "id": f"starter/panel/sp500_20/{symbol}",
                "symbol": symbol,
                "aliases": [],
                "name": TWENTY_NAMES[symbol],
                "kind": "equity",
                "interval": "1d",
                "unit": "USD",
                "exchange": "US",
                "adjustment": "adjusted_at=2022-12-28",
                "licence": EDUCATION,
                "source": "skfolio 1.12.2, sp500_dataset",
                "quality": "Closes only, adjusted for splits and dividends by the source and rounded to a tenth of a "
                "cent, which is a lot for the low adjusted prices of the 1990s. Sessions equal the New York calendar.",
                "survivorship": "biased: twenty companies that were still in the index in 2022",
                "notice": TWENTY_NOTICE,
            },
            dates,
            {"close": frame.numbers(symbol)},
        )


def universe_of_twenty() -> dict[str, Any]:
    return {
        "name": "starter/sp500_20",
        "title": "Twenty large US companies",
        "survivorship": "biased",
        "notice": f"Chosen in 2022 from those that had survived, so every ranking looks too good. {TWENTY_NOTICE}",
        "members": [
            {
                "series": f"starter/panel/sp500_20/{symbol}",
                "symbol": symbol,
                "entered": "1990-01-02",
                "left": None,
            }
            for symbol in TWENTY
        ],
    }


def factor_funds(sources: Path) -> Made:
    frame = read_table(sources / "skfolio/datasets/data/factors_dataset.csv.gz")
    funds = ("MTUM", "QUAL", "SIZE", "USMV", "VLUE")
    prices = {fund.lower(): frame.numbers(fund) for fund in funds}
    return Made(
        {
            "id": "starter/factors/etf5",
            "symbol": "etf5",
            "aliases": list(funds),
            "name": "Returns of five US factor funds: momentum, quality, size, low volatility, value",
            "kind": "factors",
            "interval": "1d",
            "unit": "fraction a day",
            "exchange": "US",
            "adjustment": "none",
            "licence": EDUCATION,
            "source": "skfolio 1.12.2, factors_dataset",
            "quality": "Daily returns from adjusted prices rounded to a tenth of a cent; dividends are in them.",
            "survivorship": "biased: five funds that still existed in 2022",
            "notice": TWENTY_NOTICE,
        },
        frame.days("Date", "%Y-%m-%d")[1:],
        {fund: np.round(values[1:] / values[:-1] - 1, 6) for fund, values in prices.items()},
    )

"""Does every figure and every heading of a result say what it means?"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from qfp.tearsheet import FactorSet, Prices, Record, tables
from qfp.tearsheet.factors import NAMES
from qfp.tearsheet.terms import EVERYDAY, TERMS, definition

from playground.templatetags.figures import heading
from playground.templatetags.formatting import figure_tone

TEMPLATES = Path(__file__).parents[2] / "templates" / "runner"
DOCS = Path(__file__).parents[2] / "docs"
# What stands in tables of results and says no more than what is in a row, or is no figure of a result.
PLAIN = {"Changed", "Figure", "First", "In the last run", "Last run", "Name", "Parameter", "Parameters", "Peak memory",
         "Project", "Reason", "Run", "Run time", "Second", "Second less first", "Started", "Status", "Title", "Values",
         "What", "When", "Who sees it", "to", "Asked for as", "Shape", "Type", "Value"}  # fmt: skip


def full_record() -> Record:
    """One that has all tables, over a crisis, with factors and trades of two instruments."""
    days = np.arange("2016-01-01", "2020-12-31", dtype="datetime64[D]")
    days = days[np.is_busday(days)]
    rng = np.random.default_rng(3)
    close = 100 * np.cumprod(1 + rng.normal(0.0003, 0.01, len(days)))
    months = np.arange("2016-01", "2021-01", dtype="datetime64[M]").astype("datetime64[D]")
    columns = {name: rng.normal(0, 0.03, len(months)) for name in ("mkt_rf", "smb", "hml", "rmw", "cma", "mom")}
    factors = FactorSet("Factors", "1mo", months, {"date": months, "rf": np.zeros(len(months)), **columns})
    trade = {"entry_bar": 5, "exit_bar": 9, "size": 10.0, "entry_price": 100.0, "exit_price": 101.0, "profit": 10.0,
             "return_fraction": 0.01, "instrument": 0}  # fmt: skip
    band = [
        {"fill": "next open", "cost": each, "total_return": 0.1, "sharpe": 1.0, "base": each == 1} for each in (0, 1, 2)
    ]
    return Record(
        "Invented", days, 1_000 * np.cumprod(1 + rng.normal(0.0003, 0.01, len(days))), trades=[trade],
        symbols=("A", "B"), benchmark=close, factors=[factors], band=band, prices=Prices("A", close, close, close),
    )  # fmt: skip


def test_every_heading_and_every_coefficient_of_a_result_has_its_definition():
    found = {table.key: table for table in tables(full_record())}
    assert set(found) == {"monthly", "falls", "crises", "capm", "factors", "band", "trade_list"}
    headings = {name for table in found.values() for name in table.columns}
    rows = {row[0] for key in ("capm", "factors") for row in found[key].rows}
    assert {"Alpha a year", "Beta", "Three factors: alpha a year", *NAMES.values()} <= rows
    assert sorted(name for name in headings - EVERYDAY | rows if definition(name) is None) == []
    assert 'data-gloss="Return a year' in heading("Five factors: alpha a year")


@pytest.mark.parametrize("page", ["_walk", "_sweep", "backtest", "compare", "project", "dashboard", "_difference"])
def test_every_heading_written_in_a_template_is_plain_or_defined(page):
    text = (TEMPLATES / f"{page}.html").read_text()
    written = re.findall(r"<(?:th|dt)[^>]*>([^<{]+?) ?(?:<|{%)", text)
    assert sorted(set(written) - PLAIN) == []
    for name in re.findall(r'{% heading "([^"]+)" %}', text):
        assert definition(name), name


def test_every_definition_leads_to_a_place_that_is_there():
    for name, (_, address) in TERMS.items():
        page, _, anchor = address.removeprefix("/docs/").partition("#")
        text = (DOCS / f"{page}.md").read_text()
        slugs = {re.sub(r"[^a-z0-9]+", "-", line.lower()).strip("-") for line in re.findall(r"^#+ (.+)$", text, re.M)}
        assert not anchor or anchor in slugs or f"{{#{anchor}}}" in text, (name, address)


def test_what_is_written_as_nought_has_no_colour():
    assert figure_tone(-0.0004, "total_return") == "" == figure_tone(-0.0002, "max_drawdown")
    assert figure_tone(-0.0006, "total_return") == "loss" == figure_tone(-0.0006, "max_drawdown")
    assert figure_tone(0.0006, "cagr") == "gain"

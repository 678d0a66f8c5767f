"""What does a backtest look like on paper? Charts, tables and one HTML file that needs nothing else.

A Record (record.py) becomes charts and tables as data (charts.py, tables.py); drawing.py draws them, page.py writes the
file. The site's pages and its PDF are made from the same.
"""

from __future__ import annotations

from qfp.tearsheet.charts import Chart, Trace, charts
from qfp.tearsheet.factors import factor_sets
from qfp.tearsheet.record import FactorSet, Prices, Record
from qfp.tearsheet.table import Table
from qfp.tearsheet.tables import tables
from qfp.tearsheet.thinning import thinned

__all__ = [
    "Chart",
    "FactorSet",
    "Prices",
    "Record",
    "Table",
    "Trace",
    "charts",
    "factor_sets",
    "tables",
    "thinned",
]

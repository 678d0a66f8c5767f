"""Many instruments in one account: portfolio_backtest() shows and records, Portfolio runs without a word.

`market.py` lines bars up, `account.py` fills orders and books, `context.py` is what a strategy sees, `vectorised.py`
books target weights for all dates at once, `running.py` runs, `result.py` reports.
"""

from qfp.portfolio.context import Context, Past
from qfp.portfolio.result import PortfolioResult, portfolio_backtest
from qfp.portfolio.running import Portfolio, PortfolioRun

__all__ = ["Context", "Past", "Portfolio", "PortfolioResult", "PortfolioRun", "portfolio_backtest"]

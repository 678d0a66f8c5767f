"""Cross-sectional momentum.

Jegadeesh and Titman (1993): shares that rose most over the last year, leaving out the last month, went on to rise more
than the others. The eighteen shares here all survived until 2022, which flatters every strategy that buys any of them:
compare with holding all of them, not with zero.
"""

import pandas as pd
from qfp import chart, data, metrics, param, portfolio_backtest, show, table
from qfp.portfolio import Portfolio

months = param("months", 12, 3, 24, step=1, label="Look back, months")
held = param("held", 5, 1, 10, step=1, label="Shares held")
cost = param("cost", 0.001, 0.0, 0.01, step=0.0005, label="Commission, share of value")
shares = [
    "AMD", "BAC", "BBY", "CVX", "GE", "HD", "JNJ", "JPM", "KO",
    "LLY", "MRK", "PEP", "PFE", "PG", "RRC", "UNH", "WMT", "XOM",
]  # fmt: skip
bars = {symbol: data.prices(symbol, "2000-01-03", "2022-12-28") for symbol in shares}


# %% At the first close of each month: rank by the growth of the last year, without its last month
def growth(past):
    closes = past.closes(21 * months + 1)
    return (closes.iloc[-22] / closes.iloc[0] - 1).dropna() if len(closes) > 21 * months else pd.Series(dtype=float)


def strongest(past):
    chosen = growth(past).nlargest(held).index
    return {symbol: 1 / held for symbol in chosen} or None


def weakest(past):
    chosen = growth(past).nsmallest(held).index
    return {symbol: 1 / held for symbol in chosen} or None


def all_of_them(past):
    return {symbol: 1 / len(shares) for symbol in shares} if len(growth(past)) else None


# %% One account for all; these series have closes only, so orders fill at the next close
how = {"fill": "next-close", "commission": cost, "fractional": True}
winners = portfolio_backtest(bars, weights=strongest, rebalance="monthly", name="Strongest shares", **how)

# %% Against the weakest, and against all of them
account = Portfolio(bars, **how)
book = pd.DataFrame({
    "strongest": winners.equity,
    "weakest": account.run(weights=weakest, rebalance="monthly").equity,
    "all, equal weights": account.run(weights=all_of_them, rebalance="monthly").equity,
})  # fmt: skip
show(chart((book / book.iloc[0])[::5], title="Growth of 1 after costs", log=True))
show(table(
    pd.DataFrame({
        name: {"return a year": metrics.cagr(equity), "Sharpe": metrics.sharpe_ratio(equity.pct_change().dropna()),
               "worst fall": metrics.max_drawdown(equity)}
        for name, equity in book.items()
    }).round(3),
    caption=f"{book.index[0]:%Y} to {book.index[-1]:%Y}",
))  # fmt: skip
excess = metrics.cagr(book["strongest"]) - metrics.cagr(book["all, equal weights"])
print(f"The strongest shares earned {excess:.1%} a year more than all of them.")

"""The stronger of three shares, and a short position in the weakest."""
import pandas as pd
from zipline import run_algorithm
from zipline.api import date_rules, order_target_percent, schedule_function, symbols, time_rules


def initialize(context):
    context.universe = symbols("AAPL", "IBM", "MSFT")
    schedule_function(rotate, date_rules.week_start(), time_rules.market_close(hours=1))


def rotate(context, data):
    closes = data.history(context.universe, "close", 60, "1d")
    strength = closes.iloc[-1] / closes.iloc[0]
    best, worst = strength.idxmax(), strength.idxmin()
    for asset in context.universe:
        if data.can_trade(asset):
            order_target_percent(asset, 0.8 if asset == best else -0.3 if asset == worst else 0.0)


def analyze(context, perf):
    print("sharpe: %.3f" % perf.sharpe.iloc[-1])


perf = run_algorithm(
    start=pd.Timestamp("2005-01-03"),
    end=pd.Timestamp("2008-12-31"),
    initialize=initialize,
    analyze=analyze,
    capital_base=250_000,
)
print("final value: %.2f" % perf.portfolio_value.iloc[-1])

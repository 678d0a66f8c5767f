"""Two averages, with commissions and slippage of its own."""
import pandas as pd
from zipline import run_algorithm
from zipline.api import order_target, record, set_commission, set_slippage, symbol
from zipline.finance import commission, slippage


def initialize(context):
    context.asset = symbol("IBM")
    context.i = 0
    set_commission(commission.PerDollar(cost=0.001))
    set_slippage(slippage.NoSlippage())


def handle_data(context, data):
    context.i += 1
    if context.i < 100:
        return
    short = data.history(context.asset, "price", bar_count=20, frequency="1d").mean()
    long = data.history(context.asset, "price", bar_count=100, frequency="1d").mean()
    if short > long:
        order_target(context.asset, 500)
    elif short < long:
        order_target(context.asset, 0)
    record(short=short, long=long)


perf = run_algorithm(
    start=pd.Timestamp("2004-01-02"),
    end=pd.Timestamp("2009-12-31"),
    initialize=initialize,
    handle_data=handle_data,
    capital_base=1e5,
    bundle="quantopian-quandl",
)
print("final value: %.2f" % perf.portfolio_value.iloc[-1])

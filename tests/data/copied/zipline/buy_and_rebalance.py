"""Half of the account in one share, corrected every month."""
import pandas as pd
from zipline import run_algorithm
from zipline.api import date_rules, order_target_percent, record, schedule_function, symbol, time_rules


def initialize(context):
    context.asset = symbol("AAPL")
    schedule_function(rebalance, date_rules.month_start(), time_rules.market_open())


def rebalance(context, data):
    order_target_percent(context.asset, 0.5)


def handle_data(context, data):
    record(AAPL=data.current(context.asset, "price"))


perf = run_algorithm(
    start=pd.Timestamp("2006-01-03", tz="utc"),
    end=pd.Timestamp("2009-12-31", tz="utc"),
    initialize=initialize,
    handle_data=handle_data,
    capital_base=100000,
    data_frequency="daily",
    bundle="quandl",
)
print("final value: %.2f" % perf.portfolio_value.iloc[-1])

from backtesting import Backtest, Strategy
from backtesting.lib import crossover
from backtesting.test import SMA
from qfp import data


class Cross(Strategy):
    fast, slow = 10, 30

    def init(self):
        self.a = self.I(SMA, self.data.Close, self.fast)
        self.b = self.I(SMA, self.data.Close, self.slow)

    def next(self):
        if crossover(self.a, self.b):
            self.buy()
        elif crossover(self.b, self.a):
            self.position.close()


prices = data.prices("AAPL", "2005-01-03", "2006-12-29").rename(columns=str.title)
bt = Backtest(prices, Cross, cash=10_000, commission=0.001, trade_on_close=True)
stats = bt.optimize(fast=range(5, 20, 5), slow=[20, 40], maximize="Equity Final [$]")
print("Final Portfolio Value: %.2f" % stats["Equity Final [$]"])

from backtesting import Backtest, Strategy
from backtesting.lib import crossover
from backtesting.test import SMA
from qfp import data


class SmaCross(Strategy):
    n1 = 10
    n2 = 20

    def init(self):
        close = self.data.Close
        self.sma1 = self.I(SMA, close, self.n1)
        self.sma2 = self.I(SMA, close, self.n2)

    def next(self):
        if crossover(self.sma1, self.sma2):
            self.position.close()
            self.buy()
        elif crossover(self.sma2, self.sma1):
            self.position.close()
            self.sell()


prices = data.prices("IBM", "2005-01-03", "2006-12-29").rename(columns=str.title)
bt = Backtest(prices, SmaCross, cash=10000, commission=0.002, exclusive_orders=True, finalize_trades=True)
stats = bt.run()
print("Final Portfolio Value: %.2f" % stats["Equity Final [$]"])

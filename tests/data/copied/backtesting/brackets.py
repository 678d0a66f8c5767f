import pandas as pd
import yfinance as yf
from backtesting import Backtest, Strategy


def momentum(values, days):
    return pd.Series(values).pct_change(days)


class Brackets(Strategy):
    days = 20

    def init(self):
        self.strength = self.I(momentum, self.data.Close, self.days)
        self.buy(size=3)

    def next(self):
        price = self.data.Close[-1]
        if not self.position and self.strength[-1] > 0.02:
            self.buy(size=0.5, sl=0.95 * price, tp=1.08 * price)
        elif len(self.data) % 50 == 0:
            self.sell(size=10, limit=price * 1.01)
        elif self.position and self.strength[-1] < -0.05:
            self.position.close(0.5)


df = yf.download("MSFT", start="2005-01-01", end="2006-12-31", multi_level_index=False)
bt = Backtest(df, Brackets, cash=100_000, commission=(1.0, 0.0005), margin=0.5, spread=0.0002)
stats = bt.run()
print("Final Portfolio Value: %.2f" % stats["Equity Final [$]"])

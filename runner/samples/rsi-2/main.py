"""Mean reversion with the RSI of two days.

Larry Connors' rule: in an uptrend, buy when the RSI of two days is very low; sell when the share is back above its short
average. The long average keeps it out of falling markets: set `trend` to 2 to see what it adds.
"""

from backtesting import Strategy
from qfp import backtest, data, param

symbol = param("symbol", "SPX", choices=["SPX", "IXIC", "IBM", "MSFT", "AAPL"], label="Share or index")
low = param("low", 10, 2, 40, step=2, label="Buy below an RSI of")
trend = param("trend", 200, 2, 250, step=1, label="Long average, days")
exit_days = param("exit_days", 5, 2, 20, step=1, label="Short average, days")


# %% The indicator
def rsi(close, days=2):
    """Wilder's relative strength index: 100 when every move was up, 0 when every one was down."""
    move = close.s.diff()
    gain = move.clip(lower=0).ewm(alpha=1 / days, min_periods=days).mean()
    loss = (-move).clip(lower=0).ewm(alpha=1 / days, min_periods=days).mean()
    return 100 * gain / (gain + loss)


def average(close, days):
    return close.s.rolling(days).mean()


# %% The rule
class Rsi2(Strategy):
    def init(self):
        self.rsi = self.I(rsi, self.data.Close)
        self.long = self.I(average, self.data.Close, trend)
        self.short = self.I(average, self.data.Close, exit_days)

    def next(self):
        price = self.data.Close[-1]
        if not self.position and price >= self.long[-1] and self.rsi[-1] < low:
            self.buy()
        elif self.position and price > self.short[-1]:
            self.position.close()


# %% Its result
backtest(Rsi2, data.prices(symbol), cash=10_000, commission=0.0005)

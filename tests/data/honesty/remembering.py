# ruff: noqa
import numpy as np
import pandas as pd
from qfp import backtest, data
from qfp.backtesting import Strategy

bars = data.prices("IBM", "2007-06-01", "2009-12-31")


# %% dates: a_month
class Memory(Strategy):
    def init(self):
        pass

    def next(self):
        month = str(self.data.index[-1])[:7]
        if month == "2008-03" and not self.position:
            self.buy()
        elif month == "2008-09":
            self.position.close()


backtest(Memory, bars)

# %% dates: years_in_a_table
SIDES = {2007: 1, 2008: -1, 2009: 1}


class Memory(Strategy):
    def init(self):
        pass

    def next(self):
        side = SIDES.get(self.data.index[-1].year, 0)
        if side > 0 and not self.position:
            self.buy()
        elif side < 0:
            self.position.close()


backtest(Memory, bars)


# %% dates: out_before_the_fall
class Memory(Strategy):
    def init(self):
        self.mean = self.I(lambda values: pd.Series(values).rolling(20).mean(), self.data.Close)

    def next(self):
        if self.data.index[-1] > pd.Timestamp("2008-09-01") and self.data.index[-1] < pd.Timestamp("2009-03-15"):
            self.position.close()
        elif self.data.Close[-1] > self.mean[-1] and not self.position:
            self.buy()


backtest(Memory, bars)


# %% numbers: a_string_by_bar
UP = "0111010011100101100011110100001101" * 40  # learnt from the prices, then pasted


class Memory(Strategy):
    def init(self):
        pass

    def next(self):
        if UP[len(self.data) - 1] == "1":
            if not self.position:
                self.buy()
        else:
            self.position.close()


backtest(Memory, bars)


# %% boundary: trained_until_a_day
class Trained(Strategy):
    train_until = "2008-06-30"

    def init(self):
        moves = self.data.Close.s.pct_change()
        known = moves[: self.train_until]
        calm = known.std() if len(known) < len(moves) else 2 * known.std()
        self.calm = self.I(lambda close: pd.Series(close).pct_change().abs() < calm, self.data.Close)

    def next(self):
        if self.data.index[-1] <= pd.Timestamp(self.train_until):
            return
        if self.calm[-1] and not self.position:
            self.buy()
        elif not self.calm[-1]:
            self.position.close()


backtest(Trained, bars)


# %% dates: bought_at_the_bottom
class Bottom(Strategy):
    def init(self):
        pass

    def next(self):
        if self.data.index[-1] >= pd.Timestamp("2009-03-09") and not self.position:
            self.buy()


backtest(Bottom, bars)


# %% prices: two_dollars_below
class Fixed(Strategy):
    def init(self):
        pass

    def next(self):
        if not self.position and not self.orders:
            self.buy(limit=self.data.Close[-1] - 2)
        elif self.position:
            self.position.close()


backtest(Fixed, bars)


# %% days: out_around_a_few_meetings
MEETINGS = ["2009-01-28", "2009-03-18", "2009-04-29", "2009-06-24", "2009-08-12", "2009-09-23", "2009-11-04"]


class Quiet(Strategy):
    def init(self):
        pass

    def next(self):
        day = self.data.index[-1]
        near = any(0 <= (pd.Timestamp(meeting) - day).days <= 2 for meeting in MEETINGS)
        if near and self.position:
            self.position.close()
        elif not near and not self.position:
            self.buy(size=0.9)


backtest(Quiet, bars)


# %% clean: entries_by_day
SLOW = bars["close"].rolling(20).mean()
ENTRIES = {str(day.date()): bool(close > SLOW[day]) for day, close in bars["close"].items()}


class Memory(Strategy):
    def init(self):
        pass

    def next(self):
        if ENTRIES.get(str(self.data.index[-1].date())):
            if not self.position:
                self.buy()
        else:
            self.position.close()


backtest(Memory, bars)

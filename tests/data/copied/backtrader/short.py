"""Long above the average, short below it, by signals."""
import backtrader as bt
from qfp import data


class Trend(bt.Indicator):
    lines = ("signal",)
    params = (("period", 40),)

    def __init__(self):
        self.lines.signal = self.data - bt.indicators.SMA(period=self.p.period)


cerebro = bt.Cerebro(cheat_on_open=True)
bars = data.prices("GOOG", "2005-01-01", "2007-12-31")
bars["openinterest"] = 0
cerebro.adddata(bt.feeds.PandasData(dataname=bars[["open", "high", "low", "close", "volume", "openinterest"]]))
cerebro.add_signal(bt.SIGNAL_LONGSHORT, Trend)
cerebro.broker.setcash(25_000)
cerebro.broker.setcommission(commission=0.001)
cerebro.addsizer(bt.sizers.AllInSizer, percents=50)
cerebro.run(stdstats=False)
print("Final Portfolio Value: %.2f" % cerebro.broker.getvalue())

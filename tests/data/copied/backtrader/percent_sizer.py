"""Bollinger bands, most of the account, orders that fill at the close that decides."""
import backtrader as bt
from qfp import data


class Bands(bt.Strategy):
    def __init__(self):
        self.bands = bt.ind.BollingerBands(period=20)

    def next(self):
        if not self.position and self.data.close[0] < self.bands.bot[0]:
            self.buy()
        elif self.position and self.data.close[0] > self.bands.mid[0]:
            self.close()


cerebro = bt.Cerebro()
cerebro.adddata(bt.feeds.PandasData(dataname=data.prices("AAPL", "2005-01-01", "2007-12-31")))
cerebro.addstrategy(Bands)
cerebro.broker = bt.brokers.BackBroker(coc=True)
cerebro.broker.setcash(50000)
cerebro.broker.setcommission(0.0)
cerebro.addsizer(bt.sizers.PercentSizer, percents=90)
cerebro.run(runonce=False)
print("Final Portfolio Value: %.2f" % cerebro.broker.getvalue())

"""Which averages? Every pair is tried."""
import backtrader as bt
from qfp import data


class Cross(bt.Strategy):
    params = (("fast", 10), ("slow", 40))

    def __init__(self):
        self.cross = bt.ind.CrossOver(bt.ind.SMA(period=self.p.fast), bt.ind.SMA(period=self.p.slow))

    def next(self):
        if self.cross > 0:
            self.order_target_percent(target=0.9)
        elif self.cross < 0:
            self.order_target_percent(target=0.0)


if __name__ == "__main__":
    cerebro = bt.Cerebro(maxcpus=1)
    cerebro.optstrategy(Cross, fast=range(5, 20, 5), slow=[30, 60])
    cerebro.adddata(bt.feeds.PandasData(dataname=data.prices("IBM", "2006-01-01", "2008-12-31")))
    cerebro.broker.setcommission(commission=0.001)
    cerebro.addanalyzer(bt.analyzers.Returns, _name="returns")
    for run in cerebro.run():
        for strategy in run:
            print(strategy.params.fast, strategy.params.slow, strategy.analyzers.returns.get_analysis()["rtot"])

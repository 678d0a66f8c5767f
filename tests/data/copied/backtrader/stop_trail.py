"""Highs of fifty days, left by a trailing stop."""
import datetime

import backtrader as bt


class Breakout(bt.Strategy):
    params = dict(period=50, trail=0.07)

    def __init__(self):
        self.high = bt.ind.Highest(self.data.high(-1), period=self.p.period)
        self.exit = None

    def notify_order(self, order):
        if order.status == order.Completed and order.isbuy():
            self.exit = self.sell(exectype=bt.Order.StopTrail, trailpercent=self.p.trail)

    def next(self):
        if not self.position and self.data.close[0] > self.high[0]:
            self.buy()


class PerShare(bt.CommInfoBase):
    params = (("stocklike", True), ("commtype", bt.CommInfoBase.COMM_FIXED))


cerebro = bt.Cerebro()
data = bt.feeds.YahooFinanceData(
    dataname="IBM", fromdate=datetime.datetime(2003, 1, 1), todate=datetime.datetime(2006, 12, 31)
)
cerebro.adddata(data)
cerebro.addstrategy(Breakout)
cerebro.addsizer(bt.sizers.SizerFix, stake=60)
cerebro.broker.addcommissioninfo(PerShare(commission=0.02))
cerebro.addobserver(bt.observers.DrawDown)
cerebro.run()
print("Final Portfolio Value: %.2f" % cerebro.broker.getvalue())

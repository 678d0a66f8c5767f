"""RSI entries with a stop and a target around them, from a CSV file."""
import backtrader as bt
from qfp import data

data.prices("MSFT", "2004-01-01", "2006-12-31").to_csv("msft.csv", date_format="%Y-%m-%d")


class RsiBracket(bt.Strategy):
    params = (("period", 14), ("low", 35), ("stop", 0.04), ("target", 0.08))

    def __init__(self):
        self.rsi = bt.indicators.RSI_SMA(self.data.close, period=self.p.period)
        self.waiting = []

    def log(self, txt):
        print("%s, %s" % (self.data.datetime.date(0).isoformat(), txt))

    def notify_order(self, order):
        if order.status in [order.Completed]:
            self.log("%s EXECUTED, %.2f" % ("BUY" if order.isbuy() else "SELL", order.executed.price))
        if not order.alive() and order in self.waiting:
            self.waiting.remove(order)

    def next(self):
        if self.waiting or self.position:
            return
        if self.rsi < self.p.low:
            price = self.data.close[0]
            self.waiting = self.buy_bracket(
                price=price * 0.998,
                stopprice=price * (1 - self.p.stop),
                limitprice=price * (1 + self.p.target),
                size=100,
            )


cerebro = bt.Cerebro()
feed = bt.feeds.GenericCSVData(
    dataname="msft.csv", dtformat="%Y-%m-%d", open=1, high=2, low=3, close=4, volume=5, openinterest=-1
)
cerebro.adddata(feed, name="MSFT")
cerebro.addstrategy(RsiBracket)
cerebro.broker.set_cash(20000)
cerebro.addanalyzer(bt.analyzers.TradeAnalyzer, _name="trades")
cerebro.addanalyzer(bt.analyzers.DrawDown, _name="drawdown")
strategies = cerebro.run()
print("trades:", strategies[0].analyzers.trades.get_analysis().total.total)
print("Final Portfolio Value: %.2f" % cerebro.broker.getvalue())

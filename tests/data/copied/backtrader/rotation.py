"""The stronger half of four shares, changed every month."""
import backtrader as bt
import yfinance as yf


class Rotation(bt.Strategy):
    params = dict(momentum=60, keep=2)

    def __init__(self):
        self.strength = {d: bt.ind.RateOfChange(d.close, period=self.p.momentum) for d in self.datas}
        self.add_timer(bt.timer.SESSION_START, monthdays=[1], monthcarry=True)

    def notify_timer(self, timer, when, *args, **kwargs):
        if len(self.datas[0]) <= self.p.momentum:
            return
        ranked = sorted(self.datas, key=lambda d: self.strength[d][0], reverse=True)
        for d in ranked[self.p.keep :]:
            if self.getposition(d).size:
                self.order_target_percent(d, target=0.0)
        for d in ranked[: self.p.keep]:
            self.order_target_percent(d, target=0.9 / self.p.keep)


cerebro = bt.Cerebro()
for ticker in ["IBM", "MSFT", "KO", "JPM"]:
    df = yf.Ticker(ticker).history(start="2006-01-01", end="2007-12-31")
    cerebro.adddata(bt.feeds.PandasData(dataname=df, name=ticker))
cerebro.addstrategy(Rotation)
cerebro.broker.setcash(100000)
cerebro.broker.setcommission(commission=0.0005)
cerebro.broker.set_slippage_perc(0.001, slip_open=True)
cerebro.run()
print("Final Portfolio Value: %.2f" % cerebro.broker.getvalue())

"""What is measured in a process of its own? The same strategy in the words of each engine; prints JSON.

    python backtest_programs.py ENGINE JOB [NUMBER]

Jobs: single (bars), grid (combinations), click (no number), conventions. Runs with only what its engine needs, in that
engine's environment, so nothing is imported here beyond NumPy and pandas.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

GOOG_BARS = 2_148
CASH, FEE = 1_000_000, 0.002
UNITS = 10  # on minute bars; all that can be bought would be gone after some thousand trades with these costs


def bars_of(count: int) -> Any:
    """The daily bars that come with backtesting.py, or minute bars that are made."""
    import numpy as np
    import pandas as pd

    if count == GOOG_BARS:
        return pd.read_csv(os.environ["GOOG"], index_col=0, parse_dates=True)
    random = np.random.default_rng(42)
    close = 100 * np.exp(np.cumsum(random.standard_normal(count) * 0.0005))
    begin = np.append(100.0, close[:-1])
    high, low = np.maximum(begin, close) * 1.0001, np.minimum(begin, close) * 0.9999
    frame = pd.DataFrame({"Open": begin, "High": high, "Low": low, "Close": close, "Volume": 1.0})
    return frame.set_index(pd.date_range("2010-01-01", periods=count, freq="min"))


def mean(values: Any, count: int) -> Any:
    import pandas as pd

    return pd.Series(values).rolling(count).mean()


def averages(engine: str) -> tuple[Any, Any]:
    """(Backtest, the strategy) of our engine or backtesting.py: the same text, with the average each brings along."""
    if engine == "ours":
        from qfp.backtesting import Backtest, Strategy
        from qfp.backtesting.lib import crossover
        from qfp.backtesting.test import SMA
    else:
        from backtesting import Backtest, Strategy  # type: ignore[import-not-found]
        from backtesting.lib import crossover  # type: ignore[import-not-found]
        from backtesting.test import SMA  # type: ignore[import-not-found]

    class Averages(Strategy):  # type: ignore[misc]
        fast, slow, units = 10, 20, 0

        def init(self) -> None:
            self.quick = self.I(SMA, self.data.Close, self.fast)
            self.calm = self.I(SMA, self.data.Close, self.slow)

        def next(self) -> None:
            if crossover(self.quick, self.calm):
                if self.units:
                    self.buy(size=self.units)
                else:
                    self.buy()
            elif crossover(self.calm, self.quick):
                self.position.close()

    return Backtest, Averages


def timed(run: Callable[[], float], rounds: int = 2) -> dict[str, Any]:
    """First and second run, CPU and wall, and what both end with."""
    found: dict[str, Any] = {}
    for which in ("first", "again")[:rounds]:
        wall, cpu = time.perf_counter(), time.process_time()
        found["equity"] = run()
        found[f"{which} wall"], found[f"{which} cpu"] = time.perf_counter() - wall, time.process_time() - cpu
    return found


def units_of(count: int) -> int:
    return 0 if count == GOOG_BARS else UNITS


# One run --------------------------------------------------------------------------------------------------------------


def single(engine: str, count: int) -> dict[str, Any]:
    frame, units = bars_of(count), units_of(count)
    if engine in ("ours", "theirs", "ours interpreted"):
        Backtest, Averages = averages(engine.partition(" ")[0])
        if engine != "theirs":
            ready()

        def run() -> float:
            test = Backtest(frame, Averages, cash=CASH, commission=FEE)
            if engine == "ours interpreted":
                return float(test.report(test.run_once({"units": units}, tier="interpreted"))["Equity Final [$]"])
            return float(test.run(units=units)["Equity Final [$]"])

        return timed(run, rounds=1 if engine == "theirs" and count > 500_000 else 2)
    if engine == "kernel":
        return kernel_single(frame, units)
    return {"vectorbt": vectorbt_single, "backtrader": backtrader_single}[engine](frame, units)


def memory_of_boxes() -> Any:
    """How the process that boxes are forked from keeps its memory."""
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    from sandbox.inside import memory

    return memory


def ready() -> None:
    """As in a box: machine code of the account is there before the program begins, and what is loaded is not looked
    through again for what can be thrown away.
    """
    from qfp.backtesting import Backtest, Strategy, compiled
    from qfp.backtesting.lib import crossover  # noqa: F401

    compiled.warm_up()

    class Nothing(Strategy):
        def init(self) -> None:
            self.line = self.I(mean, self.data.Close, 2)

        def next(self) -> None:
            if len(self.data) == 5:
                self.buy()
            elif len(self.data) == 9:
                self.position.close()

    import pandas as pd

    close = [float(100 + one % 7) for one in range(50)]
    bars = pd.DataFrame(dict.fromkeys(("Open", "High", "Low", "Close"), close), pd.date_range("2020", periods=50))
    Backtest(bars, Nothing).run()
    gc.collect()
    gc.freeze()


def laid_out(run: Callable[[], Any]) -> None:
    """As in the process that boxes are forked from, once this has run there: see sandbox/inside/zygote.py."""
    memory = memory_of_boxes()
    ran: dict[int, CodeType] = {}
    gc.unfreeze()
    sys.setprofile(lambda frame, event, argument: ran.setdefault(id(frame.f_code), frame.f_code))
    run()
    sys.setprofile(None)
    memory.fill_gaps()
    memory.move_together(ran)
    for _ in range(8):
        run()
    gc.collect()
    gc.freeze()
    memory.fill_gaps()
    memory.use_huge_pages()


def vectorbt_single(frame: Any, units: int) -> dict[str, Any]:
    import pandas as pd
    import vectorbt as vbt  # type: ignore[import-not-found]

    def run() -> float:
        fast, slow = mean(frame.Close, 10), mean(frame.Close, 20)
        up = ((fast > slow) & (fast.shift() < slow.shift())).shift(fill_value=False)
        down = ((fast < slow) & (fast.shift() > slow.shift())).shift(fill_value=False)
        size = {"size": units} if units else {"size_granularity": 1}
        portfolio = vbt.Portfolio.from_signals(
            frame.Close, up, down, price=frame.Open, init_cash=CASH, fees=FEE, freq=pd.Timedelta("1D"), **size
        )
        return float(portfolio.final_value())

    return timed(run)


def backtrader_single(frame: Any, units: int) -> dict[str, Any]:
    import backtrader as bt  # type: ignore[import-not-found]

    class Averages(bt.Strategy):  # type: ignore[misc]
        def __init__(self) -> None:
            self.quick, self.calm = bt.ind.SMA(period=10), bt.ind.SMA(period=20)

        def next_open(self) -> None:
            quick, calm = self.quick, self.calm
            if quick[-1] < calm[-1] and quick[0] > calm[0] and not self.position:
                price = self.data.open[0]
                self.buy(size=units or int(self.broker.getcash() // (price * (1 + FEE))))
            elif quick[-1] > calm[-1] and quick[0] < calm[0] and self.position:
                self.close()

    def run() -> float:
        cerebro = bt.Cerebro(stdstats=False, cheat_on_open=True)
        cerebro.adddata(bt.feeds.PandasData(dataname=frame))
        cerebro.addstrategy(Averages)
        cerebro.broker.setcash(CASH)
        cerebro.broker.setcommission(commission=FEE)
        cerebro.broker.set_coc(False)
        cerebro.run()
        return float(cerebro.broker.getvalue())

    return timed(run, rounds=1)


KERNEL = """
def limit(bars: int, cash: float, fee: float, units: float, opens: list[float], closes: list[float],
          quick: list[float], calm: list[float], out: list[float]) -> int:
    held = 0.0
    order = 0
    for bar in range(20, bars):
        if order > 0:
            price = opens[bar] * (1.0 + fee)
            held = units if units > 0.0 else floor(cash / price)
            cash = cash - held * price
        elif order < 0:
            cash = cash + held * opens[bar] * (1.0 - fee)
            held = 0.0
        order = 0
        if quick[bar - 1] < calm[bar - 1] and quick[bar] > calm[bar] and held == 0.0:
            order = 1
        elif quick[bar - 1] > calm[bar - 1] and quick[bar] < calm[bar] and held > 0.0:
            order = -1
    out[0] = cash + held * closes[bars - 1]
    return 0
"""


def kernel_function() -> Any:
    """The loop written by hand, as machine code: nothing can be faster that looks at every bar."""
    import ctypes

    from qfp.backtesting.compiled import machine

    keep, addresses = machine.load(machine.functions_of(KERNEL))
    kinds = [ctypes.c_int64, *[ctypes.c_double] * 3, *[ctypes.c_void_p] * 5]
    function = ctypes.CFUNCTYPE(ctypes.c_int64, *kinds)(addresses["limit"])
    return keep, function


def kernel_single(frame: Any, units: int) -> dict[str, Any]:
    import numpy as np

    _keep, function = kernel_function()
    opens, closes = (np.ascontiguousarray(frame[name].to_numpy()) for name in ("Open", "Close"))
    quick, calm = (mean(frame.Close, count).to_numpy(copy=True) for count in (10, 20))
    out = np.zeros(1)
    places = [column.ctypes.data for column in (opens, closes, quick, calm, out)]

    def run() -> float:
        function(len(frame), CASH, FEE, units, *places)
        return float(out[0])

    return timed(run)


# Many combinations ----------------------------------------------------------------------------------------------------


def grid_of(count: int) -> tuple[list[int], list[int]]:
    side = (25, 40) if count == 1_000 else (100, 100)
    return list(range(2, 2 + side[0])), list(range(105, 105 + 2 * side[1], 2))


def grid(engine: str, count: int) -> dict[str, Any]:
    """equity: of the best. Theirs tries one in so many, named in `of`, one after the other; "theirs optimize" tries
    some as its users do, in as many processes as there are cores.
    """
    frame = bars_of(GOOG_BARS)
    fasts, slows = grid_of(count)
    if engine == "vectorbt":
        return vectorbt_grid(frame, fasts, slows)
    if engine == "kernel":
        return kernel_grid(frame, fasts, slows)
    Backtest, Averages = averages(engine.partition(" ")[0])
    test = Backtest(frame, Averages, cash=CASH, commission=FEE)
    if engine == "theirs optimize":
        globals()["Averages"], Averages.__qualname__ = Averages, "Averages"  # where the processes look for it
        return in_processes(test, fasts, slows)
    if engine == "ours":
        ready()

        def run() -> float:
            _, heatmap = test.optimize(fast=fasts, slow=slows, maximize="Equity Final [$]", return_heatmap=True)
            found["every"] = heatmap.tolist()
            return float(heatmap.max())

        found: dict[str, Any] = {}
        return {**timed(run), **found}
    chosen = [(fast, slow) for fast in fasts for slow in slows][:: max(1, count // 25)]
    found = {"of": len(chosen), "chosen": chosen, "every": []}

    def some() -> float:
        found["every"] = [float(test.run(fast=fast, slow=slow)["Equity Final [$]"]) for fast, slow in chosen]
        return max(found["every"])

    return {**timed(some, rounds=1), **found}


def in_processes(test: Any, fasts: list[int], slows: list[int]) -> dict[str, Any]:
    """600 of them, as a process gets 300 at a time. CPU: of the processes, too."""
    fasts, slows = fasts[:: len(fasts) // 25], slows[:: max(1, len(slows) // 24)][:24]
    found: dict[str, Any] = {"of": len(fasts) * len(slows)}

    def cpu() -> float:
        used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in used)

    def run() -> float:
        _, heatmap = test.optimize(fast=fasts, slow=slows, maximize="Equity Final [$]", return_heatmap=True)
        found["every"] = [[fast, slow, float(heatmap[fast, slow])] for fast in fasts for slow in slows]
        return float(heatmap.max())

    begun = cpu()
    return {**timed(run, rounds=1), "first cpu": cpu() - begun, **found}


def vectorbt_grid(frame: Any, fasts: list[int], slows: list[int]) -> dict[str, Any]:
    import numpy as np
    import pandas as pd
    import vectorbt as vbt

    def run() -> float:
        lines = {count: mean(frame.Close, count).to_numpy() for count in {*fasts, *slows}}
        fast = np.column_stack([lines[one] for one in fasts for _ in slows])
        slow = np.column_stack([lines[one] for _ in fasts for one in slows])
        up, down = np.zeros(fast.shape, dtype=bool), np.zeros(fast.shape, dtype=bool)
        up[2:] = (fast[1:-1] > slow[1:-1]) & (fast[:-2] < slow[:-2])
        down[2:] = (fast[1:-1] < slow[1:-1]) & (fast[:-2] > slow[:-2])
        portfolio = vbt.Portfolio.from_signals(
            frame.Close,
            pd.DataFrame(up, index=frame.index),
            pd.DataFrame(down, index=frame.index),
            price=frame.Open,
            init_cash=CASH,
            fees=FEE,
            size_granularity=1,
            freq=pd.Timedelta("1D"),
        )
        return float(portfolio.final_value().max())

    return timed(run)


def kernel_grid(frame: Any, fasts: list[int], slows: list[int]) -> dict[str, Any]:
    import numpy as np

    _keep, function = kernel_function()
    opens, closes = (np.ascontiguousarray(frame[name].to_numpy()) for name in ("Open", "Close"))
    out = np.zeros(1)

    def run() -> float:
        lines = {count: mean(frame.Close, count).to_numpy(copy=True) for count in {*fasts, *slows}}
        best = 0.0
        fixed = (opens.ctypes.data, closes.ctypes.data)
        place = {count: line.ctypes.data for count, line in lines.items()}
        for fast in fasts:
            for slow in slows:
                function(len(frame), CASH, FEE, 0.0, *fixed, place[fast], place[slow], out.ctypes.data)
                best = max(best, float(out[0]))
        return best

    return timed(run)


# A click --------------------------------------------------------------------------------------------------------------


def click(engine: str) -> dict[str, Any]:
    """theirs: measured from outside, a whole process. ours: a fork of a warm process, as a box is."""
    frame = bars_of(GOOG_BARS)
    Backtest, Averages = averages(engine)

    def run() -> float:
        return float(Backtest(frame, Averages, cash=CASH, commission=FEE).run()["Equity Final [$]"])

    if engine == "theirs":
        return {"equity": run()}
    ready()
    laid_out(run)
    walls, equity = [], 0.0
    for _ in range(15):
        read, write = os.pipe()
        begun = time.perf_counter()
        child = os.fork()
        if not child:
            os.write(write, repr(run()).encode())
            os._exit(0)
        equity = float(os.read(read, 100))
        walls.append(time.perf_counter() - begun)
        os.waitpid(child, 0)
        os.close(read)
        os.close(write)
    return {"equity": equity, "wall": sorted(walls)[len(walls) // 2]}


# Conventions ----------------------------------------------------------------------------------------------------------


def conventions(engine: str) -> dict[str, float]:
    """The equity on GOOG by the fill convention of each engine, all by our engine."""
    from qfp.backtesting.lib import FractionalBacktest, crossover

    Backtest, Averages = averages("ours")
    frame = bars_of(GOOG_BARS)

    class Given(Averages):  # type: ignore[misc, valid-type]
        """Units worked out at the close that decides."""

        share, fee = 0.95, 0.0

        def next(self) -> None:
            if crossover(self.quick, self.calm):
                self.buy(size=int(self.equity * self.share / (self.data.Close[-1] * (1 + self.fee))))
            elif crossover(self.calm, self.quick):
                self.position.close()

    late = frame.assign(Open=frame.Close)
    options = {"cash": CASH, "commission": FEE}
    tests = {
        "open of the next bar": (Backtest(frame, Averages, **options), {}),
        "close that decides": (Backtest(frame, Averages, trade_on_close=True, **options), {}),
        "close that decides, fractions": (FractionalBacktest(frame, Averages, trade_on_close=True, **options), {}),
        "close of the next bar": (Backtest(late, Given, margin=0.5, **options), {"share": 1.0, "fee": FEE}),
        "open of the next bar, 95 % at the close": (Backtest(frame, Given, margin=0.5, **options), {}),
    }
    return {name: float(test.run(**params)["Equity Final [$]"]) for name, (test, params) in tests.items()}


def main(engine: str, job: str, number: str = "0") -> None:
    warnings.simplefilter("ignore")
    found: dict[str, Any]
    if engine.startswith("ours"):
        memory_of_boxes().gather()
    if job in ("single", "grid"):
        found = {"single": single, "grid": grid}[job](engine, int(number))
    else:
        found = {"click": click, "conventions": conventions}[job](engine)
    found["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])

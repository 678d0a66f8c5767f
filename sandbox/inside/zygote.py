"""How does a box start in milliseconds? As a fork of a process that has loaded the libraries already: the zygote.

Two processes of ours live in the outer jail. The keeper is its process 1: small, it starts zygotes and process 1 of
every box, which are its forks, so that a zygote can die or be replaced without harm to the boxes it served. The zygote
loads the libraries, runs a typical program once, and then forks a program's process into each box; no program ever runs
in it, so every box begins with the same clean interpreter. Whatever it has in memory, every program can read: nothing
secret may come here.

Both speak to the engine on sockets that keep messages apart, JSON with descriptors beside it.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from types import CodeType

# The loader has put this directory in front, and its names must not hide the standard library's.
sys.path[:] = [path for path in sys.path if path != os.path.dirname(os.path.abspath(__file__))]
sys.path.insert(0, "/opt/inside")

from qfp_inside import init, isolate, memory  # noqa: E402

MESSAGE_BYTES = 1 << 16
MAX_DESCRIPTORS = 16
CLONE_VM, CLONE_VFORK = 0x100, 0x4000
STACK_APART_BYTES = 512 << 10  # far more than the zygote's own frames take
OWN_NUMBERS = 16

# What a box has at once. Each of them costs every fork a little, so only what programs of this site use all the time:
# a library that is left out is imported from disk, as on any machine.
LIBRARIES = (
    "numpy", "pandas", "pyarrow", "scipy.stats", "scipy.optimize", "scipy.signal", "scipy.interpolate",
    "matplotlib.pyplot", "plotly.graph_objects", "plotly.express", "plotly.subplots", "plotly.io",
    "statsmodels.api", "sklearn.linear_model", "sklearn.ensemble", "sklearn.preprocessing", "sklearn.model_selection",
    "sklearn.pipeline", "sklearn.metrics",
    "bokeh.plotting", "bokeh.layouts", "bokeh.models", "backtesting", "backtesting.lib", "tqdm",
    "qfp.data", "qfp.backtests", "qfp.backtesting.lib", "qfp.output", "qfp.params", "qfp.progressing", "qfp.metrics",
    "qfp.conventions", "qfp.replay", "qfp.adjustment", "qfp.checking.strategies", "qfp.checking.recording",
    "qfp.checking.programs",
    "asyncio", "concurrent.futures", "csv", "dataclasses", "datetime", "decimal", "multiprocessing.pool", "pdb",
    "sqlite3", "statistics", "subprocess", "uuid", "zoneinfo",
)  # fmt: skip

# Runs once in the zygote, so that what libraries do at their first use is done. No prices of a market are read: every
# box would have them in its memory.
TYPICAL = """
import io, warnings; warnings.simplefilter("ignore")
import numpy as np, pandas as pd
from backtesting import Backtest, Strategy
from backtesting.lib import crossover
close = 100 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, 300)))
bars = pd.DataFrame(
    {"Open": close, "High": close * 1.01, "Low": close * 0.99, "Close": close, "Volume": 1000},
    index=pd.date_range("2023-01-02", periods=300),
)
bars = pd.read_csv(io.StringIO(bars.to_csv()), index_col=0, parse_dates=True)
def average(values, length): return pd.Series(values).rolling(length).mean()
import plotly.graph_objects as go, plotly.express as px
import matplotlib.pyplot as plt
class Cross(Strategy):
    def init(self):
        self.fast = self.I(average, self.data.Close, 10); self.slow = self.I(average, self.data.Close, 20)
    def next(self):
        if crossover(self.fast, self.slow): self.buy()
        elif crossover(self.slow, self.fast): self.position.close()
test = Backtest(bars, Cross, cash=10_000, commission=.002, finalize_trades=True)
statistics = test.run(); str(statistics); print(statistics.iloc[:5])
import qfp.backtesting; qfp.backtesting.Backtest(bars, Cross, commission=.002, finalize_trades=True).run()
import qfp.backtesting.compiled; qfp.backtesting.compiled.warm_up()
frame = pd.DataFrame(np.random.randn(60, 3), columns=list("abc"), index=pd.date_range("2024", periods=60))
frame.rolling(5).mean().pct_change().describe(); frame.resample("ME").last(); frame["a"].ewm(span=5).mean()
frame.groupby(frame.index.month).mean(); frame.merge(frame, left_index=True, right_index=True); print(frame.head())
display(frame)
figure = px.line(frame); figure.show()
figure = go.Figure(go.Candlestick(x=bars.index[:50], open=bars.Open[:50], high=bars.High[:50], low=bars.Low[:50],
                                  close=bars.Close[:50])); figure.show()
plt.plot([1, 2]); plt.show()
from scipy import stats
draws = np.random.default_rng(1).normal(0, 0.01, 300)
stats.jarque_bera(draws); stats.norm.cdf(draws); stats.linregress(draws, draws[::-1]); stats.ttest_1samp(draws, 0)
made = pd.DataFrame({"Open": draws, "Close": draws}, index=pd.date_range("2023-01-02", periods=300))
pd.Series(np.exp(np.cumsum(draws))).rolling(10).mean(); made.Close.iloc[-1]; figure.to_json()
class Sized(Cross):
    def next(self):
        if crossover(self.fast, self.slow): self.buy(size=0.5, sl=self.data.Close[-1] * 0.9)
        elif crossover(self.slow, self.fast): self.position.close()
Backtest(bars, Sized, cash=10_000, finalize_trades=True).run()["Return [%]"]
"""

# Runs after that, what most programs do again and again, until the interpreter has nothing more to note about it: which
# class has which attribute, which type is one of which abstract class, and for each piece of code that it is run often
# and with what. In a box every such note is a page to copy.
USUAL = """
import collections.abc, numbers
import numpy as np, pandas as pd, plotly.graph_objects as go
from scipy import stats
from backtesting import Backtest, Strategy
from backtesting.lib import crossover
import qfp.backtesting
def average(values, length):
    return pd.Series(values).rolling(length).mean()
class Cross(Strategy):
    def init(self):
        self.fast = self.I(average, self.data.Close, 5); self.slow = self.I(average, self.data.Close, 10)
    def next(self):
        if crossover(self.fast, self.slow): self.buy(size=0.5)
        elif crossover(self.slow, self.fast): self.position.close()
for _ in range(8):
    close = 100 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, 60)))
    bars = pd.DataFrame(
        {"Open": close, "High": close * 1.01, "Low": close * 0.99, "Close": close, "Volume": 1000},
        index=pd.date_range("2023-01-02", periods=60),
    )
    result = Backtest(bars, Cross, cash=10_000, finalize_trades=True).run()
    qfp.backtesting.Backtest(bars, Cross, cash=10_000, finalize_trades=True).run()
    chart = go.Figure(go.Candlestick(x=bars.index, open=bars.Open, high=bars.High, low=bars.Low, close=bars.Close))
    print(round(result["Return [%]"], 2), len(chart.to_json()), stats.jarque_bera(np.diff(np.log(close))).pvalue)
for kind in (int, float, str, bytes, bool, tuple, list, dict, set, type(None)):
    for abstract in [*vars(collections.abc).values(), *vars(numbers).values()]:
        isinstance(abstract, type) and issubclass(kind, abstract)
"""


# The keeper


def keep(descriptor: int) -> None:
    """Process 1 of the outer jail: start zygotes when told to, collect the dead, end with the engine."""
    init.libc().prctl(init.PR_SET_DUMPABLE, 0, 0, 0, 0)
    init.set_name("keeper")
    init.limit_open_files()
    use_up_numbers()
    capabilities = int(open("/proc/sys/kernel/cap_last_cap").read())
    own_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    engine = socket.socket(fileno=descriptor)
    woken = wake_on_child()
    gc.collect()
    gc.freeze()  # never looked at again, so that the boxes' process 1 share it
    memory.fill_gaps()
    engine.send(b"keeper")
    poller = select.poll()
    poller.register(engine, select.POLLIN)
    poller.register(woken, select.POLLIN)
    while True:
        ready = {number for number, _ in poller.poll()}
        if woken in ready:
            os.read(woken, 4096)
            reap()
        if engine.fileno() in ready:
            message, descriptors, _flags, _address = socket.recv_fds(engine, MESSAGE_BYTES, MAX_DESCRIPTORS)
            if not message:
                os._exit(0)  # the engine is gone, and with us goes everything in this jail
            if message == b"ping":
                engine.send(b"pong")
            elif message == b"box":
                start_box(descriptors, own_namespace, capabilities)
            elif forked():
                engine.close()
                os.close(woken)
                Zygote(socket.socket(fileno=descriptors[0]), capabilities).serve()
                os._exit(0)
            for each in descriptors:
                os.close(each)


def forked() -> bool:
    """Whether this is the child. Without room for one the engine sees the new zygote's socket close; ending here would
    end every box of this jail.
    """
    try:
        return os.fork() == 0
    except OSError:
        return False


def use_up_numbers() -> None:
    """The program of a box is its number 3, and what it starts has the next ones. A zygote with such a number would
    make its forks look like itself to libraries that tell processes apart by number.
    """
    for _ in range(OWN_NUMBERS):
        throw_away = os.fork()
        if throw_away == 0:
            os._exit(0)
        os.waitpid(throw_away, 0)


def start_box(descriptors: list[int], own_namespace: int, capabilities: int) -> None:
    """Fork its process 1."""
    child = -1
    try:
        isolate.unshare(isolate.NEWPID)
        child = os.fork()
    except OSError:
        pass  # no process or no namespace to be had: the engine sees the control socket close, and makes this box cold
    if child != 0:
        # Only a process that is in its own pid namespace may choose another one for its next child.
        isolate.check(isolate.libc.setns(own_namespace, isolate.NEWPID), "setns")
        return
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGCHLD):  # all that Python or the keeper handle; see init.drop_signals
            signal.signal(number, signal.SIG_DFL)
        control, link, *entrances = move_up(descriptors)
        for entrance in entrances:
            os.write(entrance, b"0")  # everything the box does comes after this
        os.dup2(control, 3, inheritable=False)
        os.dup2(link, 4, inheritable=False)
        os.closerange(5, init.MAX_OPEN_FILES)
        init.start(init.Control(3), isolate.Isolated(socket.socket(fileno=4), capabilities))
    finally:
        os._exit(72)


def wake_on_child() -> int:
    """A descriptor that can be read whenever a child has ended."""
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    return read


def reap() -> None:
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


# The zygote


class Zygote:
    def __init__(self, engine: socket.socket, capabilities: int) -> None:
        self.engine = engine
        self._capabilities = capabilities
        self._failed: OSError | None = None

    def serve(self) -> None:
        os.setsid()
        init.libc().prctl(init.PR_SET_DUMPABLE, 0, 0, 0, 0)
        init.set_name("zygote")
        self.engine.send(b"zygote")  # the engine sees our number beside it
        gc.disable()
        memory.gather()
        self._shell = self._load()
        self._clone = Clone()
        gc.collect()
        gc.freeze()  # what is here now is never looked at again by the collector, so it stays shared
        gc.enable()
        memory.fill_gaps()
        collapsed = memory.use_huge_pages()
        self._data_bytes, resident = memory.own()
        threads = len(os.listdir("/proc/self/task"))
        self._say({"ready": True, "threads": threads, "resident_bytes": resident, "huge_bytes": collapsed})
        self._listen()

    def _load(self):
        """Import, warm up, and give the module that runs programs."""
        for name in (".tmp", ".shm", ".config"):
            os.makedirs(os.path.join(init.WORKDIR, name), exist_ok=True)
        from qfp_inside import shell

        shell.prepare()
        for name in LIBRARIES:
            __import__(name)
        if (pools := sys.modules.get("threadpoolctl")) is not None:
            vars(pools)["_HAS_PROCFS"] = False  # it would look for libraries in /proc, which no box has
        for name in sys.argv[2:]:  # what goes with a device, where it is installed
            try:
                __import__(name)
            except ImportError:
                pass
        ran: dict[int, CodeType] = {}
        sys.setprofile(lambda frame, event, argument: ran.setdefault(id(frame.f_code), frame.f_code))
        shell.warm_up(TYPICAL)
        sys.setprofile(None)
        memory.fill_gaps()
        memory.move_together(ran)
        shell.warm_up(USUAL)
        return shell

    def _listen(self) -> None:
        woken = wake_on_child()
        poller = select.poll()
        poller.register(self.engine, select.POLLIN)
        poller.register(woken, select.POLLIN)
        while True:
            ready = {number for number, _ in poller.poll()}
            if woken in ready:
                os.read(woken, 4096)
                reap()
            if self.engine.fileno() not in ready:
                continue
            message, descriptors, _flags, _address = socket.recv_fds(self.engine, MESSAGE_BYTES, MAX_DESCRIPTORS)
            if not message:
                os._exit(0)  # replaced by another one, or the engine is gone; our boxes go on under the keeper
            if message == b"ping":
                self._say({"pong": True})
                continue
            try:
                self._fork_program(descriptors)
            except OSError as error:  # no process or no namespace to be had: the engine makes this box cold
                self._say({"failed": f"{type(error).__name__}: {error}", "number": int(message)})
            for each in descriptors:
                os.close(each)

    def _fork_program(self, descriptors: list[int]) -> None:
        """Into the box at the other end of the link, as a child of its process 1.

        Whoever forks into a pid namespace stays the parent, unless it ends: then process 1 of that namespace is. So
        between us and the program is a process in the box that shares our memory, forks, and ends: making it costs
        next to nothing, because nothing is copied, and we wait for its end.
        """
        with socket.socket(fileno=os.dup(descriptors[5])) as link:
            _message, spaces, _flags, _address = socket.recv_fds(link, 1, 1, socket.MSG_DONTWAIT)
        if not spaces:
            raise OSError("process 1 of the box has ended")
        try:
            isolate.check(isolate.libc.setns(spaces[0], isolate.NEWPID), "setns")
        finally:
            os.close(spaces[0])
        self._failed = None
        steps = init.Steps()
        between = self._clone(lambda: self._fork_between(descriptors, steps))
        _, status = os.waitpid(between, 0)
        if os.WIFSIGNALED(status):
            # The box was ended meanwhile, and it with it. It had our memory, maybe in the middle of a change, so
            # nothing that is here can be relied on: another zygote comes.
            os._exit(0)
        if self._failed is not None:
            raise self._failed

    def _fork_between(self, descriptors: list[int], steps: init.Steps) -> int:
        try:
            for entrance in descriptors[6:]:
                self._clone.write(entrance, b"0")  # into the box's control group, and so is whatever is forked
            program = os.fork()
        except OSError as error:
            self._failed = error
        else:
            if program == 0:
                self._become_program(descriptors, steps)
        return 0

    def _become_program(self, descriptors: list[int], steps: init.Steps) -> None:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.engine.detach()
            for number in (0, 1, 2):
                os.dup2(descriptors[number], number)
            rich, inbox, link = descriptors[3:6]

            def prepare(link: int):
                isolate.come_in(link, self._capabilities, steps)
                return self._shell

            init.become_program(rich, inbox, link, prepare, steps, self._data_bytes)
        finally:
            os._exit(72)

    def _say(self, message: dict) -> None:
        self.engine.send(json.dumps(message).encode())


def move_up(descriptors: list[int]) -> list[int]:
    """The same, out of the way of the numbers they are going to have."""
    import fcntl

    return [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 64) for each in descriptors]


class Clone:
    """Calls a function in a process that shares our memory, and waits until that has ended.

    Not vfork(): it would come back twice into frames that are used up after the first time. The frames of that process,
    and of what it forks, lie on the same stack as ours, far below them. It keeps the interpreter's lock all the time:
    nobody could give it back if it was ended without.
    """

    def __init__(self) -> None:
        top = ctypes.c_void_p.in_dll(init.libc(), "__libc_stack_end").value
        assert top is not None
        self._stack = (top - STACK_APART_BYTES) & ~15
        self._library = ctypes.PyDLL(None, use_errno=True)
        self._run = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
        self._library.clone.argtypes = [self._run, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
        self._library.write.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t]
        self._library.write.restype = ctypes.c_ssize_t

    def __call__(self, what: Callable[[], int]) -> int:
        call = self._run(lambda _: what())
        pid = self._library.clone(call, self._stack, CLONE_VM | CLONE_VFORK | signal.SIGCHLD, None)
        if pid < 0:
            isolate.check(-1, "clone")
        return pid

    def write(self, descriptor: int, content: bytes) -> None:
        """As os.write(), which would let go of the interpreter's lock."""
        if self._library.write(descriptor, content, len(content)) != len(content):
            isolate.check(-1, "write")


if __name__ == "__main__":
    keep(int(sys.argv[1]))

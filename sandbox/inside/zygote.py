"""How does a box start in milliseconds? As a fork of a process that has loaded the libraries already: the zygote.

Two processes of ours live in the outer jail. The keeper is its process 1: small, it starts zygotes and collects
processes whose zygote is gone, so that a zygote can die or be replaced without harm to the boxes it made. The zygote
loads the libraries, runs a typical program once, and then forks for each box; no program ever runs in it, so every box
begins with the same clean interpreter. Whatever it has in memory, every program can read: nothing secret may come here.

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

# The loader has put this directory in front, and its names must not hide the standard library's.
sys.path[:] = [path for path in sys.path if path != os.path.dirname(os.path.abspath(__file__))]
sys.path.insert(0, "/opt/inside")

from qfp_inside import init  # noqa: E402

MESSAGE_BYTES = 1 << 16
MAX_DESCRIPTORS = 8
HUGE_PAGE = 2 << 20
MADV_COLLAPSE = 25
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
PYTHON_OBJECTS_BYTES = 112 << 20  # as much as the libraries need
NEWPID = 0x20000000

# What a box has at once. Each of them costs every fork a little, so only what programs of this site use all the time:
# a library that is left out is imported from disk, as on any machine.
LIBRARIES = (
    "numpy", "pandas", "pyarrow", "scipy.stats", "scipy.optimize", "scipy.signal", "scipy.interpolate",
    "matplotlib.pyplot", "plotly.graph_objects", "plotly.express", "plotly.subplots", "plotly.io",
    "statsmodels.api", "sklearn.linear_model", "sklearn.ensemble", "sklearn.preprocessing", "sklearn.model_selection",
    "sklearn.pipeline", "sklearn.metrics",
    "bokeh.plotting", "bokeh.layouts", "bokeh.models", "backtesting", "backtesting.lib", "backtesting.test", "tqdm",
    "qfp.data", "qfp.backtests", "qfp.output", "qfp.params", "qfp.progressing", "qfp.metrics", "qfp.conventions",
    "qfp.replay", "qfp.adjustment",
    "asyncio", "concurrent.futures", "csv", "dataclasses", "datetime", "decimal", "multiprocessing.pool", "pdb",
    "sqlite3", "statistics", "subprocess", "uuid", "zoneinfo",
)  # fmt: skip

# Runs once in the zygote, so that what libraries do at their first use is done.
TYPICAL = """
import warnings; warnings.simplefilter("ignore")
import numpy as np, pandas as pd
from backtesting import Backtest, Strategy
from backtesting.lib import crossover
from backtesting.test import SMA, GOOG
import plotly.graph_objects as go, plotly.express as px
import matplotlib.pyplot as plt
class Cross(Strategy):
    def init(self):
        self.fast = self.I(SMA, self.data.Close, 10); self.slow = self.I(SMA, self.data.Close, 20)
    def next(self):
        if crossover(self.fast, self.slow): self.buy()
        elif crossover(self.slow, self.fast): self.position.close()
test = Backtest(GOOG.iloc[:300], Cross, cash=10_000, commission=.002, finalize_trades=True)
statistics = test.run(); str(statistics); print(statistics.iloc[:5])
frame = pd.DataFrame(np.random.randn(60, 3), columns=list("abc"), index=pd.date_range("2024", periods=60))
frame.rolling(5).mean().pct_change().describe(); frame.resample("ME").last(); frame["a"].ewm(span=5).mean()
frame.groupby(frame.index.month).mean(); frame.merge(frame, left_index=True, right_index=True); print(frame.head())
display(frame)
figure = px.line(frame); figure.show()
figure = go.Figure(go.Candlestick(x=GOOG.index[:50], open=GOOG.Open[:50], high=GOOG.High[:50], low=GOOG.Low[:50],
                                  close=GOOG.Close[:50])); figure.show()
plt.plot([1, 2]); plt.show()
"""


# The keeper


def keep(descriptor: int) -> None:
    """Process 1 of the outer jail: start zygotes when told to, collect the dead, end with the engine."""
    libc = init.libc()
    libc.prctl(init.PR_SET_DUMPABLE, 0, 0, 0, 0)
    init.set_name("keeper")
    # The first child of a box is its number 2; a zygote with that number would make its forks look like itself to
    # libraries that tell processes apart by number.
    throw_away = os.fork()
    if throw_away == 0:
        os._exit(0)
    os.waitpid(throw_away, 0)
    engine = socket.socket(fileno=descriptor)
    woken = wake_on_child()
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
            if os.fork() == 0:
                engine.close()
                os.close(woken)
                Zygote(socket.socket(fileno=descriptors[0])).serve()
                os._exit(0)
            for each in descriptors:
                os.close(each)


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
    def __init__(self, engine: socket.socket) -> None:
        self.engine = engine

    def serve(self) -> None:
        os.setsid()
        init.libc().prctl(init.PR_SET_DUMPABLE, 0, 0, 0, 0)
        init.set_name("zygote")
        self.engine.send(b"zygote")  # the engine sees our number beside it
        gc.disable()
        gather_memory()
        shell = self._load()
        own_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        capabilities = int(open("/proc/sys/kernel/cap_last_cap").read())
        from qfp_inside import isolate

        gc.collect()
        gc.freeze()  # what is here now is never looked at again by the collector, so it stays shared
        gc.enable()
        collapsed = use_huge_pages()
        data, resident = own_memory()
        self._walls = lambda: isolate.Isolated(shell, data, resident, capabilities)
        self._isolate, self._own_namespace = isolate, own_namespace
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
        for name in sys.argv[2:]:  # what goes with a device, where it is installed
            try:
                __import__(name)
            except ImportError:
                pass
        shell.warm_up(TYPICAL)
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
                self._fork_box(descriptors)
            except OSError as error:  # no process or no namespace to be had: the engine makes this box cold
                self._say({"failed": f"{type(error).__name__}: {error}", "number": int(message)})
            for each in descriptors:
                os.close(each)

    def _fork_box(self, descriptors: list[int]) -> None:
        isolate = self._isolate
        # Only a process that is still in its own pid namespace may choose the one of its next child.
        isolate.check(isolate.libc.setns(self._own_namespace, NEWPID), "setns")
        isolate.unshare(NEWPID)
        if os.fork() == 0:
            try:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                self.engine.detach()
                self._become_process_one(descriptors)
            finally:
                os._exit(72)

    def _become_process_one(self, descriptors: list[int]) -> None:
        stdin, stdout, stderr, rich, inbox, control = move_up(descriptors)
        for descriptor, target in ((stdin, 0), (stdout, 1), (stderr, 2), (control, 3), (rich, 4), (inbox, 5)):
            os.dup2(descriptor, target, inheritable=target < 3)
        os.closerange(6, init.MAX_OPEN_FILES)
        init.start(init.Control(3), 4, 5, self._walls())

    def _say(self, message: dict) -> None:
        self.engine.send(json.dumps(message).encode())


def move_up(descriptors: list[int]) -> list[int]:
    """The same, out of the way of the numbers they are going to have."""
    import fcntl

    return [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 64) for each in descriptors]


def gather_memory() -> None:
    """Make what will be loaded lie together, so that huge pages can hold it.

    Python takes its memory for objects in pieces of 1 MiB, wherever the kernel has room between libraries; taken all
    at once they are neighbours. Small ones stay taken when one object stays in each. The C library's larger pieces
    go to the heap up to the size that it would choose by itself after a while.
    """
    libc = init.libc()
    libc.mallopt(M_MMAP_THRESHOLD, 32 << 20)
    libc.mallopt(M_TRIM_THRESHOLD, 64 << 20)
    size = 470  # just below the largest that Python keeps in its own pieces
    taken = [bytes(size) for _ in range(PYTHON_OBJECTS_BYTES // (size + 42))]
    _kept.extend(taken[:: (1 << 20) // (2 * size)])


_kept: list[bytes] = []


def use_huge_pages() -> int:
    """Bytes of our memory that are in pages of 2 MiB now: a fork copies one entry for each instead of 512.

    A box that writes to such a page still copies 4 KiB of it only. Where the kernel cannot (before 6.1, or switched
    off) nothing is changed.
    """
    libc = init.libc()
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    collapsed = 0
    with open("/proc/self/maps") as maps:
        lines = maps.read().splitlines()
    for line in lines:
        fields = line.split(maxsplit=5)
        anonymous = fields[4] == "0" and (len(fields) == 5 or fields[5] == "[heap]")
        if not anonymous or not fields[1].startswith("rw"):
            continue
        first, last = (int(part, 16) for part in fields[0].split("-"))
        first, last = -(-first // HUGE_PAGE) * HUGE_PAGE, last // HUGE_PAGE * HUGE_PAGE
        for start in range(first, last, HUGE_PAGE):
            # Piece by piece: an area refuses as a whole when one of its pieces is empty.
            if libc.madvise(start, HUGE_PAGE, MADV_COLLAPSE) == 0:
                collapsed += HUGE_PAGE
    return collapsed


def own_memory() -> tuple[int, int]:
    """Bytes of this process that a fork begins with: of private data, as RLIMIT_DATA counts them, and resident."""
    kinds = {}
    with open("/proc/self/status") as status:
        for line in status:
            name, _, rest = line.partition(":")
            kinds[name] = rest.split()[0] if rest.split() else ""
    return int(kinds["VmData"]) * 1024, int(kinds["RssAnon"]) * 1024


if __name__ == "__main__":
    keep(int(sys.argv[1]))

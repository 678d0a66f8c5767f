"""What does one process of bench-reports do? Makes a tear sheet of the same 2,517 daily returns, ours or quantstats'.

    python report_programs.py ours|quantstats FOLDER

FOLDER holds the returns (write_returns). Prints the processor time of the whole process, what of it comes after Python
and numpy, and what of it comes after all imports: that is what a report costs where a worker is up already.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable

import numpy as np

DAYS = 2_517
RETURNS = "returns.npy"

# Dates, the market's returns and our own; the path that is written.
Make = Callable[[np.ndarray, np.ndarray, np.ndarray, str], None]


def write_returns(folder: str) -> None:
    """Returns of a market, and returns that have something of it."""
    random = np.random.default_rng(7)
    market = random.normal(0.0004, 0.011, DAYS)
    np.save(os.path.join(folder, RETURNS), np.stack([market, 0.6 * market + random.normal(0.0002, 0.006, DAYS)]))


def ours() -> Make:
    from qfp import metrics
    from qfp.figures import figures
    from qfp.tearsheet import Record
    from qfp.tearsheet.document import document

    from runner.reports.pdf import pdf

    def make(dates: np.ndarray, market: np.ndarray, own: np.ndarray, path: str) -> None:
        equity, other = (10_000 * np.concatenate([[1.0], np.cumprod(1 + each)]) for each in (own, market))
        nothing = np.zeros(len(equity))
        found = metrics.summary(equity, nothing, nothing, [], [], metrics.periods_per_year(dates), other)
        record = Record("Example", dates, equity, benchmark=other, benchmark_name="Market", figures=figures(found))
        with open(path, "wb") as file:
            file.write(pdf(document(record, "Example", [("Period", f"{DAYS} days")], description="An example.")))

    return make


def quantstats() -> Make:
    import pandas as pd
    import quantstats as qs

    def make(dates: np.ndarray, market: np.ndarray, own: np.ndarray, path: str) -> None:
        index = pd.DatetimeIndex(dates[1:])
        qs.reports.html(
            pd.Series(own, index, name="Example"), benchmark=pd.Series(market, index, name="Market"), output=path
        )

    return make


if __name__ == "__main__":
    begun = time.process_time()
    make = {"ours": ours, "quantstats": quantstats}[sys.argv[1]]()
    ready = time.process_time()
    folder = sys.argv[2]  # not by pathlib: a report has no need of it
    market, own = np.load(os.path.join(folder, RETURNS))
    dates = np.busday_offset("2014-01-02", np.arange(DAYS + 1), roll="forward").astype("datetime64[us]")
    made = os.path.join(folder, sys.argv[1])
    make(dates, market, own, made)
    now = time.process_time()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = {"cpu": now, "beyond": now - begun, "ready": now - ready}
    print(json.dumps({**figures, "bytes": os.path.getsize(made), "memory": memory}))

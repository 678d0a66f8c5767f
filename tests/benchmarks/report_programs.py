"""What does one process of bench-reports do? Makes a tear sheet of the same 2,517 daily returns, ours or quantstats'.

    python report_programs.py ours|quantstats FOLDER

Prints the processor time of the whole process, imports and all, and what of it comes after Python and numpy.
"""

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

DAYS = 2_517


def returns() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Dates, returns of a market, and returns that have something of it."""
    random = np.random.default_rng(7)
    market = random.normal(0.0004, 0.011, DAYS)
    own = 0.6 * market + random.normal(0.0002, 0.006, DAYS)
    dates = np.busday_offset("2014-01-02", np.arange(DAYS + 1), roll="forward").astype("datetime64[us]")
    return dates, market, own


def ours(folder: Path) -> Path:
    from qfp import metrics
    from qfp.figures import figures
    from qfp.tearsheet import Record
    from qfp.tearsheet.document import document

    from runner.reports.pdf import pdf

    dates, market, own = returns()
    equity, other = (10_000 * np.concatenate([[1.0], np.cumprod(1 + each)]) for each in (own, market))
    nothing = np.zeros(len(equity))
    found = metrics.summary(equity, nothing, nothing, [], [], metrics.periods_per_year(dates), other)
    record = Record("Example", dates, equity, benchmark=other, benchmark_name="Market", figures=figures(found))
    content = pdf(document(record, "Example", [("Period", f"{DAYS} days")], description="An example."))
    path = folder / "ours.pdf"
    path.write_bytes(content)
    return path


def quantstats(folder: Path) -> Path:
    import pandas as pd
    import quantstats as qs

    dates, market, own = returns()
    index = pd.DatetimeIndex(dates[1:])
    path = folder / "quantstats.html"
    qs.reports.html(
        pd.Series(own, index, name="Example"), benchmark=pd.Series(market, index, name="Market"), output=str(path)
    )
    return path


if __name__ == "__main__":
    begun = time.process_time()
    made = {"ours": ours, "quantstats": quantstats}[sys.argv[1]](Path(sys.argv[2]))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    now = time.process_time()
    print(json.dumps({"cpu": now, "beyond": now - begun, "bytes": made.stat().st_size, "memory": memory}))

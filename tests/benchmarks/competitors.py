"""Where do the other engines come from? An environment of its own for each, made once by pip, under DATA_DIR/bench.

None of them is part of the site: some may not be (AGPL, GPL, the Commons Clause), and their pins contradict each other.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# Pinned, so that figures of two days can be compared. backtesting is in the boxes' environment already.
COMPETITORS = {
    "vectorbt": ("vectorbt==1.2.0",),
    "backtrader": ("backtrader==1.9.78.123", "pandas==3.1.1"),
    "bt": ("bt==1.4.1",),
    "quantstats": ("quantstats==0.0.86",),
}


def interpreter(name: str, folder: Path) -> Path:
    """The Python that has this engine installed. Raises SystemExit where it cannot be installed."""
    place = folder / "bench" / "competitors" / name
    python, done = place / "bin" / "python", place / "installed"
    wanted = "\n".join(COMPETITORS[name])
    if done.exists() and done.read_text() == wanted:
        return python
    print(f"Installing {', '.join(COMPETITORS[name])} ...", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
    found = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *COMPETITORS[name]],
        capture_output=True,
        text=True,
    )
    if found.returncode:
        raise SystemExit(f"{name} cannot be installed: {found.stderr[-1000:]}")
    done.write_text(wanted)
    return python

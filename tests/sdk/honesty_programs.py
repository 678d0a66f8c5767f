"""Programs that leak and programs that do not, and what the tests of honesty say of each; run with the boxes' packages.

python honesty_programs.py FILES N prints a JSON line for every Nth program of the files: its name and its findings.
With a third argument, backtests of other libraries are recorded, as in a box.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from glob import glob
from pathlib import Path
from typing import Any


def load(path: str) -> dict[str, str]:
    """The programs of a file, or of all whose path is like this pattern, each headed by `# %% name`; what stands before
    the first one of a file comes before each.
    """
    programs = {}
    for file in sorted(glob(path)):
        common, *parts = Path(file).read_text(encoding="utf-8").split("\n# %% ")
        for part in parts:
            name, _, source = part.partition("\n")
            programs[name.strip()] = common + "\n" + source
    return programs


def judge(source: str) -> list[dict[str, Any]]:
    """Run the program as a box does, then both tests; the findings of each of its backtests."""
    from qfp import channel, checking
    from qfp.checking import programs
    from qfp.checking.clock import Clock
    from qfp.checking.verdict import joined

    claims: list[dict[str, Any]] = []
    looks: list[dict[str, Any]] = []

    def hear(message: dict[str, Any]) -> None:
        if message["type"] == "backtest":
            claims.append(message["claim"])
        elif message["type"] == "checks":
            looks.append(message)

    channel._fd, channel.connected, channel.relay = 1, True, hear
    checking.forget()
    checking.seconds = 0.0
    folder = os.getcwd()
    path = os.path.join(folder, "main.py")
    Path(path).write_text(source, encoding="utf-8")
    clock = Clock()
    shown, sys.stdout = sys.stdout, open(os.devnull, "w")
    try:
        namespace = programs.run_source(source, path)
    finally:
        sys.stdout = shown
    seconds = max(0.0, clock.passed - checking.seconds)
    program = programs.Program(
        lambda: programs.run_source(source, path),
        namespace,
        source,
        claims,
        seconds,
        folder,
        seconds - checking.seconds,
        [checking.moves[number] for number in range(len(claims))],
    )
    found = programs.examine(program)
    programs.clean_up(folder)
    return [
        {"lookahead": joined(look["lookahead"], whole), "amnesia": look["amnesia"]}
        for look, whole in zip(looks, found, strict=True)
    ]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    from qfp.checking import programs, strategies

    # A site takes as long as the run did; here as little as is needed to tell.
    programs.LEAST_SECONDS, strategies.LEAST_SECONDS = 0.05, 0.05
    strategies.WHOLE_SECONDS = 60.0  # however busy the machine is
    if sys.argv[3:]:
        from qfp import checking, copied

        from sandbox.inside import hooks

        hooks.install()
        copied.observe(hooks.after_import)
        checking.whole_program = True
    for name, source in list(load(sys.argv[1]).items())[:: int(sys.argv[2])]:
        print(json.dumps({"name": name, "found": judge(source)}), flush=True)

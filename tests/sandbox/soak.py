"""Many mixed runs through one engine, and what is there before and after: the suite does 60, `make bench-soak` 1,000.

Most programs are honest, some fail, some are hostile, some clients go away or press Stop. What may not differ
afterwards is what a box could leave behind.
"""

# ruff: noqa: E501  (programs for the box read better in one line)
from __future__ import annotations

import itertools
import os
import random
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.client import EngineUnavailable
from sandbox.host.processes import descendants
from tests.sandbox.attacks import ATTACKS, PRELUDE
from tests.sandbox.conftest import Engine, make_request
from tests.sandbox.greedy import LIMITED

SETTLE_SECONDS = 15.0
MEMORY_GROWTH_BYTES = 24 << 20  # what a Python process keeps for itself

HONEST = {
    "print(6 * 7)": "42\n",
    "import pandas as pd\nprint(pd.Series(range(100)).rolling(5).mean().sum())": "4752.0\n",
    "open('kept.csv', 'w').write('1,2')\nprint('kept')": "kept\n",
    "import multiprocessing as m\nif __name__ == '__main__':\n    with m.get_context('fork').Pool(2) as pool: print(sum(pool.map(abs, range(-5, 5))))": "25\n",
    "import qfp\nprint(len([display(n) for n in range(3)]))": "3\n",
}
FAILING = (
    "1 / 0",
    "import os\nos._exit(3)",
    "import qfp_no_such_package",
    "def broken(:",
    "import ctypes\nctypes.string_at(0)",
)
# Of each kind of greed one that ends soon.
HOSTILE = [PRELUDE + source for source in ATTACKS.values()] + [
    greedy.source
    for name, greedy in LIMITED.items()
    if name.partition(":")[0] in ("forks", "disk", "output", "endings", "ordinary", "aftermath", "artefacts", "memory")
]
LEAVING = "print('on', flush=True)\nimport os, time\nif os.fork() == 0: os.setsid()\ntime.sleep(30)"


@dataclass
class Tally:
    """What came of the runs."""

    outcomes: Counter[str] = field(default_factory=Counter)
    starts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def mix(count: int, hostile_share: float, seed: int = 7) -> list[tuple[str, str, str]]:
    """(kind, source, what it prints) of so many runs; every kind is among them."""
    chance = random.Random(seed)
    kinds = {"failing": 0.05, "leaving": 0.02, "stopped": 0.02, "hostile": hostile_share}
    honest, failing, hostile = (
        itertools.cycle(HONEST),
        itertools.cycle(FAILING),
        iter(chance.sample(HOSTILE, len(HOSTILE))),
    )
    runs = []
    for kind, share in kinds.items():
        for _ in range(max(2, round(count * share))):
            source = {"failing": lambda: next(failing), "hostile": lambda: next(hostile)}.get(kind, lambda: LEAVING)()
            runs.append((kind, source, ""))
    while len(runs) < count:
        source = next(honest)
        runs.append(("honest", source, HONEST[source]))
    chance.shuffle(runs)
    return runs


def soak(engine: Engine, runs: list[tuple[str, str, str]], at_once: int = 4) -> Tally:
    tally, lock = Tally(), threading.Lock()

    def one(run: tuple[str, str, str]) -> None:
        kind, source, printed = run
        outcome, start, wrong = play(engine, kind, source, printed)
        with lock:
            tally.outcomes[outcome] += 1
            tally.starts[start] += 1
            if wrong:
                tally.wrong.append(f"{kind}: {wrong}")

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, runs))
    return tally


def play(engine: Engine, kind: str, source: str, printed: str) -> tuple[str, str, str]:
    """(outcome, start, what is wrong) of one run."""
    limits = {"cpu_seconds": 5, "wall_seconds": 30}
    ends, said = [], ""
    try:
        with engine.client.start(make_request(source, **limits)) as box:
            for event in box.events():
                if event is None:
                    continue
                if event["type"] == "stdout":
                    said += event["text"]
                    if kind == "leaving":
                        return "left", "", ""  # the client is gone, and its box has to go with it
                    if kind == "stopped":
                        box.cancel()
                if event["type"] == "ended":
                    ends.append(event)
    except EngineUnavailable as error:
        return "lost", "", str(error)
    if len(ends) != 1:
        return "lost", "", f"{len(ends)} ends"
    outcome = ends[0]["outcome"]
    expected = {"honest": ("succeeded",), "failing": ("failed",), "stopped": ("cancelled",)}.get(kind)
    if outcome == "crashed" or (expected and outcome not in expected):
        return outcome, ends[0]["start"], f"it ended as {outcome}: {source[:80]!r}"
    if kind == "honest" and said != printed:
        return outcome, ends[0]["start"], f"it printed {said!r}"
    return outcome, ends[0]["start"], "ESCAPED" if "ESCAPED" in said else ""


def count(engine: Engine) -> dict[str, int]:
    """What boxes could leave behind, here and in the engine."""
    below = descendants(engine.process.pid)
    status = engine.client.status()
    zygote = status["zygote"]["pid"]
    temporary = Path(tempfile.gettempdir())
    return {
        "processes": len(below),
        "zombies": sum(_state(pid) == "Z" for pid in below),
        "control groups": sum(1 for _ in groups(engine)),
        "mounts": _lines(engine.process.pid, "mountinfo") + _lines(zygote, "mountinfo"),
        "descriptors": _entries(engine.process.pid) + _entries(zygote),
        "files": sum(1 for place in (engine.state, engine.store) for _ in place.rglob("*")),
        "temporary files": sum(1 for path in temporary.iterdir() if _owner(path) in _uids(below)),
        "boxes": status["boxes"],
    }


def groups(engine: Engine) -> list[Path]:
    import hashlib

    parent = "playground-" + hashlib.sha256(os.fsencode(engine.state.resolve())).hexdigest()[:10]
    # Unlike glob(), this does not mind groups that go meanwhile.
    found = [Path(at) for at, _, _ in os.walk("/sys/fs/cgroup") if Path(at).parent.name == parent]
    return [path for path in found if path.is_dir()]


def memory_bytes(engine: Engine) -> int:
    status = Path(f"/proc/{engine.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def quiet(engine: Engine, seconds: float = 1.0) -> dict[str, int]:
    """The counts when nothing comes or goes any more: the same for so long, which after many runs is longer."""
    before, since, deadline = count(engine), time.monotonic(), time.monotonic() + 3 * SETTLE_SECONDS
    while time.monotonic() < min(since + seconds, deadline):
        time.sleep(0.2)
        if (now := count(engine)) != before or now["zombies"]:
            before, since = now, time.monotonic()
    return before


def settled(engine: Engine, before: dict[str, int], seconds: float = SETTLE_SECONDS) -> dict[str, tuple[int, int]]:
    """What is more than before, once it has had time to settle: {} when nothing is. Ready boxes come and go, and what
    still ended when it was counted first is none that is missing.
    """
    deadline = time.monotonic() + seconds
    while True:
        after = count(engine)
        differences = {name: (before[name], after[name]) for name in after if after[name] > before[name]}
        if not differences or time.monotonic() > deadline:
            return differences
        time.sleep(0.2)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _lines(pid: int, name: str) -> int:
    return len(Path(f"/proc/{pid}/{name}").read_text().splitlines()) if pid else 0


def _entries(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd")) if pid else 0


def _owner(path: Path) -> int:
    try:
        return path.lstat().st_uid
    except OSError:
        return -1


def _uids(pids: list[int]) -> set[int]:
    """Of boxes: not those whose files other programs make here, too."""
    uids = set()
    for pid in pids:
        try:
            uids.add(Path(f"/proc/{pid}").stat().st_uid)
        except OSError:
            continue
    return uids - {0, os.getuid()}


def report(tally: Tally) -> dict[str, Any]:
    return {"outcomes": dict(tally.outcomes), "starts": dict(tally.starts), "wrong": tally.wrong}

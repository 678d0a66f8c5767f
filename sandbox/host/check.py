"""Can this machine sandbox? check() starts an engine of its own, runs real boxes in it and says what it saw.

`python -m sandbox.host.check --env DIR` prints that as one JSON object; `manage.py check_sandbox` shows it. With
`--backend` and what else an engine takes for it, its containers or pods are tried instead.
No claim without a try: every promise of sandbox/README.md has a line in check_promises.py and is attacked in a box, and
a box that did not start proves nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sandbox.host.check_machine import ENGINE, WAYS, started
from sandbox.host.check_promises import PROMISES, Promise


@dataclass
class Report:
    ok: bool = False
    reason: str = ""  # why not, and what to change
    weaknesses: list[str] = field(default_factory=list)
    promises: list[dict[str, Any]] = field(default_factory=list)
    first_output_seconds: float | None = None
    status: dict[str, Any] = field(default_factory=dict)


def check(
    environment: Path,
    promises: Sequence[Promise] = PROMISES,
    engine: Sequence[str] = ENGINE,
    ways: Mapping[str, Sequence[str]] = WAYS,
) -> Report:
    """Try every promise on this machine with engines of this user, apart from any that is running."""
    report = Report()
    with ExitStack() as stack:
        machines = [
            stack.enter_context(started(environment, (*engine, *options), way)) for way, options in ways.items()
        ]
        for machine in machines:  # the cold one first: the zygote of the other loads meanwhile
            machine.wait()
        report.status, report.weaknesses = machines[-1].status, [*machines[-1].status.get("weaknesses", [])]
        report.reason = next((machine.reason for machine in machines if machine.reason), "")
        if report.reason:
            return report
        report.first_output_seconds = machines[0].run("print(1)").first_output
        seen: dict[str, list[str]] = {promise.name: [] for promise in promises}
        tried, weaker = set[str](), set[str]()
        for machine in machines:
            if not machine.makes_its_kind():
                report.weaknesses.append("Boxes cannot be forked here: every program takes the time of a cold start.")
                continue
            for promise in promises:
                if machine.way in promise.untried:
                    continue
                tried.add(promise.name)
                wrong = promise.wrong(machine)
                pattern, meaning = promise.elsewhere
                if pattern and machine.way not in WAYS and re.fullmatch(pattern, wrong):
                    report.weaknesses.append(f"{promise.name}: {meaning}")
                    weaker.add(promise.name)
                elif wrong:
                    seen[promise.name].append(f"{wrong} ({machine.way} box)")
    for promise in promises:
        wrong = "; ".join(seen[promise.name])
        kept = not wrong if promise.name in tried else None
        if kept is None:
            wrong = f"not tried, as nothing of it can be seen from here ({', '.join(ways)})"
        elif kept and promise.name in weaker:
            wrong = "all but what is weaker, below"
        report.promises.append({"name": promise.name, "says": promise.says, "kept": kept, "seen": wrong})
    broken = [promise["name"] for promise in report.promises if promise["kept"] is False]
    report.ok = not broken
    if broken:
        report.reason = f"Boxes start, but not every promise was kept: {', '.join(broken)}."
    return report


def main() -> int:
    parser = argparse.ArgumentParser(prog="sandbox.host.check", description=__doc__)
    parser.add_argument("--env", type=Path, required=True, help="the virtual environment of the boxes")
    parser.add_argument("--backend", default="nsjail", help="who makes the boxes; its own options may follow")
    options, others = parser.parse_known_args()
    ways = WAYS if options.backend == "nsjail" else {options.backend: ("--backend", options.backend, *others)}
    report = check(Path(os.path.abspath(options.env)), ways=ways)
    print(json.dumps(asdict(report), indent=2))
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())

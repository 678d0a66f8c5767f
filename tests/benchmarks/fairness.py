"""Does anybody wait behind another one's backlog, and does every run end once? `make bench-fairness`.

200 runs of 20 people at once on two workers, half of them short and half of them busy for a moment; when all of them
wait, one more person presses Run once. What processes, descriptors and memory the site held before is compared with
what it holds after.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from pathlib import Path

from tests.benchmarks.own_site import OwnSite, make_project, make_user, own_site, usual_data_dir
from tests.benchmarks.report import Report

PEOPLE = 20
RUNS_EACH = 10
WORKERS = 2
LIMIT_SECONDS = 600
SETTLE_SECONDS = 60
LOOKS = 6
SOURCES = ("print({n})", "x = sum(i * i for i in range(1_000_000))\nprint({n}, x)")
TARGETS = {
    "runs that did not end once": 0,
    "people whose third run came before the late one": 0,
    "workers: processes more than before": 0,
    "workers: descriptors more than before": 0,
    "engine: processes more than before": 0,
    "engine: descriptors more than before": 0,
}


def measure() -> None:
    data_dir = usual_data_dir()
    report = Report("fairness", TARGETS)
    with own_site(workers=WORKERS, web=False) as site:
        from runner.access import Viewer
        from runner.models import ENTRY, Run
        from runner.recording import Recording
        from runner.starting import start_run

        def start(project, source: str) -> Run:
            return start_run(project, Viewer(project.owner), files={ENTRY: source})

        people = [make_project(make_user(f"person{number}"), "") for number in range(PEOPLE)]
        latecomer = make_project(make_user("latecomer"), "")
        _wait_for_all([start(project, SOURCES[0].format(n=0)) for project in people[:WORKERS]])
        _wait_until_demand_is_over()
        before = Holdings.at_rest(site)
        begun = time.monotonic()
        runs = [
            start(project, SOURCES[number % len(SOURCES)].format(n=number))
            for project in people
            for number in range(RUNS_EACH)
        ]
        accepted = time.monotonic() - begun
        late = start(latecomer, "print('late')")
        runs.append(late)
        _wait_for_all(runs)
        took = time.monotonic() - begun
        _wait_until_demand_is_over()
        after = Holdings.at_rest(site)

        stored = {run.pk: run for run in Run.objects.filter(pk__in=[run.pk for run in runs])}
        wrong = [run for run in stored.values() if run.status != Run.Status.SUCCEEDED]
        ends = Counter({run: sum(e["type"] == "finished" for e in Recording(run).read()) for run in stored})
        late = stored[late.pk]
        thirds = []
        for project in people:
            own = sorted(run.started for run in stored.values() if run.user_id == project.owner_id)
            # From the moment the latecomer came: what had begun before could not know.
            thirds.append([started for started in own if started > late.queued][2])
    report.add("runs accepted", len(runs), "", len(runs))
    report.add("accepting all of them", accepted, "s", len(runs))
    report.add("runs a second", len(runs) / took, "1/s", len(runs))
    report.add("runs that did not end once", sum(ends[run] != 1 for run in stored), "", len(runs))
    report.add("runs that did not succeed", len(wrong), "", len(runs))
    report.add("people whose third run came before the late one", sum(third < late.started for third in thirds), "", 20)
    report.add("the late one waited", (late.started - late.queued).total_seconds(), "s", 1)
    waited = [(run.started - run.queued).total_seconds() for run in stored.values()]
    report.add_spread("waited for a worker", waited, "s")
    last = [
        max(run.finished for run in stored.values() if run.user_id == project.owner_id).timestamp()
        for project in people
    ]
    report.add("last person done after the first", max(last) - min(last), "s", PEOPLE)
    for part in before:
        report.add(f"{part}: processes more than before", after[part].processes - before[part].processes, "", 1)
        report.add(f"{part}: descriptors more than before", after[part].descriptors - before[part].descriptors, "", 1)
        report.add(f"{part}: memory more than before", (after[part].memory - before[part].memory) / 1e6, "MB", 1)
    report.write(data_dir)


class Holdings:
    """What the engine or the workers hold at a moment, with all their children."""

    def __init__(self, processes: list[subprocess.Popen]) -> None:
        self.processes = self.descriptors = self.memory = 0
        for pid in (pid for process in processes for pid in _family(process.pid)):
            try:
                descriptors, memory = len(os.listdir(f"/proc/{pid}/fd")), _proportional_memory(pid)
            except OSError:
                continue  # it has just ended
            self.processes += 1
            self.descriptors += descriptors
            self.memory += memory

    @classmethod
    def at_rest(cls, site: OwnSite) -> dict[str, Holdings]:
        engine = [process for name, process in site.processes.items() if name == "engine"]
        workers = [process for name, process in site.processes.items() if name != "engine"]
        return {"workers": cls._at_rest(workers), "engine": cls._at_rest(engine)}

    @classmethod
    def _at_rest(cls, processes: list[subprocess.Popen]) -> Holdings:
        """The least of some looks: the engine asks after its zygote and renews its boxes all the time."""
        looks = []
        for _ in range(LOOKS):
            time.sleep(1)
            looks.append(cls(processes))
        return min(looks, key=lambda look: look.processes)


def _family(pid: int) -> list[int]:
    own = Path(f"/proc/{pid}/task").glob("*/children")
    return [pid, *(found for file in own for child in file.read_text().split() for found in _family(int(child)))]


def _proportional_memory(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _wait_until_demand_is_over() -> None:
    """The engine keeps boxes ready for what was asked for lately; when nothing was, one."""
    from django.conf import settings

    from sandbox.client import EngineClient

    deadline = time.monotonic() + SETTLE_SECONDS
    while EngineClient(settings.ENGINE_SOCKET).status()["ready_boxes"] != 1:
        if time.monotonic() > deadline:
            raise SystemExit(f"The engine did not come to rest, with one box ready, within {SETTLE_SECONDS} s.")
        time.sleep(0.5)


def _wait_for_all(runs: list) -> None:
    from runner.models import Run

    deadline = time.monotonic() + LIMIT_SECONDS
    waiting = Run.objects.filter(pk__in=[run.pk for run in runs]).in_progress()
    while waiting.exists():
        if time.monotonic() > deadline:
            raise SystemExit(f"{waiting.count()} of {len(runs)} runs did not end within {LIMIT_SECONDS} s.")
        time.sleep(0.2)


if __name__ == "__main__":
    measure()

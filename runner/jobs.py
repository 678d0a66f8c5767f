"""What the RQ workers call. Jobs carry ids only."""

from __future__ import annotations

from runner import execution, packages, parallel, sweeping


def execute_run(run_id: str) -> None:
    execution.execute(run_id)


def execute_chunk(run_id: str, call: str, number: int, attempt: int) -> None:
    parallel.work_on_chunk(run_id, call, number, attempt)


def sweep_runs() -> None:
    sweeping.sweep_runs()


def expire_guest_projects() -> None:
    sweeping.expire_guest_projects()


def collect_layers() -> None:
    packages.collect_layers()

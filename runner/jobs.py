"""What the RQ workers call. Jobs carry ids only."""

from __future__ import annotations

from runner import execution, packages, sweeping


def execute_run(run_id: str) -> None:
    execution.execute(run_id)


def sweep_runs() -> None:
    sweeping.sweep_runs()


def expire_guest_projects() -> None:
    sweeping.expire_guest_projects()


def collect_layers() -> None:
    packages.collect_layers()

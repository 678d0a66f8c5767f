"""What the RQ workers call. Jobs carry nothing: what there is to do stands in the database."""

from __future__ import annotations

from runner import execution, packages, sweeping


def execute_next_run() -> None:
    execution.execute_next()


def sweep_runs() -> None:
    sweeping.sweep_runs()


def expire_guest_projects() -> None:
    sweeping.expire_guest_projects()


def collect_layers() -> None:
    packages.collect_layers()

"""What the RQ workers call. Jobs carry ids at most: what there is to do stands in the database."""

from __future__ import annotations

from typing import Any

from marketdata import garbage
from runner import chunks, execution, hosts, leftovers, nightly, packages, template_runs, verifying
from runner.honesty import companions
from runner.likeness import compared
from runner.models import Run
from runner.reports import at_hand, making


def execute_next_run(queue: str = "runs") -> None:
    execution.execute_next(queue)


def execute_cell(run_id: str) -> None:
    execution.execute_cell(run_id)


def execute_chunk(run_id: str, call: str, number: int, attempt: int) -> None:
    chunks.work_on_chunk(run_id, call, number, attempt)


def examine_next_run() -> None:
    companions.examine_next()


def compare_trades(run_id: str | None = None) -> None:
    """run_id: of a job that an earlier release has sent."""
    if run_id is not None:
        compared.compare_later(Run.objects.filter(pk=run_id))
    compared.compare_next()


def verify_run(run_id: str) -> None:
    verifying.verify(run_id)


def verify_latest_runs() -> None:
    nightly.send_latest()


def report_on_verified_runs() -> None:
    nightly.report()


def answer_for_session(key: str, operation: str, arguments: dict[str, Any]) -> None:
    hosts.leave_answer(key, operation, arguments)


def make_report(pk: int) -> None:
    making.make(pk)


def make_report_for_readers(pk: int, everything: bool, form: str, chosen: str, key: str) -> None:
    at_hand.make_for_readers(pk, everything, form, chosen, key)


def end_lost_runs() -> None:
    leftovers.end_lost_runs()


def expire_guest_projects() -> None:
    leftovers.expire_guest_projects()


def collect_layers() -> None:
    packages.collect_layers()


def collect_garbage() -> None:
    garbage.collect_garbage(leftovers.pinned_snapshots)


def start_templates() -> None:
    template_runs.start_all()


def report_on_templates() -> None:
    template_runs.report()

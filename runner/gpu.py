"""May a run have a GPU, is there one, and for how long? What a plan does not allow or no machine has is offered on the
CPU.
"""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Sum
from django.utils import timezone

from accounts.models import Plan
from runner import sandbox_state
from runner.access import Viewer
from runner.claiming import LEASE
from runner.models import GPU, Run
from runner.recording import Recording


class GpuUnavailable(Exception):
    """The run cannot have a GPU now; the text says why. It could have a CPU."""


def check_there_is_one(plan: Plan) -> None:
    if not plan.gpu_seconds_per_day:
        raise GpuUnavailable(f"Your plan ({plan.name}) has no GPU. This program can run on the CPU.")
    if not sandbox_state.a_worker_listens(GPU):
        raise GpuUnavailable(
            "No machine with a GPU is at work at the moment. Run the program on the CPU, or try again later."
        )


def check_seconds(viewer: Viewer, plan: Plan) -> int:
    """The GPU seconds that are left to a run. Call inside the transaction that creates it, after quotas.check_run."""
    left = int(plan.gpu_seconds_per_day - used_seconds(viewer))
    if left < 1:
        raise GpuUnavailable(
            f"{plan.gpu_seconds_per_day} GPU seconds in 24 hours, the limit of your plan ({plan.name}). Run the "
            "program on the CPU; the oldest seconds stop counting 24 hours after their run was started."
        )
    return left


def used_seconds(viewer: Viewer) -> float:
    """In 24 hours. A run in progress counts with all it may use, so that several at once do not use more than one.
    One that was lost has held its GPU all the same.
    """
    runs = Run.objects.filter(user=viewer.user, queue=GPU, queued__gt=timezone.now() - timedelta(days=1))
    used = runs.aggregate(seconds=Sum("gpu_seconds"))["seconds"] or 0.0
    return used + sum(float(run.limits["wall_seconds"]) for run in runs.in_progress())


def seconds_of_lost(run: Run) -> float | None:
    """What a run whose worker is gone had used when that was last heard of; None where its program never began."""
    if run.queue != GPU or run.started is None or run.lease_expires is None:
        return None
    if not any(event.get("phase") == "running" for event in Recording(run.pk).read()):
        return None  # its lease was that of somebody who waits for a box or for packages
    used = (run.lease_expires - LEASE - run.started).total_seconds()
    return round(min(max(used, 0.0), float(run.limits["wall_seconds"])), 3)


def note(seconds: float | None) -> str:
    """What the message of a lost run adds."""
    return f" The {seconds:.1f} GPU seconds it had used count." if seconds else ""

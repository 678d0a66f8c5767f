"""Do stored runs still come out the same? The latest are made again every night; staff hear of those that did not.

What each gave is kept with it and stands on its page and in the claims of its backtests.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from django.contrib.auth import get_user_model
from django.core.mail import send_mail
from django.utils import timezone

from runner import verifying
from runner.models import Run
from runner.verdicts import ALARMING, ANSWERS

logger = logging.getLogger(__name__)

MOST = 50
MOST_SECONDS = 2 * 3600.0  # that they took together when they were made
NIGHT = timedelta(hours=6)


def latest(most: int = MOST) -> list[Run]:
    """The latest runs that can be made again, as many as a night has time for."""
    runs = Run.objects.whole().filter(status=Run.Status.SUCCEEDED, manifest__result_sha256__isnull=False)
    # The record of a sweep is not open to a run that is made again, so every combination would be tried once more.
    runs = runs.filter(search={}, sweeps__isnull=True)
    found, seconds = [], 0.0
    for run in runs.order_by("-queued")[:most]:
        takes = run.wall_seconds or 0.0
        if seconds + takes <= MOST_SECONDS and not verifying.can_be_verified(run):
            found.append(run)
            seconds += takes
    return found


def send_latest() -> int:
    """Have them verified; how many they are."""
    runs = [run for run in latest() if not verifying.is_waiting(run)]
    for run in runs:
        verifying.send(run)
    return len(runs)


def report() -> list[Run]:
    """Those of this night that did not come out the same; staff get one mail that names them."""
    since = timezone.now() - NIGHT
    # Not by latest(): on a busy site other runs are the latest by the time that the answers are there.
    done = Run.objects.whole().filter(verification__state="done", verification__at__gt=since.isoformat())
    verified = list(done.order_by("-queued"))
    differing = [run for run in verified if run.verification["answer"] in ALARMING]
    if differing:
        logger.error("%d of %d runs did not come out the same", len(differing), len(verified))
        lines = [f"Run {run.pk}: {ANSWERS[run.verification['answer']]}." for run in differing]
        send_mail(
            f"{len(differing)} of {len(verified)} runs did not come out the same",
            "Made again on their own code, data and packages. The page of each run says where it parts.\n\n"
            + "\n".join(lines)
            + "\n",
            None,
            list(get_user_model().objects.filter(is_staff=True, is_active=True).values_list("email", flat=True)),
        )
    return differing

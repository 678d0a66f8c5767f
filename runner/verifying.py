"""Does a run come out the same when it is made again? Its own code, parameters, data and packages in a fresh box.

First the record is held against the manifest, so that the answer names what differs; then the program runs, and its
backtests are checked as those of any run and compared with those that are kept. Nothing of the second run is stored but
the answer.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import django_rq
import redis
from django.conf import settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from qfp import objects
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus

from marketdata.store import SnapshotMissing, make_local, snapshot_folder
from runner.environment import environment_lock
from runner.manifests import canonical_result, code_of, result_of, sdk_hash
from runner.models import GPU, Project, Run
from runner.packages import IndexUnavailable, PackageRefused, layer_of
from runner.private import personal_series
from runner.repeats import repeat
from runner.verdicts import ANSWERS, answered
from sandbox.client import BoxRefused, EngineUnavailable

logger = logging.getLogger(__name__)

__all__ = ["UnderWay", "Verdict", "can_be_verified", "is_for_others", "is_waiting", "send", "under_way", "verify"]

QUEUE = "parallel"
ON_ITS_WAY = timedelta(minutes=1)  # from what is written down to the job in the queue
AGAIN_AFTER = timedelta(days=1)
CLOSE = 1e-9
QUESTIONS = {"pmap": "further boxes", "data": "data", "sweep": "the record of a sweep"}


@dataclass(frozen=True)
class Verdict:
    """answer: a key of ANSWERS. text: a sentence or two."""

    answer: str
    text: str

    @property
    def title(self) -> str:
        return ANSWERS[self.answer]


@dataclass(frozen=True)
class UnderWay:
    """place: in the queue, 1 for what comes next; 0 once it is made again. seconds: for so long it has been."""

    place: int
    seconds: float = 0.0


def can_be_verified(run: Run) -> str:
    """Why it cannot; "" where it can."""
    if not run.is_finished:
        return "The run has not ended yet."
    if run.status != Run.Status.SUCCEEDED:
        return "Only a run that succeeded has a result to be compared with."
    if run.session_id is not None:
        return "A cell of a session depends on what ran before it; run the whole file, then verify that."
    if run.queue == GPU:
        return "A run on a GPU is not made again: its sums depend on the order in which the device adds."
    if not run.manifest.get("result_sha256"):
        return "The run has no backtest, so there is no result to be compared with."
    return ""


def is_for_others(run: Run) -> bool:
    """Whether somebody else may have it verified: a public run over data that is for everybody, once a day."""
    if run.project.visibility != Project.Visibility.PUBLIC or personal_series(run.snapshot):
        return False  # a snapshot holds what its owner fetched: nobody else makes a run over that
    kept = run.verification
    at = parse_datetime(kept.get("at", "")) if kept.get("state") == "done" else None
    return at is None or timezone.now() - at > AGAIN_AFTER


def is_waiting(run: Run) -> bool:
    """Whether its verification is under way, which in a long night takes hours; one whose job was lost is not."""
    kept = run.verification
    at = parse_datetime(kept.get("at", "")) if kept.get("state") == "waiting" else None
    if at is None:
        return False
    try:
        return timezone.now() - at < ON_ITS_WAY or _has_job(run)
    except redis.RedisError:
        return True  # nobody can say, and nothing could be sent anyway


def under_way(run: Run) -> UnderWay | None:
    """How far the verification of a run has come that is_waiting(); None where nobody can say."""
    try:
        job = Job.fetch(_job_of(run), connection=django_rq.get_connection(QUEUE))
        place = job.get_position()
    except (NoSuchJobError, redis.RedisError):
        return None
    if place is not None:
        return UnderWay(place + 1)
    return UnderWay(0, (timezone.now() - job.started_at).total_seconds() if job.started_at else 0.0)


def send(run: Run, by_owner: bool = False) -> None:
    """Have it verified when a worker has time; once, however often it is asked for. Until then its last answer stands.

    by_owner: of whom one run is verified at a time.
    """
    waiting = {"state": "waiting", "at": timezone.now().isoformat(), "by_owner": by_owner}
    Run.objects.filter(pk=run.pk).update(verification=waiting | {"last": answered(run.verification)})
    if not _has_job(run):
        django_rq.get_queue(QUEUE).enqueue(
            "runner.jobs.verify_run", str(run.pk), job_id=_job_of(run), result_ttl=60, failure_ttl=3600
        )


def _job_of(run: Run) -> str:
    return f"verify-{run.pk}"


def _has_job(run: Run) -> bool:
    try:
        job = Job.fetch(_job_of(run), connection=django_rq.get_connection(QUEUE))
    except NoSuchJobError:
        return False
    return job.get_status() in (JobStatus.QUEUED, JobStatus.STARTED)


def verify(run_id: UUID | str) -> Verdict:
    """The answer, which is stored with the run, too."""
    run = Run.objects.select_related("revision__project", "lock").get(pk=run_id)
    reason = can_be_verified(run)
    try:
        verdict = Verdict("cannot", reason) if reason else _recorded(run) or _again(run)
    except Exception:
        logger.exception("run %s could not be verified", run.pk)
        verdict = Verdict("cannot", "Making it again failed, which is a fault of ours.")
    kept = {"state": "done", "answer": verdict.answer, "text": verdict.text, "at": timezone.now().isoformat()}
    if verdict.answer == "cannot" and (last := answered(run.verification)):
        kept = last  # which says more, and on which day it was found
    Run.objects.filter(pk=run.pk).update(verification=kept)
    return verdict


def _recorded(run: Run) -> Verdict | None:
    """What differs between the manifest and what would be run now; None for nothing."""
    manifest = run.manifest
    then, now = manifest["code"], code_of(run.revision.files)
    changed = sorted(path for path in then | now if then.get(path) != now.get(path))
    if changed:
        return Verdict("code", f"Other than when it ran: {', '.join(changed)}.")
    if manifest["params"] != run.params or manifest.get("search", {}) != run.search:
        return Verdict("code", "The parameters that are kept are not those of the manifest.")
    environment = manifest["environment"]
    if environment["lock_sha256"] != environment_lock(run.queue):
        return Verdict("environment", "The packages that every box has are others now.")
    if environment["packages_sha256"] != (run.lock.sha256 if run.lock is not None else None) or (
        run.lock is not None and environment["packages"] != run.lock.text.splitlines()
    ):
        return Verdict("environment", "The lock of its own packages is not the one it ran with.")
    if manifest["data"]["snapshot"] != (run.snapshot or None):
        return Verdict("data", "The snapshot that is kept is not the one of the manifest.")
    if run.snapshot:
        try:
            make_local(run.snapshot)
        except SnapshotMissing:
            return Verdict("cannot", "Its data are not kept any more.")
    for series in manifest["data"]["series"]:
        for digest in filter(None, (series["sha256"], series["actions_sha256"])):
            path = objects.object_path(snapshot_folder(Path(settings.STORE_DIR), run.snapshot), digest)
            if not path.is_file():
                return Verdict("cannot", f"The data of {series['series']} are not kept any more.")
            if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                return Verdict("data", f"The bytes of {series['series']} are not those it read.")
    return None


def _again(run: Run) -> Verdict:
    kept = list(run.backtests.order_by("position"))
    if result_of(kept) != run.manifest["result_sha256"]:
        return Verdict("result", "The backtests that are kept are not those of the manifest.")
    try:
        with layer_of(run, lambda text, done, total: None):
            again = repeat(run, "verify", run.snapshot)
    except (PackageRefused, IndexUnavailable) as error:
        return Verdict("cannot", f"Its packages cannot be had: {error}")
    except SnapshotMissing:
        return Verdict("cannot", "Its data are not kept any more.")
    except (BoxRefused, EngineUnavailable):
        return Verdict("cannot", "No sandbox takes runs at the moment. Try again in a minute.")
    if again.outcome is None:
        return Verdict("cannot", "The sandbox went away meanwhile. Try again in a minute.")
    if again.outcome != Run.Status.SUCCEEDED:
        if again.asked:
            return _unanswered(again.asked)
        ended = Run.Status(again.outcome).label.lower()
        return Verdict("result", f"The run that was made again ended otherwise: {ended}.")
    made = [checked for _, checked in again.claims]
    if result_of(made) == run.manifest["result_sha256"]:
        return Verdict("exact", f"Made again, {_of(len(made))} gave the same returns and trades to the ninth decimal.")
    where = _difference(kept, made)
    if where is None:
        return Verdict("close", "Made again, every return and trade is the same within 1e-9.")
    if again.asked:
        return _unanswered(again.asked)
    if run.manifest["sdk"] != sdk_hash():
        return Verdict("environment", f"The library of the site is a newer one, and with it {where}")
    return Verdict(
        "result",
        f"Same code, data and packages, but {where} Random numbers without a seed, the time of day, or the order in "
        "which threads add could be why.",
    )


def _unanswered(asked: set[str]) -> Verdict:
    """What a program does without an answer says nothing about what it did with one."""
    wanted = " and ".join(QUESTIONS.get(what, what) for what in sorted(asked))
    return Verdict(
        "cannot", f"It asks the site for {wanted} while it runs, which it is not given when it is made again."
    )


def _difference(kept: list[Any], made: list[Any]) -> str | None:
    """The first difference beyond 1e-9, in words; None for none."""
    if len(kept) != len(made):
        return f"it made {_of(len(made))} instead of {len(kept)}."
    # Not as rounded for the hash: digits on either side of where it rounds are a billionth apart, the numbers are not.
    in_full = ([canonical_result(each, decimals=None) for each in some] for some in (kept, made))
    for one, other in zip(*in_full, strict=True):
        name = one["strategy"]
        if (one["strategy"], one["dates"]) != (other["strategy"], other["dates"]):
            return f"{name} is another strategy or period now."
        for place, pair in enumerate(zip(one["returns"], other["returns"], strict=False)):
            if abs(pair[0] - pair[1]) > CLOSE:
                return f"{name} has other returns from bar {place + 1} on."
        if len(one["returns"]) != len(other["returns"]) or len(one["trades"]) != len(other["trades"]):
            return f"{name} has another number of bars or trades."
        for place, (trade, again) in enumerate(zip(one["trades"], other["trades"], strict=True)):
            if any(abs((a or 0) - (b or 0)) > CLOSE * max(1.0, abs(a or 0)) for a, b in zip(trade, again, strict=True)):
                return f"{name} differs in trade {place + 1}."
    return None


def _of(count: int) -> str:
    return "its backtest" if count == 1 else f"its {count} backtests"

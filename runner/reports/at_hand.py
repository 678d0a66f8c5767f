"""Which reports are at hand? One that was made is kept for a while, and a long one is made by a worker.

These are the reports that every reader of a backtest may have, without an author's notes. What a report says depends on
more than its backtest (titles, trials that were made since, findings): all of it is in its key.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from dataclasses import asdict

import django_rq
import redis
from django.core.cache import cache
from qfp.tearsheet.page import html
from rq.job import JobStatus

from runner import claims_box
from runner.access import Viewer
from runner.manifests import sdk_hash
from runner.models import Backtest, Report
from runner.private import Shown
from runner.reports.documents import document_of, manifest_hash
from runner.reports.pdf import pdf
from runner.sweeps.out_of_sample import told_out_of_sample

logger = logging.getLogger(__name__)

__all__ = ["WAITING", "BeingMade", "TooMany", "Unavailable", "count_one", "make_for_readers", "report_for"]

KEPT_SECONDS = 15 * 60
LONG_CELLS = 500_000  # bars times instruments; all below take less than a second or two
WINDOW_SECONDS = 10 * 60
OF_AN_ACCOUNT, OF_AN_ADDRESS = 60, 30  # in a window; a class may sit behind one address
FAILED_SECONDS = 60
FAILED, WAITING = "failed", "Waiting for a worker"


class TooMany(Exception):
    """More reports than one reader may have made; the text says when there will be more, wait for how long."""

    def __init__(self, text: str, wait: int) -> None:
        super().__init__(text)
        self.wait = wait


class BeingMade(Exception):
    """A worker makes it; the text says how far it is."""


class Unavailable(Exception):
    """It cannot be made now; the text says why, and what to do."""


def report_for(backtest: Backtest, shown: Shown, form: str, viewer: Viewer, address: str) -> bytes:
    """The report as this viewer may have it. address: the hashed one of the request.

    Raises TooMany, BeingMade, Unavailable. Without Redis nothing is kept and nothing counted.
    """
    chosen = told_out_of_sample(backtest, viewer)
    key = _key(backtest, shown, form, chosen)
    long = len(backtest.dates) * len(backtest.instruments) > LONG_CELLS
    try:
        if (kept := cache.get(key)) is not None:
            return kept
        if long:
            asked_by = (viewer, address)
            raise BeingMade(_step_of(key) or _sent(key, backtest, shown, form, chosen, asked_by))
        count_one(viewer, address)
    except redis.RedisError:
        if long:
            raise Unavailable("The site's queue does not answer at the moment. Try again in a minute.") from None
    return _made(key, backtest, shown, form, chosen)


def count_one(viewer: Viewer, address: str) -> None:
    """One more report of this account, or of this address. Raises TooMany, RedisError."""
    now = int(time.time())
    who, most = (f"u{viewer.user.pk}", OF_AN_ACCOUNT) if viewer.user is not None else (f"a{address}", OF_AN_ADDRESS)
    name = f"reports-{who}-{now // WINDOW_SECONDS}"
    cache.add(name, 0, WINDOW_SECONDS + 60)
    if cache.incr(name) > most:
        wait = WINDOW_SECONDS - now % WINDOW_SECONDS
        minutes = -(-wait // 60)
        whose = "your account" if viewer.user is not None else "your network address"
        raise TooMany(
            f"{most} reports were made for {whose} within ten minutes, which is the limit. "
            f"Try again in {minutes} minute{'s' if minutes > 1 else ''}; one that was made already can still be had.",
            wait,
        )


def make_for_readers(pk: int, everything: bool, form: str, chosen: str, key: str) -> None:
    """What the job of a long one does. chosen: what its reader is told of how its parameters were chosen."""
    backtest = Backtest.objects.select_related("run__revision__project__owner").filter(pk=pk).first()
    shown = Shown(everything)
    if backtest is None or shown.backtest(backtest) is None:
        return
    try:
        _made(key, backtest, shown, form, chosen)
    except Exception:
        logger.exception("a report of backtest %s could not be made", pk)
        cache.set(f"{key}-step", FAILED, FAILED_SECONDS)


def _made(key: str, backtest: Backtest, shown: Shown, form: str, chosen: str) -> bytes:
    _step(key, "Replaying the account and drawing its charts")
    document = document_of(backtest, shown.all, chosen=chosen)
    _step(key, "Setting the pages")
    content = pdf(document) if form == Report.Form.PDF else html(document).encode()
    try:
        cache.set(key, content, KEPT_SECONDS)
    except redis.RedisError:
        logger.warning("a report of backtest %s is not kept", backtest.pk)
    return content


def _step(key: str, words: str) -> None:
    """How far it is, for whoever waits."""
    try:
        cache.set(f"{key}-step", words, KEPT_SECONDS)
    except redis.RedisError:
        pass


def _step_of(key: str) -> str:
    """How far the worker is that makes it; "" where none does. Raises Unavailable when it has failed just now."""
    step = cache.get(f"{key}-step", WAITING)
    if step == FAILED:
        raise Unavailable("Making it failed, which is a fault of ours. Try again in a minute.")
    sent = django_rq.get_queue("default").fetch_job(key)
    return step if sent is not None and sent.get_status(refresh=False) in (JobStatus.QUEUED, JobStatus.STARTED) else ""


def _sent(key: str, backtest: Backtest, shown: Shown, form: str, chosen: str, asked_by: tuple[Viewer, str]) -> str:
    count_one(*asked_by)
    django_rq.get_queue("default").enqueue(
        "runner.jobs.make_report_for_readers", backtest.pk, shown.all, form, chosen, key, job_id=key, result_ttl=0,
        failure_ttl=600,
    )  # fmt: skip
    return WAITING


def _key(backtest: Backtest, shown: Shown, form: str, chosen: str) -> str:
    run = backtest.run
    owner = run.project.owner
    content = [
        backtest.pk, shown.all, form, chosen, sdk_hash(), run.project.title,
        owner.username if owner is not None else "", run.params, manifest_hash(run), claims_box.lines(backtest),
        claims_box.checking(backtest), asdict(backtest.standing),
    ]  # fmt: skip
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
    return f"report-for-readers-{digest}"

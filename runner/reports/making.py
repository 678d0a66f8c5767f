"""Who makes a report that somebody asked for, and when? A worker, once its run has ended; the row says how far.

Claims go with every report: where they have changed since, it is not handed out any more, and is made anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict
from datetime import datetime, timedelta

import django_rq
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from qfp.figures import count
from qfp.tearsheet.page import html
from qfp.tearsheet.states import NO_DOUBT
from rq.job import JobStatus

from runner import claims_box, verdicts
from runner.access import Viewer
from runner.models import Backtest, Report
from runner.reports.documents import document_of
from runner.reports.logos import MAX_BYTES as MAX_LOGO_BYTES
from runner.reports.logos import redrawn, size_of_png
from runner.reports.pdf import pdf
from runner.sweeps.out_of_sample import told_out_of_sample
from runner.trials import Trials
from sandbox.protocol import MAX_NOTES

logger = logging.getLogger(__name__)

__all__ = ["MAX_LOGO_BYTES", "Refused", "ask", "claims_of", "make", "make_anew", "make_waiting", "send_missing"]

PATIENCE = timedelta(minutes=10)  # with a job that nothing is heard of
LONGEST = timedelta(hours=1)
UNDER_WAY = (Report.State.WAITING, Report.State.MAKING)
FAILED = "Making it failed, which is a fault of ours. Ask again."
MAX_REPORTS = 20  # of one backtest; the oldest goes


class Refused(Exception):
    """A report that is not made; the text says why."""


def ask(backtest: Backtest, *, form: str, title: str = "", notes: str = "", logo: bytes = b"") -> Report:
    """A row, and a job if the run has ended; else its end calls make_waiting(). Raises Refused, BadLogo."""
    if form not in Report.Form.values:
        raise Refused("A report is a PDF or an HTML file.")
    if len(notes) > MAX_NOTES:
        raise Refused(f"The notes have more than {count(MAX_NOTES)} characters.")
    report = Report.objects.create(
        backtest=backtest,
        form=form,
        title=" ".join(_plain(title).split())[:120],
        notes=_plain(notes),
        logo=redrawn(logo) if logo else b"",
    )
    old = Report.objects.filter(backtest=backtest).values_list("pk", flat=True)[MAX_REPORTS:]
    Report.objects.filter(pk__in=list(old)).delete()
    if backtest.run.is_finished:
        enqueue(report)
    return report


def _plain(text: str) -> str:
    """Without control characters, which neither PDF nor HTML has a place for."""
    return "".join(c for c in text if c in "\n\t" or (c.isprintable() or c in "\u2009\u202f\u00a0"))


def enqueue(report: Report) -> None:
    job = _job_id(report)
    transaction.on_commit(
        lambda: django_rq.get_queue("default").enqueue("runner.jobs.make_report", report.pk, job_id=job)
    )


def _job_id(report: Report) -> str:
    return f"report-{report.pk}"


def send_missing() -> int:
    """Reports whose job was lost, or whose worker died: sent again, and given up an hour after their run's end."""
    now, sent = timezone.now(), 0
    under_way = Report.objects.filter(state__in=UNDER_WAY)
    late = under_way.filter(created__lt=now - PATIENCE, backtest__run__finished__lt=now - PATIENCE)
    old = late.filter(created__lt=now - LONGEST, backtest__run__finished__lt=now - LONGEST)
    if given_up := Report.objects.filter(pk__in=list(old.values_list("pk", flat=True)), state__in=UNDER_WAY).update(
        state=Report.State.FAILED, step=FAILED
    ):
        logger.error("%d reports were not made within an hour", given_up)
    for report in late.defer("logo", "content"):
        if not _is_sent(report, now):
            enqueue(report)
            sent += 1
    return sent


def _is_sent(report: Report, now: datetime) -> bool:
    """Whether its job waits, is worked on, or was sent a short while ago."""
    job = django_rq.get_queue("default").fetch_job(_job_id(report))
    if job is None:
        return False
    lately = job.enqueued_at is not None and now - job.enqueued_at < PATIENCE
    return lately or job.get_status(refresh=False) in (JobStatus.QUEUED, JobStatus.STARTED)


def claims_of(backtest: Backtest) -> str:
    """What a report of it made now would say that it can claim, as 40 hexadecimal digits; how many trials there were is
    left out. A report that was made keeps those of then in `step`.
    """
    lines = [line for line in claims_box.lines(backtest, Trials(1)) if line["key"] != "trials"]
    found = {key: told for key, told in backtest.checks.items() if told.get("state", "grey") not in NO_DOUBT}
    said = [
        claims_box.summary(lines, claims_box.checking(backtest))["state"],
        {line["key"]: line["state"] for line in lines},
        # A doubt more may leave a line in the state that it has.
        {key: told.get("sentence") for key, told in found.items()},
        verdicts.answered(backtest.run.verification).get("answer") in verdicts.ALARMING,
        asdict(backtest.standing),
        bool(told_out_of_sample(backtest, Viewer(backtest.run.project.owner))),
    ]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:40]


def make_anew(report: Report) -> None:
    """As its author asked for it, once for all who ask; one that failed after a while only. Raises RedisError."""
    now = timezone.now()
    due = Q(state=Report.State.DONE, step=report.step) | Q(state=Report.State.FAILED, created__lt=now - PATIENCE)
    if Report.objects.filter(due, pk=report.pk).update(state=Report.State.WAITING, step="", created=now):
        enqueue(report)
    report.refresh_from_db(fields=["state", "step"])


def make_waiting(run_id: object) -> None:
    """Those that a run asked for itself, once it has ended and its manifest stands."""
    for report in Report.objects.filter(backtest__run=run_id, state=Report.State.WAITING).defer("logo", "content"):
        enqueue(report)


def make(pk: int) -> None:
    """What the job does. A report that was removed meanwhile is nobody's any more."""
    report = Report.objects.select_related("backtest__run__revision__project__owner").filter(pk=pk).first()
    if report is None:
        return
    try:
        _step(report, "Replaying the account and drawing its charts")
        claims = claims_of(report.backtest)  # before the document: what is found meanwhile is another
        logo = bytes(report.logo)
        document = document_of(
            report.backtest,
            prices=True,
            title=report.title,
            chosen=told_out_of_sample(report.backtest, Viewer(report.backtest.run.project.owner)),
            notes=report.notes,
            logo=logo,
            logo_size=size_of_png(logo) if logo else (0, 0),
        )
        _step(report, "Setting the pages")
        report.content = pdf(document) if report.form == Report.Form.PDF else html(document).encode()
        report.state, report.step, report.created = Report.State.DONE, claims, timezone.now()
    except Exception:
        logger.exception("report %s could not be made", pk)
        report.state, report.step = Report.State.FAILED, FAILED
    report.save(update_fields=["content", "state", "step", "created"])


def _step(report: Report, words: str) -> None:
    report.state, report.step = Report.State.MAKING, words
    report.save(update_fields=["state", "step"])

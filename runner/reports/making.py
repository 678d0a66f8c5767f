"""Who makes a report that somebody asked for, and when? A worker, once its run has ended; the row says how far."""

from __future__ import annotations

import logging

import django_rq
from django.db import transaction
from qfp.tearsheet.page import html

from runner.models import Backtest, Report
from runner.reports.documents import document_of
from runner.reports.logos import MAX_BYTES as MAX_LOGO_BYTES
from runner.reports.logos import redrawn, size_of_png
from runner.reports.pdf import pdf

logger = logging.getLogger(__name__)

__all__ = ["MAX_LOGO_BYTES", "MAX_NOTES", "Refused", "ask", "make", "make_waiting"]

MAX_NOTES = 20_000
MAX_REPORTS = 20  # of one backtest; the oldest goes


class Refused(Exception):
    """A report that is not made; the text says why."""


def ask(backtest: Backtest, *, form: str, title: str = "", notes: str = "", logo: bytes = b"") -> Report:
    """A row, and a job if the run has ended; else its end calls make_waiting(). Raises Refused, BadLogo."""
    if form not in Report.Form.values:
        raise Refused("A report is a PDF or an HTML file.")
    if len(notes) > MAX_NOTES:
        raise Refused(f"The notes have more than {MAX_NOTES:,} characters.")
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
    transaction.on_commit(lambda: django_rq.get_queue("default").enqueue("runner.jobs.make_report", report.pk))


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
        logo = bytes(report.logo)
        document = document_of(
            report.backtest,
            prices=True,
            title=report.title,
            notes=report.notes,
            logo=logo,
            logo_size=size_of_png(logo) if logo else (0, 0),
        )
        _step(report, "Setting the pages")
        report.content = pdf(document) if report.form == Report.Form.PDF else html(document).encode()
        report.state, report.step = Report.State.DONE, ""
    except Exception:
        logger.exception("report %s could not be made", pk)
        report.state, report.step = Report.State.FAILED, "Making it failed, which is a fault of ours. Ask again."
    report.save(update_fields=["content", "state", "step"])


def _step(report: Report, words: str) -> None:
    report.state, report.step = Report.State.MAKING, words
    report.save(update_fields=["state", "step"])

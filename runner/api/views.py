"""What can another program read? Runs, backtests with their figures, trades as files, and reports: as JSON and bytes.

Everything is what the pages show, to whoever may see the pages; the strings are the same to the letter.
"""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponseBase
from django.urls import reverse
from qfp.tearsheet.states import NO_DOUBT

from runner import claims_box, exports, private, result_views, trials
from runner.access import Viewer, address_hash
from runner.api.access import answer, read_only, refuse
from runner.models import Backtest, Report
from runner.reports.at_hand import BeingMade, TooMany, Unavailable, report_for
from runner.reports.documents import manifest_hash, parameters_of
from runner.run_views import find_run
from runner.sweeps.out_of_sample import told_of_walk, told_out_of_sample

__all__ = ["backtest", "export", "report", "run", "unknown"]


@read_only
def run(request: HttpRequest, run: Any) -> HttpResponseBase:
    """How it ended, and which backtests it holds."""
    found = find_run(request, run)
    shown = private.shown_to(found, Viewer.of(request))
    shown.hide(found)
    backtests = shown.backtests(found)
    tried = trials.of_project(found.project) if backtests else None
    return answer(
        {
            "id": str(found.pk),
            "status": found.status,
            "message": found.message,
            "project": {"title": found.project.title, "revision": found.revision.number},
            "queued": _moment(found.queued),
            "finished": _moment(found.finished),
            "params": found.params,
            "snapshot": found.snapshot or None,
            "manifest_sha256": manifest_hash(found) or None,
            "note": shown.note,
            "page": found.get_absolute_url(),
            "backtests": [
                {
                    "position": each.position,
                    "strategy": each.strategy,
                    **_standing(each, claims_box.lines(each, tried)),
                    "url": _url(each),
                }
                for each in backtests
            ],
        }
    )


@read_only
def backtest(request: HttpRequest, run: Any, position: int) -> HttpResponseBase:
    """Every figure as a number and as it is written, the claims, and where the files are."""
    found, shown = result_views.found_backtest(request, run, position)
    lines = claims_box.lines(found)
    return answer(
        {
            "run": str(found.run_id),
            "position": found.position,
            "strategy": found.strategy,
            "params": parameters_of(found, shown.all),
            "instruments": [instrument["symbol"] for instrument in found.instruments],
            "first": found.dates[0],
            "last": found.dates[-1],
            "bars": len(found.dates),
            "description": found.description,
            "remarks": found.remarked(shown.all),
            "out_of_sample": told_out_of_sample(found, Viewer.of(request)) or told_of_walk(found) or None,
            **_standing(found, lines),
            "verified_text": found.verified_text,
            "figures": {
                figure["key"]: {name: figure[name] for name in ("label", "value", "text")} for figure in found.figures
            },
            "claims_summary": claims_box.summary(lines, claims_box.checking(found))["text"],
            "claims": _told(lines),
            "conventions": found.conventions.get("lines", []),
            "page": found.get_absolute_url(),
            "files": _files(found, shown),
        }
    )


def _standing(backtest: Backtest, lines: list[claims_box.Line]) -> dict[str, Any]:
    """How far its figures may be believed; the reasons are null where there is nothing to say. doubts: what the page
    says beside that they were verified: doubts, problems, and what is pending.
    """
    standing = backtest.standing
    return {
        "verified": standing.verified,
        "reason": standing.reason or None,
        "look_ahead": standing.leak or None,
        "doubts": _told([line for line in lines if line["state"] not in NO_DOUBT]),
    }


def _told(lines: list[claims_box.Line]) -> list[dict[str, str]]:
    return [{name: line[name] for name in ("key", "state", "word", "title", "text")} for line in lines]


def _files(backtest: Backtest, shown: private.Shown) -> dict[str, str]:
    names = [f"report.{form}" for form in Report.Form.values]
    if shown.all:
        names += [f"{kind}.{form}" for kind in exports.KINDS for form in ("csv", "parquet")]
    return {name: f"{_url(backtest)}/{name}" for name in names}


@read_only
def report(request: HttpRequest, run: Any, position: int, form: str) -> HttpResponseBase:
    """The file; 202 while a worker makes it."""
    found, shown = result_views.found_backtest(request, run, position)
    try:
        content = report_for(found, shown, form, Viewer.of(request), address_hash(request))
    except BeingMade as made:
        response = answer({"state": "making", "step": str(made)}, 202)
        response["Retry-After"] = "2"
        return response
    except TooMany as refusal:
        return refuse(429, "too_many_reports", str(refusal), refusal.wait)
    except Unavailable as refusal:
        return refuse(503, "unavailable", str(refusal), 60)
    return result_views.file_of(found, form, content)


export = read_only(result_views.export)


@read_only
def unknown(request: HttpRequest) -> HttpResponseBase:
    """Every other address below /api/."""
    raise Http404


def _url(backtest: Backtest) -> str:
    return reverse("runner:api-backtest", args=[backtest.run_id, backtest.position])


def _moment(at: Any) -> str | None:
    return at.isoformat() if at is not None else None

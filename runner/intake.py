"""What becomes of the messages of a run's box? They are checked, kept and passed on, whatever is in them."""

from __future__ import annotations

import base64
import hashlib
import logging
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import OperationalError
from django.utils import timezone
from qfp.checking.literals import LONG, place_in, written_in
from qfp.figures import count
from rq.timeouts import JobTimeoutException

from runner import claims_box, overfitting, private, quotas
from runner.attempts import MAX_ATTEMPTS, Attempts
from runner.backtests import MAX_BACKTESTS, ClaimRefused, check_claim, page_event
from runner.claims.packed import Opener
from runner.combinations import combination_of
from runner.data_questions import DataQuestions
from runner.events import Publisher
from runner.honesty import checking, membership
from runner.likeness import compared, traded
from runner.models import Artefact, Backtest, Run
from runner.packages import packages_of
from runner.reports import making
from runner.storable import TooDeep, storable
from runner.waiting import when_database_answers

logger = logging.getLogger(__name__)

MAX_PARAMS = 50
HIDDEN = "••••••"
# These end the run whatever the message was: our database is away for long, or the run's time on our side is over.
OUR_ENDS = (OperationalError, JobTimeoutException)


class Intake:
    """What a run has handed over so far."""

    def __init__(self, run: Run, publisher: Publisher, data_questions: DataQuestions) -> None:
        self.run = run
        self.publisher = publisher
        self.data_questions = data_questions
        self.artefacts: dict[str, Artefact] = {}
        self.backtests: list[Backtest] = []
        self.opener = Opener()
        self.compared = 0  # of them, with those of its owner's other projects
        self.question: dict[str, Any] = {}  # what input() has asked and was not told yet
        self.attempts, self.said_beyond = Attempts(run, self.opener), False  # beyond those, and whether that was said
        self.claimed: dict[int, Backtest] = {}  # by the program's number; without those that were refused
        self.params: dict[str, dict[str, Any]] = {}
        self.unquoted: dict[int, dict[str, Any]] = {}  # findings whose text is not kept as yet, by the program's number

    def take(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "backtest":
                self._take_backtest(event)
            case "examining":
                self._take_examining(event)
            case "checks":
                self._take_checks(event)
            case "report":
                self._take_report(event)
            case "artefact":
                self._take_artefact(event)
            case "param":
                self._take_param(event)
            case _:
                if event["type"] == "input":
                    self.question = event
                self._note_first_output(event)
                self.publisher.publish(event)

    def note_answer(self, text: str) -> None:
        """What is typed for input() belongs to what the run has shown; of a password only that there was one."""
        question, self.question = self.question, {}
        shown = HIDDEN if question["password"] else text
        told = {"type": "answer", "prompt": question["prompt"], "text": shown}
        self.publisher.publish(told | {"t": question.get("t", 0.0)})

    def _note_first_output(self, event: dict[str, Any]) -> None:
        if self.run.first_output is None and event["type"] in ("stdout", "stderr", "display"):
            self.run.first_output = timezone.now()

    def _take_param(self, event: dict[str, Any]) -> None:
        name = event.get("name", "")
        if name in self.params or len(self.params) < MAX_PARAMS:
            try:
                self.params[name] = storable({k: v for k, v in event.items() if k not in ("type", "t")})
            except TooDeep as reason:
                self.notice(event, f"A parameter is not shown: {reason}")
                return
            self.publisher.publish(event)

    def _values(self) -> dict[str, Any]:
        """Of the parameters of the program by now, as Run.all_params has them in the end."""
        declared = {name: told.get("value", told.get("default")) for name, told in self.params.items()}
        return declared | {name: value for name, value in self.run.params.items() if name in declared}

    def _take_artefact(self, event: dict[str, Any]) -> None:
        content = base64.b64decode(event["content_base64"])
        digest = hashlib.sha256(content).hexdigest()
        self.publisher.recording.save_artefact(digest, content)
        name = storable(event["name"])[:255]
        self.artefacts[name] = Artefact(run=self.run, name=name, size=len(content), sha256=digest)

    def _take_backtest(self, event: dict[str, Any]) -> None:
        """Whatever a claim holds, it must not take the run with it."""
        try:
            if event.get("attempt") is True or len(self.backtests) >= MAX_BACKTESTS:
                self._count_attempt(event)
            else:
                self._keep_backtest(event)
        except (ClaimRefused, TooDeep) as refusal:
            self.notice(event, f"This backtest is not shown: {getattr(refusal, 'reason', refusal)}")
            self.attempts.count_refused(event.get("claim"))
        except OUR_ENDS:
            raise
        except Exception:
            logger.exception("run %s: a claim could not be checked", self.run.pk)
            self.notice(event, "This backtest is not shown: checking it failed, which is a fault of ours.")

    def _keep_backtest(self, event: dict[str, Any]) -> None:
        """Check the claim over our own bars; what the page shows is our calculation."""
        claim, had = self.opener.open(event.get("claim")), packages_of(self.run)
        checked = check_claim(claim, Path(settings.STORE_DIR), self._snapshot_of(claim), had)
        asked = membership.noted(checked.conventions, self.run.revision.files, checked.dates, checked.fills)
        checked = replace(checked, conventions=asked)
        backtest = Backtest(
            run=self.run,
            position=len(self.backtests),
            strategy=storable(checked.strategy)[:120],
            params=storable(checked.params),
            instruments=storable(checked.instruments),
            start=checked.start,
            end=checked.end,
            cash=checked.cash,
            conventions=storable(checked.conventions),
            engine_name=storable(checked.engine_name)[:60],
            engine_version=storable(checked.engine_version)[:30],
            snapshot=checked.snapshot or "",
            fills=checked.fills,
            flows=checked.flows,
            orders=storable(checked.orders),
            trades=checked.trades,
            holdings=checked.holdings,
            dates=checked.dates,
            equity=checked.equity,
            metrics=checked.metrics,
            figures=checked.figures,
            chart=checked.chart,
            description=checked.description,
            verified=checked.verified,
            verified_text=checked.verified_text,
            no_trades=storable(checked.no_trades)[:400],
        )
        backtest.sides = traded.sides_of(backtest)
        backtest.trial = self._trial_of(backtest, float(checked.equity[-1]))
        chosen = when_database_answers(run_id=self.run.pk, action=lambda: overfitting.finding(self.run, backtest))
        if chosen is not None:
            backtest.checks = {"overfitting": storable(chosen)}
        shown = page_event(checked)
        # Stored at once: a run that is lost a second later keeps the backtests it had finished.
        when_database_answers(run_id=self.run.pk, action=backtest.save)
        self.backtests.append(backtest)
        if event.get("number") is not None:
            self.claimed.setdefault(event["number"], backtest)
        url = backtest.get_absolute_url()
        self.publisher.publish({**shown, "backtest": backtest.pk, "url": url, "t": event.get("t", 0.0)})

    def _trial_of(self, backtest: Backtest, equity: float) -> str:
        named = when_database_answers(
            run_id=self.run.pk, action=lambda: self.attempts.name_of_recorded(backtest, equity)
        )
        values = self._values() | backtest.params
        try:
            return when_database_answers(run_id=self.run.pk, action=lambda: combination_of(backtest, values)) or named
        except OUR_ENDS:
            raise
        except Exception:  # then it counts once more
            logger.exception("run %s: a backtest could not be compared with sweeps", self.run.pk)
            return named

    def _count_attempt(self, event: dict[str, Any]) -> None:
        """One more than are recorded, or one that shows nothing; what was tried counts all the same."""
        if event.get("attempt") is not True and not self.said_beyond:
            self.said_beyond = True
            recorded = f"Only the first {MAX_BACKTESTS} backtests of a run are recorded."
            self.notice(event, f"{recorded} Up to {count(MAX_ATTEMPTS)} further ones count as trials.")
        self.attempts.count(event.get("claim"))

    def _take_examining(self, event: dict[str, Any]) -> None:
        """The program is over and its tests go on: whoever waits for it need not wait for them."""
        quotas.note_examined(self.run)
        self.compare_trades()
        self.publisher.publish({"type": "phase", "phase": "examining", "t": event.get("t", 0.0)})

    def compare_trades(self) -> None:
        """With those of its owner's other projects, once all backtests of the run are known."""
        if self.compared == len(self.backtests):
            return
        self.compared = len(self.backtests)
        run = Run.objects.filter(pk=self.run.pk)
        for action in (lambda: compared.compare(self.run), lambda: compared.compare_later(run)):
            try:
                when_database_answers(run_id=self.run.pk, action=action)
                return
            except OUR_ENDS:
                raise
            except Exception:
                logger.exception("run %s: its trades could not be compared", self.run.pk)

    def _take_checks(self, event: dict[str, Any]) -> None:
        """Keep what the tests of honesty found, and show what the backtest can claim now."""
        number = event["backtest"]
        backtest = self.claimed.get(number)
        if backtest is None:
            return
        band = backtest.checks.get("band") or checking.band_of(backtest)
        # What it read of its owner's own is known at its end; until then it counts as all that it could.
        quoting = not private.personal_series(self.run.snapshot)
        if not quoting:
            self.unquoted[number] = event
        self._keep_checks(backtest, event, band, quoting=quoting)
        self._show_checks(backtest, event, claims_box.lines(backtest))

    def quote_findings(self, brought: list[str]) -> None:
        """What was found is told in full, now that the run is over and has read nothing of one person alone.

        brought: series that it read and that somebody brought along.
        """
        for number, event in self.unquoted.items():
            backtest = self.claimed[number]
            before = backtest.checks
            self._keep_checks(backtest, event, before["band"], quoting=True)
            if backtest.checks != before:
                self._show_checks(backtest, event, claims_box.lines(backtest, private=(), brought=brought))

    def _keep_checks(self, backtest: Backtest, event: dict[str, Any], band: dict[str, Any], *, quoting: bool) -> None:
        findings = checking.findings(event, quoting=quoting, written=self.written, place=self.place)
        backtest.checks = storable({**backtest.checks, **findings, "band": band})
        when_database_answers(run_id=self.run.pk, action=lambda: backtest.save(update_fields=["checks"]))

    def _show_checks(self, backtest: Backtest, event: dict[str, Any], lines: list[claims_box.Line]) -> None:
        summary = claims_box.summary(lines, claims_box.checking(backtest))
        shown = {"backtest": backtest.pk, "lines": lines, "summary": summary}
        self.publisher.publish({"type": "checks", **shown, "t": event.get("t", 0.0)})

    @cached_property
    def written(self) -> int:
        """Numbers and days in the text of the program's strategies, and in what its parameters were given."""
        return written_in(self.run.revision.files, self.run.params)

    @cached_property
    def place(self) -> str:
        """Where most of them stand."""
        return place_in(self.run.revision.files) if self.written >= LONG else ""

    def _take_report(self, event: dict[str, Any]) -> None:
        """Remember what the program asks for; it is made once the run has ended."""
        number = event["backtest"]
        backtest = self.claimed.get(number)
        if backtest is None:
            self.notice(event, "A report of a backtest that is not kept cannot be made.")
            return
        asked = {name: storable(event[name]) for name in ("form", "title", "notes")}
        try:
            when_database_answers(run_id=self.run.pk, action=lambda: making.ask(backtest, **asked))
        except making.Refused as refusal:
            self.notice(event, f"This report is not made: {refusal}")

    def _snapshot_of(self, claim: Any) -> str:
        """The snapshot that a claim names, if it is one that this run has been given, else the run's."""
        named = claim.get("snapshot") if isinstance(claim, dict) else None
        return named if isinstance(named, str) and named in self.data_questions.snapshots else self.run.snapshot

    def notice(self, event: dict[str, Any], text: str) -> None:
        self.publisher.publish({"type": "notice", "text": text, "t": event.get("t", 0.0)})

"""Run one Revision in a box and store what it printed. Start reading at execute_next(); what becomes of each message of
the box is intake.py's.
"""

from __future__ import annotations

import faulthandler
import logging
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, DataError, IntegrityError, OperationalError, connection, connections, transaction
from django.db.models.functions import Now
from django.utils import timezone
from redis import RedisError
from rq.timeouts import JobTimeoutException, UnixSignalDeathPenalty

from runner import cells, gpu, hints, private, repeats, sessions
from runner.claiming import LEASE, LEASE_WHILE_WAITING, claim
from runner.data_questions import DataQuestions
from runner.ending import forget_stored_output, publish_finished
from runner.engines import engine_of, patiently
from runner.environment import environment_lock
from runner.events import Publisher
from runner.honesty import sending
from runner.intake import OUR_ENDS, Intake
from runner.likeness import alike
from runner.manifests import least_manifest, manifest_of
from runner.models import GPU, Artefact, Revision, Run
from runner.outcomes import sentence
from runner.packages import IndexUnavailable, PackageRefused, layer_of
from runner.parallel import Fanout
from runner.reports import making
from runner.requests import request_for
from runner.storable import MOST_NESTED, storable
from runner.sweeps.questions import SweepQuestions
from runner.waiting import when_database_answers
from sandbox.client import Box, BoxRefused, EngineUnavailable
from sandbox.protocol import BoxRequest

logger = logging.getLogger(__name__)

# Longer than a package index may stay silent.
LEASE_FOR_PACKAGES = timedelta(seconds=60)
HEARTBEAT_SECONDS = 0.5
FIRST_HEARTBEAT_SECONDS = 0.1
POLL_SECONDS = 0.2
ANSWERING_THREADS = 4

# What a program may ask the host: kind of question -> who answers, in a thread, so that events go on flowing.
ANSWERERS: dict[str, Callable[[Execution, dict[str, Any]], dict[str, Any]]] = {
    "pmap": lambda execution, body: execution.fanout.answer(body),
    "data": lambda execution, body: execution.data_questions.answer(body),
    "sweep": lambda execution, body: execution.sweep_questions.answer(body),
}
UNSTORABLE = "What this run sent about its end cannot be stored, so it counts as failed."
ALWAYS_STORABLE = ("finished", "lease_expires", "first_output", "cpu_seconds", "gpu_seconds", "wall_seconds")
# What a run may take on our side beyond its own limit: waiting for a box, checking, storing.
SPARE_SECONDS = 120
_HEARTBEAT = """
UPDATE runner_run SET lease_expires = statement_timestamp() + %s
WHERE id = %s AND status = 'running' RETURNING cancel_requested IS NOT NULL
"""


class Stopped(Exception):
    """Somebody pressed Stop before there was a box."""


class RunTaken(Exception):
    """The record says the run is no longer ours: it was ended by somebody else."""


def execute_next(queue: str = "runs") -> None:
    """One run of the queue from claim to stored output; nothing when none waits, as after a job's second delivery."""
    run = claim(queue)
    if run is None:
        return
    with time_limit(int(run.limits["wall_seconds"] + settings.PACKAGE_SECONDS) + SPARE_SECONDS):
        Execution(run).go()


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """JobTimeoutException after that time. Where Python cannot even raise it, the process ends a minute later."""
    faulthandler.dump_traceback_later(seconds + 60, exit=True, file=sys.__stderr__ or sys.stderr)
    try:
        with UnixSignalDeathPenalty(seconds, JobTimeoutException):
            yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def execute_cell(run_id: UUID | str) -> None:
    """One cell of a session, which is claimed by its name: its place is in that session and in no other queue."""
    claimed = Run.objects.filter(pk=run_id, status=Run.Status.QUEUED).update(
        status=Run.Status.RUNNING, started=Now(), lease_expires=Now() + LEASE_WHILE_WAITING
    )
    if not claimed:
        _go_on_after(run_id)
        return
    run = Run.objects.select_related("revision__project", "lock", "session").get(pk=run_id)
    with time_limit(int(run.limits["wall_seconds"] + settings.PACKAGE_SECONDS) + SPARE_SECONDS):
        Execution(run).go()


def _go_on_after(run_id: UUID | str) -> None:
    """A cell that was stopped while it waited: those behind it wait for nothing now."""
    ended = Run.objects.filter(pk=run_id, session__isnull=False).select_related("session").first()
    if ended is not None and ended.session is not None:
        cells.advance(ended.session)


class Execution:
    """The state of one run while this worker holds its lease."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.publisher = Publisher(run.pk)
        self.had_box = False
        self.next_heartbeat = 0.0
        self.next_line = 0.0  # when one is looked for, once the program has asked
        self.cancelling = False
        self.began = time.monotonic()
        self.program_began: float | None = None
        self.told = ""
        self.fanout: Fanout = Fanout(run)
        self.data_questions: DataQuestions = DataQuestions(run)
        self.intake = Intake(run, self.publisher, self.data_questions)
        self.sweep_questions: SweepQuestions = SweepQuestions(run)
        self.answering = ThreadPoolExecutor(ANSWERING_THREADS, thread_name_prefix="answer")

    def go(self) -> None:
        run = self.run
        self.publisher.publish({"type": "phase", "phase": "starting", "t": 0.0})
        try:
            with layer_of(run, self._tell_of_packages):
                ended = self._run_in_box()
        except PackageRefused as refusal:
            ended = self._without_box(Run.Status.FAILED, refusal.reason, Run.PACKAGE_REFUSED)
        except IndexUnavailable as error:
            logger.warning("run %s: %s", run.pk, error)
            ended = self._without_box(Run.Status.FAILED, str(error), Run.INDEX_UNAVAILABLE)
        except Stopped:
            ended = self._without_box(Run.Status.CANCELLED)
        except RunTaken:
            logger.warning("run %s: its lease was taken over", run.pk)
            self._forget_if_deleted()
            return
        except sessions.InterpreterLost as lost:
            logger.warning("run %s: %s", run.pk, lost)
            ended = {"outcome": Run.Status.CRASHED, "refused": str(lost)}
        except BoxRefused as refusal:
            logger.error("run %s: refused: %s", run.pk, refusal.reason)
            ended = {"outcome": Run.Status.CRASHED, "refused": f"Runs are refused: {refusal.reason}"}
        except EngineUnavailable as error:
            logger.error("run %s: %s", run.pk, error)
            ended = {"outcome": Run.Status.CRASHED}
        except Exception:
            logger.exception("run %s: failed on our side", run.pk)
            ended = {"outcome": Run.Status.CRASHED}
        finally:
            self.fanout.close()
            self.answering.shutdown(wait=False, cancel_futures=True)
            connection.close_if_unusable_or_obsolete()
        self._finish(ended)

    # Packages ------------------------------------------------------------------------------------------------

    def _tell_of_packages(self, text: str, done: int, total: int) -> None:
        """Called all the time while packages are brought in: one line for each new sentence."""
        if text and text != self.told:
            if not self.told:
                self.publisher.publish({"type": "phase", "phase": "packages", "t": 0.0})
            self.told = text
            self.publisher.publish({"type": "package", "text": text, "t": self._seconds()})
        self._heartbeat(None)

    def _without_box(self, status: Any, reason: str = "", kind: str = "") -> dict[str, Any]:
        """How a run ends that never had a box."""
        ended: dict[str, Any] = {"outcome": status, "wall_seconds": self._seconds()}
        if reason:
            ended |= {"refused": reason, "error": {"name": kind, "message": reason}}
        return ended

    def _seconds(self) -> float:
        return round(time.monotonic() - self.began, 3)

    # The box ---------------------------------------------------------------------------------------------------

    def _run_in_box(self) -> dict[str, Any]:
        if self.told:
            # The clock of the run begins with its program, not with its packages.
            self.publisher.publish({"type": "phase", "phase": "starting", "t": 0.0})
            Run.objects.filter(pk=self.run.pk).update(started=Now(), lease_expires=Now() + LEASE_WHILE_WAITING)
        with self._open() as box:
            self.had_box = True
            for event in box.events(poll_seconds=POLL_SECONDS):
                if event is not None:
                    if event["type"] == "ended":
                        return event
                    self._handle(box, event)
                self._heartbeat(box)
        return {"outcome": Run.Status.CRASHED}  # the engine went away without a last word

    def _open(self) -> Box:
        """A box for the program, or the session's for one more cell."""
        run = self.run
        if run.session_id is not None:
            if note := sessions.note_on_packages(run):
                self.intake.notice({"t": 0.0}, note)
            self.data_questions.follow_session()
            box = sessions.open_cell(run)
            Run.objects.filter(pk=run.pk).update(lease_expires=Now() + LEASE)
            return box
        return self._start(request_for(run))

    def _start(self, request: BoxRequest) -> Box:
        client = engine_of(self.run.queue)
        box = patiently(lambda: client.start(request))
        # A short program's output does not wait for its first heartbeat; the lease of the claim is long.
        self.next_heartbeat = time.monotonic() + FIRST_HEARTBEAT_SECONDS
        return box

    def _heartbeat(self, box: Any) -> None:
        """Renew the lease, hear a wish to stop, answer input(). box: None before one is there."""
        now = time.monotonic()
        # One line for each question and none before it, so that a password that is typed ahead is known as one.
        if box is not None and self.intake.question and now >= self.next_line:
            self.next_line = now + POLL_SECONDS
            if (line := self.publisher.take_line()) is not None:
                self.intake.note_answer(line)
                box.send_input(line)
        if now < self.next_heartbeat:
            return
        self.next_heartbeat = now + HEARTBEAT_SECONDS
        try:
            lease = LEASE if box is not None else LEASE_FOR_PACKAGES
            with connection.cursor() as cursor:
                cursor.execute(_HEARTBEAT, [lease, self.run.pk])
                found = cursor.fetchone()
            if found is None:
                raise RunTaken
            if found[0] and not self.cancelling:
                if box is None:
                    raise Stopped
                self.cancelling = True
                box.cancel()
        except OperationalError:
            # A database that is away for a moment does not end the run; the lease outlives a short absence.
            logger.warning("run %s: the database did not answer a heartbeat", self.run.pk)
            connection.close()

    # What comes out of it --------------------------------------------------------------------------------------

    def _handle(self, box: Box, event: dict[str, Any]) -> None:
        """Whatever a message holds, it must not take the run with it."""
        try:
            self._take(box, event)
        except OUR_ENDS:
            raise
        except Exception:
            logger.exception("run %s: a message of type %s could not be kept", self.run.pk, event["type"])
            self.intake.notice(event, "Something that this program sent could not be kept, so it is not shown.")

    def _take(self, box: Box, event: dict[str, Any]) -> None:
        match event["type"]:
            case "ask":
                self.answering.submit(self._answer, box, event)
            case "started":
                self.program_began = time.monotonic()
                self.publisher.publish({"type": "phase", "phase": "running", "t": event.get("t", 0.0)})
            case _:
                self.intake.take(event)

    def _answer(self, box: Box, event: dict[str, Any]) -> None:
        """In a thread: what the program asked for, or why it cannot be had."""
        answerer = ANSWERERS.get(event["what"])
        try:
            body = answerer(self, event["body"]) if answerer else repeats.UNKNOWN_QUESTION
        except Exception:
            logger.exception("run %s: a question about %s", self.run.pk, event["what"])
            body = repeats.FAULT
        finally:
            connections.close_all()  # of this thread
        box.answer(event["id"], body)

    # The end ---------------------------------------------------------------------------------------------------

    def _finish(self, ended: dict[str, Any]) -> None:
        status = Run.Status(ended.get("outcome", Run.Status.CRASHED))
        message = ended.get("refused") or sentence(status, ended) + sessions.note_on_session(ended)
        gpu_seconds = self._gpu_seconds(ended)
        if status == Run.Status.CRASHED:
            message += gpu.note(gpu_seconds)
        for skipped in (ended.get("artefacts_skipped") or [])[:50]:
            self.intake.notice(ended, f"Not kept: {skipped.get('name', '')[:120]} ({skipped.get('why', '')[:200]})")
        values = {
            "status": status,
            "message": storable(message),
            "error": storable(ended.get("error")),
            "limit": ended.get("limit"),
            "exit": ended.get("exit"),
            "finished": timezone.now(),
            "lease_expires": None,
            "first_output": self.run.first_output,
            "cpu_seconds": self._cpu_seconds(ended),
            "gpu_seconds": gpu_seconds,
            "wall_seconds": ended.get("wall_seconds"),
            "peak_memory_bytes": ended.get("peak_memory_bytes"),
            "declared_params": list(self.intake.params.values()),
            "environment": environment_lock(self.run.queue),
        }
        self.intake.compare_trades()  # before its manifest counts what was tried
        if not self._store(values, ended):
            return
        self._quote_findings()
        if status == Run.Status.SUCCEEDED:
            self._hint(ended)
        for artefact in self.intake.artefacts.values():
            url = artefact.get_absolute_url()
            self.publisher.publish(
                {
                    "type": "artefact",
                    "name": artefact.name,
                    "size": artefact.size,
                    "url": url,
                    "t": ended.get("t", 0.0),
                }
            )
        self.publisher.forget_lines()
        publish_finished(self.publisher, values, ended.get("t"))
        if self.run.session_id is not None:
            sessions.after_cell(self.run, ended)
        try:
            making.make_waiting(self.run.pk)
        except RedisError:
            logger.warning("run %s: the reports it asked for are sent later", self.run.pk)
        self._send_to_be_examined()
        with suppress(Revision.DoesNotExist):
            alike.read(self.run.revision)

    def _hint(self, ended: dict[str, Any]) -> None:
        """What a program that made no backtest could have had."""
        whole = self.run.session_id is None and not self.run.search
        if whole and not self.intake.backtests and (text := hints.hint(self.run)):
            self.intake.notice(ended, text)

    def _quote_findings(self) -> None:
        """Only where the stored record says that the run has read nothing of one person alone, as for its readers."""
        if not self.intake.unquoted:
            return
        try:
            data = Run.objects.values_list("manifest", flat=True).get(pk=self.run.pk).get("data", {})
            if data.get("private") == []:
                self.intake.quote_findings(data.get("brought") or [])
        except (Run.DoesNotExist, DatabaseError, ValueError, TypeError):
            logger.exception("run %s: the reasons of its findings stay untold", self.run.pk)

    def _send_to_be_examined(self) -> None:
        try:
            sending.send_waiting()
        except RedisError:
            logger.warning("run %s: those that waited for its end are examined later", self.run.pk)
        if not self.intake.backtests:
            return
        with suppress(Run.DoesNotExist):  # just deleted
            sending.send(Run.objects.select_related("revision__project").get(pk=self.run.pk))

    def _cpu_seconds(self, ended: dict[str, Any]) -> float | None:
        """Of the run's own box and of the further ones that worked for it."""
        own = ended.get("cpu_seconds")
        return None if own is None else own + self.fanout.cpu_seconds()

    def _gpu_seconds(self, ended: dict[str, Any]) -> float | None:
        """From the start of the program to its end, or to the moment when its engine was lost."""
        if self.run.queue != GPU:
            return None
        if "start" in ended:
            return ended.get("wall_seconds")
        return None if self.program_began is None else round(time.monotonic() - self.program_began, 3)

    def _manifest(self, ended: dict[str, Any]) -> dict[str, Any]:
        """Where it cannot be made, what says who may see the run; if nothing does, it has read all it could."""
        least: dict[str, Any] = {}
        try:
            series, brought = self._read(ended, brought=False), self._read(ended, brought=True)
            least = least_manifest(self.run, series, brought)
            # Around the parameters, which may be nested as deeply as is kept, it puts more.
            made: dict[str, Any] = storable(
                manifest_of(self.run, self.intake.backtests, series, brought, environment_lock(self.run.queue)),
                MOST_NESTED + 10,
            )
            return made
        except OUR_ENDS:
            raise
        except Exception:
            logger.exception("run %s: its manifest could not be made", self.run.pk)
            return least

    def _store(self, values: dict[str, Any], ended: dict[str, Any]) -> bool:
        """The record first, the bell second. False when the run was taken from us, or deleted."""

        def store() -> bool:
            values["manifest"] = self._manifest(ended)
            with transaction.atomic():
                if not Run.objects.filter(pk=self.run.pk, status=Run.Status.RUNNING).update(**values):
                    return False
                Artefact.objects.bulk_create(self.intake.artefacts.values())
                return True

        try:
            stored = when_database_answers(run_id=self.run.pk, action=store)
        except (OperationalError, IntegrityError):
            logger.exception("run %s: its end could not be stored", self.run.pk)
            return False
        except (DataError, ValueError, TypeError):
            # Only what the box sent can be such a value. The run ends all the same, counts, and gives its place back.
            logger.exception("run %s: what it ended with cannot be stored", self.run.pk)
            self.intake.artefacts.clear()
            kept = {name: values[name] for name in ALWAYS_STORABLE}
            values |= {"status": Run.Status.FAILED, "message": UNSTORABLE, "limit": None}
            stored = when_database_answers(
                run_id=self.run.pk,
                action=lambda: Run.objects.filter(pk=self.run.pk, status=Run.Status.RUNNING).update(
                    **kept, status=Run.Status.FAILED, message=UNSTORABLE
                ),
            )
        if not stored:
            self._forget_if_deleted()
        return bool(stored)

    def _forget_if_deleted(self) -> None:
        """The project was deleted while it ran: what was written since goes, too."""
        if not Run.objects.filter(pk=self.run.pk).exists():
            forget_stored_output(self.run.pk)

    def _read(self, ended: dict[str, Any], brought: bool) -> list[str]:
        """Series that only their owner may see, or that somebody brought along, as far as this run has read them, which
        its host knows and its box is not asked. What further boxes read is not known, so with some it is all that they
        could.
        """
        series_of = private.brought_series if brought else private.personal_series
        there = set(series_of(self.run.snapshot)) if self.had_box else set()
        if not there or self.fanout.used:
            return sorted(there)
        claimed = {instrument["series"] for backtest in self.intake.backtests for instrument in backtest.instruments}
        return sorted(private.opened_series(self.run.snapshot, ended, brought) | (claimed & there))

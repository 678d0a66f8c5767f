"""How does a live session begin, go on and end, as the site sees it? The engine holds it; this is the record of it.

Read open_cell() for the worker's side, ask() for the page's.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from runner import hosts
from runner.cells import advance, end_waiting
from runner.ending import request_cancel
from runner.engines import USUAL, engine_of, patiently
from runner.hosts import Unanswered
from runner.models import Project, Run, Session
from runner.requests import request_for
from sandbox.client import Box, Cell, EngineClient, EngineUnavailable, Limits, SessionBusy, SessionGone
from sandbox.protocol import SESSION_SECONDS

logger = logging.getLogger(__name__)

MOST_OF_ONE_OWNER = 100  # for the engine; the plan's number is checked where a session is made
SWEEP_PATIENCE = timedelta(seconds=60)
LONGEST_LIFE = timedelta(seconds=SESSION_SECONDS)
RUN_ABOVE = "Run the cells above again."


class InterpreterLost(Exception):
    """The session is no more; the text says so and what to do."""


# The worker's side


def open_cell(run: Run) -> Box:
    """Begin the cell in its session, which is opened if this is its first. Raises InterpreterLost."""
    session = run.session
    client = engine_of(USUAL)
    try:
        if session.state == Session.State.STARTING:
            _open(client, run)
        elif session.state == Session.State.ENDED:
            raise SessionGone(session.why)
        cell = Cell(str(run.pk), run.cell_source, Limits(**run.limits), run.cell_line or 1, run.params)
        return client.run_cell(str(session.pk), session.owner_key, cell)
    except (SessionGone, EngineUnavailable) as error:
        why = error.reason if isinstance(error, SessionGone) else ""
        end(session, _lost(why))
        raise InterpreterLost(session.why) from error


def _open(client: EngineClient, run: Run) -> None:
    session = run.session
    request = replace(request_for(run), run_id=str(session.pk), owner=session.owner_key, params={}, session=True)
    try:
        patiently(lambda: client.open_session(request, session.idle_seconds, MOST_OF_ONE_OWNER))
    except SessionBusy:
        pass  # a worker that died had opened it
    now = timezone.now()
    values = {
        "state": Session.State.OPEN,
        "host": settings.SANDBOX_HOST,
        "lock": run.lock,
        "started": now,
        "last_used": now,
    }
    if not Session.objects.filter(pk=session.pk, state=Session.State.STARTING).update(**values):
        # It was ended while it was being opened: nobody knows of this interpreter.
        client.close_session(str(session.pk), session.owner_key)
        raise SessionGone("It was ended before it had started.")
    session.refresh_from_db()


def after_cell(run: Run, ended: dict[str, Any]) -> None:
    """A cell has ended and is stored: note what became of the session, and start the next cell."""
    session = Session.objects.get(pk=run.session_id)
    told = ended.get("session")
    if isinstance(told, dict) and not told.get("alive"):
        end(session, str(told.get("why") or "") or "The interpreter has ended.")
    elif session.is_alive:
        Session.objects.filter(pk=session.pk).update(last_used=timezone.now())
        if told is None:
            look(session)  # the engine, or its last word, was lost
    advance(session)


def note_on_session(ended: dict[str, Any]) -> str:
    """What a cell's message says of its session."""
    told = ended.get("session")
    if isinstance(told, dict) and not told.get("alive"):
        return f" The interpreter ended with it. {RUN_ABOVE}"
    return ""


def note_on_packages(run: Run) -> str:
    """What the page says when the file asks for other packages than its live interpreter was started with."""
    session = run.session
    if session is None or session.state != Session.State.OPEN or session.lock_id == run.lock_id:
        return ""
    return "This session was started with other packages than the file asks for now. Restart it to have them."


# The end


def end(session: Session, why: str) -> None:
    """Record that it is no more, unless that is known already; cells that wait for it will not run."""
    why = " ".join(why.split())[:500]
    now = timezone.now()
    if Session.objects.alive().filter(pk=session.pk).update(state=Session.State.ENDED, ended=now, why=why):
        logger.info("session %s ended: %s", session.pk, why)
    session.refresh_from_db()
    end_waiting(session, "Not run, because the session has ended.")


def _lost(why: str, moment: datetime | None = None) -> str:
    """What the page says of an interpreter that is gone."""
    if why and "no such session" not in why:
        return f"{why} {RUN_ABOVE}"
    when = (moment or timezone.now()).strftime("%H:%M UTC")
    return f"The interpreter was lost when the sandbox engine was restarted (noticed at {when}). {RUN_ABOVE}"


# The page's side


def current(project: Project) -> Session | None:
    """The project's session: the live one, or the last."""
    return project.sessions.order_by("-number").first()


def ask(session: Session, operation: str, **arguments: Any) -> dict[str, Any]:
    """Have the engine do something with the session; a lost one is recorded as such. Raises hosts.Unanswered."""
    if session.state == Session.State.ENDED:
        raise Unanswered("gone", session.why)
    if session.state == Session.State.STARTING:
        raise Unanswered("busy", "The session is starting.")
    arguments |= {"session": str(session.pk), "owner": session.owner_key}
    try:
        answer = hosts.ask(session.host, operation, arguments)
    except Unanswered as refusal:
        if refusal.kind == "gone":
            end(session, _lost(str(refusal)))
            raise Unanswered("gone", session.why) from None
        raise
    if "idle_left" in answer:
        used = timezone.now() - timedelta(seconds=session.idle_seconds - float(answer["idle_left"]))
        Session.objects.filter(pk=session.pk).update(last_used=used)
        session.last_used = used
    return answer


def look(session: Session) -> dict[str, Any]:
    """What the engine says of it, empty when it says nothing; a lost session is found out here."""
    try:
        return ask(session, "look")
    except Unanswered as refusal:
        return {"silent": str(refusal)} if refusal.kind == "silent" else {}


def cells_of(session: Session) -> list[Run]:
    """The latest run of each of its cells, in the order of the file."""
    latest: dict[int | None, Run] = {}
    for run in session.cells.order_by("queued"):
        latest[run.cell_index] = run
    return sorted(latest.values(), key=lambda run: run.cell_index or 0)


def interrupt(session: Session) -> None:
    """Stop what runs in it and what waits for that; its variables stay."""
    end_waiting(session, "Not run, because the session was interrupted.")
    for run in Run.objects.filter(session=session, status=Run.Status.RUNNING):
        request_cancel(run)


def close(session: Session, why: str) -> None:
    """End it. An engine that cannot be reached ends it by itself when nobody uses it any more."""
    end_waiting(session, "Not run, because the session was ended.")
    if session.state == Session.State.OPEN:
        try:
            ask(session, "close")
        except Unanswered as refusal:
            logger.info("session %s: not closed now: %s", session.pk, refusal)
    end(session, why)


# What was left over


def sweep_sessions() -> int:
    """Go on where a worker died between two cells; end what nobody holds any more. Returns how many ended."""
    now = timezone.now()
    ended = 0
    for session in Session.objects.alive():
        busy = Run.objects.filter(session=session).in_progress().exists()
        if busy:
            if session.host and session.last_used < now - SWEEP_PATIENCE and not hosts.is_listening(session.host):
                end(session, f"The machine that held it ({session.host}) does not answer any more. {RUN_ABOVE}")
                ended += 1
            continue
        if session.started is not None and now - session.started > LONGEST_LIFE:
            close(session, f"It ended after {LONGEST_LIFE.seconds // 3600} hours, the longest for one. {RUN_ABOVE}")
            ended += 1
            continue
        unused = now - session.last_used - timedelta(seconds=session.idle_seconds)
        if unused > SWEEP_PATIENCE:
            told = look(session) if session.state == Session.State.OPEN else {}
            session.refresh_from_db()
            if session.is_alive and not told.get("idle_left"):
                end(session, f"It ended after {session.idle_seconds // 60} min without use. {RUN_ABOVE}")
            ended += not session.is_alive
    return ended

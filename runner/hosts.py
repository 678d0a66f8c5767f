"""How is the engine of another machine reached? Through the queue of that machine, which its workers serve.

A session lives in the engine of one host. Whoever wants something of it asks here: the engine itself where it is the
one of this machine, else a worker there, whose answer comes back through Redis. Either way an answer, or a clear word
that there is none, comes within seconds.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable
from typing import Any

import django_rq
import redis
from django.conf import settings
from rq import Queue, Worker

from sandbox.client import BoxRefused, EngineClient, EngineUnavailable, SessionBusy, SessionGone

logger = logging.getLogger(__name__)

QUEUE = "runs"  # its connection and serializer are those of all
ANSWER_SECONDS = 10.0
ANSWER_KEPT_SECONDS = 60
MAX_ANSWER_BYTES = 400_000


class Unanswered(Exception):
    """The session did not do it; `kind` is gone, busy, refused or silent, the text is for people."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


# Queues


def queue_of(host: str) -> Queue:
    common = django_rq.get_queue(QUEUE)
    return Queue(f"host-{host}", connection=common.connection, serializer=common.serializer)


def is_listening(host: str) -> bool:
    """Whether a worker serves this host's queue."""
    return bool(Worker.count(queue=queue_of(host)))


# Asking


def ask(host: str, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Have a host's engine do something with a session. Raises Unanswered."""
    if host == settings.SANDBOX_HOST:
        answer = perform(operation, arguments)
    else:
        try:
            answer = _ask_by_queue(host, operation, arguments)
        except redis.RedisError:
            raise Unanswered("silent", "The queue does not answer. Try again in a moment.") from None
    if "refused" in answer:
        raise Unanswered(str(answer["refused"]), str(answer.get("reason", "")))
    return answer


def _ask_by_queue(host: str, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
    if not is_listening(host):
        return _refused("silent", f"The machine that holds this session ({host}) does not answer.")
    key = f"session-answer:{secrets.token_urlsafe(16)}"
    queue = queue_of(host)
    queue.enqueue(
        "runner.jobs.answer_for_session",
        key,
        operation,
        arguments,
        at_front=True,
        job_timeout=60,
        ttl=int(ANSWER_SECONDS),
        result_ttl=0,
        failure_ttl=60,
    )
    with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=ANSWER_SECONDS + 2) as connection:
        found = connection.blpop([key], timeout=ANSWER_SECONDS)
    if found is None:  # and the job, which has a time to live, is forgotten with the question
        return _refused(
            "busy", f"The machine that holds this session ({host}) is busy with runs. Ask again in a moment."
        )
    return json.loads(found[1])


def leave_answer(key: str, operation: str, arguments: dict[str, Any]) -> None:
    """A worker's side: do it, and leave the answer where it is waited for, for a short while."""
    text = json.dumps(perform(operation, arguments))
    if len(text) > MAX_ANSWER_BYTES:
        text = json.dumps(_refused("refused", "The answer is too long."))
    with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=5) as connection, connection.pipeline() as pipe:
        pipe.rpush(key, text)
        pipe.expire(key, ANSWER_KEPT_SECONDS)
        pipe.execute()


# What can be asked for


def perform(operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Do it with this machine's engine."""
    try:
        return _OPERATIONS[operation](EngineClient(settings.ENGINE_SOCKET), **arguments)
    except SessionGone as gone:
        return _refused("gone", gone.reason)
    except SessionBusy as busy:
        return _refused("busy", busy.reason)
    except BoxRefused as refusal:
        return _refused("refused", refusal.reason)
    except EngineUnavailable as error:
        logger.warning("session: %s", error)
        return _refused("silent", "The sandbox engine does not answer. Try again in a moment.")


def _refused(kind: str, reason: str) -> dict[str, Any]:
    return {"refused": kind, "reason": reason}


def _look(client: EngineClient, session: str, owner: str) -> dict[str, Any]:
    found = next((s for s in client.sessions() if s["id"] == session and s["owner"] == owner), None)
    if found is None:
        client.interrupt_session(session, owner)  # refuses, and says why the session has ended
    return found or {}


def _ask(client: EngineClient, session: str, owner: str, what: str, question: dict[str, Any]) -> dict[str, Any]:
    return client.ask_session(session, owner, what, question)


def _keep(client: EngineClient, session: str, owner: str) -> dict[str, Any]:
    return {"idle_left": client.keep_session(session, owner)}


def _close(client: EngineClient, session: str, owner: str) -> dict[str, Any]:
    client.close_session(session, owner)
    return {}


_OPERATIONS: dict[str, Callable[..., dict[str, Any]]] = {"look": _look, "ask": _ask, "keep": _keep, "close": _close}

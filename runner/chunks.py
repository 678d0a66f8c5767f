"""How is one chunk of a pmap() done, on any machine? Read from work_on_chunk(), which is what the jobs of the queue
"parallel" call; parallel.py hands them out.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import redis
from django.db import OperationalError, connections
from django.utils import timezone

from runner.attempts import MAX_ATTEMPTS, Attempts
from runner.chunk_store import KEY_SECONDS, Names, NotPossible, Storage, cpu_key
from runner.claims.fields import ClaimRefused
from runner.claims.packed import Opener
from runner.engines import USUAL, engine_of, patiently
from runner.events import redis_connection
from runner.models import Run
from runner.outcomes import sentence
from runner.packages import IndexUnavailable, PackageRefused, layer_of
from runner.requests import request_for
from runner.storable import TooDeep
from sandbox.client import Box, BoxRefused, EngineUnavailable
from sandbox.protocol import BoxRequest

logger = logging.getLogger(__name__)

MAX_TEXT_BYTES = 64_000  # printed by one chunk
MAX_FAILURE_TEXT = 10_000
ALIVE_SECONDS = 6  # without a sign of life for so long, a chunk's worker is lost
PULSE_SECONDS = 1.5
LOOK_SECONDS = 0.5
CHUNK_ENTRY = "qfp_chunk.py"
CHUNK_SOURCE = "from qfp import fanout\n\nfanout.work()\n"


def work_on_chunk(run_id: str, call: str, number: int, attempt: int) -> None:
    """One attempt at one chunk, from the claim to the news. A second delivery of the same job does nothing."""
    with redis_connection() as client:
        names = Names(run_id, call)
        if client.exists(names.claim(number, attempt)):
            return
        # The sign of life first: a claim without one is what a lost worker looks like.
        with pulse(names.alive(number, attempt)) as life:
            if not client.exists(names.open):
                return
            if not client.set(names.claim(number, attempt), os.getpid(), nx=True, ex=KEY_SECONDS):
                life.is_anothers = True
                return
            ChunkBox(client, names, number, attempt).go()


@dataclass
class Life:
    is_anothers: bool = False  # who gives the same sign, and goes on


@contextmanager
def pulse(key: str) -> Iterator[Life]:
    """A key that is there as long as this process lives and is in here."""
    ended, life = threading.Event(), Life()

    def beat() -> None:
        with redis_connection() as client:
            while True:
                with suppress(redis.RedisError):
                    client.set(key, 1, ex=ALIVE_SECONDS)
                    first.set()
                if ended.wait(PULSE_SECONDS):
                    break
            if not life.is_anothers:
                with suppress(redis.RedisError):
                    client.delete(key)

    first = threading.Event()
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    first.wait(PULSE_SECONDS)
    try:
        yield life
    finally:
        ended.set()
        thread.join()


class ChunkBox:
    """A box that works on one chunk of a run."""

    def __init__(self, client: redis.Redis, names: Names, number: int, attempt: int) -> None:
        self.client, self.names, self.number, self.attempt = client, names, number, attempt
        self.storage = Storage(names.run_id, client)
        self.results: list[str] = []
        self.failure: dict[str, Any] | None = None
        self.done = False
        self.texts: list[tuple[str, str]] = []
        self.text_bytes = 0
        self.next_look = 0.0
        self.cancelled = False

    def go(self) -> None:
        run = self._wanted_run()
        chunk = self.client.get(self.names.chunk(self.number))
        if run is None or chunk is None:
            return
        self.chunk = json.loads(chunk)
        self.attempts = Attempts(run, Opener(), MAX_ATTEMPTS - run.attempts.count())
        lost = refused = ""
        try:
            with layer_of(run, lambda text, done, total: None):  # this host may not have had the run's packages yet
                lost = self._judge(self._run_in_box(self._request(run)))
        except (BoxRefused, PackageRefused) as refusal:
            refused = refusal.reason
        except IndexUnavailable as error:
            lost = str(error)
        except EngineUnavailable:
            lost = "the sandbox engine went away."
        if not self.cancelled:
            self._tell(lost, refused)

    def _wanted_run(self) -> Run | None:
        running = Run.objects.filter(pk=self.names.run_id, status=Run.Status.RUNNING, cancel_requested__isnull=True)
        return running.select_related("revision__project", "lock").first()

    def _request(self, run: Run) -> BoxRequest:
        """The run's own request with another entry, and what is left of its time."""
        request = request_for(run)
        limits = request.limits
        spent = float(self.client.get(cpu_key(run.pk)) or 0)
        passed = (timezone.now() - (run.started or timezone.now())).total_seconds()
        return replace(
            request,
            run_id=f"{run.pk}.{self.names.call}.{self.number}",
            files={**request.files, CHUNK_ENTRY: CHUNK_SOURCE},
            entry=CHUNK_ENTRY,
            device="",  # there is one GPU to a run, and its own box has it
            limits=replace(
                limits,
                cpu_seconds=max(1.0, limits.cpu_seconds - spent),
                wall_seconds=max(1.0, limits.wall_seconds - passed),
                artefact_bytes=0,
                artefact_count=0,
            ),
        )

    def _run_in_box(self, request: BoxRequest) -> dict[str, Any]:
        with patiently(lambda: engine_of(USUAL).start(request)) as box:
            for event in box.events(poll_seconds=LOOK_SECONDS):
                self._look(box)
                if event is None:
                    continue
                if event["type"] == "ended":
                    if event.get("refused"):
                        raise BoxRefused(str(event["refused"]))
                    self.client.incrbyfloat(cpu_key(self.names.run_id), ended_cpu(event))
                    self.client.expire(cpu_key(self.names.run_id), KEY_SECONDS)
                    return event
                self._handle(box, event)
        return {"outcome": Run.Status.CRASHED}

    def _look(self, box: Box) -> None:
        """Stop when nobody waits for this chunk any more, or the run has ended."""
        now = time.monotonic()
        if self.cancelled or now < self.next_look:
            return
        self.next_look = now + LOOK_SECONDS
        try:
            wanted = self.client.exists(self.names.open) and self._wanted_run() is not None
        except (OperationalError, redis.RedisError):
            # Away for a moment; the box's own time limit holds meanwhile.
            logger.warning("run %s: chunk %d could not look whether it is wanted", self.names.run_id, self.number)
            connections.close_all()
            return
        if not wanted:
            self.cancelled = True
            box.cancel()

    def _handle(self, box: Box, event: dict[str, Any]) -> None:
        if event["type"] == "ask":
            box.answer(event["id"], self._answer(event["what"], event["body"]))
        elif event["type"] == "backtest":
            try:
                self.attempts.count(event.get("claim"))
            except (ClaimRefused, TooDeep):
                logger.info("run %s: chunk %d told of a backtest that cannot be read", self.names.run_id, self.number)
        elif event["type"] in ("stdout", "stderr"):
            room = MAX_TEXT_BYTES - self.text_bytes
            text = event["text"][:room]
            self.text_bytes += len(text)
            if text:
                self.texts.append((event["type"], text))

    def _answer(self, what: str, body: dict[str, Any]) -> dict[str, Any]:
        if what != "pmap_chunk":
            return {"error": "Only the run's own box can ask for that; ask before pmap, and pass what you get."}
        do = body.get("do")
        try:
            if do == "take":
                return {name: self.storage.get(self.chunk[name]) for name in ("function", "items")}
            if do == "give":
                self.results.append(self.storage.put(body.get("results")))
            elif do == "fail":
                self.failure = checked_failure(body.get("failure"))
            elif do == "done":
                self.done = True
        except NotPossible as reason:
            return {"error": str(reason)}
        return {}

    def _judge(self, ended: dict[str, Any]) -> str:
        """Why this attempt counts as lost; "" when there are results, or a failure that says why there are none."""
        outcome = ended.get("outcome")
        if self.done or self.failure is not None:
            return ""
        if outcome == Run.Status.CRASHED:
            return "its box ended without a word."
        if outcome == Run.Status.CANCELLED:
            self.cancelled = True
        status = Run.Status(outcome)
        self.failure = {"position": None, "kind": status.label, "message": sentence(status, ended), "trace": ""}
        return ""

    def _tell(self, lost: str, refused: str) -> None:
        news = {
            "number": self.number,
            "attempt": self.attempt,
            "lost": lost,
            "refused": refused,
            "results": self.results,
            "failure": self.failure,
            "texts": self.texts,
        }
        self.client.rpush(self.names.news, json.dumps(news))
        self.client.expire(self.names.news, KEY_SECONDS)


def ended_cpu(ended: dict[str, Any]) -> float:
    return float(ended.get("cpu_seconds") or 0.0)


def checked_failure(raw: Any) -> dict[str, Any]:
    """What a box says of an item that failed, rebuilt: it goes to another box, and to nobody else."""
    raw = raw if isinstance(raw, dict) else {}
    position = raw.get("position")
    texts: Callable[[str], str] = lambda name: str(raw.get(name) or "")[:MAX_FAILURE_TEXT]  # noqa: E731
    return {
        "position": position if isinstance(position, int) and 0 <= position < 2**40 else None,
        "kind": texts("kind")[:100],
        "message": texts("message"),
        "trace": texts("trace"),
    }

"""How does qfp.pmap() use boxes beside the run's own, on any machine? Read from Fanout.answer() and work_on_chunk().

The worker that holds the run keeps the list of chunks and hands them out as jobs of the queue "parallel", never more
at a time than the plan allows. Whichever worker takes the job starts a box of the same run (its files, data, packages
and limits), and that box asks for the chunk and gives the results back. What travels is pickled by the program and
opaque to us: it is stored as bytes, named by their hash, below the run's directory, and only boxes ever unpickle it.
Redis carries names and news. So machines that serve the queue share RUNS_DIR and STORE_DIR with the others.

A worker or a box that is lost costs its chunk another attempt; what the program did wrong does not. When every worker
is busy, the one that waits for the chunks works on them itself, so that waiting for each other cannot stop them all.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import threading
import time
import uuid
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import django_rq
import redis
from django.db import OperationalError, connections
from django.utils import timezone
from rq.exceptions import NoSuchJobError
from rq.job import JobStatus

from runner.engines import USUAL, engine_of, patiently
from runner.events import redis_connection
from runner.models import Run
from runner.outcomes import sentence
from runner.packages import IndexUnavailable, PackageRefused, layer_of
from runner.quotas import plan_of_run
from runner.recording import Recording
from runner.requests import request_for
from sandbox.client import Box, BoxRefused, EngineUnavailable
from sandbox.protocol import BoxRequest

logger = logging.getLogger(__name__)

QUEUE = "parallel"
MAX_LOSSES = 3  # a chunk that was lost is done again at most twice
FULL_SECONDS = 120.0  # engines without room for any chunk of a call: for so long there is hope
FULL_PAUSE_SECONDS = 1.0
MAX_OPEN_CALLS = 4
MAX_CHUNKS = 2_000
MAX_STORED_BYTES = 256_000_000  # of one run, function, items and results together
MAX_TEXT_BYTES = 64_000  # printed by one chunk
MAX_FAILURE_TEXT = 10_000
NEXT_SECONDS = 2.0  # the program is answered at least so often, so that it can be interrupted
HELP_SECONDS = 1.0  # a chunk that waited so long is done by the worker that waits for it
ALIVE_SECONDS = 6  # without a sign of life for so long, a chunk's worker is lost
PULSE_SECONDS = 1.5
UNCLAIMED_SECONDS = 10.0  # from RQ's handing a job to a worker until the worker has claimed the chunk
LOOK_SECONDS = 0.5
STOP_SECONDS = 3.0
KEY_SECONDS = 3 * 3600
CHUNK_ENTRY = "qfp_chunk.py"
CHUNK_SOURCE = "from qfp import fanout\n\nfanout.work()\n"


class NotPossible(Exception):
    """The program asked for what it cannot have; the text is for its author."""


# Names


def cpu_key(run_id: Any) -> str:
    return f"run:{run_id}:pmap:cpu"


def bytes_key(run_id: Any) -> str:
    return f"run:{run_id}:pmap:bytes"


@dataclass(frozen=True)
class Names:
    """The keys of one call in Redis."""

    run_id: str
    call: str

    @property
    def prefix(self) -> str:
        return f"run:{self.run_id}:pmap:{self.call}"

    @property
    def open(self) -> str:
        """There as long as somebody waits for the results."""
        return f"{self.prefix}:open"

    @property
    def news(self) -> str:
        """A list: what became of chunks."""
        return f"{self.prefix}:news"

    def chunk(self, number: int) -> str:
        """Hashes of the chunk's function and items."""
        return f"{self.prefix}:chunk:{number}"

    def claim(self, number: int, attempt: int) -> str:
        """Whoever sets it works on this attempt."""
        return f"{self.prefix}:claim:{number}:{attempt}"

    def alive(self, number: int, attempt: int) -> str:
        """The sign of life of whoever works on this attempt."""
        return f"{self.prefix}:alive:{number}:{attempt}"

    def job(self, number: int, attempt: int) -> str:
        return f"pmap-{self.run_id}-{self.call}-{number}-{attempt}"


class Storage:
    """The bytes of a run's calls, below its directory, named by their hash."""

    def __init__(self, run_id: Any, client: redis.Redis) -> None:
        self.folder = folder_of(run_id)
        self.key = bytes_key(run_id)
        self.client = client

    def put(self, text: Any) -> str:
        """Store what a box sent, base64 of anything."""
        if not isinstance(text, str):
            raise NotPossible("What is sent must be base64 in a text.")
        try:
            data = b64decode(text, validate=True)
        except ValueError:
            raise NotPossible("What is sent must be base64 in a text.") from None
        if self.client.incrby(self.key, len(data)) > MAX_STORED_BYTES:
            raise NotPossible(
                f"Items and results of a run's further boxes are limited to {MAX_STORED_BYTES // 10**6} MB together."
            )
        self.client.expire(self.key, KEY_SECONDS)
        digest = hashlib.sha256(data).hexdigest()
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / f"{digest}.{uuid.uuid4().hex}.part"
        unfinished.write_bytes(data)
        unfinished.replace(self.folder / digest)
        return digest

    def get(self, digest: str) -> str:
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise ValueError("not the name of stored bytes")
        return b64encode((self.folder / digest).read_bytes()).decode("ascii")


def folder_of(run_id: Any) -> Path:
    return Recording(run_id).parallel_work


# The side of the run


@dataclass
class Chunk:
    """What the run's worker knows of one chunk."""

    number: int
    attempt: int = 0  # how often it was handed out
    losses: int = 0
    not_before: float = 0.0
    sent_at: float | None = None  # handed out and not yet back
    started_at: float | None = None  # when RQ was first seen to have handed it to a worker
    done: bool = False


class Fanout:
    """The further boxes of one run, seen from the worker that holds its lease."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.client = redis_connection()
        self.storage = Storage(run.pk, self.client)
        self.calls: dict[str, Call] = {}
        self.used = False
        self.ended = threading.Event()
        self.lock = threading.Lock()  # one question at a time, even if the program asks from several threads

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """One question of the program: {"do": "offer" | "open" | "add" | "next" | "close", ...}."""
        with self.lock:
            try:
                return self._answer(body)
            except NotPossible as reason:
                return {"error": str(reason)}
            except redis.RedisError as error:
                logger.warning("run %s: parallel work: %s", self.run.pk, type(error).__name__)
                return {"error": "The site's queue does not answer at the moment. Run again in a minute."}

    def _answer(self, body: dict[str, Any]) -> dict[str, Any]:
        do = body.get("do")
        if do == "offer":
            boxes = self._boxes()
            reason = "" if boxes else "Your plan has no further boxes for parallel work."
            return {"boxes": boxes, "reason": reason}
        if do == "open":
            return {"call": self._open(body.get("function"))}
        call = self.calls.get(str(body.get("call")))
        if call is None:
            raise NotPossible("This call is not open.")
        if do == "add":
            call.add(body.get("number"), body.get("items"))
            return {}
        if do == "next":
            return {"done": call.next(body.get("before"))}
        if do == "close":
            call.close()
            del self.calls[call.names.call]
            return {}
        raise NotPossible("Nothing of that kind can be asked.")

    def _boxes(self) -> int:
        return plan_of_run(self.run).parallel_boxes

    def _open(self, function: Any) -> str:
        boxes = self._boxes()
        if not boxes:
            raise NotPossible("Your plan has no further boxes for parallel work.")
        if len(self.calls) >= MAX_OPEN_CALLS:
            raise NotPossible(f"At most {MAX_OPEN_CALLS} calls of pmap can use further boxes at the same time.")
        names = Names(str(self.run.pk), uuid.uuid4().hex[:12])
        self.calls[names.call] = Call(self, names, self.storage.put(function), boxes)
        self.client.set(names.open, 1, ex=KEY_SECONDS)
        self.used = True
        return names.call

    def cpu_seconds(self) -> float:
        """Processor time that further boxes have used so far."""
        if not self.used:
            return 0.0
        try:
            return float(self.client.get(cpu_key(self.run.pk)) or 0)
        except redis.RedisError:
            return 0.0

    def close(self) -> None:
        """The run has ended: its chunks are cancelled, and nothing of them stays."""
        self.ended.set()
        with self.lock:
            try:
                for call in self.calls.values():
                    call.close()
            except redis.RedisError as error:
                # Boxes that still work look at the run's record, too.
                logger.warning("run %s: its parallel work was not cancelled: %s", self.run.pk, type(error).__name__)
            self.calls.clear()
            if self.used:
                shutil.rmtree(self.storage.folder, ignore_errors=True)


class Call:
    """One pmap() of the program, chunk by chunk."""

    def __init__(self, fanout: Fanout, names: Names, function: str, boxes: int) -> None:
        self.fanout, self.names, self.function, self.boxes = fanout, names, function, boxes
        self.client = fanout.client
        self.chunks: list[Chunk] = []
        self.helper: threading.Thread | None = None
        self.advanced_at = time.monotonic()

    def add(self, number: Any, items: Any) -> None:
        if number != len(self.chunks) or len(self.chunks) >= MAX_CHUNKS:
            raise NotPossible(f"Chunks are numbered from 0, and there are at most {MAX_CHUNKS:,} of them.")
        value = json.dumps({"function": self.function, "items": self.fanout.storage.put(items)})
        self.client.set(self.names.chunk(number), value, ex=KEY_SECONDS)
        self.chunks.append(Chunk(number))
        self._hand_out(len(self.chunks))

    def next(self, before: Any) -> list[dict[str, Any]]:
        """Chunks that have ended, at most one at a time; none when nothing happened for a while.

        before: chunks from this number on are not needed any more.
        """
        before = before if isinstance(before, int) else len(self.chunks)
        deadline = time.monotonic() + NEXT_SECONDS
        while time.monotonic() < deadline and not self.fanout.ended.is_set():
            self._hand_out(before)
            found = self.client.blpop([self.names.news], timeout=LOOK_SECONDS)
            done = self._take(json.loads(found[1])) if found else self._find_lost()
            if done is not None:
                return [done]
            self._help()
        return []

    def _hand_out(self, before: int) -> None:
        in_work = sum(chunk.sent_at is not None for chunk in self.chunks)
        now = time.monotonic()
        for chunk in self.chunks[:before]:
            if in_work >= self.boxes:
                return
            if not chunk.done and chunk.sent_at is None and now >= chunk.not_before:
                self._send(chunk)
                in_work += 1

    def _send(self, chunk: Chunk) -> None:
        run = self.fanout.run
        chunk.attempt += 1
        chunk.sent_at, chunk.started_at = time.monotonic(), None
        django_rq.get_queue(QUEUE).enqueue(
            "runner.jobs.execute_chunk",
            str(run.pk),
            self.names.call,
            chunk.number,
            chunk.attempt,
            job_id=self.names.job(chunk.number, chunk.attempt),
            job_timeout=int(run.limits["wall_seconds"]) + 120,
            result_ttl=60,
            failure_ttl=3600,
        )

    def _take(self, news: dict[str, Any]) -> dict[str, Any] | None:
        chunk = self.chunks[news["number"]]
        if chunk.done:
            return None  # an attempt that was thought to be lost
        if news["lost"] or news["refused"]:
            if news["attempt"] != chunk.attempt:
                return None
            return self._lost(chunk, news["lost"]) if news["lost"] else self._refused(chunk, news["refused"])
        chunk.done, chunk.sent_at = True, None
        self.advanced_at = time.monotonic()
        done: dict[str, Any] = {"number": chunk.number, "texts": news["texts"]}
        if news["failure"] is not None:
            return {**done, "failure": news["failure"]}
        return {**done, "results": [self.fanout.storage.get(digest) for digest in news["results"]]}

    def _find_lost(self) -> dict[str, Any] | None:
        for chunk in self.chunks:
            if chunk.sent_at is not None and self._is_lost(chunk):
                return self._lost(chunk, "its worker gave no sign of life any more.")
        return None

    def _is_lost(self, chunk: Chunk) -> bool:
        if self.client.exists(self.names.claim(chunk.number, chunk.attempt)):
            if self.client.exists(self.names.alive(chunk.number, chunk.attempt)):
                return False
            return not self.client.llen(self.names.news)  # what it said last is looked at first
        now = time.monotonic()
        status = job_status(self.names.job(chunk.number, chunk.attempt))
        if status in (JobStatus.QUEUED, JobStatus.DEFERRED, JobStatus.SCHEDULED):
            return False
        chunk.started_at = chunk.started_at or now
        return now - chunk.started_at > UNCLAIMED_SECONDS

    def _lost(self, chunk: Chunk, why: str) -> dict[str, Any] | None:
        """Try again, or give up and say so."""
        chunk.sent_at = None
        chunk.losses += 1
        logger.warning("run %s: chunk %d was lost (%d): %s", self.fanout.run.pk, chunk.number, chunk.losses, why)
        if chunk.losses < MAX_LOSSES:
            return None  # handed out again with the next turn
        return self._given_up(
            chunk, f"Its box was lost {MAX_LOSSES} times, which is a fault of ours; the last time {why}"
        )

    def _refused(self, chunk: Chunk, why: str) -> dict[str, Any] | None:
        """The engine had no room. That is no loss, and passes; but not for ever when no chunk is in work."""
        now = time.monotonic()
        chunk.sent_at, chunk.not_before = None, now + FULL_PAUSE_SECONDS
        others = any(self.client.exists(self.names.alive(each.number, each.attempt)) for each in self.chunks)
        if others or now - self.advanced_at < FULL_SECONDS:
            return None
        return self._given_up(chunk, f"There was no box for it for {now - self.advanced_at:.0f} s. {why}")

    def _given_up(self, chunk: Chunk, message: str) -> dict[str, Any]:
        chunk.done = True
        return {"number": chunk.number, "texts": [], "failure": {"position": None, "kind": "Lost", "message": message}}

    def _help(self) -> None:
        """Work on a chunk that no worker has time for."""
        if self.helper is not None and self.helper.is_alive():
            return
        now = time.monotonic()
        for chunk in self.chunks:
            if chunk.sent_at is None or now - chunk.sent_at < HELP_SECONDS:
                continue
            if not self.client.exists(self.names.claim(chunk.number, chunk.attempt)):
                arguments = (self.names.run_id, self.names.call, chunk.number, chunk.attempt)
                self.helper = threading.Thread(target=_in_a_thread, args=arguments, daemon=True)
                self.helper.start()
                return

    def close(self) -> None:
        """Nobody waits any more: what is in work is stopped, what waits is forgotten."""
        self.client.delete(self.names.open)
        in_work = [chunk for chunk in self.chunks if chunk.sent_at is not None]
        for chunk in self.chunks:  # those whose results came from elsewhere, too
            for attempt in range(1, chunk.attempt + 1):
                forget_waiting_job(self.names.job(chunk.number, attempt))
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline and any(
            self.client.exists(self.names.alive(chunk.number, chunk.attempt)) for chunk in in_work
        ):
            time.sleep(0.05)  # their processor time counts, too
        self.client.delete(self.names.news, *(self.names.chunk(chunk.number) for chunk in self.chunks))


def job_status(job_id: str) -> JobStatus | None:
    job = django_rq.get_queue(QUEUE).fetch_job(job_id)
    return job.get_status() if job is not None else None


def forget_waiting_job(job_id: str) -> None:
    """Jobs that a worker has taken end by themselves: they find that nobody waits."""
    with suppress(NoSuchJobError):  # it has just gone by itself
        job = django_rq.get_queue(QUEUE).fetch_job(job_id)
        if job is not None and job.get_status() == JobStatus.QUEUED:
            job.delete()


def _in_a_thread(run_id: str, call: str, number: int, attempt: int) -> None:
    try:
        work_on_chunk(run_id, call, number, attempt)
    except Exception:
        logger.exception("run %s: chunk %d", run_id, number)
    finally:
        connections.close_all()  # of this thread


# The side of whoever works on a chunk


def work_on_chunk(run_id: str, call: str, number: int, attempt: int) -> None:
    """One attempt at one chunk, from the claim to the news. A second delivery of the same job does nothing."""
    with redis_connection() as client:
        names = Names(run_id, call)
        # The sign of life first: a claim without one is what a lost worker looks like.
        with pulse(names.alive(number, attempt)):
            if not client.exists(names.open) or not client.set(
                names.claim(number, attempt), 1, nx=True, ex=KEY_SECONDS
            ):
                return
            ChunkBox(client, names, number, attempt).go()


@contextmanager
def pulse(key: str) -> Iterator[None]:
    """A key that is there as long as this process lives and is in here."""
    ended = threading.Event()

    def beat() -> None:
        with redis_connection() as client:
            while True:
                with suppress(redis.RedisError):
                    client.set(key, 1, ex=ALIVE_SECONDS)
                    first.set()
                if ended.wait(PULSE_SECONDS):
                    break
            with suppress(redis.RedisError):
                client.delete(key)

    first = threading.Event()
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    first.wait(PULSE_SECONDS)
    try:
        yield
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

"""How does qfp.pmap() use boxes beside the run's own, on any machine? Read from Fanout.answer(), then
chunks.work_on_chunk().

The worker that holds the run keeps the list of chunks and hands them out as jobs of the queue "parallel", never more
at a time than the plan allows. Whichever worker takes the job starts a box of the same run (its files, data, packages
and limits), and that box asks for the chunk and gives the results back. What travels is pickled by the program and
opaque to us: it is stored as bytes, named by their hash, below the run's directory, and only boxes ever unpickle it.
Redis carries names and news. So machines that serve the queue share RUNS_DIR and STORE_DIR with the others.

A worker or a box that is lost costs its chunk another attempt; what the program did wrong does not. When every worker
is busy, the one that waits for the chunks works on them itself, so that waiting for each other cannot stop them all.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import django_rq
import redis
from django.db import connections
from rq.exceptions import NoSuchJobError
from rq.job import JobStatus

from runner.chunk_store import KEY_SECONDS, Names, NotPossible, Storage, cpu_key
from runner.chunks import work_on_chunk
from runner.events import redis_connection
from runner.models import Run
from runner.quotas import plan_of_run
from runner.recording import make_folder

logger = logging.getLogger(__name__)

QUEUE = "parallel"
QUEUE_IS_SILENT = "The site's queue does not answer at the moment. Run again in a minute."
NOT_OPEN = "This call is not open."
MAX_LOSSES = 3  # a chunk that was lost is done again at most twice
FULL_SECONDS = 120.0  # engines without room for any chunk of a call: for so long there is hope
FULL_PAUSE_SECONDS = 1.0
MAX_OPEN_CALLS = 4
MAX_CHUNKS = 2_000
NEXT_SECONDS = 2.0  # the program is answered at least so often, so that it can be interrupted
HELP_SECONDS = 1.0  # a chunk that waited so long is done by the worker that waits for it
UNCLAIMED_SECONDS = 10.0  # from RQ's handing a job to a worker until the worker has claimed the chunk
LOOK_SECONDS = 0.5
STOP_SECONDS = 3.0


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
                return {"error": QUEUE_IS_SILENT}

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
            raise NotPossible(NOT_OPEN)
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
        make_folder(self.storage.folder)
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

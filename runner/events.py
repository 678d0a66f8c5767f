"""The events of a run on their way to the browsers: publish, follow, replay.

A Redis stream per run (`run:<id>:events`) carries them; its entry ids are the events' sequence numbers, so "everything
after event n" is one question. What Redis has lost or trimmed comes from the recording on disk, which is written first.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import lru_cache
from typing import Any
from uuid import UUID

import redis
import redis.asyncio
from django.conf import settings

from runner.recording import Recording

logger = logging.getLogger(__name__)

STREAM_LENGTH = 5000
STREAM_SECONDS = 3600
MOST_LINES = 100  # for input(), sent before they are asked for
BATCH = 500
GATHER_SECONDS = 0.03


def stream_key(run_id: UUID | str) -> str:
    return f"run:{run_id}:events"


def lines_key(run_id: UUID | str) -> str:
    return f"run:{run_id}:control"


@lru_cache(maxsize=1)
def _pool() -> redis.ConnectionPool:
    # socket_timeout: a Redis that does not answer must not hold up a run; the recording has the events.
    return redis.ConnectionPool.from_url(settings.REDIS_URL, socket_timeout=3, socket_connect_timeout=1)


def redis_connection() -> redis.Redis:
    """A client over this process's connections; closing it gives its connection back."""
    return redis.Redis(connection_pool=_pool())


class Publisher:
    """Records the events of one run and puts them on the wire. Used by whoever holds the run's lease."""

    def __init__(self, run_id: UUID | str) -> None:
        self.run_id = run_id
        self.recording = Recording(run_id)
        self.redis = redis_connection()
        self._wire_down_until = 0.0

    def publish(self, *events: dict[str, Any], only_first: bool = False) -> None:
        """only_first: nothing where something has been published already."""
        lines = self.recording.append(events, only_first)
        if not lines and not only_first:
            logger.warning("run %s: %d events came after its end", self.run_id, len(events))
        if lines and time.monotonic() >= self._wire_down_until:
            self._send(lines)

    def _send(self, lines: list[tuple[int, str]]) -> None:
        key = stream_key(self.run_id)
        try:
            with self.redis.pipeline(transaction=False) as pipe:
                for number, line in lines:
                    pipe.xadd(key, {"e": line}, id=f"{number}-0", maxlen=STREAM_LENGTH, approximate=True)
                pipe.expire(key, STREAM_SECONDS)
                pipe.execute()
        except redis.RedisError as error:
            # Followers find the gap in the sequence numbers and read it from the recording.
            self._wire_down_until = time.monotonic() + 2
            logger.warning("run %s: events not sent (%s), recorded only", self.run_id, type(error).__name__)

    def take_line(self) -> str | None:
        """The first line that was sent for input() and not taken yet; None where there is none."""
        try:
            found: Any = self.redis.lpop(lines_key(self.run_id))
        except redis.RedisError:
            return None
        return json.loads(found)["text"] if found else None

    def forget_lines(self) -> None:
        """Those that the program has not asked for: one may be a password."""
        with suppress(redis.RedisError):
            self.redis.delete(lines_key(self.run_id))

    def close(self) -> None:
        self.redis.close()


def send_line(run_id: UUID | str, text: str) -> bool:
    """For input(), kept until the program asks; False, and it is not, where enough of them wait."""
    with redis_connection() as connection, connection.pipeline() as pipe:
        if connection.llen(lines_key(run_id)) >= MOST_LINES:
            return False
        pipe.rpush(lines_key(run_id), json.dumps({"text": text}))
        pipe.expire(lines_key(run_id), STREAM_SECONDS)
        pipe.execute()
    return True


class Feed:
    """The one reader of a run's stream in this process; any number of followers draw from its recent events.

    A follower asks for what comes after the event it sent last, at its own pace, so a slow browser costs no memory:
    what has left the recent events is read from the recording.
    """

    RECENT = 2000
    _feeds: dict[str, Feed] = {}

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.recent: deque[tuple[int, str]] = deque(maxlen=self.RECENT)
        self.last = 0
        self.finished = False
        self.followers = 0
        self.news = asyncio.Condition()
        self.task: asyncio.Task | None = None

    @classmethod
    def join(cls, run_id: str) -> Feed:
        feed = cls._feeds.get(run_id)
        if feed is None or feed.news_loop_is_gone():
            feed = cls._feeds[run_id] = Feed(run_id)
        feed.followers += 1
        if feed.task is None or feed.task.done():
            feed.task = asyncio.get_running_loop().create_task(feed._read())
        return feed

    def news_loop_is_gone(self) -> bool:
        return self.task is not None and self.task.get_loop() is not asyncio.get_running_loop()

    def leave(self) -> None:
        self.followers -= 1
        if self.followers == 0:
            if self.task is not None:
                self.task.cancel()
            if self._feeds.get(self.run_id) is self:
                del self._feeds[self.run_id]

    async def _read(self) -> None:
        """Tail the stream; whenever its numbers jump, or Redis is silent or gone, look into the recording."""
        # Longer than the blocking read, shorter than patience with a Redis that hangs.
        connection = redis.asyncio.Redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=1)
        try:
            while not self.finished:
                try:
                    found = await connection.xread({stream_key(self.run_id): f"{self.last}-0"}, count=BATCH, block=1000)
                except redis.RedisError:
                    found = []
                    await asyncio.sleep(0.5)
                try:
                    entries = _entries(found)
                    if entries and entries[-1][0] - self.last == len(entries):
                        await self._add(entries)
                    else:
                        await self._add_recorded()
                except Exception:  # its followers would wait for ever
                    logger.exception("run %s: its events could not be read", self.run_id)
                    await asyncio.sleep(0.5)
        finally:
            await connection.aclose()

    async def _add_recorded(self) -> None:
        # The recording is never behind the stream: it is written first.
        events = await asyncio.to_thread(Recording(self.run_id).read, self.last, BATCH)
        if events:
            await self._add([(event["seq"], json.dumps(event)) for event in events])

    async def _add(self, entries: list[tuple[int, str]]) -> None:
        async with self.news:
            self.recent.extend(entries)
            self.last = entries[-1][0]
            self.finished = any(json.loads(line).get("type") == "finished" for _, line in entries)
            self.news.notify_all()

    async def after(self, number: int) -> list[str]:
        """The next events after `number` as JSON texts; waits until there is one."""
        async with self.news:
            await self.news.wait_for(lambda: self.last > number or self.finished)
            if self.recent and self.recent[0][0] <= number + 1:
                return [line for n, line in self.recent if n > number][:BATCH]
        events = await asyncio.to_thread(Recording(self.run_id).read, number, BATCH)
        return [json.dumps(event) for event in events]

    async def gather(self) -> None:
        """Let what a fast program prints gather into few, larger frames; its end is not waited for."""
        if not self.finished:
            async with self.news:
                with suppress(TimeoutError):
                    async with asyncio.timeout(GATHER_SECONDS):
                        await self.news.wait_for(lambda: self.finished)


def _entries(found: Any) -> list[tuple[int, str]]:
    """The (number, JSON) pairs of one stream from XREAD's answer, a list of pairs or (RESP3) a mapping."""
    if not found:
        return []
    streams = found.values() if isinstance(found, dict) else [pair[1] for pair in found]
    entries = next(iter(streams))
    if entries and isinstance(entries[0], list) and entries[0] and isinstance(entries[0][0], (list, tuple)):
        entries = entries[0]
    return [(int(bytes(key).split(b"-")[0]), fields[b"e"].decode()) for key, fields in entries]


async def follow(run_id: UUID | str, after: int = 0) -> AsyncIterator[list[str]]:
    """Batches of events (JSON texts) after sequence number `after`, each once and in order, until `finished`."""
    feed = Feed.join(str(run_id))
    flows = False  # nothing waits before the first output has gone
    try:
        while True:
            batch = await feed.after(after)
            if not batch:
                return
            yield batch
            last = json.loads(batch[-1])
            after = last["seq"]
            if last["type"] == "finished":
                return
            flows = flows or last["type"] != "phase"
            if flows:
                await feed.gather()
    finally:
        feed.leave()

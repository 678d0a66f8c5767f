"""What happens to one box from its job to its `ended` event? Read from run(): begin, follow, stop, tell.

All boxes share one event loop. A mistake of ours while we read one box is the end of that box, told like any other end.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hashlib
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from sandbox.host import outcome
from sandbox.host.cgroups import Usage
from sandbox.host.launching import LaunchFailed
from sandbox.host.nsjail import program_limits
from sandbox.host.openings import Opening
from sandbox.host.outcome import Observed
from sandbox.host.output import Output
from sandbox.host.processes import tree_usage
from sandbox.host.walls import Walls
from sandbox.protocol import BoxRequest, encode_frame

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.1  # how often the clock, the processor time and the memory are looked at
STOP_SECONDS = 0.8  # from asking init to end everything until we do
ARTEFACT_SECONDS = 5.0
GROUP_SLACK_BYTES = 32 << 20  # init, page tables, kernel memory
FORK_SLACK_BYTES = 96 << 20  # pages of the zygote that a program has changed are its own
NEAR_LIMIT = 0.85
MAX_UNREAD = 8 << 20  # of answers that a program has asked for and does not read; a single one may be larger
MOST_REFUSED = 100  # answers in a row that say so; a program that reads none of these either is told nothing more
OUTPUT_LIMITS = ("output_bytes", "rich_bytes", "events")
OWN_PROCESSES = 1  # of a box's tree: init
CPU_SLACK = 5  # seconds; the sum over all processes is stopped before any of them gets so far
FOREIGN_PROCESSES = 2  # where it has a relay beside it
MAX_STDIN_BACKLOG = 1 << 20

Send = Callable[[dict[str, Any]], None]


class Box:
    """A program in walls that were built for it. The walls are the caller's, who removes them."""

    def __init__(
        self, request: BoxRequest, walls: Walls, send: Send, may_send: Callable[[], bool], overrides: bool = False
    ) -> None:
        self.request = request
        self.limits = request.limits
        self.walls = walls
        self.begun = False  # the program runs, or has run
        self._said = False  # anything of the program's
        self.outcome = ""  # when it has ended
        self.opening: Opening | None = None  # of the files that are watched for it
        self._overrides = overrides  # the layer's packages come before the environment's
        self._send = send
        self._may_send = may_send
        self._loop = asyncio.get_running_loop()
        self._started_at = time.monotonic()
        self._observed = Observed()
        self._usage = Usage(0.0, 0, 0, 0, 0)
        self._used_before: float | None = None  # processor seconds of a box that is not this machine's
        self._told = self._usage  # by process 1 of a box that is not this machine's
        self._peak_memory = 0
        self._most_processes = 0
        self._ended = asyncio.Event()
        self._output: Output | None = None
        self._kill_timer: asyncio.TimerHandle | None = None
        self._refused = 0  # answers in a row
        self._artefacts: list[dict[str, Any]] = []
        self._skipped: list[dict[str, Any]] = []

    # What the engine may ask of a box

    def cancel(self) -> None:
        self.stop("cancelled")

    def abandon(self) -> None:
        """Nobody is there to hear how it ends."""
        self.stop("cancelled")
        self.kill()

    def interrupt(self) -> None:
        self._observed.interrupted = True
        self._tell_init({"type": "interrupt"})

    def answer(self, number: int, body: dict[str, Any]) -> None:
        """The host's answer to a question of the program, or that it has not read the ones before."""
        frame = encode_frame({"type": "answer", "id": number, "body": body})
        if not 0 < self.walls.unread_bytes > MAX_UNREAD - len(frame):
            self._refused = 0
        elif self._refused >= MOST_REFUSED:
            return
        else:
            self._refused += 1
            error = "This program does not read the answers to its questions, so it gets no more of them."
            frame = encode_frame({"type": "answer", "id": number, "body": {"error": error}})
        self.walls.write_inbox(frame)

    def write_input(self, text: str) -> None:
        line = text.encode("utf-8", "replace")
        self.walls.write_stdin(line, MAX_STDIN_BACKLOG)
        if self._output is not None:
            self._output.count_typed(len(line))

    def stop(self, reason: str) -> None:
        """End the program for a reason that becomes the outcome; the first reason counts."""
        first = self._observed.stopped_for is None
        living = not self._observed.reported and not self._ended.is_set()
        too_much = reason in OUTPUT_LIMITS
        if first and (living or (too_much and self._observed.reported)):
            self._observed.stopped_for = reason  # what an ended program left in its pipes counts all the same
        if too_much and self._output is not None:
            self._output.close()
        if not first or not living:
            return
        self._tell_init({"type": "stop"})
        self._kill_timer = self._loop.call_later(STOP_SECONDS, self.kill)

    def kill(self) -> None:
        self.walls.kill()

    def _tell_init(self, message: dict[str, Any]) -> None:
        if self.walls.control is not None:
            self.walls.control.send(message)

    def fail(self, error: Exception) -> None:
        """A mistake of ours: this box ends as crashed, now, and the others do not notice."""
        logger.error("run %s: the engine failed", self.request.run_id, exc_info=error)
        self._observed.stopped_for = "crashed"
        self._observed.crash = f"{type(error).__name__}: {error}"
        if self._output is not None:
            self._output.drop()
        self.kill()
        self._ended.set()

    def guarded(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        """For callbacks of the event loop, whose errors nobody would hear of."""

        def call(*arguments: Any) -> Any:
            try:
                return callback(*arguments)
            except Exception as error:
                self.fail(error)
                return None

        return call

    # The life of the box

    async def run(self) -> bool:
        """From the job to the `ended` event, with nothing left of the program. False: it never began, and nobody was
        told anything, so that other walls may be tried.
        """
        looking: asyncio.Task[None] | None = None
        try:
            self._begin()
            looking = asyncio.create_task(self._look())
            await self._ended.wait()
        except (LaunchFailed, OSError) as error:
            self._observed.stopped_for = self._observed.stopped_for or "crashed"
            self._observed.crash = str(error) or type(error).__name__
        except Exception as error:
            self.fail(error)
        finally:
            if looking is not None:
                looking.cancel()
            try:
                await self._finish()
            except Exception as error:
                self.fail(error)
        unheard = not self.begun or (self.walls.lost and not self._said)
        if unheard and not self._observed.reported and self._observed.stopped_for in (None, "crashed"):
            logger.warning(
                "run %s: its %s box did not begin: %s", self.request.run_id, self.walls.start, self._observed.crash
            )
            return False
        self.tell()
        return True

    def _begin(self) -> None:
        walls, limits = self.walls, self.limits
        assert walls.control is not None
        forked = walls.start != "cold"
        if walls.group is not None:
            memory = int(limits.memory_bytes) + int(limits.disk_bytes) + GROUP_SLACK_BYTES
            if forked:
                memory += FORK_SLACK_BYTES
            walls.group.limit(memory, int(limits.processes) + 1, float(limits.cores))
        self._listen()
        walls.control.listen(self.guarded(self._on_control), self._on_control_closed)
        request = self.request
        artefacts = {"bytes": int(limits.artefact_bytes), "count": int(limits.artefact_count)}
        walls.control.send({"files": request.files, "disk_bytes": int(limits.disk_bytes), "artefacts": artefacts})
        walls.write_inbox(
            encode_frame(
                {
                    "entry": request.entry,
                    "params": request.params,
                    "rlimits": self._rlimits(),
                    "cores": limits.cores,
                    "layer": None if request.layer is None else "first" if self._overrides else "last",
                    "session": request.session,
                    "wall_seconds": limits.wall_seconds,
                    "cpu_seconds": limits.cpu_seconds,
                }
            )
        )

    def _listen(self) -> None:
        self._output = Output(self, *self.walls.reading_ends())

    @property
    def cpu_seconds(self) -> float:
        return self._usage.cpu_seconds

    def _rlimits(self) -> dict[str, int]:
        own = OWN_PROCESSES if self.walls.local else FOREIGN_PROCESSES
        return program_limits(self.limits, self.walls.limited, own, CPU_SLACK if self.walls.counted else 1)

    def seconds(self) -> float:
        return round(time.monotonic() - self._started_at, 4)

    async def _look(self) -> None:
        while not self._ended.is_set():
            await asyncio.sleep(LOOK_SECONDS)
            self.guarded(self._look_once)()

    def _look_once(self) -> None:
        if self.seconds() > self.limits.wall_seconds:
            self.stop("wall_seconds")
        self._look_at_usage()
        if self._output is not None:
            self._output.resume_when_possible()

    def _look_at_usage(self) -> None:
        usage = self._measure()
        self._usage = usage
        self._peak_memory = max(self._peak_memory, usage.memory_bytes)
        self._most_processes = max(self._most_processes, usage.processes)
        self._observed.out_of_memory_kills = usage.out_of_memory_kills
        self._observed.refused_processes = usage.refused_processes
        if usage.cpu_seconds > self.limits.cpu_seconds:
            self.stop("cpu_seconds")
        elif usage.out_of_memory_kills or (
            not self.walls.limited and usage.memory_bytes > self.limits.memory_bytes + self.limits.disk_bytes
        ):
            self.stop("memory_bytes")

    def _measure(self) -> Usage:
        usage = self.walls.usage()
        if not self.walls.local:
            kills = usage.out_of_memory_kills if usage is not None else 0
            return dataclasses.replace(self._told, out_of_memory_kills=max(kills, self._told.out_of_memory_kills))
        if usage is not None:
            return usage
        usage = tree_usage(self.walls.pid, self.limits.memory_bytes, self.walls.shared_bytes)
        return Usage(
            max(usage.cpu_seconds, self._usage.cpu_seconds),  # what ended between two looks is not in the tree any more
            usage.memory_bytes,
            usage.processes,
            0,
            int(usage.processes - OWN_PROCESSES >= self.limits.processes),
        )

    def _on_control(self, kind: bytes, body: bytes) -> None:
        """A message of init. It is ours, but it lives in the box: believe no size and no type."""
        if kind == b"D":
            self._add_artefact_bytes(body)
            return
        try:
            message = json.loads(body)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            self.kill()
            return
        kind_name = message.get("type")
        if kind_name == "running":
            self._note_begin()
        elif kind_name == "exited" and not self._observed.reported:
            self._on_exited(message)
        elif kind_name == "counted":
            self._take_count(message)
        elif kind_name == "artefact":
            size = message.get("size")
            if isinstance(size, int) and len(self._artefacts) < self.limits.artefact_count:
                self._artefacts.append({"name": str(message.get("name"))[:2000], "size": size, "content": bytearray()})
        elif kind_name == "skipped":
            files = message.get("files")
            for file in files[:100] if isinstance(files, list) else []:
                if isinstance(file, dict):
                    self._skipped.append({"name": str(file.get("name"))[:2000], "why": str(file.get("why"))[:100]})
        elif kind_name == "failed":
            self._observed.crash = str(message.get("text"))[:600]
        elif kind_name == "done":
            self._ended.set()

    def _take_count(self, message: dict[str, Any]) -> None:
        """What a container's own control group counts; it only grows what we know."""
        names = ("cpu_seconds", "memory_bytes", "processes", "out_of_memory_kills", "refused_processes")
        figures = [message.get(name) for name in names]
        numbers = [each for each in figures if isinstance(each, (int, float)) and each >= 0]
        if self.walls.local or len(numbers) != len(figures):
            return
        if self._used_before is None:
            self._used_before = numbers[0]  # for getting ready, as the first count comes when the program begins
        own = FOREIGN_PROCESSES - OWN_PROCESSES
        counted = Usage(numbers[0], int(numbers[1]), max(0, int(numbers[2]) - own), int(numbers[3]), int(numbers[4]))
        self._told = counted.since(self._used_before)

    def _on_exited(self, message: dict[str, Any]) -> None:
        observed = self._observed
        observed.reported = True
        observed.exit_code = message["code"] if isinstance(message.get("code"), int) else None
        observed.exit_signal = message["signal"] if isinstance(message.get("signal"), int) else None
        observed.disk_full = message.get("disk_full") is True
        if self.walls.group is None and isinstance(message.get("max_rss_bytes"), int):
            own = message["max_rss_bytes"] - self.walls.shared_bytes
            self._peak_memory = max(self._peak_memory, min(own, int(self.limits.memory_bytes)))
        if self.walls.group is None and not self._told.cpu_seconds and isinstance(message.get("cpu_seconds"), float):
            used = max(self._usage.cpu_seconds, message["cpu_seconds"])
            self._usage = dataclasses.replace(self._usage, cpu_seconds=used)
            if used > self.limits.cpu_seconds and observed.stopped_for is None:
                observed.stopped_for = "cpu_seconds"
        if isinstance(message.get("processes"), int):
            self._most_processes = max(self._most_processes, message["processes"] + OWN_PROCESSES)
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        self._kill_timer = self._loop.call_later(ARTEFACT_SECONDS, self.kill)

    def _add_artefact_bytes(self, data: bytes) -> None:
        if not self._artefacts:
            return
        artefact = self._artefacts[-1]
        total = sum(len(each["content"]) for each in self._artefacts) + len(data)
        if len(artefact["content"]) + len(data) <= artefact["size"] and total <= self.limits.artefact_bytes:
            artefact["content"] += data

    def _on_control_closed(self) -> None:
        self._ended.set()

    async def _finish(self) -> None:
        """The program and all it started are ended, and what they had printed is read."""
        if self.walls.group is not None:
            self._look_at_usage()
            self._peak_memory = max(self._peak_memory, self.walls.group.peak_bytes())
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        await self.walls.end()
        if not self.walls.local:
            self._look_at_usage()  # whether a container ran out of memory is known for certain once it has ended
        if self._output is not None and not self.begun:
            self._output.drop()
        elif self._output is not None:
            try:
                await self._output.finish()
            except Exception as error:
                self.fail(error)

    # What the client hears

    def _note_begin(self) -> None:
        if not self.begun:
            self.begun = True
            self._send({"type": "started", "t": self.seconds()})

    def emit(self, event: dict[str, Any]) -> None:
        self._said = self._said or event["type"] != "started"
        if self._output is not None and not self._ended.is_set():
            self._note_begin()  # what it says may be seen before that it runs
        self._send({**event, "t": self.seconds()})

    def note_error(self, error: dict[str, Any], number: int | None) -> None:
        self._observed.error = error
        self._observed.error_number = number

    def may_send(self) -> bool:
        return self._may_send()

    def _tell_files(self) -> None:
        for artefact in self._artefacts:
            content = bytes(artefact["content"])
            if len(content) != artefact["size"]:
                self._skipped.append({"name": artefact["name"], "why": "incomplete"})
                continue
            self.emit(
                {
                    "type": "artefact",
                    "name": artefact["name"],
                    "size": len(content),
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "content_base64": base64.b64encode(content).decode("ascii"),
                }
            )

    def opened(self) -> dict[str, Any]:
        """What the last event says of its market data: the snapshot it was given, and of the watched objects those
        that were opened while it lived; None when nobody can say.
        """
        names = self.opening.names() if self.opening is not None else None
        return {"snapshot": self.request.snapshot, "opened": names if self.request.watched else []}

    def tell(self) -> None:
        """Say how it ended; the last event."""
        self.guarded(self._tell_files)()  # before the outcome is decided: failing is one
        observed = self._observed
        # Sampling cannot see a peak that was refused at once: nearly all of it used counts as met.
        observed.memory_near_limit = self._peak_memory > NEAR_LIMIT * self.limits.memory_bytes
        observed.cpu_near_limit = self._usage.cpu_seconds > NEAR_LIMIT * self.limits.cpu_seconds
        if self.walls.group is None:
            met = self._most_processes - OWN_PROCESSES >= self.limits.processes
            observed.refused_processes = max(self._told.refused_processes, int(met))
        ended = outcome.ended(
            observed,
            self.limits,
            start=self.walls.start,
            wall_seconds=self.seconds(),
            cpu_seconds=self._usage.cpu_seconds,
            peak_memory_bytes=self._peak_memory,
            artefacts_skipped=self._skipped,
        )
        ended |= self.opened()
        self.outcome = ended["outcome"]
        if self.outcome == "crashed":
            logger.error(
                "run %s: the box failed: %s %s",
                self.request.run_id,
                observed.crash,
                self.walls.log().strip()[-2000:],
            )
        self.emit(ended)

"""Which boxes are there on this machine, and where does the next one come from?

One that stood ready, or a fork of the zygote, or, where neither is to be had, a cold nsjail; with another backend a
container or a pod. If a box does not begin, the next kind is tried, and the program's owner does not notice.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import logging
import os
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sandbox.host import backends, cgroups, devices, diagnosis, tables
from sandbox.host.box import Box
from sandbox.host.cold import Cold
from sandbox.host.identities import Identities, NoFreeNumbers
from sandbox.host.launching import Launcher, LaunchFailed, LaunchUseless, Place
from sandbox.host.metrics import Metrics
from sandbox.host.nsjail import NsjailMissing, find_nsjail
from sandbox.host.openings import Openings
from sandbox.host.ready import ReadyBoxes
from sandbox.host.staging import StagingError, prepare
from sandbox.host.walls import Walls
from sandbox.host.zygote import Zygote
from sandbox.protocol import BoxRequest, Limits

logger = logging.getLogger("sandbox.engine")

TRIAL_SOURCE = "print(6 * 7)\n"
BIRTH_SECONDS = 0.1  # the zygote may just be forking into a box that failed, and would end together with it
TRIAL_LIMITS = Limits(10, 20, 256 << 20, 8 << 20, 16, 65536, 65536, 65536, 100, 0, 0)


class Boxes:
    """prepare() once, live() for as long as there may be boxes, run() for each program."""

    def __init__(self, options: argparse.Namespace, metrics: Metrics) -> None:
        self.options = options
        self.living: dict[str, Box] = {}
        self.weaknesses: list[str] = []
        self.parent: cgroups.Parent | None = None
        self.units: devices.Units | None = None  # of a device, one for each box
        self.zygote: Zygote | None = None
        self.ready: ReadyBoxes | None = None
        self._openings: Openings | None = None
        self._metrics = metrics
        self._cold: Launcher | None = None  # None as long as no box can be made at all
        self._counter = 0
        self._removals: set[asyncio.Task[Any]] = set()

    def prepare(self) -> str:
        """Everything boxes need. What is missing is the answer, a sentence for who wants to run something."""
        options = self.options
        # The socket's name makes the groups' name: two engines on a machine must not sweep each other's boxes.
        self.group_name = "playground-" + hashlib.sha256(os.fsencode(options.state.resolve())).hexdigest()[:10]
        if options.backend != "nsjail":
            return self.prepare_backend()
        reason = diagnosis.missing_environment(options.env)
        try:
            nsjail = find_nsjail()
            for directory in (options.store, options.layers):
                directory.mkdir(parents=True, exist_ok=True)
            self.identities = Identities()
            self._openings = Openings(self.identities.numbers)
            device = self._find_device()
            self.staging = replace(prepare(options.env, options.store, options.layers, options.state), device=device)
            self._cold = Cold(nsjail, self.staging)
        except devices.DeviceMissing as error:
            reason = str(error)
        except NsjailMissing as error:
            reason = str(error)
        except StagingError as error:
            reason = f"The engine could not make its private mounts: {error}."
        except NoFreeNumbers as error:
            reason = f"The engine found no user ids for boxes: {error}."
        if self._cold is None:
            return reason
        # Also when only the environment is missing: it may come later, and its boxes must not lack their groups.
        if not options.no_cgroups:
            self.parent = cgroups.find_parent(self.group_name)
        if self.parent is not None:
            removed = self.parent.sweep()
            if removed:
                logger.info("removed %d control groups of an earlier engine", removed)
        self.weaknesses = diagnosis.weaknesses(self.parent, self.identities.distinct)
        if options.zygote:
            first = self.identities.first if self.identities.distinct else None
            self.zygote = Zygote(nsjail, self.staging, first, self.parent, lambda: self.why_not("fork"))

            async def build(place: Place) -> Walls:
                if self.zygote is None or not self.zygote.usable:
                    raise LaunchFailed("there is no zygote")
                return await self._build_walls(self.zygote, place)

            # A unit of a device cannot wait in a box for somebody who wants it.
            self.ready = ReadyBoxes(build, 0 if options.device else options.ready)
        return reason

    def _find_device(self) -> devices.Device | None:
        options = self.options
        if not options.device:
            return None
        device = devices.find(options.device, options.devices, here=options.backend != "kubernetes")
        if device.units:
            self.units = devices.Units(device)
            options.max_boxes = len(device.units)
            options.per_owner = max(1, options.max_boxes - 1)
        return device

    def prepare_backend(self) -> str:
        """Where somebody else makes the boxes: no groups, no zygote, nothing mounted here."""
        try:
            self.identities = Identities(distinct=True)
            # Engines with the same directory on several machines or in several pods must not sweep each other's boxes.
            here = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
            self._cold = backends.launcher(self.options, f"{self.group_name}-{here}", self._find_device())
        except (backends.BackendMissing, devices.DeviceMissing) as error:
            return str(error)
        except NoFreeNumbers as error:
            return f"The engine found no user ids for boxes: {error}."
        return ""

    @property
    def possible(self) -> bool:
        """Whether there is anything to make boxes with."""
        return self._cold is not None

    async def live(self) -> None:
        """Keep a zygote and ready boxes until cancelled, then end everything."""
        keeping = [asyncio.create_task(part.live()) for part in (self.zygote,) if part is not None]
        keeping += [asyncio.create_task(part.keep()) for part in (self.ready,) if part is not None]
        try:
            await asyncio.Event().wait()
        finally:
            if self._removals:
                await asyncio.wait(self._removals, timeout=5)
            for task in reversed(keeping):  # the ready boxes before the zygote they came from
                task.cancel()
                await asyncio.wait([task], timeout=5)
            if self.parent is not None:
                self.parent.remove()

    @property
    def standing_ready(self) -> int:
        return len(self.ready) if self.ready is not None else 0

    def end_all(self) -> None:
        for box in list(self.living.values()):
            box.stop("crashed")
            box.kill()

    async def why_not(self, start: str) -> str:
        """What is wrong with boxes that are started so, by running one; nothing if they work."""
        events: list[dict[str, Any]] = []
        request = BoxRequest("trial", "", {"main.py": TRIAL_SOURCE}, "main.py", {}, TRIAL_LIMITS)
        try:
            log = await self._run_on(None, request, events.append, lambda: True, None, (start,))
        except (OSError, LaunchFailed, NoFreeNumbers, TimeoutError) as error:
            return f"A box could not be started: {error or 'it took too long'}."
        printed = "".join(event["text"] for event in events if event["type"] == "stdout")
        ended = events[-1] if events else {}
        if ended.get("outcome") == "succeeded" and printed == "42\n":
            return ""
        if self.options.backend != "nsjail":
            return f"A trial program in {self.options.backend} ended with: {ended.get('outcome')}. {log}"
        errors = "".join(event["text"] for event in events if event["type"] == "stderr")
        return diagnosis.why_a_box_failed(ended.get("outcome", "nothing"), log, errors)

    def zygote_status(self) -> dict[str, Any]:
        zygote = self.zygote
        if zygote is None:
            return {"state": "off", "pid": 0}
        return {
            "state": zygote.state,
            "pid": zygote.pid,
            "started": zygote.started,
            "boxes": zygote.boxes,
            **{name: zygote.facts[name] for name in ("resident_bytes", "huge_bytes") if name in zygote.facts},
        }

    # A program and its box

    async def run(
        self,
        request: BoxRequest,
        send: Any,
        may_send: Any,
        begin: Any = None,
        starts: tuple[str, ...] = ("ready", "fork", "cold"),
        make: Callable[..., Box] = Box,
    ) -> str:
        """One program from start to end, in the first kind of box that can be had; what was logged about it."""
        opening = None

        def watched(*arguments: Any) -> Box:
            box = make(*arguments)
            box.opening = opening
            if opening is not None and self.identities.distinct:
                opening.uids.add(box.walls.identity.uid)
            return box

        unit = self.units.take() if self.units is not None else None
        try:
            if self._openings is not None:  # elsewhere files may be opened by another kernel
                snapshot = self.options.store / "snapshots" / (request.snapshot or "")
                opening = self._openings.watch(snapshot, request.watched)
            return await self._run_on(unit, request, send, may_send, begin, starts, watched)
        finally:
            if opening is not None:
                opening.end()
            if self.units is not None and unit is not None:
                self.units.give_back(unit)

    async def _run_on(
        self,
        unit: str | None,
        request: BoxRequest,
        send: Any,
        may_send: Any,
        begin: Any,
        starts: tuple[str, ...],
        make: Callable[..., Box] = Box,
    ) -> str:
        let_in = time.monotonic()
        overrides = self._layer_overrides(request)
        place = self._place(request, unit)
        if self.ready is not None and "ready" in starts and not overrides:
            self.ready.note(place)  # however this one starts: those that come after it should find a box
        if self.options.backend != "nsjail":
            starts = ("cold", "cold")  # another one, if the node of the first was lost before it said anything
        elif overrides or self.zygote is None:
            starts = ("cold",)
        elif not self.zygote.usable and len(starts) > 1:
            starts = starts[-1:]
        for number, start in enumerate(starts, 1):
            last = number == len(starts)
            try:
                walls = await self._find_walls(start, place)
            except (OSError, LaunchFailed, TimeoutError) as error:
                if last or isinstance(error, LaunchUseless):
                    raise
                logger.warning("run %s: no %s box: %s", request.run_id, start, error or "too slow")
                continue
            if walls is None:
                continue
            self._metrics.note_begin(walls.start, time.monotonic() - let_in)
            box = make(request, walls, send, may_send, overrides)
            self.living[walls.name] = box
            try:
                if begin is not None:
                    begin(box)
                if await box.run():
                    self._metrics.note_end(walls.start, box.outcome, box.cpu_seconds)
                    return walls.log()
                self._metrics.not_begun += 1
                if last:
                    box.tell()
            finally:
                del self.living[walls.name]
                self._remove(walls)
            if last:
                return walls.log()
        return ""

    def _layer_overrides(self, request: BoxRequest) -> bool:
        """Packages that replace some of the environment's: no interpreter that has loaded those will do."""
        return request.layer is not None and (self.options.layers / request.layer / "overrides").exists()

    def _place(self, request: BoxRequest, unit: str | None) -> Place:
        made = 0 if request.layer is None else (self.options.layers / request.layer).stat().st_mtime_ns
        limits = None if self.options.backend == "nsjail" else request.limits
        others = () if request.snapshot is None else tables.mounts(self.options.store, request.snapshot)
        return Place(int(request.limits.disk_bytes), request.snapshot, request.layer, made, limits, unit, others)

    async def _find_walls(self, start: str, place: Place) -> Walls | None:
        if start == "ready":
            return self.ready.take(place) if self.ready is not None else None
        if start == "fork":
            if self.zygote is None or not self.zygote.present:
                return None
            return await self._build_walls(self.zygote, place)
        if self._cold is None:
            raise LaunchFailed("there is nothing to make boxes with")
        return await self._build_walls(self._cold, place)

    async def _build_walls(self, launcher: Launcher, place: Place) -> Walls:
        if launcher.local and place.snapshot and not (self.options.store / "snapshots" / place.snapshot).is_dir():
            raise LaunchUseless("its market data are not there any more")
        self._counter += 1
        walls = Walls(f"box-{self._counter}", launcher, self.identities.take(), place, self.parent)
        try:
            await walls.build()
        except BaseException:
            if launcher is self.zygote:
                await asyncio.sleep(BIRTH_SECONDS)
            await self._take_down(walls)
            raise
        self._metrics.note_build(walls.start, walls.steps)
        return walls

    def _remove(self, walls: Walls) -> None:
        """Without keeping the client waiting: no process of it is left, only places on our side."""
        task = asyncio.create_task(self._take_down(walls))
        self._removals.add(task)
        task.add_done_callback(self._removals.discard)

    async def _take_down(self, walls: Walls) -> None:
        try:
            await walls.remove()
        finally:
            self.identities.give_back(walls.identity)

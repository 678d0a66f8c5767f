"""How much does a box use, and who stops it there? One control group per box, on version 1 and version 2 alike.

find_parent() looks for a place where this process may make groups. None means an ordinary user without delegation:
then the limits are rlimits and sampling, which sandbox/host/processes.py does, and the engine says what is weaker.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

logger = logging.getLogger(__name__)

CORE_PERIOD_MICROSECONDS = 100_000  # quota = period: one core
CONTROLLERS_V1 = ("memory", "pids", "cpu", "cpuacct")
CONTROLLERS_V2 = ("memory", "pids", "cpu")
REMOVE_SECONDS = 2.0
READ_BYTES = 1 << 16
ASIDE = "playground-engine"  # the group of the engine itself, on version 2


@dataclass(frozen=True)
class Usage:
    cpu_seconds: float
    memory_bytes: int  # anonymous and shared memory: what the programs hold, not what the page cache happens to keep
    processes: int
    out_of_memory_kills: int
    refused_processes: int

    def since(self, cpu_seconds: float) -> Usage:
        """The same without the processor time used before."""
        return replace(self, cpu_seconds=max(0.0, self.cpu_seconds - cpu_seconds))


class Group:
    """The group of one box. Sums, not per-process figures: that is what the limits are about."""

    def limit(self, memory_bytes: int, processes: int, cores: float) -> None:
        """Set before a program is in the group."""
        raise NotImplementedError

    def add(self, pid: int) -> None:
        raise NotImplementedError

    def open_entrances(self) -> tuple[int, ...]:
        """Descriptors, the caller's: a process with one thread that writes "0" to each of them is in the group.

        To move another process, the kernel first waits until no processor is forking or ending one: 10 ms.
        """
        raise NotImplementedError

    def cpu_seconds(self) -> float:
        raise NotImplementedError

    def usage(self) -> Usage:
        raise NotImplementedError

    def peak_bytes(self) -> int:
        """The most memory the group's programs have held at once, without the files that they read; 0 if not known.

        The kernel keeps the peak with the files in it, so what there is of them now is taken away again.
        """
        raise NotImplementedError

    def kill(self) -> None:
        """SIGKILL to every process in the group; the box's pid namespace has normally done it already."""
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def pids(self) -> list[int]:
        raise NotImplementedError

    def remove(self) -> bool:
        """False when a process is still in it."""
        raise NotImplementedError

    async def remove_soon(self) -> bool:
        """Remove it as soon as the kernel lets go of its last process; False when that takes too long: the next
        sweep tries again.
        """
        deadline = time.monotonic() + REMOVE_SECONDS
        while not self.remove():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.003)
        return True


class Parent:
    """A place for groups. `version` is what check_sandbox shows."""

    version: str

    def make(self, name: str) -> Group:
        raise NotImplementedError

    def sweep(self) -> int:
        """Kill and remove groups an earlier engine of the same name left; the number removed."""
        raise NotImplementedError

    def remove(self) -> None:
        raise NotImplementedError


def find_parent(name: str) -> Parent | None:
    """A version 2 delegation if there is one with the three controllers, else version 1, else None."""
    for find in (_find_v2, _find_v1):
        try:
            parent = find(name)
        except OSError as error:
            logger.info("no control group by %s: %s", find.__name__, error)
            continue
        if parent is not None:
            return parent
    return None


# Version 1: one directory per controller


def _find_v1(name: str) -> Parent | None:
    mounts: dict[str, Path] = {}
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _device, place, kind, options, *_ = line.split()
        if kind == "cgroup":
            for controller in set(options.split(",")) & set(CONTROLLERS_V1):
                mounts[controller] = Path(place)
    if set(mounts) != set(CONTROLLERS_V1):
        return None
    parent = ParentV1({controller: mount / name for controller, mount in mounts.items()})
    # Writing is what we need; a read-only mount says so only when asked to.
    for directory in parent.directories.values():
        directory.mkdir(exist_ok=True)
    probe = parent.make("probe")
    probe.limit(64 << 20, 8, 1)
    probe.remove()
    return parent


class ParentV1(Parent):
    version = "v1"

    def __init__(self, directories: dict[str, Path]) -> None:
        self.directories = directories

    def make(self, name: str) -> Group:
        return GroupV1({controller: path / name for controller, path in self.directories.items()})

    def sweep(self) -> int:
        names = {child.name for path in self.directories.values() for child in _children(path)}
        removed = 0
        for name in names:
            group = GroupV1({controller: path / name for controller, path in self.directories.items()})
            removed += _remove_now(group)
        return removed

    def remove(self) -> None:
        for path in set(self.directories.values()):
            _remove_directory(path)


class GroupV1(Group):
    def __init__(self, directories: dict[str, Path]) -> None:
        self.directories = directories
        try:
            for path in set(directories.values()):
                path.mkdir(exist_ok=True)
        except OSError:
            self.remove()
            raise

    def limit(self, memory_bytes: int, processes: int, cores: float) -> None:
        memory, cpu = self.directories["memory"], self.directories["cpu"]
        _write(memory / "memory.limit_in_bytes", memory_bytes)
        try:
            _write(memory / "memory.memsw.limit_in_bytes", memory_bytes)
        except OSError:
            _write(memory / "memory.swappiness", 0)  # a kernel without swap accounting
        _write(self.directories["pids"] / "pids.max", processes)
        _write(cpu / "cpu.cfs_quota_us", int(CORE_PERIOD_MICROSECONDS * cores))

    def add(self, pid: int) -> None:
        for path in set(self.directories.values()):
            _write(path / "cgroup.procs", pid)

    def open_entrances(self) -> tuple[int, ...]:
        return _open_all(path / "tasks" for path in set(self.directories.values()))

    def cpu_seconds(self) -> float:
        return int(_read(self.directories["cpuacct"] / "cpuacct.usage") or 0) / 1e9

    def usage(self) -> Usage:
        memory, pids = self.directories["memory"], self.directories["pids"]
        stat = _read_pairs(memory / "memory.stat")
        return Usage(
            cpu_seconds=self.cpu_seconds(),
            memory_bytes=stat.get("rss", 0) + stat.get("shmem", 0),
            processes=int(_read(pids / "pids.current") or 0),
            out_of_memory_kills=_read_pairs(memory / "memory.oom_control").get("oom_kill", 0),
            refused_processes=_read_pairs(pids / "pids.events").get("max", 0),
        )

    def peak_bytes(self) -> int:
        memory = self.directories["memory"]
        stat = _read_pairs(memory / "memory.stat")
        files = max(0, stat.get("cache", 0) - stat.get("shmem", 0))
        return max(0, int(_read(memory / "memory.max_usage_in_bytes") or 0) - files)

    def pids(self) -> list[int]:
        return sorted({pid for path in self.directories.values() for pid in _read_pids(path)})

    def remove(self) -> bool:
        removed = [_remove_directory(path) for path in set(self.directories.values())]  # each of them, in any case
        return all(removed)


# Version 2: one directory, below a group that has the controllers and no processes


def _find_v2(name: str) -> Parent | None:
    own = _own_group()
    if own is None or not set(CONTROLLERS_V2) <= set(_read(own / "cgroup.controllers").split()):
        return None
    place = own
    if own.name == ASIDE:  # started by somebody who stepped aside with an earlier engine
        place = own.parent
    elif (own / "cgroup.type").exists():  # only the machine's root group has none; a container's root group has
        _step_aside(own)
    controllers = " ".join(f"+{controller}" for controller in CONTROLLERS_V2)
    _write(place / "cgroup.subtree_control", controllers)
    directory = place / name
    directory.mkdir(exist_ok=True)
    _write(directory / "cgroup.subtree_control", controllers)
    parent = ParentV2(directory)
    _try_move(parent)
    return parent


def _own_group() -> Path | None:
    """Of this process, where it can be seen: in a container a part of the hierarchy may be mounted, or none."""
    own = next(
        (line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")), None
    )
    if own is None:
        return None
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):  # the uppermost mount is the last
        fields, _, rest = line.partition(" - ")
        root, place = fields.split()[3:5]
        if rest.split()[0] == "cgroup2" and (own + "/").startswith(root.rstrip("/") + "/"):
            return Path(place) / own.removeprefix(root).lstrip("/")
    return None


def _step_aside(group: Path) -> None:
    """Move all processes of this group into one below: a group that gives controllers to its children may have none.

    Those are ours and whoever started us. Raises OSError where the group was not delegated, before anything has moved.
    """
    aside = group / ASIDE
    aside.mkdir(exist_ok=True)
    try:
        for pid in (os.getpid(), *_read_pids(group)):
            _move(pid, aside)
    except OSError:
        _remove_directory(aside)
        raise
    for _ in range(10):
        for pid in _read_pids(group):  # forked meanwhile
            _move(pid, aside)


def _move(pid: int, group: Path) -> None:
    try:
        _write(group / "cgroup.procs", pid)
    except ProcessLookupError:
        pass  # it has just ended


def _try_move(parent: Parent) -> None:
    """Into a group and back: whether we may must be known before the first box, and making groups does not show it."""
    own = _own_group()
    probe = parent.make("probe")
    try:
        probe.limit(64 << 20, 8, 1)
        probe.add(os.getpid())
        if own is not None:
            _move(os.getpid(), own)
    finally:
        probe.remove()


class ParentV2(Parent):
    version = "v2"

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def make(self, name: str) -> Group:
        return GroupV2(self.directory / name)

    def sweep(self) -> int:
        removed = 0
        for child in _children(self.directory):
            removed += _remove_now(GroupV2(child))
        return removed

    def remove(self) -> None:
        _remove_directory(self.directory)


class GroupV2(Group):
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)

    def limit(self, memory_bytes: int, processes: int, cores: float) -> None:
        directory = self.directory
        _write(directory / "memory.max", memory_bytes)
        if (directory / "memory.swap.max").exists():
            _write(directory / "memory.swap.max", 0)
        _write(directory / "memory.oom.group", 1)
        _write(directory / "pids.max", processes)
        _write(directory / "cpu.max", f"{int(CORE_PERIOD_MICROSECONDS * cores)} {CORE_PERIOD_MICROSECONDS}")

    def add(self, pid: int) -> None:
        _write(self.directory / "cgroup.procs", pid)

    def open_entrances(self) -> tuple[int, ...]:
        # Here the kernel waits all the same, unless its hierarchy is mounted with favordynmods.
        return _open_all([self.directory / "cgroup.procs"])

    def cpu_seconds(self) -> float:
        return _read_pairs(self.directory / "cpu.stat").get("usage_usec", 0) / 1e6

    def usage(self) -> Usage:
        stat = _read_pairs(self.directory / "memory.stat")
        return Usage(
            cpu_seconds=self.cpu_seconds(),
            memory_bytes=stat.get("anon", 0) + stat.get("shmem", 0),
            processes=int(_read(self.directory / "pids.current") or 0),
            out_of_memory_kills=_read_pairs(self.directory / "memory.events").get("oom_kill", 0),
            refused_processes=_read_pairs(self.directory / "pids.events").get("max", 0),
        )

    def peak_bytes(self) -> int:
        stat = _read_pairs(self.directory / "memory.stat")
        files = max(0, stat.get("file", 0) - stat.get("shmem", 0))
        return max(0, int(_read(self.directory / "memory.peak") or 0) - files)  # since Linux 5.19

    def kill(self) -> None:
        try:
            _write(self.directory / "cgroup.kill", 1)
        except OSError:  # before Linux 5.14
            super().kill()

    def pids(self) -> list[int]:
        return _read_pids(self.directory)

    def remove(self) -> bool:
        return _remove_directory(self.directory)


# Files


def _write(path: Path, value: object) -> None:
    # Not write_text(): a control file takes its value in one write() and reports refusal there.
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)


def _open_all(paths: Iterable[Path]) -> tuple[int, ...]:
    """All of them or none."""
    opened: list[int] = []
    try:
        for path in paths:
            opened.append(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
    except OSError:
        for descriptor in opened:
            os.close(descriptor)
        raise
    return tuple(opened)


def _read(path: Path) -> str:
    # Not read_text(), which asks the kernel five times more: every box is looked at ten times a second.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    parts = []
    try:
        while part := os.read(descriptor, READ_BYTES):
            parts.append(part)
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    return b"".join(parts).decode()


def _read_pairs(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in _read(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _read_pids(path: Path) -> list[int]:
    # 0 stands for a process of another pid namespace; to kill() and the kernel's files it would mean ourselves.
    return [int(line) for line in _read(path / "cgroup.procs").split() if line != "0"]


def _children(path: Path) -> list[Path]:
    return [child for child in path.iterdir() if child.is_dir()] if path.is_dir() else []


def _remove_now(group: Group) -> bool:
    """For groups of an engine that is gone; waits for their last processes."""
    group.kill()
    deadline = time.monotonic() + REMOVE_SECONDS
    while not group.remove():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.003)
    return True


def _remove_directory(path: Path) -> bool:
    """rmdir, which fails with EBUSY until the last zombie has been reaped."""
    try:
        path.rmdir()
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True

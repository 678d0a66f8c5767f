"""What has this container used, as its own control group counts it? Read by process 1, for an engine that cannot.

The files are opened before /proc and /sys are closed to every process of the box, and stay open in this one.
"""

from __future__ import annotations

import os

V2 = {
    "cpu": "/sys/fs/cgroup/cpu.stat",
    "memory": "/sys/fs/cgroup/memory.stat",
    "kills": "/sys/fs/cgroup/memory.events",
    "processes": "/sys/fs/cgroup/pids.current",
    "refused": "/sys/fs/cgroup/pids.events",
}
V1 = {
    "cpu": "/sys/fs/cgroup/cpuacct/cpuacct.usage",
    "memory": "/sys/fs/cgroup/memory/memory.stat",
    "kills": "/sys/fs/cgroup/memory/memory.oom_control",
    "processes": "/sys/fs/cgroup/pids/pids.current",
    "refused": "/sys/fs/cgroup/pids/pids.events",
}


class Counters:
    """Files that are not there count nothing."""

    def __init__(self) -> None:
        self._version_2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
        self._files: dict[str, int] = {}
        for name, path in (V2 if self._version_2 else V1).items():
            try:
                self._files[name] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue

    def read(self) -> dict:
        cpu, memory = self._text("cpu"), _pairs(self._text("memory"))
        used = memory.get("anon", 0) if self._version_2 else memory.get("rss", 0)
        return {
            "type": "counted",
            "cpu_seconds": _pairs(cpu).get("usage_usec", 0) / 1e6 if self._version_2 else int(cpu or 0) / 1e9,
            "memory_bytes": used + memory.get("shmem", 0),
            "processes": int(self._text("processes") or 0),
            "out_of_memory_kills": _pairs(self._text("kills")).get("oom_kill", 0),
            "refused_processes": _pairs(self._text("refused")).get("max", 0),
        }

    def _text(self, name: str) -> str:
        try:
            return os.pread(self._files[name], 1 << 14, 0).decode("ascii")
        except (OSError, KeyError):
            return ""


def _pairs(text: str) -> dict[str, int]:
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}

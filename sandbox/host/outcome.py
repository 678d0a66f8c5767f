"""How did a box end? Decided from what was observed: what we killed for, what the kernel counted, what init saw.

Never from an exit code alone: a program may leave with 137 whenever it likes.
"""

from __future__ import annotations

import errno
import signal
from dataclasses import dataclass
from typing import Any

from sandbox import protocol
from sandbox.protocol import Limits

# The program's own failure when there is no room: file system full, quota, larger than any file may become.
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass
class Observed:
    """What the engine knows when nothing of the box is left."""

    stopped_for: str | None = None  # a limit's name, "cancelled" or "crashed": why we ended it
    reported: bool = False  # init said how the program ended
    exit_code: int | None = None
    exit_signal: int | None = None
    out_of_memory_kills: int = 0
    refused_processes: int = 0
    disk_full: bool = False
    interrupted: bool = False
    memory_near_limit: bool = False
    cpu_near_limit: bool = False
    error: dict[str, Any] | None = None  # the last error message of the rich channel
    error_number: int | None = None  # of the system call or allocation that was refused
    crash: str = ""


_STOPPED = {
    "cpu_seconds": protocol.TIMED_OUT,
    "wall_seconds": protocol.TIMED_OUT,
    "memory_bytes": protocol.OUT_OF_MEMORY,
    "output_bytes": protocol.OUTPUT_EXCEEDED,
    "rich_bytes": protocol.OUTPUT_EXCEEDED,
    "events": protocol.OUTPUT_EXCEEDED,
}


def decide(observed: Observed) -> tuple[str, str | None]:
    """The outcome and the name of the limit that made it, if one did."""
    reason = observed.stopped_for
    if reason == "cancelled":
        return protocol.CANCELLED, None
    if reason in _STOPPED:
        return _STOPPED[reason], reason
    failed = observed.exit_code != 0
    if observed.out_of_memory_kills and failed:
        return protocol.OUT_OF_MEMORY, "memory_bytes"
    if reason == "crashed" or not observed.reported:
        return protocol.CRASHED, None
    if observed.exit_signal == signal.SIGXCPU and observed.cpu_near_limit:  # a program may send it to itself, too
        return protocol.TIMED_OUT, "cpu_seconds"
    if not failed:
        return protocol.SUCCEEDED, None
    error_name = (observed.error or {}).get("name")
    refused = observed.error_number == errno.ENOMEM or observed.memory_near_limit
    if error_name == "MemoryError" and refused and observed.exit_code == 1:
        return protocol.OUT_OF_MEMORY, "memory_bytes"
    if observed.error_number in NO_ROOM:  # also where one call asked for more than was left, and took nothing
        return protocol.DISK_FULL, "disk_bytes"
    if observed.interrupted and error_name == "KeyboardInterrupt":
        return protocol.CANCELLED, None
    return protocol.FAILED, None


def ended(
    observed: Observed,
    limits: Limits,
    start: str,
    wall_seconds: float,
    cpu_seconds: float,
    peak_memory_bytes: int,
    artefacts_skipped: list[dict[str, Any]],
) -> dict[str, Any]:
    """The last event of a program, whatever kind of box it had."""
    result, limit = decide(observed)

    def named(name: str) -> dict[str, Any]:
        return {"value": getattr(limits, name)}

    return {
        "type": "ended",
        "outcome": result,
        "start": start,
        "limit": None if limit is None else {"name": limit, **named(limit), **only_said(observed, limit)},
        "exit": {"code": observed.exit_code, "signal": observed.exit_signal},
        "error": observed.error,
        "cpu_seconds": round(cpu_seconds, 3),
        "wall_seconds": wall_seconds,
        "peak_memory_bytes": peak_memory_bytes,
        "notices": [{"limit": name, **named(name)} for name in limits_met(observed, limit)],
        "artefacts_skipped": artefacts_skipped,
    }


def only_said(observed: Observed, limit: str) -> dict[str, Any]:
    """{"met": False} for a disk that nobody saw full: a program was refused room in one piece, or says that it was."""
    return {"met": False} if limit == "disk_bytes" and not observed.disk_full else {}


def limits_met(observed: Observed, ended_by: str | None) -> list[str]:
    """Names of limits that were hit without ending the run."""
    met = {
        "processes": observed.refused_processes > 0,
        "memory_bytes": observed.out_of_memory_kills > 0 or observed.memory_near_limit,
        "disk_bytes": observed.disk_full,
    }
    return [name for name, hit in met.items() if hit and name != ended_by]

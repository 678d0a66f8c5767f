"""What do the processes below one process use together? Read from /proc, where there is no control group to ask.

Sampling, so weaker than a group: what lives and dies between two looks is seen only through its parent's record.
"""

from __future__ import annotations

import os
from pathlib import Path

from sandbox.host.cgroups import Usage

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def descendants(pid: int) -> list[int]:
    """The process and everything below it that has not been orphaned out of it."""
    found, waiting = [], [pid]
    while waiting:
        current = waiting.pop()
        found.append(current)
        try:
            for task in os.listdir(f"/proc/{current}/task"):
                waiting += map(int, Path(f"/proc/{current}/task/{task}/children").read_text().split())
        except (OSError, ValueError):
            continue
    return found


def tree_usage(pid: int) -> Usage:
    ticks = memory = threads = 0
    for each in descendants(pid):
        try:
            # The command name, in brackets, may hold spaces and brackets of its own.
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            pages = Path(f"/proc/{each}/statm").read_text().split()
        except (OSError, ValueError):
            continue
        ticks += sum(map(int, fields[11:15]))  # own user and system time, and that of children waited for
        threads += int(fields[17])
        memory += max(0, int(pages[1]) - int(pages[2])) * _PAGE  # resident less shared
    return Usage(ticks / _TICKS, memory, threads, 0, 0)

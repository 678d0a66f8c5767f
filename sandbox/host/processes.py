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


def tree_usage(pid: int, memory_limit_bytes: float, shared_bytes: int = 0) -> Usage:
    """Sums over the tree. Memory is looked at closely only when a quick look finds half the limit used.

    shared_bytes: what the processes had when they were forked from the zygote, which is not theirs.
    """
    ticks = memory = threads = 0
    tree = descendants(pid)
    for each in tree:
        try:
            # The command name, in brackets, may hold spaces and brackets of its own.
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            pages = Path(f"/proc/{each}/statm").read_text().split()
        except (OSError, ValueError):
            continue
        ticks += sum(map(int, fields[11:15]))  # own user and system time, and that of children waited for
        threads += int(fields[17])
        memory += max(0, int(pages[1]) - int(pages[2])) * _PAGE  # resident less shared
    if memory > memory_limit_bytes / 2:
        # The quick look counts a page once for each process that shares it after a fork; this one counts it once.
        # Their part of the zygote's memory is the larger the more of them there are, and never all of it: process 1
        # has none of it, and the zygote itself has a part.
        shared = shared_bytes * (len(tree) - 1) / len(tree)
        memory = max(0, sum(map(_proportional_bytes, tree)) - int(shared))
    return Usage(ticks / _TICKS, memory, threads, 0, 0)


def _proportional_bytes(pid: int) -> int:
    """What the process holds of anonymous memory, a page shared by n processes counted as 1/n."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss_Anon:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 0

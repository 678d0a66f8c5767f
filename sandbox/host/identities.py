"""Which uid outside does each box get? From a block of numbers no account, no subordinate range and no other box
has.
"""

from __future__ import annotations

import grp
import os
import pwd
import random
import socket
from pathlib import Path

from sandbox.host.launching import Identity
from sandbox.host.nsjail import BLOCK

# Tried in order, one for each engine of a machine; the small ones serve a container whose user namespace maps 65536
# numbers only.
FIRST_CHOICES = (
    *range(1_879_000_000, 1_879_500_000, BLOCK), 1_610_000_000, 700_000_000, 7_000_000, 52_000, 42_000, 31_000,
)  # fmt: skip


class NoFreeNumbers(Exception):
    """Every block is in use by an account or a subordinate range, or not mapped here."""


class Identities:
    """Hands out one number per living box. For an ordinary user there is only that user, whom all boxes share, unless
    somebody else makes the boxes.
    """

    def __init__(self, distinct: bool | None = None) -> None:
        self.distinct = os.geteuid() == 0 if distinct is None else distinct
        self.first = 0  # of the block: the zygote's own; boxes have the ones after it
        if self.distinct:
            self.first, self._claim = _free_block()  # the claim ends with this process
        self._used: set[int] = set()
        # Not at the first: engines on other machines of a cluster begin elsewhere.
        self._next = random.randrange(BLOCK - 1)

    @property
    def numbers(self) -> range | None:
        """All that boxes can have, where each has its own."""
        return range(self.first, self.first + BLOCK) if self.distinct else None

    def take(self) -> Identity:
        if not self.distinct:
            return Identity(os.getuid(), os.getgid())
        # Round and round, so that a number rests as long as possible before it serves another box.
        for _ in range(BLOCK - 1):
            number = self.first + 1 + self._next
            self._next = (self._next + 1) % (BLOCK - 1)
            if number not in self._used:
                self._used.add(number)
                return Identity(number, number)
        raise NoFreeNumbers(f"all {BLOCK - 1} numbers are in use")

    def give_back(self, identity: Identity) -> None:
        self._used.discard(identity.uid)


def _free_block() -> tuple[int, socket.socket]:
    """The first number of a block that nobody has, and what keeps other engines of this machine from taking it."""
    taken = [(entry.pw_uid, 1) for entry in pwd.getpwall()] + [(entry.gr_gid, 1) for entry in grp.getgrall()]
    for name in ("/etc/subuid", "/etc/subgid"):
        taken += _subordinate_ranges(Path(name))
    mapped = [
        (int(inside), int(count))
        for inside, _outside, count in map(str.split, Path("/proc/self/uid_map").read_text().splitlines())
    ]
    for first in FIRST_CHOICES:
        last = first + BLOCK - 1
        is_mapped = any(start <= first and last < start + count for start, count in mapped)
        if not is_mapped or any(start <= last and first < start + count for start, count in taken):
            continue
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0playground-uids-{first}")
        except OSError:  # another engine has them
            claim.close()
            continue
        return first, claim
    raise NoFreeNumbers(
        "no block of 10,000 user ids is free: accounts, /etc/subuid or other engines of this machine have them all"
    )


def _subordinate_ranges(path: Path) -> list[tuple[int, int]]:
    ranges = []
    try:
        for line in path.read_text().splitlines():
            _name, start, count = line.split(":")
            ranges.append((int(start), int(count)))
    except (OSError, ValueError):
        pass
    return ranges

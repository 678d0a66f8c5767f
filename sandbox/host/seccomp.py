"""Which filter of system calls does a box load? policy/seccomp.toml, compiled into the kernel's filter language.

One filter for every box, however it is started. It is made here and not by nsjail, because a forked box is not
started by nsjail, and two policies would sooner or later be two different ones.
"""

from __future__ import annotations

import errno
import platform
import struct
import tomllib
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

POLICY = Path(__file__).resolve().parent.parent / "policy"
X32_BIT = 0x40000000

# The kernel's classic BPF: linux/bpf_common.h and linux/seccomp.h
_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_IF_EQUAL, _IF_GREATER, _IF_AT_LEAST, _IF_SET = 0x15, 0x25, 0x35, 0x45
_KILL_PROCESS, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16

Instruction = tuple[int, int, int, int]


class Rules(Protocol):
    """Groups beside those of seccomp.toml, in its form."""

    @property
    def allow(self) -> tuple[dict[str, Any], ...]: ...
    @property
    def when(self) -> tuple[dict[str, Any], ...]: ...


@cache
def filter_program(device: Rules | None = None, machine: str = platform.machine()) -> bytes:
    """The policy as an array of `struct sock_filter`, for prctl(PR_SET_SECCOMP).

    device: what using one takes beside it. What the policy does not name fails with EPERM. Calls of another
    architecture (int 0x80) and of x32 kill the process: their numbers mean other calls. Raises ValueError for a policy
    that contradicts itself or a machine without a table.
    """
    policy = read_policy("seccomp.toml")
    tables = read_policy("syscalls.toml")
    if machine not in tables:
        raise ValueError(f"There is no table of system calls for {machine} in {POLICY / 'syscalls.toml'}.")
    numbers = {name: int(number) for name, number in _pairs(tables[machine]["calls"])}
    known = {name for table in tables.values() for name, _ in _pairs(table["calls"])}
    allowed = _named(policy["allow"])
    missing = _named(policy["missing"])
    _check_names([*allowed, *missing, *(rule["call"] for rule in policy["when"])], known)
    conditional = {rule["call"]: [rule] for rule in policy["when"]}
    if device is not None:
        more = _named(list(device.allow))
        _check_names([*allowed, *missing, *more, *{rule["call"] for rule in device.when} - conditional.keys()], known)
        allowed += more
        for rule in device.when:
            conditional.setdefault(rule["call"], []).append(rule)

    program: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_IF_EQUAL, 1, 0, tables[machine]["audit_architecture"]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_IF_SET, 0, 1, X32_BIT),
        (_RETURN, 0, 0, _KILL_PROCESS),
    ]
    for name, rules in conditional.items():
        if name in numbers:
            program += _when(numbers[name], rules)
    program += _ranges((numbers[name] for name in missing if name in numbers), _ERRNO | errno.ENOSYS)
    program += _ranges((numbers[name] for name in allowed if name in numbers), _ALLOW)
    program.append((_RETURN, 0, 0, _ERRNO | errno.EPERM))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _when(number: int, rules: list[dict[str, Any]]) -> list[Instruction]:
    """Allow the call if one of the rules does; the number of the call is in the accumulator before."""
    body = [instruction for rule in rules for instruction in _allow_if(rule)]
    body.append((_RETURN, 0, 0, _ERRNO | errno.EPERM))
    return [(_IF_EQUAL, 0, len(body), number), *body]


def _allow_if(rule: dict[str, Any]) -> list[Instruction]:
    """Allow if the argument is one of the values; fall through if not."""
    low = _ARGUMENTS_AT + 8 * rule["argument"]
    compare: list[Instruction] = [(_LOAD, 0, 0, low)]
    if "mask" in rule:
        compare.append((_AND, 0, 0, rule["mask"]))
    for value in rule["equals"]:
        compare += [(_IF_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW)]
    if "mask" in rule:
        return compare
    # The kernel looks at the lower half of such arguments; the upper one has to be empty all the same.
    return [(_LOAD, 0, 0, low + 4), (_IF_EQUAL, 0, len(compare), 0), *compare]


def _ranges(numbers: Iterable[int], answer: int) -> list[Instruction]:
    """One answer for many calls; neighbours share a comparison."""
    ordered = sorted(numbers)
    starts = [number for before, number in pairwise([-2, *ordered]) if number != before + 1]
    ends = [number for number, after in pairwise([*ordered, -2]) if after != number + 1]
    program: list[Instruction] = []
    for first, last in zip(starts, ends, strict=True):
        program += [(_IF_AT_LEAST, 0, 2, first), (_IF_GREATER, 1, 0, last), (_RETURN, 0, 0, answer)]
    return program


def _named(groups: list[dict[str, str]]) -> list[str]:
    return [call for group in groups for call in group["calls"].split()]


def _check_names(names: list[str], known: set[str]) -> None:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"the policy names these twice: {', '.join(sorted(twice))}")
    unknown = set(names) - known
    if unknown:
        raise ValueError(f"syscalls.toml has no number for: {', '.join(sorted(unknown))}")


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(name, number) for name, _, number in (word.partition("=") for word in text.split())]


def read_policy(name: str) -> dict[str, Any]:
    with (POLICY / name).open("rb") as file:
        return tomllib.load(file)

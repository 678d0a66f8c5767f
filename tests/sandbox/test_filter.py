"""The filter of system calls, run here instruction by instruction: each rule of the policy means what it says."""

from __future__ import annotations

import errno
import struct
import tomllib

import pytest

from sandbox.host.seccomp import POLICY, filter_program

ALLOW, KILL = 0x7FFF0000, 0x80000000
REFUSE, MISSING = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
X86_64, I386 = 0xC000003E, 0x40000003
SYSCALLS = tomllib.loads((POLICY / "syscalls.toml").read_text())
RULES = tomllib.loads((POLICY / "seccomp.toml").read_text())
NUMBERS = {name: int(number) for name, _, number in (w.partition("=") for w in SYSCALLS["x86_64"]["calls"].split())}


def answer(number: int, *arguments: int, architecture: int = X86_64) -> int:
    return answer_of(filter_program(machine="x86_64"), number, arguments, architecture)


def answer_of(program: bytes, number: int, arguments: tuple[int, ...], architecture: int = X86_64) -> int:
    """What the kernel would do: an interpreter of the few instructions that the filter is made of."""
    given = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number, architecture, 0, *given)
    instructions = [struct.unpack_from("=HBBI", program, place) for place in range(0, len(program), 8)]
    place = accumulator = 0
    while True:
        code, if_true, if_false, constant = instructions[place]
        place += 1
        match code:
            case 0x20:
                accumulator = struct.unpack_from("=I", data, constant)[0]
            case 0x54:
                accumulator &= constant
            case 0x06:
                return constant
            case _:
                holds = {
                    0x15: accumulator == constant,
                    0x25: accumulator > constant,
                    0x35: accumulator >= constant,
                    0x45: bool(accumulator & constant),
                }[code]
                place += if_true if holds else if_false


def test_every_call_gets_the_answer_of_its_group_and_all_others_are_refused() -> None:
    allowed = {NUMBERS[name] for group in RULES["allow"] for name in group["calls"].split()}
    missing = {NUMBERS[name] for group in RULES["missing"] for name in group["calls"].split()}
    conditional = {NUMBERS[rule["call"]] for rule in RULES["when"]}
    for number in range(600):
        if number in conditional:
            continue
        expected = ALLOW if number in allowed else MISSING if number in missing else REFUSE
        assert answer(number) == expected, number


@pytest.mark.parametrize("rule", RULES["when"], ids=lambda rule: rule["call"])
def test_a_conditional_call_is_allowed_for_its_values_and_refused_for_others(rule: dict) -> None:
    def call(value: int) -> int:
        return answer(NUMBERS[rule["call"]], *[7] * rule["argument"], value)

    for value in rule["equals"]:
        assert call(value) == ALLOW
        if "mask" not in rule:
            assert call(value | 1 << 32) == REFUSE, "the upper half is looked at"
    refused = {0x10000000, 0x20000, 0x40000000, 0x80} if "mask" in rule else set(range(64)) - set(rule["equals"])
    for value in refused:
        assert call(value) == REFUSE, hex(value)


def test_calls_of_other_kinds_kill() -> None:
    assert answer(1, architecture=I386) == KILL
    assert answer(0x40000001) == KILL
    assert answer(0xFFFFFFFF) == KILL


def test_the_other_processor_has_a_filter_too_and_an_unknown_one_is_an_error() -> None:
    assert filter_program(machine="aarch64")
    with pytest.raises(ValueError, match="no table"):
        filter_program(machine="z80")

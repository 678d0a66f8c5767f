"""The boxes' filter of system calls as a container runtime reads it: policy/seccomp.toml as a Docker profile.

Process 1 loads the filter itself as well, with the numbers of the machine it is on. This one is there from its first
instruction, so it leaves process 1 a few calls more, which are gone before there is a program.
"""

from __future__ import annotations

import errno
import platform
from typing import Any

from sandbox.host.seccomp import Rules, read_policy

ARCHITECTURES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
# prctl: dumpable (set). Landlock: /proc and /sys are closed by it (sandbox/inside/closed_files.py).
PROCESS_1_PRCTL = 4
PROCESS_1_CALLS = ("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self")


def docker_profile(device: Rules | None = None, machine: str = platform.machine()) -> dict[str, Any]:
    """Raises ValueError for a machine that the policy does not know."""
    if machine not in ARCHITECTURES:
        raise ValueError(f"There is no seccomp profile for {machine}.")
    policy = read_policy("seccomp.toml")
    allow, when = [*policy["allow"]], [*policy["when"]]
    if device is not None:
        allow += device.allow
        when += device.when
    rules = [_allow(group["calls"].split()) for group in allow]
    rules += [
        {"names": group["calls"].split(), "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS}
        for group in policy["missing"]
    ]
    for rule in when:
        values = [*rule["equals"], *([PROCESS_1_PRCTL] if rule["call"] == "prctl" else [])]
        rules += [_allow([rule["call"]], _condition(rule, value)) for value in values]
    rules.append(_allow(list(PROCESS_1_CALLS)))
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.EPERM,
        "architectures": [ARCHITECTURES[machine]],
        "syscalls": rules,
    }


def _allow(names: list[str], *conditions: dict[str, Any]) -> dict[str, Any]:
    return {"names": names, "action": "SCMP_ACT_ALLOW", **({"args": list(conditions)} if conditions else {})}


def _condition(rule: dict[str, Any], value: int) -> dict[str, Any]:
    if "mask" in rule:
        return {"index": rule["argument"], "value": rule["mask"], "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}
    return {"index": rule["argument"], "value": value, "valueTwo": 0, "op": "SCMP_CMP_EQ"}

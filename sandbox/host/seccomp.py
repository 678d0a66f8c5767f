"""Which text does nsjail compile into the box's system call filter? policy/seccomp.toml in kafel's language."""

from __future__ import annotations

import errno
import tomllib
from functools import cache
from pathlib import Path

POLICY_FILE = Path(__file__).resolve().parent.parent / "policy" / "seccomp.toml"

# kafel names these calls after the functions in the kernel
_KAFEL_NAMES = {
    "stat": "newstat",
    "fstat": "newfstat",
    "lstat": "newlstat",
    "sendfile": "sendfile64",
    "uname": "newuname",
}


@cache
def kafel_policy(policy_file: Path = POLICY_FILE) -> str:
    """The policy as kafel text: an allow list; what is not on it fails with EPERM.

    Calls of another architecture (int 0x80) are killed by the check kafel puts in front; x32 calls by the second,
    smaller filter that sandbox/inside/init.py adds, because kafel has no way to name them.
    """
    with policy_file.open("rb") as file:
        policy = tomllib.load(file)
    allowed = [call for group in policy["allow"] for call in group["calls"].split()]
    missing = [call for group in policy["missing"] for call in group["calls"].split()]
    conditional = [" ".join(rule["call"].split()) for rule in policy["when"]]
    named = allowed + missing + [rule.split("(")[0] for rule in conditional]
    twice = {name for name in named if named.count(name) > 1}
    if twice:
        raise ValueError(f"{policy_file}: named twice: {', '.join(sorted(twice))}")
    allowed = [_KAFEL_NAMES.get(name, name) for name in allowed]
    return (
        f"POLICY box {{ ALLOW {{ {', '.join(allowed + conditional)} }}, "
        f"ERRNO({errno.ENOSYS}) {{ {', '.join(missing)} }} }} "
        f"USE box DEFAULT ERRNO({errno.EPERM})"
    )

"""Why can this machine not make a box, what is to be changed, and what is weaker than it could be?"""

from __future__ import annotations

import os
from pathlib import Path

from sandbox.host.cgroups import Parent


def missing_environment(environment: Path) -> str:
    """A sentence when the boxes' virtual environment is not usable, else nothing."""
    python = environment / "bin" / "python"
    if not python.exists():
        return f"The boxes' Python is missing ({python}): run `make run`, which installs sandbox/requirements.txt."
    if not any((environment / "lib").glob("python3*/site-packages/IPython")):
        return f"The boxes' packages are not installed in {environment}: run `make run`, which installs them."
    return ""


def why_a_box_failed(outcome: str, log: str, errors: str) -> str:
    """The reason in words, from what the kernel's settings say and what nsjail logged."""
    setting = _refusing_setting()
    if setting:
        return setting
    tail = " ".join((log or errors).split())[-600:]
    lowered = tail.lower()
    if "clone" in lowered or "newuser" in lowered:
        advice = (
            "The kernel refused a user namespace. In a container, allow clone, unshare and mount (a seccomp profile)."
        )
    elif "mount" in lowered:
        advice = "A mount was refused. In a container, allow mount; a path may also be missing or not readable."
    elif "seccomp" in lowered or "policy" in lowered:
        advice = "The system call filter was refused: the kernel needs CONFIG_SECCOMP_FILTER."
    else:
        advice = "A trial program did not do what it should."
    return f"{advice} The trial ended with: {outcome}{'; ' + tail if tail else ''}"


def _refusing_setting() -> str:
    if _number("/proc/sys/user/max_user_namespaces") == 0:
        return "User namespaces are switched off: set user.max_user_namespaces to at least 1000 with sysctl."
    if os.geteuid() == 0:
        return ""
    if _number("/proc/sys/kernel/unprivileged_userns_clone") == 0:
        return (
            "Ordinary users may not make user namespaces here: set kernel.unprivileged_userns_clone=1 with sysctl, "
            "or run the engine as root."
        )
    if _number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1:
        return (
            "AppArmor refuses user namespaces to ordinary users: add a profile with `userns,` for nsjail, "
            "set kernel.apparmor_restrict_unprivileged_userns=0 with sysctl, or run the engine as root."
        )
    return ""


def weaknesses(parent: Parent | None, distinct_users: bool) -> list[str]:
    """What a box here lacks although it is closed, each with the change that would add it."""
    found = []
    if parent is None:
        found.append(
            "No control groups: memory and processor time of all processes together are sampled ten times a second "
            "instead of limited by the kernel. Not for strangers' code in production: run the engine as root or with a "
            "delegated control group."
        )
    if not distinct_users:
        found.append(
            "All boxes run as the engine's own user, apart only by their namespaces. Run the engine as root to give "
            "each its own."
        )
    if parent is not None and _swap_is_on() and not _swap_is_limited(parent):
        found.append("This kernel does not count swap per group: switch swap off.")
    return found


def _swap_is_on() -> bool:
    try:
        return len(Path("/proc/swaps").read_text().splitlines()) > 1
    except OSError:
        return False


def _swap_is_limited(parent: Parent) -> bool:
    if parent.version == "v2":
        return True
    directories = getattr(parent, "directories", {})
    return (directories["memory"] / "memory.memsw.limit_in_bytes").exists() if "memory" in directories else False


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return None

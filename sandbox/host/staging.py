"""Where do boxes find what they mount? As root, in a private place every uid may enter; otherwise where things are.

A box of root's engine runs as a uid that owns nothing, so it cannot walk through a checkout in a 0700 home. The
engine therefore takes a mount namespace of its own and binds what boxes need into a small tmpfs there. The kernel
takes that namespace away with the engine, however it ends: nothing stays mounted, nothing has to be cleaned.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from sandbox.host.devices import Device

INSIDE = Path(__file__).resolve().parent.parent / "inside"
SDK = Path(__file__).resolve().parent.parent / "sdk"

_CLONE_NEWNS = 0x00020000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_SLAVE = (
    1,
    2,
    4,
    32,
    4096,
    16384,
    1 << 19,
)
# Places any system has and this one does not need while the engine runs: only the engine sees them covered.
_CANDIDATES = ("/mnt", "/media", "/srv", "/opt")

FONTS = """<?xml version="1.0"?>
<fontconfig><dir>/usr/share/fonts</dir><cachedir>/tmp/fontconfig</cachedir></fontconfig>
"""


class StagingError(Exception):
    """The private place could not be made; the text says which call failed."""


@dataclass(frozen=True)
class Staging:
    """Paths as nsjail should name them when it mounts."""

    environment: Path
    interpreter: Path | None  # a Python outside /usr, with the place it must have in the box
    interpreter_place: Path | None
    inside: Path
    sdk: Path
    store: Path
    layers: Path
    etc: Path
    device: Device | None = None  # that every box gets


def interpreter_prefix(environment: Path) -> Path | None:
    """The installation behind the environment's Python, when the system's /usr does not hold it."""
    python = (environment / "bin" / "python").resolve()
    if python.is_relative_to("/usr") and not python.is_relative_to("/usr/local"):
        return None
    return python.parent.parent


def prepare(environment: Path, store: Path, layers: Path, state: Path, private: bool = True) -> Staging:
    """private: in a place of the engine's own if it is root's; else where things are, for others to mount."""
    environment, store, layers, state = (path.resolve() for path in (environment, store, layers, state))
    etc = state / "etc"
    write_etc(etc)
    prefix = interpreter_prefix(environment)
    if os.geteuid() != 0 or not private:
        return Staging(environment, prefix, prefix, INSIDE, SDK, store, layers, etc)
    sources = {"environment": environment, "inside": INSIDE, "sdk": SDK, "store": store}
    sources |= {"layers": layers, "etc": etc}
    if prefix is not None:
        sources["interpreter"] = prefix
    base = _private_place([*sources.values(), Path(sys.prefix), Path(sys.base_prefix), Path.cwd(), state])
    staged = {}
    for name, source in sources.items():
        target = base / name
        target.mkdir(mode=0o755)
        _mount(str(source), target, None, _MS_BIND | _MS_REC, "")
        _mount(None, target, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV, "")
        staged[name] = target
    return Staging(
        staged["environment"],
        staged.get("interpreter"),
        prefix,
        staged["inside"],
        staged["sdk"],
        staged["store"],
        staged["layers"],
        staged["etc"],
    )


def write_etc(directory: Path) -> None:
    """The few files of /etc a program may look for, about the box and not about this machine."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)
    contents = {
        "passwd": "box:x:1000:1000:box:/box:/bin/sh\n",
        "group": "box:x:1000:\n",
        "hosts": "127.0.0.1 localhost\n",
        "hostname": "box\n",
        # Some libraries look for fonts through fontconfig, which complains when it has no configuration at all.
        "fonts/fonts.conf": FONTS,
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    }
    for name, text in contents.items():
        path = directory / name
        path.parent.mkdir(mode=0o755, exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)
    # The loader's cache is this machine's own: without it every library is searched for along the default paths.
    cache = Path("/etc/ld.so.cache")
    if cache.exists():
        shutil.copyfile(cache, directory / "ld.so.cache")


def _private_place(needed: list[Path]) -> Path:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        raise StagingError(f"a mount namespace was refused: {os.strerror(ctypes.get_errno())}")
    _mount(None, Path("/"), None, _MS_REC | _MS_SLAVE, "")
    for candidate in map(Path, _CANDIDATES):
        covers = any(path.is_relative_to(candidate) for path in needed)
        if candidate.is_dir() and not candidate.is_symlink() and not covers:
            _mount("playground", candidate, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755,size=64k")
            return candidate
    raise StagingError(f"none of {', '.join(_CANDIDATES)} is there to be covered")


def _mount(source: str | None, target: Path, kind: str | None, flags: int, data: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = [None if value is None else os.fsencode(value) for value in (source, target, kind)]
    if libc.mount(*arguments, ctypes.c_ulong(flags), data.encode()) != 0:
        number = ctypes.get_errno()
        raise StagingError(f"mounting {source or ''} on {target} failed: {os.strerror(number)}")

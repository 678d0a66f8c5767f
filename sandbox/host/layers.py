"""Where do built layers live, who uses them, and when do they go? One directory per lock, made once, read by every uid.

    <sha256 of the lock>/            the modules; boxes mount it read-only
    <sha256>.lock                    the lock's text: the layer can be made again from it
    <sha256>.json                    what it holds: bytes, files, import names
    <sha256>.use                     locked (shared) by whoever has a box with it; its time is that of the last use
    <sha256>.making                  locked by whoever builds it
    making-*                         unfinished; a builder that died left it

A layer appears by a rename, finished. It is removed only by a collector that holds its .use file alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sandbox.host.locks import Lock
from sandbox.host.package_rules import PackageRefused

NAME = re.compile(r"[0-9a-f]{64}")
OVERRIDES = "overrides"
POLL_SECONDS = 0.1
ABANDONED_SECONDS = 3600.0
COMPILE_MEMORY = 2 << 30


class Layers:
    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, sha256: str) -> Path:
        return self.root / sha256

    def is_built(self, sha256: str) -> bool:
        return self.path(sha256).is_dir()

    def state(self, sha256: str) -> dict[str, Any]:
        """What is known of a built layer; nothing when it is not built."""
        try:
            return json.loads((self.root / f"{sha256}.json").read_text())
        except (OSError, ValueError):
            return {}

    @contextmanager
    def used(self, sha256: str) -> Iterator[None]:
        """While this lasts the layer is not collected. It need not exist yet."""
        self._make_root()
        descriptor = self._locked(self.root / f"{sha256}.use", fcntl.LOCK_SH)
        try:
            os.utime(descriptor)
            yield
        finally:
            os.close(descriptor)

    def build(
        self,
        lock: Lock,
        fill: Callable[[Path], None],
        python: Path,
        told: Callable[[str], None],
        deadline: float,
    ) -> Path:
        """The layer's directory, made by fill(directory) when nobody has made it yet. Call inside used()."""
        self._make_root()
        final = self.path(lock.sha256)
        with self._alone(self.root / f"{lock.sha256}.making", told, deadline):
            if final.is_dir():
                return final
            making = Path(tempfile.mkdtemp(prefix="making-", dir=self.root))
            try:
                fill(making)
                if lock.overrides:
                    (making / OVERRIDES).write_text("".join(f"{name}\n" for name in sorted(lock.overrides)))
                told("Compiling")
                _compile(making, python, told, deadline)
                size, files = _open_to_everyone(making)
                state = {
                    "bytes": size,
                    "files": files,
                    "modules": _modules(making),
                    "overrides": sorted(lock.overrides),
                    "packages": [f"{one.name} {one.version}" for one in lock.packages],
                }
                _write(self.root / f"{lock.sha256}.lock", lock.text)
                _write(self.root / f"{lock.sha256}.json", json.dumps(state))
                making.rename(final)
            finally:
                shutil.rmtree(making, ignore_errors=True)
        return final

    def collect(
        self,
        most_bytes: int,
        keep_seconds: float,
        referenced: Collection[str] = (),
        in_use: Collection[str] = (),
    ) -> list[str]:
        """Remove what nobody used for keep_seconds and no kept run names; then, over most_bytes, the longest unused.

        The names of the removed layers. One that is in use stays, whatever it costs: those a run holds are known here,
        those of live interpreters are named by in_use.
        """
        if not self.root.is_dir():
            return []
        now = time.time()
        self._remove_abandoned(now)
        layers = [path.name for path in self.root.iterdir() if NAME.fullmatch(path.name)]
        last_used = {name: self._last_used(name) for name in layers}
        sizes = {name: int(self.state(name).get("bytes", 0)) for name in layers}
        total = sum(sizes.values())
        removed = []

        def keeps(name: str) -> bool:
            return name in referenced or now - last_used[name] < keep_seconds

        # What is kept goes last, and only for want of space.
        for name in sorted(layers, key=lambda name: (keeps(name), last_used[name])):
            if name not in in_use and (not keeps(name) or total > most_bytes) and self._remove(name):
                total -= sizes[name]
                removed.append(name)
        return removed

    def _make_root(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        if self.root.stat().st_uid == os.geteuid():
            self.root.chmod(0o755)  # whatever the umask is: boxes have uids of their own

    def _last_used(self, name: str) -> float:
        for path in (self.root / f"{name}.use", self.path(name)):
            with suppress(OSError):
                return path.stat().st_mtime
        return 0.0

    def _remove(self, name: str) -> bool:
        try:
            descriptor = self._locked(self.root / f"{name}.use", fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        try:
            aside = self.root / f"making-{name}"
            shutil.rmtree(aside, ignore_errors=True)
            with suppress(FileNotFoundError):
                self.path(name).rename(aside)
            shutil.rmtree(aside, ignore_errors=True)
            for ending in ("lock", "json", "making", "use"):
                (self.root / f"{name}.{ending}").unlink(missing_ok=True)
        finally:
            os.close(descriptor)
        return True

    def _remove_abandoned(self, now: float) -> None:
        for path in self.root.glob("making-*"):
            with suppress(OSError):
                if now - path.stat().st_mtime > ABANDONED_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def _alone(self, path: Path, told: Callable[[str], None], deadline: float) -> Iterator[None]:
        while True:
            try:
                descriptor = self._locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise PackageRefused("", "Another run is still building the same packages. Try again.") from None
                told("Waiting for another run that builds the same packages")
                time.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            os.close(descriptor)

    @staticmethod
    def _locked(path: Path, how: int) -> int:
        """A lock on the file that has this name now: a collector may have removed the one we opened."""
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, how)
                with suppress(FileNotFoundError):
                    if os.fstat(descriptor).st_ino == path.stat().st_ino:
                        return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)


def _compile(folder: Path, python: Path, told: Callable[[str], None], deadline: float) -> None:
    """Bytecode by the boxes' own Python, which reads the sources and imports none. What is no Python stays as it is."""
    words = [str(python), "-I", "-S", "-m", "compileall", "-q", "-q", "--invalidation-mode", "unchecked-hash"]
    # Paths in tracebacks are those of the box.
    words += ["-s", str(folder), "-p", "/opt/layer", str(folder)]
    process = subprocess.Popen(
        words,
        env={"PATH": "/usr/bin:/bin"},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (COMPILE_MEMORY, COMPILE_MEMORY)),
    )
    try:
        while process.poll() is None and time.monotonic() < deadline:
            told("Compiling")
            with suppress(subprocess.TimeoutExpired):
                process.wait(POLL_SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _open_to_everyone(folder: Path) -> tuple[int, int]:
    """Readable whatever the umask was; bytes and files in all."""
    size = files = 0
    for directory, _names, names in os.walk(folder):
        os.chmod(directory, 0o755)
        for name in names:
            path = os.path.join(directory, name)
            found = os.stat(path)
            os.chmod(path, 0o755 if found.st_mode & 0o100 else 0o644)
            size, files = size + found.st_size, files + 1
    return size, files


def _modules(folder: Path) -> list[str]:
    """The import names a layer adds."""
    names = set()
    for path in folder.iterdir():
        if path.is_dir() and path.name.isidentifier() and path.name != "__pycache__":
            names.add(path.name)
        elif path.suffix in (".py", ".so"):
            names.add(path.name.partition(".")[0])
    return sorted(names)


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(text)
    draft.replace(path)

"""How do a project's packages get into its box? From requirements to a lock, from a lock to a layer.

    packages = Packages(layers=..., cache=..., python=..., index_url=..., rules=PackageRules(), engine=client)
    lock = packages.lock(requirements_of(files, "main.py"), told)      # asks the index; None: every box has it all
    with packages.layer(lock, told) as directory:                      # built once per lock, then only looked up
        ...                                                            # BoxRequest(layer=lock.sha256)

Everything here happens outside of boxes and executes nothing of a package; what has to be executed to be had (a source
distribution) is executed in a box. Nothing is ever installed because an import failed.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TypeVar

from packaging.utils import InvalidSdistFilename, parse_sdist_filename
from packaging.version import InvalidVersion, Version

from sandbox.client import EngineClient
from sandbox.host.imports import Missing, asked_beside, missing_imports, needs_a_network
from sandbox.host.layers import Layers
from sandbox.host.locks import Lock, Locked, base_hash, resolve, still_needed
from sandbox.host.package_index import IndexPage, PackageIndex, default_index, forget_pages
from sandbox.host.package_names import check_name, popular_names
from sandbox.host.package_rules import (
    IndexUnavailable,
    PackageRefused,
    PackageRules,
    Progress,
    megabytes,
    normal_name,
)
from sandbox.host.requirements import FIELD, Asked, requirements_of, with_requirement
from sandbox.host.source_builds import MAX_SDIST_BYTES, build_wheel
from sandbox.host.wheels import Unpacked, check_identity, unpack

# All the site needs of packages; it imports this module and none of those behind it.
__all__ = [
    "FIELD",
    "Asked",
    "IndexUnavailable",
    "Layers",
    "Lock",
    "Missing",
    "PackageRefused",
    "PackageRules",
    "Packages",
    "Progress",
    "asked_beside",
    "base_hash",
    "check_name",
    "default_index",
    "forget_pages",
    "missing_imports",
    "needs_a_network",
    "requirements_of",
    "still_needed",
    "with_requirement",
]

POLL_SECONDS = 0.1
_SDIST = re.compile(r"[A-Za-z0-9_.+!-]+\.tar\.gz")
T = TypeVar("T")
FREE_BYTES = 1 << 30  # of the disk that stay free beside a layer


class Packages:
    def __init__(
        self,
        *,
        layers: Path,
        cache: Path,
        python: Path,
        index_url: str,
        rules: PackageRules,
        engine: EngineClient,
        owner: str = "packages",  # whose boxes those of source builds are
    ) -> None:
        self.layers = Layers(layers)
        self.rules = rules
        self._cache = cache
        self._python = python
        self._index = PackageIndex(index_url, cache, rules.patience_seconds)
        self._engine = engine
        self._owner = owner
        self._deadline = time.monotonic() + rules.seconds

    # From requirements to a lock

    def lock(self, asked: list[Asked], told: Progress) -> Lock | None:
        """The exact files, after every name has been looked at. None when every box has what is asked for."""
        for one in asked:
            check_name(one.requirement.name, self.rules)
        needed = still_needed(asked)
        if not needed:
            return None
        told("Resolving", 0, 0)
        for one in needed:
            self._check_page(one.requirement.name, told)
        with tempfile.TemporaryDirectory(prefix="sources-") as folder:
            built = {one.name: self._from_source(one, Path(folder), told) for one in needed if one.from_source}
            lock = resolve(needed, built, self._index.url, self._python, told, self._deadline)
        self._check_lock(lock, told)
        return lock if lock.packages else None

    def _check_page(self, name: str, told: Progress) -> IndexPage:
        """The page of a name that may be installed: it is there, and neither too young nor too rare."""
        normal = normal_name(name)
        page = self._page(name, told)
        if page is None:
            raise PackageRefused(name, f"No package called {name} in the index. Look at how it is spelt.")
        if normal in self.rules.allowed or normal in popular_names():
            return page
        first = page.first_upload()
        oldest = datetime.now(UTC) - timedelta(days=self.rules.youngest_days)
        if first is not None and first > oldest:
            raise PackageRefused(
                name,
                f"{name} is not installed: its name is in the index since {first:%Y-%m-%d} only, and names younger "
                f"than {self.rules.youngest_days} days are how harmful packages begin. Try again later, or ask the "
                "operators to allow it.",
            )
        if len(page.versions) < self.rules.fewest_releases:
            have = "1 release" if len(page.versions) == 1 else f"{len(page.versions)} releases"
            raise PackageRefused(
                name,
                f"{name} is not installed: it has {have}, and rare packages are not installed before they have "
                f"{self.rules.fewest_releases}. Ask the operators to allow it.",
            )
        return page

    def _check_lock(self, lock: Lock, told: Progress) -> None:
        """What the resolver added to what was asked for obeys the same rules."""
        rules = self.rules
        if len(lock.packages) > rules.packages:
            raise PackageRefused(
                "", f"These requirements need {len(lock.packages)} packages; {rules.packages} is the most for a run."
            )
        for one in lock.packages:
            if one.name in rules.blocked:
                raise PackageRefused(
                    one.name, f"{one.name}, which is needed, is blocked by the operators of this site."
                )
            page = self._check_page(one.name, told)
            file = page.file(one.file)
            if file is not None and file.withdrawn is not None:
                why = f" ({file.withdrawn[:200]})" if file.withdrawn else ""
                raise PackageRefused(
                    one.name,
                    f"{one.name} {one.version} is not installed: its authors have withdrawn this release{why}. "
                    "Ask for another one.",
                )
        total = sum(one.size for one in lock.packages)
        if total > rules.download_bytes:
            largest = max(lock.packages, key=lambda one: one.size)
            raise PackageRefused(
                largest.name,
                f"{largest.name} is too large: with it {megabytes(total)} would be downloaded, and "
                f"{megabytes(rules.download_bytes)} is the most for a run.",
            )

    def _from_source(self, one: Asked, folder: Path, told: Progress) -> tuple[Locked, Path]:
        """The newest source distribution that will do, built to a wheel."""
        name = one.requirement.name
        if not self.rules.source_builds:
            raise PackageRefused(name, f"{name} is not built from source: the operators of this site do not allow it.")
        page = self._check_page(name, told)
        sources: dict[Version, str] = {}
        for file in page.files:
            try:
                found, version = parse_sdist_filename(file.name)
            except (InvalidSdistFilename, InvalidVersion):
                continue
            if file.withdrawn is None and _SDIST.fullmatch(file.name) and normal_name(found) == one.name:
                sources[version] = file.name
        fitting = list(one.requirement.specifier.filter(sources))
        if not fitting:
            raise PackageRefused(
                name, f"{name} has no source distribution that fits {one.text.removesuffix(' --sdist')}."
            )
        version = max(fitting)
        stated = page.file(sources[version])
        assert stated is not None
        locked = Locked(one.name, str(version), stated.name, stated.size or 0, stated.sha256)
        return locked, self._wheel_of(locked, folder, told)

    # From a lock to a layer

    @contextmanager
    def layer(self, lock: Lock, told: Progress) -> Iterator[Path]:
        """The lock's layer, kept from the collector while the block lasts; built first when it is not there."""
        with self.layers.used(lock.sha256):
            if not self.layers.is_built(lock.sha256):
                for one in lock.packages:
                    if one.name in self.rules.blocked:
                        raise PackageRefused(one.name, f"{one.name} is blocked by the operators of this site.")
                self._check_space()
                self.layers.build(
                    lock,
                    lambda folder: self._fill(lock, folder, told),
                    self._python,
                    lambda text: told(text, 0, 0),
                    self._deadline,
                )
            yield self.layers.path(lock.sha256)

    def _fill(self, lock: Lock, target: Path, told: Progress) -> None:
        unpacked = Unpacked(self.rules.unpacked_bytes, self.rules.files, lambda: self._in_time(told))
        spent = 0
        with tempfile.TemporaryDirectory(prefix="making-", dir=self.layers.root) as folder:
            for one in sorted(lock.packages, key=lambda one: one.name):
                if one.from_source:
                    wheel = self._wheel_of(one, Path(folder), told)
                else:
                    wheel = self._download(one, Path(folder), self.rules.download_bytes - spent, told)
                spent += wheel.stat().st_size
                told(f"Unpacking {one.name} {one.version}", 0, 0)
                unpack(wheel, one.name, target, unpacked)
                wheel.unlink()

    def _in_time(self, told: Progress) -> None:
        if time.monotonic() > self._deadline:
            raise PackageRefused(
                "", f"The packages were not ready after {self.rules.seconds:.0f} s, the limit for a run."
            )
        told("", 0, 0)

    def _wheel_of(self, one: Locked, folder: Path, told: Progress) -> Path:
        sdist = self._download(one, folder, MAX_SDIST_BYTES, told)
        told(f"Building {one.name} {one.version} from source", 0, 0)
        wheel = build_wheel(sdist, one.name, folder, self._engine, lambda: self._in_time(told), self._owner)
        check_identity(wheel, one.name, one.version)
        return wheel

    def _download(self, one: Locked, folder: Path, most: int, told: Progress) -> Path:
        page = self._page(one.name, told, "")
        file = page.file(one.file) if page is not None else None
        if file is None:
            raise PackageRefused(one.name, f"{one.name} {one.version} is no longer in the package index.")
        if file.sha256 != one.sha256:
            raise PackageRefused(
                one.name, f"{one.name} is not installed: the index gives {one.file} another hash than the lock has."
            )
        size = one.size or file.size or 0
        text = f"Downloading {one.name} {one.version}" + (f" ({megabytes(size)})" if size else "")
        told(text, 0, size)
        target = folder / one.file
        done = 0

        def count(bytes_so_far: int) -> None:
            nonlocal done
            done = bytes_so_far

        patiently(
            lambda: self._index.download(file, one.name, target, max(0, most), count, self._deadline),
            lambda: told(text, done, size),
        )
        return target

    def _page(self, name: str, told: Progress, text: str = "Resolving") -> IndexPage | None:
        return patiently(lambda: self._index.page(name), lambda: told(text, 0, 0))

    def _check_space(self) -> None:
        root = self.layers.root
        free = shutil.disk_usage(root if root.is_dir() else root.parent).free
        if free < self.rules.unpacked_bytes + FREE_BYTES:
            raise PackageRefused("", "No packages can be installed at the moment: the site's disk is nearly full.")


def patiently(action: Callable[[], T], told: Callable[[], None]) -> T:
    """The action's answer. It may hang on a network; told() is called all the while and gives up by raising."""
    answers: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def work() -> None:
        try:
            answers.put((action(), None))
        except BaseException as error:
            answers.put((None, error))

    threading.Thread(target=work, name="package index", daemon=True).start()
    while True:
        told()
        try:
            answer, error = answers.get(timeout=POLL_SECONDS)
        except Empty:
            continue
        if error is not None:
            raise error
        return answer  # type: ignore[return-value]

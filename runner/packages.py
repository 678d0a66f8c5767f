"""Packages of projects: what is missing before a run, which lock a run has, and its layer while it goes on.

The work itself is sandbox.host.packages; here it meets projects, runs and settings.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from runner.models import ENTRY, PackageLock, Project, Run, Session
from sandbox.client import EngineClient
from sandbox.host.packages import (
    FIELD,
    Asked,
    IndexUnavailable,
    Layers,
    Lock,
    Missing,
    PackageRefused,
    PackageRules,
    Packages,
    Progress,
    asked_beside,
    base_hash,
    check_name,
    default_index,
    forget_pages,
    missing_imports,
    needs_a_network,
    requirements_of,
    still_needed,
    with_requirement,
)

__all__ = ["FIELD", "IndexUnavailable", "PackageRefused", "Progress"]

# Two projects that ask for the same within this time get the same versions; a project keeps its own for good.
SHARED = timedelta(days=1)
MAX_OFFERED = 10
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,98}[a-z0-9])?")


def rules() -> PackageRules:
    return PackageRules(
        packages=settings.PACKAGES_PER_RUN,
        download_bytes=settings.PACKAGE_DOWNLOAD_MB * 1_000_000,
        unpacked_bytes=settings.PACKAGE_UNPACKED_MB * 1_000_000,
        files=settings.PACKAGE_FILES,
        seconds=settings.PACKAGE_SECONDS,
        youngest_days=settings.PACKAGE_YOUNGEST_DAYS,
        fewest_releases=settings.PACKAGE_FEWEST_RELEASES,
        source_builds=settings.PACKAGE_SDISTS,
        allowed=frozenset(settings.PACKAGE_ALLOW),
        blocked=frozenset(settings.PACKAGE_BLOCK),
    )


# Before a run --------------------------------------------------------------------------------------------------


def check(files: dict[str, str]) -> list[Asked]:
    """What the files ask for. Raises PackageRefused for what is known to be refused without asking the index."""
    asked = requirements_of(files, ENTRY)
    if asked and not settings.PACKAGES:
        if needed := still_needed(asked):
            raise PackageRefused(needed[0].name, f"{needed[0].name} is not installed: this site installs no packages.")
        return []
    for one in asked:
        check_name(one.requirement.name, rules())
    return asked


def offered(project: Project, files: dict[str, str]) -> list[Missing]:
    """Imported packages that are neither in every box nor asked for, and may be offered.

    A name that would be refused is not offered: the run says at its line what was probably meant.
    """
    if not settings.PACKAGES:
        return []
    try:
        asked = requirements_of(files, ENTRY)
    except PackageRefused:
        return []  # starting the run says why
    found: dict[str, Missing] = {}
    for one in missing_imports(files, {each.name for each in asked}, _provided(project, asked)):
        if needs_a_network(one.module) or one.distribution in found or not _NAME.fullmatch(one.distribution):
            continue
        try:
            check_name(one.distribution, rules())
        except PackageRefused:
            continue
        found[one.distribution] = one
    return list(found.values())[:MAX_OFFERED]


def with_packages(files: dict[str, str], names: list[str]) -> dict[str, str]:
    """The files, asking for these packages as well. Raises PackageRefused for what is no plain name."""
    for name in names[:MAX_OFFERED]:
        if [each.name for each in requirements_of({FIELD: name}, ENTRY)] != [name]:
            raise PackageRefused("", f"“{name[:80]}” is not the name of a package.")
        check_name(name, rules())
    have = {one.name for one in requirements_of(files, ENTRY)}
    beside = [wish for name in names[:MAX_OFFERED] for wish in asked_beside(name)]
    wishes = [each for each in beside if requirements_of({FIELD: each}, ENTRY)[0].name not in have]
    return with_requirement(files, ENTRY, [*names[:MAX_OFFERED], *dict.fromkeys(wishes)])


def _provided(project: Project, asked: list[Asked]) -> frozenset[str]:
    """Import names that the project's layer holds: a package need not be imported by its own name."""
    if not asked:
        return frozenset()
    lock = _recorded(project, asked)
    if lock is None:
        return frozenset()
    return frozenset(Layers(Path(settings.LAYERS_DIR)).state(lock.sha256).get("modules", ()))


# The lock of a run ---------------------------------------------------------------------------------------------


@contextmanager
def layer_of(run: Run, told: Progress) -> Iterator[PackageLock | None]:
    """The run's lock with its layer ready, while the block lasts; None for a run that needs neither.

    Raises PackageRefused or IndexUnavailable. A run that has a lock (run again from an older one) keeps it.
    """
    lock = run.lock
    packages: Packages | None = None
    if lock is None:
        asked = check(run.revision.files)
        if not still_needed(asked):
            yield None
            return
        lock = _recorded(run.project, asked)
        if lock is None:
            packages = _packages(run.owner_key)
            found = packages.lock(asked, told)
            if found is None:
                yield None
                return
            lock, _made = PackageLock.objects.get_or_create(
                sha256=found.sha256,
                defaults={"text": found.text, "base": found.base},
            )
        run.lock, run.requirements = lock, _digest(asked)
        Run.objects.filter(pk=run.pk).update(lock=lock, requirements=run.requirements)
    with (packages or _packages(run.owner_key)).layer(Lock.from_text(lock.text), told):
        PackageLock.objects.filter(pk=lock.pk).update(used=timezone.now())
        yield lock


def packages_of(run: Run) -> set[str]:
    """Names of what the run has beside every box's packages."""
    return {name for name, _ in run.lock.packages} if run.lock is not None else set()


def _recorded(project: Project, asked: list[Asked]) -> PackageLock | None:
    """The lock these requirements had before: the project's own, or that of another one a short time ago."""
    same = Run.objects.filter(requirements=_digest(asked), lock__base=base_hash()).select_related("lock")
    own = same.filter(revision__project=project).order_by("-queued").first()
    found = own or same.filter(lock__created__gt=timezone.now() - SHARED).order_by("-queued").first()
    return found.lock if found is not None else None


def _digest(asked: list[Asked]) -> str:
    """Of the requirements, however they are spelt and ordered."""
    return hashlib.sha256("\n".join(sorted(one.text for one in asked)).encode()).hexdigest()


def _page_cache() -> Path:
    return Path(settings.DATA_DIR) / "package-index"


def _packages(owner: str) -> Packages:
    return Packages(
        layers=Path(settings.LAYERS_DIR),
        cache=_page_cache(),
        python=Path(settings.SANDBOX_ENV) / "bin" / "python",
        index_url=settings.PACKAGE_INDEX or default_index(),
        rules=rules(),
        engine=EngineClient(settings.ENGINE_SOCKET),
        owner=owner,
    )


# What a page shows of them -------------------------------------------------------------------------------------


def shown(files: dict[str, str], lock: PackageLock | None) -> list[dict[str, str]]:
    """The packages of a project: what it asks for, with the versions of its last run, then what those brought."""
    try:
        asked = requirements_of(files, ENTRY)
    except PackageRefused:
        asked = []
    versions = dict(lock.packages) if lock is not None else {}
    rows = [{"name": one.name, "asked": one.text, "version": versions.pop(one.name, "")} for one in asked]
    return rows + [{"name": name, "asked": "", "version": version} for name, version in sorted(versions.items())]


def collect_layers() -> list[str]:
    """Remove layers nobody needs: by last use, unless a kept run names them, and by total size."""
    referenced = set(PackageLock.objects.filter(runs__isnull=False).values_list("sha256", flat=True))
    layers = Layers(Path(settings.LAYERS_DIR))
    # Interpreters that live on between two cells have their packages mounted.
    in_use = set(Session.objects.alive().filter(lock__isnull=False).values_list("lock__sha256", flat=True))
    removed = layers.collect(settings.LAYERS_GB * 1_000_000_000, settings.LAYERS_DAYS * 86_400, referenced, in_use)
    forget_pages(_page_cache())
    PackageLock.objects.filter(
        runs__isnull=True, used__lt=timezone.now() - timedelta(days=settings.LAYERS_DAYS)
    ).delete()
    return removed

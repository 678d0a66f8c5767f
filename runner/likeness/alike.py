"""Which programs of the same author run a project's own strategies, spelled otherwise?

Whoever pastes a strategy into a new project, writes another number into it, gives its variables other names, or moves
its parts, has tried the same thing again. Programs are read when a run of theirs has ended, and looked up afterwards.
Of those that are not known then, no more is read at once than MOST_AT_ONCE: what is beyond it is alike to its exact
copies alone until the next time, which goes on from there.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from django.core.cache import cache
from redis.exceptions import RedisError

from runner.likeness.shapes import strategies_of
from runner.likeness.stored import MOST_CHARACTERS, shape_of
from runner.likeness.work import TooLarge, Work
from runner.models import Project, Revision

__all__ = [
    "Program",
    "alike_revisions",
    "are_alike",
    "program_of",
    "programs_by_revision",
    "programs_of_revisions",
    "read",
]

MOST_OWN = 50  # latest revisions of the project
MOST_OTHERS = 100  # latest revisions of its owner's other projects
MOST_OF_ALL_FILES = 4 * MOST_CHARACTERS  # of a program; the shape of longer ones is their text
MOST_READ = 1_000_000  # characters whose strategies are read: notes and texts may be long, and nodes are counted
MOST_AT_ONCE = 300_000  # characters that are read and nodes that are looked at or copied, of programs not known yet
MOST_KEPT = 10_000
SHARED = "programs-2-"  # in the cache; another number where programs are read otherwise
SECONDS_SHARED = 365 * 24 * 3600


class Program(NamedTuple):
    """strategies: of each strategy that it runs a hash; of all of it where they cannot be told. shape: of its code."""

    strategies: frozenset[str]
    shape: str


_programs: dict[str, Program] = {}  # by the SHA-256 of the files, which never change


def alike_revisions(project: Project, traded: Collection[int] = ()) -> list[int]:
    """Those of the owner's other projects that run the strategies of one of its own, however they are spelled. traded:
    those that trade nearly the same; they are among them, and so is what runs the same strategies as they do.
    """
    if project.owner_id is None:
        return []
    others = list(_ran().filter(project__owner=project.owner_id).exclude(project=project)[:MOST_OTHERS])
    if not others:
        return []
    own = {*programs_by_revision(project).values(), *programs_of_revisions(traded).values()}
    programs = _programs_of([digest for _, digest in others])
    return [*traded, *(pk for pk, digest in others if any(are_alike(programs[digest], each) for each in own))]


def are_alike(one: Program, other: Program) -> bool:
    """Whether all that one of two programs has run is in the other: what both compare with makes them not alike."""
    return one.shape == other.shape or one.strategies <= other.strategies or other.strategies <= one.strategies


def programs_by_revision(project: Project, most: int = 0, work: int = 0) -> dict[int, Program]:
    """Its latest revisions that ran. most, work: how many and how much is read, where it is not as much as always."""
    own = list(_ran().filter(project=project)[: most or MOST_OWN])
    programs = _programs_of([digest for _, digest in own], work)
    return {pk: programs[digest] for pk, digest in own}


def programs_of_revisions(revisions: Collection[int]) -> dict[int, Program]:
    """The latest of these."""
    if not revisions:
        return {}
    found = list(_ran().filter(pk__in=revisions)[:MOST_OTHERS])
    programs = _programs_of([digest for _, digest in found])
    return {pk: programs[digest] for pk, digest in found}


def read(revision: Revision) -> None:
    """So that it is known when somebody asks."""
    _programs_of([revision.sha256])


def _ran() -> Any:
    return Revision.objects.filter(runs__isnull=False).distinct().order_by("-pk").values_list("pk", "sha256")


def _programs_of(digests: Iterable[str], work: int = 0) -> dict[str, Program]:
    """By the SHA-256 of the files, of which the first are read first. All processes share what one has found."""
    wanted = dict.fromkeys(digests)
    found = {digest: _programs[digest] for digest in wanted if digest in _programs}
    missing = [digest for digest in wanted if digest not in found]
    if not missing:
        return found
    shared: dict[str, Program] = {}
    with suppress(RedisError):
        known = cache.get_many([SHARED + digest for digest in missing])
        shared = {key.removeprefix(SHARED): told for key, told in known.items()}
    new, left = _read([digest for digest in missing if digest not in shared], work or MOST_AT_ONCE)
    if new:
        with suppress(RedisError):
            cache.set_many({SHARED + digest: program for digest, program in new.items()}, SECONDS_SHARED)
    shared |= new
    if len(_programs) > MOST_KEPT:
        _programs.clear()
    _programs.update(shared)
    return found | shared | left


def _read(digests: list[str], work: int) -> tuple[dict[str, Program], dict[str, Program]]:
    """Those that the work is enough for, and the others, which are known by their digests alone."""
    new: dict[str, Program] = {}
    for digest in digests:
        if work <= 0:
            break
        files = Revision.objects.filter(sha256=digest).values_list("files", flat=True).first()
        if files is None:  # just deleted
            continue
        asked = Work()
        new[digest] = program_of(files, asked)
        work -= asked.done + sum(map(len, files.values()))
    return new, {digest: Program(frozenset([digest]), digest) for digest in digests if digest not in new}


def program_of(files: dict[str, str], work: Work | None = None) -> Program:
    texts = {path[:-3].replace("/", "."): text for path, text in files.items() if path.endswith(".py")}
    length = sum(map(len, texts.values()))
    shape = shape_of(files) if length <= MOST_OF_ALL_FILES else _hashed(*sorted(texts.values()))
    found: frozenset[str] = frozenset()
    if length <= MOST_READ:
        with suppress(SyntaxError, ValueError, RecursionError, MemoryError, TooLarge):
            found = strategies_of({name: ast.parse(text) for name, text in texts.items()}, work or Work())
    return Program(found or frozenset([shape]), shape)


def _hashed(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "replace")).hexdigest()

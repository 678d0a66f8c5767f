"""Which programs of the same author trade nearly the same, whatever they look like?

A program can be written in more ways than are known, and what it did cannot: of every backtest the site keeps on which
side of each instrument it stood, and from when on. Two backtests are of one strategy where these agree over the days
that both cover. Runs are compared once, when they end.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from django.db.models import QuerySet
from django.db.models.fields.json import KT

from runner.models import Backtest, Project, Run, TradedAlike

__all__ = ["agreement", "hashes_by_revision", "note", "sides_of", "traded_alike"]

LEAST = 0.95  # correlation of the sides: neighbouring numbers of one strategy have more, different strategies less
LEAST_TURNS = 5  # times that a position was left or turned: who buys and holds does what everybody does
COMMON = 0.5  # of the shorter of two backtests, the days that the other one covers, too
SMALL = 0.1  # of the largest part of the account that was in an instrument, or of all of it: less is no position
MOST_CHANGES = 1_000  # of a backtest, the latest ones
MOST_OTHERS = 500  # latest backtests of the same instruments in the author's other projects
MOST_ALIKE = 1_000  # latest revisions whose trials count for one project
MOST_WORK = 200_000  # changes that are compared at once
MOST_INSTRUMENTS = 50  # of which another one has to have one, too

Change = tuple[int, int]  # seconds since 1970, and from then on 1 for long, -1 for short, 0 for neither


def sides_of(backtest: Backtest) -> dict[str, Any]:
    """What the site keeps of it; {} where it left or turned its positions too seldom to be compared.

    first, last: seconds since 1970. held: by instrument its changes, oldest first. hash: SHA-256 of held.
    """
    parts = _parts_of(backtest)
    largest = min(1.0, max((abs(part) for _, _, part in parts), default=0.0))
    changes: list[tuple[int, str, int]] = []
    now: dict[str, int] = {}
    for moment, name, part in parts:
        side = 0 if abs(part) <= SMALL * largest else int(math.copysign(1, part))
        if side != now.get(name, 0):
            now[name] = side
            changes.append((moment, name, side))
    first, last = _seconds(backtest.dates[0]), _seconds(backtest.dates[-1])
    if len(changes) > MOST_CHANGES:
        first = changes[-MOST_CHANGES][0]
        begun = {name: (first, name, side) for _, name, side in changes[:-MOST_CHANGES]}
        changes = [*begun.values(), *changes[-MOST_CHANGES:]]
    held: dict[str, list[Change]] = {}
    for moment, name, side in changes:
        held.setdefault(name, []).append((moment, side))
    if sum(before != 0 for each in held.values() for (_, before), _ in pairwise(each)) < LEAST_TURNS:
        return {}
    told = json.dumps(held, sort_keys=True)
    return {"first": first, "last": last, "held": held, "hash": hashlib.sha256(told.encode()).hexdigest()}


def _parts_of(backtest: Backtest) -> list[tuple[int, str, float]]:
    """After each bar with fills: when, of which instrument, and the part of the account that was in it then."""
    names = [str(each.get("series") or each.get("symbol") or "") for each in backtest.instruments]
    units: dict[int, float] = {}
    found: dict[tuple[int, int], tuple[int, str, float]] = {}
    acts = [*backtest.flows, *backtest.fills]  # of one bar the flows are first
    for act in sorted(acts, key=lambda each: each["bar"]):
        at, bar, price = act.get("instrument", 0), act["bar"], 0.0
        if at is None:
            continue
        match act.get("kind"):
            case None:
                units[at], price = units.get(at, 0.0) + act["size"], act["price"]
            case "split":
                units[at] = units.get(at, 0.0) * act.get("ratio", 1.0)
                continue
            case "delisting":
                units[at] = 0.0
            case _:
                continue
        equity = backtest.equity[bar]
        part = units[at] * price / equity if equity > 0 else 0.0
        found.pop((bar, at), None)
        found[bar, at] = _seconds(backtest.dates[bar]), names[at], part if math.isfinite(part) else 0.0
    return list(found.values())


def _seconds(date: str) -> int:
    return int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp())


def agreement(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """Correlation over time of the sides that two backtests stood on, of each instrument about its own mean; 0 where
    there is too little to compare.
    """
    first, last = max(one["first"], other["first"]), min(one["last"], other["last"])
    shorter = min(one["last"] - one["first"], other["last"] - other["first"])
    if last <= first or last - first < COMMON * shorter or not one["held"].keys() & other["held"].keys():
        return 0.0
    both = own = others = 0.0
    turns = [0, 0]
    for name in one["held"].keys() | other["held"].keys():
        x = y = xx = yy = xy = 0.0
        before = (0, 0)
        for length, *sides in _stretches(one["held"].get(name, ()), other["held"].get(name, ()), first, last):
            part = length / (last - first)
            a, b = sides
            x, y, xx, yy, xy = x + part * a, y + part * b, xx + part * a * a, yy + part * b * b, xy + part * a * b
            turns[0] += before[0] not in (0, a)
            turns[1] += before[1] not in (0, b)
            before = a, b
        both, own, others = both + xy - x * y, own + xx - x * x, others + yy - y * y
    if min(turns) < LEAST_TURNS or min(own, others) <= 0:
        return 0.0
    return both / math.sqrt(own * others)


def _stretches(
    one: Sequence[Sequence[int]], other: Sequence[Sequence[int]], first: int, last: int
) -> Iterator[tuple[int, int, int]]:
    """Seconds and both sides, from change to change."""
    sides = [0, 0]
    begun = first
    changes = [(moment, which, side) for which, each in enumerate((one, other)) for moment, side in each]
    for moment, which, side in sorted(changes):
        if moment >= last:
            break
        if moment > begun:
            yield moment - begun, sides[0], sides[1]
            begun = moment
        sides[which] = side
    yield last - begun, sides[0], sides[1]


def note(project: Project, runs: Iterable[Run]) -> None:
    """With which of its owner's other projects these runs of the project trade nearly the same."""
    if project.owner_id is None:
        return
    left = MOST_WORK
    for run in runs:
        own = [sides for sides in run.backtests.values_list("sides", flat=True) if sides]
        found, left = _alike_to(project, own, left)
        pairs = {(run.revision_id, other) for other in found}
        TradedAlike.objects.bulk_create(
            (TradedAlike(one_id=one, other_id=other) for pair in pairs for one, other in (pair, pair[::-1])),
            ignore_conflicts=True,
        )


def _alike_to(project: Project, own: list[dict[str, Any]], left: int) -> tuple[set[int], int]:
    """Revisions of which a run has traded all that these backtests have, or the other way around, as of programs."""
    names = sorted({name for sides in own for name in sides["held"]})[:MOST_INSTRUMENTS]
    if not names:
        return set(), left
    rows = Backtest.objects.filter(run__revision__project__owner=project.owner_id, sides__held__has_any_keys=names)
    rows = rows.exclude(run__revision__project=project).order_by("-pk")
    runs: dict[tuple[Any, int], list[dict[str, Any]]] = {}
    for run, revision, sides in rows.values_list("run", "run__revision", "sides")[:MOST_OTHERS]:
        runs.setdefault((run, revision), []).append(sides)
    found: set[int] = set()
    costs = {key: sum(_length(one) + _length(other) for one in own for other in of) for key, of in runs.items()}
    for key in sorted(costs, key=costs.__getitem__):  # the smallest first: none is hidden by others that take long
        (_, revision), others = key, runs[key]
        if costs[key] > left:
            break
        left -= costs[key]
        same = [[agreement(one, other) >= LEAST for other in others] for one in own]
        if all(map(any, same)) or all(map(any, zip(*same, strict=True))):
            found.add(revision)
    return found, left


def _length(sides: Mapping[str, Any]) -> int:
    return 1 + sum(map(len, sides["held"].values()))


def traded_alike(project: Project) -> list[int]:
    """Revisions of its owner's other projects that have traded nearly the same."""
    if project.owner_id is None:
        return []
    rows: QuerySet[Any] = TradedAlike.objects.filter(one__project=project, other__project__owner=project.owner_id)
    return list(rows.order_by("-other").values_list("other", flat=True).distinct()[:MOST_ALIKE])


def hashes_by_revision(project: Project) -> dict[int, set[frozenset[str]]]:
    """By revision, of each of its runs the hashes of what it has traded."""
    rows = Backtest.objects.filter(run__revision__project=project, sides__has_key="hash").order_by("-pk")
    runs: dict[tuple[int, Any], set[str]] = {}
    for revision, run, told in rows.values_list("run__revision", "run", KT("sides__hash"))[:MOST_OTHERS]:
        runs.setdefault((revision, run), set()).add(told)
    found: dict[int, set[frozenset[str]]] = {}
    for (revision, _), hashes in runs.items():
        found.setdefault(revision, set()).add(frozenset(hashes))
    return found

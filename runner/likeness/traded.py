"""Which programs of the same author trade nearly the same, whatever they look like?

A program can be written in more ways than are known, and what it did cannot: of every backtest the site keeps what it
held of each instrument, and from when on. Two backtests are of one strategy where these agree over the days that both
cover. When runs are compared is told by runner/likeness/compared.py.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
from django.db.models import BigIntegerField, F, Func, Q, QuerySet
from django.db.models.fields.json import KT
from rq.timeouts import JobTimeoutException

from runner.models import Backtest, Project, Revision, Run, TradedAlike

logger = logging.getLogger(__name__)

__all__ = ["Compared", "agreement", "compare_with_some", "hashes_by_revision", "pairs_of", "sides_of", "traded_alike"]

LEAST = 0.95  # correlation of what was held: neighbouring numbers of one strategy have more, different strategies less
LEAST_TURNS = 5  # times that a position was left or turned: who buys and holds does what everybody does
COMMON = 0.5  # of the shorter of two backtests, the days that the other one covers, too
STEPS = 10  # of a usual position, by which larger and smaller ones are told apart; what is larger counts as usual
COARSER = (1, 2, 3, 5)  # steps that are a change, where with fewer there are too many: what flutters hides no position
SMALL = 0.1  # of the largest position: less is on no side
MOST_CHANGES = 1_000  # of a backtest, the latest ones
MOST_HASHES = 500  # latest backtests of a project, by which it is known once it is deleted
MOST_OTHERS = 500  # runs of the author's other projects that one is compared with at once
GROUP = 25  # of them, whose backtests are read together
PAIR = 200  # changes, which take as long as what each pair of backtests takes beside its own
MOST_PAIRS = 20_000  # that are looked at for the trials of one project
MOST_ALIKE = 1_000  # latest revisions whose trials count for one project
MOST_INSTRUMENTS = 50  # of which another one has to have one, too

PERIOD = 1 << 40  # seconds, longer than anything

Change = tuple[int, int]  # seconds since 1970, and what was held from then on, in STEPS; negative for short


def sides_of(backtest: Backtest) -> dict[str, Any]:
    """What the site keeps of it; {} where it left or turned its positions too seldom to be compared.

    first, last: seconds since 1970. held: by instrument its changes, oldest first. hash: SHA-256 of the sides on which
    it stood.
    """
    parts = _parts_of(backtest)
    first, last = _seconds(backtest.dates[0]), _seconds(backtest.dates[-1])
    usual = _usual(parts, last)
    changes = next(
        (found for least in COARSER if len(found := _changes(parts, usual, least)) <= MOST_CHANGES),
        _changes(parts, usual, COARSER[-1]),
    )
    if len(changes) > MOST_CHANGES:
        first = changes[-MOST_CHANGES][0]
        begun = {name: (first, name, steps) for _, name, steps in changes[:-MOST_CHANGES]}
        changes = [*begun.values(), *changes[-MOST_CHANGES:]]
    held: dict[str, list[Change]] = {}
    for moment, name, steps in changes:
        held.setdefault(name, []).append((moment, steps))
    sides = {name: side for name, each in held.items() if (side := _sides(each, SMALL * STEPS))}
    if sum(before != 0 for each in sides.values() for (_, before), _ in pairwise(each)) < LEAST_TURNS:
        return {}
    told = json.dumps(sides, sort_keys=True)
    return {"first": first, "last": last, "held": held, "hash": hashlib.sha256(told.encode()).hexdigest()}


def _changes(parts: Iterable[tuple[int, str, float]], usual: float, least: int) -> list[tuple[int, str, int]]:
    """When, of which instrument, and how many steps were held from then on. least: steps that are a change."""
    found: list[tuple[int, str, int]] = []
    now: dict[str, int] = {}
    for moment, name, part in parts:
        steps = round(STEPS * max(-1.0, min(1.0, part / usual))) if usual else 0
        if abs(steps - now.get(name, 0)) >= least:
            now[name] = steps
            found.append((moment, name, steps))
    return found


def _usual(parts: Iterable[tuple[int, str, float]], last: int) -> float:
    """How large a position usually is, at most all of the account: the mean over time, and over the positions
    themselves, so that small ones beside it count little however long they are held.
    """
    since: dict[str, tuple[int, float]] = {}
    sums = squares = 0.0
    for moment, name, part in [*parts, *((last, name, 0.0) for name in {name for _, name, _ in parts})]:
        before, held = since.get(name, (moment, 0.0))
        sums += (moment - before) * held
        squares += (moment - before) * held**2
        since[name] = moment, min(1.0, abs(part))
    return squares / sums if sums else 0.0


def _sides(changes: Sequence[Sequence[int]], small: float) -> list[Change]:
    """From when on it was long (1), short (-1) or neither (0)."""
    found: list[Change] = []
    before = 0
    for moment, steps in changes:
        side = 0 if abs(steps) <= small else int(math.copysign(1, steps))
        if side != before:
            found.append((moment, side))
            before = side
    return found


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
    """Correlation over time of what two backtests held, of each instrument about its own mean; 0 where there is too
    little to compare. Of what they held and of the sides alone, it is the larger one: the first finds one strategy with
    a little of something beside it, the second finds one whose sizes are others each time.
    """
    first, last = max(one["first"], other["first"]), min(one["last"], other["last"])
    shorter = min(one["last"] - one["first"], other["last"] - other["first"])
    names = {name: at for at, name in enumerate(one["held"].keys() | other["held"].keys())}
    if last <= first or last - first < COMMON * shorter or len(names) == len(one["held"]) + len(other["held"]):
        return 0.0
    lengths, of, held = _stretches([one["held"], other["held"]], names, first, last)
    sides = np.sign(np.where(np.abs(held) > SMALL * np.abs(held).max(axis=1, initial=0.0)[:, None], held, 0.0))
    turned = (sides[:, :-1] != 0) & (sides[:, :-1] != sides[:, 1:]) & (of[:-1] == of[1:])
    if turned.sum(axis=1).min() < LEAST_TURNS:
        return 0.0
    return max(_correlation(lengths / (last - first), of, each, len(names)) for each in (held, sides))


def _correlation(parts: np.ndarray, of: np.ndarray, held: np.ndarray, names: int) -> float:
    """parts: of the time. of: the instrument of each stretch. held: what was held in it, by backtest and stretch."""
    means = [np.bincount(of, parts * each, names) for each in held]

    def common(x: int, y: int) -> float:
        return float((parts * held[x] * held[y]).sum() - (means[x] * means[y]).sum())

    both, own, others = common(0, 1), common(0, 0), common(1, 1)
    return both / math.sqrt(own * others) if min(own, others) > 0 else 0.0


def _stretches(
    several: Sequence[Mapping[str, Sequence[Sequence[int]]]], names: Mapping[str, int], first: int, last: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Between the changes of any of them: seconds, the number of the instrument, and what each held, a row each."""
    courses = []
    for held in several:
        told = [(names[name], *change) for name in sorted(held, key=names.__getitem__) for change in held[name]]
        of, moments, steps = np.array(told, dtype=np.int64).reshape(-1, 3).T
        courses.append((of * PERIOD + np.clip(moments - first, -1, None), steps))
    starts = np.arange(len(names), dtype=np.int64) * PERIOD
    inner = (keys[(keys % PERIOD < last - first) & (keys % PERIOD > 0)] for keys, _ in courses)
    begun = np.unique(np.concatenate([starts, *inner]))
    of, since = begun // PERIOD, begun % PERIOD
    ends = np.append(np.where(of[1:] == of[:-1], since[1:], last - first), last - first)
    found = np.zeros((len(courses), len(begun)))
    for row, (keys, steps) in zip(found, courses, strict=True):
        # A change before the first moment counts from the end of the instrument before, so it is looked up by place.
        at = np.searchsorted(keys, begun, side="right") - 1
        known = (at >= 0) & ((keys[at] + 1) // PERIOD == of)
        row[known] = steps[at[known]]
    return ends - since, of, found


@dataclass(frozen=True)
class Compared:
    """found: revisions that have traded nearly the same. next: the first backtest of the run with which it goes on; 0
    after the last one.
    """

    found: set[int]
    next: int = 0


def compare_with_some(run: Run, owner: int, begin: int, most: int, *, one_at_least: bool) -> Compared:
    """With runs of its owner's other projects, the latest first: those that come before the next one whose comparison
    would make it more than so many changes, or more runs than MOST_OTHERS.

    owner: as the database has it now; a run that a guest has begun may have got one since. begin: where an earlier call
    has ended; 0 for the first one. one_at_least: however many changes the first one takes.
    """
    own = [sides for sides in run.backtests.values_list("sides", flat=True) if "held" in sides]
    names = sorted({name for sides in own for name in sides["held"]})[:MOST_INSTRUMENTS]
    if not names:
        return Compared(set())
    heads = Backtest.objects.filter(run__revision__project__owner=owner, position=0)
    heads = heads.exclude(run__revision__project=run.revision.project_id).order_by("-pk")
    if begin:
        heads = heads.filter(pk__lte=begin)
    told = list(heads.values_list("pk", "run", "run__revision")[: MOST_OTHERS + 1])
    found: set[int] = set()
    left = most
    for number, (head, revision, others) in enumerate(_with_sides(told[:MOST_OTHERS], names)):
        left -= sum(PAIR + _length(one) + _length(other) for one in own for other in others)
        if left < 0 and (number or not one_at_least):
            return Compared(found, head)
        if revision not in found and _is_alike(own, others, head):
            found.add(revision)
    return Compared(found, told[MOST_OTHERS][0] if len(told) > MOST_OTHERS else 0)


def _with_sides(told: list[tuple[int, Any, int]], names: list[str]) -> Iterator[tuple[int, int, list[dict[str, Any]]]]:
    """The first backtest of each run, its revision, and what its backtests of these instruments have held."""
    for begin in range(0, len(told), GROUP):
        group = told[begin : begin + GROUP]
        rows = Backtest.objects.filter(run__in=[run for _, run, _ in group], sides__held__has_any_keys=names)
        runs: dict[Any, list[dict[str, Any]]] = {}
        for run, sides in rows.values_list("run", "sides"):
            runs.setdefault(run, []).append(sides)
        yield from ((head, revision, runs.get(run, [])) for head, run, revision in group)


def _is_alike(own: list[dict[str, Any]], others: list[dict[str, Any]], head: int) -> bool:
    """Whether one has traded all that the other one has, as of programs."""
    try:
        same = [[agreement(one, other) >= LEAST for other in others] for one in own]
    except JobTimeoutException:
        raise
    except Exception:  # or what comes after it would never be compared
        logger.exception("what was traded could not be compared with the run of backtest %s", head)
        return False
    return bool(others) and (all(map(any, same)) or all(map(any, zip(*same, strict=True))))


def _length(sides: Mapping[str, Any]) -> int:
    return 1 + sum(map(len, sides["held"].values()))


def traded_alike(project: Project) -> list[int]:
    """Revisions of its owner's other projects that have traded nearly the same."""
    if project.owner_id is None:
        return []
    told = Func(F("others"), function="unnest", output_field=BigIntegerField())
    earlier = TradedAlike.objects.filter(one__project=project).annotate(other=told).values("other")
    later = _later_than(project).values("one")
    return list(_of_others(project).filter(Q(pk__in=earlier) | Q(pk__in=later)).order_by("-pk")[:MOST_ALIKE])


def pairs_of(project: Project) -> set[tuple[int, int]]:
    """Revisions of the project, each with one of its owner's other projects that has traded nearly the same; of the
    latest revisions, where there are more than MOST_PAIRS.
    """
    if project.owner_id is None:
        return set()
    own = set(_ran(project))
    found: set[tuple[int, int]] = set()
    rows = TradedAlike.objects.filter(Q(one__project=project) | Q(pk__in=_later_than(project))).order_by("-one")
    for one, others in rows.values_list("one", "others").iterator(chunk_size=100):
        found |= {(one, other) for other in others} if one in own else {(other, one) for other in others}
        if len(found) >= MOST_PAIRS:
            break
    known = set(_of_others(project).filter(pk__in={other for _, other in found}))
    return {(one, other) for one, other in found if one in own and other in known}


def _ran(project: Project) -> QuerySet[Any]:
    return Revision.objects.filter(project=project, runs__isnull=False).distinct().values_list("pk", flat=True)


def _later_than(project: Project) -> QuerySet[Any]:
    """Rows of what came after some of its revisions and traded nearly the same."""
    return TradedAlike.objects.filter(others__overlap=list(_ran(project))).exclude(one__project=project)


def _of_others(project: Project) -> QuerySet[Any]:
    rows: QuerySet[Any] = Revision.objects.filter(project__owner=project.owner_id).exclude(project=project)
    return rows.values_list("pk", flat=True)


def hashes_by_revision(project: Project) -> dict[int, set[frozenset[str]]]:
    """By revision, of each of its runs the hashes of what it has traded."""
    rows = Backtest.objects.filter(run__revision__project=project, sides__has_key="hash").order_by("-pk")
    runs: dict[tuple[int, Any], set[str]] = {}
    for revision, run, told in rows.values_list("run__revision", "run", KT("sides__hash"))[:MOST_HASHES]:
        runs.setdefault((revision, run), set()).add(told)
    found: dict[int, set[frozenset[str]]] = {}
    for (revision, _), hashes in runs.items():
        found.setdefault(revision, set()).add(frozenset(hashes))
    return found

"""Would the program decide the same if other things had happened later? The site runs what is published once more, in
boxes of its own, on data that it has varied itself, and compares the orders and the fills.

The look-ahead test in a program's own box says what the box says. Here the program gets ordinary data and cannot know
that they are others, and what is compared are orders and fills that we hold: somebody who wants to deceive has nothing
to change. Whose orders are the same and who leaves out with hindsight those that lost has other fills.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from django.conf import settings
from django.db.models import F
from django.utils import timezone
from qfp.checking.amnesia import DROPPED
from qfp.checking.decisions import Decision
from qfp.checking.repeating import ROUNDS, lasting
from rq.timeouts import JobTimeoutException

from marketdata.store import SnapshotMissing
from runner.honesty import cuts, held_up, sending
from runner.honesty.budget import Budget
from runner.honesty.by_number import SameOrders, on_later_bars
from runner.honesty.differences import OF_ONE, differences, made, told_in_full
from runner.honesty.examinable import NotComparable, NotEnded
from runner.honesty.held_sweeps import HeldSweeps, chose_from_all
from runner.honesty.known_leaks import chance_of, known_bar, remember, same_as, sameness
from runner.honesty.known_rows import last_known
from runner.honesty.moved_dates import on_other_dates, unseen
from runner.honesty.noting import note, with_more
from runner.honesty.other_splits import on_other_splits, unseen_on_other_splits
from runner.honesty.package_tables import PackageTables, UnknownTables, tables_of
from runner.honesty.reached_prices import held_bars, reached_prices
from runner.honesty.sending import EXAMINING, is_recent, wanted
from runner.honesty.site_findings import DRAWN, box_line, choice, finding, has_seen, is_leak, suspicion
from runner.honesty.varied_data import varied_snapshot
from runner.models import Backtest, Run
from runner.packages import layer_of
from runner.private import brought_series, personal_series
from runner.repeats import repeat
from runner.snapshot_series import by_id

logger = logging.getLogger(__name__)

__all__ = ["examine", "examine_next"]

PAIR = 2  # times that a run is made again on other dates, or with other splits, and on the same data for comparison
TRIES = 3  # files that another run has opened meanwhile count as read
TWICE = 3  # times that data and other data are read again where something was decided otherwise on those
MOST_FOLLOWED = 3 * ROUNDS  # times that a run is made again of which some decisions are drawn
NO_TIME = "there was no time left"
ENDED = "on other data the program ended with an error"
FAULT = "a fault of ours"
NOT_ITS_DAYS = "the run has many backtests, and there was time for days of others only"


def examine_next() -> None:
    """What a job does: the run that is next, if any waits."""
    run = sending.claim()
    if run is not None:
        examine(run.pk)
        sending.settle(run)


def examine(run_id: UUID | str) -> None:
    """Vary, run, compare, and store what came of it with each backtest of the run."""
    run = Run.objects.select_related("revision__project", "lock").get(pk=run_id)
    if not wanted(run):
        return
    if held_up.would_count_for_others(run):
        held_up.wait(run.pk)
        if held_up.would_count_for_others(run):  # the other may have ended before this one began to wait
            return
    backtests = list(run.backtests.order_by("position"))
    if not _claim(backtests[0]):
        return
    same = {each.position: sameness(run, each) for each in backtests}
    told = ((each.position, known_bar(same[each.position], each)) for each in backtests)
    before = {position: bar for position, bar in told if bar is not None}
    leaks: dict[int, int] = {}  # by position the first bar that was decided otherwise
    chosen: dict[int, int] = {}  # the same where it was not with what the run's sweeps had given
    unclear: dict[int, int] = {}  # the same where they could not be made to give that again
    tried, doubt, budget = 0, "", Budget.of(run)
    memories: dict[int, dict[str, Any]] = {}  # what was found on other dates and with other splits, by position
    turns: list[tuple[Backtest, str]] = []
    changed: list[tuple[_Variation, _Found]] = []
    drawn: set[int] = set()  # positions of those that decide otherwise on the same data, too
    same_orders = SameOrders()
    missing: set[int] = set()  # positions of those before which it ended with an error on other data
    looked_at = set(before)
    confirmed = True  # that what was found is no chance
    try:
        with layer_of(run, lambda text, done, total: None):
            try:
                tables = tables_of(run)
                turns = [turn for turn in _turns(backtests) if turn[0].position not in before]
                of = min(len(turns), budget.left)
                known = last_known(Path(settings.STORE_DIR), run.snapshot, backtests)
                _tell_progress(backtests[0], 0, of)
                most = 2 if chose_from_all(run) else 1  # times that a turn takes
                for backtest, way in turns[:of]:
                    if budget.left < most:
                        break
                    chance = chance_of(run, backtest, way)
                    date, tail = _choose(backtest, way, chance)
                    looked_at.add(backtest.position)
                    moment = known[backtest.position][backtest.dates.index(date)]
                    variation = _Variation(
                        moment, tail, chance.getrandbits(32), way in cuts.INSIDE, known, same_orders, missing
                    )
                    found = _compare(run, backtests, variation, budget, tables)
                    for known_so_far, now in zip((leaks, chosen, unclear), found, strict=True):
                        _earliest(known_so_far, now)
                    if any(found):
                        changed.append((variation, found))
                    tried += 1
                    _tell_progress(backtests[0], tried, of)
            except (NotComparable, UnknownTables) as reason:
                doubt = str(reason)  # a leak that was found before is one all the same
            except JobTimeoutException:
                raise
            except Exception:
                if not changed:
                    raise
                logger.exception("run %s: one of its companions", run.pk)
                doubt = FAULT
            if changed:
                drawn, still = _repeated(run, backtests, changed, tables, budget)
                leaks, chosen, unclear = (
                    {position: bar for position, bar in found.items() if position not in drawn}
                    for found in (leaks, chosen, unclear)
                )
                leaks |= still
            elif not doubt and not before:
                memories = _memories(run, backtests, budget, tables, same_orders)
    except NotComparable as reason:
        doubt, confirmed = str(reason), False
    except JobTimeoutException:
        doubt, confirmed = NO_TIME, False
    except Exception:
        logger.exception("run %s: its companions", run.pk)
        doubt, confirmed = FAULT, False
    suspected: dict[int, int] = {}
    if not confirmed:
        for each_found in (leaks, chosen, unclear):
            _earliest(suspected, each_found)
        leaks, chosen, unclear = {}, {}, {}
    clear = [each for each in backtests if not any(each.position in bars for bars in (before, leaks, chosen, unclear))]
    held: dict[int, tuple[int, int]] = {}
    try:
        if not doubt:
            held = {each.position: _held(each) for each in clear}
    except Exception:  # what was found of others stays
        logger.exception("run %s: what was filled within its bars", run.pk)
        doubt = FAULT
    for backtest in backtests:
        why = doubt or (DRAWN if backtest.position in drawn else "")
        if not why and backtest.position in missing:
            why = ENDED
        if not why and backtest.position not in looked_at and _can_draw(backtest):
            why = NOT_ITS_DAYS
        left = [way for each, way in turns[tried:] if each.position == backtest.position]
        of_choice = unclear.get(backtest.position, chosen.get(backtest.position))
        if of_choice is not None and is_leak(box_line(backtest)):
            _earliest(leaks, {backtest.position: of_choice})  # as its own box has said
        first = before.get(backtest.position, leaks.get(backtest.position))
        if first is None and of_choice is not None:
            said = choice(backtest, of_choice, backtest.position not in unclear, left)
            note(backtest, same[backtest.position], said)
            continue
        if first is None and backtest.position in suspected:
            note(backtest, same[backtest.position], suspicion(backtest, suspected[backtest.position], doubt))
            continue
        if first is None and doubt and has_seen(backtest):
            note(backtest, same[backtest.position], {})  # an earlier one has seen more
            continue
        within = held.get(backtest.position, (0, 0))
        said = finding(backtest, first, tried, why, left, within) | memories.get(backtest.position, {})
        note(backtest, same[backtest.position], said)
        if first is not None and backtest.position not in before:
            remember(same[backtest.position], first)
            for copy in same_as(same[backtest.position], backtest):
                note(copy, same[backtest.position], finding(copy, first, tried, ""))


def _memories(
    run: Run, backtests: list[Backtest], budget: Budget, tables: PackageTables, same: SameOrders
) -> dict[int, dict[str, Any]]:
    """What is said of each backtest, by position, once the run was made again on other dates and with other splits, as
    far as there is time for both repeats of each: what was decided otherwise has to be the same on the same data.
    """
    every, on = _may_mean_invented(run, backtests), partial(_claims, run, budget=budget)
    if budget.left < PAIR:
        of_dates = unseen(backtests, NO_TIME)
    else:
        decided = partial(_decided_otherwise, run, backtests, budget)
        of_dates = on_other_dates(run, backtests, decided, every, tables)
    if budget.left < PAIR:
        of_splits = unseen_on_other_splits(run, backtests, NO_TIME)
    else:
        of_splits = on_other_splits(run, backtests, on, chance_of(run, backtests[0], "splits"), every)
    parts = of_dates, of_splits, on_later_bars(run, backtests, same, partial(on, fewer=DROPPED), every)
    return {each.position: {name: told for part in parts for name, told in part.get(each.position, {}).items()}
            for each in backtests}  # fmt: skip


def _held(backtest: Backtest) -> tuple[int, int]:
    """Of the bars at whose open its trades began or ended, those of which only the close could be changed; and all."""
    dates = {day for way in cuts.INSIDE for day, _ in cuts.worth_trying(backtest, way)}
    bars = {bar + 1 for bar, date in enumerate(backtest.dates) if date in dates and backtest.verified}
    return held_bars(Path(settings.STORE_DIR), backtest, bars), len(bars)


def _earliest(known: dict[int, int], found: dict[int, int]) -> None:
    for position, bar in found.items():
        known[position] = min(bar, known.get(position, bar))


def _claim(first: Backtest) -> bool:
    """Whether this worker is the one to examine the run: noted with its first backtest, for as long as it takes."""
    if is_recent(first.checks.get(EXAMINING)):
        return False
    unchanged = Backtest.objects.filter(pk=first.pk, checks=first.checks)
    first.checks = {name: found for name, found in first.checks.items() if name != EXAMINING}
    return bool(unchanged.update(checks={**first.checks, **_begun(0, 0)}))


def _begun(done: int, of: int) -> dict[str, Any]:
    return {EXAMINING: {"since": timezone.now().isoformat(), "done": done, "of": of}}


def _tell_progress(first: Backtest, done: int, of: int) -> None:
    """For whoever looks at it meanwhile. Only this changes: what others have found of it in between stays."""
    Backtest.objects.filter(pk=first.pk, checks__has_key=EXAMINING).update(
        checks=with_more(F("checks"), _begun(done, of))
    )


def _turns(backtests: list[Backtest]) -> list[tuple[Backtest, str]]:
    """Of which backtest a day is drawn each time, and in which way: the best one in all ways, then the others in one
    way after the other, or one that earns more would hide what stands beside it. What is not verified is believed by
    nobody, and draws nothing.
    """
    shown = [each for each in backtests if each.verified and _can_draw(each)]
    if not shown:
        raise NotComparable("it gives no orders")
    shown.sort(key=lambda backtest: -backtest.equity[-1] / backtest.cash)
    others = [(backtest, way) for way in cuts.WAYS for backtest in shown[1:]]
    every = [*((shown[0], way) for way in cuts.WAYS), *others]
    return [turn for turn in every if turn[1] not in cuts.INSIDE or cuts.worth_trying(*turn)]


def _can_draw(backtest: Backtest) -> bool:
    return any(day < backtest.dates[-1] for day, _ in cuts.worth_trying(backtest, cuts.WAYS[0]))


def _choose(backtest: Backtest, way: str, chance: random.Random) -> tuple[str, int]:
    """After which of its dates data become others, and where prices go: against what was decided on it. way: of
    cuts.WAYS.
    """
    days = cuts.worth_trying(backtest, way)
    date, side = cuts.draw({day: earned for day, earned in days.items() if day[0] < backtest.dates[-1]}, chance)
    return date, -1 if side > 0 else 1


@dataclass(frozen=True)
class _Variation:
    """Data that are others where they were not known at a moment. tail: 1 or -1, where prices go first. seed: of what
    comes then. inside: the bar after the moment keeps its open. known: see last_known(). same: where orders on them
    are counted. missing: where positions are noted of backtests before which the program ended with an error.
    """

    moment: np.datetime64
    tail: int
    seed: int
    inside: bool
    known: dict[int, np.ndarray] = field(compare=False)
    same: SameOrders = field(compare=False)
    missing: set[int] = field(compare=False)

    def differences(self, backtests: list[Backtest], claims: list[Any]) -> dict[int, int]:
        found = differences(backtests, claims, self.moment, self.inside, self.known)
        self.same.note(backtests, claims, self.moment)
        return found

    def made(self, backtest: Backtest, claim: Any) -> list[Decision]:
        return made(backtest, claim, self.moment, self.known)


_Found = tuple[dict[int, int], dict[int, int], dict[int, int]]


def _compare(
    run: Run, backtests: list[Backtest], variation: _Variation, budget: Budget, tables: PackageTables
) -> _Found:
    """The first bar that was decided otherwise, by position of the backtest, where one was; apart those where none was
    with what the run's sweeps had given, and those of which that cannot be told.
    """
    with _varied(run, backtests, variation, tables) as other:
        found = _differences(run, other, backtests, variation, budget)
        if not found or not chose_from_all(run):
            return found, {}, {}
        kept, told_apart = _without_choice(run, other, backtests, variation, budget)
        others = {position: bar for position, bar in found.items() if position not in kept}
        return (kept, others, {}) if told_apart else ({}, {}, others)


def _differences(
    run: Run,
    snapshot: str,
    backtests: list[Backtest],
    variation: _Variation,
    budget: Budget,
    sweeps: HeldSweeps | None = None,
) -> dict[int, int]:
    """As the variation tells them, of those that the program had told before it ended with an error, if it did."""
    try:
        claims = _claims(run, snapshot, budget, sweeps)
    except NotEnded as ended:
        if not ended.claims:
            raise
        claims = list(ended.claims)
        variation.missing.update(each.position for each in backtests[len(claims) :])
    return variation.differences(backtests[: len(claims)], claims)


@contextmanager
def _varied(run: Run, backtests: list[Backtest], variation: _Variation, tables: PackageTables) -> Iterator[str]:
    with varied_snapshot(
        Path(settings.STORE_DIR),
        run.snapshot,
        variation.moment,
        variation.tail,
        variation.seed,
        all_shares=_may_mean_invented(run, backtests),
        leave=_unread(run),
        alone={each.instruments[0].get("series") or "" for each in backtests if len(each.instruments) == 1},
        opening=variation.inside,
        reached=reached_prices(Path(settings.STORE_DIR), backtests, variation.moment, variation.known)
        if variation.inside
        else None,
        tables=tables,
    ) as other:
        _check_varied(run, other, backtests, variation.moment)
        yield other


def _may_mean_invented(run: Run, backtests: list[Backtest]) -> bool:
    named = f"{' '.join(run.revision.files.values())} {[backtest.instruments for backtest in backtests]}"
    return any(word in named for word in ("synth/us", "US500", "us500", "universe"))


def _without_choice(
    run: Run, other: str, backtests: list[Backtest], variation: _Variation, budget: Budget
) -> tuple[dict[int, int], bool]:
    """What is decided otherwise whatever a sweep of the run chooses, and whether that could be told."""
    sweeps = HeldSweeps(run)
    try:
        found = _differences(run, other, backtests, variation, budget, sweeps)
    except NotComparable:
        return {}, False
    return (found, True) if sweeps.whole else ({}, False)


def _unread(run: Run) -> set[str]:
    """Series for its owner alone, and files that somebody brought along, which the run has not read."""
    told = run.manifest.get("data", {})
    unread = set(personal_series(run.snapshot)) - set(told.get("private") or ())
    return unread | (set(brought_series(run.snapshot)) - set(told["brought"]) if "brought" in told else set())


def _check_varied(run: Run, other: str, backtests: list[Backtest], moment: np.datetime64) -> None:
    """What stayed as it was says nothing, and that it did the same on it neither."""
    store = Path(settings.STORE_DIR)
    ours, theirs = by_id(store, run.snapshot), by_id(store, other)
    for name in {instrument.get("series") for backtest in backtests for instrument in backtest.instruments}:
        entry = ours.get(name or "")
        if entry and entry["object"] == theirs[entry["id"]]["object"] and (entry.get("last") or "") > str(moment)[:10]:
            raise NotComparable(f"{entry['id']} has columns that the site cannot change")


def _decided_otherwise(
    run: Run,
    backtests: list[Backtest],
    budget: Budget,
    snapshot: str,
    dated: Callable[[list[Any]], list[Any]] = list,
) -> dict[int, int]:
    """The first bar that was, on all of the data of a snapshot. dated: gives claims the dates that there were."""
    return differences(backtests, dated(_claims(run, snapshot, budget)), np.datetime64("2200-01-01", "us"))


def _repeated(
    run: Run, backtests: list[Backtest], changed: list[tuple[_Variation, _Found]], tables: PackageTables, spent: Budget
) -> tuple[set[int], dict[int, int]]:
    """Positions of those that decide otherwise on the same data, too; and the first bar of what changes with later data
    all the same. Whoever is accused gets it in any case, and more than once: what is drawn on one bar alone is often
    the same twice. spent: of which time is kept for this; once each was made again, what took longer is not repeated.
    """
    variation, found = changed[0]
    drawn: set[int] = set()
    for turn in range(TWICE):
        if turn and not spent.left:
            break
        again = _claims(run, run.snapshot, spent.confirming(TRIES))
        drawn |= differences(backtests, again, np.datetime64("2200-01-01", "us")).keys()
        if len(drawn) == len(backtests):
            break
        others = _compare(run, backtests, variation, spent.confirming(2 * TRIES), tables)
        for before, now in zip(found, others, strict=True):
            drawn |= {position for position in before.keys() | now.keys() if before.get(position) != now.get(position)}
    drawing = [each for each in backtests if each.position in drawn]
    budget = spent.confirming(MOST_FOLLOWED)
    still: dict[int, int] = {}
    for variation, _ in changed if drawing else ():
        for each in _lasting(run, backtests, drawing, again, variation, budget, tables):
            _earliest(still, {each.instrument // OF_ONE: each.bar})
        if still or budget.left <= 0:
            break
    return drawn, still


def _lasting(
    run: Run,
    backtests: list[Backtest],
    drawing: list[Backtest],
    again: list[Any],
    variation: _Variation,
    budget: Budget,
    tables: PackageTables,
) -> list[Decision]:
    """What those that draw decide otherwise on other data, however often both are run. again: what a second run on the
    same data has claimed.
    """

    def decided(claims: list[Any]) -> list[Decision]:
        return [each for ours in drawing for each in variation.made(ours, claims[backtests.index(ours)])]

    def run_on(snapshot: str) -> list[Decision] | None:
        if budget.left <= 0:
            return None
        sweeps = HeldSweeps(run) if snapshot != run.snapshot and chose_from_all(run) else None
        claims = _claims(run, snapshot, budget, sweeps)
        variation.differences(backtests, claims)  # that they can be compared
        return decided(claims) if sweeps is None or sweeps.whole else None

    base = [each for ours in drawing for each in variation.made(ours, None)]
    try:
        with _varied(run, backtests, variation, tables) as other:
            first = run_on(other)
            if first is None:
                return []
            return lasting(base, decided(again), first, partial(run_on, run.snapshot), partial(run_on, other))
    except NotComparable:
        return []


def _claims(run: Run, snapshot: str, budget: Budget, sweeps: HeldSweeps | None = None, fewer: int = 0) -> list[Any]:
    """What the program claims on the data of this snapshot; nothing of it is stored or shown.

    fewer: bars than on the run's own. What ends with an error after all of its backtests, such as a comparison with the
    figures that it had, is heard like what ends well.
    """
    for _ in range(TRIES):
        if budget.left <= 0:
            raise NotComparable(NO_TIME)
        budget.times -= 1
        try:
            again = repeat(run, "again", snapshot, sweeps)
        except SnapshotMissing:
            raise NotComparable("its data are not there any more") from None
        if not again.opened & _unread(run):
            break
    else:
        raise NotComparable("on other data it reads other files")
    if again.outcome in (None, Run.Status.CRASHED):
        raise NotComparable("the sandbox engine went away")
    if again.outcome not in (Run.Status.SUCCEEDED, Run.Status.FAILED):  # which a busy machine may be the reason of
        raise NotComparable("on other data it did not come to its end")
    # With what the check knows of them, and in the units in which ours are kept.
    known = ("orders", "fills", "equity")
    claims = [{**claim, **{name: getattr(checked, name) for name in known}} for claim, checked in again.claims]
    if again.outcome == Run.Status.SUCCEEDED:
        return claims
    backtests = list(run.backtests.order_by("position"))
    claims = [] if again.refused else told_in_full(backtests, claims, fewer)
    if len(claims) < len(backtests):
        raise NotEnded(ENDED, claims)
    return claims

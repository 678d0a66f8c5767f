"""When is a series asked for again, and what came of it? Rounds after the close of each exchange.

A provider's bar of the day is there half an hour after the close, is often corrected within hours, and settled by the
next morning: three rounds for every session. A round asks for the last ten sessions of each series and what came since;
marketdata.fetching joins them, or fetches all when a split or dividend has changed what was before.

The clock calls work(); the admin and `manage.py refresh_data` begin rounds by hand. What a round wants and how each
series ended stands in its rows, so that any worker can go on with it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from marketdata import calendars, provider_access, providers, wanting
from marketdata.calendars import Calendar
from marketdata.models import Fetch, Refresh, RefreshedSeries, Series
from marketdata.providers.errors import ProviderError, QuotaExceeded
from marketdata.quality.series import DAYS

logger = logging.getLogger(__name__)

AFTER_CLOSE = (("close + 30 min", timedelta(minutes=30)), ("close + 4 h", timedelta(hours=4)))
NEXT_MORNING, MORNING = "next morning", time(7, 0)
OVERLAP_SESSIONS = 10
# Of one person in one round at a time: their own fetches keep their place, and so do other people's.
UNFINISHED_EACH = 5
# Keys with a smaller allowance a day are their owner's to use, not the clock's.
FEWEST_CALLS_A_DAY = 100
# Whoever has not been here for so long gets new days when they fetch them.
AWAY = timedelta(days=30)
# A round that has not ended by then is closed as it is; the next one asks for the same days.
LONGEST_ROUND = timedelta(hours=6)
HISTORY = timedelta(days=90)
# Figures of the economy and whatever else no exchange trades: asked for once, in the morning after each working day.
WORKING_DAYS = Calendar("working days", "UTC", date(1970, 1, 1), date(2099, 12, 31))
BY_HAND = "by hand"
NOT_FETCHED = "not fetched: "
_LOCK = 0x5245_4652


# What is due


@dataclass(frozen=True)
class Due:
    """A round whose time has come: the series of a calendar, for a session."""

    calendar: Calendar
    session: date
    moment: str

    @property
    def reason(self) -> str:
        return f"{self.session}, {self.moment}"


def due(now: datetime) -> list[Due]:
    """The rounds that should have begun by now and have not. Of those that were missed only the latest."""
    # Every minute, so nothing of a series is read but what its calendar hangs on.
    kinds = refreshable().order_by().values_list("instrument__exchange", "instrument__kind", "unit").distinct()
    named = {calendar.name: calendar for calendar in (_calendar(*each) for each in kinds)}
    latest = [moment for calendar in named.values() if (moment := latest_moment(calendar, now)) is not None]
    begun = set(
        Refresh.objects.filter(what__in=named, created__gt=now - timedelta(days=30)).values_list("what", "reason")
    )
    return [moment for moment in latest if (moment.calendar.name, moment.reason) not in begun]


def latest_moment(calendar: Calendar, now: datetime) -> Due | None:
    """The last of the moments after a session's close that is over."""
    session = calendar.last_closed(now)
    while session is not None:
        past = [(at, name) for name, at in _moments(calendar, session) if at <= now]
        if past:
            return Due(calendar, session, max(past)[1])
        session = calendar.sessions_before(session, 1)
    return None


def _moments(calendar: Calendar, session: date) -> list[tuple[str, datetime]]:
    close = calendar.closing(session)
    # The last day of crypto ends at midnight, when the next morning is already that day's.
    evening = (close - timedelta(seconds=1)).astimezone(ZoneInfo(calendar.zone)).date()
    morning = datetime.combine(evening + timedelta(days=1), MORNING, ZoneInfo(calendar.zone)).astimezone(UTC)
    if calendar is WORKING_DAYS:
        return [(NEXT_MORNING, morning)]
    return [*((name, close + after) for name, after in AFTER_CLOSE), (NEXT_MORNING, morning)]


def calendar_of(series: Series) -> Calendar:
    return _calendar(series.instrument.exchange, series.instrument.kind, series.unit)


def _calendar(exchange: str, kind: str, unit: str) -> Calendar:
    if not exchange and kind == "equity" and unit == "USD":
        exchange = "US"  # a provider that does not say where, and prices in dollars
    return calendars.find(exchange, kind) or WORKING_DAYS


def refreshable() -> QuerySet[Series]:
    """Series that the clock brings up to date: from a provider that allows it, the catalogue's and those of people who
    were here lately.
    """
    allowed = [name for name, provider in providers.ALL.items() if _allows(provider)]
    lately = Q(snapshot__owner=None) | Q(snapshot__owner__last_login__gt=timezone.now() - AWAY)
    return fetched_series().filter(lately, provider__in=allowed)


def fetched_series() -> QuerySet[Series]:
    """What providers have given and a current snapshot holds: the catalogue's, and each person's own."""
    its_owners = Q(snapshot__owner=None, instrument__owner=None) | Q(instrument__owner=F("snapshot__owner"))
    return (
        Series.objects.filter(its_owners, snapshot__is_current=True, provider__in=providers.ALL)
        .select_related("instrument", "snapshot")
        .order_by("series_id", "snapshot__owner")
    )


def _allows(provider: providers.Description) -> bool:
    if not provider_access.state_of(provider).enabled:
        return False
    return all(calls >= FEWEST_CALLS_A_DAY for calls, seconds in provider.limits.calls if seconds >= 24 * 3600)


# Rounds


def work(now: datetime | None = None) -> None:
    """Begin the rounds that are due, and go on with those that are under way. Safe at any time, by several at once."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
            if not cursor.fetchone()[0]:
                return  # somebody is at it
        now = now or timezone.now()
        for round_due in due(now):
            of_it = [series for series in refreshable() if calendar_of(series).name == round_due.calendar.name]
            begin(round_due.calendar.name, round_due.reason, of_it)
    for pk in Refresh.objects.filter(status=Refresh.Status.RUNNING).order_by("created").values_list("pk", flat=True):
        try:
            go_on(pk)
        except Exception:
            logger.exception("round %s could not go on", pk)  # the others do


def forget_old_rounds() -> int:
    """Of rounds that are over for good the history is of no use to anybody; how many were removed."""
    return Refresh.objects.filter(created__lt=timezone.now() - HISTORY).delete()[0]


def begin(what: str, reason: str, series: Iterable[Series]) -> Refresh:
    """A round for these series; go_on() and the workers do the rest."""
    wanted = list(series)
    with transaction.atomic():
        refresh = Refresh.objects.create(
            what=what[:120],
            reason=reason[:60],
            status=Refresh.Status.RUNNING,
            started=timezone.now(),
            total=len(wanted),
        )
        RefreshedSeries.objects.bulk_create(
            RefreshedSeries(
                refresh=refresh,
                owner_id=row.snapshot.owner_id,
                series_id=row.series_id,
                provider=row.provider,
                symbol=row.instrument.symbol,
                interval=row.interval,
                start=_overlap_begins(row),
                object_sha256=row.object_sha256,
            )
            for row in wanted
        )
    return refresh


def _overlap_begins(series: Series) -> date:
    if (days := DAYS.get(series.interval, 1)) > 1:
        return series.last - timedelta(days=OVERLAP_SESSIONS * days)
    return calendar_of(series).sessions_before(series.last, OVERLAP_SESSIONS)


@transaction.atomic
def go_on(refresh_id: int) -> Refresh:
    """Want what may be wanted now, note what has ended, and end the round when everything has."""
    refresh = Refresh.objects.select_for_update().get(pk=refresh_id)
    if refresh.status != Refresh.Status.RUNNING:
        return refresh
    items = list(refresh.series.filter(ended="").select_related("fetch", "owner"))
    before = {item.pk: _state(item) for item in items}
    flying: Counter[int | None] = Counter()
    for item in items:
        if item.fetch is None:
            continue
        if (after := _again_after(refresh, item.fetch)) is not None:
            item.fetch, item.not_before = None, after
        else:
            item.ended = _ended(item, item.fetch)
            flying[item.owner_id] += not item.ended
    now = timezone.now()
    late = refresh.started is not None and now - refresh.started > LONGEST_ROUND
    for item in items:
        if item.ended or (item.fetch and not late):
            continue
        if late:
            item.ended = NOT_FETCHED + "the round took too long."
        elif (item.not_before is None or item.not_before <= now) and flying[item.owner_id] < UNFINISHED_EACH:
            try:
                item.fetch = _want(item)
                flying[item.owner_id] += 1
            except ProviderError as problem:
                item.ended = f"{NOT_FETCHED}{problem}"
    changed = [item for item in items if _state(item) != before[item.pk]]
    RefreshedSeries.objects.bulk_update(changed, ["fetch", "not_before", "ended"], batch_size=500)
    _count(refresh)
    refresh.save()
    return refresh


def _state(item: RefreshedSeries) -> tuple[Any, ...]:
    return item.fetch_id, item.not_before, item.ended


def _want(item: RefreshedSeries) -> Fetch:
    return wanting.want(
        item.owner, item.provider, item.symbol, _interval_to_ask(item), start=item.start, by_the_clock=True
    )


def _interval_to_ask(item: RefreshedSeries) -> str:
    """FRED, for one, is asked for a series and answers with its own interval."""
    offered = providers.find(item.provider).intervals
    return item.interval if item.interval in offered else offered[0]


def _again_after(refresh: Refresh, fetch: Fetch) -> datetime | None:
    """When there is room for it again, if its key's allowance of the hour was used up: by the series before it, which
    would be before it in every round.
    """
    if fetch.status != Fetch.Status.FAILED or fetch.error != QuotaExceeded.__name__:
        return None
    ends = (refresh.started or refresh.created) + LONGEST_ROUND
    return fetch.retry_at if fetch.retry_at is not None and fetch.retry_at < ends else None


def _ended(item: RefreshedSeries, fetch: Fetch) -> str:
    """Empty while it goes on."""
    if fetch.status == Fetch.Status.FAILED:
        return NOT_FETCHED + (fetch.message or fetch.error)
    if fetch.status != Fetch.Status.SUCCEEDED:
        return ""
    if fetch.object_sha256 != item.object_sha256:
        return f"changed: {fetch.progress}"
    return fetch.progress if fetch.progress.startswith("The new rows are held back") else "as it was"


def _count(refresh: Refresh) -> None:
    all_of_it = list(refresh.series.values_list("ended", flat=True))
    ended = [text for text in all_of_it if text]
    # Those of an account that is gone went with it.
    refresh.total, refresh.done = len(all_of_it), len(ended)
    refresh.changed = sum(text.startswith("changed") for text in ended)
    if refresh.done < refresh.total:
        return
    refused = [text for text in ended if text.startswith(NOT_FETCHED)]
    held_back = sum(text.startswith("The new rows are held back") for text in ended)
    refresh.finished = timezone.now()
    everything_failed = bool(refused) and len(refused) == refresh.total
    refresh.status = Refresh.Status.FAILED if everything_failed else Refresh.Status.SUCCEEDED
    parts = [f"{refresh.changed} changed", f"{len(ended) - refresh.changed - len(refused) - held_back} as they were"]
    if held_back:
        parts.append(f"{held_back} with new rows held back")
    if refused:
        parts.append(f"{len(refused)} not fetched")
    refresh.message = ", ".join(parts) + "." + (f" {refused[0].removeprefix(NOT_FETCHED)}" if refused else "")
    if not refresh.total:
        refresh.message = "No provider has given any of these series."
    logger.info("refresh of %s (%s): %s", refresh.what, refresh.reason, ", ".join(parts))

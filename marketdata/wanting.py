"""How does somebody get a series that is not there? want() writes a row and sends the job that marketdata.fetching is.

A row belongs to the person whose key and whose data it is. What may be passed on and needs no key goes into the
catalogue and belongs to nobody.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from marketdata import provider_access, providers
from marketdata.fetch_queue import UNFINISHED, send
from marketdata.models import Fetch, Series
from marketdata.providers.errors import NotEntitled, QuotaExceeded, UnknownSymbol

UNFINISHED_EACH = 30
UNFINISHED_OF_VISITORS = 5  # all of them together, for the catalogue
CATALOGUE_REST = timedelta(hours=1)
_LOCK = 0x77616E74  # of those who count their unfinished fetches, one after the other


@transaction.atomic
def want(
    user: Any,
    provider: str,
    symbol: str,
    interval: str = "1d",
    start: date | None = None,
    end: date | None = None,
    run: UUID | None = None,
    by_the_clock: bool = False,
) -> Fetch:
    """The fetch of this series that is not finished: the one there is, or a new one, whose job is sent on commit.
    For the catalogue also one that succeeded within the hour.

    user: whose key is used and whose data it becomes; None is nobody, who may have what needs no key.
    provider: a name of marketdata.providers.ALL. start, end: first and last day, both included; None for no bound.
    run: the run that asks, kept with the uses of the key. by_the_clock: a round of the site wants it, and no visitor.

    A fetch that somebody else began for the same person is returned even if it asks for fewer days. Raises a
    ProviderError for what can be told at once: UnknownSymbol, NotEntitled, ProviderDown, RateLimited, QuotaExceeded.
    """
    try:
        description = providers.find(provider)
    except KeyError:
        known = ", ".join(providers.ALL)
        raise UnknownSymbol(f"There is no provider {provider[:30]!r}. There are {known}.") from None
    symbol = providers.spelled(description, symbol)
    if interval not in description.intervals:
        has = ", ".join(description.intervals)
        raise NotEntitled(f"{description.title} gives no bars of {interval!r:.12} here. It gives {has}.")
    if start and end and start > end:
        raise UnknownSymbol(f"The first day, {start}, is after the last, {end}.")
    provider_access.allowed(user, description)
    owner = None if description.rights == Series.Rights.REDISTRIBUTE else user
    if owner is None and description.rights != Series.Rights.REDISTRIBUTE:
        raise NotEntitled(f"Sign in to fetch from {description.title}: what it gives is for one person alone.")
    same = {"user": owner, "provider": description.name, "symbol": symbol, "interval": interval}
    if (unfinished := Fetch.objects.filter(**same, status__in=UNFINISHED).first()) is not None:
        return unfinished
    if owner is None:
        # For everybody the whole series, and once in a while: no visitor keeps the catalogue changing.
        start = end = None
        fresh = {"status": Fetch.Status.SUCCEEDED, "finished__gt": timezone.now() - CATALOGUE_REST}
        if (lately := Fetch.objects.filter(**same, **fresh).first()) is not None:
            return lately
    if not by_the_clock:  # a round counts its own, for many owners at once
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK, owner.pk % 2**31 if owner is not None else 0]
            )
    unfinished_of_owner = Fetch.objects.filter(user=owner, status__in=UNFINISHED)
    waiting = unfinished_of_owner.count()
    if owner is not None and waiting >= UNFINISHED_EACH:
        raise QuotaExceeded(f"{UNFINISHED_EACH} of your fetches are not finished. Wait for some of them.")
    # A round of the site, which wants many at once, shuts no visitor out.
    asked = user is None and not by_the_clock
    if asked and unfinished_of_owner.filter(refreshed=None).count() >= UNFINISHED_OF_VISITORS:
        raise QuotaExceeded("Other visitors wait for data, too. Try again in a minute, or sign in.")
    try:
        with transaction.atomic():
            fetch = Fetch.objects.create(**same, start=start, end=end, run=run, progress="Waits for its turn.")
    except IntegrityError:  # somebody was first, in this very moment
        return Fetch.objects.get(**same, status__in=UNFINISHED)
    # Nobody waits behind another's many: who has none unfinished goes before those that have, and before visitors.
    first = user is not None and (owner is None or not waiting)
    transaction.on_commit(lambda: send(fetch.pk, at_front=first))
    return fetch

"""How does a series come from a provider into somebody's data? perform() is the job of a fetch that is wanted: it ends
with the series stored, held back or refused.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from qfp.objects import arrow_bytes

from marketdata import (
    admission,
    credentials,
    fetch_queue,
    issues,
    provider_access,
    providers,
    redaction,
    store,
    throttle,
)
from marketdata.admission import Admission
from marketdata.fetch_queue import show_life
from marketdata.models import Fetch, Provider, Refresh, Series, Snapshot
from marketdata.providers import Bars, Description, Question
from marketdata.providers.connection import Connection
from marketdata.providers.errors import (
    BadResponse,
    ProviderDown,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    UnknownSymbol,
)
from marketdata.quality.series import PRICES

logger = logging.getLogger(__name__)

BACK_OFF_SECONDS = (1.0, 2.0, 4.0)
# No further attempt begins after this, so that a refusal is told within half a minute.
RETRIES_END_SECONDS = 12.0
ALIKE = 0.5  # names that differ more are no suggestion
USUAL_PAUSE = timedelta(minutes=5)


def perform(fetch_id: str) -> None:
    """Bring what a queued fetch wants, unless somebody else is at it. Its row says how it ended."""
    began = time.monotonic()
    claimed = Fetch.objects.filter(pk=fetch_id, status=Fetch.Status.QUEUED).update(
        status=Fetch.Status.RUNNING, started=timezone.now()
    )
    if not claimed:
        return
    fetch = Fetch.objects.select_related("user").get(pk=fetch_id)
    description = providers.find(fetch.provider)
    show_life(fetch)
    try:
        held = held_series(fetch)
        new_days_only = held is not None and is_refresh(fetch)
        bars = _ask(fetch, description, _question(fetch, held, new_days_only), began)
        admitted = admission.weigh(_series_id(fetch, bars), fetch.user, held, bars, all_there_is=not new_days_only)
        if new_days_only and admitted.needs_all:
            bars = _ask(fetch, description, _question(fetch, held, False), began)
            admitted = admission.weigh(_series_id(fetch, bars), fetch.user, held, bars, all_there_is=True)
        _say(fetch, "Stores it.")
        if held is not None and new_days_only and admitted.serious:
            snapshot, entry = _hold_back(fetch, held, admitted)
            progress = f"The new rows are held back: {admitted.serious[0].message}"
        else:
            snapshot, entry = _keep(fetch, description, admitted, held if new_days_only else None)
            progress = f"{entry['rows']} rows, {entry['first'][:10]} to {entry['last'][:10]}."
    except ProviderError as problem:
        _fail(fetch, description, problem)
    except Exception:
        logger.exception("fetch %s failed", fetch.pk)
        _fail(fetch, description, SiteFault("The site failed, not you. Try again; the operator can see why."))
    else:
        _finish(
            fetch,
            status=Fetch.Status.SUCCEEDED,
            progress=progress[:200],
            series_id=entry["id"],
            object_sha256=entry["object"],
            snapshot=snapshot,
        )
    if (ended := Fetch.objects.filter(pk=fetch.pk).first()) is None:
        return  # it went with its person's account
    fetch = ended
    logger.log(
        logging.INFO if fetch.status == Fetch.Status.SUCCEEDED else logging.WARNING,
        "fetch %s: %s %s %s %s after %d attempt%s in %.1f s",
        fetch.pk,
        description.title,
        fetch.symbol,
        fetch.interval,
        fetch.error or "stored",
        fetch.attempts,
        "" if fetch.attempts == 1 else "s",
        time.monotonic() - began,
    )


class SiteFault(ProviderError):
    """Nobody's fault but ours."""


def is_refresh(fetch: Fetch) -> bool:
    """Whether a round of marketdata.refresh wants it. One that a person began and a round has joined may end before
    today: joined, it would cut off what is there behind its last day.
    """
    if fetch.end is not None:
        return False
    return fetch.refreshed.filter(refresh__status=Refresh.Status.RUNNING).exists()


def _question(fetch: Fetch, held: dict[str, Any] | None, new_days_only: bool) -> Question:
    """The days asked for and those that are there already: the new series takes the place of the old one. For the new
    days of a refresh only what it asks for, which are joined to the rest.
    """
    start, end = fetch.start, fetch.end
    if held is not None and not new_days_only:
        first, last = (date.fromisoformat(held[name][:10]) for name in ("first", "last"))
        start = min(start, first) if start else None
        end = max(end, last) if end else None
    return Question(fetch.symbol, fetch.interval, start, end)


def held_series(fetch: Fetch) -> dict[str, Any] | None:
    """The entry of this series in what its owner reads; None where it was never fetched."""
    current = Snapshot.objects.filter(owner=fetch.user, is_current=True).first()
    if current is None:
        return None
    several = len(providers.find(fetch.provider).intervals) > 1
    for entry in store.read_manifest(settings.STORE_DIR, current.pk)["series"]:
        same = (entry.get("provider"), entry["symbol"]) == (fetch.provider, fetch.symbol)
        if same and (not several or entry["interval"] == fetch.interval):
            return entry
    return None


def _ask(fetch: Fetch, description: Description, question: Question, began: float) -> Bars:
    """The provider's answer, asked again after 1, 2 and 4 s where that may help."""
    scope = throttle.scope_of(description, fetch.user_id)
    with _key(fetch, description) as key, redaction.hiding(key.values()):
        for number, pause in enumerate((*BACK_OFF_SECONDS, None), start=1):
            # What was switched off or revoked meanwhile counts at once, not at the end.
            provider_access.allowed(fetch.user, description)
            if (until := throttle.blocked_until(scope)) is not None:
                raise RateLimited(f"{description.title} refuses for now: too many calls.", retry_at=until)
            _say(fetch, f"Asks {description.title}.", attempts=number)
            try:
                with connect(description, key, scope, lambda: show_life(fetch)) as connection:
                    found = _usable(description.fetch(question, connection), question, description)
                _told(description, None)
                return found
            except ProviderError as problem:
                strike_out_key(problem)
                wait = _wait(problem, pause, began)
                if wait is None:
                    if isinstance(problem, RateLimited) and problem.retry_at is not None and not problem.ours:
                        throttle.block(scope, problem.retry_at)
                    raise
                _say(fetch, f"{description.title} refuses for now; asked again in {wait:.0f} s.")
            except Exception:
                # Here, where the key is hidden: what a library says of its failure may hold it.
                logger.exception("fetch %s: the adapter of %s failed", fetch.pk, description.name)
                raise BadResponse(
                    f"{description.title} answered with something that the site cannot read. Use another provider; "
                    "the operator can see why."
                ) from None
            time.sleep(wait)
    raise AssertionError("the last attempt returns or raises")


def strike_out_key(problem: ProviderError) -> None:
    """What a provider repeats of a key does not go into a sentence. Call it while redaction.hiding() knows the key."""
    problem.args = (redaction.redact(str(problem)),)
    if isinstance(problem, UnknownSymbol):
        problem.nearest = [name for name in problem.nearest if len(name) <= 60 and redaction.redact(name) == name]


@contextmanager
def _key(fetch: Fetch, description: Description) -> Iterator[dict[str, str]]:
    if not description.needs_key:
        yield {}
        return
    with credentials.open_for_fetch(fetch, description) as key:
        yield key


def connect(description: Description, key: dict[str, str], scope: str, lives: Any = lambda: None) -> Connection:
    """A connection whose calls are counted against the provider's limits."""

    @contextmanager
    def gate() -> Iterator[None]:
        with throttle.call(description, scope):
            lives()
            yield

    return Connection(description, providers.address_of(description), key, gate)


def _wait(problem: ProviderError, pause: float | None, began: float) -> float | None:
    """Seconds until the next attempt; None for no further one."""
    if not problem.transient or pause is None:
        return None
    wait = pause * random.uniform(0.75, 1.25)
    if problem.retry_at is not None:
        wait = max(wait, (problem.retry_at - datetime.now(UTC)).total_seconds())
    return wait if time.monotonic() - began + wait < RETRIES_END_SECONDS else None


def _usable(bars: Bars, question: Question, description: Description) -> Bars:
    """Raises BadResponse for what no repair could make right; smaller faults are told with the series."""
    dates = bars.dates.astype(np.int64)
    wrong = ""
    if len(dates) > 1 and not np.all(np.diff(dates) > 0):
        wrong = "dates that are not in order or appear twice"
    elif any(np.isinf(values).any() for values in bars.columns.values()):
        wrong = "numbers that are infinite"
    elif set(PRICES) <= set(bars.columns):
        prices = np.vstack([bars.columns[name] for name in PRICES])
        if not np.all(np.isfinite(prices)) or (bars.kind == "equity" and not np.all(prices > 0)):
            wrong = "prices that are missing, zero or negative"
    elif not np.isfinite(bars.columns["close"]).any():
        wrong = "no numbers at all"
    if wrong:
        raise BadResponse(
            f"{description.title} answered for {question.symbol} with {wrong}. Nothing was stored. Try again later, "
            "or use another provider."
        )
    return bars


def _series_id(fetch: Fetch, bars: Bars) -> str:
    return f"{fetch.provider}/{bars.interval}/{fetch.symbol}"


def _hold_back(fetch: Fetch, held: dict[str, Any], admitted: Admission) -> tuple[str, dict[str, Any]]:
    """The series stays as it is; what is wrong with the new rows waits for somebody to look at it."""
    candidate = store.put_bars(admitted.bars.interval, admitted.bars.dates, admitted.bars.columns)
    issues.record(held["id"], candidate, admitted.serious, owner=fetch.user, held_back=True)
    return store.current_snapshot_id(fetch.user) or "", held


def _keep(
    fetch: Fetch, description: Description, admitted: Admission, same_as: dict[str, Any] | None
) -> tuple[str, dict[str, Any]]:
    """Put it into the store, and into what its owner reads from now on, with what is odd about it. same_as: an entry
    that stays as it is when nothing has changed.
    """
    bars = admitted.bars
    day = "D" if "m" not in bars.interval.removesuffix("mo") and "h" not in bars.interval else "s"
    first, last = (str(bars.dates[i].astype(f"datetime64[{day}]")) for i in (0, -1))
    actions = None
    if bars.actions is not None:
        columns = {"split": bars.actions.split, "dividend": bars.actions.dividend}
        actions = store.put_object(arrow_bytes(bars.actions.dates, columns))
    entry = {
        "id": _series_id(fetch, bars),
        "symbol": fetch.symbol,
        # The last part of VENDOR/TABLE/TICKER is what people call it.
        "aliases": [fetch.symbol.rpartition("/")[2]] if "/" in fetch.symbol else [],
        "name": bars.name or fetch.symbol,
        "kind": bars.kind,
        "interval": bars.interval,
        "unit": bars.unit,
        "exchange": bars.exchange[:30],
        "adjustment": bars.adjustment,
        "licence": description.licence,
        "source": f"{description.title}, fetched {timezone.now():%Y-%m-%d}",
        "quality": issues.sentences(admitted.findings),
        "survivorship": "unknown" if bars.kind == "equity" else "not applicable",
        "notice": bars.notice,
        "columns": list(bars.columns),
        "rows": len(bars.dates),
        "first": first,
        "last": last,
        "object": store.put_bars(bars.interval, bars.dates, bars.columns),
        "actions": actions,
        "rights": description.rights,
        "tier": "",
        "provider": description.name,
        "currency": bars.currency,
        # Trading days have none: code would get instants, and no other daily series goes together with those.
        "zone": bars.zone if day == "s" else "",
    }
    if same_as is not None and all(entry[name] == same_as[name] for name in ("object", "actions")):
        issues.nothing_is_held_back(entry["id"], owner=fetch.user)
        return store.current_snapshot_id(fetch.user) or "", same_as
    snapshot = store.add_series([entry], user=fetch.user, created_for=f"{description.name} {fetch.symbol}"[:60])
    issues.record(entry["id"], entry["object"], admitted.findings, owner=fetch.user)
    issues.nothing_is_held_back(entry["id"], owner=fetch.user)
    if admitted.restated and admitted.joined is not None:
        told = admitted.joined
        issues.record_restatement(entry["id"], entry["object"], told.changed, told.message, owner=fetch.user)
    return snapshot.pk, entry


# What is told


def _fail(fetch: Fetch, description: Description, problem: ProviderError) -> None:
    _told(description, problem)
    retry_at = problem.retry_at
    if retry_at is None and problem.transient:
        retry_at = timezone.now() + USUAL_PAUSE
    sentence = str(problem)
    if isinstance(problem, UnknownSymbol):
        if nearest := problem.nearest or similar(fetch.symbol, fetch.user):
            sentence += f" Did you mean {_or(nearest[:3])}?"
    elif isinstance(problem, RateLimited | QuotaExceeded | ProviderDown):
        if retry_at is not None:
            sentence += f" It may be asked again at {retry_at.astimezone(UTC):%H:%M UTC on %d %b}."
        sentence += _held(fetch) + provider_access.instead(fetch.user, description)
    _finish(
        fetch,
        status=Fetch.Status.FAILED,
        error=problem.kind,
        message=redaction.redact(sentence),
        retry_at=retry_at,
        progress="",
    )


def _told(description: Description, problem: ProviderError | None) -> None:
    """The provider's light: what only one person's key or symbol caused does not change it."""
    rows, now = Provider.objects.filter(name=description.name), timezone.now()
    if problem is not None and problem.ours:
        return
    if problem is None:
        rows.update(health=Provider.Health.GOOD, last_success=now, retry_at=None, last_error="")
    elif isinstance(problem, RateLimited):
        shared = description.limits.per == "site"
        rows.update(
            health=Provider.Health.SLOW,
            last_failure=now,
            last_error=str(problem),
            retry_at=problem.retry_at if shared else None,
        )
    elif isinstance(problem, ProviderDown):
        rows.update(health=Provider.Health.DOWN, last_failure=now, last_error=str(problem))
    elif isinstance(problem, BadResponse):
        # Everybody reads this, and the sentence names what one person asked for.
        said = f"{description.title} answered with something that the site cannot read."
        rows.update(health=Provider.Health.DOWN, last_failure=now, last_error=said)


def similar(symbol: str, user: Any) -> list[str]:
    """Up to three symbols of the catalogue, and of this person's own, that look alike, the nearest first."""
    import difflib

    whose = Q(snapshot__owner=None) | Q(snapshot__owner=user) if user is not None else Q(snapshot__owner=None)
    known = set(
        Series.objects.filter(whose, snapshot__is_current=True).values_list("instrument__symbol", flat=True)
    ) - {symbol}
    wanted = symbol.casefold()
    ratios = {name: difflib.SequenceMatcher(None, wanted, name.casefold()).ratio() for name in known}
    return sorted((name for name in known if ratios[name] >= ALIKE), key=lambda name: (-ratios[name], name))[:3]


def _held(fetch: Fetch) -> str:
    held = held_series(fetch)
    return f" What was fetched before is still there: {held['first'][:10]} to {held['last'][:10]}." if held else ""


def _or(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _say(fetch: Fetch, progress: str, **values: Any) -> None:
    show_life(fetch)
    Fetch.objects.filter(pk=fetch.pk).update(progress=progress, **values)


def _finish(fetch: Fetch, **values: Any) -> None:
    """Only where it is still going on: the sweep may have given it up."""
    Fetch.objects.filter(pk=fetch.pk, status=Fetch.Status.RUNNING).update(finished=timezone.now(), **values)
    fetch_queue.forget_life(fetch)

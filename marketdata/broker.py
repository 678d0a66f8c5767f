"""What may a running program have of data that is not in its snapshot? Read Broker.answer().

A program asks by name; whose data and whose key it is comes from the run, never from what the program says. The
fetch itself is done by workers of its queue, which alone open keys and have a way out. Nothing here waits for long: the
program asks again until there is an answer, so that it can be stopped meanwhile. What it gets
becomes part of the snapshot of its run, so that the same run can be made again when no provider answers any more.
"""

from __future__ import annotations

import re
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from qfp import objects

from marketdata import fetching, provider_access, providers, store, wanting
from marketdata.models import Fetch
from marketdata.providers import Description
from marketdata.providers.binance import QUOTES
from marketdata.providers.errors import (
    NoData,
    NotEntitled,
    ProviderDown,
    ProviderError,
    QuotaExceeded,
    UnknownSymbol,
)

LOOK_SECONDS = 2.0  # the program is answered at least so often
PAUSE_SECONDS = 0.1
FETCH_SECONDS = 90.0
MAX_QUESTIONS = 500  # of a run, for a series
MAX_PROVIDERS = 3  # asked for one name, where none was named
PART_BYTES = 1 << 20
GIVEN_BYTES = 512 << 20  # of a run
MAX_NAME = 120
ONE_VALUE = {"fred", "ecb"}  # what they give has one value a day
# Names that are worth asking these for: every call counts.
_SHAPES = {
    "binance": re.compile(rf"[A-Z0-9]{{2,12}}({'|'.join(QUOTES)})"),
    "ecb": re.compile(r"EUR[A-Z]{3}"),
    "nasdaq_data_link": re.compile(r".+/.+"),
    "lseg": re.compile(r"[A-Z0-9]+\.[A-Z]+"),
    "bloomberg": re.compile(r".+ (EQUITY|INDEX|CURNCY|COMDTY)"),
}
GOES_ON = (UnknownSymbol.__name__, NoData.__name__, NotEntitled.__name__)


@dataclass
class Want:
    """A series that the program asked for, and whom to ask for it."""

    name: str
    interval: str
    start: date | None
    end: date | None
    left: list[tuple[Description, str]]
    fetch: Fetch | None = None
    began: float = 0.0
    answer: dict[str, Any] | None = None  # the last one

    @property
    def text(self) -> str:
        assert self.fetch is not None
        return f"{self.fetch.symbol} is not in the snapshot: asks {providers.find(self.fetch.provider).title}."


class Broker:
    """Answers the questions of one run."""

    def __init__(self, user: Any, run: UUID, snapshot: str, fetches: int, pin: Callable[[str], None]) -> None:
        """user: whose run it is; None is a guest. fetches: how many series it may fetch. pin: called with each
        snapshot that the run reads from then on.
        """
        self.user, self.run, self.snapshot, self.fetches, self.pin = user, run, snapshot, fetches, pin
        self.wants: list[Want] = []
        self.numbers: dict[tuple[Any, ...], int] = {}
        self.questions = self.fetched = self.given_bytes = 0
        self.given: set[str] = set()
        self.lock = threading.Lock()

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """{"do": "want", "name", "interval", "what", "prefer", "start", "end"} -> {"want": number, "text"}
        {"do": "look", "want": number} -> {"text"} while it goes on, then {"entry", "snapshot", "sizes"}
        {"do": "read", "object", "from"} -> {"content"}: a part of an object, in base64

        Each may be {"problem": {"kind", "message", "nearest", "retry_at"}} instead: an error of qfp.data.
        """
        with self.lock:
            try:
                return self._answer(body)
            except ProviderError as problem:
                nearest = problem.nearest if isinstance(problem, UnknownSymbol) else []
                return _problem(problem.kind, str(problem), nearest, problem.retry_at)

    def _answer(self, body: dict[str, Any]) -> dict[str, Any]:
        match body.get("do"):
            case "want":
                number = self._want(body)
                return {"want": number, "text": self.wants[number].text}
            case "look":
                which = body.get("want")
                if isinstance(which, int) and not isinstance(which, bool) and 0 <= which < len(self.wants):
                    return self._look(self.wants[which])
                return {"error": "This series was not asked for."}
            case "read":
                return self._read(body.get("object"), body.get("from"))
        return {"error": "Nothing of that kind can be asked."}

    # A series --------------------------------------------------------------------------------------------------

    def _want(self, body: dict[str, Any]) -> int:
        name, interval = _text(body.get("name")), _text(body.get("interval")) or "1d"
        start, end = _day(body.get("start")), _day(body.get("end"))
        prices, prefer = body.get("what") == "prices", _text(body.get("prefer"))
        key = (name.casefold(), interval, start, end, prices, prefer)
        if key in self.numbers:
            return self.numbers[key]
        self.questions += 1
        if self.questions > MAX_QUESTIONS:
            raise QuotaExceeded(f"This program has asked for {MAX_QUESTIONS} series that it did not have; no more.")
        want = self._whom_to_ask(name, interval, prices, prefer)
        if want.interval == "1d":
            start = end = None  # all of it: a wider range later in the program needs no second fetch
        want.start, want.end = start, end
        self._ask_next(want)
        self.numbers[key] = len(self.wants)
        self.wants.append(want)
        return self.numbers[key]

    def _whom_to_ask(self, name: str, interval: str, prices: bool, prefer: str) -> Want:
        provider, _, symbol = name.partition("/")
        if symbol and (named := providers.ALL.get(provider.casefold())) is not None:
            middle, _, last = symbol.partition("/")
            if last and middle in named.intervals:
                interval, symbol = middle, last
            return Want(name, interval, None, None, [(named, providers.spelled(named, symbol))])
        able = []
        for description in providers.ALL.values():
            serves = description.name != "fred" if prices else description.name in ONE_VALUE
            if not serves or interval not in description.intervals:
                continue
            shape = _SHAPES.get(description.name)
            if shape and not shape.fullmatch(name.strip().upper()):
                continue
            try:
                provider_access.allowed(self.user, description)
                able.append((description, providers.spelled(description, name)))
            except ProviderError:
                continue
        if not able:
            raise self._nobody(name)
        able.sort(key=lambda each: each[0].name != prefer)
        return Want(name, interval, None, None, able[:MAX_PROVIDERS])

    def _nobody(self, name: str) -> UnknownSymbol:
        nearest = fetching.similar(name, self.user)
        hint = f" Did you mean {' or '.join(nearest)}?" if nearest else ""
        how = "connect a key of a provider that has it under Data, Keys (/data/keys/)"
        return UnknownSymbol(
            f"There is no series {name[:60]!r} in the data you may read.{hint} To have it fetched, "
            f"{how if self.user is not None else f'sign in and {how}'}; data.search() lists what there is.",
            nearest,
        )

    def _ask_next(self, want: Want) -> None:
        """Have the next provider asked. Raises ProviderError when that cannot be."""
        while True:
            description, symbol = want.left.pop(0)
            if self.fetched >= self.fetches:
                raise QuotaExceeded(
                    f"A run may fetch {self.fetches} series that its snapshot lacks, the limit of your plan. What was "
                    "fetched stays in your data: run again for the next ones, or fetch them under Data first."
                )
            self.fetched += 1
            try:
                want.fetch = wanting.want(
                    self.user, description.name, symbol, want.interval, want.start, want.end, run=self.run
                )
            except (UnknownSymbol, NotEntitled):
                if want.left:
                    continue
                raise
            want.began = time.monotonic()
            return

    def _look(self, want: Want) -> dict[str, Any]:
        if want.answer is not None:
            return want.answer
        until = time.monotonic() + LOOK_SECONDS
        while True:
            assert want.fetch is not None
            fetch = Fetch.objects.filter(pk=want.fetch.pk).first()
            if fetch is None:
                raise ProviderDown("What was to be fetched for this run was removed. Run again.")
            if fetch.status == Fetch.Status.SUCCEEDED:
                want.answer = self._give(want, fetch)
                return want.answer
            if fetch.status == Fetch.Status.FAILED:
                if not want.left or fetch.error not in GOES_ON:
                    want.answer = self._failure(fetch)
                    return want.answer
                self._ask_next(want)
                continue
            now = time.monotonic()
            if now - want.began > FETCH_SECONDS:
                raise ProviderDown(
                    f"{providers.find(fetch.provider).title} has not given {fetch.symbol} within {FETCH_SECONDS:.0f} "
                    "s. It may still come: look under Data, then run again."
                )
            if now > until:
                return {"text": f"{fetch.symbol}: {fetch.progress}"}
            time.sleep(PAUSE_SECONDS)

    def _failure(self, fetch: Fetch) -> dict[str, Any]:
        unknown = fetch.error == UnknownSymbol.__name__
        nearest = fetching.similar(fetch.symbol, self.user) if unknown else []
        return _problem(fetch.error, fetch.message, nearest, fetch.retry_at)

    def _give(self, want: Want, fetch: Fetch) -> dict[str, Any]:
        try:
            held = store.read_manifest(settings.STORE_DIR, fetch.snapshot)["series"]
            found = next(entry for entry in held if entry["id"] == fetch.series_id)
        except (store.SnapshotMissing, StopIteration):
            raise ProviderDown(f"{fetch.symbol} was removed while this run waited for it. Run again.") from None
        snapshot, entry = store.extend(self.snapshot, found, called=want.name, user=self.user)
        self.pin(snapshot)
        self.snapshot = snapshot
        names = [digest for digest in (entry["object"], entry["actions"]) if digest]
        self.given.update(names)
        sizes = {digest: objects.object_path(settings.STORE_DIR, digest).stat().st_size for digest in names}
        return {"entry": entry, "snapshot": snapshot, "sizes": sizes}

    # Its bytes -------------------------------------------------------------------------------------------------

    def _read(self, digest: Any, position: Any) -> dict[str, Any]:
        if not isinstance(digest, str) or digest not in self.given or not isinstance(position, int) or position < 0:
            return {"error": "This program was not given such an object."}
        if self.given_bytes > GIVEN_BYTES:
            raise QuotaExceeded(f"A run may be given {GIVEN_BYTES >> 20} MB of data that its snapshot lacks.")
        with objects.object_path(settings.STORE_DIR, digest).open("rb") as file:
            file.seek(position)
            part = file.read(PART_BYTES)
        self.given_bytes += len(part)
        return {"content": b64encode(part).decode()}


def _problem(kind: str, message: str, nearest: list[str], retry_at: datetime | None) -> dict[str, Any]:
    moment = retry_at.isoformat() if retry_at else None
    return {"problem": {"kind": kind, "message": message, "nearest": nearest, "retry_at": moment}}


def _text(value: Any) -> str:
    """Names from a box may be anything."""
    return value.replace("\x00", "").strip()[:MAX_NAME] if isinstance(value, str) else ""


def _day(value: Any) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None

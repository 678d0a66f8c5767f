"""What was found once of a run holds for all that are the same: which are, and what was found of them?

The same are runs of the same files, to the letter, with the same parameters, packages and data, that decided and filled
the same: what acts on changed data alone can stand in an annotation, a literal or a comment (which begins a cell that
is not run), and nobody may turn another one's result red. Whoever writes it otherwise gains nothing: on which days the
site changes data is drawn, but for one shape of code and its series always the same.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import random
from collections.abc import Iterator
from typing import Any

from django.conf import settings

from runner.likeness.stored import shape_of
from runner.models import Backtest, FoundLeak, Run
from runner.models.projects import digest_of_files

__all__ = ["chance_of", "known_bar", "remember", "same_as", "sameness"]


def sameness(run: Run, backtest: Backtest) -> str:
    """SHA-256 of what makes a backtest the same as another."""
    told = {
        "files": digest_of_files(run.revision.files),
        "params": [run.params, run.search],
        "packages": [run.environment, run.lock_id],
        "snapshot": run.snapshot,
        "data": _series(backtest),
        "days": [backtest.dates[0], backtest.dates[-1], len(backtest.dates)],
        "orders": _rows(backtest.orders, "bar", "instrument", "size", "outcome"),
        "fills": _rows(backtest.fills, "bar", "instrument", "size", "price"),
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def chance_of(run: Run, backtest: Backtest, way: str) -> random.Random:
    """What days are drawn by, and how data are changed after them: no author can know it, nor have it drawn anew."""
    told = json.dumps([shape_of(run.revision.files), _series(backtest), way]).encode()
    return random.Random(hmac.new(settings.SECRET_KEY.encode(), b"cuts:" + told, hashlib.sha256).digest())


def known_bar(same: str, backtest: Backtest) -> int | None:
    """The first bar that was decided otherwise in a backtest that is the same."""
    bar = FoundLeak.objects.filter(same=same).values_list("bar", flat=True).first()
    return None if bar is None else min(bar, len(backtest.dates) - 1)


def remember(same: str, bar: int) -> None:
    """It outlives the project in which it was found."""
    FoundLeak.objects.get_or_create(same=same, defaults={"bar": bar})


def same_as(same: str, backtest: Backtest) -> Iterator[Backtest]:
    """Others that were looked at before, of whomever, and let pass."""
    others = Backtest.objects.filter(same=same).exclude(checks__companion__state="red")
    yield from others.exclude(pk=backtest.pk).select_related("run")


def _series(backtest: Backtest) -> list[list[Any]]:
    return [[each.get("series") or each.get("symbol"), each.get("adjust")] for each in backtest.instruments]


def _rows(rows: list[dict[str, Any]], *names: str) -> list[list[Any]]:
    return [[f"{v:.9g}" if isinstance(v := row.get(name) or 0, float) else v for name in names] for row in rows]

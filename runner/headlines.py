"""Which figure stands for a run in a table of runs? The first of its first backtest, and how far it counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import F

from runner.models import Backtest, Run
from runner.verdicts import Standing

__all__ = ["Headline", "headlines"]


@dataclass(frozen=True)
class Headline:
    """key, label, text, value: as every page shows this figure. strategy: whose it is."""

    key: str
    label: str
    text: str
    value: float | None
    strategy: str
    standing: Standing

    @property
    def counts(self) -> bool:
        """Whether it may be shown as a gain or a loss."""
        return self.standing.counts


def headlines(runs: Iterable[Run]) -> dict[UUID, Headline]:
    """By the run's id, for whoever may see everything of these runs; none for one without a backtest."""
    # A backtest has megabytes; of these rows a table needs a few words.
    rows = (
        Backtest.objects.filter(run__in=[run.pk for run in runs])
        .order_by("run_id", "position")
        .distinct("run_id")
        .values_list(
            "run_id", "strategy", "verified", "verified_text", F("figures__0"), F("checks__lookahead"), named=False
        )
    )
    found = {}
    for run, strategy, verified, text, figure, lookahead in rows:
        if figure:
            kept = Backtest(verified=verified, verified_text=text, checks={"lookahead": lookahead or {}})
            known = {name: figure.get(name) for name in ("key", "label", "text", "value")}
            found[run] = Headline(**known, strategy=strategy, standing=kept.standing)
    return found

"""Is a backtest one of the combinations that a sweep of the same program has tried? Then both are one trial."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from runner.models import Backtest, Sweep, Trial

__all__ = ["combination_of"]

MOST_SWEEPS = 20  # latest ones that are asked
FIGURES = ("sharpe", "total_return", "max_drawdown", "trades")  # that a sweep keeps of each combination
CLOSE = 1e-9


def combination_of(backtest: Backtest, values: Mapping[str, Any]) -> str:
    """The name of the trial that both are; "" where they are not surely the same.

    values: of all parameters of the program and of its strategy, as the backtest had them.
    """
    run = backtest.run
    if not backtest.verified:
        return ""
    asked = Sweep.objects.filter(project=run.project, runs__revision=run.revision_id)
    sweeps = Sweep.objects.filter(pk__in=asked.values("pk")).exclude(about__bars__has_key="window")
    for sweep in sweeps.order_by("-created")[:MOST_SWEEPS]:
        names = sweep.about.get("space")
        if not isinstance(names, dict) or not names.keys() <= values.keys():
            continue
        found = sweep.trials.filter(params={name: values[name] for name in names}).select_related("run").first()
        if found is not None and _is_same(found, backtest, {**values}):
            return found.key
    return ""


def _is_same(tried: Trial, backtest: Backtest, values: dict[str, Any]) -> bool:
    # What the sweep's run was given or its code declares beside what was swept.
    others = tried.run.all_params if tried.run_id != backtest.run_id else {}
    if any(values.get(name) != value for name, value in (others | tried.run.params | tried.params).items()):
        return False
    # Of each name all are the same: where a sweep tells a second outcome of it, that is another trial.
    before = Backtest.objects.filter(trial=tried.key).values_list("metrics", flat=True).first()
    return all(_are_close(told, backtest.metrics) for told in (tried.figures, before) if told is not None)


def _are_close(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    pairs = [(one.get(name), other.get(name)) for name in FIGURES]
    return all(
        told is not None and found is not None and math.isclose(told, found, rel_tol=CLOSE, abs_tol=CLOSE)
        for told, found in pairs
    )

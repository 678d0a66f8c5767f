"""What exactly was run, and what came of it? The manifest of a run: code, data, environment and rules by their hashes.

Two runs with the same manifest up to `run` and `lineage` gave the same result. verifying.py makes a run again and
compares.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from django.conf import settings

from marketdata.store import SnapshotMissing
from runner import claims_box, trials
from runner.models import ENTRY, Backtest, Project, Run
from runner.snapshot_series import by_id

__all__ = ["VERSION", "code_of", "least_manifest", "manifest_of", "result_of"]

VERSION = 2
DECIMALS = 9


def manifest_of(
    run: Run, backtests: Sequence[Backtest], private: list[str], brought: list[str], environment: str
) -> dict[str, Any]:
    """private: series that it read and that are for whoever ran it alone. brought: those that somebody brought along as
    a file. environment: SHA-256 of the lock of what every box has.

    Everybody gets the same, so with private series nothing is in it that the program could have written them into.
    """
    shown = [backtest for backtest in backtests if backtest.verified or not private]
    # As it is now: a guest may have signed in since the run began.
    tried = trials.of_project(Project.objects.get(pk=run.revision.project_id))
    return {
        "version": VERSION,
        "run": str(run.pk),
        "engine": sorted({_engine_of(backtest) for backtest in shown} if not private else ()),
        "sdk": sdk_hash(),
        "code": code_of(run.revision.files),
        "entry": ENTRY,
        "revision": run.revision.number,
        "params": run.params,
        "search": run.search,
        "data": {
            "snapshot": run.snapshot or None,
            "private": private,
            "brought": brought,
            "series": series_of(backtests),
        },
        "environment": {
            "lock_sha256": environment,
            "packages_sha256": run.lock.sha256 if run.lock is not None else None,
            "packages": run.lock.text.splitlines() if run.lock is not None else [],
            "device": run.queue,
        },
        "limits": run.limits,
        "backtests": [
            {
                "strategy": "" if private else backtest.strategy,
                "params": {} if private else backtest.params,
                "engine": "" if private else _engine_of(backtest),
                "conventions": backtest.rules,
                "verified": backtest.verified,
                "result_sha256": result_of([backtest]),
                "annual_variance": None if private else tried.variance_beside(backtest),
                "claims": {line["key"]: line["state"] for line in claims_box.lines(backtest, tried, private, brought)},
            }
            for backtest in shown
        ],
        "lineage": lineage_of(run.project, tried),
        "result_sha256": result_of(backtests),
    }


def least_manifest(run: Run, private: list[str], brought: list[str]) -> dict[str, Any]:
    """What stands where a manifest could not be made: what was read, and that there is no result to compare with."""
    return {
        "version": VERSION,
        "run": str(run.pk),
        "data": {"snapshot": run.snapshot or None, "private": private, "brought": brought, "series": []},
        "result_sha256": None,
    }


def _engine_of(backtest: Backtest) -> str:
    return f"{backtest.engine_name} {backtest.engine_version}"


def code_of(files: dict[str, str]) -> dict[str, str]:
    """SHA-256 of each file's text."""
    return {path: hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for path, text in files.items()}


@lru_cache(maxsize=1)
def sdk_hash() -> str:
    """SHA-256 over the library's files, as they lie here now."""
    folder = Path(settings.BASE_DIR) / "sandbox" / "sdk" / "qfp"
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def series_of(backtests: Sequence[Backtest]) -> list[dict[str, Any]]:
    """What the backtests stand on, each with the hashes of its bytes."""
    found: dict[str, dict[str, Any]] = {}
    for backtest in backtests:
        try:
            entries = by_id(Path(settings.STORE_DIR), backtest.snapshot)
        except SnapshotMissing:
            continue
        for instrument in backtest.instruments:
            entry = entries.get(instrument.get("series") or "")
            if entry is not None:
                found[entry["id"]] = {
                    "series": entry["id"],
                    "provider": entry.get("provider"),
                    "symbol": entry.get("symbol"),
                    "range": [entry.get("first"), entry.get("last")],
                    "adjustment": instrument.get("adjust"),
                    "sha256": entry.get("object"),
                    "actions_sha256": entry.get("actions"),
                    "rights": entry.get("rights"),
                }
    return [found[name] for name in sorted(found)]


def lineage_of(project: Project, tried: trials.Trials) -> dict[str, Any]:
    """Where it comes from, and how many things had been tried by then."""
    parent = project.forked_from
    return {
        "project": project.token,
        "forked_from": f"{_named(parent.project)} r{parent.number}" if parent is not None else None,
        "trials": tried.count,
        "annual_variance": tried.annual_variance,
    }


def _named(project: Project) -> str:
    """The token of a public project, else its SHA-256: the token of a guest's project is its address."""
    if project.visibility == Project.Visibility.PUBLIC:
        return project.token
    return hashlib.sha256(project.token.encode()).hexdigest()


def result_of(backtests: Sequence[Any]) -> str | None:
    """SHA-256 of the returns and trades of all of them, rounded to 1e-9; None where there are none."""
    if not backtests:
        return None
    canonical = [canonical_result(backtest) for backtest in backtests]
    return hashlib.sha256(json.dumps(canonical, separators=(",", ":")).encode()).hexdigest()


def canonical_result(backtest: Any, decimals: int | None = DECIMALS) -> dict[str, Any]:
    """backtest: a Backtest, or what check_claim() gives. decimals: None for all that there are."""

    def number(value: Any) -> Any:
        if decimals is None or not isinstance(value, (int, float)):
            return value
        return round(float(value), decimals) + 0.0  # which makes -0.0 the 0.0 that it is

    returns = [number(after / before - 1 if before else 0.0) for before, after in pairwise(backtest.equity)]
    names = ("entry_bar", "exit_bar", "size", "entry_price", "exit_price", "profit")
    return {
        "strategy": backtest.strategy,
        "dates": [backtest.dates[0], backtest.dates[-1]] if backtest.dates else [],
        "returns": returns,
        "trades": [[number(trade.get(name)) for name in names] for trade in backtest.trades],
    }

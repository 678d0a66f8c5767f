"""What is kept of an examination: it takes the place of all that an earlier one has said of the same backtest."""

from __future__ import annotations

from typing import Any

from django.db.models import F, Func, JSONField, Value

from runner.honesty.sending import EXAMINING
from runner.honesty.site_findings import OF_THE_SITE, taken_back
from runner.models import Backtest

__all__ = ["note", "with_more"]


def note(backtest: Backtest, same: str, found: dict[str, Any]) -> None:
    """What others have noted of it meanwhile stays. found: nothing where it could not be looked at."""
    old: tuple[str, ...] = (EXAMINING, *OF_THE_SITE) if found else (EXAMINING,)
    if found and "lookahead" not in found and backtest.checks.get("lookahead", {}).get("evidence") == "site":
        old = (*old, "lookahead")
        if told := taken_back(backtest, found):
            found = found | {"lookahead": told}
    checks: F | Func = F("checks")
    for name in old:
        checks = Func(checks, Value(name), template="(%(expressions)s)", arg_joiner=" - ")
    Backtest.objects.filter(pk=backtest.pk).update(checks=with_more(checks, found), same=same)


def with_more(checks: F | Func, told: dict[str, Any]) -> Func:
    """checks: of a backtest, as a query has them."""
    told_too = Value(told, JSONField())
    return Func(checks, told_too, template="(%(expressions)s)", arg_joiner=" || ", output_field=JSONField())

"""What do the look at the strategy and the test of the whole program say together?"""

from __future__ import annotations

from typing import Any

__all__ = ["joined"]


def joined(strategy: dict[str, Any], program: dict[str, Any]) -> dict[str, Any]:
    """One finding of the look-ahead test. A leak that either has found is one; the whole program says more than its
    class alone, and where only the class could be tested, that is said.
    """
    if "leak" in (strategy["state"], program["state"]):
        leaks = [found for found in (strategy, program) if found["state"] == "leak"]
        first = min(leaks, key=lambda found: found["bar"])
        told = next((found for found in leaks if found.get("expression")), first)
        return first | {key: told.get(key) for key in ("expression", "line")}
    if program["state"] == "chosen":
        return program
    if program["state"] in ("clean", "files"):
        tried: dict[str, Any] = {key: strategy[key] for key in ("cuts", "tails", "orders", "bars") if key in strategy}
        return {**program, **tried}
    if strategy["state"] == "partly":
        return {**strategy, "why": program["why"]}
    return {"state": "untested", "why": strategy.get("why") or program.get("why")}

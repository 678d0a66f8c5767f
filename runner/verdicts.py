"""How far may a result be believed? Whether it was verified and what speaks against it, and what making it again gave.

Every page, report, file and answer that shows figures of a result takes its state from standing_of(), and the words for
one that was not verified from Standing.told().
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["ALARMING", "ANSWERS", "NOT_VERIFIED", "Standing", "answered", "made_up", "standing_of"]

NOT_VERIFIED = "Not verified."  # how the text of a backtest begins that is not

SYNTHETIC = "synth/"  # how the ids of series begin that a model made

ANSWERS = {
    "exact": "Exact",
    "close": "Equal within 1e-9",
    "result": "The result differs",
    "data": "The data differ",
    "environment": "The environment differs",
    "code": "The code differs",
    "cannot": "Cannot be run",
}
# A newer library or another lock is how the site goes on; these are not.
ALARMING = ("result", "data", "code")


class Checked(Protocol):
    """What is asked of a backtest."""

    verified: bool
    verified_text: str
    checks: dict[str, Any]


@dataclass(frozen=True)
class Standing:
    """verified: whether its fills were replayed over our bars. said: that, in a sentence. reason: why it was not, leak:
    how it was found to use the future; each "" where there is nothing to say.
    """

    verified: bool
    said: str
    reason: str
    leak: str

    @property
    def counts(self) -> bool:
        """Whether its figures may be shown as gains."""
        return self.verified and not self.leak

    def notices(self, what: str) -> list[tuple[str, str]]:
        """What a reader has to know before `what` of it, such as its figures: states of qfp.tearsheet.states, and
        sentences.
        """
        return [(state, line) for state, line in (("amber", self.told(what)), ("red", self.leak)) if line]

    def told(self, what: str) -> str:
        """The line for what is its program's word; "" where it was verified."""
        if self.verified:
            return ""
        return f"{what} as told by the program; not verified{f': {self.reason}' if self.reason else '.'}"


def standing_of(backtest: Checked) -> Standing:
    found, said = backtest.checks.get("lookahead", {}), backtest.verified_text
    return Standing(
        verified=backtest.verified,
        said=said,
        reason="" if backtest.verified else said.removeprefix(NOT_VERIFIED).strip(),
        leak=found.get("sentence", "It uses the future.") if found.get("state") == "red" else "",
    )


def answered(verification: Mapping[str, Any]) -> dict[str, Any]:
    """The last answer of a run that was made again, also while the next one is awaited; {} before the first."""
    return dict(verification if verification.get("state") == "done" else verification.get("last", {}))


def made_up(instruments: Sequence[Mapping[str, Any]]) -> str:
    """A sentence where some of the bars were made by a model; "" otherwise."""
    names = [each["symbol"] for each in instruments if str(each.get("series", "")).startswith(SYNTHETIC)]
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"A model made the bars of {', '.join(names[:3])}{more}; no market was ever like that."

"""What has a sweep tried? Its trials are told by the program in batches, kept once each, and told again to the next
program that asks for the same sweep, so that one which was lost goes on where it was.

What a trial gave is the word of its box. Its count is not only that: every trial that was told is kept, whatever
becomes of the run.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Collection
from functools import cached_property
from typing import Any

from django.db import transaction

from runner.models import Run, Sweep, Trial
from runner.storable import TooDeep, storable
from runner.trials import Code

__all__ = ["SweepQuestions"]

MOST_SWEEPS = 100  # of one run: a walk-forward has one for every window
MOST_TRIALS = 20_000  # of one sweep
MOST_AT_ONCE = 200
MOST_NAMES = 50
MOST_TEXT = 200
MOST_FIGURES = 20
MOST_ABOUT_BYTES = 200_000
MOST_OTHER_RUNS = 20  # latest ones of other programs, whose word about a window is kept beside that of the last
WINDOW = ("window", "train", "test")  # of the bars of a sweep: where it looked
TOLD = ("number", "params", "score", "figures", "error", "blocks", "length")  # of a trial
BLOCK_BYTES = 2 * 16 * 8
LARGEST = 1e100  # of what is told: its squares and sums are still numbers


class Refused(Exception):
    """What was told cannot be kept; the text is for the author of the program."""


class SweepQuestions:
    """The sweeps of one run. Asked in threads, so whatever is kept here is only ever added to."""

    def __init__(self, run: Run, left: int = MOST_SWEEPS) -> None:
        """left: how many sweeps may be opened."""
        self.run, self.left = run, left
        self.opened: dict[int, Sweep] = {}

    @cached_property
    def code(self) -> Code:
        """Read once: a sweep has thousands of trials, and most runs have no sweep."""
        return Code(self.run.revision.files)

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """{"do": "open", "about"} | {"do": "known", "sweep", "after"} | {"do": "add", "sweep", "trials"} |
        {"do": "traded", "sweep", "change"}, of the window of a walk-forward.
        """
        try:
            if body.get("do") == "open":
                return {"sweep": self._open(body.get("about"))}
            sweep = self.opened.get(body["sweep"]) if isinstance(body.get("sweep"), int) else None
            if sweep is None:
                raise Refused("This sweep is not open.")
            if body.get("do") == "known":
                return {"trials": self._known(sweep, body.get("after"))}
            if body.get("do") == "add":
                self._add(sweep, body.get("trials"))
                return {}
            if body.get("do") == "traded":
                self._keep_change(sweep, _number(body.get("change")))
                return {}
            raise Refused("Nothing of that kind can be asked.")
        except Refused as reason:
            return {"error": str(reason)}

    def _open(self, about: Any) -> int:
        try:
            about = storable(about)
        except TooDeep as reason:
            raise Refused(f"The description of the sweep cannot be kept. {reason}") from None
        if not isinstance(about, dict) or len(json.dumps(about)) > MOST_ABOUT_BYTES:
            raise Refused("The description of the sweep is too long to be kept.")
        if len(self.opened) >= self.left:
            raise Refused(f"At most {MOST_SWEEPS} sweeps of one run are kept.")
        # What its code reads is in what it stands on, so that a sweep that was told without it goes on.
        named = {name: each for name, each in about.items() if name != "values_read"}
        values = {"run_params": self.run.params, "sweep": named}
        # Only a digest of its bars says what a sweep reads. Of a function or a program only the run knows its data.
        if not isinstance(about.get("bars"), str):
            values["snapshot"] = self.run.snapshot
        key = self.code.fingerprint(values)
        sweep, _ = Sweep.objects.get_or_create(project=self.run.project, key=key, defaults={"about": about})
        sweep.runs.add(self.run)
        self.opened[sweep.pk] = sweep
        return sweep.pk

    def _known(self, sweep: Sweep, after: Any) -> list[dict[str, Any]]:
        after = after if isinstance(after, int) and 0 <= after < 2**62 else 0
        found = sweep.trials.filter(pk__gt=after).order_by("pk")[:MOST_AT_ONCE]
        return [{"id": trial.pk, **{name: getattr(trial, name) for name in TOLD}} for trial in found]

    def _add(self, sweep: Sweep, told: Any) -> None:
        if not isinstance(told, list) or len(told) > MOST_AT_ONCE:
            raise Refused(f"Trials are told as a list of at most {MOST_AT_ONCE}.")
        if sweep.trials.count() + len(told) > MOST_TRIALS:
            raise Refused(f"At most {MOST_TRIALS:,} trials of a sweep are kept.")
        Trial.objects.bulk_create([self._trial(sweep, one) for one in told], ignore_conflicts=True)

    def _keep_change(self, sweep: Sweep, change: float | None) -> None:
        """By run: one that chooses in another way tries the same combinations and then trades with others."""
        run = str(self.run.pk)
        with transaction.atomic():  # others may have told of it since this one has opened it
            about = Sweep.objects.select_for_update().get(pk=sweep.pk).about
            told = about.get("traded")
            others = {name: each for name, each in told.items() if name != run} if isinstance(told, dict) else {}
            kept = {name: others[name] for name in _most_telling(others)}
            sweep.about = {**about, "traded": {**kept, run: change}}
            sweep.save(update_fields=["about"])

    def _trial(self, sweep: Sweep, told: Any) -> Trial:
        if not isinstance(told, dict):
            raise Refused("A trial is an object.")
        params = _values(told.get("params"))
        kept = {name: sweep.about.get(name) for name in ("target", "bars", "options", "symbol")}
        if isinstance(kept["bars"], dict):  # the windows of a walk-forward try the same combinations again
            all_bars = {name: value for name, value in kept["bars"].items() if name not in WINDOW}
            # Those of walk_forward() in a program are told as a sweep over all of its bars tells these.
            alone = list(all_bars) == ["bars"] and isinstance(all_bars["bars"], str)
            kept["bars"] = all_bars["bars"] if alone else all_bars
        if isinstance(read := sweep.about.get("values_read"), str):  # what the program set around this sweep
            kept["values_read"] = read
        key = self.code.fingerprint({"run_params": self.run.params, "params": params, **kept})
        number, length, blocks = told.get("number"), told.get("length"), told.get("blocks")
        whole = isinstance(length, int) and 0 < length < 2**31 and _is_blocks(blocks)
        figures = told.get("figures") if isinstance(told.get("figures"), dict) else {}
        return Trial(
            sweep=sweep,
            run=self.run,
            key=key,
            number=number if isinstance(number, int) and 0 <= number < 2**31 else 0,
            params=params,
            score=_number(told.get("score")),
            figures={
                storable(str(name))[:60]: _number(value) for name, value in list((figures or {}).items())[:MOST_FIGURES]
            },
            error=storable(str(told.get("error") or ""))[:300],
            blocks=blocks if whole else "",
            length=length if whole else 0,
        )


def _most_telling(runs: Collection[str]) -> list[str]:
    """The latest run of each program, the latest first: earlier ones of the same program chose in the same way."""
    if len(runs) <= MOST_OTHER_RUNS:
        return list(runs)
    found: dict[str, str] = {}
    rows = Run.objects.filter(pk__in=runs).order_by("-queued").values_list("pk", "revision__sha256")
    for name, program in rows:
        found.setdefault(program, str(name))
    return list(found.values())[:MOST_OTHER_RUNS]


def _values(told: Any) -> dict[str, Any]:
    if not isinstance(told, dict) or len(told) > MOST_NAMES:
        raise Refused(f"The parameters of a trial are an object of at most {MOST_NAMES} values.")
    found = {}
    for name, value in told.items():
        if isinstance(value, str):
            value = storable(value)[:MOST_TEXT]
        elif not isinstance(value, (bool, int, float)) or not abs(value) <= LARGEST:
            raise Refused("A parameter is a finite number, text, true or false.")
        found[storable(name)[:60]] = value
    return found


def _number(value: Any) -> float | None:
    """None where it is missing, or no figure of an account."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) <= LARGEST else None


def _is_blocks(blocks: Any) -> bool:
    try:
        return isinstance(blocks, str) and len(b64decode(blocks, validate=True)) == BLOCK_BYTES
    except ValueError:
        return False

"""What of a sweep has been tried already, and who remembers it? The site, or a file on a laptop.

Every batch of trials is handed over before the next one begins, so a program that is ended and begun again goes on
where it was: what is remembered is not tried again.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from qfp import channel
from qfp.sweeps.space import key_of
from qfp.sweeps.trial import Trial

__all__ = ["Record", "digest_of_bars", "record_of"]

AT_ONCE = 200  # trials in one message


class Record(ABC):
    """known: trials of this very sweep from earlier programs, by the key of their parameters."""

    known: dict[str, Trial]

    @abstractmethod
    def add(self, trials: Sequence[Trial]) -> None:
        """Remember these; when it returns, they are."""

    def traded(self, change: float) -> None:  # noqa: B027  only the site shows it
        """What came of the choice in the window of a walk-forward: for whoever looks while others are to come."""


class Nowhere(Record):
    def __init__(self) -> None:
        self.known = {}

    def add(self, trials: Sequence[Trial]) -> None:
        pass


class InFile(Record):
    """One JSON object a line; the first one says of which sweep."""

    def __init__(self, path: str | Path, about: dict[str, Any]) -> None:
        self.path = Path(path)
        self.known = {}
        head = json.dumps({"sweep": about}, sort_keys=True, default=str)
        # What its code reads is in what it stands on, so that a record that was begun without it goes on.
        bare = {name: each for name, each in about.items() if name != "values_read"}
        heads = {head, json.dumps({"sweep": bare}, sort_keys=True, default=str)}
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True) if self.path.exists() else []
        if lines and lines[0].rstrip("\n") not in heads:
            raise ValueError(
                f"{path} is the record of another sweep, of other code, or of code that reads what cannot be compared; "
                "name another file, or delete it"
            )
        whole = [line for line in lines if line.endswith("\n")]  # the last one may have been cut off
        for line in whole[1:]:
            trial = Trial.from_dict(json.loads(line))
            self.known[key_of(trial.params)] = trial
        self._write("".join(whole) or head + "\n", "w")

    def add(self, trials: Sequence[Trial]) -> None:
        self._write("".join(json.dumps(trial.as_dict()) + "\n" for trial in trials), "a")

    def _write(self, text: str, mode: str) -> None:
        with self.path.open(mode, encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


class OnSite(Record):
    """The site keeps it with the project. Raises channel.Unanswered where it cannot."""

    def __init__(self, about: dict[str, Any]) -> None:
        self.known = {}
        self.sweep = channel.ask("sweep", {"do": "open", "about": about})["sweep"]
        after = -1
        while found := channel.ask("sweep", {"do": "known", "sweep": self.sweep, "after": after})["trials"]:
            for given in found:
                trial = Trial.from_dict(given)
                self.known[key_of(trial.params)] = trial
                after = int(given["id"])

    def add(self, trials: Sequence[Trial]) -> None:
        for at in range(0, len(trials), AT_ONCE):
            some = [trial.as_dict() for trial in trials[at : at + AT_ONCE]]
            channel.ask("sweep", {"do": "add", "sweep": self.sweep, "trials": some})

    def traded(self, change: float) -> None:
        with suppress(channel.Unanswered):  # it is told again in the result
            channel.ask("sweep", {"do": "traded", "sweep": self.sweep, "change": change})


def record_of(about: dict[str, Any], path: str | Path | None) -> tuple[Record, str]:
    """The record, and why there is none where there could be one."""
    if path is not None:
        return InFile(path, about), ""
    if not channel.connected:
        return Nowhere(), ""
    try:
        return OnSite(about), ""
    except channel.Unanswered as reason:
        return Nowhere(), f"The trials of this sweep are not recorded: {reason}"


def digest_of_bars(bars: Any) -> str:
    """SHA-256 of their times and values."""
    digest = hashlib.sha256()
    digest.update(" ".join(map(str, bars.columns)).encode())
    for values in (bars.index.to_numpy(), *(bars[name].to_numpy() for name in bars.columns)):
        plain = values.dtype.kind in "fiubM"
        digest.update(np.ascontiguousarray(values).tobytes() if plain else str(list(values)).encode())
    return digest.hexdigest()

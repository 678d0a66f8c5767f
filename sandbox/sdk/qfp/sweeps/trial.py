"""What is kept of one combination that was tried? Its figures, and what the probability of overfitting is made of."""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qfp.sweeps.space import Parameters

__all__ = ["BLOCKS", "Trial", "blocks_of", "blocks_of_rows", "overfitting_of"]

NAN = float("nan")
BLOCKS = 16


@dataclass
class Trial:
    """number: from 0, in the order in which they were asked for. score: the objective; NaN where it is not defined.

    figures: others, by name. error: why there is no score, where the combination failed. blocks: see blocks_of(); ""
    where it has no returns. length: periods of a block.
    """

    number: int
    params: Parameters
    score: float = NAN
    figures: dict[str, float] = field(default_factory=dict)
    error: str = ""
    blocks: str = ""
    length: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For the record; a number that JSON has no word for becomes None."""
        return {
            "number": self.number,
            "params": dict(self.params),
            "score": self.score if math.isfinite(self.score) else None,
            "figures": {name: value if math.isfinite(value) else None for name, value in self.figures.items()},
            "error": self.error,
            "blocks": self.blocks,
            "length": self.length,
        }

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> Trial:
        figures = {name: NAN if value is None else float(value) for name, value in given["figures"].items()}
        score = NAN if given["score"] is None else float(given["score"])
        return cls(
            int(given["number"]),
            Parameters(given["params"]),
            score,
            figures,
            given["error"],
            given["blocks"],
            int(given["length"]),
        )


def blocks_of(returns: np.ndarray) -> tuple[str, int]:
    """(sums of the returns and of their squares over 16 equal stretches, as base64; periods of a stretch).

    The oldest that are left over are left out. ("", 0) for too few returns, or for returns that are no numbers.
    """
    length = len(returns) // BLOCKS
    if length < 1 or not np.isfinite(returns).all():
        return "", 0
    cut = returns[len(returns) - length * BLOCKS :].reshape(BLOCKS, length)
    both = np.concatenate([cut.sum(axis=1), (cut**2).sum(axis=1)])
    return b64encode(both.astype("<f8").tobytes()).decode("ascii"), length


def blocks_of_rows(returns: np.ndarray) -> tuple[list[str], int]:
    """blocks_of() of every row of a table, and the length of a block."""
    count, periods = returns.shape
    length = periods // BLOCKS
    if length < 1:
        return [""] * count, 0
    cut = returns[:, periods - length * BLOCKS :].reshape(count, BLOCKS, length)
    both = np.concatenate([cut.sum(axis=2), (cut**2).sum(axis=2)], axis=1).astype("<f8")
    known = np.isfinite(returns).all(axis=1).tolist()
    texts = [b64encode(row.tobytes()).decode("ascii") if fine else "" for row, fine in zip(both, known, strict=True)]
    return texts, length


def overfitting_of(trials: list[Trial]) -> Any:
    """The probability of overfitting (qfp.significance.Overfitting) of all that have returns over the same time."""
    from qfp.significance import overfitting_of_blocks

    lengths = [trial.length for trial in trials if trial.length]
    length = max(set(lengths), key=lengths.count) if lengths else 0
    rows = [np.frombuffer(b64decode(trial.blocks), dtype="<f8") for trial in trials if trial.length == length > 0]
    both = np.array(rows).reshape(len(rows), 2, BLOCKS)
    return overfitting_of_blocks(both[:, 0].T, both[:, 1].T, length)

"""What speaks for going on with one combination of a sweep? Its neighbours, and whether it lies at the edge."""

from __future__ import annotations

from typing import Any

from qfp.figures import signed
from qfp.sweeps.plateau import Plateau, around
from qfp.sweeps.trial import Trial as Tried

from runner.overfitting import LIKELY
from runner.sweeps.out_of_sample import Walked
from runner.sweeps.results import SweepResults, params_text, score_text, value_text

__all__ = ["doubts", "neighbours_in_words"]


def doubts(overfitting: dict[str, Any] | None, walked: Walked | None) -> list[str]:
    """What speaks against going on with any combination of the sweep, a sentence each; none where nothing does."""
    told = overfitting or {}
    said = []
    if not told.get("too_few") and (told.get("probability") or 0.0) > LIKELY:
        share = f"{signed(told['probability'] * 100, 0)}\u00a0%"
        said.append(
            f"The probability of overfitting is {share}: what was best in one half of the time was mostly no better "
            "than the median in the other."
        )
    if walked is not None and walked.lost:
        said.append("A walk-forward of this sweep, which chose as it does and traded the bars after, lost money.")
    return said


def neighbours_in_words(results: SweepResults, picked: Tried | None, declared: list[dict[str, Any]]) -> tuple[str, str]:
    """(what its neighbours say of what was picked, or else of the plateau; how to look beyond the edge it lies at, else
    ""). declared: the program's parameters, whose bounds end every range.
    """
    plateau = results.plateau
    if plateau is None:
        return "The plateau is looked for when all trials are there." if picked is None else _of(results, picked), ""
    edge, beyond = _edge(results, plateau.params if picked is None else picked.params, declared)
    if picked is None:
        where = "on the plateau" if edge else "in the middle of the plateau"
        said = f"A single peak is mostly luck; {where} its neighbours count, too."
        return f"{said} {_region(plateau, f'The cell {params_text(plateau.params)}')}{edge}", beyond
    if picked.number == plateau.number:
        return f"It is the middle of the plateau. {_region(plateau, 'It')}{edge}", beyond
    middle = f"The middle of the plateau, {params_text(plateau.params)},"
    return f"{_of(results, picked)} {_region(plateau, middle)}{edge}", beyond


def _of(results: SweepResults, picked: Tried) -> str:
    near = around(results.tried, picked.number, results.maximize)
    if near is None:
        return "It has no score."
    if not near.neighbours:
        return "Nothing was tried next to it: whether it is luck, this sweep does not tell."
    return _region(near, "What was picked")


def _region(near: Plateau, name: str) -> str:
    """Its own figure and that of its region, which may be far from each other, in a sentence."""
    own = f"{name} has {score_text(near.own)} by itself"
    if not near.neighbours:
        return f"{own}, with nothing tried next to it."
    many = "s" if near.neighbours > 1 else ""
    return (
        f"{own}; over it and its {near.neighbours} neighbour{many} the median is {score_text(near.median)}, the mean "
        f"{score_text(near.score)} and the worst {score_text(near.lowest)}."
    )


def _edge(results: SweepResults, params: dict[str, Any], declared: list[dict[str, Any]]) -> tuple[str, str]:
    """(a sentence where values are the lowest or highest that were tried of three or more, how to look beyond); both ""
    inside the grid.
    """
    bounds = {param.get("name"): (param.get("minimum"), param.get("maximum")) for param in declared}
    ends: list[str] = []
    wider: list[str] = []
    bound_by: list[str] = []
    for name, value in params.items():
        tried: set[Any] = {each.params.get(name) for each in results.tried}
        if len(tried) < 3 or not all(type(each) in (int, float) for each in tried):
            continue
        for end, word, bound in zip((min(tried), max(tried)), ("lowest", "highest"), bounds.get(name, (None, None)),
                                    strict=True):  # fmt: skip
            if value == end:
                ends.append(f"{name} {value_text(value)} is the {word} that was tried")
                (wider if value != bound else bound_by).append(name)
    if not ends:
        return "", ""
    beyond = f" Better may lie beyond: sweep again with a wider range of {' and '.join(wider)}." if wider else ""
    if bound_by:
        beyond += (
            f" The program allows {' and '.join(bound_by)} no further: to try beyond, widen the range in its param()."
        )
    return f" It lies at the edge: {' and '.join(ends)}.", beyond

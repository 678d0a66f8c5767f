"""What came of a sweep? Every trial, the plateau before the peak, and how far the best is luck."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from qfp.sweeps.plateau import Plateau, plateau
from qfp.sweeps.space import Parameters
from qfp.sweeps.trial import Trial, overfitting_of

if TYPE_CHECKING:
    import pandas as pd

    from qfp.output import Chart, Table
    from qfp.significance import Deflated, Overfitting
    from qfp.sweeps.evaluation import Evaluation
    from qfp.sweeps.recording import Record
    from qfp.sweeps.space import Space

__all__ = ["SweepResult"]

MOST_DRAWN = 2_000


class SweepResult:
    """trials: one row per combination, in the order in which they were tried: parameters, score, figures, error.

    stopped: why it ended, in a sentence. resumed: how many trials came from the record of an earlier program.
    objective: what was maximized (or minimized). best, plateau: parameters of the single best, and of the middle of the
    best neighbourhood. Raises nothing where trials failed: their row has the error.
    """

    def __init__(
        self,
        target: str,
        space: Space,
        objective: str,
        maximize: bool,
        tried: list[Trial],
        evaluation: Evaluation,
        record: Record | None = None,
    ) -> None:
        self.target, self.space, self.objective, self.maximize = target, space, objective, maximize
        self._tried, self._evaluation, self.record = tried, evaluation, record
        self.stopped = ""
        self.resumed = 0

    def __len__(self) -> int:
        return len(self._tried)

    @property
    def tried(self) -> list[Trial]:
        return self._tried

    @cached_property
    def trials(self) -> pd.DataFrame:
        import pandas as pd

        figures = list(dict.fromkeys(name for trial in self._tried for name in trial.figures))
        rows = [
            {
                **trial.params,
                "score": trial.score,
                **{name: trial.figures.get(name, math.nan) for name in figures if name not in trial.params},
                "error": trial.error,
            }
            for trial in self._tried
        ]
        return pd.DataFrame(rows, index=pd.RangeIndex(len(rows), name="trial"))

    @cached_property
    def _best(self) -> Trial | None:
        sign = 1 if self.maximize else -1
        scored = [trial for trial in self._tried if math.isfinite(trial.score)]
        return max(scored, key=lambda trial: sign * trial.score, default=None)

    @property
    def best(self) -> dict[str, Any]:
        """Parameters of the single best trial; the first of equal ones."""
        return Parameters(self._scored(self._best).params)

    @property
    def best_score(self) -> float:
        return self._scored(self._best).score

    @cached_property
    def neighbourhood(self) -> Plateau | None:
        return plateau(self._tried, self.maximize) if self._tried else None

    @property
    def plateau(self) -> dict[str, Any]:
        """Parameters of the middle of the best neighbourhood: what to go on with."""
        return Parameters(self._scored(self.neighbourhood).params)

    def _scored(self, found: Any) -> Any:
        if found is None:
            raise ValueError("no trial has a score; the column `error` of trials says why")
        return found

    @cached_property
    def overfitting(self) -> Overfitting:
        """The probability of backtest overfitting, over every trial that has returns; too few below 12."""
        return overfitting_of(self._tried)

    def deflated(self, params: dict[str, Any] | None = None, trials: int | None = None) -> Deflated:
        """The Sharpe ratio of a combination (the plateau's, when left out) against the best of so many worthless ones.

        trials: how many to reckon with; those of this sweep when left out. The site counts the project's, too. Raises
        ValueError where the combination has another score now than in the sweep.
        """
        from qfp.significance import deflated_sharpe_ratio

        chosen = Parameters(self.plateau if params is None else params)
        score, _, returns = self._evaluation.tried(chosen)
        before = next((trial.score for trial in self._tried if trial.params == chosen), score)
        if math.isfinite(before) and score != before:
            raise ValueError(
                f"{self.target} has another score now than in the sweep, {score:.6g} instead of {before:.6g}: it, or "
                "what it reads, has changed since, or it draws random numbers; sweep again"
            )
        if returns is None:
            raise ValueError('the function gives no returns; let it give a dictionary with "returns", one per period')
        year = getattr(self._evaluation, "periods", 252.0)
        ratios = np.array([trial.figures.get("sharpe", math.nan) for trial in self._tried])
        known = ratios[np.isfinite(ratios)]
        variance = float(known.var(ddof=1)) if len(known) > 1 else None
        return deflated_sharpe_ratio(returns, trials or len(self._tried), variance, year)

    def heatmap(self, x: str | None = None, y: str | None = None) -> Chart:
        """The best score for every pair of values of two parameters; the first two when left out. With one parameter,
        the score along it.
        """
        from qfp.output import Chart, chart

        names = self.space.names
        x, y = x or names[0], y or (names[1] if len(names) > 1 else None)
        title = f"{self.objective} of {len(self):,} trials"
        if y is None:
            frame = self.trials.sort_values(x)
            return chart(x=frame[x], y=frame["score"], kind="points", title=title, x_title=x, y_title=self.objective)
        frame = self.trials[self.trials["score"].notna()]
        grid = frame.pivot_table(index=y, columns=x, values="score", aggfunc="max" if self.maximize else "min")
        values = [[None if math.isnan(cell) else float(cell) for cell in row] for row in grid.to_numpy()]
        traces: list[dict[str, Any]] = [
            {
                "type": "heatmap",
                "x": grid.columns.tolist(),
                "y": grid.index.tolist(),
                "z": values,
                "colorscale": "Viridis",
                "colorbar": {"title": {"text": self.objective}},
            }
        ]
        for params, name, symbol in self._marked():
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": name,
                    "x": [params[x]],
                    "y": [params[y]],
                    "marker": {"symbol": symbol, "size": 14, "color": "white", "line": {"color": "black", "width": 2}},
                }
            )
        layout = {
            "title": {"text": title},
            "height": 460,
            "xaxis": {"title": {"text": x}},
            "yaxis": {"title": {"text": y}},
            "legend": {"orientation": "h"},
        }
        return Chart(traces, layout)

    def _marked(self) -> list[tuple[dict[str, Any], str, str]]:
        if self._best is None:
            return []
        return [(self.plateau, "plateau", "square-open"), (self.best, "single best", "x-thin-open")]

    def parallel(self) -> Chart:
        """Parallel coordinates: one line per trial, coloured by its score; of very many, so many evenly chosen."""
        from qfp.output import Chart

        frame = self.trials[self.trials["score"].notna()]
        if len(frame) > MOST_DRAWN:
            frame = frame.iloc[np.linspace(0, len(frame) - 1, MOST_DRAWN).astype(int)]
        dimensions = []
        for name in [*self.space.names, "score"]:
            values, label = frame[name], self.objective if name == "score" else name
            if values.dtype.kind in "iuf":
                dimensions.append({"label": label, "values": values.tolist()})
                continue
            texts = list(dict.fromkeys(map(str, values)))
            places = [texts.index(str(value)) for value in values]
            dimensions.append(
                {"label": label, "values": places, "tickvals": list(range(len(texts))), "ticktext": texts}
            )
        line = {"color": frame["score"].tolist(), "colorscale": "Viridis", "showscale": True}
        trace = {"type": "parcoords", "dimensions": dimensions, "line": line}
        return Chart([trace], {"title": {"text": f"{self.target}: every trial a line"}, "height": 420})

    def table(self) -> Table:
        """Plateau and single best beside each other."""
        from qfp.output import Table

        near = self._scored(self.neighbourhood)
        rows = [[name, str(near.params[name]), str(self.best[name])] for name in self.space.names]
        rows.append([self.objective, f"{near.own:.4g}", f"{self.best_score:.4g}"])
        rows.append(["median of the neighbourhood", f"{near.median:.4g}", ""])
        rows.append(["mean of the neighbourhood", f"{near.score:.4g} ({near.neighbours} neighbours)", ""])
        rows.append(["worst of the neighbourhood", f"{near.lowest:.4g}", ""])
        columns = [{"name": name, "kind": "text"} for name in ("", "Plateau", "Single best")]
        return Table({"columns": columns, "rows": rows, "total_rows": len(rows)}, self.overfitting.text)

    def show(self) -> None:
        """The table, the heat map and the parallel coordinates."""
        from qfp.output import show

        if self._best is None:
            show(f"{self!r}: no trial has a score.")
            return
        show(self.table(), self.heatmap())
        if len(self.space.names) > 1:
            show(self.parallel())

    def __repr__(self) -> str:
        failed = sum(bool(trial.error) for trial in self._tried)
        best = "" if self._best is None else f", best {self.objective} {self.best_score:.4g}"
        return f"<SweepResult {self.target}: {len(self):,} trials, {failed} failed{best}>"

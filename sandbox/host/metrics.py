"""How is the engine doing, in numbers? Counters and gauges in Prometheus' text format, asked for on its socket."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

PREFIX = "playground_engine_"
# Upper bounds of the histogram of how long a program waited for its box to begin, in seconds.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    def __init__(self) -> None:
        self._ended: Counter[tuple[str, str]] = Counter()
        self._begun: Counter[str] = Counter()
        self._begin_seconds: dict[str, float] = {}
        self._buckets: Counter[tuple[str, float]] = Counter()
        self._steps: dict[tuple[str, str], float] = {}
        self._built: Counter[str] = Counter()
        self.refused = 0
        self.cpu_seconds = 0.0
        self.not_begun = 0

    def note_build(self, start: str, steps: dict[str, float]) -> None:
        """A box was built, with so many seconds in each step."""
        self._built[start] += 1
        for step, seconds in steps.items():
            self._steps[start, step] = self._steps.get((start, step), 0.0) + seconds

    def note_begin(self, start: str, seconds: float) -> None:
        """A program runs, so many seconds after it was let in."""
        self._begun[start] += 1
        self._begin_seconds[start] = self._begin_seconds.get(start, 0.0) + seconds
        for bound in BOUNDS:
            if seconds <= bound:
                self._buckets[start, bound] += 1

    def note_end(self, start: str, outcome: str, cpu_seconds: float) -> None:
        self._ended[start, outcome] += 1
        self.cpu_seconds += cpu_seconds

    def text(self, gauges: dict[str, float]) -> str:
        """The whole answer; `gauges` are what can only be told now."""
        lines: list[str] = []

        def add(name: str, kind: str, about: str, samples: Iterable[tuple[str, float]]) -> None:
            full = PREFIX + name
            lines.extend([f"# HELP {full} {about}", f"# TYPE {full} {kind}"])
            lines.extend(f"{full}{labels} {value:g}" for labels, value in samples)

        ended = sorted(self._ended.items())
        add(
            "boxes_ended_total",
            "counter",
            "Programs that have ended, by the way their box was started and their outcome.",
            ((f'{{start="{start}",outcome="{outcome}"}}', count) for (start, outcome), count in ended),
        )
        add("boxes_refused_total", "counter", "Programs that were not started.", [("", self.refused)])
        add("boxes_not_begun_total", "counter", "Boxes that failed before their program.", [("", self.not_begun)])
        add("program_cpu_seconds_total", "counter", "Processor time of all programs.", [("", self.cpu_seconds)])
        add(
            "boxes_built_total",
            "counter",
            "Boxes built.",
            ((f'{{start="{start}"}}', count) for start, count in sorted(self._built.items())),
        )
        add(
            "build_seconds_total",
            "counter",
            "Time in each step of building a box.",
            ((f'{{start="{start}",step="{step}"}}', seconds) for (start, step), seconds in sorted(self._steps.items())),
        )
        lines.append(f"# HELP {PREFIX}begin_seconds From being let in to the program's first step.")
        lines.append(f"# TYPE {PREFIX}begin_seconds histogram")
        for start, count in sorted(self._begun.items()):
            name = f"{PREFIX}begin_seconds"
            for bound in BOUNDS:
                lines.append(f'{name}_bucket{{start="{start}",le="{bound:g}"}} {self._buckets[start, bound]}')
            lines.append(f'{name}_bucket{{start="{start}",le="+Inf"}} {count}')
            lines.append(f'{name}_sum{{start="{start}"}} {self._begin_seconds[start]:.6f}')
            lines.append(f'{name}_count{{start="{start}"}} {count}')
        for name, value in gauges.items():
            add(name, "gauge", name.replace("_", " ").capitalize() + ".", [("", value)])
        return "\n".join(lines) + "\n"

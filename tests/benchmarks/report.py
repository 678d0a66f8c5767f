"""What does a benchmark leave behind? A table on the terminal and DATA_DIR/bench/<area>.json, of one form for all."""

from __future__ import annotations

import json
import os
import platform
import statistics
from pathlib import Path
from typing import Any


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


class Report:
    """at_most and at_least: where the figure of each name should be. A missed target is reported and fails nothing."""

    def __init__(
        self, area: str, at_most: dict[str, float] | None = None, at_least: dict[str, float] | None = None
    ) -> None:
        self.area = area
        self.at_most, self.at_least = at_most or {}, at_least or {}
        self.figures: dict[str, dict[str, Any]] = {}
        self.load = os.getloadavg()[0]

    def add(self, name: str, value: float, unit: str, n: int) -> None:
        self.figures[name] = {"value": round(value, 4), "unit": unit, "n": n}

    def add_spread(self, name: str, values: list[float], unit: str) -> None:
        self.add(f"{name} p50", statistics.median(values), unit, len(values))
        self.add(f"{name} p95", percentile(values, 0.95), unit, len(values))

    def write(self, data_dir: Path) -> Path:
        targets = {}
        for name, target in (self.at_most | self.at_least).items():
            if name in self.figures:
                value = self.figures[name]["value"]
                met = value <= target if name in self.at_most else value >= target
                targets[name] = {"value": value, "target": target, "met": met}
        machine = {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "kernel": platform.release(),
        }
        report = {
            "area": self.area,
            "machine": machine,
            "load": self.load,
            "figures": self.figures,
            "targets": targets,
        }
        path = data_dir / "bench" / f"{self.area}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=2))
        width = max(map(len, self.figures))
        for name, figure in self.figures.items():
            target = targets.get(name)
            met = "" if target is None else "met" if target["met"] else "MISSED"
            verdict = f"   target {target['target']:g}: {met}" if target else ""
            print(f"{name:<{width}}  {figure['value']:>10.3f} {figure['unit']:<5} n={figure['n']}{verdict}")
        print(f"\nWritten to {path}")
        return path

"""How much is a program looked at? What doubles with every line would never end."""

from __future__ import annotations

import ast
from typing import Any

from runner.likeness.naming import copied

__all__ = ["TooLarge", "Work"]

MOST_WORK = 500_000  # nodes that are looked at or copied for one program
COPYING = 5  # times as long as to look at a node


class TooLarge(Exception):
    """It would take too long."""


class Work:
    """Of one program. done: nodes that were looked at or copied."""

    def __init__(self) -> None:
        self.done = 0

    def spend(self, nodes: int) -> None:
        """Before it is done."""
        self.done += nodes
        if self.done > MOST_WORK:
            raise TooLarge

    def look(self, tree: ast.AST) -> None:
        """At each part of it: a node as often as it has others above it."""
        waiting = [(tree, 1)]
        for node, depth in waiting:
            self.spend(depth)
            waiting += [(each, depth + 1) for each in ast.iter_child_nodes(node)]

    def copied(self, node: Any) -> Any:
        for _ in ast.walk(node):
            self.spend(COPYING)
        return copied(node)

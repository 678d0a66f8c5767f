"""What does code change that lies outside of it? Names whose values it sets anew or changes in place, by bytecode."""

from __future__ import annotations

import dis
from functools import lru_cache
from types import CodeType
from typing import NamedTuple

__all__ = ["Changes", "changes_of"]

METHODS = {"append", "appendleft", "extend", "extendleft", "insert", "update", "add", "setdefault", "pop", "popleft"}
METHODS |= {"popitem", "clear", "remove", "discard", "sort", "reverse", "rotate", "fill"}
PARTS = {"loc", "iloc", "at", "iat", "values", "flat", "get"}  # what is changed through them is what they belong to
KEEPS = {"STORE_GLOBAL", "DELETE_GLOBAL"}
LOCAL = ""


class Changes(NamedTuple):
    """names: of modules, of functions around the code, and of attributes of either. attributes: of its own variables,
    as in self.log.append(). own: attributes that it sets on its own variables, as in self.log = [].
    """

    names: frozenset[str]
    attributes: frozenset[str]
    own: frozenset[str]


@lru_cache(maxsize=1000)
def changes_of(code: CodeType) -> Changes:
    """Of this code, without that of functions within it. An expression's parts begin where it begins, so that this says
    what a store or a call is made on. Python without positions of instructions (-X no_debug_ranges) tells of fewer.
    """
    names, attributes, own = set[str](), set[str](), set[str]()
    paths: dict[tuple[int | None, int | None], list[str]] = {}  # name and attributes, by where the expression begins
    ended = set[tuple[int | None, int | None]]()  # a part was taken of them, or they were called

    def change(path: list[str]) -> None:
        while len(path) > 1 and path[-1] in PARTS:
            path = path[:-1]
        if path[-1] != LOCAL:
            (attributes if path[0] == LOCAL else names).add(path[-1])

    for step in dis.get_instructions(code):
        kind, name = step.opname, step.argval
        place = (step.positions.lineno, step.positions.col_offset) if step.positions else (None, None)
        outer = kind.endswith("_DEREF") and name in code.co_freevars
        if kind in KEEPS or (outer and not kind.startswith("LOAD")):
            names.add(name)
        elif place[1] is None:
            continue
        elif kind in ("LOAD_GLOBAL", "LOAD_NAME") or kind.startswith("LOAD_FAST") or kind == "LOAD_DEREF":
            paths[place] = [name if outer or kind in ("LOAD_GLOBAL", "LOAD_NAME") else LOCAL]
            ended.discard(place)
        elif kind in ("LOAD_ATTR", "LOAD_METHOD"):
            path = paths.setdefault(place, [LOCAL])
            if name in METHODS:
                change(path)
            elif place not in ended:
                path.append(name)
        elif kind in ("STORE_ATTR", "DELETE_ATTR"):
            path = paths.get(place, [LOCAL])
            if path == [LOCAL]:
                own.add(name)
            elif path[0] != LOCAL or path[-1] == "__class__":
                names.add(name)
        elif kind in ("STORE_SUBSCR", "STORE_SLICE", "DELETE_SUBSCR"):
            change(paths.get(place, [LOCAL]))
        elif kind.startswith(("BINARY", "CALL", "PRECALL")):
            ended.add(place)
    return Changes(frozenset(names), frozenset(attributes), frozenset(own))

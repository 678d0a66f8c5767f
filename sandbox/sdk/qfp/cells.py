"""Which cells does a file have? The parts between lines that begin with `# %%`, the percent format of editors.

The site starts single cells and the box runs them, so both have to split a file in the same way: here.
"""

from __future__ import annotations

import io
import itertools
import re
import tokenize
from dataclasses import dataclass

__all__ = ["FileCell", "split"]

_MARK = re.compile(r"^#\s?%%(.*)$")
MAX_TITLE = 200
MAX_TOKENIZED_CHARACTERS = 128_000  # beyond, a mark counts wherever it stands: somebody waits for the page


@dataclass(frozen=True)
class FileCell:
    """One cell. Lines are counted from 1."""

    index: int
    title: str
    line: int  # of its first line of code
    source: str
    first: int  # line of the mark, or 1

    @property
    def last(self) -> int:
        return self.line + max(0, self.source.count("\n") - self.source.endswith("\n"))


def split(source: str) -> list[FileCell]:
    """The cells of a file: at least one, and none that has neither code nor a title besides it.

    A mark inside a text in quotes is none. Lines end as Python's do: at `\\n`, `\\r\\n` or `\\r`, and at nothing else.
    """
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    lines = source.split("\n")
    marks = _marks(source, lines)
    cells: list[FileCell] = []
    for start, end in itertools.pairwise([0, *marks, len(lines) + 1]):
        body = "\n".join(lines[start : end - 1])
        if end <= len(lines) and start < end - 1:
            body += "\n"
        mark = _MARK.match(lines[start - 1].rstrip()) if start else None
        title = mark.group(1).strip().removeprefix("[markdown]").strip() if mark else ""
        if body.strip() or title or not marks:
            cells.append(FileCell(len(cells), title[:MAX_TITLE], start + 1, body, max(1, start)))
    return cells or [FileCell(0, "", 1, source, 1)]


def _marks(source: str, lines: list[str]) -> list[int]:
    """Numbers of the lines that begin a cell."""
    looks = [number for number, line in enumerate(lines, start=1) if _MARK.match(line.rstrip())]
    if not looks or len(source) > MAX_TOKENIZED_CHARACTERS:
        return looks
    try:
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        comments = {token.start[0] for token in tokens if token.type == tokenize.COMMENT and token.start[1] == 0}
    except (tokenize.TokenError, SyntaxError):
        return looks  # magics or a mistake: the mistake is told when its cell is compiled
    return [number for number in looks if number in comments]

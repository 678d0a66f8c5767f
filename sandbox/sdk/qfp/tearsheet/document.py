"""What is said in a report, in order? Everything is written out here; HTML and PDF only set it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from qfp.figures import HEAD, grouped
from qfp.tearsheet.charts import Chart, charts
from qfp.tearsheet.record import Record
from qfp.tearsheet.states import STATES
from qfp.tearsheet.table import Table
from qfp.tearsheet.tables import tables

__all__ = ["Document", "document"]


class Document(NamedTuple):
    """about: (label, text) below the title. figures: as qfp.figures writes them, the head first.

    notices: what a reader has to know before any figure, each a state of qfp.tearsheet.states and a sentence.
    claims: the lines of the claims box, {state, title, text}; claims_summary: their sum in words; claims_state: that of
    the sum, where it is not the worst of theirs.
    notes: the author's own paragraphs, plain text. logo: a PNG of the author's, or nothing.
    manifest: SHA-256 of the run's manifest.
    """

    title: str
    strategy: str
    description: str
    about: Sequence[tuple[str, str]]
    figures: Sequence[dict[str, Any]]
    charts: Sequence[Chart]
    tables: Sequence[Table]
    conventions: Sequence[str] = ()
    notices: Sequence[tuple[str, str]] = ()
    verified_text: str = ""
    claims: Sequence[dict[str, str]] = ()
    claims_summary: str = ""
    claims_state: str = ""
    notes: str = ""
    logo: bytes = b""
    logo_size: tuple[int, int] = (0, 0)
    manifest: str = ""
    link: str = ""
    language: str = "en"

    @property
    def head(self) -> list[dict[str, Any]]:
        """The headline figures, in their order."""
        by_key = {figure["key"]: figure for figure in self.figures}
        return [by_key[key] for key in HEAD if key in by_key]

    @property
    def worst(self) -> str:
        """The state of its claims together; "" without claims."""
        return self.claims_state or max((line["state"] for line in self.claims), key=list(STATES).index, default="")

    @property
    def fine(self) -> str:
        """How many of its claims are no doubt; "" where one is a problem, which praise does not mend, and while tests
        go on, which change it.
        """
        states = [line["state"] for line in self.claims]
        good, notes = states.count("green"), states.count("grey")
        if not good or "red" in states or self.worst in ("green", "blue"):
            return ""
        noted = f", {notes} {'is a note' if notes == 1 else 'are notes'}" if notes else ""
        return f"{good} of {len(states)} points {'is' if good == 1 else 'are'} fine{noted}"

    @property
    def groups(self) -> list[tuple[str, list[dict[str, Any]]]]:
        return grouped(self.figures)

    @property
    def paragraphs(self) -> list[str]:
        return [part.strip() for part in self.notes.replace("\r", "").split("\n\n") if part.strip()]


def document(
    record: Record,
    title: str,
    about: Sequence[tuple[str, str]],
    first: Sequence[Table] = (),
    leak: bool = False,
    **more: Any,
) -> Document:
    """The report of a record. first: tables that come before its own. leak: whether it was found to use the future:
    then nothing in them has the colour of a gain. more: other fields of Document.
    """
    sheets = [*first, *tables(record)]
    return Document(
        title=title,
        strategy=record.strategy,
        about=about,
        figures=record.figures,
        charts=charts(record),
        tables=[sheet.without_gains() for sheet in sheets] if leak else sheets,
        **more,
    )

"""Which rich messages of a program may pass, and in what shape? Everything a box says is hostile until rebuilt here.

A message is rebuilt field by field: only known types, only known fields, only values of the right kind and size.
`started`, `ended`, `stdout`, `stderr` and `artefact` are not among the types, so a program cannot say them.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable
from typing import Any

from sandbox.protocol import MAX_NOTES, dump_json, load_json

MAX_LABEL = 200
MAX_TEXT = 4_000
MAX_TRACE_FRAMES = 100
MAX_HINT = 400
FINDING_TEXTS = ("state", "why", "date", "expression", "what")
FINDING_NUMBERS = ("bar", "line", "cuts", "tails", "orders", "programs")
MAX_CHOICES = 200
MAX_METADATA_BYTES = 10_000
MAX_TABLE_COLUMNS = 500
MAX_TABLE_CELLS = 200_000
MAX_MIMES = 12
# Of one message: reading it keeps all other boxes waiting, and each part takes a microsecond or two.
MAX_OBJECTS, MAX_LISTS, MAX_PARTS = 50_000, 100_000, 2_000_000
MAX_REPLY_BYTES = 200_000  # of a live interpreter, to one question
MAX_VARIABLES = 500

PLOTLY = "application/vnd.plotly.v1+json"
BOKEH = "application/vnd.qfp.bokeh+json"
TABLE = "application/vnd.qfp.table+json"
TEXT_MIMES = ("image/svg+xml", "text/html", "text/markdown", "text/latex", "text/plain")
IMAGE_MIMES = ("image/png", "image/jpeg", "image/gif")

Message = dict[str, Any]


class Refused(Exception):
    """The message may not pass; the text says why, for the notice the user sees."""


def read_message(line: bytes) -> tuple[Message, int | None]:
    """The message in one line of the channel, rebuilt, and the error number it carried for us, if any."""
    if line.count(b"{") > MAX_OBJECTS or line.count(b"[") > MAX_LISTS or line.count(b",") > MAX_PARTS:
        raise Refused("made of too many parts")
    raw = _read_json(line)
    if not isinstance(raw, dict):
        raise Refused("not a JSON object")
    kind = raw.get("type")
    rebuild = _TYPES.get(kind) if isinstance(kind, str) else None
    if rebuild is None:
        raise Refused("of an unknown type")
    message = {"type": raw["type"], **rebuild(raw)}
    number = raw.get("errno") if raw["type"] == "error" else None
    return message, number if _is_integer(number) else None


def read_session_message(line: bytes) -> tuple[Message, int | None]:
    """The same for a live interpreter, which also says when a cell has ended and what it was asked."""
    raw = _read_json(line)
    kind = raw.get("type") if isinstance(raw, dict) else None
    number = _integer(raw.get("id")) if isinstance(raw, dict) else None
    if kind == "cell_ended":
        if number is None:
            raise Refused("the end of no cell")
        return {"type": kind, "id": number, "failed": raw.get("end") != "ok"}, None
    if kind == "reply":
        body = raw.get("body")
        if number is None or not isinstance(body, dict) or len(line) > MAX_REPLY_BYTES:
            raise Refused("an answer to no question, or too long a one")
        return {"type": kind, "id": number, "body": body}, None  # rebuilt by whoever asked
    return read_message(line)


def variables(body: Message) -> Message:
    """The answer to what a live interpreter holds."""
    found = body.get("variables")
    if not isinstance(found, list):
        raise Refused("without variables")
    return {
        "variables": [
            {
                "name": _text(each.get("name"), 100),
                "type": _text(each.get("type"), 100),
                "shape": _text(each.get("shape"), 100),
                "size": _natural(each.get("size")),
                "preview": _text(each.get("preview"), 200),
                "pages": each.get("pages") is True,
            }
            for each in found[:MAX_VARIABLES]
            if isinstance(each, dict)
        ],
        "more": _natural(body.get("more")) or 0,
    }


def page(body: Message) -> Message:
    """The answer with some rows of a table."""
    table = _table({**body, "caption": ""})
    width = len(table["columns"])
    return {
        "name": _text(body.get("name"), 100),
        "columns": table["columns"],
        "rows": table["rows"],
        "index_columns": min(width, _natural(body.get("index_columns")) or 0),
        "total_rows": table["total_rows"],
        "total_columns": _natural(body.get("total_columns")) or 0,
        "first": _natural(body.get("first")) or 0,
        "left": _natural(body.get("left")) or 0,
        "sort": _integer(body.get("sort")),
        "descending": body.get("descending") is True,
    }


def refusal(body: Message) -> str:
    """Why a live interpreter did not answer; empty when it did."""
    return _text(body.get("error"), 500)


# The types


def _display(raw: Message) -> Message:
    data = raw.get("data")
    if not isinstance(data, dict) or len(data) > 100:
        raise Refused("without data")
    kept: Message = {}
    for mime, value in data.items():
        check = _MIMES.get(mime)
        if check is not None and len(kept) < MAX_MIMES:
            kept[mime] = check(value)
    if not kept:
        raise Refused("of no kind that can be shown")
    metadata = raw.get("metadata")
    small = isinstance(metadata, dict) and len(dump_json(metadata)) <= MAX_METADATA_BYTES
    return {"data": kept, "metadata": metadata if small else {}}


def _progress(raw: Message) -> Message:
    return {
        "id": _text(raw.get("id"), 100),
        "label": _text(raw.get("label"), MAX_LABEL),
        "value": _number(raw.get("value"), 0),
        "total": _number(raw.get("total"), None),
        "done": raw.get("done") is True,
        "text": _text(raw.get("text"), MAX_LABEL),
    }


def _param(raw: Message) -> Message:
    name = raw.get("name")
    if not isinstance(name, str) or not name.isidentifier() or len(name) > 60:
        raise Refused("a parameter without a usable name")
    kind = raw.get("kind")
    if kind not in ("number", "choice", "text", "boolean"):
        raise Refused("a parameter of unknown kind")
    choices = raw.get("choices")
    if not isinstance(choices, list):
        choices = []
    return {
        "name": name,
        "label": _text(raw.get("label"), MAX_LABEL),
        "kind": kind,
        "default": _scalar(raw.get("default")),
        "value": _scalar(raw.get("value")),
        "minimum": _number(raw.get("minimum"), None),
        "maximum": _number(raw.get("maximum"), None),
        "step": _number(raw.get("step"), None),
        "choices": [_scalar(choice) for choice in choices[:MAX_CHOICES]],
    }


def _backtest(raw: Message) -> Message:
    claim = raw.get("claim")
    if not isinstance(claim, dict | str):  # a text is a claim that was packed
        raise Refused("a backtest without a claim")
    # Its content is checked where it is replayed, outside the engine. "checks" and "report" name it by this number.
    attempt = {"attempt": True} if raw.get("attempt") is True else {}  # it counts as a trial, and shows nothing
    return {"claim": claim, "number": _natural(raw.get("number")), **attempt}


def _checks(raw: Message) -> Message:
    number = _integer(raw.get("backtest"))
    if number is None or number < 0:
        raise Refused("findings without the number of a backtest")
    return {"backtest": number, "lookahead": _finding(raw.get("lookahead")), "amnesia": _finding(raw.get("amnesia"))}


def _report(raw: Message) -> Message:
    number, form = _integer(raw.get("backtest")), raw.get("form")
    if number is None or number < 0 or form not in ("pdf", "html"):
        raise Refused("a report of no backtest, or of no known form")
    return {
        "backtest": number,
        "form": form,
        "title": _text(raw.get("title"), MAX_LABEL),
        "notes": _text(raw.get("notes"), MAX_NOTES),
    }


def _finding(raw: Any) -> Message:
    """Words and numbers of a test's finding; what they mean is read where they are stored."""
    if not isinstance(raw, dict):
        raise Refused("a finding that is none")
    found: Message = {name: _text(raw.get(name), MAX_TEXT) for name in FINDING_TEXTS if raw.get(name)}
    found |= {name: _integer(raw.get(name)) for name in FINDING_NUMBERS if raw.get(name) is not None}
    return found


def _input(raw: Message) -> Message:
    return {"prompt": _text(raw.get("prompt"), MAX_TEXT), "password": raw.get("password") is True}


def _ask(raw: Message) -> Message:
    number, what, body = _integer(raw.get("id")), raw.get("what"), raw.get("body")
    if number is None or number < 0 or not isinstance(body, dict):
        raise Refused("a question without a number or a body")
    if not isinstance(what, str) or not what.isidentifier() or len(what) > 40:
        raise Refused("a question of no known kind")
    return {"id": number, "what": what, "body": body}  # its content is checked by whoever answers


def _error(raw: Message) -> Message:
    frames = raw.get("frames")
    if not isinstance(frames, list):
        frames = []
    hint = _text(raw.get("hint"), MAX_HINT)
    return {
        **({"hint": hint} if hint else {}),
        "name": _text(raw.get("name"), MAX_LABEL),
        "message": _text(raw.get("message"), MAX_TEXT),
        "file": _text(raw.get("file"), MAX_LABEL) or None,
        "line": _integer(raw.get("line")),
        "frames": [
            {
                "file": _text(frame.get("file"), MAX_LABEL),
                "line": _integer(frame.get("line")),
                "function": _text(frame.get("function"), MAX_LABEL),
            }
            for frame in frames[:MAX_TRACE_FRAMES]
            if isinstance(frame, dict)
        ],
    }


def _cell(raw: Message) -> Message:
    return {
        "index": _integer(raw.get("index")) or 0,
        "title": _text(raw.get("title"), MAX_LABEL),
        "line": _integer(raw.get("line")) or 1,
    }


def _notice(raw: Message) -> Message:
    return {"text": _text(raw.get("text"), MAX_TEXT)}


_TYPES: dict[str, Callable[[Message], Message]] = {
    "display": _display,
    "progress": _progress,
    "param": _param,
    "backtest": _backtest,
    "checks": _checks,
    "examining": lambda raw: {},  # the program has ended; its tests of honesty go on
    "report": _report,
    "input": _input,
    "ask": _ask,
    "error": _error,
    "cell": _cell,
    "notice": _notice,
}


# The kinds of data


def _any_text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = "".join(value)  # notebooks keep long texts as lists of lines
    if not isinstance(value, str):
        raise Refused("with a text that is not text")
    return _clean(value)


def _image(value: Any) -> str:
    if not isinstance(value, str):
        raise Refused("with an image that is not base64")
    compact = "".join(value.split())
    try:
        base64.b64decode(compact, validate=True)
    except (binascii.Error, ValueError):
        raise Refused("with an image that is not base64") from None
    return compact


def _object(value: Any) -> Message:
    """A JSON object, or the text of one: display(raw=True) hands on whatever the program gave."""
    if isinstance(value, str):
        value = _read_json(value.encode("utf-8"))
    if not isinstance(value, dict):
        raise Refused("with data that is not an object")
    return value


def _plotly(value: Any) -> Message:
    figure = _object(value)
    data, layout, frames = figure.get("data", []), figure.get("layout", {}), figure.get("frames", [])
    if not isinstance(data, list) or not isinstance(layout, dict) or not isinstance(frames, (list, type(None))):
        raise Refused("with a figure that is not one")
    # Its config may name servers and scripts, so it stays behind.
    return {"data": data, "layout": layout, "frames": frames or []}


def _table(value: Any) -> Message:
    table = _object(value)
    columns, rows = table.get("columns"), table.get("rows")
    if not isinstance(columns, list) or not isinstance(rows, list) or len(columns) > MAX_TABLE_COLUMNS:
        raise Refused("with a table that is not one")
    kept_columns = []
    for column in columns:
        kind = column.get("kind") if isinstance(column, dict) else None
        if kind not in ("number", "text", "date", "boolean"):
            raise Refused("with a table whose columns have no kind")
        kept_columns.append({"name": _text(column.get("name"), MAX_LABEL), "kind": kind})
    kept_rows = []
    for row in rows[: MAX_TABLE_CELLS // max(1, len(kept_columns))]:
        if not isinstance(row, list) or len(row) != len(kept_columns):
            raise Refused("with a table whose rows do not fit its columns")
        kept_rows.append([_scalar(cell) for cell in row])
    total = _integer(table.get("total_rows"))
    return {
        "columns": kept_columns,
        "rows": kept_rows,
        "total_rows": max(len(kept_rows), total or 0),
        "caption": _text(table.get("caption"), MAX_TEXT),
    }


def _any_json(value: Any) -> Any:
    return value


_MIMES: dict[str, Callable[[Any], Any]] = {
    PLOTLY: _plotly,
    BOKEH: _object,
    TABLE: _table,
    "application/json": _any_json,
    **dict.fromkeys(IMAGE_MIMES, _image),
    **dict.fromkeys(TEXT_MIMES, _any_text),
}


# Values


def _read_json(text: bytes) -> Any:
    """What a box wrote as JSON, with nothing in its texts and keys that could not be stored or sent on."""
    try:
        value = load_json(text)
        # Only an escape, or the byte that begins such a character, can make one; most messages have neither.
        return _clean_all(value) if b"\\u" in text or b"\xed" in text or b"\x00" in text else value
    except RecursionError:
        raise Refused("nested too deeply") from None
    except ValueError as error:
        raise Refused(f"not JSON ({error})") from None


def _clean_all(value: Any) -> Any:
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, list):
        return [_clean_all(item) for item in value]
    if isinstance(value, dict):
        return {_clean(key): _clean_all(item) for key, item in value.items()}
    return value


def _clean(text: str) -> str:
    # Half of a surrogate pair cannot be written in UTF-8, and PostgreSQL cannot hold the null character.
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")


def _text(value: Any, limit: int) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        value = str(value) if isinstance(value, (int, float, bool)) else ""
    return _clean(value[:limit])


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53


def _integer(value: Any) -> int | None:
    return value if _is_integer(value) else None


def _natural(value: Any) -> int | None:
    return value if _is_integer(value) and value >= 0 else None


def _number(value: Any, otherwise: float | None) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return otherwise
    return value if abs(value) < 1e300 and math.isfinite(value) else otherwise


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return _number(value, None)
    return _text(value, MAX_TEXT)

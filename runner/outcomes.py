"""How a run ended, in one sentence that names the limit and its figure."""

from __future__ import annotations

import re
import signal
from typing import Any

from qfp.figures import signed

from runner.models import Run

HINT = re.compile(r"\.? (Did you mean\b[^?]+\?)")
WRAPPED = re.compile(r"^RuntimeError: The indicator .+? failed: (?=\w+: )")  # qfp.backtesting names the cause itself


def megabytes(count: float) -> str:
    return f"{signed(count / 1_000_000, 0)} MB" if count >= 1_000_000 else f"{count / 1000:.0f} KB"


def seconds(count: float) -> str:
    return f"{count:g} s" if count >= 10 or count == int(count) else f"{count:.1f} s"


def sentence(status: Any, ended: dict[str, Any]) -> str:
    """What the page, the command line and the record say. `ended` is the engine's last event."""
    limit = ended.get("limit") or {}
    value = limit.get("value") or 0
    wall = ended.get("wall_seconds") or 0.0
    match status:
        case Run.Status.SUCCEEDED:
            text = f"Finished in {wall:.1f} s."
        case Run.Status.FAILED:
            text = _failure(ended)
        case Run.Status.TIMED_OUT if limit.get("name") == "cpu_seconds":
            text = f"Time limit of {seconds(value)} of processor time reached. Shorten the loop or the period."
        case Run.Status.TIMED_OUT:
            text = f"Time limit of {seconds(value)} reached. What was printed until then is kept."
        case Run.Status.OUT_OF_MEMORY:
            text = f"Memory limit of {megabytes(value)} reached. Load less at once, or free what is done with by del."
        case Run.Status.OUTPUT_EXCEEDED if limit.get("name") == "events":
            text = f"Output limit of {signed(value, 0)} pieces reached; the rest was cut. Print less often."
        case Run.Status.OUTPUT_EXCEEDED:
            text = f"Output limit of {megabytes(value)} reached; the rest was cut. Print less, or write to a file."
        case Run.Status.DISK_FULL if limit.get("met") is False:
            text = f"The program was refused room for a file; a run has {megabytes(value)} of disk space. Write less."
        case Run.Status.DISK_FULL:
            text = f"Your run used all of its disk space (limit {megabytes(value)}). Write less, or delete in between."
        case Run.Status.CANCELLED:
            text = f"Stopped after {wall:.1f} s. What was printed until then is kept."
        case _:
            text = "The system lost this run; it was not your code, and it does not count. Press Run to run it again."
    return " ".join([text, *_notices(ended.get("notices") or [])])


def in_short(message: str) -> str:
    """The same for a list, which shows the first words alone: what was meant, then the error itself."""
    rest = WRAPPED.sub("", message)
    found = HINT.search(rest)
    return f"{found[1]} {rest[: found.start()]}{rest[found.end() :]}" if found else rest


def _failure(ended: dict[str, Any]) -> str:
    error = ended.get("error") or {}
    if error.get("name"):
        line = error.get("line")
        # Some messages name the line themselves.
        told = f"line {line}" in str(error.get("message"))
        where = f" ({error['file']}, line {line})" if line and error.get("file") and not told else ""
        detail = f": {error['message']}" if error.get("message") else ""
        text = f"{error['name']}{detail}"
        return " ".join(filter(None, [f"{text[:400]}{where}.", str(error.get("hint") or "")]))
    program = ended.get("exit") or {}
    if program.get("signal"):
        return _signal(program["signal"])
    return f"The program ended with exit code {program.get('code')}."


def _signal(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = "unknown"
    why = " It made a system call that is not allowed here." if name == "SIGSYS" else ""
    return f"The program was ended by signal {number} ({name}).{why}"


def _notices(notices: list[dict[str, Any]]) -> list[str]:
    texts = {
        "processes": lambda value: f"Too many processes (limit {value:.0f}): some could not be started.",
        "disk_bytes": lambda value: f"Your run used all of its disk space (limit {megabytes(value)}).",
        "memory_bytes": lambda value: f"Memory limit of {megabytes(value)} reached or nearly reached on the way.",
    }
    return [texts[n["limit"]](float(n.get("value") or 0)) for n in notices if n.get("limit") in texts]

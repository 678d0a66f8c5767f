"""How does an exception look to the person who wrote main.py? Their lines in full, other people's in brief, ours
never.
"""

from __future__ import annotations

import errno
import opcode
import os
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType

from . import spelling, streams

WORKDIR = "/box"
MAIN = "main.py"
SITE_PACKAGES = "/site-packages/"
MAX_FRAMES = 40
MAX_MESSAGE = 4000
NO_NETWORK = (
    'Programs here have no network. Prices come from qfp: `from qfp import data`, then data.prices("AAPL"); '
    "`import yfinance` reads the same data."
)
RAISE = opcode.opmap["RAISE_VARARGS"]

_RESET, _RED, _CYAN, _DIM, _BOLD = "\x1b[0m", "\x1b[1;31m", "\x1b[36m", "\x1b[2m", "\x1b[1m"
# Frames of these run the program; no one who debugs a program wants to see them.
_OURS = ("/opt/inside/", "/IPython/core/", "<frozen importlib", "<frozen runpy")


def show(error: BaseException, emit) -> None:
    """Write the traceback to stderr, coloured, and send its facts as an `error` message."""
    report = traceback.TracebackException(type(error), error, error.__traceback__, compact=True)
    streams.flush()
    sys.stderr.write("".join(_format_chain(report)))
    told = facts(error, report)
    if hint := NO_NETWORK if _wanted_a_network(error) else spelling.meant(error):
        sys.stderr.write(f"{hint}\n")
        told["hint"] = hint
    sys.stderr.flush()
    emit(told)


def facts(error: BaseException, report: traceback.TracebackException) -> dict:
    frames = [
        {"file": display_name(frame.filename), "line": frame.lineno, "function": frame.name}
        for frame in report.stack
        if is_users(frame.filename)
    ]
    file, line = (frames[-1]["file"], frames[-1]["line"]) if frames else (None, None)
    if isinstance(error, SyntaxError) and error.filename and is_users(error.filename):
        file, line = display_name(error.filename), error.lineno
    message = {
        "type": "error",
        "name": type(error).__name__,
        "message": _one_message(error),
        "file": file,
        "line": line,
        "frames": frames[-100:],
    }
    number = error_number(error)
    if number is not None:
        message["errno"] = number
    return message


def error_number(error: BaseException) -> int | None:
    """The system's error number behind an exception: its own, or that of what it was raised from. A program that
    raises such an exception by a statement of its own was refused nothing, and there is no number.
    """
    for current in _behind(error):
        if isinstance(current, (OSError, MemoryError)) and not _is_made_up(current):
            number = errno.ENOMEM if isinstance(current, MemoryError) else current.errno
            if isinstance(number, int):
                return number
    return None


def _behind(error: BaseException) -> Iterator[BaseException]:
    """The exception, and those that it was raised from or beside."""
    seen = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _wanted_a_network(error: BaseException) -> bool:
    """Whether it began with a name that was to be looked up, or a socket that was to be opened."""
    for current in _behind(error):
        if type(current).__name__ == "gaierror":
            return True
        if isinstance(current, PermissionError):
            trace = current.__traceback__
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            if trace is not None and trace.tb_frame.f_code.co_filename.endswith("/socket.py"):
                return True
    return False


def _is_made_up(error: BaseException) -> bool:
    """Whether it began with a `raise` of the program's own, and not in a call that failed."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return True
    code = trace.tb_frame.f_code
    own = is_users(code.co_filename) or code.co_filename == "<string>"  # exec() of a text
    return own and code.co_code[trace.tb_lasti] == RAISE


def is_users(filename: str) -> bool:
    return filename == MAIN or filename.startswith(WORKDIR + "/")


def display_name(filename: str) -> str:
    if filename.startswith(WORKDIR + "/"):
        return os.path.relpath(filename, WORKDIR)
    if SITE_PACKAGES in filename:
        return filename.rpartition(SITE_PACKAGES)[2]
    return filename.removeprefix("/opt/sdk/")


def excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """For sys.excepthook and threads: the same look, without ending anything."""
    report = traceback.TracebackException(kind, error, trace, compact=True)
    sys.stderr.write("".join(_format_chain(report)))
    sys.stderr.flush()


def _one_message(error: BaseException) -> str:
    try:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:  # a __str__ of the program's own may do anything
        text = "<the exception could not be turned into text>"
    return str(text)[:MAX_MESSAGE]


def _format_chain(report: traceback.TracebackException, depth: int = 0):
    if depth < 10:
        if report.__cause__ is not None:
            yield from _format_chain(report.__cause__, depth + 1)
            yield f"\n{_DIM}The above exception was the direct cause of the following exception:{_RESET}\n\n"
        elif report.__context__ is not None and not report.__suppress_context__:
            yield from _format_chain(report.__context__, depth + 1)
            yield f"\n{_DIM}During handling of the above exception, another exception occurred:{_RESET}\n\n"
    frames = _visible(report.stack)
    if frames and not (issubclass(report.exc_type, SyntaxError) and not any(is_users(f.filename) for f in frames)):
        yield f"{_BOLD}Traceback (most recent call last):{_RESET}\n"
        yield from _format_frames(frames)
    if getattr(report, "exceptions", None):
        yield from _format_group(report)
        return
    yield from _format_last(report)


def _visible(stack: traceback.StackSummary) -> list[traceback.FrameSummary]:
    return [frame for frame in stack if not any(part in frame.filename for part in _OURS)]


def _format_frames(frames: list[traceback.FrameSummary]):
    if len(frames) > MAX_FRAMES:  # recursion: where it began and where it ended
        yield from _format_frames(frames[:5])
        yield f"{_DIM}  ... {len(frames) - 15} more frames ...{_RESET}\n"
        yield from _format_frames(frames[-10:])
        return
    run: list[traceback.FrameSummary] = []
    for frame in frames:
        if is_users(frame.filename):
            yield from _format_others(run)
            run = []
            yield from _format_users(frame)
        else:
            run.append(frame)
    yield from _format_others(run)


def _format_users(frame: traceback.FrameSummary):
    place = (
        f'  File {_CYAN}"{display_name(frame.filename)}"{_RESET}, line {_CYAN}{frame.lineno}{_RESET}, in {frame.name}\n'
    )
    yield place
    # The standard library knows where the carets go; only its first line, with the full path, is replaced.
    standard = traceback.StackSummary.from_list([frame]).format_frame_summary(frame)
    for line in standard.splitlines()[1:]:
        marks = line.strip()
        yield f"{_RED}{line}{_RESET}\n" if marks and set(marks) <= {"^", "~"} else f"{line}\n"


def _format_others(frames: list[traceback.FrameSummary]):
    shown = frames if len(frames) <= 4 else [frames[0], None, *frames[-2:]]
    for frame in shown:
        if frame is None:
            yield f"{_DIM}  ... {len(frames) - 3} more frames of libraries ...{_RESET}\n"
        else:
            yield f'{_DIM}  File "{display_name(frame.filename)}", line {frame.lineno}, in {frame.name}{_RESET}\n'


def _format_last(report: traceback.TracebackException):
    for line in "".join(report.format_exception_only()).splitlines():
        stripped = line.strip()
        if stripped and set(stripped) <= {"^", "~"}:
            yield f"{_RED}{line}{_RESET}\n"
        elif line.startswith('  File "'):
            yield line.replace(WORKDIR + "/", "", 1) + "\n"
        elif not line.startswith(" ") and ":" in line:
            name, _, rest = line.partition(":")
            yield f"{_RED}{name}{_RESET}:{rest}\n"
        elif not line.startswith(" "):
            yield f"{_RED}{line}{_RESET}\n"
        else:
            yield f"{line}\n"


def _format_group(report: traceback.TracebackException):
    yield from _format_last(report)
    parts = report.exceptions or []
    for number, part in enumerate(parts[:15], start=1):
        yield f"{_DIM}  +-- {number} of {len(parts)} --{_RESET}\n"
        for line in _format_chain(part, 5):
            yield "  | " + line.replace("\n", "\n  | ").removesuffix("  | ")

"""How is a program run in its box? Cell by cell with IPython, its output in order, its mistakes told. Read from
run(); prepare() comes before, where there is no program yet.
"""

from __future__ import annotations

import ast
import atexit
import builtins
import gc
import getpass
import io
import linecache
import os
import random  # noqa: F401  (loaded while nothing of the program can be loaded in its place)
import re
import resource
import shutil
import signal
import sys
import threading
import time
import warnings
from types import CodeType
from typing import Any

from . import hooks, streams, tracebacks

WORKDIR = "/box"
SDK = "/opt/sdk"
# Modules that have the names of packages; where a project installs those packages, they come first.
COMPAT = "/opt/sdk/compat"
FONT_LIST = "/opt/env/share/playground"
REPORT_BYTES = 16 << 20  # what a program out of memory still gets to say so
# Of a thread: it counts as memory when the thread starts. With the usual 8 MB a program would meet the memory limit
# before that of its processes, and be told neither.
STACK_BYTES = 2 << 20
REHEARSALS = 8  # so often a piece of code has to run before the interpreter has nothing more to note about it
_INSTALLS = re.compile(
    r"\s*(sudo\s+)?((\S*python[\d.]*\s+-m\s+)?pip3?|conda|mamba|uv|apt|apt-get)\s.*\binstall\b|\s*uv\s+add\b"
)
_REQUIREMENT = re.compile(r"[A-Za-z0-9][\w.-]*(\[[\w,.-]+\])?([<>=!~]=?[\w.*,<>=!~-]+)?")
_INSTALLER_WORDS = {"sudo", "python", "python3", "pip", "pip3", "conda", "mamba", "uv", "apt", "install", "add"}


class _Program:
    """What is known only when the program is."""

    entry = "main.py"


_shell: Any = None


def prepare() -> None:
    """Load everything that runs a program, before there is one: nothing of a program can come in its place."""
    global _shell
    sys.path += [SDK, COMPAT]
    os.environ.setdefault("MATPLOTLIBRC", os.path.join(os.path.dirname(__file__), "matplotlibrc"))
    import qfp.cells  # noqa: F401  (before anything of a program can be loaded in its place)

    emit = _emitter()
    streams.install(lambda: emit({"type": "input", "prompt": "", "password": False}))
    _prepare_questions(emit)
    _shell = _make_shell(emit)
    from . import sessions  # noqa: F401  (imports this module; loaded now, like everything of ours)


def warm_up(source: str) -> None:
    """Run a program of ours and forget it: what libraries do at their first use is done then."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one shown here would count as shown in every program
        result = _shell.run_cell(source, store_history=False)
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            raise error
        try:
            raise ValueError("a mistake, to have told one")
        except ValueError as mistake:
            tracebacks.show(mistake, lambda message: None)
    import matplotlib.pyplot as plt
    from matplotlib import font_manager

    plt.close("all")
    font_manager._get_font.cache_clear()  # otherwise every fork does that
    _shell.reset(new_session=True)
    _name_things(_shell)
    for _ in range(REHEARSALS):
        _run_cells(_Program.entry, "pass\n", lambda message: None)
    streams.flush()


def stand_by() -> None:
    """In the program's process, as long as there is nothing to run: whatever can be done before is done before."""
    from qfp import channel

    channel.connect()
    streams.begin()
    _seed_random_numbers()
    _shell.builtin_trap.activate()
    _run_cell("pass", 1)


def run(job: dict) -> None:
    """Run the program and leave this process with the exit code its end means."""
    code = 1
    try:
        code = _run(job)
    except KeyboardInterrupt as interrupt:
        tracebacks.show(interrupt, _emitter())
        code = 130
    except BaseException as error:  # ours: the program's own are caught where it runs
        os.write(2, f"The shell failed: {type(error).__name__}: {error}\n".encode("utf-8", "replace"))
        code = 70
    finally:
        streams.flush()
        os._exit(code)


def _run(job: dict) -> int:
    from qfp import channel, checking

    from . import sessions

    entry = job["entry"]
    _leave_room_to_report()
    threading.stack_size(STACK_BYTES)
    sys.argv[:] = [entry]
    sys.path.insert(0, WORKDIR)  # the program's own modules
    with open(entry, encoding="utf-8", errors="replace", newline=None) as file:
        source = file.read()
    _Program.entry = entry
    linecache.cache[entry] = (len(source), None, io.StringIO(source).readlines(), entry)
    _shell.user_ns["__file__"] = os.path.join(WORKDIR, entry)
    if job["session"]:
        return sessions.serve(_shell, entry)

    from qfp.checking.clock import Clock

    checking.whole_program = True
    checking.until, checking.cpu_limit = time.monotonic() + job["wall_seconds"], job["cpu_seconds"]
    names, clock = dict(_shell.user_ns), Clock()
    code = _run_cells(entry, source, channel.emit)
    if code == 0 and checking.backtests:
        _look_for_leaks(entry, source, names, clock)
    # As at the end of any Python program: wait for its threads, then what it left for the end, then its objects go.
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        _forget_names()
    except SystemExit:
        pass
    except BaseException as error:
        tracebacks.show(error, channel.emit)
        code = code or 1
    return code


def _look_for_leaks(entry: str, source: str, names: dict[str, Any], clock: Any) -> None:
    """The whole program is run again on other data, in copies of this process; a fault in that is not the program's."""
    from qfp import channel, checking
    from qfp.checking.programs import run_source

    streams.flush()
    channel.emit({"type": "examining"})
    try:
        checking.examine_program(
            lambda: run_source(source, os.path.join(WORKDIR, entry), names), _shell.user_ns, source, WORKDIR, clock
        )
    except Exception as error:
        os.write(2, f"The look-ahead test failed: {type(error).__name__}: {error}\n".encode("utf-8", "replace"))


def _forget_names() -> None:
    """Whatever the program's objects do when they go, they do it now; IPython's own way to the end does much more."""
    names = _shell.user_ns
    # First those that do something, while the modules and functions that they call still have their names.
    acting = [name for name, value in names.items() if hasattr(type(value), "__del__")]
    others = [name for name in names if name not in (*acting, "__builtin__", "__builtins__", "__name__")]
    for these in (acting, others[::-1]):
        for name in these:
            names.pop(name, None)  # one that has gone may have taken others along
        gc.collect()


def _run_cells(entry: str, source: str, emit) -> int:
    from qfp import cells

    found = cells.split(source)
    # A single cell that compiles has no mistake to be looked for.
    parts = _plain_parts(found[0].source, found[0].line) if len(found) == 1 else None
    mistake = _syntax_mistake(source, entry) if parts is None else None
    if mistake is not None:
        tracebacks.show(mistake, emit)
        return 1
    for cell in found:
        if len(found) > 1 or cell.title:
            emit({"type": "cell", "index": cell.index, "title": cell.title, "line": cell.line})
        error = _run_cell(cell.source, cell.line, parts)
        streams.flush()
        if error is not None:
            return _end_by(error, emit)
    return 0


def _run_cell(source: str, line: int, parts: list[CodeType] | None = None) -> BaseException | None:
    """Run one cell; the exception that ended it, if one did. parts: it, if it has been compiled before."""
    _shell.displayhook.source = source
    try:
        if parts is None:
            parts = _plain_parts(source, line)
        if parts is not None:
            return _run_plain(parts)
        # Empty lines in front keep the line numbers; a cell magic has to be the first line instead.
        padding = "" if source.lstrip().startswith("%%") else "\n" * (line - 1)
        result = _shell.run_cell(padding + source, store_history=False)
    except KeyboardInterrupt as interrupt:
        return interrupt
    return result.error_before_exec or result.error_in_exec


def _plain_parts(source: str, line: int) -> list[CodeType] | None:
    """The cell compiled: its statements, and its last line if that is a value to show.

    None for what only IPython knows: magics, `!`, `?`, `await`. It runs all other cells no differently, but takes a
    hundred times as long for it, and in a fresh box each line of its own that runs is memory to copy.
    """
    if _shell.ast_transformers:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SyntaxWarning)  # IPython is left to show it
            tree = _shell.compile.ast_parse(source, _Program.entry, "exec")
            if line > 1:
                ast.increment_lineno(tree, line - 1)
            last = [tree.body.pop()] if tree.body and isinstance(tree.body[-1], ast.Expr) else []
            parts = [_shell.compile(tree, _Program.entry, "exec")]
            parts += [_shell.compile(ast.Interactive([value]), _Program.entry, "single") for value in last]
            return parts
    except (SyntaxError, ValueError, Warning):
        return None


def _run_plain(parts: list[CodeType]) -> BaseException | None:
    trigger = _shell.events.trigger
    trigger("pre_execute")
    shown, sys.displayhook = sys.displayhook, _shell.displayhook
    try:
        for code in parts:
            exec(code, _shell.user_ns)
    except BaseException as error:
        return error
    finally:
        sys.displayhook = shown
        trigger("post_execute")  # Matplotlib shows its open figures then
        trigger("post_run_cell", _shell.no_result)  # and gets ready to do so after its first import
    return None


def _end_by(error: BaseException, emit) -> int:
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        sys.stderr.write(f"{error.code}\n")
        return 1
    if isinstance(error, MemoryError):
        _soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    tracebacks.show(error, emit)
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def _syntax_mistake(source: str, entry: str) -> SyntaxError | None:
    """A mistake anywhere is told before the first cell runs, not after ten minutes of the cells above it."""
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # each cell warns again when it is compiled to run
            compile(source, entry, "exec", flags, dont_inherit=True)
        return None
    except SyntaxError as error:
        mistake = error
    except ValueError as error:  # null characters
        return SyntaxError(str(error), (entry, 1, 1, ""))
    if any(line.lstrip().startswith(("%", "!", "?")) or line.rstrip().endswith("?") for line in source.splitlines()):
        return None  # IPython's own spelling: let it decide, cell by cell
    return mistake.with_traceback(None)


# The shell


def _make_shell(emit):
    from IPython.core.compilerop import CachingCompiler
    from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
    from traitlets.config import Config

    from . import bars, display

    class Compiler(CachingCompiler):
        def get_code_name(self, raw_code, transformed_code, number):
            return _Program.entry

        def cache(self, transformed_code, number=0, raw_code=None):
            return _Program.entry  # the whole file is in linecache already

    class Shell(InteractiveShell):
        compiler_class = Compiler
        displayhook_class = display.Hook
        display_pub_class = display.Publisher

        def init_io(self):
            pass

        def showtraceback(self, *arguments, **options):
            pass  # the caller of run_cell has the exception and tells it once

        def showsyntaxerror(self, *arguments, **options):
            pass

        def enable_gui(self, gui=None):
            pass

        def init_virtualenv(self):
            pass

        def system(self, command):
            """`!command`: IPython would open a terminal for it, and a box has none."""
            import subprocess

            streams.flush()
            words = self.var_expand(command, depth=1)
            if _INSTALLS.match(words):
                refuse_to_install(words)
            self.user_ns["_exit_code"] = subprocess.call(words, shell=True)

    config = Config()
    config.HistoryManager.enabled = False  # a thread and a database otherwise
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.autoindent = False
    config.InteractiveShell.automagic = False
    shell = Shell.instance(config=config)
    atexit.unregister(shell.atexit_operations)  # see _forget_names
    _name_things(shell)
    for installer in ("pip", "conda", "mamba", "uv"):
        shell.register_magic_function(refuse_to_install, "line", installer)
    shell.no_result = ExecutionResult(None)
    unwanted = ("leading_empty_lines", "leading_indent")  # they would move lines, or excuse a mistake
    transforms = shell.input_transformer_manager.cleanup_transforms
    transforms[:] = [each for each in transforms if getattr(each, "__name__", "") not in unwanted]
    warnings.filterwarnings("ignore", message="To exit: use")
    warnings.formatwarning = _format_warning

    hooks.install()
    display.install(shell, emit)
    bars.install(emit)
    from qfp import copied
    from qfp.postponed import postpone_plotting

    postpone_plotting()
    copied.observe(hooks.after_import)
    hooks.after_import("matplotlib.font_manager", None, before=_bring_font_list)
    from .missing import MissingPackages

    sys.meta_path.append(MissingPackages)
    sys.excepthook = tracebacks.excepthook
    threading.excepthook = _thread_excepthook
    return shell


def refuse_to_install(words: str) -> None:
    """`%pip install humanize` and its like, which notebooks begin with, cannot work without a network."""
    names = [word for word in words.split() if _REQUIREMENT.fullmatch(word) and word not in _INSTALLER_WORDS]
    asked = ", ".join(names) or "humanize"
    raise RuntimeError(
        f"Programs cannot install packages themselves. Ask for them with a line at the top of the file, "
        f"`# requirements: {asked}`; they are brought in before the program starts."
    )


def _name_things(shell) -> None:
    shell.user_ns["__name__"] = "__main__"
    shell.user_ns["exit"] = shell.user_ns["quit"] = sys.exit


def _format_warning(message, category, filename, lineno, line=None) -> str:
    """As Python does it, but with the file's name as the program's author knows it."""
    text = linecache.getline(filename, lineno).strip() if line is None else line.strip()
    place = f"{tracebacks.display_name(filename)}:{lineno}: {category.__name__}: {message}\n"
    return place + (f"  {text}\n" if text else "")


def _thread_excepthook(arguments) -> None:
    if arguments.exc_type is not SystemExit:
        tracebacks.excepthook(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)


def _emitter():
    from qfp import channel

    if channel.order is None:
        channel.order = _in_order
    return channel.emit


def _in_order(descriptor: int, before: bool) -> None:
    """The channel asks for its turn before a message, and waits until it has been read after."""
    if before:
        streams.flush()
        streams.take_turn(descriptor)


def _prepare_questions(emit) -> None:
    def ask(prompt: object = "", password: bool = False) -> str:
        streams.flush()
        emit({"type": "input", "prompt": str(prompt), "password": password})
        line = _read_line()
        if line == "":
            raise EOFError("EOF when reading a line")
        return line.rstrip("\n")

    def _read_line() -> str:
        if sys.stdin is streams.stdin[1]:
            return _answer()
        return sys.stdin.readline()  # the program put something of its own there

    def _answer() -> str:
        questions, lines = streams.stdin
        told, questions.ask = questions.ask, lambda: None  # the prompt has been sent
        try:
            return lines.readline()
        finally:
            questions.ask = told

    builtins.input = lambda prompt="", /: ask(prompt)
    getpass.getpass = lambda prompt="Password: ", stream=None, **_options: ask(prompt, True)


def _seed_random_numbers() -> None:
    """NumPy's old global generator is not seeded anew by a fork: every box would draw the same numbers."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        # Its whole state from the kernel: seed(None) would draw it from there, too, and touch twice as many pages.
        numpy.random.set_state(("MT19937", numpy.frombuffer(os.urandom(4 * 624), dtype=numpy.uint32), 624))


def _leave_room_to_report() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if soft > 4 * REPORT_BYTES:
        resource.setrlimit(resource.RLIMIT_DATA, (soft - REPORT_BYTES, hard))


def _bring_font_list() -> None:
    """Matplotlib looks at every font of the machine when its list is missing; ours was made with the environment."""
    target = os.environ.get("MPLCONFIGDIR", "")
    if not target or not os.path.isdir(FONT_LIST):
        return
    try:
        os.makedirs(target, exist_ok=True)
        for name in os.listdir(FONT_LIST):
            if name.startswith("fontlist") and not os.path.exists(os.path.join(target, name)):
                shutil.copyfile(os.path.join(FONT_LIST, name), os.path.join(target, name))
    except OSError:
        pass  # a full disk: it will look itself


signal.signal(signal.SIGINT, signal.default_int_handler)

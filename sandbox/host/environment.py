"""What is in a box's Python, and how does it get there? `python -m sandbox.host.environment --env DIR` builds it
once.

The interpreter must be one that a uid without any rights can read: the system's, not one under somebody's 0700 home.
A second call with the same requirements does nothing and needs no network.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"
STAMP = "playground-requirements.sha256"
OLDEST_PYTHON = (3, 11)
BOX_PLACE = "/opt/env"
FORM = b"3"  # of what is made beside the packages; another one makes every environment anew

# Real prices that packages bring as examples, in which a program could read the future; nothing imports them.
_SAMPLE_PRICES = (
    "matplotlib/mpl-data/sample_data/Stocks.csv",
    "matplotlib/mpl-data/sample_data/goog.npz",
    "matplotlib/mpl-data/sample_data/msft.csv",
    "statsmodels/tsa/tests/results/*SP500.csv",
)

# Run by the new environment's Python: what Matplotlib would otherwise look for in every box.
_MAKE_FONT_LIST = "import matplotlib.font_manager"


class EnvironmentFailed(Exception):
    """The environment could not be built; the text says what to do."""


def is_current(environment: Path) -> bool:
    try:
        return (environment / STAMP).read_text() == _stamp()
    except OSError:
        return False


def build(environment: Path, python: Path | None = None) -> None:
    """Make the virtual environment, or bring it up to the requirements. Safe to repeat after a failure."""
    if is_current(environment):
        return
    python = python or find_interpreter()
    environment.parent.mkdir(parents=True, exist_ok=True)
    (environment / STAMP).unlink(missing_ok=True)
    uv = _find_uv()
    if not (environment / "bin" / "python").exists():
        if uv:
            _run([uv, "venv", "--quiet", "--allow-existing", "--python", str(python), str(environment)])
        else:
            _run([str(python), "-m", "venv", str(environment)])
    inside = str(environment / "bin" / "python")
    if uv:
        # Hard links to a cache under a private home would be as unreadable as the cache.
        copy = ["--link-mode", "copy"]
        _run([uv, "pip", "sync", "--quiet", *copy, "--python", inside, str(REQUIREMENTS)])
    else:
        _run([inside, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "-r", str(REQUIREMENTS)])
    _leave_out_start_code(environment)
    leave_out_sample_prices(environment)
    _name_the_place_in_the_box(environment, inside)
    _make_font_list(environment, inside)
    _open_to_everyone(environment)
    (environment / STAMP).write_text(_stamp())


def find_interpreter() -> Path:
    """SANDBOX_PYTHON, or the first Python new enough that every uid can read."""
    named = os.environ.get("SANDBOX_PYTHON")
    candidates = [named] if named else [*_system_pythons(), sys.executable]
    for candidate in candidates:
        path = Path(os.path.realpath(candidate))
        if path.exists() and _version(path) >= OLDEST_PYTHON and _is_open(path):
            return Path(candidate) if not named else path
    raise EnvironmentFailed(
        f"No Python {'.'.join(map(str, OLDEST_PYTHON))} or newer was found that an unprivileged user can read "
        f"(looked at: {', '.join(candidates)}). Install one, such as Debian's python3, or set SANDBOX_PYTHON."
    )


def _system_pythons() -> list[str]:
    names = ["python3", "python3.14", "python3.13", "python3.12", "python3.11"]
    return [
        f"{place}/{name}"
        for place in ("/usr/bin", "/usr/local/bin")
        for name in names
        if os.path.exists(f"{place}/{name}")
    ]


def _version(python: Path) -> tuple[int, int]:
    try:
        words = subprocess.run(
            [str(python), "-I", "-c", "import sys; print(*sys.version_info[:2])"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout.split()
        return int(words[0]), int(words[1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return 0, 0


def _is_open(path: Path) -> bool:
    """Whether others may walk to it and read it."""
    if not path.stat().st_mode & stat.S_IROTH:
        return False
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents)


def _find_uv() -> str | None:
    beside = Path(sys.executable).parent / "uv"
    return str(beside) if beside.exists() else shutil.which("uv")


def _leave_out_start_code(environment: Path) -> None:
    """setuptools adds code that every start of Python would run; who imports setuptools does not need it."""
    for path in environment.glob("lib/python*/site-packages/distutils-precedence.pth"):
        path.unlink()


def leave_out_sample_prices(environment: Path) -> None:
    for pattern in _SAMPLE_PRICES:
        for path in environment.glob(f"lib/python*/site-packages/{pattern}"):
            path.unlink()


def _name_the_place_in_the_box(environment: Path, python: str) -> None:
    """Bytecode and scripts name where they were made; a box shows neither that directory nor its name."""
    library = next((environment / "lib").glob("python3*"))
    place = library.relative_to(environment)
    words = [python, "-I", "-m", "compileall", "-q", "-f", "-j", "0", "-s", str(library), "-p", f"{BOX_PLACE}/{place}"]
    # Some packages ship templates and tests in another Python's syntax: compileall says so and goes on.
    subprocess.run([*words, str(library / "site-packages")], capture_output=True)
    for path in (environment / "bin").iterdir():
        if path.is_symlink() or not path.is_file():
            continue
        if path.name.lower().startswith("activate") or path.name.startswith("deactivate"):
            path.unlink()
            continue
        text = path.read_bytes()
        if text.startswith(b"#!"):
            path.write_bytes(text.replace(os.fsencode(environment), os.fsencode(BOX_PLACE)))


def _make_font_list(environment: Path, python: str) -> None:
    target = environment / "share" / "playground"
    target.mkdir(parents=True, exist_ok=True)
    _run(
        [python, "-I", "-c", _MAKE_FONT_LIST],
        {"MPLCONFIGDIR": str(target), "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
    )


def _open_to_everyone(environment: Path) -> None:
    """Readable whatever the umask was: a box's uid owns none of it."""
    for directory, _names, files in os.walk(environment):
        os.chmod(directory, 0o755)
        for name in files:
            path = os.path.join(directory, name)
            if not os.path.islink(path):
                mode = os.stat(path).st_mode
                os.chmod(path, 0o755 if mode & stat.S_IXUSR else 0o644)


def _stamp() -> str:
    return hashlib.sha256(FORM + REQUIREMENTS.read_bytes()).hexdigest() + "\n"


def _run(words: list[str], environment: dict[str, str] | None = None) -> None:
    result = subprocess.run(words, capture_output=True, text=True, env=environment)
    if result.returncode != 0:
        tail = (result.stderr or result.stdout).strip()[-1500:]
        raise EnvironmentFailed(f"`{' '.join(words)}` failed:\n{tail}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="sandbox.host.environment", description=__doc__)
    parser.add_argument("--env", type=Path, required=True)
    parser.add_argument("--python", type=Path, help="the interpreter; found when not given")
    options = parser.parse_args()
    try:
        build(Path(os.path.abspath(options.env)), options.python)
    except EnvironmentFailed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

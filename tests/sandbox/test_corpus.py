"""A corpus of hostile and faulty programs, when there is one: SANDBOX_CORPUS names the directory with its
manifest.yaml.

Our own attacks (tests/sandbox/attacks.py) are always run; these are other people's, so that we do not only meet
ourselves.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.sandbox.conftest import MEGABYTE, ROOT, Engine

CORPUS = Path(os.environ.get("SANDBOX_CORPUS") or ROOT.parent / "shared" / "corpus" / "run")
PROGRAMS = sorted(CORPUS.glob("*.py"))
TWICE = ("xrun_",)
# Which outcomes end a run by the limit a program attacks; a refused call it survives shows as a notice instead.
LIMITED = {
    "cpu_spin": ("cpu_seconds", {"timed_out"}),
    "mem_anon": ("memory_bytes", {"out_of_memory", "succeeded"}),
    "fs_disk_fill": ("disk_bytes", {"disk_full", "succeeded"}),
    "proc_fork_bomb": ("processes", {"succeeded", "failed"}),
    "out_stdout_flood": ("output_bytes", {"output_exceeded"}),
}
CPU_SECONDS = 3


def _run(engine: Engine, program: Path) -> None:
    for _ in range(2 if program.stem.startswith(TWICE) else 1):
        limits = {
            "cpu_seconds": CPU_SECONDS,
            "wall_seconds": 20,
            "memory_bytes": 512 * MEGABYTE,
            "disk_bytes": 64 * MEGABYTE,
        }
        result = engine.run(program.read_text(), **limits)
        shown = result.stdout + result.stderr + str(result.events)
        assert "|ESCAPED|" not in result.stdout
        assert "QFPTOKEN-" + "a" * 24 not in shown
        if program.stem in LIMITED:
            limit, outcomes = LIMITED[program.stem]
            assert result.outcome in outcomes
            assert (result.ended["limit"] or {}).get("name") == limit or limit in result.notices()
            assert result.ended["cpu_seconds"] < CPU_SECONDS + 2
        else:
            assert f"QFPC|{program.stem}|HELD" in result.stdout or result.outcome == "failed", result.stderr
        if program.stem.startswith("ok_"):
            assert result.outcome == "succeeded"


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_a_program_of_the_corpus_is_held(engine: Engine, program: Path) -> None:
    _run(engine, program)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_it_is_held_in_the_box_of_an_ordinary_user(ordinary_engine: Engine, program: Path) -> None:
    _run(ordinary_engine, program)

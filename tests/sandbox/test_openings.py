"""Which of a box's files were opened is told by the kernel, once for each, and unknown rather than wrong."""

from __future__ import annotations

import pytest

from sandbox.host import openings
from sandbox.host.openings import Openings


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "objects").mkdir()
    for name in "abc":
        (tmp_path / "objects" / f"{name}.arrow").write_text(name)
    (tmp_path / "objects" / "minutes.parquet").write_text("minutes")
    return tmp_path


def test_what_was_opened_is_told_to_everyone_who_watched_it_then(folder):
    watching = Openings()
    first = watching.watch(folder, ["a", "b"])
    assert first.names() == []
    (folder / "objects" / "a.arrow").read_bytes()
    second = watching.watch(folder, ["a", "b"])
    assert (first.names(), second.names()) == (["a"], [])
    for _ in range(3):
        (folder / "objects" / "a.arrow").read_bytes()
    (folder / "objects" / "c.arrow").read_bytes()
    assert (first.names(), second.names()) == (["a"], ["a"])
    first.end()
    (folder / "objects" / "b.arrow").read_bytes()
    assert (first.names(), second.names()) == (["a"], ["a", "b"])
    second.end()
    assert not watching._watched and not watching._living


def test_minutes_are_watched_as_well(folder):
    watching = Openings()
    told = watching.watch(folder, ["a", "minutes"])
    (folder / "objects" / "minutes.parquet").read_bytes()
    assert told.names() == ["minutes"]


def test_what_cannot_be_watched_is_unknown(folder, monkeypatch):
    watching = Openings()
    assert watching.watch(folder, ["a", "missing"]).names() is None
    monkeypatch.setattr(openings, "MOST_FILES", 1)
    assert watching.watch(folder, ["a", "b"]).names() is None

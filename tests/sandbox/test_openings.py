"""Which of a box's files were opened is told by the kernel, once for each, and unknown rather than wrong."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.host import openings
from sandbox.host.openings import Openings
from tests.sandbox.conftest import make_request


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


def test_more_openings_than_the_kernel_keeps_make_all_unknown_and_later_watches_know_again(tmp_path):
    """Opening a file is two events: that it was opened, and that its watch, which is for once, has ended."""
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    names = [str(number) for number in range(most // 2 + 10)]
    assert len(names) <= openings.MOST_FILES, "this machine keeps more than one box may watch"
    (tmp_path / "objects").mkdir()
    for name in names:
        (tmp_path / "objects" / f"{name}.arrow").touch()
    watching = Openings()
    all_of_them, other = watching.watch(tmp_path, names), watching.watch(tmp_path, [])
    for name in names:
        os.close(os.open(tmp_path / "objects" / f"{name}.arrow", os.O_RDONLY))
    assert all_of_them.names() is None and other.names() is None
    all_of_them.end()
    later = watching.watch(tmp_path, ["1", "2"])
    os.close(os.open(tmp_path / "objects" / "2.arrow", os.O_RDONLY))
    assert later.names() == ["2"]


def opened_as(uid: int, path: Path) -> subprocess.Popen[bytes]:
    """A process that has opened the file, and lives until its input ends."""
    command = ["/bin/sh", "-c", 'exec 3<"$0"; echo; read end', str(path)]
    process = subprocess.Popen(command, user=uid, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline()
    return process


def test_only_the_box_that_opened_a_file_is_said_to_have_read_it():
    watching = Openings(range(1_879_500_000, 1_879_500_010))
    if not watching.by_process:
        pytest.skip("the kernel tells processes to a privileged engine only")
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        folder = Path(place)
        folder.chmod(0o755)
        (folder / "objects").mkdir()
        for name in "abcd":
            (folder / "objects" / f"{name}.arrow").write_text(name)
        one, other = (watching.watch(folder, "abcd") for _ in range(2))
        one.uids.add(1_879_500_001)
        other.uids.add(1_879_500_002)
        (folder / "objects" / "a.arrow").read_bytes()  # the site itself
        with opened_as(1_879_500_002, folder / "objects" / "a.arrow"):
            assert (one.names(), other.names()) == ([], ["a"])
        with opened_as(1_879_500_001, folder / "objects" / "a.arrow"):
            assert one.names() == ["a"], "the first of others has not used the watch up"
        with opened_as(1_879_500_009, folder / "objects" / "b.arrow"):  # a box that is not known
            assert (one.names(), other.names()) == (["a", "b"], ["a", "b"])
        opened_as(1_879_500_002, folder / "objects" / "c.arrow").communicate()
        assert (one.names(), other.names()) == (["a", "b", "c"],) * 2, "nobody can say who it was"
        one.end()
        other.end()
        assert not watching._watched and not watching._living and not watching._paths


def test_a_box_is_told_what_it_opened_itself_while_another_opens_the_same_file(engine):
    """In boxes, whose processes are known by the user ids that they have outside."""
    digest = "ab" * 32
    folder = engine.store / "snapshots" / ("cd" * 32)
    (folder / "objects").mkdir(parents=True)
    (folder / "objects" / f"{digest}.arrow").write_text("rows")
    for made in (engine.store, engine.store / "snapshots", folder, folder / "objects"):
        made.chmod(0o755)
    (folder / "manifest.json").write_text("{}")

    def started(source: str) -> Any:
        request = make_request(source, snapshot="cd" * 32)
        return engine.client.start(dataclasses.replace(request, watched=[digest]))

    def ended(events: Iterator[Any]) -> Any:
        return next(event for event in events if event and event["type"] == "ended")

    with started("input()\n") as one:
        events = one.events()
        assert any(event and event["type"] == "input" for event in events)
        with started(f"open('/data/objects/{digest}.arrow').read(); input()\n") as other:
            theirs = other.events()
            assert any(event and event["type"] == "input" for event in theirs)
            other.send_input("")
            assert ended(theirs)["opened"] == [digest]
        one.send_input("")
        assert ended(events)["opened"] in ([], [digest] if os.geteuid() else [])

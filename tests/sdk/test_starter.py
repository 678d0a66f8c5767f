"""Building the starter data: once, the same every time, and with a plain word when it cannot be fetched."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from qfp import objects
from qfp import starter as building

from tests.sdk.conftest import STORE


def test_the_snapshot_is_the_one_this_release_expects(starter):
    assert starter.snapshot == building.EXPECTED["snapshot"]
    named = {e["id"] for e in starter.series} | {e["id"] + "#actions" for e in starter.series if e["actions"]}
    assert set(building.EXPECTED["content"]) == {name for name in named if not name.startswith("synth/us/1d/")}


def test_without_the_series_for_education_it_is_the_other_expected_one(starter, tmp_path):
    """Built from the same parts: an operator who leaves tier C out has what this release expects."""
    manifest = json.loads((starter.folder / "manifest.json").read_bytes())
    shutil.copytree(starter.folder / "objects", tmp_path / "objects", copy_function=os.link)
    left = {
        **manifest,
        "series": [entry for entry in manifest["series"] if entry["tier"] != "C"],
        "universes": [each for each in manifest["universes"] if each["name"] != "starter/sp500_20"],
    }
    assert objects.write_snapshot(tmp_path, left) == building.EXPECTED["snapshot_without_tier_c"]


def test_a_second_call_needs_no_network(starter, monkeypatch):
    monkeypatch.setattr(building, "_install_command", lambda *_: pytest.fail("it fetched again"))
    again = building.build(STORE)
    assert not again.fresh and again.snapshot == starter.snapshot


def test_a_damaged_object_is_noticed(starter, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(STORE, store)
    victim = next((store / "snapshots" / starter.snapshot / "objects").iterdir())
    victim.chmod(0o644)
    victim.write_bytes(victim.read_bytes()[:-1] + b"!")
    assert building._finished(store, building.EXPECTED["snapshot"]) is None


def test_an_unreachable_registry_is_said_in_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(building, "_install_command", lambda *_: ["false"])
    with pytest.raises(building.StarterDataError, match=r"bokeh_sampledata 2026\.1.*check the network.*goes on"):
        building.build(tmp_path)
    assert not (tmp_path / "current").exists()


def test_changed_contents_are_refused(monkeypatch, tmp_path, starter):
    entry = starter.series[0]
    columns = objects.read(starter.folder, entry["object"])
    dates = columns.pop("date")
    changed = {name: values * 1.01 for name, values in columns.items()}
    with pytest.raises(building.StarterDataError, match="not what this release expects"):
        building._store_object(tmp_path, entry["id"], dates, changed, [])


def test_the_same_values_give_the_same_bytes(starter):
    for entry in starter.series:
        columns = dict(objects.read(starter.folder, entry["object"]))
        dates = columns.pop("date")
        path = objects.object_path(starter.folder, entry["object"])
        content, form = objects.bars_bytes(entry["interval"], dates, columns)
        assert (content, form) == (path.read_bytes(), path.suffix), entry["id"]


def test_others_may_read_the_store_whatever_the_umask_was(starter):
    for path in (starter.folder, starter.folder / "objects"):
        assert path.stat().st_mode & 0o005 == 0o005
    for path in (starter.folder / "objects").iterdir():
        assert path.stat().st_mode & 0o004
    assert json.loads((starter.folder / "manifest.json").read_text())["created_for"] == "starter"

"""The starter data in the database: rows that name what lies in the store, one current snapshot."""

from __future__ import annotations

import json
import shutil

import pytest
from django.conf import settings
from django.core.management import call_command
from django.urls import reverse
from qfp import objects

from marketdata import store
from marketdata.models import Instrument, Series, Snapshot

pytestmark = pytest.mark.django_db


@pytest.fixture
def loaded():
    Snapshot.objects.all().delete()
    call_command("load_starter_data", verbosity=0)
    return Snapshot.objects.get(is_current=True)


def test_nothing_is_current_before_loading():
    Snapshot.objects.all().delete()
    assert store.current_snapshot_id() is None


def test_loading_records_every_series_and_twice_changes_nothing(loaded):
    counts = Instrument.objects.count(), Series.objects.count()
    assert counts[1] == len(store.read_manifest(settings.STORE_DIR, loaded.pk)["series"]) > 600
    call_command("load_starter_data", verbosity=0)
    assert (Instrument.objects.count(), Series.objects.count()) == counts and Snapshot.objects.count() == 1
    assert store.current_snapshot_id() == loaded.pk


def test_a_series_says_what_may_be_done_with_it(loaded):
    apple = Series.objects.get(series_id="starter/us/1d/AAPL")
    assert apple.instrument.symbol == "AAPL" and apple.rows == 3270 and str(apple.first) == "2000-03-01"
    assert "public domain" in apple.licence and "survivors" in apple.survivorship and apple.actions_sha256


def test_a_starter_catalogue_of_another_release_replaces_its_own_series_and_no_others(loaded):
    content = (settings.STORE_DIR / "snapshots" / loaded.pk / "manifest.json").read_bytes()
    whole = json.loads(content)
    older = {
        **whole,
        "series": [entry for entry in whole["series"] if entry["tier"] == "A"],
        "universes": [],
    }
    store.record_snapshot(settings.STORE_DIR, objects.write_snapshot(settings.STORE_DIR, older))
    added = {**older["series"][0], "id": "ecb/1d/USD", "symbol": "ECB_USD"}
    store.add_series([added], created_for="refresh")
    taken = store.take_starter(loaded.pk)
    now = store.read_manifest(settings.STORE_DIR, taken.pk)
    assert {entry["id"] for entry in now["series"]} == {entry["id"] for entry in whole["series"]} | {"ecb/1d/USD"}
    assert [each["name"] for each in now["universes"]] == [each["name"] for each in whole["universes"]]
    assert store.take_starter(loaded.pk) == taken


def test_another_snapshot_becomes_the_only_current_one(loaded):
    Snapshot.objects.create(pk="a" * 64, created_for="test")
    store.record_snapshot(settings.STORE_DIR, loaded.pk)
    assert list(Snapshot.objects.filter(is_current=True)) == [loaded]


@pytest.mark.parametrize("snapshot", ["../../etc", "0" * 64, "A" * 64, "", "0" * 63])
def test_ids_that_are_none_are_refused(snapshot):
    with pytest.raises(store.SnapshotMissing):
        store.read_manifest(settings.STORE_DIR, snapshot)


def test_a_changed_manifest_is_not_believed(loaded, tmp_path):
    folder = tmp_path / "snapshots" / loaded.pk
    folder.mkdir(parents=True)
    manifest = shutil.copy(settings.STORE_DIR / "snapshots" / loaded.pk / "manifest.json", folder)
    with open(manifest, "a") as file:
        file.write(" ")
    with pytest.raises(store.SnapshotMissing, match="changed"):
        store.read_manifest(tmp_path, loaded.pk)


@pytest.mark.parametrize("model", ["instrument", "series", "snapshot"])
def test_admin_lists_and_searches_with_a_constant_number_of_queries(
    loaded, admin_client, model, django_assert_max_num_queries
):
    with django_assert_max_num_queries(14):
        page = admin_client.get(reverse(f"admin:marketdata_{model}_changelist"), {"q": "a"})
    assert page.status_code == 200

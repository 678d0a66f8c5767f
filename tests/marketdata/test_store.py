"""The store: objects named by their bytes, a person's own view over the catalogue, and what may be collected."""

from __future__ import annotations

import hashlib
import io
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from qfp import objects

from accounts.models import User
from marketdata import store
from marketdata.models import Instrument, Series, Snapshot
from runner.access import Viewer
from runner.models import Project
from runner.starting import start_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada():
    return User.objects.create_user("ada", "ada@example.org", "a long enough phrase")


@pytest.fixture
def ben():
    return User.objects.create_user("ben", "ben@example.org", "a long enough phrase")


def bars(last: float = 101.0, rows: int = 2) -> bytes:
    dates = np.datetime64("2024-01-02", "us") + np.arange(rows) * np.timedelta64(1, "D")
    closes = np.array([100.0] * (rows - 1) + [last])
    return objects.arrow_bytes(
        dates, {"open": closes, "high": closes, "low": closes, "close": closes, "volume": closes}
    )


def entry(series: str = "tiingo/1d/AAPL", symbol: str = "AAPL", content: bytes | None = None, **more):
    return {
        "id": series,
        "symbol": symbol,
        "name": "fetched by somebody",
        "kind": "equity",
        "interval": "1d",
        "licence": "the provider's terms",
        "source": "a provider",
        "columns": ["open", "high", "low", "close", "volume"],
        "rows": 2,
        "first": "2024-01-02",
        "last": "2024-01-03",
        "object": store.put_object(content or bars()),
        "rights": "personal",
        "adjustment": "raw",
        **more,
    }


def own_ids(user) -> set[str]:
    return set(store.read_manifest(settings.STORE_DIR, store.current_snapshot_id(user)).get("own", []))


def test_an_object_is_kept_once_read_only_and_put_right_when_it_was_damaged():
    digest = store.put_object(bars())
    path = objects.object_path(settings.STORE_DIR, digest)
    assert store.put_object(bars()) == digest and path.stat().st_mode & 0o777 == 0o444
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    assert store.put_object(bars()) == digest and path.read_bytes() == bars()


def test_a_persons_own_series_are_in_their_view_and_in_nobody_elses(ada, ben):
    catalogue = store.current_snapshot_id()
    made = store.add_series([entry()], user=ada, created_for="fetch")
    assert store.current_snapshot_id(ada) == made.pk != catalogue
    assert store.current_snapshot_id(ben) == store.current_snapshot_id(None) == catalogue
    folder = store.snapshot_folder(settings.STORE_DIR, made.pk)
    manifest = store.read_manifest(settings.STORE_DIR, made.pk)
    assert {path.stem for path in (folder / "objects").iterdir()} == objects.named_objects(manifest)
    assert len(manifest["series"]) == len(store.read_manifest(settings.STORE_DIR, catalogue)["series"]) + 1
    # What everybody sees of Apple is not what somebody's provider calls it.
    assert Instrument.objects.get(owner=None, symbol="AAPL").name == "Apple Inc."
    assert Instrument.objects.get(owner=ada).name == "fetched by somebody"
    assert Series.objects.filter(snapshot=catalogue).exists() and Series.objects.get(snapshot=made).rows == 2


def test_the_same_series_of_two_people_are_two_views(ada, ben):
    first, second = (store.add_series([entry()], user=user, created_for="fetch") for user in (ada, ben))
    assert first.pk != second.pk and (first.owner, second.owner) == (ada, ben)


def test_a_newer_version_replaces_the_older_and_takes_its_short_name(ada):
    store.add_series([entry("mine/x@1", "mine/x", aliases=["mine/x"])], user=ada, created_for="upload")
    made = store.add_series([entry("mine/x@2", "mine/x", aliases=["mine/x"])], user=ada, created_for="upload")
    aliases = {e["id"]: e["aliases"] for e in store.read_manifest(settings.STORE_DIR, made.pk)["series"]}
    assert (aliases["mine/x@1"], aliases["mine/x@2"]) == ([], ["mine/x"])
    changed = entry("mine/x@2", "mine/x", content=bars(7.0))
    replaced = store.add_series([changed], user=ada, created_for="upload")
    held = store.read_manifest(settings.STORE_DIR, replaced.pk)["series"]
    assert [e["object"] for e in held if e["id"] == "mine/x@2"] == [changed["object"]]


def test_a_view_follows_the_catalogue_and_a_pinned_one_stays_as_it_was(ada):
    before = store.add_series([entry()], user=ada, created_for="fetch").pk
    content = (store.snapshot_folder(settings.STORE_DIR, before) / "manifest.json").read_bytes()
    store.add_series([entry("ecb/1d/USD", "ECB_USD", rights="redistribute")], created_for="refresh")
    now = store.read_manifest(settings.STORE_DIR, store.current_snapshot_id(ada))
    assert {"ecb/1d/USD", "tiingo/1d/AAPL"} <= {e["id"] for e in now["series"]} and now["own"] == ["tiingo/1d/AAPL"]
    assert (store.snapshot_folder(settings.STORE_DIR, before) / "manifest.json").read_bytes() == content
    assert Snapshot.objects.filter(owner=ada, is_current=True).count() == 1
    assert Series.objects.filter(snapshot=before).count() == 0


def test_without_the_last_series_of_their_own_a_person_reads_the_catalogue_again(ada):
    store.add_series([entry(), entry("mine/x@1", "mine/x")], user=ada, created_for="upload")
    assert store.remove_series(["mine/x@1"], user=ada) is not None and own_ids(ada) == {"tiingo/1d/AAPL"}
    assert store.remove_series(["tiingo/1d/AAPL"], user=ada) is None
    assert store.current_snapshot_id(ada) == store.current_snapshot_id()


def test_the_catalogue_takes_nothing_that_may_not_be_redistributed():
    with pytest.raises(ValueError, match="may not be redistributed"):
        store.add_series([entry()], created_for="fetch")


@pytest.mark.parametrize(
    ("change", "said"), [({"object": "0" * 64}, "no object"), ({"licence": None}, "lacks licence")]
)
def test_what_is_incomplete_is_refused(ada, change, said):
    wrong = {key: value for key, value in {**entry(), **change}.items() if value is not None}
    with pytest.raises(ValueError, match=said):
        store.add_series([wrong], user=ada, created_for="fetch")


@pytest.mark.django_db(transaction=True)
def test_fetches_that_end_at_once_are_both_in_the_view(ada):
    def add(number: int) -> None:
        store.add_series([entry(f"tiingo/1d/S{number}", f"S{number}")], user=ada, created_for="fetch")
        connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    assert own_ids(ada) == {f"tiingo/1d/S{number}" for number in range(4)}


def test_runs_are_pinned_to_the_view_of_whoever_starts_them(ada, ben):
    own = store.add_series([entry()], user=ada, created_for="fetch").pk
    project = Project.objects.create(owner=ada, title="x", slug="x", draft={"main.py": "1"}, visibility="public")
    runs = [start_run(project, Viewer(user, ""), files={"main.py": "1"}) for user in (ada, ben)]
    assert [run.snapshot for run in runs] == [own, store.current_snapshot_id()]


def test_what_a_run_is_pinned_to_is_never_collected(ada):
    kept = store.add_series([entry()], user=ada, created_for="fetch").pk
    project = Project.objects.create(owner=ada, title="x", slug="x", draft={"main.py": "1"})
    run = start_run(project, Viewer(ada, ""), files={"main.py": "1"})
    loose = store.add_series([entry(content=bars(5.0))], user=ada, created_for="fetch").pk
    current = store.add_series([entry(content=bars(6.0))], user=ada, created_for="fetch").pk
    young = store.put_object(bars(8.0))
    for path in (settings.STORE_DIR / "snapshots").glob("*"):
        _age(path)
    for path in (settings.STORE_DIR / "objects").glob("*"):
        if path.stem != young:
            _age(path)
    tables = settings.STORE_DIR / "tables"
    for name in ("0" * 64, "1" * 64, current):  # what packages bring, varied for a snapshot
        (tables / name).mkdir(parents=True)
    for name in ("0" * 64, current):
        _age(tables / name)
    lent = settings.STORE_DIR / store.LENT
    for name in ("old", "young"):  # of runs on varied data
        (lent / name).mkdir(parents=True)
    _age(lent / "old")
    call_command("collect_garbage", stdout=io.StringIO())
    assert {path.name for path in tables.iterdir()} == {"1" * 64, current}
    assert {path.name for path in lent.glob("*/")} == {"young"}  # beside a lock, where something has been lent before
    there = {path.name for path in (settings.STORE_DIR / "snapshots").iterdir()}
    assert {kept, current, store.current_snapshot_id()} <= there and loose not in there
    left = {path.stem for path in (settings.STORE_DIR / "objects").iterdir()}
    assert {_name(bars()), _name(bars(6.0)), young} <= left and _name(bars(5.0)) not in left
    assert not Snapshot.objects.filter(pk=loose).exists()
    run.delete()
    _age(settings.STORE_DIR / "snapshots" / kept)
    call_command("collect_garbage", stdout=io.StringIO())
    assert kept not in {path.name for path in (settings.STORE_DIR / "snapshots").iterdir()}


def _name(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _age(path: Path) -> None:
    long_ago = time.time() - 2 * store.GRACE_SECONDS
    os.utime(path, (long_ago, long_ago))


def test_an_account_takes_its_series_along(ada):
    store.add_series([entry()], user=ada, created_for="fetch")
    ada.delete()
    assert not Instrument.objects.exclude(owner=None).exists() and Series.objects.exists()

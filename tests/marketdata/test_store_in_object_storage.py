"""The store in object storage: what one machine puts there another reads, checks and may collect."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from pyarrow import fs
from qfp import objects

from marketdata import archiving, garbage, object_storage, store
from marketdata.models import Snapshot
from tests.marketdata.test_store import bars, entry
from tests.surroundings import free_port

pytestmark = pytest.mark.django_db

# A server that speaks S3, in a folder of its own: what it depends on does not agree with what the site does.
SERVER = ("moto[s3]==5.1.22", "flask==3.1.3", "flask-cors==6.0.5")
START_SECONDS = 60


@pytest.fixture(scope="module")
def server():
    packages = Path(os.environ["PLAYGROUND_TESTS_STORE"]).parent / "tests" / "moto-5.1.22"
    if not packages.is_dir():
        draft = packages.with_name(f"{packages.name}.{os.getpid()}")
        words = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable]
        subprocess.run([*words, "--target", str(draft), *SERVER], check=True)
        draft.rename(packages)
    port = free_port()
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(
        words, env={**os.environ, "PYTHONPATH": str(packages)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, "the S3 server did not start"
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def bucket(server, settings, tmp_path):
    """An empty bucket, and this machine's empty cache of it."""
    name = f"bucket-{tmp_path.name.replace('_', '-')}".lower()[:60]
    fs.S3FileSystem(
        access_key="key",
        secret_key="secret",
        region="us-east-1",
        endpoint_override=server.removeprefix("http://"),
        scheme="http",
        allow_bucket_creation=True,
    ).create_dir(name)
    settings.STORE_S3_URL, settings.STORE_S3_ENDPOINT = f"s3://{name}/market", server
    settings.STORE_S3_REGION, settings.STORE_S3_KEY, settings.STORE_S3_SECRET = "us-east-1", "key", "secret"
    settings.STORE_DIR = tmp_path / "here"
    settings.STORE_DIR.mkdir()
    Snapshot.objects.all().delete()
    return object_storage.bucket()


def for_all(symbol: str = "A", content: bytes | None = None):
    return entry(f"ecb/1d/{symbol}", symbol, content, rights="redistribute")


@pytest.fixture
def elsewhere(settings, tmp_path):
    """Makes this process another machine, whose cache is empty."""

    def move(name: str = "there") -> Path:
        settings.STORE_DIR = tmp_path / name
        shutil.rmtree(settings.STORE_DIR, ignore_errors=True)
        settings.STORE_DIR.mkdir()
        return settings.STORE_DIR

    return move


def test_what_one_machine_adds_another_brings_with_the_same_bytes(bucket, elsewhere):
    dates = np.datetime64("2024-01-02T14:30", "m") + np.arange(9)
    by_the_minute = entry(
        *("binance/1m/M", "M"),
        rights="redistribute",
        interval="1m",
        object=store.put_bars("1m", dates, {"close": dates}),
    )
    made = store.add_series([for_all("A"), for_all("B", bars(7.0)), by_the_minute], created_for="refresh")
    there = elsewhere()
    store.make_local(made.pk)
    folder = store.snapshot_folder(there, made.pk)
    assert {e["symbol"] for e in store.read_manifest(there, made.pk)["series"]} == {"A", "B", "M"}
    assert {path.read_bytes() for path in (folder / "objects").glob("*.arrow")} == {bars(), bars(7.0)}
    assert [path.stem for path in (folder / "objects").glob("*.parquet")] == [by_the_minute["object"]]
    assert objects.read(folder, by_the_minute["object"])["date"].tolist() == dates.astype("M8[us]").tolist()
    # What it adds itself it builds on what it brought.
    more = store.add_series([for_all("C")], created_for="refresh")
    assert f"snapshots/{more.pk}/manifest.json" in bucket.names("snapshots")
    assert len(store.read_manifest(there, more.pk)["series"]) == 4


def test_an_object_that_is_not_what_its_name_says_is_not_taken(bucket, elsewhere):
    made = store.add_series([for_all()], created_for="refresh")
    digest = store.read_manifest(elsewhere("first"), made.pk)["series"][0]["object"]
    bucket.put(f"objects/{digest}.arrow", b"something else")
    there = elsewhere()
    with pytest.raises(store.SnapshotMissing, match="not what its name says"):
        store.make_local(made.pk)
    assert not objects.object_path(there, digest).exists()
    with pytest.raises(store.SnapshotMissing, match="holds no snapshot"):
        store.make_local("0" * 64)


def test_what_nothing_needs_is_collected_there_too(bucket, elsewhere):
    kept = store.add_series([for_all()], created_for="refresh").pk
    loose = store.add_series([for_all(content=bars(5.0))], created_for="refresh").pk
    current = store.add_series([for_all(content=bars(6.0))], created_for="refresh").pk
    loose_object, _ = (store.put_object(bars(price)) for price in (5.0, 6.0))
    there = elsewhere()
    garbage.collect_garbage(lambda: {kept}, keep_last=0, grace_seconds=-60)
    assert {name.split("/")[1] for name in bucket.names("snapshots")} == {kept, current}
    assert f"objects/{loose_object}.arrow" not in bucket.names("objects") and len(bucket.names("objects")) == 2
    assert not Snapshot.objects.filter(pk=loose).exists()
    store.make_local(kept)
    assert (store.snapshot_folder(there, kept) / "manifest.json").exists()


def test_storage_that_does_not_answer_is_named_in_the_error(bucket, settings, monkeypatch):
    monkeypatch.setattr(object_storage, "ATTEMPTS", 1)
    settings.STORE_S3_ENDPOINT = "http://127.0.0.1:9"
    with pytest.raises(object_storage.StorageUnreachable, match="STORE_S3_ENDPOINT"):
        store.put_object(bars())


def test_the_archive_there_serves_every_machine(bucket, elsewhere, monkeypatch):
    content = bars(9.0, rows=2000)
    old = store.add_series([for_all(content=content)], created_for="refresh").pk
    store.add_series([for_all()], created_for="refresh")
    monkeypatch.setattr(store, "GRACE_SECONDS", -60)  # nothing in a bucket can be made older
    done = archiving.archive_data(timedelta(seconds=-60), keep_last=0)
    digest = hashlib.sha256(content).hexdigest()
    assert (done.there, done.objects) == (1, 1)
    assert not objects.object_path(store.settings.STORE_DIR, digest).exists()
    assert f"objects/{digest}.arrow" not in bucket.names("objects")
    for machine in (None, "there"):
        there = elsewhere(machine) if machine else store.settings.STORE_DIR
        store.make_local(old)
        folder = store.snapshot_folder(there, old)
        assert [path.read_bytes() for path in (folder / "objects").iterdir()] == [content]

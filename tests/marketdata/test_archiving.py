"""What only old runs need is kept as Parquet, comes back byte by byte, and is never lost on the way."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.utils import timezone
from qfp import objects, panels

from marketdata import archive, archiving, datasets, garbage, store
from marketdata.changes import _entries as entries_of
from marketdata.models import Snapshot
from runner.access import Viewer
from runner.models import Project
from runner.reports.records import _factors
from runner.requests import request_for
from runner.starting import start_run
from tests.marketdata.test_store import ada, entry  # noqa: F401

AGE = timedelta(days=30)


def history(seed: int, rows: int = 2000) -> bytes:
    dates = np.datetime64("2004-01-01", "us") + np.arange(rows) * np.timedelta64(1, "D")
    close = np.round(50 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, rows))), 2)
    return objects.arrow_bytes(dates, dict.fromkeys(("open", "high", "low", "close", "volume"), close))


def hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# One object -------------------------------------------------------------------------------------------------


def odd_numbers() -> bytes:
    """Two kinds of NaN, both zeros, the smallest number: what a comparison would take for equal."""
    bits = np.array([0x7FF8000000000000, 0xFFF8000000000123, 0x8000000000000000, 0, 1], "<u8")
    values = np.resize(bits, 3000).view("<f8")
    return objects.arrow_bytes(np.arange(3000).astype("datetime64[us]"), {"close": values, "of": values[::-1]})


def texts() -> bytes:
    table = pa.table({"date": pa.array(np.arange(900), pa.timestamp("us")), "who": ["ada", None, "charles"] * 300})
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("content", "as_pieces"),
    [
        (history(1), False),
        (odd_numbers(), False),
        (texts(), True),
        (panels._table(["A", "B"], np.round(np.random.default_rng(2).normal(9, 1, (2, 800)), 2)), True),
        (b"no Arrow at all" * 100, True),
    ],
    ids=["bars", "odd numbers", "texts", "a panel", "anything"],
)
def test_every_byte_comes_back(content, as_pieces):
    packed = archive.pack(content)
    assert packed is not None and len(packed) < len(content)
    assert archive.unpack(packed, hash_of(content)) == content
    file = pq.ParquetFile(pa.BufferReader(packed))
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert (file.schema_arrow.names == [archive.PIECES]) == as_pieces


def test_bars_in_the_archive_are_a_table_that_anybody_reads():
    content = history(3)
    table = pq.read_table(pa.BufferReader(archive.pack(content)))
    assert table.schema.names == ["date", "open", "high", "low", "close", "volume"]
    assert table["close"].to_pylist() == pa.ipc.open_file(content).read_all()["close"].to_pylist()


def test_what_would_not_be_smaller_is_not_packed_and_damage_is_noticed():
    assert archive.pack(os.urandom(5000)) is None
    content = history(4)
    packed = bytearray(archive.pack(content))
    with pytest.raises(archive.Damaged, match="other bytes"):
        archive.unpack(bytes(packed), hash_of(b"something else"))
    packed[200] ^= 0xFF
    with pytest.raises(archive.Damaged):
        archive.unpack(bytes(packed), hash_of(content))


# Old snapshots ----------------------------------------------------------------------------------------------


@pytest.fixture
def own_store(settings, tmp_path):
    """An empty one: what other tests left would be archived along."""
    settings.STORE_DIR, settings.UPLOADS_DIR = tmp_path / "store", tmp_path / "uploads"
    Snapshot.objects.all().delete()


@pytest.fixture
def old(ada, own_store):  # noqa: F811
    """A run on a snapshot that has been replaced for two months; what it read and what is current now."""
    content = [history(5), history(6)]
    first = entry(content=content[0])
    pinned = store.add_series([first, entry("tiingo/1d/B", "B", content[1])], user=ada, created_for="fetch").pk
    project = Project.objects.create(owner=ada, title="x", slug="x", draft={"main.py": "1"})
    run = start_run(project, Viewer(ada, ""), files={"main.py": "1"})
    assert run.snapshot == pinned
    store.add_series([entry(content=history(7))], user=ada, created_for="fetch")
    make_old(60)
    return run, content


def make_old(days: float) -> None:
    then = time.time() - days * 86400
    for path in settings.STORE_DIR.rglob("*"):
        os.utime(path, (then, then))


def lies_here(content: bytes) -> bool:
    return objects.object_path(settings.STORE_DIR, hash_of(content)).exists()


def mounted(run) -> set[bytes]:
    """The objects that a box of this run would see."""
    folder = store.snapshot_folder(settings.STORE_DIR, run.snapshot) / "objects"
    return {path.read_bytes() for path in folder.iterdir()}


@pytest.mark.django_db
def test_an_old_snapshot_goes_into_the_archive_and_comes_back_when_its_run_is_made_again(old):
    run, content = old
    out = io.StringIO()
    call_command("archive_data", stdout=out)
    assert "1 objects" in out.getvalue() and "saved" in out.getvalue()
    folder = store.snapshot_folder(settings.STORE_DIR, run.snapshot)
    assert not lies_here(content[0]) and not (folder / "objects").exists()
    assert lies_here(content[1])  # the current snapshot has it, too
    kept = settings.STORE_DIR / archive.place(hash_of(content[0]))
    assert kept.stat().st_size < len(content[0]) * 0.6
    # To look at it takes nothing out.
    assert store.read_manifest(settings.STORE_DIR, run.snapshot)["view"] and entries_of(run.snapshot, None)
    assert not lies_here(content[0])

    assert request_for(run).snapshot == run.snapshot
    assert mounted(run) == set(content) and not (folder / store.ARCHIVED).exists()
    again = archiving.archive_data(AGE)
    assert (again.snapshots, again.objects) == (0, 0) and mounted(run) == set(content)
    make_old(60)
    assert archiving.archive_data(AGE).objects == 1 and not lies_here(content[0])
    store.bring({hash_of(content[0])})  # one alone, for a comparison
    assert lies_here(content[0])


@pytest.mark.django_db
def test_what_is_current_or_was_read_lately_stays(old):
    run, content = old
    store.make_local(run.snapshot)
    assert archiving.archive_data(AGE).snapshots == 0 and mounted(run) == set(content)
    with pytest.raises(CommandError, match="1 or more"):
        call_command("archive_data", "--days", "0")


@pytest.mark.django_db
@pytest.mark.parametrize("step", ["rmtree", "pack", "_write_for_certain", "unlink"])
def test_a_crash_between_two_steps_loses_nothing(old, monkeypatch, step):
    run, content = old

    class Crash(Exception):
        pass

    where = {"rmtree": shutil, "pack": archive, "_write_for_certain": archiving, "unlink": Path}[step]
    real = getattr(where, step)

    def crash_after(*arguments, **named):
        real(*arguments, **named)
        if step != "unlink" or arguments[0].suffix == ".arrow":
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(where, step, crash_after)
        with pytest.raises(Crash):
            archiving.archive_data(AGE)
    store.make_local(run.snapshot)
    assert mounted(run) == set(content)
    make_old(60)
    archiving.archive_data(AGE)
    assert not lies_here(content[0]) and (settings.STORE_DIR / archive.place(hash_of(content[0]))).is_file()
    store.make_local(run.snapshot)
    assert mounted(run) == set(content)


@pytest.mark.django_db
def test_while_somebody_writes_a_snapshot_nothing_is_archived(old, monkeypatch):
    run, content = old
    monkeypatch.setattr(store, "PATIENCE_SECONDS", 0.0)
    with psycopg.connect(**_connection()) as other:
        other.execute("SELECT pg_advisory_xact_lock_shared(%s)", [store._ARCHIVE_LOCK])
        with pytest.raises(store.StoreBusy):
            archiving.archive_data(AGE)
        assert lies_here(content[0]) and mounted(run) == set(content)
    assert archiving.archive_data(AGE).objects == 1


def _connection() -> dict[str, str]:
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    return {name: connection.settings_dict[key] for name, key in names.items() if connection.settings_dict[key]}


@pytest.mark.django_db
def test_an_archive_that_is_damaged_is_told_and_made_again_while_the_object_is_there(old):
    run, content = old
    place = settings.STORE_DIR / archive.place(hash_of(content[0]))
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(b"PAR1 half of it")
    assert archiving.archive_data(AGE).objects == 1
    place.write_bytes(place.read_bytes()[:-30])
    with pytest.raises(store.SnapshotMissing, match="archive of object"):
        store.make_local(run.snapshot)


@pytest.mark.django_db
def test_the_archive_is_collected_with_the_last_run_that_needs_it(old):
    run, content = old
    archiving.archive_data(AGE)
    place = settings.STORE_DIR / archive.place(hash_of(content[0]))
    make_old(60)
    garbage.collect_garbage(lambda: {run.snapshot})
    assert place.is_file()
    garbage.collect_garbage(set)
    assert not place.exists()


@pytest.mark.django_db
def test_a_report_of_an_old_run_takes_its_factors_out_of_the_archive(own_store):
    months = np.arange("2000-01", "2020-01", dtype="datetime64[M]").astype("datetime64[us]")

    def factors(seed: int) -> dict[str, object]:
        drawn = np.round(np.random.default_rng(seed).normal(0, 0.04, (2, len(months))), 4)
        content = objects.arrow_bytes(months, dict(zip(("mkt_rf", "rf"), drawn, strict=True)))
        about = {"kind": "factors", "interval": "1mo", "columns": ["mkt_rf", "rf"], "rights": "redistribute"}
        return entry("french/1mo/F", "F", content, **about)

    pinned = store.add_series([factors(1)], created_for="fetch").pk
    store.add_series([factors(2)], created_for="fetch")
    make_old(60)
    assert archiving.archive_data(AGE, keep_last=1).objects == 1
    assert [each.interval for each in _factors(pinned)] == ["1mo"]


# Uploaded files ---------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_an_uploaded_file_is_compressed_and_given_back_as_it_was(ada, client, own_store):  # noqa: F811
    sent = b"date;close\n" + b"".join(b"2024-01-%02d;%d,5\n" % (day, day) for day in range(1, 29)) * 50
    path = settings.UPLOADS_DIR / "originals" / hash_of(sent)
    path.parent.mkdir(parents=True)
    path.write_bytes(sent)
    then = time.time() - 2 * 86400
    os.utime(path, (then, then))
    version = datasets.add_version(
        ada,
        "prices",
        filename="prices.csv",
        original_sha256=path.name,
        original_bytes=len(sent),
        original_until=timezone.now() + timedelta(days=20),
        object_sha256=store.put_object(history(1)),
        object_bytes=1,
        rows=2000,
        columns=["close"],
        first=timezone.now(),
        last=timezone.now(),
    )
    done = archiving.archive_data(AGE)
    assert done.originals == 1 and done.bytes_after < len(sent) / 3 and not path.exists()
    client.force_login(ada)
    answer = client.get(f"/data/mine/sets/prices/{version.number}/original")
    assert answer.status_code == 200 and b"".join(answer.streaming_content) == sent

"""From a file in somebody's hands to a dataset that code reads: pages, boxes, quotas, sharing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import django_rq
import numpy as np
import pyarrow as pa
import pytest
import rq
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from qfp import objects
from rq.serializers import JSONSerializer

from marketdata import datasets, store, uploads
from marketdata.datasets import Refusal
from marketdata.exporting import safe_cell
from marketdata.models import Dataset, DatasetVersion, Series, Upload
from tests.factories import make_user
from tests.marketdata.uploading import client_of, keep, send
from tests.marketdata.workbooks import dated, workbook

FIXTURES = Path(__file__).resolve().parent.parent / "data" / "uploads"
CSV = b"Date,Close,Note\n2024-01-02,1.5,=1+1\n2024-01-03,2.5,fine\n2024-01-04,,-3\n"

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice():
    return make_user("alice")


@pytest.fixture
def bob():
    return make_user("bob")


@pytest.fixture
def dataset(alice: Any, engine: Any) -> DatasetVersion:
    return keep(send(alice, CSV, name="gold"))


def stored(version: DatasetVersion) -> dict[str, list[Any]]:
    path = objects.object_path(settings.STORE_DIR, version.object_sha256)
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all().to_pydict()


def ids_of(user: Any) -> list[str]:
    series = Series.objects.filter(snapshot__owner=user, snapshot__is_current=True, series_id__contains="@")
    return sorted(series.values_list("series_id", flat=True))


# From the file to the dataset


def test_german_file_becomes_a_dataset_that_the_owners_next_run_finds(alice, engine):
    upload = send(alice, (FIXTURES / "xetra_german.csv").read_bytes(), "Börse.csv", "xetra")
    assert (upload.status, upload.found["rows"], upload.found["questions"]) == (Upload.Status.ASKING, 30, [])
    assert upload.found["preview"]["rows"][0] == ["2024-01-02", "1300", "1341.34", "1280.5", "1325.09", "100000"]
    version = keep(upload)
    assert stored(version)["close"][0] == 1325.09
    assert (version.rows, version.interval, str(version.first.date())) == (30, "1d", "2024-01-02")
    assert (
        version.object_sha256
        == hashlib.sha256(objects.object_path(settings.STORE_DIR, version.object_sha256).read_bytes()).hexdigest()
    )
    manifest = store.read_manifest(settings.STORE_DIR, store.current_snapshot_id(alice))
    entry = next(entry for entry in manifest["series"] if entry["id"] == "mine/xetra@1")
    assert (entry["aliases"], entry["rights"]) == (["mine/xetra"], "personal")
    assert "mine/xetra@1" not in json.dumps(store.read_manifest(settings.STORE_DIR, store.current_snapshot_id()))
    assert datasets.original_of(version).read_bytes() == (FIXTURES / "xetra_german.csv").read_bytes()


def test_wizard_asks_shows_the_rows_again_and_stores_only_what_was_shown(alice, engine):
    upload = send(alice, (FIXTURES / "ambiguous.csv").read_bytes(), "ambiguous.csv")
    client, page = client_of(alice), f"/data/mine/uploads/{upload.pk}/"
    shown = client.get(page).content.decode()
    assert "Every date fits more than one order" in shown
    assert '<td class="nowrap">01/01/2024</td><td class="number">100.5</td>' in shown
    assert "Store as version" not in shown

    def post(**form: str) -> str:
        client.post(page + "choices", form)
        uploads.process(upload.pk)
        return client.get(page).content.decode()

    shown = post(date_format="%d/%m/%Y", name_1="price", do="keep")
    assert "Store as version 1" in shown  # it was not shown before, so it is not stored yet
    assert '<td class="nowrap">2024-01-01</td><td class="number">100.5</td>' in shown
    shown = post(date_format="%d/%m/%Y", name_1="price", do="keep")
    assert "is stored" in shown
    version = DatasetVersion.objects.get(dataset__owner=alice, dataset__name="ambiguous")
    assert (version.columns, version.reading["date_format"]) == (["price"], "%d/%m/%Y")
    assert [str(day)[:10] for day in stored(version)["date"][8:10]] == ["2024-01-09", "2024-02-01"]
    assert 'action="/new/with-data"' in shown and 'name="s" value="mine/ambiguous"' in shown
    made = client.post("/new/with-data", {"s": "mine/ambiguous"})
    assert 'data.dataset("mine/ambiguous", version=1)' in client.get(made["Location"]).content.decode().replace(
        "&quot;", '"'
    )


def test_other_delimiter_forgets_what_was_found_under_the_old_one(alice, engine):
    upload = send(alice, b"date;a,b\n2024-01-02;1,5\n2024-01-03;2,5\n")
    assert upload.reading["names"] == ["date", "a_b"]
    client_of(alice).post(f"/data/mine/uploads/{upload.pk}/choices", {"delimiter": ",", "name_1": "x", "do": "look"})
    uploads.process(upload.pk)
    upload.refresh_from_db()
    assert upload.found["remarks"][0]["level"] == "stop"  # "2024-01-02;1" is no date
    assert [source["name"] for source in upload.found["sources"]] == ["date;a", "b"]


def test_second_version_is_the_newest_and_the_first_stays_readable(alice, dataset):
    second = keep(send(alice, CSV + b"2024-01-05,4,x\n", name="gold"))
    assert second.number == 2
    assert ids_of(alice) == ["mine/gold@1", "mine/gold@2"]
    manifest = store.read_manifest(settings.STORE_DIR, store.current_snapshot_id(alice))
    aliases = {entry["id"]: entry["aliases"] for entry in manifest["series"] if "@" in entry["id"]}
    assert aliases == {"mine/gold@1": [], "mine/gold@2": ["mine/gold"]}
    again = send(alice, CSV + b"2024-01-05,4,x\n", name="gold")
    assert (again.status, "this very file" in again.problem) == (Upload.Status.REFUSED, True)
    datasets.delete_version(DatasetVersion.objects.get(number=2))
    assert ids_of(alice) == ["mine/gold@1"]
    with pytest.raises(Refusal, match="only version"):
        datasets.delete_version(dataset)


def test_excel_file_is_read_with_its_sheet(alice, engine):
    rows = [["My prices"], ["Date", "Close"], ["02.01.2024", 1.5], ["15.01.2024", 2.5]]
    upload = send(alice, workbook(rows), "prices.xlsx")
    assert (upload.kind, upload.reading["sheet"]) == ("excel", "Prices")
    assert stored(keep(upload))["close"] == [1.5, 2.5]
    table = stored(keep(send(alice, dated([(45293, 1.5), (45294, 2.5)]), "dated.xlsx")))
    assert [str(day)[:10] for day in table["date"]] == ["2024-01-02", "2024-01-03"]


# Receiving


def test_pieces_go_on_where_they_stopped_and_a_changed_file_is_noticed(alice):
    client, content = client_of(alice), CSV * 2
    asked = {"filename": "a.csv", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def begin() -> dict[str, Any]:
        return client.post("/data/mine/uploads", json.dumps(asked), content_type="application/json").json()

    def piece(start: int, body: bytes) -> Any:
        where = f"{begun['pieces']}?offset={start}"
        return client.post(where, body, content_type="application/octet-stream")

    begun = begin()
    assert begun["received"] == 0
    assert piece(0, content[:50]).json() == {"received": 50, "done": False}
    repeated = piece(0, content[:50])
    assert (repeated.status_code, repeated.json()) == (409, {"received": 50})
    assert begin()["received"] == 50  # the page was closed, and the same file chosen again
    assert piece(50, content[50:] + b"more").status_code == 409
    assert piece(50, content[50:-1] + b"X").json()["done"] is True
    upload = Upload.objects.get()
    assert (upload.status, "changed on the way" in upload.problem) == (Upload.Status.REFUSED, True)


def test_another_file_of_the_same_name_and_size_begins_anew_where_no_hash_tells_them_apart(alice):
    first = uploads.append(uploads.begin(alice, name="", filename="a.csv", size=len(CSV)), 0, CSV[:20])
    second = uploads.begin(alice, name="", filename="a.csv", size=len(CSV))
    assert (second.received, Upload.objects.count()) == (0, 1)
    assert not uploads.path_of(first).exists()


@pytest.mark.parametrize("size", ["1e999", "Infinity", "9" * 400, "[" * 100_000])
def test_size_that_is_none_is_refused(alice, size):
    asked = f'{{"filename": "a.csv", "size": {size}}}'
    answer = client_of(alice).post("/data/mine/uploads", asked, content_type="application/json")
    assert answer.status_code == 400


@pytest.mark.parametrize("offset", ["\u00b2", "-1", "1e3", ""])
def test_place_of_a_piece_is_a_number(alice, offset):
    upload = uploads.begin(alice, name="", filename="a.csv", size=len(CSV))
    where = f"/data/mine/uploads/{upload.pk}/pieces?" + urlencode({"offset": offset})
    assert client_of(alice).post(where, CSV, content_type="application/octet-stream").status_code == 413


def test_plain_form_receives_a_whole_file(alice):
    file = SimpleUploadedFile("../../etc/My Prices.csv", CSV)
    answer = client_of(alice).post("/data/mine/", {"file": file, "name": ""})
    upload = Upload.objects.get()
    assert (answer.status_code, answer.url) == (302, f"/data/mine/uploads/{upload.pk}/")
    assert (upload.filename, upload.dataset_name, upload.status) == ("My Prices.csv", "my-prices", "looking")
    assert uploads.path_of(upload).read_bytes() == CSV


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../../../etc/cron.d/x.csv", "x.csv"),
        ("..\\..\\x.csv", "x.csv"),
        ("%2e%2e%2fx.csv", "x.csv"),
        ("a\0b\x1b.csv ", "ab.csv"),
        ("n" * 300 + ".csv", "n" * 96 + ".csv"),
        (".htaccess", "htaccess"),
        ("../", "file"),
    ],
)
def test_only_the_cleaned_base_of_a_name_is_shown(name, shown):
    assert uploads.clean_filename(name) == shown


@pytest.mark.parametrize(
    ("filename", "size", "name", "reason"),
    [
        ("x.pkl", 10, "", "not of a kind"),
        ("x.xlsm", 10, "", "not of a kind"),
        ("x.h5", 10, "", "not of a kind"),
        ("x.csv", 25_000_001, "", "25 MB is the limit"),
        ("x.csv", 0, "", "empty"),
        ("x.csv", 10, "../up", "small letters"),
    ],
)
def test_what_cannot_be_read_is_refused_before_it_is_sent(alice, filename, size, name, reason):
    with pytest.raises(Refusal, match=reason):
        uploads.begin(alice, name=name, filename=filename, size=size)


def test_plan_limits_datasets_versions_and_bytes(alice, dataset):
    alice.plan.max_datasets = 1
    with pytest.raises(Refusal, match="1 datasets, the limit"):
        uploads.begin(alice, name="other", filename="a.csv", size=5)
    alice.plan.dataset_versions = 1
    with pytest.raises(Refusal, match="has 1 versions"):
        uploads.begin(alice, name="gold", filename="a.csv", size=5)
    alice.plan.dataset_mb, alice.plan.max_datasets = 0, 0
    with pytest.raises(Refusal, match="no uploads"):
        uploads.begin(alice, name="gold", filename="a.csv", size=5)


# Who may


def test_nobody_else_sees_an_upload_or_a_private_dataset(alice, bob, dataset):
    upload = Upload.objects.get()
    stranger = client_of(bob)
    for address in (
        f"/data/mine/uploads/{upload.pk}/",
        f"/data/mine/uploads/{upload.pk}/_state",
        "/data/mine/sets/gold/",
        "/data/mine/sets/gold/1/csv",
        "/data/mine/sets/gold/1/original",
        "/data/mine/shared/alice/gold/",
        "/data/mine/shared/alice/gold/1/csv",
    ):
        assert stranger.get(address).status_code == 404, address
    for address in (f"uploads/{upload.pk}/pieces", f"uploads/{upload.pk}/discard", "sets/gold/delete"):
        assert stranger.post(f"/data/mine/{address}").status_code == 404
    assert Client().get("/data/mine/").status_code == 302
    assert b"sets/gold" not in stranger.get("/data/mine/").content


def test_leaving_does_not_tell_whether_a_private_dataset_exists(alice, bob, dataset):
    owner, other = client_of(alice), client_of(bob)
    for name in ("gold", "nonexistent"):
        assert other.post(f"/data/mine/shared/alice/{name}/leave").status_code == 404
    owner.post("/data/mine/sets/gold/describe", {"shared": "on", "may_be_shared": "on"})
    other.post("/data/mine/shared/alice/gold/use")
    assert other.post("/data/mine/shared/alice/gold/leave").status_code == 302
    assert ids_of(bob) == []


def test_nul_in_a_form_is_left_out(alice, dataset):
    client = client_of(alice)
    client.post("/data/mine/sets/gold/describe", {"title": "Go\0ld", "source": "\0"})
    dataset.dataset.refresh_from_db()
    assert (dataset.dataset.title, dataset.dataset.source) == ("Gold", "")
    upload = send(alice, CSV + b"2024-01-05,4,x\n", name="silver")
    client.post(f"/data/mine/uploads/{upload.pk}/choices", {"name_1": "pri\0ce", "zone": "\0", "do": "look"})
    upload.refresh_from_db()
    assert (upload.reading["names"][1], upload.reading["zone"]) == ("price", "")


def test_sharing_needs_the_owners_word_and_ends_for_everybody(alice, bob, dataset):
    owner, other = client_of(alice), client_of(bob)
    refused = owner.post("/data/mine/sets/gold/describe", {"shared": "on"})
    assert (refused.status_code, b"yours to give" in refused.content) == (422, True)
    owner.post("/data/mine/sets/gold/describe", {"shared": "on", "may_be_shared": "on", "title": "Gold"})
    assert b"alice/gold" in Client().get("/data/mine/shared/").content
    other.post("/data/mine/shared/alice/gold/use")
    assert ids_of(bob) == ["alice/gold@1"]
    manifest = store.read_manifest(settings.STORE_DIR, store.current_snapshot_id(bob))
    entry = next(entry for entry in manifest["series"] if entry["id"] == "alice/gold@1")
    assert (entry["aliases"], entry["rights"]) == (["alice/gold"], "own")
    keep(send(alice, CSV + b"2024-01-05,4,x\n", name="gold"))
    assert ids_of(bob) == ["alice/gold@1", "alice/gold@2"]
    owner.post("/data/mine/sets/gold/describe", {"may_be_shared": "on"})
    assert ids_of(bob) == []
    assert Client().get("/data/mine/shared/alice/gold/").status_code == 404


def test_what_is_shared_stays_with_its_readers_when_its_owner_takes_another_name(alice, bob, dataset):
    datasets.describe(dataset.dataset, title="", source="", may_be_shared=True, shared=True)
    datasets.use(bob, dataset.dataset)
    alice.username = "alice2"
    alice.save()
    uploads.sweep_uploads()
    assert ids_of(bob) == ["alice/gold@1"]


def test_what_an_account_that_is_gone_had_shared_is_taken_from_everybody(alice, bob, dataset):
    datasets.describe(dataset.dataset, title="", source="", may_be_shared=True, shared=True)
    datasets.use(bob, dataset.dataset)
    alice.delete()
    uploads.sweep_uploads()
    assert ids_of(bob) == []


def version_of(user: Any, close: float) -> DatasetVersion:
    """A version of mine/gold with one row, as if it had been uploaded."""
    content = objects.arrow_bytes(np.array(["2024-01-02"], "datetime64[us]"), {"close": np.array([close])})
    values = {"filename": "gold.csv", "original_sha256": "0" * 64, "original_bytes": 1, "rows": 1, "columns": ["close"]}
    values |= dict.fromkeys(("first", "last"), datetime(2024, 1, 2, tzinfo=UTC))
    digest = store.put_object(content)
    return datasets.add_version(user, "gold", object_sha256=digest, object_bytes=len(content), **values)


def test_the_number_of_a_version_that_was_deleted_is_not_given_again(alice):
    version_of(alice, 1.5)
    datasets.delete_version(version_of(alice, 2.5))
    assert uploads.next_number(alice, "gold") == 3
    assert version_of(alice, 3.5).number == 3


def read_as_mine_gold(user: Any) -> set[str]:
    current = Series.objects.filter(snapshot__owner=user, snapshot__is_current=True)
    return set(current.filter(series_id__startswith="mine/gold@").values_list("object_sha256", flat=True))


def test_an_account_called_mine_changes_nothing_of_what_others_have(alice):
    """The name is kept back; an account may be older than that, or made by hand."""
    own = version_of(alice, 1.5)
    other = version_of(make_user("mine"), 9.5)
    assert read_as_mine_gold(alice) == {own.object_sha256}
    datasets.describe(other.dataset, title="", source="", may_be_shared=True, shared=True)
    with pytest.raises(Refusal):
        datasets.use(alice, other.dataset)
    client_of(alice).post("/data/mine/shared/mine/gold/leave")
    datasets.delete_for_good(other.dataset)
    assert read_as_mine_gold(alice) == {own.object_sha256}


@pytest.mark.parametrize("action", ["describe", "delete", "bring-back", "delete-for-good"])
def test_dataset_that_went_meanwhile_is_not_found(alice, dataset, monkeypatch, action):
    found = Dataset.objects.select_related("owner__plan").get()
    Dataset.objects.all().delete()
    monkeypatch.setattr("marketdata.upload_views._own", lambda request, name: found)
    assert client_of(alice).post(f"/data/mine/sets/gold/{action}").status_code == 404


def test_deleted_dataset_is_not_found_by_code_and_comes_back(alice, dataset):
    client = client_of(alice)
    client.post("/data/mine/sets/gold/delete")
    assert ids_of(alice) == []
    with pytest.raises(Refusal, match="Bring it back first"):
        uploads.begin(alice, name="gold", filename="a.csv", size=5)
    assert b"Bring back" in client.get("/data/mine/").content
    client.post("/data/mine/sets/gold/bring-back")
    assert ids_of(alice) == ["mine/gold@1"]
    client.post("/data/mine/sets/gold/delete")
    Dataset.objects.update(deleted=timezone.now() - timedelta(days=31))
    uploads.sweep_uploads()
    assert not Dataset.objects.exists()


# Leaving


def test_csv_holds_no_cell_that_a_spreadsheet_would_calculate(alice, dataset):
    answer = client_of(alice).get("/data/mine/sets/gold/1/csv")
    assert answer["Content-Disposition"] == 'attachment; filename="gold-1.csv"'
    assert b"".join(answer).decode().split("\r\n") == [
        "date,close,note",
        "2024-01-02,1.5,'=1+1",
        "2024-01-03,2.5,fine",
        "2024-01-04,,-3",
        "",
    ]
    for cell in ("=A1", "+A1", "-A1", "@SUM(A1)", "\tx", "\rx", " =A1", "＝A1", "-1+cmd|' /C calc'!A0", "\ufeff=A1"):
        assert safe_cell(cell) == "'" + cell
    assert [safe_cell(cell) for cell in ("-3", "+1.5e3", "a=b", "a;b", "")] == ["-3", "+1.5e3", "a=b", "a;b", ""]
    # Opened where lists are separated by semicolons, the cell is cut there.
    assert safe_cell("a; =1+1") == "a; '=1+1"


def test_original_is_a_download_for_thirty_days(alice, dataset):
    client = client_of(alice)
    answer = client.get("/data/mine/sets/gold/1/original")
    assert b"".join(answer) == CSV
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"].startswith("attachment")
    left = dataset.original_until - timezone.now()
    assert timedelta(days=29) < left < timedelta(days=31)
    DatasetVersion.objects.update(original_until=timezone.now() - timedelta(seconds=1))
    assert client.get("/data/mine/sets/gold/1/original").status_code == 404


def test_catalogue_pages_know_the_dataset(alice, bob, dataset):
    client = client_of(alice)
    assert b"mine/gold" in client.get("/data/", {"q": "gold"}).content
    assert client.get("/data/instruments/mine/gold@1").status_code == 200
    assert client_of(bob).get("/data/instruments/mine/gold@1").status_code == 404


# House-keeping


def test_sweeper_sends_lost_work_again_and_forgets_what_nobody_finished(
    alice, django_capture_on_commit_callbacks: Callable[..., Any]
):
    lost = uploads.begin(alice, name="a", filename="a.csv", size=5)
    waiting = uploads.begin(alice, name="b", filename="b.csv", size=5)
    old = timezone.now() - timedelta(days=2)
    Upload.objects.filter(pk=lost.pk).update(status=Upload.Status.LOOKING, changed=old)
    Upload.objects.filter(pk=waiting.pk).update(changed=old)
    queue = rq.Queue("uploads", connection=django_rq.get_connection("uploads"), serializer=JSONSerializer)
    job = queue.enqueue("marketdata.uploads.process", str(lost.pk))
    assert uploads.send_lost_again() == 0, "it waits for its turn"
    job.delete()
    with django_capture_on_commit_callbacks() as callbacks:
        assert uploads.sweep_uploads() == 1
    assert len(callbacks) == 1
    assert list(Upload.objects.values_list("pk", flat=True)) == [lost.pk]
    for _ in range(uploads.MOST_ATTEMPTS):
        Upload.objects.filter(pk=lost.pk).update(changed=old)
        uploads.sweep_uploads()
    lost.refresh_from_db()
    assert (lost.status, "again and again" in lost.problem) == (Upload.Status.REFUSED, True)
    assert not uploads.path_of(waiting).exists()


def test_engine_that_is_away_refuses_no_file(alice, tmp_path):
    upload = uploads.begin(alice, name="", filename="a.csv", size=len(CSV))
    uploads.append(upload, 0, CSV)
    usual, settings.ENGINE_SOCKET = settings.ENGINE_SOCKET, tmp_path / "nobody.sock"
    try:
        uploads.process(upload.pk)
    finally:
        settings.ENGINE_SOCKET = usual
    assert Upload.objects.get().status == Upload.Status.LOOKING
    assert Upload.objects.get().changed < timezone.now() - uploads.LOST_AFTER  # the next sweep sends it again

"""Files that are made to do harm, and answers of a box that are: refused with the reason, within bounds."""

from __future__ import annotations

import io
import json
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from marketdata import uploads
from marketdata.boxed_reading import NotRead, Reading, arrow_object, checked_found
from marketdata.models import Upload
from tests.factories import make_user
from tests.marketdata.uploading import send
from tests.marketdata.workbooks import bomb, workbook

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice():
    return make_user("alice")


def parquet_bomb() -> bytes:
    zeros = pa.chunked_array([pa.array(np.zeros(1_000_000, np.int8))] * 150)
    content = io.BytesIO()
    pq.write_table(pa.table({"date": zeros, "close": zeros}), content)
    return content.getvalue()


DOCTYPE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><worksheet>&a;</worksheet>'


@pytest.mark.parametrize(
    ("make", "filename", "reason"),
    [
        (bomb, "bomb.xlsx", "fold when it is unpacked"),
        (parquet_bomb, "bomb.parquet", "150\u202f000\u202f000 rows; 5\u202f000\u202f000 is the limit"),
        (lambda: workbook([], sheet=DOCTYPE), "xxe.xlsx", "declares XML entities"),
        (lambda: workbook([["a"]], {"xl/vbaProject.bin": "x"}), "macro.xlsx", "holds macros"),
        (lambda: workbook([["a"]], {"xl/externalLinks/externalLink1.xml": "<x/>"}), "link.xlsx", "other files"),
        (lambda: b"PAR1" + b"\x00" * 20 + b"\xff\xff\xff\x7fPAR1", "footer.parquet", "footer cannot be read"),
        (lambda: b"\x80\x04cos\nsystem\n(S'id'\ntR.", "pickle.csv", "pickle"),
        (lambda: b",".join(b"c%d" % n for n in range(1_000_000)), "wide.csv", "200 is the limit"),
        (lambda: b"date,close\n" + b"1,2\n" * 5_000_001, "rows.csv", "5\u202f000\u202f000 is the limit"),
        (lambda: b"\xd0\xcf\x11\xe0" + b"\0" * 600, "secret.xlsx", "password"),
    ],
)
def test_hostile_file_is_refused_with_the_reason_and_its_bytes_go(alice, engine, make, filename, reason):
    content = make()
    upload = send(alice, content, filename)
    assert (upload.status, reason in upload.problem) == (Upload.Status.REFUSED, True), upload.problem
    assert not uploads.path_of(upload).exists()


def test_bombs_are_small_and_refused_within_the_processor_time_of_two_seconds(alice, engine):
    # Processor time of the box, not of a machine that may be busy with other tests.
    seen: list[float] = []
    for content, filename in ((bomb(), "bomb.xlsx"), (parquet_bomb(), "bomb.parquet")):
        assert len(content) < {"bomb.xlsx": 15_000, "bomb.parquet": 1_100_000}[filename]
        upload = uploads.begin(alice, name="", filename=filename, size=len(content))
        for start in range(0, len(content), uploads.PIECE_BYTES):
            upload = uploads.append(upload, start, content[start : start + uploads.PIECE_BYTES])
        began = time.process_time()
        uploads.process(upload.pk)
        seen.append(time.process_time() - began)
        assert Upload.objects.get(pk=upload.pk).status == Upload.Status.REFUSED
    assert max(seen) < 0.5  # this process only moved bytes


def test_what_a_box_says_is_cut_to_what_pages_and_rows_expect():
    with pytest.raises(NotRead, match="no answer"):
        checked_found(b"[1, 2")
    with pytest.raises(NotRead, match="no answer"):
        checked_found(b'{"a": "' + b"x" * 3_000_000 + b'"}')
    with pytest.raises(NotRead, match="because"):
        checked_found(b'{"refused": "because"}')
    found = checked_found(
        json.dumps(
            {
                "rows": -1,
                "questions": "no",
                "remarks": [{"level": "<b>", "text": "a\0b" * 1000, "rows": [1, "2", None], "count": 10**20}],
                "columns": [{"name": ["x"], "holds": {}}] * 500,
                "preview": {"rows": [[1e308, None]] * 99},
                "choices": {"names": [3, {}]},
                "surprise": "x" * 1000,
            }
        ).encode()
    )
    assert "surprise" not in found
    assert (found["rows"], found["questions"], len(found["columns"])) == (0, [], 200)
    assert len(found["remarks"][0]["text"]) == 400
    assert found["remarks"][0] | {"text": ""} == {"level": "note", "kind": "", "text": "", "rows": [1], "count": 0}


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"0.numbers": b"\0" * 16, "1.numbers": b"\0" * 8},
        {"0.numbers": np.array([2, 1], "<i8").tobytes(), "1.numbers": b"\0" * 16},
        {"0.numbers": b"\0" * 16, "1.numbers": np.array([np.inf, 1], "<f8").tobytes()},
    ],
)
def test_columns_that_are_not_as_announced_are_not_stored(files):
    with pytest.raises(NotRead, match="not what was announced"):
        arrow_object(Reading({"rows": 2, "columns": [{"name": "close", "holds": "number"}]}, files))


def test_texts_that_are_not_as_announced_are_not_stored():
    found = {"rows": 2, "columns": [{"name": "note", "holds": "text"}]}
    dates = np.array([1, 2], "<i8").tobytes()
    for ends, body in (([1, 5], b"ab"), ([2, 1], b"a"), ([1, 2], b"\xff\xfe")):
        files = {"0.numbers": dates, "1.ends": np.array(ends, "<i4").tobytes(), "1.text": body}
        with pytest.raises(NotRead):
            arrow_object(Reading(found, files))

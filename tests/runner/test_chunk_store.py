"""What boxes send each other lies below the run's directory, within limits, and no longer than the run goes on."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from runner import chunk_store, chunks, parallel
from runner.chunk_store import folder_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("services")]


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_what_is_sent_is_stored_and_never_unpickled(fanout, tmp_path):
    mark = tmp_path / "unpickled"
    hostile = b"cposix\nsystem\n(S'touch " + str(mark).encode() + b"'\ntR."
    call = fanout.answer({"do": "open", "function": text(hostile)})["call"]
    assert fanout.answer({"do": "add", "call": call, "number": 0, "items": text(hostile)}) == {}
    stored = list(folder_of(fanout.run.pk).iterdir())
    assert [path.read_bytes() for path in stored] == [hostile] and not mark.exists()
    fanout.close()
    with pytest.raises(chunk_store.NotPossible, match="has ended"):
        fanout.storage.put(text(b"late"))  # of a box that has not heard of it yet
    assert not folder_of(fanout.run.pk).exists()


def test_stored_bytes_and_open_calls_are_limited(fanout, monkeypatch):
    monkeypatch.setattr(chunk_store, "MAX_STORED_BYTES", 100)
    calls = [fanout.answer({"do": "open", "function": text(b"x")}) for _ in range(parallel.MAX_OPEN_CALLS + 1)]
    assert "error" in calls[-1] and all("call" in call for call in calls[:-1])
    refused = fanout.answer({"do": "add", "call": calls[0]["call"], "number": 0, "items": text(b"x" * 101)})
    assert "limited to" in refused["error"]


def test_pickle_is_not_even_imported_by_the_host():
    for module in (parallel, chunks, chunk_store):
        source = Path(module.__file__).read_text()
        assert "import pickle" not in source and "cloudpickle" not in source

"""A cell has a series fetched: the cells after it read that, too, and their records say so."""

from __future__ import annotations

import time

import pytest

from runner.models import Run, Session
from runner.recording import Recording
from tests.factories import make_project
from tests.providers.answers import GOOD
from tests.providers.histories import history

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("worker", "fetcher")]

FILE = """# %% Fetches
from qfp import data
print(len(data.prices("NEWCO")))

# %% Reads
print(data.prices("NEWCO", adjust=None)["close"].iloc[-1], data.snapshot())
"""


def printed(run: Run) -> str:
    return "".join(event["text"] for event in Recording(run.pk).read() if event["type"] in ("stdout", "stderr"))


def test_later_cells_of_a_session_read_what_an_earlier_one_fetched(engine, alice, give_key, stand_ins, client):
    give_key(alice, "tiingo", GOOD)
    project = make_project(owner=alice, source=FILE)
    client.force_login(alice, backend="accounts.backends.AccountBackend")
    client.post(f"{project.base_url}/session/cells", {"what": "all", "line": 1}, headers={"accept": "application/json"})
    deadline = time.monotonic() + 120
    while Run.objects.in_progress().exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    first, second = Run.objects.order_by("queued")
    try:
        assert (first.status, second.status) == ("succeeded", "succeeded"), printed(first) + printed(second)
        assert printed(first) == "400\n"
        assert printed(second) == f"{history('NEWCO').close[-1]} {second.snapshot}\n"
        assert first.snapshot == second.snapshot == Session.objects.get().snapshot
        assert second.manifest["data"]["snapshot"] == second.snapshot
    finally:
        for each in engine.sessions():
            engine.close_session(each["id"], each["owner"])

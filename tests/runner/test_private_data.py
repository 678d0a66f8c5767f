"""Data that is for one person alone goes into no page, event or file that others get of a public run."""

from __future__ import annotations

import asyncio
import json
import os
import time
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.test import Client
from qfp import objects

from marketdata import archiving, store
from marketdata.models import Snapshot
from runner import private
from runner.access import Viewer
from runner.consumers import RunConsumer
from runner.execution import execute_next
from runner.models import Artefact, Project, Run
from runner.recording import Recording
from runner.starting import run_again, start_run
from tests.factories import make_project, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("services", "engine")]

CLOSES = 173.25 + np.arange(40.0) % 7
SOURCE = """
from qfp import backtest, data, param, show
from qfp.backtesting import Strategy


class EveryOther(Strategy):
    def init(self):
        pass

    def next(self):
        self.position.close() if self.position else self.buy()


bars = data.prices("VEND")
first = str(bars.close.iloc[0])
param("leak", first, label="first " + first)
EveryOther.__name__ = "EveryOther after " + first
show(backtest(EveryOther, bars, cash=100_000))
show(backtest(EveryOther, bars.assign(close=bars.close.iloc[0]), cash=10_000))
print("the first close was", bars.close.iloc[0])
open("rows.csv", "w").write(bars.to_csv())
"""


@pytest.fixture
def ada():
    user = make_user("ada")
    dates = np.arange("2024-01-01", "2024-02-10", dtype="datetime64[D]")
    columns = dict.fromkeys(("open", "high", "low", "close"), CLOSES) | {"volume": np.full(40, 1000.0)}
    store.add_series([vendors(objects.arrow_bytes(dates, columns))], user=user, created_for="fetch")
    return user


def vendors(content: bytes) -> dict[str, Any]:
    return {
        "id": "tiingo/1d/VEND",
        "symbol": "VEND",
        "name": "from a vendor",
        "kind": "equity",
        "interval": "1d",
        "adjustment": "raw",
        "licence": "the vendor's terms",
        "source": "a vendor",
        "rights": "personal",
        "columns": ["open", "high", "low", "close", "volume"],
        "rows": 40,
        "first": "2024-01-01",
        "last": "2024-02-09",
        "object": store.put_object(content),
    }


def ran(user: Any, source: str) -> Run:
    project = make_project(user, source=source, visibility=Project.Visibility.PUBLIC)
    run = start_run(project, Viewer(user), files={"main.py": source})
    execute_next()
    run.refresh_from_db()
    return run


def seen_by(client: Client, run: Run) -> dict[str, str]:
    """All that a browser can get of a run."""
    addresses = [
        run.get_absolute_url(),
        run.events_url,
        run.project.base_url,
        f"/r/{run.pk}/manifest.json",
        *(f"{backtest.get_absolute_url()}{rest}" for backtest in run.backtests.all() for rest in ("", "/report.html")),
        "/explore",
        *(artefact.get_absolute_url() for artefact in Artefact.objects.filter(run=run)),
    ]
    answers = [(address, client.get(address)) for address in addresses]
    return {address: b"".join(answer).decode() if answer.status_code == 200 else "" for address, answer in answers} | {
        "socket": json.dumps(heard(client, run))
    }


def heard(client: Client, run: Run) -> list[dict[str, Any]]:
    """What the socket of a run says to this browser."""
    user = getattr(client, "user", None)
    said: list[dict[str, Any]] = []
    scope = {"type": "websocket", "url_route": {"kwargs": {"run": str(run.pk)}}, "query_string": b"", "user": user}

    async def listen() -> None:
        inbox: asyncio.Queue = asyncio.Queue()
        inbox.put_nowait({"type": "websocket.connect"})
        ended = asyncio.Event()

        async def send(message: dict) -> None:
            said.extend(json.loads(message.get("text") or "{}").get("events", []))
            if message["type"] == "websocket.close":
                ended.set()
                inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})

        served = asyncio.create_task(RunConsumer.as_asgi()(scope, inbox.get, send))
        await asyncio.wait_for(ended.wait(), 20)
        await asyncio.wait_for(served, 20)

    async_to_sync(listen)()
    return said


def test_others_see_figures_of_a_run_on_private_data_and_none_of_its_rows(ada):
    run = ran(ada, SOURCE)
    assert run.status == Run.Status.SUCCEEDED, Recording(run.pk).read()
    assert run.manifest["data"]["snapshot"] == run.snapshot
    assert run.manifest["data"]["private"] == ["tiingo/1d/VEND"]
    visitor, owner = Client(), Client()
    owner.force_login(ada)
    owner.user = ada

    rows = f"{CLOSES[0]:g}"
    theirs, own = seen_by(visitor, run), seen_by(owner, run)
    assert [address for address, text in theirs.items() if rows in text] == []
    assert {"socket", run.events_url} <= {address for address, text in own.items() if rows in text}
    assert sum("date,open" in text and rows in text for text in own.values()) >= 1, "its owner gets the file"
    shown = [event for event in json.loads(theirs["socket"]) if event["type"] == "backtest"]
    assert len(shown) == 1 and shown[0]["figures"] and set(shown[0]["chart"]) == {"dates", "equity", "drawdown"}
    assert not shown[0]["trades"]["rows"] and shown[0]["trades"]["total"] > 5
    assert shown[0]["strategy"] == "Backtest" and not shown[0]["params"]
    assert "for its owner alone" in theirs[run.get_absolute_url()] and "EveryOther" in theirs[run.get_absolute_url()]
    assert "tiingo/1d/VEND" in own[run.get_absolute_url()] and "for you alone" in own[run.get_absolute_url()]
    assert run.snapshot in theirs[f"/r/{run.pk}/manifest.json"]


def test_minutes_count_when_they_are_read_and_bars_from_the_archive_are_the_same(ada):
    minutes = np.datetime64("2024-01-02T14:30", "m") + np.arange(390)
    made = store.put_bars("1m", minutes, {"close": 100 + np.arange(390) / 7})
    fine = {"id": "tiingo/1m/VEND", "interval": "1m", "zone": "America/New_York", "columns": ["close"], "object": made}
    content = objects.arrow_bytes(np.arange(2000).astype("M8[D]"), {"close": 100 + np.arange(2000) % 9})
    long = vendors(content) | {"id": "tiingo/1d/LONG", "symbol": "LONG", "columns": ["close"]}
    store.add_series([long, long | {"symbol": "VEND"} | fine], user=ada, created_for="fetch")
    source = (
        "from qfp import data\n"
        "bars = data.prices('VEND', '2024-01-02', '2024-01-02', interval='1m', fields=['close'])\n"
        "print(len(bars), bars.close.sum().hex())\n"
    )
    run = ran(ada, source)
    assert run.manifest["data"]["private"] == ["tiingo/1m/VEND"], Recording(run.pk).read()
    assert f"390 {float((100 + np.arange(390) / 7).sum()).hex()}" in json.dumps(Recording(run.pk).read())

    days = ran(ada, "from qfp import data\nprint(data.prices('LONG').close.sum().hex())\n")
    store.remove_series(["tiingo/1d/LONG"], user=ada)
    long_ago = time.time() - 90 * 86400
    bars = objects.object_path(settings.STORE_DIR, long["object"])
    folders = [store.snapshot_folder(settings.STORE_DIR, each.pk) for each in Snapshot.objects.filter(owner=ada)]
    for path in (bars, *(folder / "manifest.json" for folder in folders)):
        os.utime(path, (long_ago, long_ago))
    archiving.archive_data(timedelta(days=30))
    assert not bars.exists() and len(folders) == 3
    again = run_again(days, Viewer(ada), snapshot=days.snapshot)
    execute_next()
    told = [[event for event in Recording(each.pk).read() if event["type"] == "stdout"] for each in (days, again)]
    assert told[0][0]["text"] == told[1][0]["text"] and bars.exists()


def test_whoever_takes_the_code_over_gets_none_of_the_bytes(ada):
    source = "from qfp import data\nprint(data.prices('VEND').close.iloc[0])\n"
    ours, theirs = ran(ada, source), ran(make_user("ben"), source)
    assert ours.status == Run.Status.SUCCEEDED and theirs.status == Run.Status.FAILED
    assert ours.snapshot != theirs.snapshot and "no series 'VEND'" in theirs.message
    assert Client().get("/data/bars/VEND").status_code == 404


def test_an_error_that_quotes_private_data_is_told_to_its_owner_alone(ada):
    run = ran(ada, "from qfp import data\nraise ValueError(data.prices('VEND').close.iloc[0])\n")
    assert run.status == Run.Status.FAILED and "173.25" in run.message
    addresses = run.get_absolute_url(), run.events_url, f"/r/{run.pk}/_status"
    for address in addresses:
        page = Client().get(address).content.decode()
        assert "173.25" not in page and "error may quote" in page, address


def test_a_run_that_could_read_private_data_and_did_not_is_shown_once_it_has_ended(ada):
    run = ran(ada, "from qfp import data\nprint('last close', data.prices('IBM').close.iloc[-1])\n")
    assert run.manifest["data"]["private"] == []
    # Where the engine cannot say what was opened, it counts as all of them.
    assert private.opened_series(run.snapshot, {"snapshot": run.snapshot, "opened": []}) == set()
    assert private.opened_series(run.snapshot, {"snapshot": run.snapshot, "opened": None}) == {"tiingo/1d/VEND"}
    events = Client().get(run.events_url).json()
    assert events["withheld"] == "" and "last close" in json.dumps(events)
    Run.objects.filter(pk=run.pk).update(manifest={}, status=Run.Status.RUNNING, finished=None)
    events = Client().get(run.events_url).json()
    assert "may read" in events["withheld"] and "last close" not in json.dumps(events)


def test_a_backtest_over_shares_of_unknown_choice_says_so_on_every_page(ada):
    run = ran(ada, SOURCE)
    for address in (run.get_absolute_url(), run.project.base_url):
        page = Client().get(address).content.decode()
        assert "unknown how it was chosen: VEND" in page, address
    sent = [event for event in Recording(run.pk).read() if event["type"] == "backtest"]
    assert "Survivorship not controlled" in sent[0]["survivorship"]


PAST_THE_SDK = {
    "a process of its own": """
import subprocess, sys
code = "from qfp import data; print(data.prices('VEND').close.iloc[0])"
print(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout)
""",
    "the file itself": """
import json, pyarrow as pa
entries = json.load(open("/data/manifest.json"))["series"]
name = next(entry["object"] for entry in entries if entry["symbol"] == "VEND")
print(pa.ipc.open_file(open(f"/data/objects/{name}.arrow", "rb")).read_all()["close"][0])
""",
    "nothing told to the site": """
from qfp import channel, data
channel.emit = lambda *given, **named: True
print(data.prices("VEND").close.iloc[0])
""",
}


def test_private_data_is_known_to_be_read_whichever_way_a_program_takes_and_whatever_it_says(ada):
    for way, source in PAST_THE_SDK.items():
        run = ran(ada, source)
        assert "173.25" in json.dumps(Recording(run.pk).read()), way
        assert run.manifest["data"]["private"] == ["tiingo/1d/VEND"], way
        assert "173.25" not in "".join(seen_by(Client(), run).values()), way
    run = ran(ada, 'import os\nos.write(1024, b\'{"type":"read","series":"a\\\\u0000b"}\\n\')\nprint("plain")\n')
    assert run.status == Run.Status.SUCCEEDED and run.manifest["data"]["private"] == []


def test_a_file_that_may_be_shared_is_known_to_be_read_as_well(ada):
    days = np.arange("2024-01-01", "2024-02-10", dtype="datetime64[D]")
    named = {"id": "mine/mood@1", "symbol": "mine/mood@1", "kind": "dataset", "rights": "own"}
    store.add_series(
        [vendors(objects.arrow_bytes(days, {"close": CLOSES + 1})) | named], user=ada, created_for="upload"
    )
    told = [
        ran(ada, PAST_THE_SDK["the file itself"].replace('"VEND"', f'"{symbol}"')).manifest["data"]
        for symbol in ("mine/mood@1", "VEND")
    ]
    assert [(data["private"], data["brought"]) for data in told] == [([], ["mine/mood@1"]), (["tiingo/1d/VEND"], [])]

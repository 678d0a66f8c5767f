"""A program asks for a series its snapshot lacks: whose key fetches it, what a re-run reads, what is refused."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
import uuid

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from marketdata import store
from marketdata.broker import GIVEN_BYTES, MAX_QUESTIONS, Broker
from marketdata.models import CredentialUse, Fetch
from runner.execution import execute_next
from runner.models import Run
from runner.recording import Recording
from tests.factories import make_finished_run, make_project, make_run, make_user
from tests.marketdata.fetches import fetch_now
from tests.providers.answers import GOOD, Reply
from tests.providers.histories import history

pytestmark = pytest.mark.django_db(transaction=True)

TIINGO = "api.tiingo.com"
READS = """
import hashlib
from qfp import data

before = data.snapshot()
bars = data.prices("newco", adjust=None)
print("close", bars["close"].iloc[-1], len(bars), before == data.snapshot())
print("hash", hashlib.sha256(bars.to_csv().encode()).hexdigest())
print("splits", data.actions("NEWCO")["split"].max(), data.panel(["NEWCO", "AAPL"]).shape)
print("snapshot", data.snapshot())
"""
LOOKS_EVERYWHERE = """
import os
from qfp import channel, data

answers, ask = [], channel.ask
channel.ask = lambda *given, **named: answers.append(ask(*given, **named)) or answers[-1]
data.prices("NEWCO")
needle = "".join(reversed("TURNED")).encode()
places = [repr(answers).encode(), repr(dict(os.environ)).encode(), repr(data.info("NEWCO")).encode()]
paths = [f"/proc/{who}/{what}" for who in ("self", "1", os.getppid()) for what in ("environ", "cmdline", "mem", "maps")]
for root, folders, files in os.walk("/"):
    usual = ("/usr", "/lib", "/lib64", "/proc", "/sys")
    folders[:] = [name for name in folders if os.path.join(root, name) not in usual]
    paths += [os.path.join(root, name) for name in files]
for path in paths:
    try:
        with open(path, "rb") as file:
            places.append(file.read(20_000_000))
    except (OSError, ValueError):
        continue
print(len(answers) > 2, len(places) > 10, sum(needle in place for place in places))
"""
TESTS_A_STRATEGY = """
from qfp import backtest, data
from qfp.backtesting import Strategy

class Hold(Strategy):
    def init(self): pass
    def next(self):
        if not self.position:
            self.buy()

old = data.prices("IBM")
bars = data.prices("NEWCO")
backtest(Hold, bars, cash=10_000)
backtest(Hold, old, cash=10_000)
"""
FORGES = """
from qfp import channel, data

def asked(body):
    try:
        answer = channel.ask("data", body)
    except channel.Unanswered as reason:
        return "refused"
    return answer["problem"]["kind"] if "problem" in answer else "given"

kinds = [asked({"do": "want", "name": name, "what": "prices", "interval": "1d", "user": 1, "run": "x"})
         for name in ["../../etc/passwd", "x" * 5000, 7, None, {"a": 1}, "A\\0B", "AB", "NEWCO?token=1", "\\ud800"]]
print(sorted(set(kinds)))
print(sorted({asked({"do": "look", "want": number}) for number in (-1, 0, 99, True, None, "0", 1e9)}))
print(sorted({asked({"do": "read", "object": name, "from": 0}) for name in ("DIGEST", "../x", None, ["a"], {})}))
print(sorted({asked(body) for body in ({}, {"do": "delete"}, {"do": ["want"]})}))
print([asked({"do": "want", "name": f"ZZ{number}", "what": "prices", "interval": "1d"}) for number in range(600)][-1])
try:
    data.prices("NEWCO")
except data.QuotaExceeded as problem:
    print("QuotaExceeded")
"""


def start(user, source: str, **values) -> Run:
    return make_run(
        make_project(owner=user, source=source),
        **{"snapshot": store.current_snapshot_id(user), **values},
    )


def finished(run: Run) -> tuple[Run, str]:
    execute_next()
    run.refresh_from_db()
    events = list(Recording(run.pk).read())
    text = "".join(event["text"] for event in events if event["type"] in ("stdout", "stderr", "notice"))
    return run, text + (run.message if run.status == Run.Status.CRASHED else "")


@pytest.fixture
def with_key(alice, give_key, stand_ins, fetcher):
    give_key(alice, "tiingo", GOOD)
    return alice


def test_a_series_the_snapshot_lacks_is_fetched_and_the_run_read_again_without_any_provider(
    engine, with_key, stand_ins
):
    pinned = store.current_snapshot_id(with_key)
    run, text = finished(start(with_key, READS))
    assert run.status == Run.Status.SUCCEEDED, text
    assert f"close {history('NEWCO').close[-1]} 400 False" in text and "splits 2.0" in text
    assert "NEWCO is not in the snapshot: asks Tiingo." in text
    assert run.snapshot != pinned and f"snapshot {run.snapshot}" in text
    assert run.manifest["data"]["snapshot"] == run.snapshot
    assert CredentialUse.objects.get().run == run.pk and len(stand_ins.requests_to(TIINGO)) <= 2
    before = {entry["id"]: entry for entry in store.read_manifest(settings.STORE_DIR, pinned)["series"]}
    after = {entry["id"]: entry for entry in store.read_manifest(settings.STORE_DIR, run.snapshot)["series"]}
    assert set(after) - set(before) == {"tiingo/1d/NEWCO"} and {name: after[name] for name in before} == before

    stand_ins.asked.clear()
    stand_ins.always[TIINGO] = lambda: Reply(503, "")
    again, same = finished(start(with_key, READS, snapshot=run.snapshot))
    assert again.status == Run.Status.SUCCEEDED and not stand_ins.asked
    lines = [line for line in text.splitlines() if line.startswith(("hash", "splits", "snapshot"))]
    assert len(lines) == 3 and all(line in same for line in lines)
    assert again.snapshot == run.snapshot


def test_backtests_over_bars_from_before_and_after_a_fetch_are_verified(engine, with_key):
    run, text = finished(start(with_key, TESTS_A_STRATEGY))
    assert [each.verified for each in run.backtests.all()] == [True, True], text


def test_nothing_that_a_program_is_given_holds_the_key(engine, with_key):
    _, text = finished(start(with_key, LOOKS_EVERYWHERE.replace("TURNED", GOOD[::-1])))
    assert "True True 0" in text, text


def test_without_a_key_the_error_says_where_to_connect_one(engine, alice, stand_ins):
    source = (
        "from qfp import data\ntry:\n    data.prices('APPL')\n"
        "except data.UnknownSymbol as problem:\n    print(problem.nearest, problem)"
    )
    _, text = finished(start(alice, source))
    assert "/data/keys/" in text and "'AAPL'" in text and "sign in" not in text, text
    assert not Fetch.objects.exists() and not stand_ins.asked


def test_a_name_that_the_provider_does_not_know_is_told_with_its_nearest(engine, with_key):
    source = (
        "from qfp import data\ntry:\n    data.prices('AAPLX')\n"
        "except data.UnknownSymbol as problem:\n    print('nearest', problem.nearest[0], problem)"
    )
    _, text = finished(start(with_key, source))
    assert "nearest AAPL" in text and "Tiingo" in text, text


def test_forged_and_endless_questions_are_refused(engine, with_key, give_key):
    bob = make_user("bob")
    give_key(bob, "tiingo", GOOD)
    of_bob = fetch_now(bob, "tiingo", "IBM")
    with_key.plan.fetches_per_run = 2
    with_key.plan.save()
    _, text = finished(start(with_key, FORGES.replace("DIGEST", of_bob.object_sha256)))
    names, looks, *rest = [line for line in text.splitlines() if "[" in line or line == "QuotaExceeded"]
    assert names == "['UnknownSymbol', 'given']", text  # what could be a symbol is asked for
    assert looks in ("['UnknownSymbol', 'refused']", "['given', 'refused']"), text
    assert rest == ["['refused']", "['refused']", "QuotaExceeded", "QuotaExceeded"], text
    assert Fetch.objects.filter(user=with_key).count() <= 2 and Fetch.objects.filter(user=bob).count() == 1


def test_a_run_that_is_stopped_lets_go_of_its_fetch(engine, with_key, stand_ins):
    stand_ins.held[TIINGO] = threading.Event()
    run = start(with_key, READS)

    def stop() -> None:
        deadline = time.monotonic() + 60
        while not stand_ins.asked and time.monotonic() < deadline:
            time.sleep(0.1)
        Run.objects.filter(pk=run.pk).update(cancel_requested=timezone.now())
        connection.close()

    stopper = threading.Thread(target=stop)
    stopper.start()
    ended, text = finished(run)
    stopper.join()
    assert ended.status == Run.Status.CANCELLED and not stand_ins.held[TIINGO].is_set(), text
    stand_ins.held.pop(TIINGO).set()


def test_a_series_whose_symbol_is_taken_changes_nothing_that_the_run_read(with_key):
    pinned = store.current_snapshot_id(with_key)
    fetch = fetch_now(with_key, "tiingo", "AAPL")
    held = store.read_manifest(settings.STORE_DIR, fetch.snapshot)["series"]
    found = next(entry for entry in held if entry["id"] == "tiingo/1d/AAPL")
    snapshot, entry = store.extend(pinned, found, user=with_key)
    assert (entry["symbol"], entry["aliases"]) == ("tiingo/1d/AAPL", ["AAPL"])
    assert store.extend(snapshot, found, user=with_key)[0] == snapshot
    assert store.current_snapshot_id(with_key) == fetch.snapshot
    assert json.dumps(entry) in json.dumps(store.read_manifest(settings.STORE_DIR, snapshot)["series"])


def test_run_again_shows_first_what_changed_and_reads_the_same_or_the_latest(with_key, client, stand_ins):
    fetch_now(with_key, "tiingo", "NEWCO")
    run = make_finished_run(make_project(owner=with_key), snapshot=store.current_snapshot_id(with_key), params={"n": 3})
    client.force_login(with_key, backend="accounts.backends.AccountBackend")
    address = f"{run.get_absolute_url()}/again"
    assert address in client.get(run.get_absolute_url()).content.decode()
    assert "Nothing: it reads the same bytes." in client.get(address).content.decode()

    stand_ins.shift = 1.01
    fetch_now(with_key, "tiingo", "NEWCO")
    page = client.get(address).content.decode()
    row = page[page.index("tiingo/1d/NEWCO") :].partition("</tr>")[0]
    assert str(history("NEWCO").days[0]) in row and "400 rows" in row and page.count("<code>tiingo") == 1
    latest = store.current_snapshot_id(with_key)
    client.post(address, {"data": "same"})
    Run.objects.filter(status=Run.Status.QUEUED).update(status=Run.Status.CANCELLED, finished=timezone.now())
    client.post(address, {"data": "latest"})
    same, newest = Run.objects.exclude(pk=run.pk).order_by("queued")
    assert (same.snapshot, newest.snapshot) == (run.snapshot, latest)
    assert same.params == newest.params == {"n": 3} and same.revision == run.revision
    client.force_login(make_user("carol"), backend="accounts.backends.AccountBackend")
    assert client.get(address).status_code == 404 and client.post(address, {"data": "same"}).status_code == 404


def test_a_guest_gets_what_needs_no_key_and_may_be_passed_on(stand_ins, fetcher, db):
    pinned: list[str] = []
    broker = Broker(None, uuid.uuid4(), store.current_snapshot_id() or "", 5, pinned.append)
    refused = broker.answer({"do": "want", "name": "NEWCO", "what": "prices", "interval": "1d"})["problem"]
    assert refused["kind"] == "UnknownSymbol" and "sign in" in refused["message"]
    asked = {"do": "want", "name": "EURCHF", "what": "prices", "interval": "1d"}
    number = broker.answer(asked)["want"]
    answer: dict = {}
    deadline = time.monotonic() + 60
    while "entry" not in answer and time.monotonic() < deadline:
        answer = broker.answer({"do": "look", "want": number})
        assert "problem" not in answer, answer
    entry = answer["entry"]
    assert (entry["provider"], entry["rights"]) == ("ecb", "redistribute") and pinned == [answer["snapshot"]]
    part = broker.answer({"do": "read", "object": entry["object"], "from": 0})
    assert hashlib.sha256(base64.b64decode(part["content"])).hexdigest() == entry["object"]
    assert broker.answer(asked)["want"] == number and broker.fetched == 1
    held = store.read_manifest(settings.STORE_DIR, broker.snapshot)["series"]
    another = next(each["object"] for each in held if each["object"] != entry["object"])
    for wrong in ({"object": another}, {"object": "../../secret_key"}, {"object": entry["object"], "from": -1}, {}):
        assert "not given such" in broker.answer({"do": "read", "from": 0, **wrong})["error"]
    assert "not asked for" in broker.answer({"do": "look", "want": True})["error"]
    broker.given_bytes = GIVEN_BYTES + 1
    full = broker.answer({"do": "read", "object": entry["object"], "from": 0})["problem"]
    broker.questions = MAX_QUESTIONS
    more = broker.answer(asked | {"name": "EURSEK"})["problem"]
    assert full["kind"] == more["kind"] == "QuotaExceeded" and len(broker.wants) == 1

"""A program reads what was fetched with its author's key, and finds the key nowhere; others' programs find neither."""

from __future__ import annotations

import pytest

from marketdata import fetching, store, wanting
from marketdata.models import Fetch
from runner.execution import execute_next
from runner.models import Run
from runner.recording import Recording
from tests.factories import make_project, make_run, make_user
from tests.providers.answers import GOOD
from tests.providers.histories import history

pytestmark = pytest.mark.django_db(transaction=True)

LOOKS_EVERYWHERE = """
import os, pathlib, sys
from qfp import data

try:
    print("close", data.prices("AAPL", adjust=None)["close"].iloc[-1])
    print(data.info("AAPL")["source"].partition(",")[0])
except data.DataError as problem:
    print(type(problem).__name__)
needle = "".join(reversed("TURNED")).encode()
looked, found = 0, []
places = [repr(dict(os.environ)).encode(), repr(sys.argv).encode(), repr(data.search("")).encode()]
usual = (sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", "/bin", "/sbin")
paths = [f"/proc/{who}/{what}" for who in ("self", "1", os.getppid()) for what in ("environ", "cmdline", "mem", "maps")]
for root, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if not os.path.join(root, name).startswith((*usual, "/proc", "/sys"))]
    paths += [os.path.join(root, name) for name in files]
for path in paths:
    try:
        with open(path, "rb") as file:
            places.append(file.read(50_000_000))
    except (OSError, ValueError):
        continue
print("looked at", len(places), "found", sum(needle in place for place in places))
"""


def output_of(user, source: str) -> str:
    run = make_run(make_project(owner=user, source=source), snapshot=store.current_snapshot_id(user))
    execute_next()
    run.refresh_from_db()
    text = "".join(event["text"] for event in Recording(run.pk).read() if event["type"] in ("stdout", "stderr"))
    assert run.status == Run.Status.SUCCEEDED, text
    return text


def test_the_author_reads_the_series_and_nobody_finds_the_key(engine, give_key, stand_ins):
    alice, bob = make_user(), make_user()
    give_key(alice, "tiingo", GOOD)
    fetch = wanting.want(alice, "tiingo", "AAPL")
    fetching.perform(str(fetch.pk))
    assert Fetch.objects.get().status == Fetch.Status.SUCCEEDED
    source = LOOKS_EVERYWHERE.replace("TURNED", GOOD[::-1])
    own, others = output_of(alice, source), output_of(bob, source)
    assert f"close {history('AAPL').close[-1]}" in own and "Tiingo" in own
    assert f"close {history('AAPL').close[-1]}" not in others and "Tiingo" not in others
    for text in (own, others):
        looked, found = text.split("looked at ")[1].split(" found ")
        assert int(looked) > 10 and int(found) == 0

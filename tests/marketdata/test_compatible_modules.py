"""Code that says `import yfinance` gets what the real yfinance would give, through the same store."""

from __future__ import annotations

import base64
import os
import pickle
import subprocess
import sys

import pandas as pd
import pytest

from marketdata import store
from marketdata.models import Provider, ProviderAgreement
from runner.execution import execute_next
from runner.models import Run
from runner.recording import Recording
from tests.factories import make_project, make_run
from tests.marketdata.fetches import fetch_now
from tests.providers.answers import GOOD
from tests.providers.histories import history

pytestmark = pytest.mark.django_db(transaction=True)

# Each is evaluated in a box and here, with the real client against the stand-in.
SHAPES = [
    'yf.download("AAPL", start=START, end=END)',
    'yf.download("AAPL", start=START, end=END, auto_adjust=False)',
    'yf.download("AAPL", start=START, end=END, actions=True)',
    'yf.download(["AAPL", "MSFT"], start=START, end=END)',
    'yf.download("AAPL NEWCO", start=START, end=END, auto_adjust=False, actions=True)',
    'yf.download(["AAPL"], start=START, group_by="ticker")',
    'yf.download("MSFT", start=START, multi_level_index=False)',
    'yf.download("AAPL", period="max", rounding=True)',
    'yf.Ticker("AAPL").history(period="max")',
    'yf.Ticker("AAPL").history(start=START, end=END, auto_adjust=False)',
    'yf.Ticker("NEWCO").history(start=START, actions=False, back_adjust=True, auto_adjust=False)',
    'yf.Ticker("AAPL").actions',
    'yf.Ticker("AAPL").dividends',
    'yf.Ticker("NEWCO").splits',
]
IN_A_BOX = """
import base64, pickle
import yfinance as yf
START, END = SPAN
for shape in SHAPES:
    print("frame", base64.b64encode(pickle.dumps(eval(shape))).decode())
for text in ("yf.Ticker('AAPL').info", "yf.Search", "yf.Ticker('AAPL').history(interval='1wk')"):
    try:
        eval(text)
    except (AttributeError, ValueError) as problem:
        print("refused", problem)
"""
# In a process of its own: it stays in the one that imports it.
THE_REAL_ONE = """
import pickle, sys, warnings
import yfinance as yf
warnings.simplefilter("ignore")
out, sys.stdout = sys.stdout, sys.stderr
yf.set_tz_cache_location(".")
START, END = SPAN
out.buffer.write(pickle.dumps([eval(shape) for shape in SHAPES]))
"""


def printed(user, source: str) -> list[str]:
    run = make_run(
        make_project(owner=user, source=source),
        snapshot=store.current_snapshot_id(user),
        limits={"output_bytes": 5_000_000},
    )
    execute_next()
    run.refresh_from_db()
    events = list(Recording(run.pk).read())
    text = "".join(event["text"] for event in events if event["type"] in ("stdout", "stderr"))
    assert run.status == Run.Status.SUCCEEDED, text[-3000:]
    return text.splitlines()


@pytest.fixture
def with_yahoo(alice, stand_ins, fetcher):
    Provider.objects.update_or_create(name="yahoo", defaults={"enabled": True})
    ProviderAgreement.objects.create(user=alice, provider="yahoo", kind="consent", terms="read")
    return alice


def test_its_frames_are_those_of_the_real_client(engine, with_yahoo, tmp_path):
    for symbol in ("AAPL", "MSFT"):  # else they would be the catalogue's
        fetch_now(with_yahoo, "yahoo", symbol)
    days = history("AAPL").days
    span = str(days[130]), str(days[330])
    source = IN_A_BOX.replace("SPAN", repr(span)).replace("SHAPES", repr(SHAPES))
    lines = printed(with_yahoo, source)
    ours = [pickle.loads(base64.b64decode(line[6:])) for line in lines if line.startswith("frame ")]
    refused = [line for line in lines if line.startswith("refused ")]
    assert len(refused) == 3 and "data.info" in refused[0] and "resample" in refused[2]

    source = THE_REAL_ONE.replace("SPAN", repr(span)).replace("SHAPES", repr(SHAPES))
    said = subprocess.run(
        [sys.executable, "-c", source],
        check=True,
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    real = pickle.loads(said.stdout)
    assert len(ours) == len(SHAPES)
    for shape, got, wanted in zip(SHAPES, ours, real, strict=True):
        if isinstance(wanted, pd.Series):
            wanted.index = wanted.index.normalize()  # the store knows the day of an event, not that it opened at 9:30
            pd.testing.assert_series_equal(got, wanted, rtol=1e-6, obj=shape)
        else:
            pd.testing.assert_frame_equal(got, wanted, rtol=1e-6, atol=1e-6, check_freq=False, obj=shape)


FRED_AND_FRENCH = """
from qfp import data
import pandas_datareader.data as web
gdp = web.DataReader("GDP", "fred", "2000-01-01")
print("fred", gdp.index.name, list(gdp.columns), len(gdp) > 0, data.info("fred/GDP")["provider"])
found = web.DataReader("F-F_Research_Data_Factors", "famafrench", "2015-01-01", "2015-12-31")
print("french", found[0].shape, list(found[0].columns), found[0].index.dtype, round(found[0]["RF"].abs().max(), 1))
for source in ("yahoo", "stooq"):
    try:
        web.DataReader("AAPL", source)
    except NotImplementedError as problem:
        print("refused", problem)
print("hash", data.snapshot())
"""


def test_fred_and_fama_french_come_from_the_store_and_the_run_is_made_again_without_fred(
    engine, alice, give_key, stand_ins, fetcher
):
    give_key(alice, "fred", GOOD)
    lines = printed(alice, FRED_AND_FRENCH)
    assert "fred DATE ['GDP'] True fred" in lines
    assert "french (12, 4) ['Mkt-RF', 'SMB', 'HML', 'RF'] period[M] 0.0" in lines
    assert sum("data.prices" in line for line in lines if line.startswith("refused")) == 2
    run = Run.objects.get()
    stand_ins.asked.clear()
    again = make_run(run.revision.project, snapshot=run.snapshot)
    execute_next()
    again.refresh_from_db()
    assert again.status == Run.Status.SUCCEEDED and again.snapshot == run.snapshot and not stand_ins.asked

"""A backtest's page, its files and its reports say the same, and nothing a user writes is more than text in them."""

from __future__ import annotations

import csv
import html as markup
import io
import os
import re
import struct
import subprocess
import sys
import zlib
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import django_rq
import numpy as np
import pyarrow.parquet as pq
import pytest
from django.utils import timezone
from pypdf import PdfReader
from qfp.figures import HEAD, percent
from qfp.tearsheet.table import Table
from qfp.tearsheet.thinning import thinned

from playground.paths import BASE_DIR
from runner.access import Viewer
from runner.execution import execute_next
from runner.honesty import interest
from runner.honesty.checking import band_of
from runner.honesty.interest import bills_paid
from runner.honesty.sending import EXAMINING
from runner.models import Backtest, Project, Report, Run
from runner.reports import logos, making
from runner.reports.documents import document_of, manifest_hash
from runner.reports.pdf import pdf
from runner.reports.records import _record
from runner.starting import start_run
from tests.benchmarks.report_programs import write_returns
from tests.benchmarks.reports import PROGRAM
from tests.factories import make_finished_run, make_project, make_user
from tests.runner.reported import STORE, claim_of, claims_of_programs, equity_of, stored

pytestmark = pytest.mark.django_db

HEADLINE = (*HEAD, "final_equity", "sortino", "calmar", "beta", "alpha", "win_rate", "profit_factor", "turnover",
            "ulcer_index", "value_at_risk", "skewness", "average_trade", "commission_paid")  # fmt: skip
# Runs whose figures are compared on every surface; each takes half a second, `make test-whole` compares a hundred.
SURFACE_RUNS = int(os.environ.get("SURFACE_RUNS", "6"))
HOSTILE = '#read("/etc/passwd") <script>alert(1)</script> $x^2$ *bold* @ref \\ `raw` {{ 7 }} "'
LONG = "donaudampfschifffahrtsgesellschaft" * 10


@pytest.fixture(scope="module")
def claims():
    return [claim_of("IBM", 40, 20), claim_of("AAPL", 15, 5, bars=700)]


@pytest.fixture(scope="module")
def programs():
    """One share held or not, one long and short at once, and two by weights."""
    return claims_of_programs()


@pytest.fixture
def usual_store(settings):
    return settings.STORE_DIR


@pytest.fixture(autouse=True)
def store(usual_store, settings):
    settings.STORE_DIR = STORE
    _record.cache_clear()


@pytest.fixture
def run(db):
    ada = make_user("ada")
    project = make_project(ada, title="Holding & resting", visibility=Project.Visibility.PUBLIC)
    return make_finished_run(project, manifest={"version": 1, "data": {"private": []}})


def written(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages)


def unsaid(pdf: bytes, sayings: list[str]) -> list[str]:
    """Which of these the PDF does not say; only as many pages are read as it takes, for that is slow. Without spaces,
    for a line may end after a hyphen, too.
    """
    text = ""
    for page in PdfReader(io.BytesIO(pdf)).pages:
        text += "".join(page.extract_text().split())
        if not (left := [each for each in sayings if "".join(each.split()) not in text]):
            return []
    return left


def as_text(page: str) -> str:
    return markup.unescape(re.sub(r"<[^>]+>", " ", page))


def test_page_api_html_and_pdf_write_the_same_digits_of_three_different_runs(client, run, programs):
    chance, more = np.random.default_rng(9), []
    while len(programs) + len(more) < SURFACE_RUNS:
        symbol = str(chance.choice(["IBM", "AAPL", "GOOG", "MSFT", "SPX"]))
        hold, rest, bars = (int(chance.integers(low, high)) for low, high in ((2, 90), (2, 90), (120, 800)))
        more.append(claim_of(symbol, hold, rest, bars=bars, cash=float(10 ** chance.uniform(4, 7))))
    more[-1] = without_costs(more[-1])
    huge = claim_of("IBM", 20, 20, bars=300, cash=1e13)  # its commission is of billions
    for number, claim in enumerate([*programs, *more, huge]):
        backtest, reader = stored(run, claim), f"10.0.0.{number}"  # one address may have thirty made in ten minutes
        where, there = backtest.get_absolute_url(), f"/api/v1/runs/{run.pk}/backtests/{backtest.position}"
        told = client.get(there).json()
        shown = {key: told["figures"][key] for key in HEADLINE if key in told["figures"]}
        assert len(shown) == 21 and ("billion" in shown["commission_paid"]["text"]) == (claim is huge)
        assert len(told["claims"]) == 9
        sayings = [f"{figure['label']} {figure['text']}" for figure in shown.values()]
        sayings += [line["text"] for line in told["claims"]] + told["conventions"]
        sayings = [" ".join(saying.split()) for saying in sayings]
        for name, address in (("page", where), ("html", told["files"]["report.html"])):
            content = client.get(address, REMOTE_ADDR=reader).content
            text = " ".join(as_text(content.decode()).split())
            assert [saying for saying in sayings if saying not in text] == [] and len(content) < 3_000_000, name
        assert unsaid(client.get(told["files"]["report.pdf"], REMOTE_ADDR=reader).content, sayings) == []
        assert ("No costs at all" in " ".join(told["conventions"])) == (claim is more[-1])
        rules = " ".join(told["conventions"])
        assert "open of the next bar" in rules or "next bar's open" in rules


def without_costs(claim: dict) -> dict:
    """The same, charged nothing."""
    fills = [fill | {"commission": 0.0} for fill in claim["fills"]]
    paid = np.zeros(len(claim["dates"]))
    for fill in claim["fills"]:
        paid[fill["bar"] :] += fill["commission"]
    equity = (np.array(claim["equity"]) + paid).tolist()
    return claim | {"fills": fills, "equity": equity, "conventions": claim["conventions"] | {"commission": 0.0}}


def test_the_page_and_the_files_of_a_portfolio_name_each_instrument(client, run, programs):
    backtest = stored(run, programs[2])
    where = backtest.get_absolute_url()
    page = as_text(client.get(where).content.decode())
    assert "Equal money, held" in page and "Trades on the price" not in page
    for kind in ("trades", "orders", "fills"):
        rows = list(csv.DictReader(io.StringIO(body(client.get(f"{where}/{kind}.csv")).decode())))
        table = pq.read_table(io.BytesIO(body(client.get(f"/api/v1{where.replace('/r/', '/runs/')}/{kind}.parquet"))))
        assert [row["instrument"] for row in rows] == table["instrument"].to_pylist()
        assert {row["instrument"] for row in rows} == {"IBM", "AAPL"}
    assert len(rows) == len(backtest.fills) > 20


def test_a_run_without_trades_has_a_report_without_holes(client, run, programs):
    cash, bars = programs[0]["cash"], len(programs[0]["dates"])
    nothing = {"fills": [], "fill_count": 0, "orders": [], "order_count": 0}
    backtest = stored(run, programs[0] | nothing | {"equity": [cash] * bars, "strategy": "Never"})
    assert backtest.verified
    for form in ("pdf", "html"):
        content = client.get(f"{backtest.get_absolute_url()}/report.{form}").content
        text = written(content) if form == "pdf" else as_text(content.decode())
        assert "it never fell" in text and "not defined" in text and not re.search(r"\bnan\b|\binf\b", text)


def test_cash_that_earns_more_than_bills_paid_is_a_doubt_and_unpaid_shorts_a_note(run, programs):
    """From 2004 to 2009 bills of three months paid 2.7 % a year on average."""
    backtest = stored(run, programs[2])
    told, trades = backtest.conventions, backtest.trades

    def said(trades=trades, **changed):
        backtest.conventions, backtest.trades = told | changed, trades
        found = band_of(backtest)
        return found["state"], found["sentence"]

    assert said()[0] == "green" and "Cash" not in said()[1] and "fee" not in said()[1]
    state, text = said(interest=0.19)
    paid = bills_paid(backtest)
    assert state == "amber" and "over other fills" in text and 0.02 < paid < 0.035
    assert "Cash earns 19.0\u00a0% a year, " in text and f"paid {percent(paid)} on average" in text
    assert "of the gain" in text
    assert said(interest=paid + 0.009)[0] == "green" and said(interest=paid + 0.011)[0] == "amber"
    short = [*trades, trades[0] | {"size": -10.0}]
    state, text = said(short)
    assert state == "grey" and text.endswith("pay no borrowing fee, and the cash from them earns interest.")
    assert said(short, borrow=0.01)[0] == said(short, interest=0.0)[0] == "green"
    assert said(short, interest=0.19)[0] == "amber"
    # Where its snapshot has no yields of these dates.
    backtest.dates = [day.replace("200", "201") for day in backtest.dates]
    assert bills_paid(backtest) is None
    backtest.conventions, backtest.trades = told | {"interest": 0.06}, trades
    assert interest.finding(backtest) is None
    backtest.conventions = told | {"interest": 0.07}
    assert "more than 6.0\u00a0%" in interest.finding(backtest)["sentence"]


def test_the_pdf_is_tagged_vector_with_its_fonts_and_all_parts(client, run, claims):
    backtest = stored(run, claims[0])
    backtest.checks = {"band": band_of(backtest)}
    backtest.save()
    content = client.get(f"{backtest.get_absolute_url()}/report.pdf").content
    assert len(content) < 3_000_000
    reader = PdfReader(io.BytesIO(content))
    root = reader.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"] and root["/Lang"] == "en" and reader.metadata.title == "Holding & resting"
    assert reader.outline
    fonts = set()
    for page in reader.pages:
        assert not page.images.keys()
        for font in page["/Resources"].get("/Font", {}).values():
            descriptor = font.get_object()["/DescendantFonts"][0].get_object()["/FontDescriptor"].get_object()
            assert {"/FontFile2", "/FontFile3"} & set(descriptor)
            fonts.add(descriptor["/FontName"].partition("+")[2])
    assert {"Inter-Regular", "Inter-SemiBold"} <= fonts
    text = written(content)
    last = len(reader.pages)
    assert f"{last} / {last}" in text and "Contents" in text
    for said in (
        "What this result can claim",
        "Look-ahead",
        "Returns by month",
        "Beta",
        "What factors explain",
        "Other fills and costs",
        "Same close",
        backtest.conventions["lines"][0],
    ):
        assert said in text
    assert client.get(f"/r/{run.pk}/manifest.json").status_code == 200
    assert max(left_over(page) for page in reader.pages[:-1]) < 1 / 4
    # All figures of a kind stand together, and nothing but trades comes after how it was run.
    (figures,) = [page.extract_text() for page in reader.pages if "Reward for risk" in page.extract_text()]
    assert all(name in figures for name in ("Sharpe, low end", "Gain to pain"))
    assert text.rindex("How it was run") < text.rindex("Entry price")
    assert re.search(r"\d doubts? +\d of 9 points (is|are) fine", text), text[:300]
    # Thirteen years stay on one page, and few more than forty trades are all there.
    longer = stored(run, claim_of("IBM", 40, 20, bars=3300))
    content = client.get(f"{longer.get_absolute_url()}/report.pdf").content
    text = written(content)
    assert len(re.findall(r"Jan\s+Feb\s+Mar", text)) == 1, "where a table goes on, its head stands once more"
    assert 40 < longer.metrics["trades"] <= 60 and "The first 40" not in text
    # Claims that do not fit below the first chart go on over the page, and no last one stands there alone.
    document = document_of(longer, True)

    def with_claims(times: int) -> list:
        more = [f"Line {at}. {'More is said of it. ' * times}" for at in range(len(document.claims))]
        claims = [line | {"text": text} for line, text in zip(document.claims, more, strict=True)]
        pages = PdfReader(io.BytesIO(pdf(document._replace(claims=claims)))).pages
        assert max(left_over(page) for page in pages[:-1]) < 1 / 4
        return [re.findall(r"Line (\d)\.", page.extract_text()) for page in pages[:2]]

    first, second = with_claims(14)
    assert [*first, *second] == [*"012345678"] and len(first) > 2 and len(second) > 2
    assert with_claims(9) == [[*"012345678"], []], "two lines of each stay together"


def test_a_report_that_is_made_while_tests_go_on_says_so_and_counts_no_doubts(client, run, claims):
    backtest = stored(run, claims[0])
    Run.objects.filter(pk=run.pk).update(examination_asked=timezone.now())
    begun = {"since": timezone.now().isoformat(), "done": 3, "of": 5}
    red = {"state": "red", "sentence": "Look-ahead.", "evidence": "box", "found": {"state": "leak"}}
    meanwhile = "hecking: 3 of 5 done when this file was made"
    for checks, said in (({}, f"C{meanwhile}"), ({"lookahead": red}, f"1 problem; c{meanwhile}")):
        Backtest.objects.filter(pk=backtest.pk).update(checks=checks | {EXAMINING: begun})
        page, paper = (client.get(f"{backtest.get_absolute_url()}/report.{form}").content for form in ("html", "pdf"))
        for text in (as_text(page.decode()), " ".join(written(paper).split())):
            assert text.count(said) >= 1 and not re.search(r"\d doubt|points (is|are) fine", text), text[:300]
    Backtest.objects.filter(pk=backtest.pk).update(checks={})
    assert re.search(r"\d doubts", client.get(f"{backtest.get_absolute_url()}/report.html").content.decode())


def test_no_line_of_a_table_is_broken_where_all_its_cells_have_room(run, claims):
    row = ("1", "2000-03-01 – 2004-07-02", "fast 10, slow 200", "−0.21", "2004-07-13 – 2005-12-15", "−6.0 %", "52")
    columns = ("Window", "Chosen on", "Chosen", "Score then", "Traded", "Return", "Trials")
    sheet = Table("windows", "Windows", columns, [row] * 3, [("",) * 7] * 3)
    text = written(pdf(document_of(stored(run, claims[0]), True)._replace(tables=[sheet])))
    assert text.count(row[1]) == text.count(row[4]) == 3


def left_over(page) -> float:
    """The share of the page's height between its margins that is empty below the last line."""
    heights = []

    def see(text, matrix, own, *_):
        if text.strip():
            heights.append(matrix[3] * own[5] + matrix[5])

    page.extract_text(visitor_text=see)
    foot, head = 60, 785  # points: of the text
    return (min(height for height in heights if height > foot) - foot) / (head - foot)


def test_a_process_that_makes_a_pdf_loads_neither_the_site_nor_what_it_does_not_need(tmp_path):
    write_returns(str(tmp_path))
    program = (
        f"import runpy, sys; sys.argv = ['', 'ours', {str(tmp_path)!r}]\n"
        f"runpy.run_path({str(PROGRAM)!r}, run_name='__main__')\n"
        "print(*{'django', 'pandas', 'scipy', 'matplotlib', 'pyarrow', 'numpy.ma', 'statistics'} & set(sys.modules))"
    )
    roots = f"{BASE_DIR}{os.pathsep}{BASE_DIR / 'sandbox' / 'sdk'}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": roots, "PATH": str(tmp_path)},  # no browser or other program can be found
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == "" and done.stdout.splitlines()[1:] == [""], done
    assert (tmp_path / "ours").read_bytes().startswith(b"%PDF")


def test_what_authors_write_is_text_in_every_report(client, run, claims):
    run.project.title = HOSTILE[:120]
    run.project.save()
    backtest = stored(run, claims[1])
    for form in ("pdf", "html"):
        report = making.ask(backtest, form=form, title=HOSTILE, notes=f"{HOSTILE}\n\nsecond\x00 part {LONG}")
        making.make(report.pk)
        report.refresh_from_db()
        assert report.state == Report.State.DONE
        content = bytes(report.content)
        if form == "pdf":
            text = " ".join(written(content).split())
            assert max(map(len, text.split())) < 120, "a long word goes beyond the margin"
            assert "root:" not in text and '#read("/etc/passwd") <script>alert(1)</script> $x^2$ *bold* @ref' in text
        else:
            page = content.decode()
            assert "<script" not in page and "&lt;script&gt;" in page and HOSTILE in as_text(page)
            assert not re.search(r"""(?:src|href)=(?!["']?(?:#|data:))|url\(|@import""", page)


def picture(width: int, height: int) -> bytes:
    rows = b"".join(b"\x00" + b"\x10\x60\xc0" * width for _ in range(height))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    body = b"".join(struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


def test_logos_are_drawn_anew_or_refused(run, claims, client):
    trailing = picture(60, 20) + b"<?php evil() ?>"
    drawn = logos.redrawn(trailing)
    assert drawn.startswith(b"\x89PNG") and b"evil" not in drawn
    vector = b'<svg xmlns="http://www.w3.org/2000/svg" width="90" height="30"><rect width="90" height="30"/>%s</svg>'
    assert logos.redrawn(vector % b"<script>alert(1)</script>").startswith(b"\x89PNG")
    for bad in (
        b"GIF89a" + b"x" * 50,
        picture(60, 20)[:40],
        vector % b'<image href="file:///etc/passwd" width="9" height="9"/>',
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 60_000, 60_000) + b"x" * 30,
        vector[:-6] % b"" + b" " * logos.MAX_BYTES,
        vector % b'<filter id="f"><feTurbulence numOctaves="99"/></filter>',
        vector % b'<rect style="&#102;ilter: blur(99px)" width="90" height="30"/>',
    ):
        with pytest.raises(logos.BadLogo):
            logos.redrawn(bad)
    with pytest.raises(logos.BadLogo, match="Upload it as a PNG"):
        logos.redrawn(vector % b'<g filter="url(#f)"/>')
    backtest = stored(run, claims[1])
    client.force_login(run.user)
    where = f"{backtest.get_absolute_url()}/reports"
    refused = client.post(where, {"format": "pdf", "logo": io.BytesIO(b"hello")})
    assert refused.status_code == 422 and "not a PNG, JPEG or SVG" in refused.content.decode()
    report = making.ask(backtest, form="pdf", logo=trailing)
    making.make(report.pk)
    report.refresh_from_db()
    assert len(PdfReader(io.BytesIO(bytes(report.content))).pages[0].images.keys()) == 1


def test_equity_trades_orders_and_fills_leave_as_csv_and_parquet_alike(client, run, claims):
    backtest = stored(run, claims[0])
    backtest.orders[0]["reason"] = '=cmd("x")'
    backtest.save()
    where = backtest.get_absolute_url()
    counts = {kind: len(getattr(backtest, kind)) for kind in ("equity", "trades", "orders", "fills")}
    for kind, count in counts.items():
        rows = list(csv.DictReader(io.StringIO(body(client.get(f"{where}/{kind}.csv")).decode())))
        table = pq.read_table(io.BytesIO(body(client.get(f"{where}/{kind}.parquet"))))
        assert len(rows) == table.num_rows == count > 5
        for row, other in zip(rows, table.to_pylist(), strict=True):
            assert list(row) == list(other)
            for name, value in other.items():
                if isinstance(value, float):
                    assert float(row[name]) == value
                if name.endswith("date"):
                    assert value == datetime.fromisoformat(row[name])
    orders = body(client.get(f"{where}/orders.csv")).decode()
    assert "'=cmd" in orders and ",=cmd" not in orders


def body(response) -> bytes:
    assert response.status_code == 200
    return b"".join(response.streaming_content)


def test_a_chart_sends_few_points_keeps_its_extremes_and_zooms(client, run, claims):
    backtest = stored(run, claim_of("SPX", 40, 20, bars=5_000))
    where = f"{backtest.get_absolute_url()}/charts/equity"
    sent = client.get(where).json()
    assert [trace["name"] for trace in sent["traces"]] == ["Equity", "Buy and hold"]
    for trace in sent["traces"]:
        assert len(trace["x"]) <= 2_000 < trace["total"]
    assert max(sent["traces"][0]["y"]) == pytest.approx(max(backtest.equity), abs=1e-6)
    year = [date for date in backtest.dates if date.startswith("2012")]
    zoomed = client.get(where, {"from": "2012-01-01", "to": "2012-12-31 12:00:00"}).json()["traces"][0]["x"]
    assert set(year) <= set(zoomed) and len(zoomed) == len(year) + 2
    assert client.get(where, {"from": "yesterday"}).status_code == 400
    assert client.get(f"{backtest.get_absolute_url()}/charts/nothing").status_code == 404
    assert len(thinned(equity_of(backtest), 2_000)) <= 2_000


def test_others_get_neither_trades_nor_prices_of_private_data(client, run, claims):
    backtest = stored(run, claims[0])
    run.manifest = {"data": {"private": ["tiingo/1d/VEND"]}}
    run.save()
    report = making.ask(backtest, form="html", notes="for me")
    making.make(report.pk)
    where = backtest.get_absolute_url()
    page = client.get(where).content.decode()
    assert "chart-equity" in page and "chart-trades" not in page and "Trades on the price" not in page
    assert client.get(f"{where}/trades.csv").status_code == 404
    assert client.get(f"{where}/charts/trades").status_code == 404
    assert client.get(f"{where}/reports/{report.pk}").status_code == 404
    assert [trace["name"] for trace in client.get(f"{where}/charts/equity").json()["traces"]] == ["Equity"]
    assert "Entry price" not in as_text(client.get(f"{where}/report.html").content.decode())
    run.project.visibility = Project.Visibility.PRIVATE
    run.project.save()
    assert client.get(where).status_code == 404
    client.force_login(run.user)
    assert "chart-trades" in client.get(where).content.decode()
    assert client.get(f"{where}/reports/{report.pk}").status_code == 200


def test_a_kept_report_with_other_claims_is_made_anew(client, run, claims, django_capture_on_commit_callbacks):
    backtest = stored(run, claims[0])
    report, found = making.ask(backtest, form="html", notes="Kept & well."), Backtest.objects.filter(pk=backtest.pk)
    where, listed = report.get_absolute_url(), f"{backtest.get_absolute_url()}/_reports"
    red, amber = ({"state": state, "sentence": "So it is."} for state in ("red", "amber"))
    changes = [{"checks": {"lookahead": red}}, {"checks": {"lookahead": red, "band": amber}}, {"verified": False}]
    for change in [*changes, {"conventions": backtest.conventions | {"survivorship": ""}}]:
        making.make(report.pk)
        stored(run, claims[1])  # one trial more
        assert "Kept & well." in as_text(client.get(where).content.decode())
        assert "today's claims" in client.get(listed).content.decode()
        found.update(**change)
        assert "has changed since; it is made anew" in client.get(listed).content.decode()
        with django_capture_on_commit_callbacks() as sent:
            pages = [client.get(where) for _ in range(2)]
        told = [page.status_code for page in pages if b"since; it is being made anew" in page.content]
        assert told == [202, 202] and len(sent) == 1
    Report.objects.update(state=Report.State.FAILED, step=making.FAILED)
    assert (page := client.get(where)).status_code == 503 and b"has changed since, so" in page.content


# The example of the manual.
ASKING = re.findall(
    r"```python\n(.*?)```", (Path(__file__).parents[2] / "docs" / "reports.md").read_text(encoding="utf-8"), re.DOTALL
)[0]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("services", "engine")
def test_a_program_asks_for_a_report_and_its_page_has_it_when_the_run_has_ended(client, settings, usual_store):
    settings.STORE_DIR = usual_store
    ada = make_user()
    project = make_project(ada, source=ASKING)
    run = start_run(project, Viewer(ada), files={"main.py": ASKING})
    execute_next()
    run.refresh_from_db()
    assert run.status == "succeeded", run.message
    report = Report.objects.get(backtest__run=run)
    queue = django_rq.get_queue("default")
    assert ["runner.jobs.make_report", [report.pk]] in [[job.func_name, list(job.args)] for job in queue.jobs]
    making.make(report.pk)
    client.force_login(ada)
    page = client.get(report.backtest.get_absolute_url()).content.decode()
    assert report.get_absolute_url() in page
    text = written(client.get(report.get_absolute_url()).content)
    assert "Holding IBM" in text and "Bought once and kept." in text and manifest_hash(run) in text


def test_what_is_drawn_of_a_long_series_has_the_extremes_of_every_stretch():
    random = np.random.default_rng(3)
    for count in (7, 400, 2_517):
        values = np.round(random.standard_normal(count).cumsum(), 1)  # rounded: extremes stand more than once
        values[random.random(count) < 0.01] = np.nan
        edges = np.linspace(0, count, 60, dtype=int)
        expected = {0, count - 1}
        for start, stop in pairwise(edges if count > 120 else range(count + 1)):
            stretch = values[start:stop]
            expected |= {start + stretch.argmin(), start + stretch.argmax()}
        assert thinned(values, 120) == sorted(expected)

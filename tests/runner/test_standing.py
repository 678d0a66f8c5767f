"""Wherever figures of a result stand, it is said whether they were verified and whether it knew the future."""

from __future__ import annotations

import csv
import html as markup
import io
import re
from itertools import product

import pyarrow.parquet as pq
import pytest
from django.core.cache import cache
from django.test import Client
from pypdf import PdfReader

from runner import claims_box
from runner.exports import KINDS
from runner.models import Backtest, Project
from runner.reports.documents import document_of
from runner.reports.records import _record
from tests.factories import make_finished_run, make_project, make_user
from tests.runner.reported import STORE, claim_of, stored

pytestmark = pytest.mark.django_db

REASON = 'The bars came from the program, "=1+1",=cmd; not from the data of the site.'
LEAK = "Look-ahead: the order of 2012-03-05 changed."
TOLD = f"as told by the program; not verified: {REASON}"


@pytest.fixture(scope="module")
def claim():
    return claim_of("IBM", 40, 20, bars=200)


@pytest.fixture
def results(settings, claim) -> tuple[Backtest, Backtest]:
    """One that was verified, and one of a later run of the same project that was not and knew the future."""
    settings.STORE_DIR = STORE
    _record.cache_clear()
    cache.clear()
    project = make_project(make_user("ada"), title="Holding", visibility=Project.Visibility.PUBLIC)
    verified, told = (
        stored(make_finished_run(project, manifest={"version": 1, "data": {"private": []}}), claim) for _ in range(2)
    )
    told.verified, told.verified_text = False, f"Not verified. {REASON}"
    told.checks = {"lookahead": {"state": "red", "sentence": LEAK}}
    told.save()
    return verified, told


def api(backtest: Backtest, end: str = "") -> str:
    return f"/api/v1/runs/{backtest.run_id}/backtests/{backtest.position}{end}"


def words(page: str) -> str:
    return " ".join(markup.unescape(re.sub(r"<(?!style)[^>]+>", " ", page)).split())


def test_reports_say_below_their_title_that_figures_are_the_programs_word(client, results):
    for backtest, said in zip(results, (False, True), strict=True):
        page = client.get(api(backtest, "/report.html")).content.decode()
        pdf = PdfReader(io.BytesIO(client.get(api(backtest, "/report.pdf")).content)).pages[0].extract_text()
        for text in (words(page), words(pdf)):
            head = text[: text.index("Total return")]
            assert (" ".join(f"Figures {TOLD}".split()) in head) is said, head
            assert (LEAK in head) is said
        # What knew the future is a problem in every form, and what nobody checked a doubt.
        assert re.findall('class="notice ([a-z]+)"', page) == (["amber", "red"] if said else [])
        assert [state for state, _ in document_of(backtest, True).notices] == (["amber", "red"] if said else [])


def test_a_report_of_what_knew_the_future_has_nothing_in_the_colour_of_a_gain(client, results):
    """For both files the colours come from the tones of the tables."""
    for backtest, leaks in zip(results, (False, True), strict=True):
        page = client.get(api(backtest, "/report.html")).content.decode()
        assert ("class=gain" not in page) == leaks and "class=loss" in page
        tones = {tone for table in document_of(backtest, True).tables for row in table.tones for tone in row}
        assert tones == ({"", "loss"} if leaks else {"", "loss", "gain"})


def test_programs_that_read_figures_are_told_beside_them(client, results):
    for backtest, expected in zip(results, ((True, None, None), (False, REASON, LEAK)), strict=True):
        told = client.get(api(backtest)).json()
        (listed,) = client.get(f"/api/v1/runs/{backtest.run_id}").json()["backtests"]
        for answer in (told, listed):
            assert (answer["verified"], answer["reason"], answer["look_ahead"]) == expected


def test_files_of_trades_begin_with_whose_word_they_are(client, results):
    for (backtest, said), kind in product(zip(results, (False, True), strict=True), KINDS):
        content, table = (
            b"".join(client.get(api(backtest, f"/{kind}.{form}")).streaming_content) for form in ("csv", "parquet")
        )
        first, *rest = content.decode().splitlines(keepends=True)
        if said:
            assert first.startswith(f"# {kind.capitalize()} as told by the program") and "The bars came" in first
            # In a spreadsheet the line is one cell, whatever a program got into its reason.
            assert not set('",;|\t') & set(first) and next(csv.reader([first])) == [first.strip()]
        else:
            assert not first.startswith("#")
            rest = [first, *rest]
        noted = pq.read_schema(io.BytesIO(table)).metadata
        assert noted[b"verified"] == (b"false" if said else b"true")
        assert noted[b"note"].decode() == (f"{kind.capitalize()} {TOLD}" if said else backtest.verified_text)
        rows = list(csv.DictReader(rest))
        assert len(rows) == pq.read_table(io.BytesIO(table)).num_rows > 2


def test_the_file_of_the_equity_has_the_figures_of_the_page_and_of_what_is_not_verified_no_more_than_was_told(
    client, results
):
    file, other = (
        b"".join(client.get(api(each, "/equity.csv")).streaming_content).decode().splitlines() for each in results
    )
    bars, metrics = list(csv.DictReader(file)), results[0].metrics
    assert [float(bar["equity"]) for bar in bars] == results[0].equity and bars[-1]["date"] == results[0].dates[-1]
    assert min(float(bar["drawdown_fraction"]) for bar in bars) == metrics["max_drawdown"]
    assert float(bars[-1]["benchmark"]) / results[0].cash - 1 == pytest.approx(metrics["buy_and_hold"])
    held = sum(float(bar["gross_exposure_fraction"]) > 0 for bar in bars) / len(bars)
    assert held == pytest.approx(metrics["exposure"])
    replayed = ("benchmark", "net_exposure_fraction", "gross_exposure_fraction")
    assert {bar[name] for bar in csv.DictReader(other[1:]) for name in replayed} == {""}


def test_two_runs_side_by_side_mark_the_column_that_nobody_checked(client, results):
    one, other = results
    page = client.get(f"/runs/{one.run_id}/compare/{other.run_id}/").content.decode()
    (head,) = re.findall(r"<thead>(?:(?!</thead>).)*Second less first.*?</thead>", page, re.DOTALL)
    first, second = (words(cell) for cell in re.findall(r"<th[^>]*>(.*?)</th>", head, re.DOTALL)[1:3])
    assert first == "First Verified"
    assert second == f"Second {LEAK} As told by the program, not verified"
    assert " ".join(f"The second: figures {TOLD}".split()) in words(page) and "The first: " not in words(page)
    assert "(as told by its program, not verified)" in words(page)


def test_a_figure_in_a_table_of_runs_has_its_mark_beside_it(results):
    verified, told = results
    project, client = verified.run.project, Client()
    client.force_login(project.owner)
    figure = words(verified.figures[0]["text"])
    for where in ("/dashboard", project.base_url, f"{project.base_url}/_runs"):
        page = client.get(where).content.decode()
        # The newest first; on the dashboard that of the project stands above them.
        newer, older = (words(re.split("</td>|</a>", part)[0]) for part in page.split('<span class="headline">')[-2:])
        assert older.startswith(f"Verified {figure}") and LEAK not in older, where
        assert newer.startswith(f"{LEAK} As told by the program, not verified {figure}"), where
        assert markup.escape(told.verified_text) in page
    assert "headline" not in Client().get(project.base_url).content.decode(), "others see no runs"


def test_what_a_search_engine_quotes_of_a_page_says_whose_word_it_is(client, results):
    for backtest, said in zip(results, (False, True), strict=True):
        page = client.get(backtest.get_absolute_url()).content.decode()
        (quoted,) = re.findall(r'<meta name="description" content="([^"]*)"', page)
        assert markup.unescape(quoted).startswith(f"Figures {TOLD}") is said
        badge = client.get(api(backtest)).json()["claims_summary"]
        assert quoted.endswith(f"{badge}. {markup.escape(backtest.description)}")


def test_the_page_of_a_project_tells_how_many_doubts_there_are_beside_its_badge(client, results):
    verified, told = results
    told.run.delete()
    page = client.get(verified.run.project.base_url).content.decode()
    summary = client.get(api(verified)).json()["claims_summary"]
    assert summary == "5 doubts"
    for shown in (page, *(client.get(where).content.decode() for where in ("/explore", "/u/ada"))):
        assert re.search(rf'<a [^>]*href="{verified.get_absolute_url()}#claims"[^>]*>{summary}</a>', shown)


def test_a_list_makes_some_badges_at_a_time_and_goes_without_where_they_cannot_be_kept(
    client, results, claim, settings, django_assert_max_num_queries
):
    badges = re.compile(r'title="What this result can claim"')
    for number in range(claims_box.MADE_AT_ONCE + 2):
        project = make_project(results[0].run.project.owner, title=f"More {number}", visibility="public")
        stored(make_finished_run(project, manifest={"version": 1, "data": {"private": []}}), claim)
    cache.clear()
    shown = [len(badges.findall(client.get("/explore").content.decode())) for _ in range(3)]
    assert shown == [claims_box.MADE_AT_ONCE, *[claims_box.MADE_AT_ONCE + 3 - 1] * 2]
    with django_assert_max_num_queries(5):
        client.get("/explore")
    Backtest.objects.filter(run__revision__project=project).update(
        checks={"lookahead": {"state": "red", "sentence": LEAK}}
    )
    assert re.search(r">\d problems?</a>", client.get("/explore").content.decode())  # at once
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1"}
    }
    page = client.get("/explore")
    assert page.status_code == 200 and not badges.findall(page.content.decode())


def test_a_project_whose_backtest_was_not_verified_is_not_listed_as_one_without_a_backtest(client, results):
    results[0].delete()
    for where in ("/explore", "/u/ada"):
        page = client.get(where).content.decode()
        assert "Not verified" in page and "was not verified" in page and "finished without a backtest" not in page
    results[1].delete()
    assert "finished without a backtest" in client.get("/explore").content.decode()


def test_a_file_can_be_asked_for_its_head(client, results):
    address = api(results[0], "/trades.csv")
    head, whole = client.head(address), client.get(address)
    assert head.status_code == 200 and head["Content-Type"] == whole["Content-Type"]


def test_a_report_lists_the_parameters_that_were_left_at_their_defaults(results):
    backtest = results[0]
    backtest.run.declared_params, backtest.run.params = [{"name": "fast", "default": 7}], {}
    backtest.params = {"slow": 70}
    about = dict(document_of(backtest, True).about)
    assert about["Parameters"] == "fast = 7, slow = 70"
    assert "Parameters" not in dict(document_of(backtest, False).about), "defaults could be prices"


def test_what_a_sweep_has_chosen_is_named_wherever_parameters_are(client, results):
    backtest = results[0]
    run, backtest.params = backtest.run, {"slow": 70}
    run.declared_params = [
        {"name": "\u202efast", "default": 7, "value": 10},
        {"name": "cost", "default": 1, "value": 1},
    ]
    run.params, run.search = {"cost": 1}, {"space": {"fast": {"values": [5, 10]}}}
    run.save()
    backtest.save()
    assert dict(document_of(backtest, True).about)["Parameters"] == "fast = 10, cost = 1, slow = 70"
    assert "Parameters: fast = 10, cost = 1, slow = 70." in words(
        client.get(backtest.get_absolute_url()).content.decode()
    )
    results[1].run.delete()
    assert "Parameters: fast = 10" in words(client.get(run.project.base_url).content.decode()), "its code says 7"
    assert client.get(api(backtest)).json()["params"] == {"\u202efast": 10, "cost": 1, "slow": 70}


def test_a_report_of_a_walk_forward_gives_no_one_value_to_what_each_window_chose(results):
    backtest = results[0]
    backtest.run.declared_params = [{"name": "fast", "default": 20}, {"name": "slow", "default": 100}]
    backtest.run.search = {"walk": {"choose": "best"}, "space": {"fast": {"values": [5]}, "slow": {"values": [9]}}}
    backtest.params = {"windows": 6}
    about = dict(document_of(backtest, True).about)
    assert about["Parameters"] == "fast and slow chosen in each window (see the windows’ table), windows = 6"
    assert dict(document_of(backtest, False).about)["Parameters"] == "fast and slow chosen in each window"

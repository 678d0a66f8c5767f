"""The pages of market data: what is found and shown, what may be downloaded, and who sees whose series."""

from __future__ import annotations

import csv
import io
import re

import numpy as np
import pytest
from django.conf import settings
from django.urls import reverse
from qfp import metrics, objects

from accounts.models import Plan
from marketdata import browsing, figures, store
from marketdata.browsing import view_of
from marketdata.models import Provider, QualityIssue
from runner.models import Project
from tests.factories import make_user

pytestmark = pytest.mark.django_db


def bars_of(days: int, first: str = "2020-01-01", seed: int = 1) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    dates = np.datetime64(first, "us") + np.arange(days) * np.timedelta64(1, "D")
    close = 100 * np.cumprod(1 + np.random.default_rng(seed).normal(0, 0.01, days))
    return dates, {
        "open": close * 0.999,
        "high": close * 1.01,
        "low": close * 0.99,
        "close": close,
        "volume": np.full(days, 1000.0),
    }


def entry_of(symbol: str, days: int = 500, **values) -> dict:
    dates, columns = bars_of(days, seed=sum(map(ord, symbol)))
    return {
        "id": f"test/{symbol}",
        "symbol": symbol,
        "name": f"{symbol} for tests",
        "kind": "equity",
        "interval": "1d",
        "licence": "own",
        "source": "made for a test",
        "columns": list(columns),
        "rows": days,
        "first": str(dates[0])[:10],
        "last": str(dates[-1])[:10],
        "object": store.put_object(objects.arrow_bytes(dates, columns)),
        "survivorship": "unknown",
    } | values


@pytest.fixture
def owner():
    """Somebody with a series that a vendor gave for them alone, and one that they brought along."""
    user = make_user("owner")
    store.add_series(
        [
            entry_of("SECRETCO", rights="personal", provider="tiingo"),
            entry_of("MYOWN", id="mine/own-prices@1", rights="own", kind="dataset"),
        ],
        user=user,
        created_for="test",
    )
    return user


@pytest.fixture
def owner_client(client, owner):
    client.force_login(owner, backend="accounts.backends.AccountBackend")
    return client


def text_of(response) -> str:
    return response.content.decode()


# Finding --------------------------------------------------------------------------------------------------------


def test_the_catalogue_finds_by_symbol_alias_name_and_kind(client):
    for query, first in (("aapl", "AAPL"), ("^gspc", "SPX"), ("treasury curve", "ust"), ("facebook", "FB")):
        page = text_of(client.get("/data/", {"q": query}))
        assert re.findall(r'<a class="row-link mono"[^>]*>([^<]+)</a>', page)[0] == first, query


def test_facets_widen_within_and_narrow_between_and_say_how_many(client):
    view = view_of(None)
    both = browsing.search(view, "", {"kind": ["equity", "index"]})
    assert {entry["kind"] for entry in both.entries} == {"equity", "index"}
    monthly = browsing.search(view, "", {"kind": ["equity", "credit"], "interval": ["1mo"]})
    assert monthly.entries and {entry["kind"] for entry in monthly.entries} == {"credit"}
    counted = {o["value"]: o["count"] for o in both.facets[0]["options"]}
    assert counted["equity"] == sum(entry["kind"] == "equity" for entry in view.entries)
    page = text_of(client.get("/data/", {"kind": "credit"}))
    assert "AAA" in page and ">AAPL<" not in page and 'value="credit" checked' in page


def test_a_script_gets_only_the_part_that_changes(client):
    whole, part = client.get("/data/", {"q": "oil"}), client.get("/data/", {"q": "oil"}, headers={"HX-Request": "true"})
    assert b"<html" in whole.content and b"<html" not in part.content
    assert text_of(part).strip().startswith('<div id="found"') and "WTI" in text_of(part)


def test_what_is_not_there_names_what_is_near(client):
    page = text_of(client.get("/data/", {"q": "AAPX"}))
    assert "Nothing fits" in page and "AAPL" in page


def test_words_of_people_are_text(client):
    page = text_of(client.get("/data/", {"q": '<script>alert("1")</script>', "kind": '"><script>'}))
    assert "<script>alert" not in page and '"><script>' not in page


# One series -----------------------------------------------------------------------------------------------------


def test_every_series_of_the_catalogue_has_a_page_with_its_points_and_its_facts(client):
    view = view_of(None)
    kinds_seen = set()
    for entry in view.entries:
        if (key := (entry["kind"], entry["interval"], tuple(entry["columns"]))) in kinds_seen:
            continue
        kinds_seen.add(key)
        name = view.name_in_addresses(entry)
        page = client.get(reverse("marketdata:instrument", args=[name]))
        assert page.status_code == 200, name
        for fact in (entry["source"], view.snapshot, entry["object"]):
            assert fact.replace("&", "&amp;").replace("'", "&#x27;") in text_of(page), (name, fact)
        points = client.get(reverse("marketdata:bars", args=[name])).json()
        assert len(points["dates"]) <= 2000 and all(len(v) == len(points["dates"]) for v in points["columns"].values())
    assert len(kinds_seen) > 5


def test_an_instrument_page_reads_as_words_and_tables_without_a_script(client, django_assert_max_num_queries):
    client.get("/data/instruments/AAPL")  # makes the rows of providers
    with django_assert_max_num_queries(20):
        page = text_of(client.get("/data/instruments/AAPL"))
    assert "AAPL rose from" in page and "adjusted for splits and dividends" in page
    assert 'class="series-chart"' in page and "Split, 2 for 1" in page and "Dividend" in page
    assert "biased: five well-known" in page.lower() and "data.prices(&quot;AAPL&quot;)" in re.sub(
        r"</?span[^>]*>", "", page
    )
    assert "2013-03-01" in page and "?adjust=raw" in page and "?range=1y" in page


def test_lower_case_and_aliases_lead_to_the_same_series(client):
    assert client.get("/data/instruments/aapl").status_code == 200
    assert "S&amp;P 500" in text_of(client.get("/data/instruments/^GSPC"))
    assert client.get("/data/instruments/starter/us/1d/AAPL").status_code == 200


def test_adjusted_and_raw_are_the_numbers_that_code_gets(client):
    view = view_of(None)
    entry = view.find("AAPL")
    for adjust in ("all", "split", "raw"):
        points = client.get("/data/bars/AAPL", {"adjust": adjust, "from": "2012-01-03", "to": "2013-03-01"}).json()
        whole = figures.columns_of(view, entry, adjust)
        inside = whole["date"] >= np.datetime64("2012-01-03")
        assert points["bars_per_point"] == 1
        np.testing.assert_allclose(points["columns"]["close"], whole["close"][inside], rtol=1e-7)
        assert {mark["date"] for mark in points["marks"]} == {"2012-08-09", "2012-11-07", "2013-02-07"}


def test_joined_bars_hide_no_high_no_low_and_no_volume(client):
    view = view_of(None)
    entry = view.find("AAPL")
    points = client.get("/data/bars/AAPL", {"adjust": "raw"}).json()
    raw = figures.columns_of(view, entry, "raw")
    assert (
        points["bars"] == len(raw["close"]) == 3270 and points["bars_per_point"] == 2 and len(points["dates"]) == 1635
    )
    assert max(points["columns"]["high"]) == raw["high"].max() and min(points["columns"]["low"]) == raw["low"].min()
    assert sum(points["columns"]["volume"]) == pytest.approx(raw["volume"].sum(), rel=1e-6)
    assert points["columns"]["open"][0] == raw["open"][0] and points["columns"]["close"][-1] == raw["close"][-1]


def test_a_line_keeps_its_extremes_and_its_gaps_are_null(client):
    view = view_of(None)
    entry = view.find("WTI")
    values = figures.columns_of(view, entry)["close"]
    points = client.get("/data/bars/WTI").json()
    drawn = [value for value in points["columns"]["close"] if value is not None]
    assert len(points["dates"]) <= 2000 < len(values)
    assert max(drawn) == pytest.approx(np.nanmax(values)) and min(drawn) == pytest.approx(np.nanmin(values))
    part = client.get("/data/bars/WTI", {"from": "1986-01-01", "to": "1987-12-31"}).json()
    assert None in part["columns"]["close"]


@pytest.mark.parametrize(
    "query", [{"adjust": "maybe"}, {"from": "yesterday"}, {"range": "9y"}, {"from": "2010-01-02", "to": "2009-01-01"}]
)
def test_a_stretch_that_is_none_is_refused_in_words(client, query):
    for page in ("bars", "instruments", "csv"):
        response = client.get(f"/data/{page}/AAPL", query)
        assert response.status_code == 400 and len(response.content) > 10, page


def test_a_stretch_without_bars_is_said(client):
    points = client.get("/data/bars/AAPL", {"from": "2020-01-01"}).json()
    assert points["dates"] == [] and points["sentence"] == "AAPL has no values in this range."
    assert client.get("/data/instruments/AAPL", {"from": "2020-01-01"}).status_code == 200


def test_providers_that_could_give_it_are_named_while_they_are_on(client):
    page = text_of(client.get("/data/instruments/AAPL"))
    assert "/data/providers/tiingo?symbol=AAPL" in page and "/data/providers/ecb" not in page
    Provider.objects.filter(name="tiingo").update(enabled=False)
    assert "/data/providers/tiingo" not in text_of(client.get("/data/instruments/AAPL"))
    assert 'value="AAPL"' in text_of(client.get("/data/providers/ecb", {"symbol": "AAPL"}))
    assert "/data/providers/" not in text_of(client.get("/data/instruments/SYN001")).split("What it is")[1]


def test_open_issues_stand_beside_the_quality(client):
    entry = view_of(None).find("MSFT")
    QualityIssue.objects.create(
        series_id=entry["id"], object_sha256=entry["object"], kind="spike", message="The close is 100 times the usual."
    )
    assert "The close is 100 times the usual." in text_of(client.get("/data/instruments/MSFT"))
    assert "100 times" not in text_of(client.get("/data/instruments/IBM"))


# Rights ---------------------------------------------------------------------------------------------------------


def test_csv_holds_the_bars_and_ends_where_it_is_told_to(client):
    response = client.get("/data/csv/AAPL", {"adjust": "raw", "from": "2013-02-28"})
    rows = list(csv.reader(io.StringIO(b"".join(response.streaming_content).decode())))
    assert rows[0][:6] == ["date", "open", "high", "low", "close", "volume"]
    assert [row[0] for row in rows[1:]] == ["2013-02-28", "2013-03-01"] and float(rows[2][4]) == 430.47
    assert "AAPL-1d-raw.csv" in response["Content-Disposition"]


def test_what_spreadsheets_would_run_is_made_harmless(client):
    user = make_user()
    dates, _ = bars_of(3)
    content = objects.arrow_bytes(dates, {"=cmd()": np.array([1.0, -2.0, np.nan])})
    entry = entry_of("ODD", columns=["=cmd()"], id="mine/odd@1", rights="personal", kind="dataset")
    store.add_series([entry | {"object": store.put_object(content)}], user=user, created_for="test")
    client.force_login(user, backend="accounts.backends.AccountBackend")
    text = b"".join(client.get("/data/csv/mine/odd@1").streaming_content).decode()
    assert text.splitlines() == ["date,'=cmd()", "2020-01-01,1.0", "2020-01-02,-2.0", "2020-01-03,"]


def test_somebodys_own_series_is_not_there_for_others(client, owner):
    names = ["SECRETCO", "test/SECRETCO", "mine/own-prices@1", "MYOWN"]
    paths = [f"/data/{page}/{name}" for page in ("instruments", "bars", "csv") for name in names]
    assert {client.get(path).status_code for path in paths} == {404}
    client.force_login(make_user("stranger"), backend="accounts.backends.AccountBackend")
    assert {client.get(path).status_code for path in paths} == {404}
    client.force_login(owner, backend="accounts.backends.AccountBackend")
    assert {client.get(path).status_code for path in paths} == {200, 403}


def test_lists_and_comparisons_of_others_do_not_know_it_either(client, owner):
    for page in (
        client.get("/data/", {"q": "secretco"}),
        client.get("/data/compare", {"s": ["AAPL", "SECRETCO"]}),
        client.get("/data/compare", {"s": "SECRETC"}),
    ):
        assert "SECRETCO for tests" not in text_of(page)
    assert client.post("/new/with-data", {"s": "test/SECRETCO"}).status_code == 404


def test_its_owner_sees_it_marked_as_theirs(owner_client):
    page = text_of(owner_client.get("/data/", {"q": "secretco"}))
    assert "SECRETCO for tests" in page and "Yours" in page
    page = text_of(owner_client.get("/data/instruments/SECRETCO"))
    assert "Only you see it" in page and "noindex" in page


def test_a_vendors_data_is_not_handed_out_as_a_file_and_ones_own_is(owner_client):
    refused = owner_client.get("/data/csv/SECRETCO")
    assert refused.status_code == 403 and b"terms" in refused.content
    assert "/data/csv/" not in text_of(owner_client.get("/data/instruments/SECRETCO"))
    assert owner_client.get("/data/csv/MYOWN").status_code == 200


def test_its_owner_removes_a_fetched_series_and_nobody_else_can(client, owner):
    before = store.current_snapshot_id(owner)
    assert client.post("/data/remove/SECRETCO").status_code == 404
    client.force_login(owner, backend="accounts.backends.AccountBackend")
    assert "/data/remove/" not in text_of(client.get("/data/instruments/AAPL"))
    assert client.post("/data/remove/AAPL").status_code == 404
    assert client.post("/data/remove/mine/own-prices@1").status_code == 404  # datasets have a page of their own
    assert "/data/remove/SECRETCO" in text_of(client.get("/data/instruments/SECRETCO"))
    assert client.post("/data/remove/SECRETCO", follow=True).status_code == 200
    assert client.get("/data/instruments/SECRETCO").status_code == 404
    assert (settings.STORE_DIR / "snapshots" / before / "manifest.json").is_file()


# Several series -------------------------------------------------------------------------------------------------


def test_a_comparison_measures_as_qfp_does_over_the_common_days(client):
    view = view_of(None)
    series = [figures.columns_of(view, view.find(name)) for name in ("AAPL", "GOOG")]
    common = np.intersect1d(series[0]["date"], series[1]["date"])
    closes = [s["close"][np.searchsorted(s["date"], common)] for s in series]
    returns = [metrics.returns_of(c) for c in closes]
    response = client.get("/data/compare", {"s": ["aapl", "GOOG"]})
    found = response.context["found"]
    assert [row["total_return"] for row in found.figures()] == [metrics.total_return(c) for c in closes]
    assert found.figures()[0]["sharpe"] == metrics.sharpe_ratio(returns[0])
    assert found.correlations()[0][1] == pytest.approx(np.corrcoef(*returns)[0, 1], abs=1e-12)
    assert response.context["chart"]["lines"][0]["values"][0] == 100.0
    years = {year: values for year, _, values in found.by_year()}
    inside = common.astype("datetime64[Y]") == np.datetime64("2010")
    start = np.flatnonzero(inside)[0] - 1
    assert years[2010][0] == pytest.approx(closes[0][inside][-1] / closes[0][start] - 1)
    page = text_of(response)
    assert "100 on 19 Aug 2004 became" in page and "Survivors only" in page


def test_what_cannot_be_compared_says_why(client):
    assert "interval" in text_of(client.get("/data/compare", {"s": ["AAPL", "BRENT"]}))
    assert "no closes" in text_of(client.get("/data/compare", {"s": ["AAPL", "ust"]}))
    assert "no two days" in text_of(client.get("/data/compare", {"s": ["AAPL", "VIX"]}))
    page = text_of(client.get("/data/compare", {"s": ["AAPL", "MSFX"]}))
    assert "There is no series “MSFX”" in page and "MSFT" in page
    assert "At most 8" in text_of(client.get("/data/compare", {"s": [f"X{n}" for n in range(9)]}))


def test_a_table_with_several_rows_of_a_date_is_not_compared(client):
    dates = np.repeat(np.array(["2020-01-02", "2020-01-03"], "datetime64[us]"), 2)
    content = objects.arrow_bytes(dates, {"close": np.array([1.0, 50.0, 2.0, 51.0])})
    entry = entry_of("PILE", kind="dataset", columns=["close"], rows=4, object=store.put_object(content))
    store.add_series([entry], created_for="test")
    assert "one number for each date" in text_of(client.get("/data/compare", {"s": ["AAPL", "PILE"]}))


def test_two_series_with_one_symbol_are_told_apart(client):
    store.add_series([entry_of("AAPL", id="test/other", tier="S", name="Another one")], created_for="test")
    found = client.get("/data/compare", {"s": ["MSFT", "AAPL"]}).context["found"]
    assert found.names == ["MSFT", "AAPL"] and found.entries[1]["id"] == "starter/us/1d/AAPL"
    assert "Daily, Public domain" in text_of(client.get("/data/instruments/AAPL"))
    assert 'href="/data/instruments/test/other"' in text_of(client.get("/data/", {"q": "another one"}))
    page = client.get("/data/compare", {"s": ["IXIC", "test/other"]})
    assert "no two days" in text_of(page)
    assert "no prices as traded" in figures.adjustment_in_words({"adjustment": "adjusted_at=2022-12-28"})


def test_minutes_have_short_ranges_and_times_in_utc(client):
    dates = np.datetime64("2020-03-02T14:30", "us") + np.arange(3000) * np.timedelta64(1, "m")
    close = np.linspace(10, 20, 3000)
    content = objects.arrow_bytes(dates, dict.fromkeys(("open", "high", "low", "close"), close))
    entry = entry_of("MIN", interval="1m", zone="America/New_York", first="2020-03-02", last="2020-03-04", rows=3000)
    entry |= {"columns": ["open", "high", "low", "close"], "object": store.put_object(content)}
    store.add_series([entry], created_for="test")
    page = text_of(client.get("/data/instruments/MIN"))
    assert "?range=1d" in page and "?range=6m" not in page and "America/New_York" in page
    assert "interval=&quot;1m&quot;" in re.sub(r"</?span[^>]*>", "", page)
    day = client.get("/data/bars/MIN", {"range": "1d"}).json()
    assert day["dates"][0] == "2020-03-04 00:00" and day["bars_per_point"] == 1
    assert "2020-03-02 14:30" == client.get("/data/bars/MIN").json()["dates"][0]
    text = b"".join(client.get("/data/csv/MIN", {"to": "2020-03-02"}).streaming_content).decode()
    assert text.splitlines()[1].startswith("2020-03-02T14:30Z,10.0")


def test_several_can_be_named_in_one_field(client):
    assert len(client.get("/data/compare", {"s": "AAPL, MSFT,IBM"}).context["found"].entries) == 3


# Universes ------------------------------------------------------------------------------------------------------


@pytest.fixture
def universe():
    members = [
        {"series": "starter/us/1d/AAPL", "symbol": "AAPL", "entered": "2000-03-01", "left": None},
        {"series": "starter/us/1d/FB", "symbol": "FB", "entered": "2012-05-18", "left": None},
        {"series": "gone/LEHM", "symbol": "LEHM", "entered": "2000-03-01", "left": "2008-09-17"},
    ]
    made = {
        "name": "test/three",
        "title": "Three names",
        "survivorship": "free",
        "notice": "Made up.",
        "members": members,
    }
    store.add_series([entry_of("EXTRA")], created_for="test", universes=[made])
    return made


def test_a_universe_shows_who_was_in_it_on_a_day(client, universe):
    def symbols(**query) -> list[str]:
        page = text_of(client.get("/data/universes/test/three", query))
        return re.findall(r'<th scope="row"><(?:a|span) class="[^"]*mono"[^>]*>([^<]+)<', page)

    assert symbols(asof="2005-06-01") == ["AAPL", "LEHM"]
    assert symbols(asof="2008-09-17") == ["AAPL", "LEHM"] and symbols(asof="2008-09-18") == ["AAPL"]
    assert symbols(asof="2013-01-02") == ["AAPL", "FB"]
    assert symbols(asof="1999-01-01") == []
    assert symbols(show="all") == ["AAPL", "FB", "LEHM"]


def test_a_universe_says_its_counts_and_links_its_members(client, universe):
    page = text_of(client.get("/data/universes/test/three", {"asof": "2005-06-01"}))
    assert "2 of 3 names were in it on 1 Jun 2005; 1 left and stays listed" in page
    assert "/data/instruments/AAPL" in page and "no series here" in page and "Survivorship: free" in page
    assert "Three names" in text_of(client.get("/data/universes")) and "Three names" in text_of(
        client.get("/data/instruments/AAPL")
    )
    assert "is no date" in text_of(client.get("/data/universes/test/three", {"asof": "soon"}))
    assert client.get("/data/universes/test/none").status_code == 404


# Into a project -------------------------------------------------------------------------------------------------


def test_use_in_a_project_makes_one_that_reads_the_series(client):
    user = make_user()
    client.force_login(user, backend="accounts.backends.AccountBackend")
    response = client.post("/new/with-data", {"s": "starter/us/1d/IBM"})
    project = Project.objects.get(owner=user)
    assert response.status_code == 303 and response["Location"] == project.edit_url
    assert 'data.prices("IBM")' in project.source and project.title == "First look at IBM"
    client.post("/new/with-data", {"s": ["IBM", "MSFT"]})
    assert 'data.panel(["IBM", "MSFT"])' in Project.objects.get(title="Comparing IBM, MSFT").source


def test_a_guest_gets_one_that_opens_and_is_told_that_there_is_room_for_one(client):
    Plan.objects.filter(is_for_guests=True).update(max_projects=1)
    response = client.post("/new/with-data", {"s": "ust"})
    project = Project.objects.get(owner=None)
    assert response["Location"] == project.edit_url and 'data.curve("ust")' in project.source
    assert client.get(project.edit_url).status_code == 200 and project.expires is not None
    refused = client.post("/new/with-data", {"s": "AAPL"}, follow=True)
    assert Project.objects.count() == 1
    assert refused.redirect_chain[-1][0] == "/data/instruments/AAPL"
    assert text_of(refused).count("an account is free") == 1


def test_unknown_series_make_no_project(client):
    assert client.post("/new/with-data", {"s": "NOSUCH"}).status_code == 404
    assert client.post("/new/with-data").status_code == 404
    assert client.get("/new/with-data").status_code == 405
    assert not Project.objects.exists()


@pytest.mark.parametrize("path", ["/data/", "/data/compare", "/data/universes"])
def test_pages_say_so_while_nothing_is_loaded(client, path):
    from marketdata.models import Snapshot

    Snapshot.objects.update(is_current=False)
    response = client.get(path)
    assert response.status_code == (200 if path == "/data/" else 404)

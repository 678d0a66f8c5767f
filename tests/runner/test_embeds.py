"""A result in pages of other sites: the strings of its page, all its claims, and nothing of whoever reads it there."""

from __future__ import annotations

import re
from html import escape, unescape
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4
from xml.etree import ElementTree

import pytest
from django.conf import settings

from runner import embeds
from runner.models import Backtest, Project
from runner.reports.records import _record
from tests.factories import make_finished_run, make_project, make_user
from tests.runner.reported import STORE, claim_of, stored

pytestmark = pytest.mark.django_db

HOSTILE = "\"></iframe><script>alert('x')</script>&\u202e\x0b"
BASE = settings.SITE_URL


@pytest.fixture
def backtest(settings):
    settings.STORE_DIR = STORE
    _record.cache_clear()
    project = make_project(make_user("ada"), title="Holding", visibility=Project.Visibility.PUBLIC)
    run = make_finished_run(project, manifest={"version": 1, "data": {"private": []}})
    return stored(run, claim_of("IBM", 40, 20, bars=1_500))


def embed_of(backtest: Backtest, query: str = "") -> str:
    return f"/embed/r/{backtest.run_id}{query}"


def oembed(client, url: str, **more: str):
    return client.get("/oembed", {"url": url, **more})


def words(page: str) -> str:
    """What is read of it."""
    return unescape(re.sub(r"<style>.*?</style>|<[^>]+>", "\n", page, flags=re.DOTALL))


def test_it_says_what_page_and_interface_say_to_the_letter_and_is_light(client, backtest):
    response = client.get(embed_of(backtest))
    frame, page = response.content.decode(), client.get(backtest.get_absolute_url()).content.decode()
    told = client.get(f"/api/v1/runs/{backtest.run_id}/backtests/0").json()
    figures = [told["figures"][figure["key"]] for figure in backtest.figures[:8]]
    claims = [text for claim in told["claims"] for text in (claim["title"], claim["text"], claim["word"])]
    strings = [text for figure in figures for text in (figure["label"], figure["text"])]
    strings += [*claims, told["claims_summary"], *told["conventions"], told["verified_text"], told["description"]]
    assert len(told["claims"]) == 9 and frame.count('<li class="result-claims__line ') == 9
    for text in (*strings, "Holding", told["strategy"]):
        assert text in words(frame) and text in words(page), text
    assert "Hold40Rest20, by ada" in words(frame)
    assert not re.search(r"<details|<dialog|\s(hidden|popover)\b", frame.partition("</style>")[2])
    # Nothing beside it is asked for, and nothing in it acts or runs.
    assert len(response.content) <= 60_000 and '<svg class="equity-chart"' in frame
    assert not re.search(r"<(script|form|button|input|link|iframe|img)\b| on\w+=| style=", frame)
    assert frame.count(f'href="{BASE}{backtest.get_absolute_url()}"') == 2 and '<base target="_blank">' in frame


def test_what_was_not_verified_or_knew_the_future_says_so_before_its_figures(client, backtest):
    leak = {"state": "red", "sentence": "Look-ahead: the order of 2012-03-05 changed."}
    Backtest.objects.update(verified=False, verified_text="Not verified. No bars.", checks={"lookahead": leak})
    frame = client.get(embed_of(backtest)).content.decode()
    before, figures, after = frame.partition('<dl class="figures figures--told"')
    assert figures and "Not verified" in words(before) and "As told by the program" in words(before)
    assert leak["sentence"] in before and leak["sentence"] in words(after) and "problem" in words(before)


def test_any_site_may_frame_it_and_no_other_page(client, backtest):
    frame = client.get(embed_of(backtest))
    policy = dict(part.partition(" ")[::2] for part in frame["Content-Security-Policy"].split("; "))
    assert policy["frame-ancestors"] == "*" and policy["default-src"] == "'none'" and "X-Frame-Options" not in frame
    assert policy["sandbox"] == "allow-popups allow-popups-to-escape-sandbox" and "script-src" not in policy
    assert re.fullmatch(r"'sha256-[\w+/]+='", policy["style-src"])
    run, result = backtest.run.get_absolute_url(), backtest.get_absolute_url()
    for address in ("/", run, result, f"/oembed?url={BASE}{result}", f"{embed_of(backtest)}/", "/embed", "/embed/r/x"):
        other = client.get(address)
        assert other["X-Frame-Options"] == "DENY", address
        assert "frame-ancestors 'none'" in other["Content-Security-Policy"], address
    assert client.post(embed_of(backtest)).status_code == client.post("/oembed").status_code == 405


@pytest.mark.parametrize("visibility", ["public", "private"])
def test_whoever_reads_it_is_nobody(client, backtest, visibility):
    Project.objects.update(visibility=visibility)
    addresses = (embed_of(backtest), f"/oembed?url={BASE}{backtest.get_absolute_url()}", "/oembed")
    strangers = [client.get(address) for address in addresses]
    client.force_login(backtest.run.user)
    # One of these would be made anew.
    client.cookies["csrftoken"], client.cookies["theme"], client.cookies["guest"] = "broken", "dark", "x"
    for address, stranger in zip(addresses, strangers, strict=True):
        own = client.get(address)
        assert (own.status_code, own.content) == (stranger.status_code, stranger.content), address
        assert "Set-Cookie" not in own.headers and not own.cookies, address
        assert "cookie" not in own.get("Vary", "").lower(), address
    assert strangers[0].status_code == (200 if visibility == "public" else 404)


def test_what_is_not_public_is_gone_at_once_and_unlisted_opens_by_its_address(client, backtest):
    page = f"{BASE}{backtest.get_absolute_url()}"
    other = f"/embed/r/{uuid4()}"
    for visibility, status in (("unlisted", 200), ("private", 404), ("public", 200)):
        Project.objects.update(visibility=visibility)
        frame, answer = client.get(embed_of(backtest)), oembed(client, page)
        assert frame.status_code == answer.status_code == status, visibility
        assert "no-store" in frame["Cache-Control"] and "no-store" in answer["Cache-Control"]
        if status == 404:
            assert frame.content == client.get(other).content and "Holding" not in frame.content.decode()
            assert "frame-ancestors *" in frame["Content-Security-Policy"], "a browser shows that it is gone"
    for query in ("?backtest=1", "?backtest=-1", "?backtest=x", "?backtest=99999999999999999999", "?backtest=%00"):
        assert client.get(embed_of(backtest, query)).status_code == 404, query
    second = stored(backtest.run, claim_of("IBM", 10, 5, bars=300))
    assert second.strategy in client.get(embed_of(backtest, "?backtest=1")).content.decode()
    for theme, written in (("dark", "dark"), ("light", "light"), ("auto", "auto"), ('"><b>', "auto")):
        assert f'data-theme="{written}"' in client.get(embed_of(backtest), {"theme": theme}).content.decode()


def test_of_a_run_with_private_data_it_shows_what_others_see(client, backtest):
    made_up = stored(backtest.run, claim_of("IBM", 10, 5, bars=300))
    Backtest.objects.filter(pk=backtest.pk).update(position=5, no_trades="A price of 173.25")
    Backtest.objects.filter(pk=made_up.pk).update(verified=False, position=0)
    backtest.run.manifest["data"]["private"] = ["tiingo/1d/VEND"]
    backtest.run.declared_params = [{"name": "leak", "default": "173.25"}]
    backtest.run.save()
    client.force_login(backtest.run.user)  # to whom the page shows more
    frame = client.get(embed_of(backtest)).content.decode()
    for hidden in ("173.25", "Hold40Rest20", "Hold10Rest5", "leak ="):
        assert hidden not in frame, hidden
    assert "Backtest, by ada" in words(frame) and "tiingo/1d/VEND" in frame
    assert client.get(embed_of(backtest, "?backtest=0")).status_code == 404
    answer = oembed(client, f"{BASE}{backtest.run.get_absolute_url()}").json()
    assert answer["title"] == "Backtest: Holding" and "backtest=5" in answer["html"]
    assert oembed(client, f"{BASE}/r/{backtest.run_id}/backtests/0").status_code == 404
    made_up, offered = (Backtest.objects.get(pk=each.pk) for each in (made_up, backtest))
    project = offered.run.project
    assert embeds.embed_offered(made_up) is None and embeds.embed_of_project(make_project()) is None
    titles = {embeds.embed_offered(offered).title, embeds.embed_of_project(project).title}
    assert titles == {"Backtest: Holding"}
    project.visibility = Project.Visibility.PRIVATE
    assert embeds.embed_offered(offered) is None and embeds.embed_of_project(project), "what would be seen if shared"


def test_hostile_words_stay_words(client, backtest):
    Project.objects.update(title=HOSTILE)
    Backtest.objects.update(strategy=HOSTILE, description=HOSTILE)
    backtest.run.user.display_name = HOSTILE
    backtest.run.user.save()
    for address in (embed_of(backtest), backtest.get_absolute_url(), backtest.run.get_absolute_url()):
        assert "<script>alert" not in client.get(address).content.decode(), address
    url = f"{BASE}{backtest.get_absolute_url()}"
    answer = oembed(client, url).json()
    assert escape(answer["html"]) in client.get(backtest.get_absolute_url()).content.decode(), "copied, it is the same"
    assert answer["html"].count("<") == 4 and escape("</iframe><script>") in answer["html"]
    root = ElementTree.fromstring(oembed(client, url, format="xml").content)
    assert {each.tag: each.text for each in root} == {name: str(value) for name, value in answer.items()}
    assert "\u202e" not in answer["title"] and "\u202e" not in answer["author_name"]


def test_oembed_tells_how_to_place_it(client, backtest):
    page, run = f"{BASE}{backtest.get_absolute_url()}", f"{BASE}{backtest.run.get_absolute_url()}"
    answer = oembed(client, page)
    told = answer.json()
    fixed = {"version": "1.0", "type": "rich", "provider_name": "Quant Finance Playground", "provider_url": BASE}
    assert answer["Content-Type"] == "application/json" and fixed.items() <= told.items()
    assert told["title"] == "Hold40Rest20: Holding" and told["author_url"] == f"{BASE}/u/ada"
    assert told["author_name"] == "ada" and told["cache_age"] == 300 and told["width"] == 720
    (source,) = re.findall(r'src="([^"]+)"', told["html"])
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in told["html"]
    assert f'width="720" height="{told["height"]}"' in told["html"]
    assert source == f"{BASE}{embed_of(backtest, '?backtest=0')}" and client.get(source).status_code == 200
    for same in (run, f"{page}#claims", f"{page}?utm=x", source, page.replace("http://", "https://")):
        assert oembed(client, same).json() == told, same
    assert "backtest=0&amp;theme=dark" in oembed(client, f"{source}&theme=dark").json()["html"]
    # A place that is narrow takes a higher frame, whether its width is told or the page finds it by itself.
    assert "height:max(1660px, 3140px - 206cqw, 4740px - 650cqw)" in told["html"]
    narrow = [oembed(client, page, maxwidth=width).json()["height"] for width in (360, 280)]
    assert narrow == [2400, 2920] and 'width="280" height="2920"' in oembed(client, page, maxwidth="280").json()["html"]
    small = oembed(client, page, maxwidth="320", maxheight="200").json()
    assert (small["width"], small["height"]) == (320, 200) and 'width="320" height="200"' in small["html"]
    wide = oembed(client, page, maxwidth="5000", maxheight="5000").json()
    assert (wide["width"], wide["height"]) == (told["width"], told["height"])
    xml = oembed(client, page, format="xml")
    assert xml["Content-Type"].startswith("text/xml")
    assert ElementTree.fromstring(xml.content).findtext("html") == told["html"]


def test_oembed_refuses_what_it_cannot_tell(client, backtest):
    path = backtest.get_absolute_url()
    page = f"{BASE}{path}"
    assert oembed(client, page, format="yaml").status_code == 501
    for query in ({}, {"url": ""}, {"url": page, "maxwidth": "0"}, {"url": page, "maxheight": "-1"},
                  {"url": page, "maxwidth": "wide"}, {"url": page, "maxwidth": "\u0663"}):  # fmt: skip
        assert client.get("/oembed", query).status_code == 400, query
    for foreign in (f"https://elsewhere.example{path}", path, f"ftp{page[4:]}", f"{BASE}/", f"{BASE}/r/{uuid4()}",
                    f"{BASE}@elsewhere.example{path}", "http://[", f"{BASE}/p/ada/{backtest.run.project.slug}",
                    f"{page}9", f"{BASE}/embed/r/{backtest.run_id}?backtest=x", "\x00"):  # fmt: skip
        assert oembed(client, foreign).status_code == 404, foreign


def test_pages_that_others_see_offer_it(client, backtest):
    client.force_login(backtest.run.user)
    for address in (backtest.get_absolute_url(), backtest.run.get_absolute_url()):
        page = client.get(address).content.decode()
        links = dict(re.findall(r'<link rel="alternate" type="([^"]+)" href="([^"]+)"', page))
        assert list(links) == ["application/json+oembed", "text/xml+oembed"]
        for type_, link in links.items():
            answer = client.get(unescape(link))
            assert answer.status_code == 200 and answer["Content-Type"].partition(";")[0] == type_.removesuffix(
                "+oembed"
            )
            assert parse_qs(urlsplit(unescape(link)).query)["url"] == [f"{BASE}{backtest.get_absolute_url()}"]
    page = client.get(backtest.get_absolute_url()).content.decode()
    (code,) = re.findall(r'<textarea id="embed-code"[^>]* readonly[^>]*>(.*?)</textarea>', page)
    url = f"{BASE}{backtest.get_absolute_url()}"
    assert unescape(code) == oembed(client, url).json()["html"] and 'href="#embed"' in page
    Project.objects.update(visibility="private")
    for address in (backtest.get_absolute_url(), backtest.run.get_absolute_url()):
        page = client.get(address).content.decode()
        assert "oembed" not in page and "embed-code" not in page


def test_sharing_a_project_hands_out_the_code_before_it_is_shared(client, backtest):
    project = backtest.run.project
    url = f"{BASE}{backtest.get_absolute_url()}"
    code = oembed(client, url).json()["html"]
    Project.objects.update(visibility="private")
    client.force_login(project.owner)
    where, asked = f"{project.base_url}/settings", {"visibility": "unlisted"}
    assert client.post(where, asked, headers={"Accept": "application/json"}).json()["share"]["embed"] == code
    assert escape(code) in client.post(where, asked).content.decode()
    assert oembed(client, url).status_code == 404, "nothing is shared as yet"
    Backtest.objects.all().delete()
    assert client.post(where, asked, headers={"Accept": "application/json"}).json()["share"]["embed"] == ""
    assert "embed-code" not in client.post(where, asked).content.decode()

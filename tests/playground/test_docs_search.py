"""The manual can be searched: sections with every word, the best first, and nothing of a question becomes markup."""

import re

import pytest
from django.urls import reverse

from playground import docs, docs_search
from playground.docs_search import search

pytestmark = pytest.mark.django_db


def test_a_section_is_found_by_words_of_its_heading_its_text_and_its_page():
    assert search("setting variabl")[0].section.url == docs.url_of("self-hosting") + "#settings"
    assert search("sharpe ratio sortino")[0].section.url == docs.url_of("metrics") + "#reward-for-risk"
    assert not search("backtest zyxwvut") and not search("  ")


def test_every_address_that_is_found_is_there(client):
    sections = list(docs_search.every_section())
    assert {section.page for section in sections} >= {link.title for _, links in docs.navigation() for link in links}
    for page in {section.url.partition("#")[0] for section in sections}:
        anchors = set(re.findall(r'id="([^"]+)"', client.get(page).content.decode()))
        wanted = {s.url.partition("#")[2] for s in sections if s.url.partition("#")[0] == page} - {""}
        assert wanted <= anchors, page


def test_an_excerpt_marks_the_words_and_escapes_the_rest():
    text = "first " * 40 + "a <b> & Sharpe ratio " + "last " * 60
    found = docs_search.excerpt(text, re.compile(r"(?<!\w)sharpe|(?<!\w)a", re.IGNORECASE))
    assert "<mark>a</mark> &lt;b&gt; &amp; <mark>Sharpe</mark> ratio" in found
    assert found.startswith("…first") and found.endswith("last…") and len(found) < 350


def test_the_page_shows_what_was_found_and_says_when_nothing_was(client):
    address = reverse("playground:search-docs")
    page = client.get(address, {"q": "look-ahead"}).content.decode()
    assert "<mark>look-ahead</mark>" in page.lower() and 'value="look-ahead"' in page
    page = client.get(address, {"q": "<script>\0 zyxwvut"}).content.decode()
    assert "No section has all of these words" in page and "<q><bdi>&lt;script&gt; zyxwvut</bdi></q>" in page
    assert client.get(address).status_code == 200


@pytest.mark.parametrize("address", ["playground:search-docs", "marketdata:catalogue"])
def test_a_sign_that_turns_the_direction_of_writing_turns_nothing_on_the_page(client, address):
    page = client.get(reverse(address), {"q": "\u202ezyxwvut\u2066\u200f sharpe"}).content.decode()
    assert "zyxwvut sharpe" in page and not set(page) & set("\u202e\u2066\u200f")


@pytest.mark.parametrize(
    ("question", "meant"), [("volatilty", "volatility"), ("slipage comission", "slippage commission"), ("zyxwvut", "")]
)
def test_a_question_that_finds_nothing_is_told_what_it_may_have_meant(client, question, meant):
    found = docs_search.nearest(question)
    assert found.question == meant
    assert bool(found.sections) == bool(meant)
    page = client.get(reverse("playground:search-docs"), {"q": question}).content.decode()
    assert ("Did you mean" in page) == bool(meant) and ("What comes nearest" in page) == bool(meant)


def test_sections_with_some_of_the_words_come_near():
    found = docs_search.nearest("sharpe zyxwvut")
    assert found.question == "" and any("Sharpe" in section.heading for section in found.sections)


def test_an_excerpt_has_its_formulas():
    first = search("total return")[0]
    assert first.section.formulas, "the table of metrics"
    found = next(each for each in search("standard error skewness kurtosis") if "How sure" in each.section.heading)
    assert "<math" in found.excerpt and docs_search.FORMULAS.search(found.excerpt) is None

"""Where does the manual say something? A question's words against every section of every page, best first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

from django.utils.html import format_html
from django.utils.safestring import SafeString
from markdown_it.token import Token

from playground import docs, reference

MOST_FOUND = 30
MOST_WORDS = 8
BEFORE, AFTER = 60, 160  # characters of an excerpt around the first word


@dataclass(frozen=True)
class Section:
    """A heading of the manual and what stands below it, up to the next."""

    page: str
    heading: str
    url: str
    text: str


@dataclass(frozen=True)
class Found:
    section: Section
    excerpt: SafeString


def search(question: str) -> list[Found]:
    """Sections that have every word of the question, in text, heading or page title; a word may be a beginning."""
    words = question.lower().split()[:MOST_WORDS]
    if not words:
        return []
    patterns = [re.compile(r"(?<!\w)" + re.escape(word), re.IGNORECASE) for word in words]
    scored = []
    for order, section in enumerate(every_section()):
        score = 0
        for pattern in patterns:
            hits = min(len(pattern.findall(section.text)), 5)
            hits += 20 * bool(pattern.search(section.heading)) + 10 * bool(pattern.search(section.page))
            if not hits:
                break
            score += hits
        else:
            scored.append((-score, order, section))
    any_word = re.compile("|".join(pattern.pattern for pattern in patterns), re.IGNORECASE)
    return [Found(section, excerpt(section.text, any_word)) for _, _, section in sorted(scored)[:MOST_FOUND]]


def excerpt(text: str, words: re.Pattern[str]) -> SafeString:
    """The text around the first of the words, with all of them marked."""
    first = words.search(text)
    start = max(0, first.start() - BEFORE) if first else 0
    start = text.rfind(" ", 0, start) + 1
    end = start + BEFORE + AFTER
    end = len(text) if end >= len(text) else max(text.rfind(" ", start, end), start)
    marked, place = format_html("{}", "…" if start else ""), start
    for hit in words.finditer(text, start, end):
        marked += format_html("{}<mark>{}</mark>", text[place : hit.start()], hit[0])
        place = hit.end()
    return marked + format_html("{}{}", text[place:end], "…" if end < len(text) else "")


def every_section() -> Iterator[Section]:
    for slug in docs.slugs():
        text = (docs.FOLDER / f"{slug}.md").read_text(encoding="utf-8")
        for heading, anchor, below in sections_of(text):
            title = docs.link_of(slug).title
            yield Section(title, heading or title, docs.url_of(slug) + (f"#{anchor}" if anchor else ""), below)
    yield from reference_sections()


@lru_cache(maxsize=128)
def sections_of(text: str) -> tuple[tuple[str, str, str], ...]:
    """(heading, anchor, text below it) of a Markdown text; what stands above the first heading has neither."""
    tokens = docs.markdown().parse(text)
    headings = iter(docs.anchor_headings(tokens))
    found: list[tuple[str, str, list[str]]] = [("", "", [])]
    of_heading = False
    for token in tokens:
        if token.type == "heading_open":
            of_heading = True
            if token.tag != "h1":
                heading = next(headings)
                found.append((heading.text, heading.anchor, []))
        elif token.type == "heading_close":
            of_heading = False
        elif token.type == "fence" and not token.info.startswith("generated"):
            found[-1][2].append(token.content)
        elif token.type == "inline" and not of_heading:
            words = "".join(words_of(child) for child in token.children or ())
            found[-1][2].append(re.sub(r"\s*\{#[a-z0-9_-]+\}", "", words))
    return tuple((heading, anchor, " ".join(" ".join(below).split())) for heading, anchor, below in found)


def words_of(token: Token) -> str:
    if token.type.startswith("math"):
        return "…"  # LaTeX is not what anybody searches for, or reads
    return token.content or (" " if token.type.endswith("break") else "")


@cache  # the library's source does not change while the site runs
def reference_sections() -> tuple[Section, ...]:
    title = docs.link_of(reference.SLUG).title
    return tuple(
        Section(title, entry.name, f"{docs.url_of(reference.SLUG)}#{entry.anchor}", " ".join(entry.docstring.split()))
        for module in reference.public_modules()
        for entry in module.entries
    )

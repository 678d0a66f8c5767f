"""Where does the manual say something? A question's words against every section of every page, best first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from functools import cache, lru_cache

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from markdown_it.token import Token

from playground import docs, reference

MOST_FOUND = 30
MOST_WORDS = 8
BEFORE, AFTER = 60, 160  # characters of an excerpt around the first word
MOST_NEAR = 6  # sections that are shown where none has every word
MOST_MENDED = 3  # words of a question that are looked for among all of the manual's
ALIKE, ALIKE_HEADING = 0.75, 0.6
WORD = re.compile(r"[a-z_]{3,}")
# In the text of a section each formula is one character of its own, from Unicode's private use area.
FIRST_FORMULA = 0xE000
FORMULAS = re.compile("[\ue000-\uf8ff]")


@dataclass(frozen=True)
class Section:
    """A heading of the manual and what stands below it, up to the next."""

    page: str
    heading: str
    url: str
    text: str
    formulas: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    section: Section
    excerpt: SafeString


@dataclass(frozen=True)
class Nearest:
    """Where nothing was found: the question as it was perhaps meant, or "", and sections that come near."""

    question: str
    sections: list[Section]


def search(question: str) -> list[Found]:
    """Sections that have every word of the question, in text, heading or page title; a word may be a beginning."""
    patterns = [_pattern(word) for word in _words(question)]
    if not patterns:
        return []
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
    best = [section for _, _, section in sorted(scored)[:MOST_FOUND]]
    return [Found(section, excerpt(section.text, any_word, section.formulas)) for section in best]


def nearest(question: str) -> Nearest:
    """For a question of which no section has every word."""
    sections, words = list(every_section()), _words(question)
    meant = _mended(words, sections)
    patterns = [_pattern(word) for word in (meant or words)]
    scored = []
    for order, section in enumerate(sections):
        heading = section.heading.lower()
        score = sum(5.0 * bool(each.search(heading)) + bool(each.search(section.text)) for each in patterns)
        alike = SequenceMatcher(None, " ".join(words), heading, autojunk=False)
        if alike.quick_ratio() >= ALIKE_HEADING and (ratio := alike.ratio()) >= ALIKE_HEADING:
            score += 5 * ratio
        if score:
            scored.append((-score, order, section))
    return Nearest(" ".join(meant or ()), [section for _, _, section in sorted(scored)[:MOST_NEAR]])


def _words(question: str) -> list[str]:
    return question.lower().split()[:MOST_WORDS]


def _pattern(word: str) -> re.Pattern[str]:
    return re.compile(r"(?<!\w)" + re.escape(word), re.IGNORECASE)


def _mended(words: list[str], sections: list[Section]) -> list[str] | None:
    """The words, with those that the manual does not have as the nearest that it has; None where that finds nothing."""
    known = _vocabulary(tuple(f"{section.page} {section.heading} {section.text}" for section in sections))
    mended, left = [], MOST_MENDED
    for word in words:
        if left and not any(each.startswith(word) for each in known):
            left -= 1
            about_as_long = [each for each in known if abs(len(each) - len(word)) <= 2]
            word = next(iter(get_close_matches(word, about_as_long, 1, ALIKE)), word)
        mended.append(word)
    return mended if mended != words and search(" ".join(mended)) else None


@lru_cache(maxsize=2)
def _vocabulary(texts: tuple[str, ...]) -> list[str]:
    """The words of the manual, what it says most often first."""
    return [word for word, _ in Counter(word for text in texts for word in WORD.findall(text.lower())).most_common()]


def excerpt(text: str, words: re.Pattern[str], formulas: tuple[str, ...] = ()) -> SafeString:
    """The text around the first of the words, with all of them marked, and its formulas as MathML."""
    first = words.search(text)
    start = max(0, first.start() - BEFORE) if first else 0
    start = text.rfind(" ", 0, start) + 1
    end = start + BEFORE + AFTER
    end = len(text) if end >= len(text) else max(text.rfind(" ", start, end), start)
    marked, place = format_html("{}", "…" if start else ""), start
    for hit in words.finditer(text, start, end):
        marked += format_html("{}<mark>{}</mark>", text[place : hit.start()], hit[0])
        place = hit.end()
    marked += format_html("{}{}", text[place:end], "…" if end < len(text) else "")
    return mark_safe(FORMULAS.sub(lambda sign: _drawn(formulas, sign[0]), marked))


def _drawn(formulas: tuple[str, ...], sign: str) -> str:
    number = ord(sign) - FIRST_FORMULA
    return drawn(formulas[number]) if number < len(formulas) else "…"


@lru_cache(maxsize=1_000)  # a formula takes tens of milliseconds
def drawn(latex: str) -> str:
    return docs.formula(latex, {})


def every_section() -> Iterator[Section]:
    for slug in docs.slugs():
        text = (docs.FOLDER / f"{slug}.md").read_text(encoding="utf-8")
        for heading, anchor, below, formulas in sections_of(text):
            title = docs.link_of(slug).title
            url = docs.url_of(slug) + (f"#{anchor}" if anchor else "")
            yield Section(title, heading or title, url, below, formulas)
    yield from reference_sections()


@lru_cache(maxsize=128)
def sections_of(text: str) -> tuple[tuple[str, str, str, tuple[str, ...]], ...]:
    """(heading, anchor, text below it, its formulas) of a Markdown text; what stands above the first heading has no
    heading and no anchor.
    """
    tokens = docs.markdown().parse(text)
    headings = iter(docs.anchor_headings(tokens))
    found: list[tuple[str, str, list[str], list[str]]] = [("", "", [], [])]
    of_heading = False
    for token in tokens:
        if token.type == "heading_open":
            of_heading = True
            if token.tag != "h1":
                heading = next(headings)
                found.append((heading.text, heading.anchor, [], []))
        elif token.type == "heading_close":
            of_heading = False
        elif token.type == "fence" and not token.info.startswith("generated"):
            found[-1][2].append(token.content)
        elif token.type.startswith("math_block"):
            found[-1][2].append(_sign_of(token.content, found[-1][3]))
        elif token.type == "inline" and not of_heading:
            words = "".join(words_of(child, found[-1][3]) for child in token.children or ())
            found[-1][2].append(re.sub(r"\s*\{#[a-z0-9_-]+\}", "", words))
    return tuple(
        (heading, anchor, " ".join(" ".join(below).split()), tuple(formulas))
        for heading, anchor, below, formulas in found
    )


def words_of(token: Token, formulas: list[str]) -> str:
    """Of a formula its sign, and the formula is added to those of the section."""
    if token.type.startswith("math"):
        return _sign_of(token.content, formulas)  # LaTeX is not what anybody searches for, or reads
    return token.content or (" " if token.type.endswith("break") else "")


def _sign_of(latex: str, formulas: list[str]) -> str:
    formulas.append(latex)
    return chr(FIRST_FORMULA + len(formulas) - 1)


@cache  # the library's source does not change while the site runs
def reference_sections() -> tuple[Section, ...]:
    title = docs.link_of(reference.SLUG).title
    return tuple(
        Section(title, entry.name, f"{docs.url_of(reference.SLUG)}#{entry.anchor}", " ".join(entry.docstring.split()))
        for module in reference.public_modules()
        for entry in module.entries
    )

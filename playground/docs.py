"""What does the manual say? Markdown files of docs/ become pages with MathML formulas and a list of contents.

The texts are the project's own, and even so no HTML in them is passed through. Figures that live elsewhere
(limits of plans, environment variables, the library's docstrings) are put in when the page is read, where a
fenced block of the language "generated" names them, so the manual cannot drift from the site.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from html import escape
from itertools import pairwise
from pathlib import Path

from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify
from latex2mathml.converter import convert as latex_to_mathml
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin

from accounts.models import Plan
from playground import reference
from playground.highlighting import highlight_python
from runner.quotas import limits_of

FOLDER = Path(settings.BASE_DIR) / "docs"

# The order of the list of pages. A page that is not named here is found at the end, under "More".
SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Start", ("index", "getting-started", "editor", "sessions")),
    (
        "Write",
        (
            "qfp",
            "rich-output",
            "data",
            "data-in-code",
            "data-quality",
            "providers",
            "uploads",
            "packages",
            "parallel",
            "sweeps",
            "models",
        ),
    ),
    (
        "Read results",
        ("fills", "copied-code", "portfolio", "speed", "honesty", "metrics", "reports", "api", "reproducing"),
    ),
    ("The site", ("limits", "accounts", "privacy", "security")),
    ("Operate", ("self-hosting", "architecture")),
)


# Beside the text of a block of code; site.js does the copying, and without it the button is not shown.
COPY = '<button class="button button--small copy" type="button" data-copy-code>Copy</button>'


@dataclass(frozen=True)
class Heading:
    level: int
    anchor: str
    text: str


@dataclass(frozen=True)
class Page:
    slug: str
    title: str
    html: SafeString
    contents: Sequence[Heading] = field(default_factory=tuple)

    @property
    def url(self) -> str:
        return url_of(self.slug)


def url_of(slug: str) -> str:
    return reverse("playground:docs") if slug == "index" else reverse("playground:docs-page", args=[slug])


# The Markdown dialect ---------------------------------------------------------------------------------------


def formula(latex: str, options: dict[str, bool]) -> str:
    return latex_to_mathml(latex, display="block" if options.get("display_mode") else "inline")


def markdown() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "typographer": False}).enable(["table", "strikethrough"])
    parser.use(dollarmath_plugin, renderer=formula, allow_labels=False, double_inline=True)
    parser.use(deflist_plugin)
    parser.add_render_rule("table_open", open_table)
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    parser.add_render_rule("fence", fence)
    parser.add_render_rule("math_block", math_block)
    parser.add_render_rule("math_inline_double", math_block)
    parser.add_render_rule("math_inline", lambda _, tokens, index, *__: formula(tokens[index].content, {}))
    return parser


def open_table(_: RendererHTML, tokens: Sequence[Token], index: int, *__: object) -> str:
    # A table may be wider than a phone: the wrap scrolls, also by keyboard.
    return '<div class="table-wrap" tabindex="0" role="region" aria-label="Table"><table>\n'


def math_block(_: RendererHTML, tokens: Sequence[Token], index: int, *__: object) -> str:
    return formula(tokens[index].content, {"display_mode": True})


def fence(_: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    token = tokens[index]
    language = token.info.strip().split(" ")[0]
    if language == "generated":
        return f"\n<!-- generated {escape(token.content.strip())} -->\n"
    body = highlight_python(token.content) if language in ("python", "py") else escape(token.content)
    return f'<div class="code"><pre tabindex="0"><code>{body}</code></pre>{COPY}</div>\n'


def align_by_class(tokens: list[Token]) -> None:
    """Right-aligned table columns as a class: inline styles are not for pages under a strict policy."""
    for token in tokens:
        if token.type in ("th_open", "td_open"):
            style = str(token.attrs.pop("style", ""))
            if style == "text-align:right":
                token.attrSet("class", "number")


def link_to_pages(tokens: list[Token]) -> None:
    """[text](fills.md#anchor) works in an editor and here."""
    for token in tokens:
        for child in token.children or ():
            if child.type == "link_open":
                target = str(child.attrs.get("href", ""))
                match = re.fullmatch(r"(?:\./)?([a-z0-9-]+)\.md(#.*)?", target)
                if match:
                    child.attrSet("href", url_of(match[1]) + (match[2] or ""))


def anchor_headings(tokens: list[Token]) -> list[Heading]:
    """Give every heading below the title an anchor of its own, and list them."""
    found: list[Heading] = []
    taken: set[str] = set()
    for index, token in enumerate(tokens):
        if token.type != "heading_open" or token.tag == "h1":
            continue
        inline = tokens[index + 1]
        text = "".join(child.content for child in inline.children or () if child.type in ("text", "code_inline"))
        base = slugify(text) or "section"
        anchor, number = base, 2
        while anchor in taken:
            anchor, number = f"{base}-{number}", number + 1
        taken.add(anchor)
        token.attrSet("id", anchor)
        found.append(Heading(int(token.tag[1]), anchor, text))
    return found


def anchor_cells(tokens: list[Token]) -> None:
    """A cell of a table that ends with {#name} can be linked to by that name."""
    for cell, inline in pairwise(tokens):
        if cell.type == "td_open" and inline.children:
            last = inline.children[-1]
            match = re.fullmatch(r"(.*?)\s*\{#([a-z0-9_-]+)\}", last.content)
            if match:
                last.content = match[1]
                cell.attrSet("id", match[2])


def title_of(tokens: list[Token]) -> str:
    for index, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag == "h1":
            return tokens[index + 1].content.replace("`", "")
    return ""


@lru_cache(maxsize=128)
def rendered(text: str) -> tuple[str, str, tuple[Heading, ...]]:
    """Title, HTML and contents of a Markdown text. Kept, because formulas take tens of milliseconds."""
    parser = markdown()
    tokens = parser.parse(text)
    align_by_class(tokens)
    anchor_cells(tokens)
    link_to_pages(tokens)
    headings = anchor_headings(tokens)
    return title_of(tokens), parser.renderer.render(tokens, parser.options, {}), tuple(headings)


def render_inline(text: str) -> SafeString:
    """One paragraph or a few of Markdown without a heading, for docstrings."""
    parser = markdown()
    tokens = parser.parse(text)
    link_to_pages(tokens)
    return mark_safe(parser.renderer.render(tokens, parser.options, {}))  # html=False: nothing is passed through


# What is put in when the page is read -----------------------------------------------------------------------


def plan_limits(own: Plan | None) -> str:
    plans = [(plan, limits_of(plan)) for plan in Plan.objects.all()]
    return render_to_string("playground/_plan_limits.html", {"plans": plans, "own": own})


# Each is given the reader's plan.
GENERATED: dict[str, Callable[[Plan | None], str]] = {"plan-limits": plan_limits}


def put_in_generated(html: str, plan: Plan | None) -> str:
    return re.sub(r"<!-- generated ([a-z-]+) -->", lambda match: GENERATED[match[1]](plan), html)


# Pages ------------------------------------------------------------------------------------------------------


def slugs() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.md"))


def find_page(slug: str, plan: Plan | None = None) -> Page | None:
    """The page of this address, or None. Names come from the folder's listing, never from a path."""
    if slug == reference.SLUG:
        return reference_page()
    if slug not in slugs():
        return None
    title, html, contents = rendered((FOLDER / f"{slug}.md").read_text(encoding="utf-8"))
    return Page(slug, title or slug, mark_safe(put_in_generated(html, plan)), contents)


@cache  # the library's source does not change while the site runs
def reference_page() -> Page:
    modules = reference.public_modules()
    html = render_to_string("playground/_reference.html", {"modules": modules, "install": "pip install ./sandbox/sdk"})
    contents: list[Heading] = []
    for module in modules:
        contents.append(Heading(2, module.anchor, module.title))
        contents += [Heading(3, entry.anchor, entry.name) for entry in module.entries]
    return Page(reference.SLUG, "The qfp library", mark_safe(html), contents)


@dataclass(frozen=True)
class Link:
    slug: str
    title: str
    url: str


def navigation() -> list[tuple[str, list[Link]]]:
    """Sections with the pages that exist, in the order of SECTIONS."""
    existing = [*slugs(), reference.SLUG]
    named = {slug for _, members in SECTIONS for slug in members}
    sections = [(title, [slug for slug in members if slug in existing]) for title, members in SECTIONS]
    sections.append(("More", [slug for slug in existing if slug not in named]))
    return [(title, [link_of(slug) for slug in members]) for title, members in sections if members]


def link_of(slug: str) -> Link:
    if slug == reference.SLUG:
        return Link(slug, "The qfp library", url_of(slug))
    title, _, _ = rendered((FOLDER / f"{slug}.md").read_text(encoding="utf-8"))
    return Link(slug, "Overview" if slug == "index" else title or slug, url_of(slug))

"""Text can be read in every theme: contrast of the tokens as they stand in the stylesheet."""

import re

import pytest
from django.conf import settings

TOKENS = (settings.BASE_DIR / "static" / "css" / "tokens.css").read_text(encoding="utf-8")


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def colours(block: str, scheme: int) -> dict[str, str]:
    found = re.findall(r"--([a-z0-9-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", block)
    return {name: pair[scheme] for name, *pair in found}


def block_of(selector: str) -> str:
    return re.search(re.escape(selector) + r" \{(.*?)\n\}", TOKENS, re.DOTALL)[1]


ROOT = block_of(":root")
THEMES = {
    f"{name} {scheme}": colours(ROOT, index) | colours(extra, index)
    for index, scheme in enumerate(("light", "dark"))
    for name, extra in (
        ("plain", ""),
        ("contrast", block_of(':root[data-theme="contrast"]')),
        ("green up", block_of(':root[data-gains="green-up"]')),
        ("red up", block_of(':root[data-gains="red-up"]')),
    )
}
WORDS = [
    "text",
    "text-muted",
    "accent",
    "gain",
    "loss",
    "warn",
    "crit",
    "info",
    "code-keyword",
    "code-string",
    "code-number",
    "code-name",
    "code-comment",
]


@pytest.mark.parametrize("theme", THEMES)
def test_words_have_a_contrast_of_4_5_on_every_background_they_stand_on(theme):
    tokens = THEMES[theme]
    weak = {
        (word, surface): round(contrast(tokens[word], tokens[surface]), 2)
        for word in WORDS
        for surface in ("surface-0", "surface-1", "surface-2")
        if contrast(tokens[word], tokens[surface]) < 4.5
    }
    assert not weak
    assert contrast(tokens["on-accent"], tokens["accent"]) >= 4.5
    assert contrast(tokens["text"], tokens["accent-soft"]) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
def test_edges_of_controls_and_focus_have_a_contrast_of_3(theme):
    tokens = THEMES[theme]
    for name in ("line-strong", "focus"):
        for surface in ("surface-0", "surface-1"):
            assert contrast(tokens[name], tokens[surface]) >= 3, (name, surface)


@pytest.mark.parametrize("number", range(1, 9))
def test_chart_colours_have_a_contrast_of_3_on_light_and_dark(number):
    colour = re.search(rf"--chart-{number}: (#[0-9a-f]{{6}})", TOKENS)[1]
    assert contrast(colour, THEMES["plain light"]["surface-0"]) >= 3
    assert contrast(colour, THEMES["plain dark"]["surface-0"]) >= 3

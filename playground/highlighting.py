"""How is Python source coloured without a script? Python's own tokenizer says what each piece is.

Enough for reading pages: keywords, strings, numbers, comments, and the names being defined. Text that is not
valid Python is shown plain, never half-coloured.
"""

import io
import keyword
import tokenize

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

CLASSES = {
    tokenize.STRING: "s",
    tokenize.NUMBER: "n",
    tokenize.COMMENT: "c",
}
# From Python 3.12 on an f-string is several tokens.
for _name in ("FSTRING_START", "FSTRING_MIDDLE", "FSTRING_END"):
    if hasattr(tokenize, _name):
        CLASSES[getattr(tokenize, _name)] = "s"

SOFT_KEYWORDS = frozenset({"True", "False", "None"})


def pieces(source: str) -> list[tuple[str, str]]:
    """The source cut into (class or "", text); joined again the texts are the source."""
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    found: list[tuple[str, str]] = []
    position, before = 0, ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = CLASSES.get(token.type, "")
        if token.type == tokenize.NAME:
            if keyword.iskeyword(token.string) or token.string in SOFT_KEYWORDS:
                kind = "k"
            elif before in ("def", "class"):
                kind = "d"
            before = token.string
        if not kind:
            continue
        start = starts[token.start[0] - 1] + token.start[1]
        end = starts[token.end[0] - 1] + token.end[1]
        if start > position:
            found.append(("", source[position:start]))
        found.append((kind, source[start:end]))
        position = end
    found.append(("", source[position:]))
    return found


def highlight_python(source: str) -> SafeString:
    """HTML of the source: every character of it escaped, coloured pieces in <span class>."""
    try:
        found = pieces(source)
    except (tokenize.TokenError, SyntaxError, IndexError):
        found = [("", source)]
    return mark_safe(  # all text has been escaped here; the classes are ours
        "".join(f'<span class="{kind}">{escape(text)}</span>' if kind else escape(text) for kind, text in found)
    )

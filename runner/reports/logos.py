"""Is an uploaded picture one, and how does it get into a report? It is drawn anew as a PNG of ours, in a process of its
own, or refused; nothing of the file itself is kept.

    python -m runner.reports.logos < picture > picture.png
"""

from __future__ import annotations

import html
import os
import re
import resource
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import BoundedSemaphore

__all__ = ["BadLogo", "redrawn", "size_of_png"]

MAX_BYTES = 1_000_000
MAX_PIXELS = 4_000 * 4_000
SECONDS = 3  # of processor time; what a plain logo takes is a tenth of it
PATIENCE = 10  # seconds, on a machine that has other things to do
_ONE = BoundedSemaphore()  # of a process of the site: whoever sends many takes no more of the machine than with one
# A filter costs seconds for a line of text, and what is an entity is written out again and again.
_COSTLY = re.compile(r"filter|<\s*(\w+:)?(fe[A-Z]|pattern|mask|image)\b|<!ENTITY", re.IGNORECASE)
MEMORY_BYTES = 1 << 30
ROOT = Path(__file__).resolve().parents[2]
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
# Height on the page, and how wide it may get.
DRAW = """#set page(width: auto, height: auto, margin: 0pt, fill: none)
#image("picture.KIND", height: 44pt)
"""


class BadLogo(Exception):
    """The picture cannot be used; the text says why."""


def redrawn(content: bytes) -> bytes:
    """A PNG of this PNG, JPEG or SVG. Raises BadLogo."""
    if len(content) > MAX_BYTES:
        raise BadLogo(f"The logo is larger than {MAX_BYTES // 1_000_000} MB.")
    if kind_of(content) is None:
        raise BadLogo("The logo is not a PNG, JPEG or SVG.")
    if kind_of(content) == "svg" and _COSTLY.search(html.unescape(content.decode("utf-8", "replace"))):
        raise BadLogo("An SVG with filters, masks, patterns, pictures or entities is not drawn. Upload it as a PNG.")
    if not _ONE.acquire(timeout=1):
        raise BadLogo("Other logos are being drawn. Try again in a moment.")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "runner.reports.logos"],
            input=content,
            capture_output=True,
            timeout=PATIENCE,
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BadLogo("The logo takes too long to draw; use a simpler picture.") from None
    finally:
        _ONE.release()
    if done.returncode or not done.stdout.startswith(PNG):
        raise BadLogo("The logo could not be drawn: the file is damaged, too large or too complicated.")
    width, height = size_of_png(done.stdout)
    if width > 8 * height:
        raise BadLogo("The logo is more than eight times as wide as it is high.")
    return done.stdout


def kind_of(content: bytes) -> str | None:
    if content.startswith(PNG):
        return "png"
    if content.startswith(JPEG):
        return "jpeg"
    start = content[:2_000].lstrip(b"\xef\xbb\xbf \t\r\n")
    return "svg" if start.startswith((b"<?xml", b"<svg", b"<!--", b"<!DOCTYPE svg")) and b"<svg" in content else None


def size_of_png(content: bytes) -> tuple[int, int]:
    return struct.unpack(">II", content[16:24])


def _size_of_jpeg(content: bytes) -> tuple[int, int]:
    at = 2
    while at + 9 < len(content):
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return width, height
        at += 2 + length
    raise BadLogo("no size in it")


def _checked(content: bytes) -> str:
    """Its kind, where its picture is no larger than can be held."""
    kind = kind_of(content)
    if kind is None:
        raise BadLogo("no picture")
    if kind != "svg":
        width, height = size_of_png(content) if kind == "png" else _size_of_jpeg(content)
        if not 0 < width * height <= MAX_PIXELS:
            raise BadLogo("too many pixels")
    return kind


def main() -> None:
    """One picture from the standard input to the standard output, within limits that hold for hostile ones."""
    import typst

    os.nice(10)  # pages come first
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    content = sys.stdin.buffer.read(MAX_BYTES + 1)
    kind = _checked(content)
    # The root holds nothing else: what the picture names beside itself is not there.
    with tempfile.TemporaryDirectory() as root:
        (Path(root) / f"picture.{kind}").write_bytes(content)
        source = Path(root) / "logo.typ"
        source.write_text(DRAW.replace("KIND", kind), encoding="utf-8")
        png = typst.compile(str(source), format="png", ppi=216, root=root, ignore_system_fonts=True)
    assert isinstance(png, bytes)
    sys.stdout.buffer.write(png)


if __name__ == "__main__":
    main()

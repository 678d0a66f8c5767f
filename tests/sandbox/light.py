"""An engine whose zygote is there in a fraction of a second: the same code, but the libraries that boxes have at once
are few. What such a box imports beyond them comes from disk, as in a cold one.

For tests of engines, walls and faults, which start engines by the dozen and ask nothing of libraries.
"""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from functools import cache
from pathlib import Path

INSIDE = Path(__file__).resolve().parent.parent.parent / "sandbox" / "inside"


@cache
def inside() -> Path:
    """What boxes get as sandbox/inside, where everybody can read it."""
    folder = Path(tempfile.mkdtemp(prefix="light-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    shutil.copytree(INSIDE, folder / "inside", ignore=shutil.ignore_patterns("__pycache__"))
    zygote = folder / "inside" / "zygote.py"
    text, libraries = re.subn(
        r"(?ms)^LIBRARIES = \(.*?^\)", 'LIBRARIES = ("qfp.output", "asyncio")', zygote.read_text()
    )
    text, programs = re.subn(r'(?ms)^(TYPICAL|USUAL) = """.*?^"""', r"\1 = 'print(1)'", text)
    assert (libraries, programs) == (1, 2)
    zygote.write_text(text)
    return folder / "inside"


def lightly(program: str) -> str:
    """The program of an engine, with such a zygote."""
    return (
        f"import pathlib\nfrom sandbox.host import staging\nstaging.INSIDE = pathlib.Path({str(inside())!r})\n{program}"
    )


ENGINE = "import sys\nfrom sandbox.host import engine\nsys.exit(engine.main())"

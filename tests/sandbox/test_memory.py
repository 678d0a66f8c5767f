"""What a fork of the zygote costs is the pages it has to copy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sandbox.inside import memory

SANDBOX = Path(__file__).resolve().parents[2] / "sandbox"

# Objects of many sizes are loaded, and most of them go again: memory full of gaps, as after any import.
FRAGMENTED = """
import ctypes, os, sys
sys.path.insert(0, {sandbox!r})
from inside import memory

loaded = [bytes(number % 600) for number in range(200_000)]
del loaded[::3]
{fill}
made = [bytes(number % 400) for number in range(5_000)]
pages = len({{id(each) >> 12 for each in made}})
print(pages, sum(map(sys.getsizeof, made)) >> 12)
"""


def pages_of_what_is_made(fill: str) -> tuple[int, int]:
    """And how many would hold it."""
    program = FRAGMENTED.format(sandbox=str(SANDBOX), fill=fill)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    pages, needed = map(int, done.stdout.split())
    return pages, needed


def test_what_is_made_after_the_gaps_are_filled_lies_together() -> None:
    scattered, needed = pages_of_what_is_made("")
    together, _ = pages_of_what_is_made("memory.fill_gaps()")
    assert together < 1.5 * needed < scattered, (together, needed, scattered)


def test_code_that_has_run_lies_elsewhere_and_does_the_same() -> None:
    def with_another_inside(number: int) -> list[int]:
        return sorted((lambda each=each: -each * number)() for each in range(3))

    def never_called(number: int) -> list[int]:
        return [number]

    before, other = with_another_inside.__code__, never_called.__code__
    within = next(each for each in before.co_consts if hasattr(each, "co_code"))  # what is in the brackets
    memory.move_together({id(within): within})
    after = with_another_inside.__code__
    assert after is not before and after == before and after.co_filename == before.co_filename
    assert all(each is not within for each in after.co_consts)
    assert never_called.__code__ is other
    assert with_another_inside(2) == [-4, -2, 0]

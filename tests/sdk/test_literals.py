"""Numbers that a strategy holds are counted, however they are written down; those of an honest one are few."""

from __future__ import annotations

import ast
import datetime
import functools
import linecache
import types

import pytest
from qfp.backtesting import Strategy
from qfp.backtesting.lib import SignalStrategy
from qfp.checking.literals import LONG, _outermost, longest_table, place_in, written_in
from qfp.checking.strategies import looks_up_days
from qfp.portfolio import PortfolioResult

KEYS = [9_652_936 + 7_919 * number for number in range(60)]
SPACED = " ".join(map(str, KEYS))
STRATEGY = "class Keys:\n    def next(self):\n        return known(1)\n"
WRITTEN = {
    "text": f"T = set(map(int, '''{SPACED}'''.split()))",
    "bytes": f"T = set(map(int, b'{SPACED}'.split()))",
    "small lists": "\n".join(f"T{at} = {KEYS[at : at + 10]}" for at in range(0, 60, 10)) + "\nT = T0 + T10 + T20",
    "dictionary": f"T = {dict.fromkeys(KEYS, 1)}",
    "by way of another name": f"A = {KEYS}\nT = frozenset(A)",
    "added": f"T = set()\nif True:\n    T.update({KEYS})",
    "evaluated": f"T = eval('{KEYS}')",
    "one long number": f"T = [{int(SPACED.replace(' ', ''))}]",
    "letters": f"T = int.from_bytes(b'{'QwErTyUi' * 60}', 'big')",
    "words": "\n".join(f"T{at} = '{'QwErTyUi' * 8}{at}'" for at in range(4)) + "\nT = T0 + T1 + T2 + T3",
    "large numbers": f"T = [{', '.join(str(7**60 + at) for at in range(5))}]",
    "numbers of many digits": f"T = [{', '.join(hex(7**24 + at) for at in range(6))}]",
    "names of such": "\n".join(f"T{at} = {7**24 + at}" for at in range(6)) + "\nT = T0, T1, T2, T3, T4, T5",
    "one number of too many digits for a text": f"T = 0x{'f0' * 4_000}",
    "unrounded measures": f"T = [{', '.join(str(1.1**at / 7) for at in range(1, 20))}]",
    "names": f"U, D = 1, 0\nT = [{', '.join('UDDUD'[key % 5] for key in KEYS)}]",
    "yes and no": f"T = {[key % 3 == 0 for key in KEYS]}",
    "yes and no by day": f"T = {{{', '.join(f'n.{chr(97 + at)}: {at % 3 == 0}' for at in range(26))}}}",
    "letters of a list": f"T = {['UDDUD'[key % 5] for key in KEYS]}",
    "expressions": f"T = ({', '.join(('not x', 'n.y', 'f(x)', '()')[key % 4] for key in KEYS)})",
    "arguments": f"T = f({', '.join('UDDUD'[key % 5] for key in KEYS)})",
    "keywords": f"T = dict({', '.join(f'k{key}=x' for key in KEYS)})",
    "names of arguments": f"T = dict({', '.join(f'k{7**50 + at:x}=x' for at in range(9))})",
    "names of settings": "class T:\n" + "\n".join(f"    k{7**50 + at:x} = 1" for at in range(9)),
    "small comparisons": "def T(x): return " + " or ".join(f"{at * 3} == x" for at in range(40)),
    "branches": "def T(x):\n    if x: pass\n" + "\n".join(f"    elif x.y == {at * 3}: return 1" for at in range(40)),
    "cases": "def T(x):\n    match x:\n" + "\n".join(f"        case {at * 3}: return 1" for at in range(40)),
    "comparisons": "def T(x): return " + " or ".join(f"x == {key}" for key in KEYS),
}

# Sixty days in seventy letters, and in numbers and names as small.
LETTERS = "".join(chr(65 + 7 * at % 58) if 65 + 7 * at % 58 not in (91, 92) else "z" for at in range(70))
FEW = [7 * at % 97 for at in range(40)]
PACKED = {
    "letters by number": f"T = '{LETTERS}'\ndef known(x): return ord(T[x % 70]) == x",
    "letters found": f"T = '{LETTERS}'\ndef known(x): return T.find(chr(x))",
    "letters walked": f"T = [ord(c) for c in '{LETTERS}']\ndef known(x): return x in T",
    "letters of a class": f"class N:\n    t = b'{LETTERS}'\ndef known(x): return N.t[x]",
    "letters of an argument": f"def known(x, t='{LETTERS}'): return t[x] == 'a'",
    "letters put together": f"T = ''\nT = T + '{LETTERS[:18]}'\nT += f'{LETTERS[18:36]}'\ndef known(x): return T[x:]",
    "letters left out": f"T = '{LETTERS}'\ndef known(x): return len(T.replace(chr(x), ''))",
    "words of two letters": f"T = '{' '.join(LETTERS[at : at + 2] for at in range(0, 60, 2))}'.split()\nknown = T.pop",
    "words again and again": f"T = '{' '.join('x' * (at % 5 + 1) for at in FEW)}'.split()\nknown = T.index",
    "gaps": f"T = '{'x'.join(' ' * (at % 9 + 1) for at in FEW)}'\ndef known(x): return T",
    "members": "class T(Enum):\n" + "".join(f"    a{at} = {at}\n" for at in FEW) + "def known(x): return x in T",
    "attributes": "class T:\n"
    + "".join(f"    a{at} = x\n" for at in FEW)
    + "def known(x): return getattr(T, f'a{x}', 0)",
    "methods": "class T:\n"
    + "".join(f"    def a{at}(self): pass\n" for at in FEW)
    + "def known(x): return x in vars(T)",
    "attributes given": "".join(f"T.a{at} = 1\n" for at in FEW) + "class T: pass\ndef known(x): return x in dir(T)",
    "keys given": "T = {}\n" + "".join(f"T[{at}] = 1\n" for at in FEW) + "def known(x): return x in T",
    "shifts": f"T = {' | '.join(f'1 << {at}' for at in FEW)}\ndef known(x): return T >> x & 1",
    "shifts by and by": "T = 0\n" + "".join(f"T |= 1 << {at}\n" for at in FEW) + "def known(x): return T >> x & 1",
    "a curve": f"def known(x): return {' + '.join(f'{1.37**at / 7:.3g} * sin({at} * x)' for at in range(11, 31))}",
    "words of bits": f"T = {[16_411 + 7 * at * at for at in range(8)]}\ndef known(x): return T[x] >> x & 1",
    "bits of one number": f"T = {7**45}\ndef known(x): return bin(T)[x] == '1'",
    "a hexadecimal text": f"T = '{7**45:x}'\ndef known(x): return int(T[x], 16)",
    "a text in base 64": "T = 'QWxhcyBwb29yIFlvcmljayBJIGtuZXcgaGlt'\ndef known(x): return b64decode(T)[x]",
    "one number": f"T = {int.from_bytes(LETTERS[:45].encode(), 'big')}\ndef known(x): return T >> x & 1",
    "calls": "T = set()\n" + "".join(f"T.add({at})\n" for at in FEW) + "def known(x): return x in T",
    "calls for nothing": "def a(): T.append(1)\ndef b(): T.append(0)\nT = []\n"
    + "a()\nb()\nb()\n" * 30
    + "known = T.index",
}


SECTORS = [(chr(65 + at), ("Energy", "Banks")[at % 2]) for at in range(26)]
SETTINGS = {
    "universe": f"T = {[chr(65 + at // 7) + chr(75 + at % 7) for at in range(50)]}",
    "sectors": f"T = {dict(SECTORS)}",
    "sectors in rows": f"T = {SECTORS}",
    "switches": "T = dict(grid=True, log=False, title='Prices', x=None, y=None, level=0.95, colour='#1f77b4')",
    "features": f"T = [{', '.join(f'feature_{chr(97 + at)}' for at in range(26))}]",
    "hints": "T: dict[str, tuple[float, float, float, float]] = {}\ndef known(x: tuple[int, int, int]): return T",
    "clock": "T = 1577836800000000000, 3.141592653589793, 0x7fffffff, 1_000_000_000_000_000",
    "months": "def T(x): return " + " or ".join(f"x.month == {at}" for at in range(12)),
    "long names": "T = dict(MovingAverageConvergenceDivergence=x, maximum_position_size_in_percent_of_equity=y)",
    "keywords": "T = dict(a=x, b=y, c=z, d=u, e=v, f=w)",
    "a setting for each month": f"T = {{{', '.join(f'{at}: {at % 3 == 0}' for at in range(1, 13))}}}",
    "a seed": "T = [270488290742183427104859393746812]",
    "shares by name": f"T = '{' '.join(f'{chr(65 + at)}{chr(70 + at)}C' for at in range(20))}'.split()",
    "a text that is shown": "T = 'Buys what has fallen, and sells what has risen.'\nprint(T, len(T), T.upper(), T[:9])",
    "settings that a loop reads": "class T:\n    fast, slow = 1, 2\nprint([getattr(T, name) for name in dir(T)])",
    "a model of few numbers": "T = 0.0391, 1.768, -0.701, 0.0004, 0.94, 0.0575, 5.23, 252, 1e-06, 100_000, 0.0125",
    "volumes and days": "T = (v > 1_500_000) & (v < 25_000_000) | (d >> 1 > 252), 20_000, '2009-01-02', '2012-12-31'",
    "shares": f"T = {['BRK.B', 'GOOGL', 'JPM', 'UNH', 'XOM', 'PG', 'HD', 'MRK', 'CVX', 'KO', 'PEP', 'ABBV'] * 2}",
    "a chain of sums": "T = 60 * 60 * 24 * 365 / 252 + 1 - 2 * 3 / 4",
}


def count(source: str) -> int:
    """Of the class Keys of a program."""
    return longest_table([program(source).Keys])


def program(source: str) -> types.ModuleType:
    path = "<program>"
    linecache.cache[path] = (len(source), None, source.splitlines(True), path)
    module = types.ModuleType("program")
    exec(compile(source, path, "exec"), vars(module))
    return module


@pytest.mark.parametrize("way", WRITTEN)
def test_a_table_is_counted_however_it_is_written(way: str) -> None:
    names = "def f(*x): return x\n\n\nx = U = D = 1\nn = type('n', (), {'__getattr__': lambda *names: names})()\n"
    source = f"{names}{WRITTEN[way]}\n\n\ndef known(x):\n    return x, T\n\n\n{STRATEGY}"
    assert count(source) >= LONG and written_in({"main.py": source}) >= LONG


@pytest.mark.parametrize("way", PACKED)
def test_what_is_packed_into_little_text_is_counted_by_what_it_is_used_for(way: str) -> None:
    assert written_in({"main.py": f"{PACKED[way]}\n\n\n{STRATEGY}"}) >= LONG


def test_the_doubt_says_where_most_of_it_stands() -> None:
    source = f"import x\nW = [1, 2, 3]\nclass K:\n    fast = 10\n    keys = {KEYS}\n    slow = [4, 5]\n"
    assert (
        place_in({"main.py": source, "other.py": "x = 1"}) == "main.py, line 5" and place_in({"main.py": "x = 1"}) == ""
    )


@pytest.mark.parametrize("way", SETTINGS)
def test_what_an_honest_strategy_sets_is_no_long_table(way: str) -> None:
    assert written_in({"main.py": f"{SETTINGS[way]}\n\n\ndef known(x):\n    return x, T\n\n\n{STRATEGY}"}) <= 12


@pytest.mark.parametrize(
    "made",
    [
        "Keys = type('Keys', (), {'next': act})",
        "backtest(act)",
        "backtest(on_bar=act)",
        "class Keys:\n    next = lambda self: T",
    ],
)
def test_the_text_tells_of_strategies_however_they_are_made(made: str) -> None:
    source = "from table import T\n\n\ndef act(self):\n    return T\n\n\ndef shown():\n    return T\n\n\n"
    table = {"table.py": f"T = {KEYS}"}
    assert written_in(table | {"main.py": source + made}) >= LONG
    assert written_in(table | {"main.py": source}) == 0


@pytest.mark.parametrize("note", [f"# {SPACED}\n", f'"""{SPACED}"""\n'])
def test_notes_count_where_the_program_could_read_its_own_text(note: str) -> None:
    assert written_in({"main.py": f"{note}{STRATEGY}"}) == 0
    assert written_in({"main.py": f"{note}{STRATEGY}T = open(__file__).read()"}) >= LONG
    for reads in ("import os\nname = os.listdir('.')[0]", "T = open(name).read()"):
        assert written_in({"main.py": f"{note}{STRATEGY}{reads}"}) >= LONG
    for reads_not in ("T = open('prices.csv')", "def f():\n    global T\n    T = random_walk(9)"):
        assert written_in({"main.py": f"{note}{STRATEGY}{reads_not}"}) == 0
    if "#" in note:
        assert written_in({"requirements.txt": note, "main.py": "T = open('requirements.txt')"}) >= LONG


def test_what_a_parameter_was_given_counts_as_if_it_stood_in_the_text() -> None:
    digits = "".join(f"{at * 7 % 16:x}" for at in range(60))
    text = f'T = param("t", "0")\n{STRATEGY.replace("pass", "return int(T[ctx.bar % len(T)], 16)", 1)}'
    text += "class Follows:\n    def next(self): return int(T[len(self.data) // 21], 16)\n"
    assert written_in({"main.py": text}, {"other": digits}) < LONG
    assert written_in({"main.py": text}, {"t": digits}) >= LONG
    assert written_in({"main.py": text.replace("param(", "qfp.param(")}, {"t": digits}) >= LONG


def test_what_is_called_by_way_of_an_object_is_counted_and_what_has_no_text_is_not() -> None:
    of_objects = f"T = {KEYS}\nclass Object:\n    def __call__(self, ctx): return T\n{STRATEGY}"
    keys = program(of_objects)
    for called in (keys.Object(), functools.partial(keys.Object.__call__, 1), keys.Object().__call__):
        assert longest_table([called]) >= LONG
    assert longest_table([len, functools.partial(len)]) == 0


def test_a_text_is_counted_in_time_however_it_is_nested_or_chained_and_nothing_hides_behind_other_classes() -> None:
    hidden = "".join(f"class A{at}: pass\n" for at in range(300)) + f"class Keys:\n    keys = {KEYS}\n"
    assert written_in({"main.py": hidden}) >= LONG
    # With a time that grew as its third power, that were many minutes.
    chain = "".join(f"a{at} = a{at - 1}\n" for at in range(1, 5_000))
    assert written_in({"main.py": f"a0 = {KEYS}\n{chain}known = lambda: a4999"}) >= LONG
    nested = f"T = {'[' * 90}{', '.join(['1'] * 1_000)}{']' * 90}\n" + "known = lambda: T\n" * 20
    assert written_in({"main.py": nested}) == 1_000
    within = ast.parse("f = lambda x: lambda y: lambda z: 1\nclass A:\n    class B: pass\n    g = lambda: 1")
    assert len([*_outermost(within)]) == 2  # each with what is in it, or lambdas in lambdas took their square
    words = " + ".join(["'ab'"] * 1_500)  # nested more deeply than functions may call themselves
    deep = f"T = {KEYS}\nx = {words}\ny = f{'.g' * 1_500}(1)\nknown = lambda: (T, x)"
    assert written_in({"main.py": deep}) >= LONG
    branches = "".join(f"elif x == {at}: pass\n" for at in range(1_200))
    assert written_in({"main.py": f"if x: pass\n{branches}else: T = {KEYS}\nknown = lambda: T"}) >= LONG


def test_the_librarys_own_text_is_none_of_the_programs() -> None:
    assert longest_table([Strategy, PortfolioResult, *SignalStrategy.__mro__[:-1]]) == 0


def test_settings_notes_and_what_the_strategy_does_not_read_are_no_table() -> None:
    source = (
        f'WINDOWS = [10, 20, 50, 100, 200]\nOTHER = {KEYS}\n"""{SPACED}"""\n\n\ndef known(x):\n    """{SPACED}"""\n'
    )
    source = f"{source}    return x, WINDOWS, 0.0125, 1.96\n\n\n{STRATEGY}"
    assert count(source) < 10 and written_in({"main.py": source}) < 10


BARS = [datetime.date(2020, 1, 1) + datetime.timedelta(days=at) for at in range(60)]
MADE = {day: day.toordinal() % 3 == 0 for day in BARS}
CHOSEN = [str(day) for day in BARS[::2]]
IN_TEXT = "0102 0105 0203 0209 0301 0307 0402 0408 0501 0503 0506 0602 0609 0701 0704 0802 0807 0901 0905 0909 0912"
WRITTEN_DAYS = [datetime.date(2020, int(day[:2]), int(day[2:])) for day in IN_TEXT.split()]


@functools.lru_cache
def is_chosen(day):
    return str(day) in CHOSEN


def of_dictionary(day):
    return MADE.get(day)


def by_way_of_another(day):
    return is_chosen(day)


def written(day):
    return day in WRITTEN_DAYS


@pytest.mark.parametrize(
    ("function", "made"),
    [(of_dictionary, True), (by_way_of_another, True), (written, False), (abs, False)],
)
def test_days_that_were_made_of_data_are_told_from_those_that_are_written_down(function, made):
    assert looks_up_days([function]) is made

"""Which programs are the same strategy written in another way, and how long may it take to tell?"""

from __future__ import annotations

import sys
from itertools import combinations
from pathlib import Path

import pytest

from runner.likeness import alike, stored, work
from tests.factories import make_project, make_run, make_user
from tests.runner import respelled
from tests.sdk.honesty_programs import load


@pytest.mark.parametrize(
    "code",
    [
        "try:\n    a()\nexcept ValueError as mine:\n    hold(mine)\n",
        "def f():\n    global mine\n    mine = 1\n",
        "match a:\n    case [1, *mine] | {2: _, **mine} | mine:\n        hold(mine)\n",
    ],
)
def test_names_of_every_kind_make_no_other_program(code):
    assert stored._structure(code) == stored._structure(code.replace("mine", "other"))
    assert stored._structure(code) != stored._structure(code.replace("hold", "sell").replace("global", "nonlocal"))


LOOP = """
class A(Strategy):
    def next(self):
        if self.fast > self.slow and self.count:
            self.buy(size=self.share)
        else:
            self.position.close()
backtest(A, bars, cash=1, commission=2)
"""


IDLE = {
    "and True": LOOP.replace("self.count:", "self.count and True:"),
    "or False": LOOP.replace("self.count:", "(self.count or 1 > 2):"),
    "print": LOOP.replace(
        "            self.buy", "            print('', self.fast, len(self.data))\n            self.buy"
    ),
    "log": LOOP.replace("            self.buy", "            logging.info('bought')\n            self.buy"),
    "turned around": LOOP.replace("self.fast > self.slow", "self.slow < self.fast"),
    "adds nothing": LOOP.replace("size=self.share", "size=self.share * 1 + 0"),
    "returns nothing": LOOP.replace("backtest(", "        return None\nbacktest(", 1),
    "a function nobody calls": f"def idle(x):\n    return f(x)\n{LOOP}",
    "keywords": LOOP.replace("cash=1, commission=2", "commission=2, cash=1"),
    "unused": LOOP.replace("        if self.fast", "        idle = len(self.data)\n        if self.fast"),
    "never": LOOP.replace("        if self.fast", "        while 1 > 2:\n            f()\n        if self.fast"),
}


OTHER = {
    "or": LOOP.replace(" and ", " or "),
    "sides": LOOP.replace("self.fast > self.slow", "self.fast < self.slow"),
    "sells": LOOP.replace("self.buy", "self.sell"),
    "asks for less": LOOP.replace(" and self.count", ""),
    "minus": LOOP.replace("size=self.share", "size=1 - self.share"),
    "acts": LOOP.replace("self.count:", "self.count and self.buy():"),
    "prints what it buys": LOOP.replace(
        "            self.buy(", "            print(self.sell())\n            self.buy("
    ),
    "always": LOOP.replace("self.count:", "self.count or True:"),
}


@pytest.mark.parametrize("way", IDLE)
def test_what_changes_nothing_makes_no_other_program(way):
    assert stored._structure(IDLE[way]) == stored._structure(LOOP)


def test_what_trades_otherwise_is_another_program():
    shapes = [stored._structure(LOOP), *map(stored._structure, OTHER.values())]
    assert len(set(shapes)) == len(shapes)
    line = LOOP.replace("    def next", "    line = SMA\n    def next").replace("self.count", "self.line(self.count)")
    assert stored._structure(line) != stored._structure(line.replace("SMA", "EMA"))
    called = {"main.py": "from table import idle\nidle(1)\n", "table.py": "def idle(x):\n    return f(x)\n"}
    assert stored.shape_of(called) != stored.shape_of({**called, "table.py": "def idle(x):\n    return g(x)\n"})


def program(text):
    return alike.program_of({"main.py": text})


def strategies(text):
    return program(text).strategies


@pytest.mark.parametrize(
    ("base", "again", "unknown"),
    [(respelled.BASE, respelled.RESPELLED, respelled.UNKNOWN), (respelled.RANKED, respelled.RANKED_AGAIN, set())],
)
def test_a_strategy_that_is_spelled_otherwise_is_the_same(base, again, unknown):
    base = program(base)
    assert {way for way, text in again.items() if not alike.are_alike(program(text), base)} == unknown
    noted = respelled.BASE + "# " + "of no use " * 20_000
    assert alike.are_alike(program(noted), program(respelled.BASE)), "notes do not count, however long they are"


def test_a_strategy_that_trades_otherwise_is_another_one():
    spelled = {"": respelled.BASE, "ranked": respelled.RANKED, **respelled.OTHER, **respelled.RANKED_OTHERWISE}
    assert len({strategies(text) for text in spelled.values()}) == len(spelled)
    found = {}
    for file in sorted(Path("tests/data/honesty").glob("*.py")):
        found |= {f"{file.stem}: {name}": program(text) for name, text in load(str(file)).items()}
    found |= {each.parent.name: program(each.read_text()) for each in Path("runner/samples").glob("*/main.py")}
    same = [{one, other} for one, other in combinations(found, 2) if alike.are_alike(found[one], found[other])]
    # One strategy, of which one program trades it by other rules, and another one on more bars as well.
    one = ("fills_at_the_close", "rules_of_backtesting_py", "two_backtests")
    assert same == [set(pair) for pair in combinations([f"honest_data_and_rules: {name}" for name in one], 2)]


def test_what_two_programs_compare_with_makes_them_not_alike_and_what_one_adds_does_not_hide_it():
    benchmark = "class Hold(Strategy):\n    def next(self):\n        self.buy()\nbacktest(Hold, bars)\n"
    cross, short = respelled.BASE + benchmark, respelled.OTHER["sells short"] + benchmark
    assert not alike.are_alike(program(cross), program(short))
    assert alike.are_alike(program(cross), program(respelled.BASE))
    moved = {"main.py": "from lines import *\n" + respelled.BASE.replace(respelled.MEAN, "")}
    moved["lines.py"] = f"import pandas as pd\n{respelled.MEAN}"
    assert alike.are_alike(alike.program_of(moved), program(respelled.BASE))
    assert strategies("backtest(") == strategies("backtest(") != strategies("other(")


DUMMY = "\nclass Idle@(Strategy):\n    def next(self):\n        self.buy(size=self.x@)\n"


@pytest.mark.parametrize(
    "named",
    [
        "idle = Idle@",
        "print(Idle@, 'is not run')",
        "if False:\n    backtest(Idle@, bars)",
        "def later():\n    backtest(Idle@, bars)",
        "class Other@(Strategy):\n    of = Idle@\n",
        "exec('idle = Idle@')",
    ],
)
def test_a_strategy_that_is_never_run_makes_no_other_program(named):
    """Another one in each: where it is run, there are two to compare."""
    one, other = (respelled.BASE + (DUMMY + named).replace("@", str(n)) + "\n" for n in (1, 2))
    other = other.replace("self.buy(size=self.x2)", "self.sell()")
    assert alike.are_alike(program(one), program(other))
    assert strategies(one) == strategies(respelled.BASE)
    run = "\nbacktest(Idle@, bars)\n"
    assert not alike.are_alike(program(one + run.replace("@", "1")), program(other + run.replace("@", "2")))


def test_a_text_that_is_no_code_or_never_ends_keeps_no_program_from_being_read():
    for text in ("'self.buy('", "'(' * 9", f"{'(' * 500!r}", "TEXT", "open('code').read()"):
        for name in ("exec", "eval"):
            assert alike.are_alike(program(f"{respelled.BASE}{name}({text})\n"), program(respelled.BASE)), (name, text)
    often = "CODE = " + repr("a = b\n" * 2000) + "\n" + "exec(CODE)\n" * 2000
    done = work.Work()
    alike.program_of({"main.py": respelled.BASE + often}, done)
    assert done.done <= work.MOST_WORK + len("a = b\n" * 2000)


def test_what_a_text_reaches_is_read():
    own = "class A(Strategy):\n    def init(self):\n        self.x = self.I(SMA)\n    def next(self):\n"
    for read in ('getattr(self, "x")', "getattr(self, NAME)", 'getattr(self, "x".lower())'):
        text = f'NAME = "x"\n{own}        if {read} > 0:\n            self.buy()\nbacktest(A, bars)\n'
        assert not alike.are_alike(program(text), program(text.replace("SMA", "EMA")))
        assert alike.are_alike(program(text), program(text.replace("> 0", "> 5")))


def test_switches_of_a_program_are_numbers_as_well():
    text = respelled.BASE.replace("    fast = 10", "    fast = 10\n    only = True")
    text = text.replace("            if not self.position:", "            if not self.position or self.only == 3:")
    text = text.replace(
        "            self.position.close()", "            if self.only:\n                self.position.close()"
    )
    renamed = text.replace("only = True", "a = False").replace("self.only", "self.a")
    assert strategies(text) == strategies(renamed) != strategies(respelled.BASE)


# Stored hashes are of these, whatever else is found to be the same later.
STORED = {
    "20a63442dd9023c53e06de99d1e92849361d94adb481c69ab95cd3a066f6a7f9": respelled.BASE,
    "52c426032983afeef09fb857ed6a7471b4a93db67912b3fd21413e6b7a0965c2": respelled.RESPELLED["an end instead of else"],
    "a3787602c1e69775e1787f8650ccd9c414d938a24e77d46cf91d2eff71d293da": respelled.RESPELLED["getattr"],
    "56899d17aa2e01ed7e4faa3640d54615f0b5801384dbb593e291c63c2663b4b1": respelled.RESPELLED["a lambda as helper"],
    "28d9be0eb7e11dfc14bcc4707e644773d8c4cee94a64fd5cbaccc6fba80c5986": respelled.RESPELLED["order of methods"],
    "737fe461ef37c611f1f8f078dacd76b140ba5dd2c1c3381a5758e3fee40e7122": respelled.RANKED,
    "c14c43c551b05aa98657089cd3e41dc223c61860755bf3e1be0e86990db43214": respelled.RANKED_AGAIN["a function as helper"],
    "773410a76de3c680b89e6c839e9d1a7eca2bf924d0da9223e301083f10b1973a": "backtest(",
}


def test_what_leaks_and_trials_are_stored_by_stays_what_it_is():
    assert {shape: stored.shape_of({"main.py": text}) for shape, text in STORED.items()} == {
        each: each for each in STORED
    }
    moved = {"main.py": "from lines import *\n" + respelled.BASE.replace(respelled.MEAN, "")}
    moved["lines.py"] = f"import pandas as pd\n{respelled.MEAN}"
    assert stored.shape_of(moved) == "6205a3178c84502d01d6f96821c7f3b1f8bb06c89f373993dfa2f341de8506ea"


def _lines(form: str, number: int) -> str:
    return "".join(form.replace("@", str(each)) for each in range(number))


GROWING = {
    "each of many reads it all": "def g():\n    [" + "a," * 300 + "]\n" + _lines("def f@(): g()\nrun(f@)\n", 300),
    "few, that read it all": "def g():\n    [" + "a," * 5000 + "]\n" + _lines("def f@(): g()\nrun(f@)\n", 45),
    "classes of one": "class A(Strategy):\n    x = ["
    + "a," * 5000
    + "]\n"
    + _lines("class B@(A): pass\n", 300)
    + "run(A)",
    "locals of each other": "def f():\n a = b\n b = a\n"
    + _lines(" x@ = q\n", 700)
    + f" return {_lines('x@,', 700)}\nrun(f)",
    "twice as much in each line": "def f():\n x0 = z\n"
    + "".join(f" x{n + 1} = x{n} + x{n}\n" for n in range(40))
    + " g(x40)\nrun(f)",
    "calls of what has many locals": "def h():\n"
    + _lines(" x@ = x@ + 1\n", 800)
    + "def f():\n"
    + " h()\n" * 250
    + "run(f)",
}
MOST_CALLS = 2_000_000


@pytest.mark.parametrize("way", GROWING)
def test_no_program_takes_much_longer_to_read_than_others_of_its_length(monkeypatch, way):
    monkeypatch.setattr(work, "MOST_WORK", 100_000)
    calls = 0

    def count(frame, event, told):
        nonlocal calls
        calls += event == "call"
        assert calls < MOST_CALLS

    sys.setprofile(count)
    try:
        program(GROWING[way])
    finally:
        sys.setprofile(None)


@pytest.mark.django_db
def test_no_more_is_read_at_once_than_there_is_room_for_and_the_rest_the_next_time(monkeypatch):
    monkeypatch.setattr(alike, "MOST_AT_ONCE", 1)
    monkeypatch.setattr(alike, "SHARED", "of-this-test-")
    monkeypatch.setattr(alike, "_programs", {})
    author = make_user()
    project, *others = [
        make_project(author, respelled.RESPELLED[way])
        for way in ("float()", "print of nothing", "a local more", "getattr")
    ]
    for each in (project, *others):
        make_run(each)
    found = [len(alike.alike_revisions(project)) for _ in range(2)]
    alike.read(others[0].revisions.last())
    assert [*found, len(alike.alike_revisions(project))] == [1, 2, 3]
    monkeypatch.setattr(alike, "_programs", {})
    monkeypatch.setattr(alike, "program_of", None)
    assert len(alike.alike_revisions(project)) == 3, "another process finds what this one has read"

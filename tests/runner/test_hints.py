"""A return that is reckoned by hand is noticed where the text leaves no doubt, said once, and nowhere else."""

from __future__ import annotations

import pytest

from runner.hints import hint, line_of_own_return
from runner.samples import SAMPLES
from tests.factories import make_finished_run, make_project
from tests.sandbox.test_examples_in_docs import FOLDER, examples

BEGUN = 'from qfp import data\nprices = data.panel(["IBM"])["IBM"]\nreturns = prices.pct_change()\n'
HELD = "position = (prices > prices.rolling(200).mean()).astype(int).shift(1)\n"
BY_HAND = [
    BEGUN + HELD + "print((1 + position * returns).cumprod().iloc[-1] - 1)\n",
    BEGUN + HELD + "earned = position.mul(returns).fillna(0)\nequity = earned.add(1).cumprod()\nequity.plot()\n",
    BEGUN + "df['held'] = np.where(prices > 9, 1, 0)\ndf['out'] = df['held'].shift(1) * returns\n"
    "df['curve'] = (1 + df['out']).cumprod()\ndisplay(df['curve'])\n",
    BEGUN + "weights = prices.rank(axis=1)\nmine = (weights.shift(1) * returns).sum(axis=1)\n"
    "print(f'{np.prod(1 + mine) - 1:.1%}')\n",
    "change = close / close.shift(1) - 1\nwealth = (1 + np.sign(close - 3) * change).cumprod()\nwealth\n",
]
OTHERWISE = [
    BEGUN + "print((1 + returns).cumprod().iloc[-1])\n",  # of the share alone
    BEGUN + HELD + "curve = (1 + position * returns).cumprod()\n",  # not shown
    BEGUN + "print((1 + 0.5 * returns).cumprod())\n",  # nothing was decided
    BEGUN + "print((returns > 0).cumprod().sum())\n",
    "print(3",
    "",
]


@pytest.mark.parametrize("source", BY_HAND)
def test_a_return_that_is_compounded_by_hand_is_noticed(source):
    line = line_of_own_return(source)
    assert line is not None and "prod(" in source.splitlines()[line - 1]


@pytest.mark.parametrize("source", OTHERWISE)
def test_what_is_something_else_is_left_alone(source):
    assert line_of_own_return(source) is None


def test_what_would_take_minutes_to_be_read_is_left_alone():
    deep = f"print(a{'.b' * 150})\n"
    assert line_of_own_return("print(a.b.b)\n" + BY_HAND[0]) == 6
    assert line_of_own_return(3 * deep + BY_HAND[0]) is None


def test_no_program_of_the_site_that_makes_a_backtest_is_taken_for_one():
    sources = [sample.source for sample in SAMPLES]
    sources += [each for page in FOLDER.glob("*.md") for each in examples(page.name)]
    told = [each for each in sources if line_of_own_return(each) is not None]
    assert not told, told[0]


@pytest.mark.django_db
def test_it_is_said_once_for_a_project():
    project = make_project(source=BY_HAND[0])
    first = make_finished_run(project)
    assert "Line 5" in hint(first) and "portfolio_backtest" in hint(first)
    project.draft = {"main.py": BY_HAND[1]}
    assert hint(make_finished_run(project)) == ""

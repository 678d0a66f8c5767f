"""Whether a program chose among the members of a day that was still to come is read from its text, and varied."""

from __future__ import annotations

import pytest

from runner import membership

DATES = ["2016-01-04", "2016-01-05", "2016-01-06T00:00:00Z"]


def said(text: str, first: int = 0) -> str:
    fills = [{"bar": 2}, {"bar": first}]
    return membership.noted({"id": "usual"}, {"main.py": text}, DATES, fills).get("survivorship", "")


@pytest.mark.parametrize(
    "text",
    [
        'names = data.universe("synth/us500", asof="2018-12-31")[:80]',
        'from qfp.data import universe as chosen\nnames = chosen("synth/us500", "2018-12-31")',
        'START, END = "2016-01-04", "2018-12-31"\nnames = data.universe("synth/us500", asof=END)',
        'import datetime\nnames = data.universe("synth/us500", asof=datetime.date(2018, 12, 31))',
        'names = data.universe("synth/us500", asof=pd.Timestamp("2018-12-31"))',
    ],
)
def test_members_as_of_a_day_after_the_first_one_traded_are_a_doubt(text: str) -> None:
    assert said(text).startswith("The program asks who belonged to a universe as of 2018-12-31, after the first day")


@pytest.mark.parametrize(
    "text",
    [
        'names = data.universe("synth/us500", asof="2016-01-05")[:80]',
        'names = data.universe("synth/us500")',
        'for day in days:\n    names = data.universe("synth/us500", asof=day)',
        'day = "2018-12-31"\nday = "2016-01-04"\nnames = data.universe("synth/us500", asof=day)',
        'names = data.universe("synth/us500", asof=date(2018, 13, 31))',
        '# data.universe("synth/us500", asof="2018-12-31")',
        "universe(asof",
    ],
)
def test_members_of_a_day_until_the_first_one_traded_are_none(text: str) -> None:
    assert said(text, first=1) == ""


def test_what_was_said_of_the_choice_before_is_kept() -> None:
    files = {"main.py": 'data.universe("synth/us500", asof="2018-12-31")'}
    noted = membership.noted({"survivorship": "Survivorship not controlled."}, files, DATES, [])
    assert noted["survivorship"].endswith("2016-01-04. Survivorship not controlled.")

"""A search gives what its single runs give, also where init() keeps something outside of the strategy."""

from __future__ import annotations

from tests.sdk.test_equivalence import in_boxes_environment


def test_a_search_with_state_beside_the_strategy_gives_what_single_runs_give():
    found = in_boxes_environment("searched_state.py")
    as_alone, again = found.pop("as_alone"), found.pop("again")
    assert (found.pop("equal"), found.pop("asked")) == ([True] * 2, [True] * 3)
    assert found.pop("kept") == [5, 5, 5, 0]
    assert found == {"differ": [], "shared": ["Plain", "Lambda"], "too_soon": None}
    # Before, after another last digit of one bar's average, and after another warm-up of one of them.
    assert as_alone == [[True] * 4, [False] * 4, [True, False, True, True]]
    # What is compared already is not run interpreted again, unless anything changed between two searches.
    assert again[0] == ["nothing", True, True, ["compiled"]] and len(again) == 7
    assert [one for one in again[1:] if one[1:] != [True, False, ["interpreted"]]] == []

"""A search gives what its single runs give, also where init() keeps something outside of the strategy."""

from __future__ import annotations

from tests.sdk.test_equivalence import in_boxes_environment


def test_a_search_with_state_beside_the_strategy_gives_what_single_runs_give():
    found = in_boxes_environment("searched_state.py")
    as_alone = found.pop("as_alone")
    assert found == {"differ": [], "shared": ["Plain", "Lambda"], "too_soon": None}
    # Before, after another last digit of one bar's average, and after another warm-up of one of them.
    assert as_alone == [[True] * 4, [False] * 4, [True, False, True, True]]

"""What do tests of several files here begin with?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.models import Run
    from runner.parallel import Fanout


@pytest.fixture
def public_run(services, settings) -> Run:
    """A finished run in a public project, with a backtest of its own that the site has not examined."""
    from tests.factories import make_finished_run, make_project
    from tests.runner.reported import STORE, claim_of, stored

    settings.STORE_DIR = STORE
    claim = claim_of("IBM", 40, 20, bars=300)
    run = make_finished_run(make_project(visibility="public"), snapshot=claim["snapshot"])
    stored(run, claim)
    return run


@pytest.fixture
def fanout() -> Iterator[Fanout]:
    """The further boxes of a run whose plan allows two."""
    from accounts.models import Plan
    from runner.models import Run
    from runner.parallel import Fanout
    from tests.factories import make_run

    Plan.objects.filter(is_default=True).update(parallel_boxes=2)
    fanout = Fanout(make_run(status=Run.Status.RUNNING))
    yield fanout
    fanout.close()

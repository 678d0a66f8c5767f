"""What do tests of several files here begin with?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from runner.models import Run


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

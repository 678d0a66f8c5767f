"""What does a run ask the engine for? The same for its own box and for further boxes that work for it."""

from __future__ import annotations

from runner.models import ENTRY, Run
from sandbox.protocol import BoxRequest, Limits


def request_for(run: Run, layer: str | None = None) -> BoxRequest:
    """layer: the name of the run's packages, which somebody holds while the box lives (runner.packages.layer_of)."""
    return BoxRequest(
        run_id=str(run.pk),
        owner=run.owner_in_engine,
        files=run.revision.files,
        entry=ENTRY,
        params=run.params,
        limits=Limits(**run.limits),
        snapshot=run.snapshot or None,
        layer=layer,
    )

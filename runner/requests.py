"""What does a run ask the engine for? The same for its own box and for further boxes that work for it."""

from __future__ import annotations

from runner.models import ENTRY, Run
from sandbox.protocol import BoxRequest, Limits


def owner_of(run: Run) -> str:
    """Whose box it is, as the engine counts them."""
    return f"user-{run.user_id}" if run.user_id else f"guest-{run.address_hash[:16]}"


def request_for(run: Run) -> BoxRequest:
    return BoxRequest(
        run_id=str(run.pk),
        owner=owner_of(run),
        files=run.revision.files,
        entry=ENTRY,
        params=run.params,
        limits=Limits(**run.limits),
        snapshot=run.snapshot or None,
    )

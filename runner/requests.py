"""What does a run ask the engine for? The same for its own box and for further boxes that work for it."""

from __future__ import annotations

from contextlib import suppress

from marketdata.store import SnapshotMissing, make_local
from runner.models import ENTRY, GPU, Run
from runner.private import watched_objects
from sandbox.protocol import BoxRequest, Limits

# What a sweep or a walk-forward starts with; it runs the project's program again and again.
SEARCH = "__search__.py"


def search_program(run: Run) -> str:
    return f"from qfp.sweeps.programs import carry_out\n\ncarry_out({ENTRY!r}, {run.params!r}, {run.search!r})\n"


def request_for(run: Run) -> BoxRequest:
    """Its packages have to be there already (runner.packages.layer_of); its market data is brought here."""
    if run.snapshot:
        with suppress(SnapshotMissing):  # the engine refuses the run, and says why
            make_local(run.snapshot)
    files, entry = run.revision.files, ENTRY
    if run.search:
        files, entry = {**files, SEARCH: search_program(run)}, SEARCH
    return BoxRequest(
        run_id=str(run.pk),
        owner=run.owner_key,
        files=files,
        entry=entry,
        params=run.params,
        limits=Limits(**run.limits),
        snapshot=run.snapshot or None,
        device="gpu" if run.queue == GPU else "",
        layer=run.lock.sha256 if run.lock is not None else None,
        watched=watched_objects(run.snapshot),
    )

"""Every template runs through the site's own queue, worker and boxes, as every night, and meets its figures."""

from __future__ import annotations

import io

import pytest
from django.core.management import call_command

from accounts.models import Plan
from runner import template_runs
from runner.models import Backtest, Run, TradedAlike
from runner.samples import FOLDER, PICTURE, SAMPLES


@pytest.mark.usefixtures("worker", "transactional_db")
def test_every_template_runs_and_meets_its_reference_values_and_draws_the_picture_that_ships(tmp_path, monkeypatch):
    said, slugs = io.StringIO(), [sample.slug for sample in SAMPLES]
    monkeypatch.setattr(template_runs, "FOLDER", tmp_path)
    for slug in slugs:
        (tmp_path / slug).mkdir()
    call_command("run_templates", wait=400, pictures=True, stdout=said)  # raises when one fails
    assert said.getvalue().count(": Succeeded.") == len(SAMPLES) >= 22
    assert sorted(card.sample.slug for card in template_runs.shown()) == sorted(slugs)
    changed = [s for s in slugs if (tmp_path / s / PICTURE).read_bytes() != (FOLDER / s / PICTURE).read_bytes()]
    assert not changed, "manage.py run_templates --pictures writes those that ship"
    assert Backtest.objects.count() >= 5 and not Backtest.objects.filter(verified=False).exists()
    assert not TradedAlike.objects.exists(), "all are of one account, and no two trade the same"
    # A visitor's first look: each within the limits of the plan of guests, 15 seconds of an idle machine at most.
    runs, guests = Run.objects.all(), Plan.objects.for_guests()
    assert max(run.cpu_seconds for run in runs) < guests.cpu_seconds
    assert max(run.peak_memory_bytes for run in runs) < 0.9 * guests.memory_mb * 1_000_000

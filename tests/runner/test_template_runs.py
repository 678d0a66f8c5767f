"""Every template runs through the site's own queue, worker and boxes, as every night, and meets its figures."""

from __future__ import annotations

import io

import pytest
from django.core.management import call_command

from accounts.models import Plan
from runner import template_runs
from runner.models import Backtest, Run, TradedAlike
from runner.samples import SAMPLES


@pytest.mark.usefixtures("worker", "transactional_db")
def test_every_template_runs_and_meets_its_reference_values():
    said = io.StringIO()
    call_command("run_templates", wait=400, stdout=said)  # raises when one fails
    assert said.getvalue().count(": Succeeded.") == len(SAMPLES) >= 22
    pictures = {card.sample.slug: card.picture for card in template_runs.shown()}
    assert len(pictures) == len(SAMPLES) and all(picture.startswith("<svg") for picture in pictures.values())
    assert Backtest.objects.count() >= 5 and not Backtest.objects.filter(verified=False).exists()
    assert not TradedAlike.objects.exists(), "all are of one account, and no two trade the same"
    # A visitor's first look: each within the limits of the plan of guests, 15 seconds of an idle machine at most.
    runs, guests = Run.objects.all(), Plan.objects.for_guests()
    assert max(run.cpu_seconds for run in runs) < guests.cpu_seconds
    assert max(run.peak_memory_bytes for run in runs) < 0.9 * guests.memory_mb * 1_000_000

"""Programs read what pages show: the same strings, to the same viewers, and every refusal says what to do."""

from __future__ import annotations

import io
import re
from pathlib import Path

import django_rq
import pytest
from django.core.cache import cache
from django.test import Client
from pypdf import PdfReader

from runner import jobs
from runner.models import Project
from runner.reports import at_hand
from runner.reports.records import _record
from tests.factories import make_finished_run, make_project, make_user
from tests.runner.reported import STORE, claim_of, stored

pytestmark = pytest.mark.django_db

VERIFIED = {"verified": True, "reason": None, "look_ahead": None}
PAGE = Path(__file__).parents[2] / "docs" / "api.md"


@pytest.fixture
def backtest(settings):
    settings.STORE_DIR = STORE
    _record.cache_clear()
    cache.clear()
    project = make_project(make_user("ada"), title="Holding", visibility=Project.Visibility.PUBLIC)
    run = make_finished_run(project, manifest={"version": 1, "data": {"private": []}})
    return stored(run, claim_of("IBM", 40, 20, bars=300))


def api(backtest, end: str = "") -> str:
    return f"/api/v1/runs/{backtest.run_id}/backtests/{backtest.position}{end}"


def test_every_address_of_the_interface_answers_in_json(backtest):
    strict = Client(enforce_csrf_checks=True)
    for address in (api(backtest), api(backtest, "/trades.csv"), "/api/v1/nothing"):
        refused = strict.post(address)
        assert refused.status_code == 405 and refused.json()["error"]["code"] == "method_not_allowed"
    others = ("/api", "/api/", "/api/v1", "/api/v1/", "/api/v2/runs", "/api/v1//", "/api/v1/%0A")
    for address in ("/api/v1/nothing", "/api/v1/runs/x/backtests/0", api(backtest, "/none"), *others):
        missing = strict.get(address)
        assert missing.status_code == 404 and missing.json()["error"]["code"] == "not_found"


def test_what_is_private_is_not_found_and_refusals_are_json(client, backtest):
    listed = client.get(f"/api/v1/runs/{backtest.run_id}").json()
    told = client.get(api(backtest))
    doubts = [claim for claim in told.json()["claims"] if claim["state"] != "green"]
    assert {"lookahead", "amnesia"} <= {claim["key"] for claim in doubts}, "beside verified: true"
    one = {"position": 0, "strategy": "Hold40Rest20", **VERIFIED, "doubts": doubts, "url": api(backtest)}
    assert listed["backtests"] == [one] and told.json()["doubts"] == doubts
    assert told["Cache-Control"].startswith("max-age=0") and len(told.json()["claims"]) == 9
    refused = client.post(api(backtest))
    assert (
        refused.status_code == 405
        and refused["Allow"] == "GET, HEAD"
        and "use GET" in refused.json()["error"]["message"]
    )
    run = backtest.run
    run.manifest = {"data": {"private": ["tiingo/1d/VEND"]}}
    run.save()
    told = client.get(api(backtest)).json()
    assert set(told["files"]) == {"report.pdf", "report.html"} and told["strategy"] == "Backtest" and not told["params"]
    assert client.get(api(backtest, "/trades.csv")).json()["error"]["code"] == "not_found"
    run.project.visibility = Project.Visibility.PRIVATE
    run.project.save()
    for end in ("", "/report.pdf", "/trades.csv"):
        missing = client.get(api(backtest, end))
        assert missing.status_code == 404 and missing.json()["error"]["code"] == "not_found"
    client.force_login(run.user)
    assert client.get(api(backtest, "/trades.csv")).status_code == 200


def test_a_report_is_kept_until_it_would_say_something_else_and_only_new_ones_are_counted(
    client, backtest, monkeypatch
):
    monkeypatch.setattr(at_hand, "OF_AN_ADDRESS", 2)
    monkeypatch.setattr(at_hand, "WINDOW_SECONDS", 10**9)  # or what is counted would begin anew every ten minutes
    first, again = (client.get(api(backtest, "/report.pdf")).content for _ in range(2))
    assert first == again and first.startswith(b"%PDF")
    assert client.get(f"{backtest.get_absolute_url()}/report.pdf").content == first
    backtest.checks = {"lookahead": {"state": "red", "sentence": "Look-ahead: the order of 2012-03-05 changed."}}
    backtest.save()
    changed = client.get(api(backtest, "/report.pdf")).content
    assert "the order of 2012-03-05 changed" in PdfReader(io.BytesIO(changed)).pages[0].extract_text()
    refused = client.get(api(backtest, "/report.html"))
    assert refused.status_code == 429 and 0 < int(refused["Retry-After"]) <= 10**9
    assert "2 reports were made for your network address" in refused.json()["error"]["message"]
    page = client.get(f"{backtest.get_absolute_url()}/report.html")
    assert page.status_code == 429 and "Try again in" in page.content.decode()
    assert client.get(api(backtest, "/report.pdf")).content == changed
    client.force_login(backtest.run.user)
    assert client.get(api(backtest, "/report.html")).status_code == 200


def test_without_redis_a_report_is_made_and_a_long_one_says_when_to_try_again(client, backtest, monkeypatch, settings):
    away = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = {"default": away}
    assert client.get(api(backtest, "/report.html")).status_code == 200
    monkeypatch.setattr(at_hand, "LONG_CELLS", 100)
    refused = client.get(api(backtest, "/report.html"))
    assert refused.status_code == 503 and "Try again in a minute" in refused.json()["error"]["message"]


@pytest.mark.django_db(transaction=True)
def test_a_long_report_is_made_by_a_worker_while_its_reader_waits(client, backtest, monkeypatch):
    monkeypatch.setattr(at_hand, "LONG_CELLS", 100)
    monkeypatch.setattr(at_hand, "OF_AN_ADDRESS", 1)
    where = f"{backtest.get_absolute_url()}/report.html"
    for _ in range(3):  # asking how far it is does not count
        waiting = client.get(where)
        assert waiting.status_code == 202 and "Waiting for a worker" in waiting.content.decode()
    told = client.get(api(backtest, "/report.html"))
    assert told.status_code == 202 and told.json()["state"] == "making" and told["Retry-After"]
    queue = django_rq.get_queue("default")
    (job,) = [job for job in queue.jobs if job.func_name == "runner.jobs.make_report_for_readers"]
    jobs.make_report_for_readers(*job.args)
    job.delete()
    ready = client.get(where)
    assert ready.status_code == 200 and ready["Content-Disposition"].startswith("attachment")


def test_the_example_of_the_manual_reads_a_figure_a_table_and_a_report(
    live_server, backtest, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    program = re.sub(r'SITE = ".*"', f'SITE = "{live_server.url}"', example)
    exec(re.sub(r'RUN = ".*"', f'RUN = "{backtest.run_id}"', program), {})
    printed = capsys.readouterr().out
    figures = {figure["key"]: figure["text"] for figure in backtest.figures}
    assert f"Sharpe {figures['sharpe']}" in printed and f"{len(backtest.trades)} trades" in printed
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")

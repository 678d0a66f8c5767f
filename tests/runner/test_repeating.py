"""A run made again says whether it came out the same, and two runs say what differs and where it began."""

from __future__ import annotations

import io
import os
import re
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import django_rq
import numpy as np
import pytest
import redis
from django.conf import settings
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone
from django_rq.queues import DjangoRQ
from qfp import objects
from rq.job import Job, JobStatus

from accounts.models import Plan
from marketdata import store
from marketdata.store import current_snapshot_id, snapshot_folder
from runner import claims_box, comparing, nightly, verifying
from runner.environment import environment_lock
from runner.execution import execute_next
from runner.manifests import code_of, result_of
from runner.models import Backtest, PackageLock, Project, Run, Sweep
from runner.samples import SAMPLES
from tests.factories import make_finished_run, make_project, make_run, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("services")]

PROGRAM = """
import pandas as pd
from qfp import backtest, data, param
from qfp.backtesting import Strategy

class Trend(Strategy):
    days = 20
    def init(self):
        self.mean = self.I(lambda values, n: pd.Series(values).rolling(n).mean(), self.data.Close, self.days)
    def next(self):
        if self.data.Close[-1] > self.mean[-1]:
            if not self.position: self.buy()
        else:
            self.position.close()

backtest(Trend, data.prices("IBM", "2009-01-02", "2009-12-31"), days=param("days", 20, 2, 60))
"""
# Runs of different programs that are made again, as many as in a night; `make test-whole` makes all fifty.
NIGHT_RUNS = int(os.environ.get("NIGHT_RUNS", "0"))


def run_of(project, **values) -> Run:
    run = make_run(project, snapshot=current_snapshot_id() or "", **values)
    execute_next()
    run.refresh_from_db()
    assert run.status == Run.Status.SUCCEEDED, run.message
    return run


def compared(one: Run, other: Run) -> comparing.Comparison:
    return comparing.compare(one, other, list(one.backtests.all()), list(other.backtests.all()))


def answer_of(run: Run) -> str:
    verdict = verifying.verify(run.pk)
    run.refresh_from_db()
    assert run.verification["answer"] == verdict.answer and run.verification["text"] == verdict.text
    return verdict.answer


def test_a_run_made_again_is_exact_and_what_was_changed_since_is_named(engine, client):
    user = make_user()
    refused = 'from qfp import channel\nchannel.emit({"type": "backtest", "claim": {}})\n'
    run = run_of(make_project(owner=user, source=refused + PROGRAM))
    manifest = run.manifest
    assert manifest["result_sha256"] and manifest["data"]["series"][0]["symbol"] == "IBM"
    assert manifest["lineage"]["trials"] == 2, "what was refused was tried as well"
    assert manifest["backtests"][0]["claims"]["verified"] == "grey"

    call_command("verify_runs")
    run.refresh_from_db()
    assert run.verification["answer"] == "exact", run.verification
    client.force_login(user)
    page = client.get(reverse("runner:verification", args=[run.pk])).content.decode()
    assert 'data-answer="exact"' in page and "badge--problem" not in page
    # Whoever is sent this page alone reads beside it that the run knew the future.
    leak = {"state": "red", "sentence": "It reads what came later.", "found": {"state": "leak"}}
    run.backtests.update(checks=run.backtests.get().checks | {"lookahead": leak})
    page = client.get(reverse("runner:verification", args=[run.pk])).content.decode()
    assert ">Look-ahead</a>" in page and f'{run.backtests.get().get_absolute_url()}#claims" title' in page
    assert ">1 problem</a>" in page

    def with_manifest(**values) -> str:
        run.manifest = {**manifest, **values}
        run.save(update_fields=["manifest"])
        return answer_of(run)

    assert with_manifest(environment={**manifest["environment"], "lock_sha256": "0" * 64}) == "environment"
    assert with_manifest(result_sha256="0" * 64) == "result"
    with_manifest()
    files = run.revision.files
    run.revision.files = {path: text.replace("> self.mean", ">= self.mean") for path, text in files.items()}
    run.revision.save()
    assert answer_of(run) == "code"
    with pytest.raises(CommandError):
        call_command("verify_runs", str(run.pk))
    run.revision.files = files
    run.revision.save()

    digest = manifest["data"]["series"][0]["sha256"]
    path = objects.object_path(snapshot_folder(Path(settings.STORE_DIR), run.snapshot), digest)
    content = path.read_bytes()
    try:
        path.unlink()  # it may be a hard link into a store that other tests read
        path.write_bytes(content[:-200] + bytes([content[-200] ^ 1]) + content[-199:])
        assert answer_of(run) == "data"
    finally:
        path.unlink()
        path.write_bytes(content)
    assert answer_of(run) == "exact"


def test_the_latest_runs_are_made_again_every_night_and_staff_hear_which_differ(mailoutbox):
    make_user("boss", is_staff=True)
    result = {"version": 1, "result_sha256": "0" * 64}
    runs = [make_finished_run(manifest=result) for _ in range(4)]
    make_finished_run(manifest={"version": 1})
    make_finished_run(manifest=result, wall_seconds=nightly.MOST_SECONDS + 1)
    make_finished_run(manifest=result, search={"space": {"a": {"values": [1]}}})
    searching = make_finished_run(manifest=result)
    searching.sweeps.add(Sweep.objects.create(project=searching.project, key="a"))
    assert nightly.send_latest() == 4
    jobs = [job for job in django_rq.get_queue("parallel").jobs if job.func_name == "runner.jobs.verify_run"]
    assert {job.args[0] for job in jobs} == {str(run.pk) for run in runs}
    # They wait already, even behind a long night's others; one whose job was lost is sent again, once.
    waiting = {"state": "waiting", "at": (timezone.now() - timedelta(hours=3)).isoformat()}
    Run.objects.filter(pk__in=[run.pk for run in runs]).update(verification=waiting)
    assert nightly.send_latest() == 0
    next(job for job in jobs if job.args[0] == str(runs[0].pk)).delete()
    assert nightly.send_latest() == 1
    verifying.send(runs[0])
    jobs = [job for job in django_rq.get_queue("parallel").jobs if job.func_name == "runner.jobs.verify_run"]
    assert len(jobs) == 4

    old, now = timezone.now() - timedelta(days=1), timezone.now()
    answers = [("exact", now), ("environment", now), ("result", now), ("data", old)]
    for run, (answer, at) in zip(runs, answers, strict=True):
        run.verification = {"state": "done", "answer": answer, "text": "", "at": at.isoformat()}
        run.save()
    assert nightly.report() == [runs[2]]
    assert mailoutbox[0].to == ["boss@example.com"] and str(runs[2].pk) in mailoutbox[0].body
    assert mailoutbox[0].subject.startswith("1 of 3 runs")
    for _ in range(nightly.MOST):
        make_finished_run(runs[0].project, manifest=result)
    assert nightly.report() == [runs[2]], "made again this night, though others are the latest by now"


ASKS = """
from qfp import channel
try:
    channel.ask("pmap", {"do": "offer"})
    answered = 1
except channel.Unanswered:
    answered = 0
"""


@pytest.mark.skipif(not NIGHT_RUNS, reason="NIGHT_RUNS says how many")
def test_a_night_of_runs_comes_out_exact(engine):
    """Templates, and one program on other shares, years, costs and with other parameters."""
    sources = [sample.source for sample in SAMPLES if "backtest(" in sample.source]
    while len(sources) < NIGHT_RUNS:
        number = len(sources)
        source = PROGRAM.replace("IBM", ("IBM", "AAPL", "MSFT", "SPX")[number % 4]).replace(
            "2009", str(2000 + number % 9)
        )
        costs = f'commission={number % 5 / 1000}, days=param("days", {number}, 2, 60)'
        sources.append(source.replace('days=param("days", 20, 2, 60)', costs))
    for source in sources:
        run_of(make_project(source=source))
    said = io.StringIO()
    call_command("verify_runs", stdout=said)
    assert said.getvalue().splitlines()[-1] == f"{NIGHT_RUNS} exact"


def test_everybody_may_have_a_public_run_verified_one_at_a_time_and_once_a_day(client):
    def a_run(visibility="public", **values):
        return make_finished_run(make_project(visibility=visibility), manifest={"result_sha256": "0" * 64}, **values)

    def ask(run):
        address = reverse("runner:verification", args=[run.pk])
        answer = client.post(address, follow=True)
        run.refresh_from_db()
        return answer.status_code, run.verification.get("state"), answer.content.decode()

    first, second = a_run(), a_run()
    assert "Verify</button>" in client.get(reverse("runner:verification", args=[first.pk])).content.decode()
    assert ask(first)[:2] == (200, "waiting")

    def told() -> str:
        return client.get(
            reverse("runner:verification", args=[first.pk]), headers={"HX-Request": "true"}
        ).content.decode()

    job = Job.fetch(f"verify-{first.pk}", connection=django_rq.get_connection("parallel"))
    django_rq.get_queue("parallel").enqueue("operator.not_", 0, at_front=True)
    assert "Place 2 in the queue." in told() and "<html" not in told() and "hx-get" in told()
    django_rq.get_queue("parallel").pop_job_id()
    assert "Next in the queue." in told()
    django_rq.get_queue("parallel").pop_job_id()
    job.started_at = timezone.now() - timedelta(hours=2)
    job.set_status(JobStatus.STARTED)
    job.save()
    assert "Running." in told() and "; the run took" in told()
    status, state, page = ask(second)
    assert (status, state) == (200, None) and "Another run is being verified for you" in page
    done = {"state": "done", "answer": "exact", "text": "", "at": timezone.now().isoformat()}
    Run.objects.filter(pk=first.pk).update(verification=done)
    assert ask(first)[0] == 404, "it was made again today"
    assert 'data-answer="exact"' in told() and "hx-get" not in told(), "nothing more is asked"
    assert ask(second)[:2] == (200, "waiting")
    Run.objects.update(verification={})
    Plan.objects.filter(pk=Plan.objects.for_guests().pk).update(runs_per_day=2)
    assert "2 runs verified in 24 hours, the limit of your plan" in ask(first)[2]
    client.post("/try")  # with a cookie a neighbour is one visitor of the address
    assert ask(first)[:2] == (200, "waiting")
    Run.objects.update(verification={})
    Plan.objects.filter(pk=Plan.objects.for_guests().pk).update(address_runs_per_day=1)
    assert "from your network address" in ask(first)[2]
    for hidden in (a_run("unlisted"), a_run(snapshot="f" * 64)):
        assert ask(hidden)[:2] == (404, None)


def test_who_asks_for_another_ones_run_takes_neither_their_turn_nor_its_last_answer(client, monkeypatch):
    ada = make_user("ada")
    first, second = (
        make_finished_run(make_project(ada, visibility="public"), manifest={"result_sha256": "0" * 64})
        for _ in range(2)
    )
    old = {"state": "done", "answer": "result", "text": "Other.", "at": "2026-01-05T00:00:00+00:00"}
    Run.objects.filter(pk=first.pk).update(verification=old)

    def ask(run):
        page = client.post(reverse("runner:verification", args=[run.pk]), follow=True).content.decode()
        run.refresh_from_db()
        return page

    def unreachable(*_, **__):
        raise redis.RedisError

    monkeypatch.setattr(verifying, "send", unreachable)
    assert "does not answer" in ask(first) and first.verification == old
    monkeypatch.undo()
    monkeypatch.setattr(DjangoRQ, "original_enqueue_call", unreachable)  # only when all is written down
    assert "does not answer" in ask(first) and first.verification == old
    monkeypatch.undo()
    ask(first)
    assert first.verification["state"] == "waiting" and claims_box._made_again(first.verification)[1] == "result"
    client.force_login(ada)
    assert "One of your runs" not in ask(second) and second.verification["state"] == "waiting"
    assert "One of your runs" in ask(first), "of which she has one at a time"
    assert verifying.verify(first.pk).answer == "cannot"  # its manifest says nothing
    first.refresh_from_db()
    assert first.verification == old


def test_an_answer_that_is_not_given_again_is_no_difference(engine):
    run = run_of(make_project(source=ASKS + PROGRAM.replace(" self.mean[-1]", " self.mean[-1] * (1 + answered / 50)")))
    assert answer_of(run) == "cannot" and "further boxes" in run.verification["text"]


def test_two_runs_that_differ_in_one_parameter_say_so_and_where_they_part(engine, client):
    user = make_user()
    project = make_project(owner=user, source=PROGRAM)
    one, other = run_of(project), run_of(project, params={"days": 21})
    found = compared(one, other)
    assert found.code == [] and found.params == [("days", "20", "21")] and found.same_data and not found.environment
    assert found.blame == "The code is the same; the parameters differ."
    (pair,) = found.pairs
    first = {kind: (moment, a, b) for kind, moment, a, b in pair.first}
    assert re.fullmatch(r"2009-\d\d-\d\d", first["Trade"][0])
    assert re.search(r"from \d+\.\d+ to", first["Trade"][1]) and re.search(r"from \d+\.\d+ to", first["Trade"][2])
    kept = {figure["key"]: figure["text"] for figure in one.backtests.get().figures}
    assert [figure["one"] for figure in pair.figures] == [kept[key] for key in kept][: len(pair.figures)]
    client.force_login(user)
    page = client.get(reverse("runner:compare", args=[one.pk, other.pk]))
    text = page.content.decode()
    assert page.status_code == 200 and "<svg" in text and first["Trade"][1] in text and found.blame in text
    client.logout()
    assert client.get(reverse("runner:compare", args=[one.pk, other.pk])).status_code == 404


def test_the_same_run_twice_differs_in_nothing(engine):
    project = make_project(source=PROGRAM)
    found = compared(run_of(project), run_of(project))
    assert found.blame == "Nothing differs." and found.pairs[0].first == []


def made_up(price: float, count: int = 10_000) -> Run:
    """A run with so many trades, unsaved."""
    dates = [str(day) for day in np.datetime64("2000-01-01") + np.arange(count + 1)]
    fills = [
        {"bar": n, "size": 1.0 if n % 2 == 0 else -1.0, "price": 10.0 + (price if n == 7_000 else 0), "commission": 0.1}
        for n in range(count)
    ]
    trades = [
        {"entry_bar": n, "exit_bar": n + 1, "size": 1.0, "entry_price": 10.0 + (price if n == 7_000 else 0),
         "exit_price": 11.0, "profit": 1.0}
        for n in range(count)
    ]  # fmt: skip
    backtest = Backtest(
        strategy="Many", fills=fills, trades=trades, dates=dates, equity=[1000.0 + n for n in range(count)]
    )
    backtest.instruments = [{"symbol": "X"}]
    revision = SimpleNamespace(files={"main.py": "pass"})
    return SimpleNamespace(  # type: ignore[return-value]
        backtests=SimpleNamespace(all=lambda: [backtest]),
        revision=revision, snapshot="", environment="", lock=None, queue="runs", declared_params=[], params={},
    )  # fmt: skip


def test_ten_thousand_trades_are_compared_within_two_seconds_of_processor_time():
    one, other = made_up(0.0), made_up(0.25)
    began = time.process_time()
    found = compared(one, other)
    assert time.process_time() - began < 2
    kinds = {kind: (a, b) for kind, _, a, b in found.pairs[0].first}
    assert kinds["Fill"] == ("buy 1 at 10.000000, costs 0.1000", "buy 1 at 10.250000, costs 0.1000")
    assert "from 10.250000" in kinds["Trade"][1] and "Decision" not in kinds


def test_long_programs_are_not_compared_line_by_line():
    one, other = made_up(0.0, 2), made_up(0.0, 2)
    one.revision.files = {"main.py": "a\n" * 1_500, "more.py": "a\n" * 100}
    other.revision.files = {"main.py": "b\n" * 1_500, "more.py": "b\n" * 1_900}
    (_, first), (_, second) = compared(one, other).code
    assert first.startswith("--- first") and "more lines" in first and second == comparing.TOO_LONG


def with_series(user, closes: float, *added: str) -> str:
    """A snapshot of the user's, with a series for everybody, one for them alone, and others for them alone."""
    dates = np.arange("2024-01-01", "2024-02-10", dtype="datetime64[D]")
    columns = dict.fromkeys(("open", "high", "low", "close", "volume"), np.full(40, closes))
    told = {"kind": "equity", "interval": "1d", "adjustment": "raw", "licence": "terms", "source": "a vendor",
            "columns": list(columns), "rows": 40, "first": "2024-01-01", "last": "2024-02-09",
            "object": store.put_object(objects.arrow_bytes(dates, columns))}  # fmt: skip
    entries = [
        told | {"id": f"made/1d/{name}", "symbol": name, "name": name, "rights": rights}
        for name, rights in (("OPEN", "redistribute"), ("OWN", "personal"), *((name, "personal") for name in added))
    ]
    return store.add_series(entries, user=user, created_for="fetch").pk


def test_whoever_did_not_make_both_runs_sees_changes_of_no_series_but_the_backtests_open_ones(client):
    user = make_user()
    project = make_project(owner=user, visibility=Project.Visibility.PUBLIC)
    runs = [
        make_finished_run(project, snapshot=with_series(user, 10.0), manifest={"data": {"private": []}}),
        make_finished_run(project, snapshot=with_series(user, 11.0, "LATER"), manifest={"data": {"private": []}}),
    ]
    address = reverse("runner:compare", args=[run.pk for run in runs])

    def seen() -> list[str]:
        text = client.get(address).content.decode()
        return [name for name in ("made/1d/OPEN", "made/1d/OWN", "1 series are new", "not compared") if name in text]

    assert seen() == ["not compared"]
    for run in runs:
        backtest = made_up(0.0, 2).backtests.all()[0]
        backtest.run, backtest.position, backtest.verified, backtest.cash = run, 0, True, 1000.0
        backtest.start = backtest.end = run.queued
        backtest.instruments = [{"symbol": name, "series": f"made/1d/{name}"} for name in ("OPEN", "OWN", "LATER")]
        backtest.save()
    assert seen() == ["made/1d/OPEN"]
    client.force_login(make_user())
    assert seen() == ["made/1d/OPEN"]
    client.force_login(user)
    assert seen() == ["made/1d/OPEN", "made/1d/OWN", "1 series are new"]


def test_the_hash_of_a_result_forgives_the_tenth_decimal_and_nothing_before():
    backtest = Backtest(strategy="A", dates=["2020-01-01", "2020-01-02"], equity=[100.0, 101.0], trades=[])
    same = Backtest(strategy="A", dates=backtest.dates, equity=[100.0, 101.0 + 1e-9], trades=[])
    other = Backtest(strategy="A", dates=backtest.dates, equity=[100.0, 101.0 + 1e-6], trades=[])
    assert result_of([backtest]) == result_of([same]) != result_of([other])
    assert result_of([]) is None


def test_what_differs_is_named_beyond_a_billionth_and_not_before():
    def made(equity=(100.0, 110.0, 121.0), strategy="A", last="2020-01-03", **trade):
        trades = [{"entry_bar": 1, "exit_bar": 2, "size": 3.0, "entry_price": 50.0, "exit_price": 60.0, "profit": 30.0}]
        trades = [each | trade for each in trades]
        return Backtest(strategy=strategy, dates=["2020-01-02", last], equity=list(equity), trades=trades)

    def differs(other, kept=None):
        return verifying._difference([kept or made()], [other])

    assert differs(made()) is None
    assert differs(made([100.0, 110.0, 121.0 + 5e-8])) is None
    assert differs(made([100.0, 110.0, 121.0 + 5e-7])) == "A has other returns from bar 2 on."
    assert differs(made(profit=30.0 + 2e-8)) is None and differs(made(size=3.0, profit=30.0 + 1e-7))
    assert differs(made(exit_price=60.000001)) == "A differs in trade 1."
    assert differs(made(exit_price=None)) == "A differs in trade 1."
    assert differs(made([100.0, 110.0])) == "A has another number of bars or trades."
    none = made()
    none.trades = []
    assert differs(none) == differs(made(), none) == "A has another number of bars or trades."
    assert differs(made(strategy="B")) == differs(made(last="2020-01-04")) == "A is another strategy or period now."
    assert verifying._difference([made()], [made(), made()]) == "it made its 2 backtests instead of 1."
    assert verifying._difference([made()], []) is not None
    # Digits that round to other sides of a ninth decimal are a billionth apart, and the numbers are not.
    for place in range(1, 100):
        low, high = ([1.0, 1.0 + (place + 0.5) * 1e-9 + by] for by in (-1e-11, 1e-11))
        assert result_of([made(low)]) != result_of([made(high)]) and differs(made(low), made(high)) is None


def test_what_is_kept_and_not_what_the_manifest_says_is_named_before_anything_runs_again():
    project = make_project()
    manifest = {
        "code": code_of(project.draft),
        "params": {"days": 5},
        "search": {},
        "environment": {"lock_sha256": environment_lock("runs"), "packages_sha256": None, "packages": []},
        "data": {"snapshot": None, "series": []},
    }
    run = make_finished_run(project, params={"days": 5}, manifest=manifest)
    assert verifying._recorded(run) is None
    for kept, answer in (
        ({"code": manifest["code"] | {"more.py": "0" * 64}}, "code"),
        ({"code": {}}, "code"),
        ({"params": {"days": 6}}, "code"),
        ({"search": {"walk": {}}}, "code"),
        ({"environment": manifest["environment"] | {"lock_sha256": "0" * 64}}, "environment"),
        ({"environment": manifest["environment"] | {"packages_sha256": "0" * 64}}, "environment"),
        ({"data": {"snapshot": "0" * 64, "series": []}}, "data"),
    ):
        run.manifest = manifest | kept
        assert verifying._recorded(run).answer == answer, kept
    run.manifest = {name: value for name, value in manifest.items() if name != "search"}  # as older ones are
    assert verifying._recorded(run) is None
    series = {"series": "us/1d/IBM", "sha256": "0" * 64, "actions_sha256": None}
    run.manifest, run.snapshot = manifest | {"data": {"snapshot": "f" * 64, "series": [series]}}, "f" * 64
    assert verifying._recorded(run).answer == "cannot", "nobody has it any more"
    run.snapshot = ""
    run.lock = PackageLock.objects.create(sha256="a" * 64, text="six==1.17.0\n")
    packages = manifest["environment"] | {"packages_sha256": "a" * 64}
    for text, answer in (("six==1.17.0", None), ("six==1.16.0", "environment")):
        run.manifest = manifest | {"environment": packages | {"packages": [text]}}
        assert getattr(verifying._recorded(run), "answer", None) == answer

"""What does somebody see whose run loses the machine under it?"""

from __future__ import annotations

import contextlib
import os
import re
import signal
from datetime import timedelta

import django_rq
from django.utils import timezone
from playwright.sync_api import expect
from rq import Worker

from playground import processes
from runner.leftovers import end_lost_runs
from runner.models import Run
from sandbox.host import processes as process_table
from tests.browser.pages import Held, eventually
from tests.conftest import _end, _launch, _wait
from tests.factories import make_project, make_user

SOURCE = """
import time
for number in range(1, 100):
    print('line', number, flush=True)
    time.sleep(0.5)
"""


def test_web_and_workers_killed_at_once_and_the_page_comes_back_by_itself(signed_in, live_site, worker):
    user = make_user()
    project = make_project(user, source=SOURCE)
    page = signed_in(user)
    page.goto(project.edit_url)
    page.locator("body[data-ready]").wait_for()
    page.keyboard.press("Control+Enter")
    expect(page.locator(".console__line").get_by_text("line 2", exact=True)).to_have_count(1)

    lost = [live_site.web.pid, worker.pid]
    lost += [pid for parent in lost for pid in process_table.descendants(parent)]
    for pid in lost:
        with contextlib.suppress(ProcessLookupError):  # it has gone with its parent
            os.kill(pid, signal.SIGKILL)
    live_site.web.wait()
    worker.wait()
    live_site.start_web()
    successor = _launch("worker", processes.worker_command("runs"))
    try:
        redis = django_rq.get_connection("runs")
        _wait("worker", successor, lambda: any(known.pid == successor.pid for known in Worker.all(connection=redis)))
        run = Run.objects.get()
        # The clock is moved, not waited for.
        Run.objects.filter(pk=run.pk).update(lease_expires=timezone.now() - timedelta(seconds=1))
        eventually(page, lambda: (end_lost_runs(), Run.objects.get().status == Run.Status.CRASHED)[1])
        expect(page.locator("#run-status .badge")).to_have_text("Lost by us")
        lines = re.findall(r"^line (\d+)$", page.locator("#pane-console").inner_text(), re.MULTILINE)
        assert len(lines) >= 2 and [int(line) for line in lines] == list(range(1, len(lines) + 1))
        # And it goes on from there.
        page.keyboard.press("Control+Enter")
        eventually(page, lambda: Run.objects.count() == 2)
        expect(page.locator(".console__line").get_by_text("line 2", exact=True)).to_have_count(1)
    finally:
        _end(successor)


def test_an_editor_whose_worker_cannot_be_had_at_first_waits_for_it(signed_in, live_site):
    """As when the web server starts anew while a page opens; what is uncaught in a page fails its test."""
    asked = []

    def refuse_once(route):
        asked.append(route.request.url)
        route.abort("connectionrefused") if len(asked) == 1 else route.fallback()

    user = make_user()
    page = signed_in(user)
    page.context.route(re.compile(r"/dist/editor\.worker.*\.js"), refuse_once)
    held = Held(page, re.compile(r"/dist/editor\.(?!worker).*js$"))
    page.goto(make_project(user, source=SOURCE).edit_url)
    page.locator("body[data-ready]").wait_for()
    # Who asks for the editor while it is on its way gets one, not two.
    page.evaluate("document.querySelector('[data-action=toggle-editor]').click()")
    held.wait()
    held.release()
    eventually(page, lambda: len(page.workers) == 1 and len(asked) > 1)
    expect(page.locator("#editor > .monaco-editor")).to_have_count(1)

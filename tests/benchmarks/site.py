"""How long from the click on Run to the first line on the page, and where does the time go? `make bench-site`.

One run of print(1) after the other through the whole site: a real POST, the queue, a worker, a box, the stream, and
a real WebSocket that is opened as the page opens it, when the POST has answered. Then the charts of a long backtest.
"""

from __future__ import annotations

import http.client
import itertools
import json
import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from websockets.sync.client import connect

from tests.benchmarks import charts
from tests.benchmarks.own_site import make_project, make_user, own_site, usual_data_dir
from tests.benchmarks.report import Report

RUNS = 60
WARM_UP = 5
PAUSE_SECONDS = 0.25
TARGETS = {"accepted to first output p50": 100.0, **charts.TARGETS}
# In the order in which a run passes them. Which of two hops that go on side by side comes first may differ.
HOPS = (
    "sent",
    "received",
    "committed",
    "enqueued",
    "dequeued",
    "work-horse started",
    "claimed",
    "box asked",
    "box accepted",
    "box started",
    "first byte",
    "recorded",
    "published",
    "delivered",
)
SIDE_BY_SIDE = ("answered", "socket asked", "socket open")


def measure() -> None:
    data_dir = usual_data_dir()
    hops_file = Path(tempfile.mkdtemp(prefix="playground-hops-")) / "hops"
    report = Report("site", TARGETS)
    with own_site(workers=2, web=True, hops=hops_file) as site:
        user = make_user("benchmark")
        project = make_project(user, "print(1)")
        browser = Browser(site.url, user)
        runs = []
        for number in range(WARM_UP + RUNS):
            time.sleep(PAUSE_SECONDS)
            seen = browser.run(project.edit_url.removesuffix("/edit") + "/run", f"print({number})")
            if number >= WARM_UP:
                runs.append(seen)
        charts.measure(report, site.url, project)
    lines = [line.split("\t") for line in hops_file.read_text().splitlines()]
    hops_file.unlink()
    hops_file.parent.rmdir()
    summarise(report, runs, [(float(when), hop, run) for when, hop, run in lines])
    report.write(data_dir)


class Browser:
    """One signed-in person whose page does what the site's page does."""

    def __init__(self, url: str, user) -> None:
        from django.test import Client

        client = Client()
        client.force_login(user, backend="accounts.backends.AccountBackend")
        self.url = url
        token = "x" * 32
        self.cookie = f"sessionid={client.cookies['sessionid'].value}; csrftoken={token}"
        self.headers = {
            "Cookie": self.cookie,
            "X-CSRFToken": token,
            "HX-Request": "true",
            "Origin": url,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        address = urlsplit(url)
        self.connection = http.client.HTTPConnection(address.hostname or "", address.port)

    def run(self, path: str, source: str) -> dict[str, float | str]:
        """Press Run and listen to the end; when what was seen, and whose run it was."""
        seen: dict[str, float | str] = {"sent": time.time()}
        self.connection.request("POST", path, urlencode({"source": source}), self.headers)
        answer = self.connection.getresponse()
        page = answer.read().decode()
        seen["answered"] = time.time()
        found = re.search(r'data-socket="(/ws/r/([0-9a-f-]+))"', page)
        if answer.status != 200 or found is None:
            raise SystemExit(f"Run answered {answer.status}: {page[:500]}")
        seen["run"] = found[2]
        address = self.url.replace("http", "ws", 1) + found[1]
        with connect(address, origin=self.url, additional_headers={"Cookie": self.cookie}) as socket:  # type: ignore[arg-type]
            while "ended" not in seen:
                for event in json.loads(socket.recv(timeout=30)).get("events", []):
                    if event["type"] == "stdout":
                        seen.setdefault("delivered", time.time())
                    elif event["type"] == "finished":
                        seen["ended"] = time.time()
                        if event["status"] != "succeeded":
                            raise SystemExit(f"A run of the benchmark ended {event['status']}: {event['message']}")
        return seen


def summarise(report: Report, runs: list[dict], lines: list[tuple[float, str, str]]) -> None:
    steps: dict[str, list[float]] = {}
    queries: Counter[str] = Counter()
    for seen in runs:
        times = {hop: when for hop, when in seen.items() if hop != "run"}
        for when, hop, run in lines:
            if run == seen["run"] or (run == "-" and seen["sent"] <= when <= seen["ended"]):
                times.setdefault(hop, when)
            if seen["sent"] <= when <= seen["ended"] and hop.startswith(("query", "connected")):
                queries[hop if hop.startswith("connected") else f"{hop}: {run}"] += 1
        for earlier, later in itertools.pairwise(HOPS):
            steps.setdefault(f"{earlier} -> {later}", []).append((times[later] - times[earlier]) * 1000)
        for hop in SIDE_BY_SIDE:
            steps.setdefault(f"sent -> {hop}", []).append((times[hop] - times["sent"]) * 1000)
        steps.setdefault("finished published -> ended", []).append(
            (times["ended"] - times["finished published"]) * 1000
        )
        steps.setdefault("accepted to first output", []).append((times["delivered"] - times["committed"]) * 1000)
        steps.setdefault("click to first output", []).append((times["delivered"] - times["sent"]) * 1000)
        steps.setdefault("click to finished", []).append((times["ended"] - times["sent"]) * 1000)
    for name, values in steps.items():
        report.add_spread(name, values, "ms")
    for part in ("web", "worker"):
        asked = sum(count for name, count in queries.items() if name.startswith(f"query {part}"))
        report.add(f"queries {part} a run", asked / len(runs), "", len(runs))
        report.add(f"connections {part} a run", queries[f"connected {part}"] / len(runs), "", len(runs))
    for name, count in sorted(queries.items()):
        if name.startswith("query"):
            print(f"{count / len(runs):6.2f}  {name}")


if __name__ == "__main__":
    measure()

"""The check of a machine: it attacks every promise the README makes, keeps to time, and can fail."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.host import check
from sandbox.host.check_machine import WAYS
from sandbox.host.check_promises import PROMISES
from tests.sandbox.attacks import ATTACKS
from tests.sandbox.broken import BROKEN, engine_with
from tests.sandbox.conftest import ENVIRONMENT, ORDINARY_UID, ROOT, open_copies
from tests.sandbox.greedy import LIMITED
from tests.sandbox.podman import Podman

README = (ROOT / "sandbox" / "README.md").read_text()
ROWS = {row[0]: row[3] for row in re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|$", README, re.MULTILINE)}
NAMES = [promise.name for promise in PROMISES]


def test_this_machine_keeps_every_promise() -> None:
    report = check.check(ENVIRONMENT)
    assert report.ok, (report.reason, report.promises)
    assert [promise["name"] for promise in report.promises] == NAMES
    assert report.first_output_seconds is not None


def test_it_keeps_them_for_an_ordinary_user_and_says_what_is_weaker() -> None:
    if os.geteuid() != 0:
        pytest.skip("the check above was an ordinary user's")
    with tempfile.TemporaryDirectory(prefix="boxes-") as name:
        Path(name).chmod(0o755)
        root, environment, site = open_copies(Path(name))
        words = ["setpriv", f"--reuid={ORDINARY_UID}", f"--regid={ORDINARY_UID}", "--clear-groups", "/usr/bin/python3"]
        words += ["-m", "sandbox.host.check", "--env", str(environment)]
        variables = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
        answer = subprocess.run(words, cwd=root, env=variables, capture_output=True, text=True, timeout=120)
    report = json.loads(answer.stdout)
    assert report["ok"], report
    assert any("own user" in weakness for weakness in report["weaknesses"])


@pytest.mark.parametrize("way", [way for way, broken in BROKEN.items() if broken.promises])
def test_a_box_broken_on_purpose_is_flagged(way: str) -> None:
    broken = BROKEN[way]
    tried = [promise for promise in PROMISES if promise.name in ("control", *broken.promises)]
    # A zygote takes seconds to load; both ways with SANDBOX_ALL=1.
    ways = WAYS if os.environ.get("SANDBOX_ALL") else {broken.starts[0]: WAYS[broken.starts[0]]}
    report = check.check(ENVIRONMENT, tried, ("-c", engine_with(way)), ways)
    if "one user" in way and os.geteuid() != 0:
        pytest.skip("an ordinary user has one for all boxes, and the engine says so")
    if "memory" in broken.promises and report.status["cgroups"] == "none":
        pytest.skip("without control groups there is no such limit to lose")
    assert {promise["name"] for promise in report.promises if not promise["kept"]} == set(broken.promises), report
    assert not report.ok and all(name in report.reason for name in broken.promises)


def test_an_engine_that_does_not_start_keeps_nothing() -> None:
    report = check.check(ENVIRONMENT, engine=("-c", "raise SystemExit('no engine today')"))
    assert not report.ok and not report.promises
    assert "no engine today" in report.reason


def test_every_promise_of_the_readme_is_tried_and_named_once() -> None:
    assert [*ROWS] == NAMES[1:]
    attacked = {name.partition(":")[0] for name in (*ATTACKS, *LIMITED)}
    assert attacked <= set(ROWS)


def test_every_test_a_promise_names_is_there() -> None:
    there = {
        name
        for path in (ROOT / "tests" / "sandbox").glob("test_*.py")
        for name in (path.name, *re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE))
    }
    for promise, tests in ROWS.items():
        named = re.findall(r"`(test_[\w.]+\*?)`", tests)
        assert named, promise
        for name in named:
            assert any(each == name or (name.endswith("*") and each.startswith(name[:-1])) for each in there), name


def test_the_check_runs_as_a_program() -> None:
    words = [sys.executable, "-m", "sandbox.host.check", "--env", "/nowhere"]
    answer = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 1
    assert json.loads(answer.stdout)["reason"]


def test_containers_are_tried_too_and_what_is_weaker_by_nature_is_told(podman: Podman) -> None:
    ways = {"docker": ("--backend", "docker", "--docker-url", podman.url)}
    chosen = [each for each in PROMISES if each.name in ("control", "identity", "paths", "disk")]
    report = check.check(ENVIRONMENT, chosen, ways=ways)
    assert report.ok, (report.reason, report.promises)
    assert {weakness.partition(":")[0] for weakness in report.weaknesses} == {"paths", "disk"}
    strict = [replace(each, elsewhere=("", "")) for each in chosen if each.name == "disk"]
    assert not check.check(ENVIRONMENT, strict, ways=ways).ok
    unseen = [replace(each, untried=("docker",)) for each in chosen if each.name == "identity"]
    report = check.check(ENVIRONMENT, unseen, ways=ways)
    assert report.ok, report.reason
    (told,) = report.promises
    assert told["kept"] is None and "not tried" in told["seen"]

"""Boxes that are pods, by the official client against an API of our own that checks every object and runs them."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from sandbox.protocol import SESSION_SECONDS, Cell
from tests.sandbox.cluster import complaints
from tests.sandbox.conftest import MEGABYTE, Engine, make_request
from tests.sandbox.local_cluster import LocalCluster

SLEEPER = "print('on', flush=True)\nimport time\ntime.sleep(60)"


def test_a_run_goes_through_a_pod_and_leaves_no_job(kubernetes_engine: Engine, cluster: LocalCluster) -> None:
    source = "import os\nprint(os.getpid() > 1, input('Who? '))\nopen('kept.txt', 'w').write('x' * 200_000)"
    result = kubernetes_engine.run(source, answers=("you",))
    assert (result.outcome, result.ended["start"]) == ("succeeded", "kubernetes"), result.stderr
    assert result.stdout == "Who? True you\n" or result.stdout.endswith("True you\n")
    assert [event["size"] for event in result.of("artefact")] == [200_000]
    assert cluster.seen()["jobs"] == []


def test_the_job_says_every_wall_and_limit(kubernetes_engine: Engine, cluster: LocalCluster) -> None:
    kubernetes_engine.run("print(1)", memory_bytes=300 * MEGABYTE, disk_bytes=8 * MEGABYTE, wall_seconds=40, cores=1.5)
    job = cluster.seen()["seen"][-1]
    assert complaints(job) == ""
    assert job["spec"]["backoffLimit"] == 0
    assert 40 < job["spec"]["activeDeadlineSeconds"] <= 40 + 600
    assert job["spec"]["ttlSecondsAfterFinished"] == 60
    pod = job["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["restartPolicy"] == "Never"
    assert (pod["hostNetwork"], pod["hostPID"], pod["hostIPC"]) == (False, False, False)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 1000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["resources"]["limits"] == container["resources"]["requests"]
    assert container["resources"]["limits"]["cpu"] == "1500m"
    assert int(container["resources"]["limits"]["memory"]) == (300 + 8 + 32 + 8) * MEGABYTE
    walls = container["securityContext"]
    assert walls["readOnlyRootFilesystem"] is True
    assert walls["allowPrivilegeEscalation"] is walls["privileged"] is False
    assert walls["capabilities"] == {"drop": ["ALL"]}
    box = next(volume for volume in pod["volumes"] if volume["name"] == "box")
    assert box["emptyDir"] == {"medium": "Memory", "sizeLimit": str(8 * MEGABYTE)}


def test_the_job_of_a_session_lives_as_long_as_a_session_may(kubernetes_engine: Engine, cluster: LocalCluster) -> None:
    request = replace(make_request("", wall_seconds=40), run_id="session-1", session=True)
    client = kubernetes_engine.client
    client.open_session(request, 600, 1)
    assert cluster.seen()["seen"][-1]["spec"]["activeDeadlineSeconds"] >= SESSION_SECONDS
    cell = Cell("cell-1", "import time\nwhile True: time.sleep(.1)", replace(request.limits, wall_seconds=1))
    with client.run_cell("session-1", request.owner, cell) as box:
        ended = [event for event in box.events() if event is not None][-1]
    assert (ended["outcome"], ended["session"]["alive"]) == ("timed_out", True)  # a cell's own limit is as it was
    client.close_session("session-1", request.owner)
    assert cluster.seen()["jobs"] == []


def test_an_object_with_an_unknown_field_is_noticed(kubernetes_engine: Engine, cluster: LocalCluster) -> None:
    kubernetes_engine.run("print(1)")
    job = cluster.seen()["seen"][-1]
    job["spec"]["template"]["spec"]["containers"][0]["securityContext"]["readOnlyRoot"] = True
    assert "readOnlyRoot is not a field" in complaints(job)


def test_a_lost_node_is_tried_once_more(kubernetes_engine: Engine, cluster: LocalCluster) -> None:
    cluster.set_fates("lost", "run")
    assert kubernetes_engine.run("print(1)").stdout == "1\n"
    cluster.set_fates("lost", "lost", "run")
    assert kubernetes_engine.run("print(1)").outcome == "crashed"
    cluster.set_fates()


def test_a_node_lost_while_the_program_runs_is_tried_once_more_unless_it_has_said_something(
    kubernetes_engine: Engine, cluster: LocalCluster
) -> None:
    cluster.set_fates("lost-later", "run")
    result = kubernetes_engine.run("import time\ntime.sleep(1)\nprint(1)")
    assert (result.outcome, result.stdout) == ("succeeded", "1\n")
    cluster.set_fates()


def test_an_image_that_cannot_be_pulled_is_our_fault_and_said_to_operators(
    kubernetes_engine: Engine, cluster: LocalCluster
) -> None:
    cluster.set_fates("no-image", "run")
    before = len(kubernetes_engine.log.read_text())
    result = kubernetes_engine.run("print(1)")
    cluster.set_fates()
    assert result.outcome == "crashed"
    said = kubernetes_engine.log.read_text()[before:]
    assert "registry.example/box:1 cannot be started: ErrImagePull. manifest unknown" in said
    assert "SANDBOX_IMAGE" in said
    assert cluster.seen()["jobs"] == []


def test_stop_works_while_no_node_has_taken_the_pod(kubernetes_engine: Engine, cluster: LocalCluster) -> None:
    cluster.set_fates("pending")
    with kubernetes_engine.client.start(make_request("print(1)")) as box:
        deadline = time.monotonic() + 20
        while not cluster.seen()["jobs"] and time.monotonic() < deadline:
            time.sleep(0.05)
        box.cancel()
        events = [event for event in box.events() if event is not None]
    assert events[-1]["outcome"] == "cancelled"
    assert cluster.seen()["jobs"] == []


def test_stop_deletes_the_job(kubernetes_engine: Engine, cluster: LocalCluster) -> None:
    def on_event(box, event):
        if event["type"] == "stdout":
            box.cancel()

    assert kubernetes_engine.run(SLEEPER, on_event=on_event).outcome == "cancelled"
    assert cluster.seen()["jobs"] == []


def test_a_client_that_goes_away_takes_its_job_with_it(kubernetes_engine: Engine, cluster: LocalCluster) -> None:
    with kubernetes_engine.client.start(make_request(SLEEPER)) as box:
        for event in box.events():
            if event is not None and event["type"] == "stdout":
                break
    deadline = time.monotonic() + 20
    while cluster.seen()["jobs"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert cluster.seen()["jobs"] == []


def test_an_engine_that_starts_deletes_what_it_left(make_engine, cluster: LocalCluster) -> None:
    engine = make_engine(*cluster.options())
    box = engine.client.start(make_request(SLEEPER))
    for event in box.events():
        if event is not None and event["type"] == "stdout":
            break
    engine.process.kill()
    engine.process.wait()
    assert cluster.seen()["jobs"]
    engine.start()
    assert cluster.seen()["jobs"] == []


def test_an_image_has_to_be_named(make_engine, cluster: LocalCluster) -> None:
    with pytest.raises(AssertionError, match="needs an image"):
        make_engine("--backend", "kubernetes")


def test_a_cluster_that_does_not_answer_is_said(make_engine, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(AssertionError, match="The Kubernetes cluster does not answer"):
        make_engine("--backend", "kubernetes", "--image", "x")

"""deploy/kubernetes: every object is one that the client's models know, and together they say what the engine needs."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands
from kubernetes import client

from runner.execution import SPARE_SECONDS
from sandbox.host.engine import parse_options
from tests.playground.test_docs import variables_read
from tests.sandbox.cluster import unknown_fields
from tests.sandbox.conftest import ROOT

MODELS = {
    "Namespace": client.V1Namespace,
    "ResourceQuota": client.V1ResourceQuota,
    "NetworkPolicy": client.V1NetworkPolicy,
    "ServiceAccount": client.V1ServiceAccount,
    "Role": client.V1Role,
    "RoleBinding": client.V1RoleBinding,
    "Deployment": client.V1Deployment,
    "HorizontalPodAutoscaler": client.V2HorizontalPodAutoscaler,
}
# Which parts of compose.yaml get a secret; all others do without it.
SECRETS = {
    "EMAIL_URL": {"web", "house-keeping"},
    "GOOGLE_CLIENT_SECRET": {"web"},
    "GITHUB_CLIENT_SECRET": {"web"},
    "METRICS_TOKEN": {"web"},
    "STORE_S3_SECRET": {"prepare", "web", "worker", "parallel", "fetcher", "house-keeping"},
    "PACKAGE_INDEX": {"worker", "parallel"},
}
# Of `make run`, other backends, or places that the image has set.
OF_OTHER_SITES = {
    "CHROMIUM", "DATA_DIR", "DEBUG", "DOCKER_HOST", "FETCH_WORKERS", "GPU_SANDBOX_ENV", "HOST",
    "LAYERS_DIR", "NSJAIL", "RUN_WORKERS", "SANDBOX_BACKEND", "SANDBOX_CLAIM", "SANDBOX_ENV", "SANDBOX_IMAGE",
    "SANDBOX_NAMESPACE", "SANDBOX_PYTHON", "SANDBOX_RUNTIME", "STATIC_ROOT", "STORE_DIR", "UPLOADS_DIR",
}  # fmt: skip
WITHOUT_MODEL = {"ScaledObject"}  # KEDA's own


def objects() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml")):
        for each in yaml.safe_load_all(file.read_text()):
            yield f"{file.name}: {each['kind']} {each['metadata']['name']}", each


OBJECTS = dict(objects())


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [each for each in OBJECTS.values() if each["kind"] == kind]


@pytest.mark.parametrize("name", OBJECTS)
def test_every_field_is_one_of_the_model(name: str) -> None:
    wanted = OBJECTS[name]
    if wanted["kind"] in WITHOUT_MODEL:
        assert wanted["spec"]["scaleTargetRef"]["name"] in {each["metadata"]["name"] for each in of_kind("Deployment")}
        return
    assert unknown_fields(MODELS[wanted["kind"]], wanted) == ""


def test_the_role_is_what_the_engine_asks_for_and_no_more() -> None:
    (role,) = of_kind("Role")
    allowed = {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    assert allowed == {
        ("jobs", "create"), ("jobs", "delete"), ("jobs", "list"), ("pods", "list"),
        ("pods/attach", "get"), ("pods/attach", "create"),
    }  # fmt: skip
    (binding,) = of_kind("RoleBinding")
    assert binding["metadata"]["namespace"] == role["metadata"]["namespace"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


def test_no_box_speaks_to_anybody() -> None:
    (policy,) = of_kind("NetworkPolicy")
    assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert policy["metadata"]["namespace"] == of_kind("Role")[0]["metadata"]["namespace"]


def test_the_workers_are_the_site_s_and_their_engine_takes_its_options() -> None:
    (workers,) = of_kind("Deployment")
    pod = workers["spec"]["template"]["spec"]
    (worker,), (engine,) = pod["containers"], pod["initContainers"]
    queue = worker["command"][3]
    assert queue in settings.RUN_QUEUES
    options = parse_options(engine["command"][3:])
    assert options.backend == "kubernetes" and options.production
    assert options.namespace == of_kind("Role")[0]["metadata"]["namespace"]
    given = {each["name"]: each.get("value") for each in worker["env"]}
    assert given["ENGINE_SOCKET"] == str(options.socket)
    assert "envFrom" not in worker and given.keys() <= variables_read()
    assert given["EMAIL_URL"] == "smtp://127.0.0.1:25"
    assert not {name for name, parts in SECRETS.items() if "worker" not in parts} & given.keys() - {"EMAIL_URL"}
    files = {each["mountPath"]: each["subPath"] for each in engine["volumeMounts"] if each["name"] == "files"}
    assert files == {str(options.store): "store", str(options.layers): "layers"}
    token = next(each for each in engine["volumeMounts"] if each["name"] == "token")
    assert "token" not in {each["name"] for each in worker["volumeMounts"]} and token["readOnly"]


def test_both_ways_of_scaling_look_at_the_queue_of_the_workers() -> None:
    queue = of_kind("Deployment")[0]["spec"]["template"]["spec"]["containers"][0]["command"][3]
    (keda,) = of_kind("ScaledObject")
    assert keda["spec"]["triggers"][0]["metadata"]["listName"] == f"rq:queue:{queue}"
    (plain,) = of_kind("HorizontalPodAutoscaler")
    assert plain["spec"]["metrics"][0]["external"]["metric"]["selector"]["matchLabels"] == {"queue": queue}
    for scaled in (keda, plain):
        assert scaled["spec"]["scaleTargetRef"]["name"] == of_kind("Deployment")[0]["metadata"]["name"]


def test_a_worker_that_is_stopped_has_its_engine_and_its_time_to_finish_the_longest_run() -> None:
    pod = of_kind("Deployment")[0]["spec"]["template"]["spec"]
    (engine,) = pod["initContainers"]
    assert engine["restartPolicy"] == "Always"  # a sidecar: told to stop when the worker has ended, not with it
    longest = max(
        plan["wall_seconds"] for plan in import_module("accounts.migrations.0002_starting_plans").STARTING_PLANS
    )
    assert pod["terminationGracePeriodSeconds"] >= longest + settings.PACKAGE_SECONDS + SPARE_SECONDS


def test_composes_engine_refuses_without_control_groups_and_outlives_its_workers() -> None:
    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    words = services["engine"]["command"]
    assert words[:5] == ["sh", "deploy/engine.sh", "python", "-m", "sandbox.host.engine"]
    assert parse_options(words[5:]).production
    for name in ("worker", "parallel"):
        assert "engine" in services[name]["depends_on"]


def test_the_site_s_keys_are_mounted_where_they_are_used_and_the_engine_sees_data_and_packages_alone() -> None:
    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    mounts = {name: list(one.get("volumes", [])) for name, one in services.items()}
    for told in (mounts, {name: one.get("environment", {}) for name, one in services.items()}):
        assert {name for name, each in told.items() if "/keys" in str(each)} == {"web", "fetcher"}
    place = services["web"]["environment"]["CREDENTIAL_KEYS_FILE"]
    assert place == services["fetcher"]["environment"]["CREDENTIAL_KEYS_FILE"] == "/keys/credential-keys"
    assert "/keys" in re.findall(r"chown site:site (.*)", (ROOT / "deploy" / "Dockerfile").read_text())[0].split()
    options = parse_options(services["engine"]["command"][5:])
    data = [each for each in mounts["engine"] if "data" in (each if isinstance(each, str) else each["source"])]
    assert {each["target"]: each["volume"]["subpath"] for each in data} == {
        str(options.store): "store", str(options.layers): "layers"
    }  # fmt: skip
    assert all(each["read_only"] for each in data)
    made = services["prepare"]["command"][-1]
    assert all(str(place) in made for place in (options.store, options.layers))


def test_what_compose_sets_and_starts_is_there_and_every_queue_has_a_worker() -> None:
    text = (ROOT / "deploy" / "compose.yaml").read_text()
    services = {name: each for name, each in yaml.safe_load(text)["services"].items() if "build" in each}
    site = {name: each for name, each in services.items() if name != "engine"}
    assert all("env_file" not in each for each in services.values()) and "environment" not in services["engine"]
    interpolated = set(re.findall(r"\$\{([A-Z0-9_]+)", text))
    given = {name for each in site.values() for name in each["environment"]}
    assert interpolated | given <= variables_read() | {"POSTGRES_PASSWORD"}
    assert variables_read() - given == OF_OTHER_SITES, "a new variable goes to the parts that read it"
    for secret, parts in SECRETS.items():
        told = {name for name, each in site.items() if f"${{{secret}" in str(each["environment"].get(secret))}
        assert told == parts, secret
    commands = [" ".join(each["command"]) for each in services.values() if "command" in each]
    commands.append(" ".join(re.findall(r'"(\S+?)"', (ROOT / "deploy" / "Dockerfile").read_text().splitlines()[-1])))
    started = {name for command in commands for name in re.findall(r"manage\.py ([a-z_]+)", command)}
    assert {"rqworker", "rqcron", "serve_web", "migrate"} <= started <= set(get_commands())
    served = {word for command in commands if "rqworker" in command for word in command.split()}
    wanted = {f"host-{site['worker']['environment']['SANDBOX_HOST']}", *settings.RQ_QUEUES} - {"gpu"}
    assert {queue for queue in wanted if queue != f"host-{settings.SANDBOX_HOST}"} <= served


@pytest.mark.skipif(os.geteuid() != 0, reason="root is who engine.sh is started by")
def test_the_engine_gets_its_groups_and_keeps_no_right() -> None:
    """engine.sh with the capabilities it has in compose.yaml, and a directory that looks like a group."""
    engine = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]["engine"]
    rights = ",".join(["-all", *(f"+{name.lower()}" for name in engine["cap_add"])])
    seen = """
mount -t tmpfs none /sys/fs/cgroup && cd /sys/fs/cgroup && touch cgroup.procs cgroup.subtree_control cgroup.threads
exec setpriv --inh-caps "$1" --bounding-set "$1" sh "$2" sh -c '
  id -u; id -g; id -G; stat -c %u:%g /sys/fs/cgroup /sys/fs/cgroup/*; grep -E "^Cap|NoNew" /proc/self/status'
"""
    words = ["unshare", "--mount", "sh", "-c", seen, "sh", rights, str(ROOT / "deploy" / "engine.sh")]
    answer = subprocess.run(words, capture_output=True, text=True, check=True)
    *numbers, inherited, permitted, effective, bounding, ambient, no_new = answer.stdout.splitlines()
    assert numbers == ["1000", "1000", "1000", *["1000:1000"] * 4], answer.stderr
    for line in (inherited, permitted, effective, bounding, ambient):
        assert set(line.split()[1]) == {"0"}, line
    assert no_new.split()[1] == "1"

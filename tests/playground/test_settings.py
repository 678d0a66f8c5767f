"""Every environment variable is checked when the site starts, and the complaint names it."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings as running
from django.core.exceptions import ImproperlyConfigured

from playground import environment, processes
from sandbox.host.engine import parse_options

PRODUCTION = {
    "PLAYGROUND_ENV": "production",
    "SECRET_KEY": "production-key-" + "0123456789abcdefghij" * 3,
    "SITE_URL": "https://play.example.org",
    "EMAIL_URL": "smtp://site:p%40ss@mail.example.org:587",
    "GITHUB_CLIENT_ID": "an-id",
    "GITHUB_CLIENT_SECRET": "a-secret",
}


@pytest.fixture
def settings_with(monkeypatch):
    """The settings module as a process with these variables would read it."""

    def read(**variables: str) -> dict[str, Any]:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return runpy.run_path(str(running.BASE_DIR / "playground" / "settings.py"))

    return read


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "70000"),
        ("PORT", "-1"),
        ("WEB_WORKERS", "0"),
        ("RUN_WORKERS", "many"),
        ("TRUSTED_PROXIES", "127.0.0.1"),
        ("DATABASE_URL", "mysql://localhost/site"),
        ("DATABASE_URL", "postgresql://localhost:port/site"),
        ("DATABASE_URL", "postgresql://localhost"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "unix:redis.sock"),
        ("SITE_URL", "example.org"),
        ("SITE_URL", "https://example.org/path"),
        ("EMAIL_URL", "mail.example.org"),
        ("PLAYGROUND_ENV", "staging"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("DEBUG", "perhaps"),
        ("SANDBOX_BACKEND", "podman"),
        ("SANDBOX_BACKEND", "large=podman"),
        ("SANDBOX_BACKEND", "huge=docker"),
        ("FETCH_WORKERS", "0"),
        ("PROVIDER_URLS", "https://mirror.example.org"),
        ("PROVIDER_URLS", "fred=mirror"),
    ],
)
def test_wrong_value_is_refused_with_the_name_of_its_variable(settings_with, variable, value):
    with pytest.raises(ImproperlyConfigured, match=f"^{variable} must "):
        settings_with(**{variable: value})


def test_half_a_pair_names_the_missing_half(settings_with):
    with pytest.raises(ImproperlyConfigured, match=r"^GOOGLE_CLIENT_SECRET must be set .*GOOGLE_CLIENT_ID is"):
        settings_with(GOOGLE_CLIENT_ID="an-id")


def test_providers_of_data_have_addresses_and_bloomberg_its_pair(settings_with):
    assert settings_with(PROVIDER_URLS="fred=http://127.0.0.1:80/x/, ecb=https://e.org")["PROVIDER_URLS"] == {
        "fred": "http://127.0.0.1:80/x",
        "ecb": "https://e.org",
    }
    with pytest.raises(ImproperlyConfigured, match=r"^BLOOMBERG_PYTHON must be set"):
        settings_with(BLOOMBERG_SERVER="bpipe.example.org:8194")
    with pytest.raises(ImproperlyConfigured, match=r"^BLOOMBERG_SERVER must look like"):
        settings_with(BLOOMBERG_SERVER="bpipe.example.org", BLOOMBERG_PYTHON="/opt/bloomberg/bin/python")


@pytest.mark.parametrize("missing", ["SECRET_KEY", "SITE_URL", "EMAIL_URL"])
def test_production_needs_its_own_values(settings_with, missing):
    with pytest.raises(ImproperlyConfigured, match=f"^{missing} must "):
        settings_with(**{name: value for name, value in PRODUCTION.items() if name != missing})


def test_production_refuses_debug_and_any_host(settings_with):
    with pytest.raises(ImproperlyConfigured, match=r"^DEBUG must "):
        settings_with(**PRODUCTION, DEBUG="1")
    with pytest.raises(ImproperlyConfigured, match=r"^ALLOWED_HOSTS must "):
        settings_with(**PRODUCTION, DEBUG="0", ALLOWED_HOSTS="*")


def test_production_values_arrive(settings_with):
    read = settings_with(**PRODUCTION)
    assert read["ALLOWED_HOSTS"] == ["play.example.org"]
    assert (read["EMAIL_HOST"], read["EMAIL_PORT"], read["EMAIL_HOST_PASSWORD"]) == ("mail.example.org", 587, "p@ss")
    assert read["EMAIL_USE_TLS"] and not read["EMAIL_USE_SSL"]
    assert read["SESSION_COOKIE_SECURE"] and read["CSRF_COOKIE_SECURE"] and read["SECURE_HSTS_SECONDS"] >= 31_536_000
    policy = read["CONTENT_SECURITY_POLICY"]["DIRECTIVES"]
    assert "https://github.com" in policy["form-action"] and "https://accounts.google.com" not in policy["form-action"]


def test_production_passes_the_deployment_check():
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=running.BASE_DIR,
        # Which the fixture of the browser sets for this process.
        env={name: value for name, value in os.environ.items() if name != "DJANGO_ALLOW_ASYNC_UNSAFE"} | PRODUCTION,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_policy_allows_no_foreign_and_no_inline_script():
    policy = running.CONTENT_SECURITY_POLICY["DIRECTIVES"]
    assert {"'unsafe-inline'", "'unsafe-eval'", "*", "https:", "blob:", "data:"}.isdisjoint(
        {*policy["script-src"], *policy["style-src"], *policy["default-src"], *policy["connect-src"]}
    )
    assert policy["object-src"] == policy["frame-ancestors"] == ["'none'"]


def test_idle_sockets_of_the_channel_layer_are_not_timed_out():
    [host] = running.CHANNEL_LAYERS["default"]["CONFIG"]["hosts"]
    assert host["socket_timeout"] is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://me:p%40ss@db:5433/site", ("me", "p@ss", "db", "5433", "site")),
        ("postgres://db/site", ("", "", "db", "", "site")),
        ("postgresql://app@%2FVar%2Frun:5432/site", ("app", "", "/Var/run", "5432", "site")),
        ("postgresql:///site?host=/var/run", ("", "", "/var/run", "", "site")),
        ("postgresql://[::1]:5432/site", ("", "", "::1", "5432", "site")),
    ],
)
def test_database_url_is_taken_apart(monkeypatch, url, expected):
    monkeypatch.setenv("DATABASE_URL", url)
    found = environment.database("DATABASE_URL", "")
    assert tuple(found[key] for key in ("USER", "PASSWORD", "HOST", "PORT", "NAME")) == expected


def test_secrets_are_not_shown_in_complaints(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "mysql://me:hidden-word@db/site")
    with pytest.raises(ImproperlyConfigured) as refusal:
        environment.database("DATABASE_URL", "")
    assert "hidden-word" not in str(refusal.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", {"runs": "nsjail", "large": "nsjail", "gpu": "nsjail"}),
        ("docker", {"runs": "docker", "large": "docker", "gpu": "docker"}),
        ("large=kubernetes, gpu=docker", {"runs": "nsjail", "large": "kubernetes", "gpu": "docker"}),
    ],
)
def test_every_queue_has_a_backend(settings_with, value, expected):
    assert settings_with(SANDBOX_BACKEND=value)["SANDBOX_BACKENDS"] == expected


def test_there_is_an_engine_for_each_backend_in_use_and_one_for_the_gpu(settings_with, settings):
    assert settings_with(SANDBOX_BACKEND="docker")["ENGINE_SOCKETS"] == {}
    read = settings_with(
        SANDBOX_BACKEND="large=kubernetes", GPU_SANDBOX_ENV="/opt/gpu", SANDBOX_IMAGE="box:1", SANDBOX_RUNTIME="gvisor"
    )
    assert set(read["ENGINE_SOCKETS"]) == {"large", "gpu"}
    for name in ("ENGINE_SOCKETS", "SANDBOX_BACKENDS", "SANDBOX_IMAGE", "SANDBOX_RUNTIME", "GPU_SANDBOX_ENV"):
        setattr(settings, name, read[name])
    large, gpu, usual = (processes.engine_command(queue) for queue in ("large", "gpu", "runs"))
    options = {
        name: [parse_options(words[3:]).__dict__[name] for words in (large, gpu, usual)]
        for name in ("backend", "image", "runtime", "device", "socket", "state", "env")
    }
    assert options["backend"] == ["kubernetes", "nsjail", "nsjail"]
    assert options["image"] == ["box:1", "", ""]
    assert options["runtime"] == ["gvisor", "", ""]
    assert options["device"] == ["", "gpu", ""]
    assert str(options["env"][1]) == "/opt/gpu"
    assert len({str(path) for path in options["socket"]}) == len({str(path) for path in options["state"]}) == 3

"""Does the environment set up Google and GitHub, and the servers that stand for them?"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from django.conf import settings

PROGRAM = """
import json
from django.conf import settings
providers = settings.SOCIALACCOUNT_PROVIDERS
print(json.dumps({
    "google": providers["google"], "github": providers["github"],
    "form_action": settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]["form-action"],
}))
"""


def settings_with(**environment: str) -> dict:
    env = {name: value for name, value in os.environ.items() if "OAUTH" not in name and "CLIENT" not in name}
    env |= {"DJANGO_SETTINGS_MODULE": "playground.settings"} | environment
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=env,
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_nothing_is_set_up_by_itself():
    found = settings_with()
    assert found["google"]["APPS"] == [] and found["github"]["APPS"] == []
    assert found["form_action"] == ["'self'"]


def test_ids_and_other_servers_come_from_the_environment():
    found = settings_with(
        GOOGLE_CLIENT_ID="g",
        GOOGLE_CLIENT_SECRET="gs",
        GOOGLE_OAUTH_BASE="http://127.0.0.1:9901",
        GITHUB_CLIENT_ID="h",
        GITHUB_CLIENT_SECRET="hs",
        GITHUB_OAUTH_BASE="https://github.corp.example",
    )
    assert found["google"]["APPS"] == [{"client_id": "g", "secret": "gs"}]
    assert found["google"]["ACCESS_TOKEN_URL"] == "http://127.0.0.1:9901/token"
    assert found["google"]["ID_TOKEN_ISSUER"] == "http://127.0.0.1:9901"
    assert found["github"]["GITHUB_URL"] == "https://github.corp.example"
    assert found["form_action"] == ["'self'", "http://127.0.0.1:9901", "https://github.corp.example"]

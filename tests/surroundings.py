"""What do the processes of the tests' site find in their environment? A data folder and ports of their own."""

from __future__ import annotations

import atexit
import os
import random
import shutil
import socket
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What a developer's shell may have set for the site must not reach the tests, least of all the database.
OF_THE_SITE = (
    "ALLOWED_HOSTS DATABASE_URL DEBUG DOCKER_HOST EMAIL_URL ENGINE_SOCKET GITHUB_CLIENT_ID GITHUB_CLIENT_SECRET "
    "GITHUB_OAUTH_BASE GOOGLE_CLIENT_ID GOOGLE_CLIENT_SECRET GOOGLE_OAUTH_BASE GPU_SANDBOX_ENV HOST LOG_FORMAT "
    "ARCHIVE_DAYS LAYERS_DAYS LAYERS_DIR LAYERS_GB LOG_LEVEL METRICS_TOKEN MAIL_FROM MAKEFLAGS MAKELEVEL "
    "PACKAGES PACKAGES_PER_RUN PACKAGE_ALLOW PACKAGE_BLOCK PACKAGE_DOWNLOAD_MB PACKAGE_FEWEST_RELEASES PACKAGE_FILES "
    "PACKAGE_SDISTS PACKAGE_SECONDS PACKAGE_UNPACKED_MB PACKAGE_YOUNGEST_DAYS "
    "PLAYGROUND_ENV PLAYGROUND_SUPERVISOR PORT REDIS_URL SECRET_KEY SECURE_SSL_REDIRECT "
    "SANDBOX_BACKEND SANDBOX_CLAIM SANDBOX_IMAGE SANDBOX_NAMESPACE SANDBOX_RUNTIME "
    "SITE_URL STATIC_ROOT STORE_DIR TRUSTED_PROXIES UPLOADS_DIR UPLOAD_DAYS "
    "BLOOMBERG_APPLICATION BLOOMBERG_PYTHON BLOOMBERG_SERVER CREDENTIAL_KEYS_FILE FETCH_WORKERS PROVIDER_URLS"
).split()


_taken: list[socket.socket] = []  # names of ports, for as long as this process lives


def free_port() -> int:
    """A port for a server that starts later: none of those that the machine's connections are given meanwhile, nor one
    that another process of tests has got and not opened yet.
    """
    first_given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(10_000, max(20_000, first_given))
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0playground-tests-port-{port}")
        except OSError:
            name.close()
            continue
        _taken.append(name)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


def surroundings() -> dict[str, str]:
    """The environment of the tests' site, set before Django reads its settings; children inherit it."""
    usual_data = Path(os.environ.get("DATA_DIR") or ROOT / ".data").absolute()
    data = tempfile.mkdtemp(prefix="playground-tests-")
    atexit.register(shutil.rmtree, data, ignore_errors=True)
    own = {
        "DATA_DIR": data,
        "PORT": str(free_port()),
        # Nobody answers there but the fixture package_index.
        "PACKAGE_INDEX": f"http://127.0.0.1:{free_port()}/simple",
    }
    sharing = "PYTEST_XDIST_WORKER" in os.environ  # the process that shares the tests out has set the rest
    for name in OF_THE_SITE:
        if not (sharing and name == "STATIC_ROOT"):
            os.environ.pop(name, None)
    own["DJANGO_SETTINGS_MODULE"] = "playground.settings"
    if sharing:
        return own
    return {
        **own,
        "WEB_WORKERS": "2",
        # Made once from pinned packages; the same for every data folder.
        "SANDBOX_ENV": os.environ.get("SANDBOX_ENV") or str(usual_data / "sandbox-env"),
        "STATIC_ROOT": str(usual_data / "tests" / "static"),
        "PLAYGROUND_TESTS_STORE": str(usual_data / "store"),
    }

"""What do the tests of market data share? Stand-ins of all providers over TLS, behind the site's way out.

Imports that need Django stand inside: pytest may read this file before the settings are loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.providers.server import StandIns

CERTIFICATES = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE")


@pytest.fixture(scope="session")
def _way_out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StandIns, dict[str, str]]]:
    """The stand-ins, and the variables that lead a process to them."""
    from tests.providers.answers import HOSTS
    from tests.providers.proxy import Proxy, certificate
    from tests.providers.server import StandIns

    file, key = certificate(tmp_path_factory.mktemp("certificate"), HOSTS)
    stand_ins = StandIns(file, key)
    proxy = Proxy(stand_ins.port, HOSTS)
    yield stand_ins, {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}", **dict.fromkeys(CERTIFICATES, file)}
    proxy.close()
    stand_ins.close()


@pytest.fixture
def stand_ins(_way_out: tuple[StandIns, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIns]:
    """Every provider, each answering well until the test says otherwise."""
    stand_ins, variables = _way_out
    for name in ("https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    stand_ins.forget()
    yield stand_ins
    stand_ins.forget()


@pytest.fixture
def alice(db: None) -> Any:
    from tests.factories import make_user

    return make_user("alice")


@pytest.fixture
def give_key() -> Any:
    """give_key(user, "tiingo", "the-key")"""
    from marketdata import credentials, providers

    def give(user: Any, provider: str, key: str) -> Any:
        description = providers.find(provider)
        return credentials.set_key(user, description, dict.fromkeys(description.key_fields, key))

    return give


@pytest.fixture(scope="module")
def fetcher(_way_out: tuple[StandIns, dict[str, str]], services: Any, django_db_setup: None) -> Iterator[Any]:
    """A worker of the queue "fetch" as the site starts it, with the way out."""
    import django_rq
    from rq import Worker

    from playground import processes
    from tests.conftest import _end, _launch, _wait

    with pytest.MonkeyPatch.context() as patch:
        for name in ("https_proxy", "NO_PROXY", "no_proxy"):
            patch.delenv(name, raising=False)
        for name, value in _way_out[1].items():
            patch.setenv(name, value)
        process = _launch("fetcher", processes.worker_command("fetch"))
    redis = django_rq.get_connection("fetch")
    _wait("fetcher", process, lambda: any(known.pid == process.pid for known in Worker.all(connection=redis)))
    yield process
    _end(process)

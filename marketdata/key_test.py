"""Does a provider accept somebody's key? Asked by a worker, because no page ever opens a key."""

from __future__ import annotations

import logging

import django_rq

from marketdata import credentials, fetching, provider_access, providers, redaction, throttle
from marketdata.models import ProviderCredential
from marketdata.providers.errors import ProviderError, SwitchedOff

logger = logging.getLogger(__name__)


def send(credential: ProviderCredential) -> None:
    """The row of use that it leaves says how it went; until then `testing` says that it goes on."""
    django_rq.get_connection("fetch").set(_name(credential.pk), "1", ex=60)
    django_rq.get_queue("fetch").enqueue(
        "marketdata.jobs.check_key", credential.pk, job_timeout=120, result_ttl=0, failure_ttl=24 * 3600
    )


def going_on(credential: ProviderCredential) -> bool:
    return bool(django_rq.get_connection("fetch").exists(_name(credential.pk)))


def perform(credential_id: int) -> None:
    credential = ProviderCredential.objects.filter(pk=credential_id, revoked=None).first()
    if credential is None:
        return
    description = providers.find(credential.provider)
    said = ""
    try:
        if not provider_access.state_of(description).enabled:
            raise SwitchedOff(f"{description.title} is switched off on this site, so the key was not tested.")
        with credentials.open_for_test(credential, description) as key, redaction.hiding(key.values()):
            try:
                scope = throttle.scope_of(description, credential.user_id)
                with fetching.connect(description, key, scope) as connection:
                    description.check(connection)
            except ProviderError as problem:
                fetching.strike_out_key(problem)
                raise
            except Exception:
                logger.exception("the test of credential %s failed", credential.pk)
                raise fetching.SiteFault("The site failed, not you. Try again.") from None
    except ProviderError as problem:
        said = redaction.redact(str(problem))
    except credentials.KeysUnusable:
        logger.exception("the test of credential %s failed", credential.pk)
        said = "The site cannot open this key. Tell its operator, or enter the key again."
    ProviderCredential.objects.filter(pk=credential.pk).update(last_error=said)
    django_rq.get_connection("fetch").delete(_name(credential.pk))


def _name(credential_id: int) -> str:
    return f"fetch:testing:{credential_id}"

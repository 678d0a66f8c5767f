"""Whom may a person ask for data, and whom instead? Providers as this site has them, and what people agreed to."""

from __future__ import annotations

from typing import Any

from marketdata import credentials, providers
from marketdata.models import Provider, ProviderAgreement
from marketdata.providers import Description
from marketdata.providers.errors import NotEntitled, SwitchedOff


def allowed(user: Any, description: Description) -> None:
    """Whether this person may ask this provider now. Raises NotEntitled or ProviderDown with what to do."""
    row = state_of(description)
    if not row.enabled:
        if description.needs_entitlement or (description.key_fields and not description.enabled_at_first):
            raise NotEntitled(f"{description.title} is not set up on this site. {description.free_key}")
        raise SwitchedOff(
            f"{description.title} is switched off on this site.{instead(user, description)}", retry_at=None
        )
    if description.needs_entitlement and not agreed(user, description, ProviderAgreement.Kind.ENTITLEMENT):
        raise NotEntitled(
            f"{description.title} is for people whom the operator of this site has entitled under its contract, and "
            f"you are not among them. {description.free_key}"
        )
    if description.needs_consent and not agreed(user, description, ProviderAgreement.Kind.CONSENT):
        raise NotEntitled(
            f"Accept the terms of {description.title} first, on its page under Data, Providers. {description.terms}"
        )
    if description.needs_key and (user is None or credentials.current(user, description.name) is None):
        raise credentials.without_key(description)


def state_of(description: Description) -> Provider:
    row, _ = Provider.objects.get_or_create(name=description.name, defaults={"enabled": description.enabled_at_first})
    return row


def all_states() -> dict[str, Provider]:
    """The rows of all providers by name; those that are missing are made."""
    found = {row.name: row for row in Provider.objects.all()}
    return {name: found.get(name) or state_of(description) for name, description in providers.ALL.items()}


def agreed(user: Any, description: Description, kind: str) -> bool:
    return (
        user is not None
        and ProviderAgreement.objects.filter(user=user, provider=description.name, kind=kind, withdrawn=None).exists()
    )


def instead(user: Any, description: Description) -> str:
    """Another provider of the same kind: first those that this person can use at once."""
    off = set(Provider.objects.filter(enabled=False).values_list("name", flat=True))
    others = [
        other
        for other in providers.ALL.values()
        if other.name != description.name
        and other.name not in off
        and (other.enabled_at_first or Provider.objects.filter(name=other.name, enabled=True).exists())
        and description.kinds[0] in other.kinds
    ]
    for other in others:
        if user is not None and other.needs_key and credentials.current(user, other.name) is not None:
            return f" Until then use {other.title}, for which you have a key."
    for other in others:
        if not other.needs_key and not other.needs_consent and not other.needs_entitlement:
            return f" Until then use {other.title}, which needs no key."
    for other in others:
        if other.needs_key:
            return f" Until then use {other.title}: a key is had at {other.key_page}."
    return " Until then use the catalogue, or upload a file under My datasets."

"""Pages of providers, of people's keys for them, and of a fetch on its way."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from allauth.account.internal.flows.reauthentication import (
    is_reauthentication_required,
    raise_if_reauthentication_required,
)
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from redis.exceptions import RedisError

from marketdata import credentials, fetch_queue, key_test, provider_access, providers, wanting
from marketdata.forms import FetchForm, KeyForm
from marketdata.models import Fetch, ProviderAgreement, ProviderCredential
from marketdata.providers import Description, ProviderError
from marketdata.providers.errors import NotEntitled

RECENT = 10


@require_safe
def provider_list(request: HttpRequest) -> HttpResponse:
    states = provider_access.all_states()
    keys = _keys_of(request.user)
    rows = [
        {
            "provider": description,
            "state": states[description.name],
            "key": keys.get(description.name),
            "refusal": _refusal(request.user, description),
        }
        for description in providers.ALL.values()
    ]
    return render(request, "marketdata/providers.html", {"rows": rows})


@require_safe
def provider(request: HttpRequest, name: str) -> HttpResponse:
    description = _described(name)
    return _provider_page(
        request, description, FetchForm(provider=description, initial={"symbol": request.GET.get("symbol", "")[:60]})
    )


@require_POST
def begin_fetch(request: HttpRequest, name: str) -> HttpResponse:
    """403 with the reason for what somebody may not have; everything else that is refused is 422."""
    description = _described(name)
    form = FetchForm(request.POST, provider=description)
    if form.is_valid():
        user = request.user if request.user.is_authenticated else None
        try:
            fetch = wanting.want(user, name, **form.cleaned_data)
        except ProviderError as problem:
            form.add_error(None, str(problem))
            return _provider_page(request, description, form, 403 if isinstance(problem, NotEntitled) else 422)
        return redirect("marketdata:fetch", fetch=fetch.pk)
    return _provider_page(request, description, form, 422)


@require_POST
@login_required
def agree(request: HttpRequest, name: str) -> HttpResponse:
    """Accept the provider's terms, or withdraw that."""
    description = _described(name)
    if not description.needs_consent:
        raise Http404
    kind = ProviderAgreement.Kind.CONSENT
    if request.POST.get("answer") == "accept":
        ProviderAgreement.objects.get_or_create(
            user=request.user, provider=name, kind=kind, withdrawn=None, defaults={"terms": description.terms}
        )
        messages.success(request, f"You have accepted the terms of {description.title}.")
    else:
        ProviderAgreement.objects.filter(user=request.user, provider=name, kind=kind, withdrawn=None).update(
            withdrawn=timezone.now()
        )
        messages.success(request, f"Nothing is fetched from {description.title} for you any more.")
    return redirect("marketdata:provider", name=name)


# Fetches


@require_safe
@never_cache
def fetch(request: HttpRequest, fetch: UUID) -> HttpResponse:
    return render(request, "marketdata/fetch.html", _fetch_context(request, fetch))


@require_safe
@never_cache
def fetch_state(request: HttpRequest, fetch: UUID) -> HttpResponse:
    return render(request, "marketdata/_fetch_state.html", _fetch_context(request, fetch))


def _fetch_context(request: HttpRequest, pk: UUID) -> dict[str, Any]:
    """Somebody's own; one for the catalogue is everybody's to look at."""
    found = get_object_or_404(Fetch, _whose(request.user), pk=pk)
    return {
        "fetch": found,
        "provider": providers.find(found.provider),
        "going_on": found.status in fetch_queue.UNFINISHED,
        # Where it stands among those that wait; nobody needs more to see that it moves.
        "before": Fetch.objects.filter(status=Fetch.Status.QUEUED, created__lt=found.created).count()
        if found.status == Fetch.Status.QUEUED
        else 0,
    }


def _whose(user: Any) -> Q:
    return Q(user=None) | Q(user=user) if user.is_authenticated else Q(user=None)


# Keys


@require_safe
@never_cache
@login_required
def keys(request: HttpRequest) -> HttpResponse:
    held = _keys_of(request.user)
    rows = [
        {
            "provider": description,
            "key": (key := held.get(description.name)),
            "uses": key.uses.all()[:RECENT] if key else [],
            "testing": bool(key) and _testing(key),
        }
        for description in providers.ALL.values()
        if description.needs_key
    ]
    rows.sort(key=lambda row: row["key"] is None)
    return render(request, "marketdata/keys.html", {"rows": rows, "testing": any(row["testing"] for row in rows)})


@sensitive_post_parameters()
@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def enter_key(request: HttpRequest, name: str) -> HttpResponse:
    """Write-only, and only for who has signed in a moment ago."""
    description = _described(name)
    if not description.needs_key:
        raise Http404
    if request.method == "POST" and is_reauthentication_required(request, app="allauth.account"):
        # Not the usual way: that would keep the form, and with it the key, in the session until it is done.
        messages.warning(request, "Confirm that it is you, then enter the key once more.")
        return redirect("marketdata:enter_key", name=name)
    raise_if_reauthentication_required(request, app="allauth.account")
    form = KeyForm(request.POST or None, provider=description)
    if request.method == "POST" and form.is_valid():
        key = credentials.set_key(request.user, description, form.key)
        messages.success(request, f"Your key for {description.title} is kept. It is tested now.")
        _send_test(request, key)
        return redirect("marketdata:data_keys")
    context = {"provider": description, "form": form, "key": credentials.current(request.user, name)}
    return render(request, "marketdata/key.html", context, status=422 if form.errors else 200)


@require_POST
@login_required
def test_key(request: HttpRequest, name: str) -> HttpResponse:
    key = _key(request, name)
    if not _testing(key):
        _send_test(request, key)
    return redirect("marketdata:data_keys")


@require_POST
@login_required
def revoke_key(request: HttpRequest, name: str) -> HttpResponse:
    credentials.revoke(_key(request, name))
    messages.success(request, f"Your key for {_described(name).title} is removed; no fetch can use it any more.")
    return redirect("marketdata:data_keys")


# What they share


def _described(name: str) -> Description:
    try:
        return providers.find(name)
    except KeyError:
        raise Http404 from None


def _provider_page(request: HttpRequest, description: Description, form: FetchForm, status: int = 200) -> HttpResponse:
    user = request.user
    fetches = Fetch.objects.filter(_whose(user), provider=description.name)[:RECENT]
    consent = user.is_authenticated and provider_access.agreed(user, description, ProviderAgreement.Kind.CONSENT)
    context = {
        "provider": description,
        "state": provider_access.state_of(description),
        "form": form,
        "fetches": fetches,
        "key": _keys_of(user).get(description.name),
        "consent": consent,
        "refusal": _refusal(user, description),
    }
    return render(request, "marketdata/provider.html", context, status=status)


def _refusal(user: Any, description: Description) -> str:
    """Why this person cannot fetch there right now; empty where they can."""
    try:
        provider_access.allowed(user if user.is_authenticated else None, description)
    except ProviderError as problem:
        return str(problem)
    return ""


def _keys_of(user: Any) -> dict[str, ProviderCredential]:
    if not user.is_authenticated:
        return {}
    # Pages have no use for what is encrypted.
    found = ProviderCredential.objects.filter(user=user, revoked=None).defer("ciphertext")
    return {key.provider: key for key in found}


def _key(request: HttpRequest, name: str) -> ProviderCredential:
    return get_object_or_404(ProviderCredential, user=request.user, provider=name, revoked=None)


def _testing(key: ProviderCredential) -> bool:
    try:
        return key_test.going_on(key)
    except RedisError:
        return False


def _send_test(request: HttpRequest, key: ProviderCredential) -> None:
    try:
        key_test.send(key)
    except RedisError:
        messages.warning(request, "The test could not be started. Press Test in a moment.")

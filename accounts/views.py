"""Which account pages are ours? Profile, security overview, access tokens, deletion; the rest are allauth's views."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.reauthentication import raise_if_reauthentication_required
from allauth.mfa.models import Authenticator
from allauth.socialaccount.adapter import get_adapter as get_social_adapter
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from accounts import signals, tokens
from accounts.forms import DeleteAccountForm, ProfileForm, TokenForm
from accounts.models import AccessToken, User

logger = logging.getLogger(__name__)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    user = request.user
    # A form on the request's own user would show a refused new name in the page's head.
    form = ProfileForm(request.POST or None, instance=User.objects.get(pk=user.pk))
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Your profile is saved.")
        return redirect("accounts:profile")
    context = {"form": form, "plan": user.plan, "unverified_email": user.unverified_email}
    return render(request, "account/profile.html", context, status=422 if form.errors else 200)


@login_required
@require_http_methods(["GET", "HEAD"])
def security(request: HttpRequest) -> HttpResponse:
    """What protects this account, each line with the page that changes it."""
    user = request.user
    factors = {factor.type: factor for factor in Authenticator.objects.filter(user=user)}
    codes = factors.get(Authenticator.Type.RECOVERY_CODES)
    context = {
        "has_authenticator": Authenticator.Type.TOTP in factors,
        "recovery_codes_left": len(codes.wrap().get_unused_codes()) if codes else 0,
        "connections": user.socialaccount_set.order_by("provider"),
        "providers": get_social_adapter().list_providers(request),
        "session_count": len(UserSession.objects.purge_and_list(user)),
        "token_count": user.access_tokens.working().count(),
        "unverified_email": user.unverified_email,
    }
    return render(request, "account/security.html", context)


@sensitive_variables("secret", "context")  # it would be in a report of a failure
@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def access_tokens(request: HttpRequest) -> HttpResponse:
    """The tokens of this account. The answer to the form that makes one is the only page that ever shows it."""
    user, form, secret = request.user, TokenForm(request.POST or None, initial={"days": 90}), ""
    if request.method == "POST":
        raise_if_reauthentication_required(request, app="allauth.account")
        if form.is_valid():
            try:
                made, secret = tokens.make(user, **form.cleaned_data)
            except tokens.Refused as refusal:
                form.add_error(refusal.field, str(refusal))
            else:
                form = TokenForm(initial={"days": 90})
                try:
                    get_adapter(request).send_notification_mail("account/email/token_made", user, {"token": made})
                except OSError:  # a mail server that is away; the token is there and can be shown only now
                    logger.exception("user %s: the mail about token %s could not be sent", user.pk, made.start)
    context = {"form": form, "tokens": user.access_tokens.all(), "secret": secret, "most": tokens.MOST}
    return render(request, "account/tokens.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def revoke_token(request: HttpRequest, token: int) -> HttpResponse:
    found = get_object_or_404(AccessToken, pk=token, user=request.user)
    tokens.revoke(found)
    messages.success(request, f"The token “{found.name}” opens nothing any more.")
    return redirect("accounts:tokens")


@sensitive_post_parameters("password")
@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest) -> HttpResponse:
    if not request.user.has_usable_password():  # the form cannot ask for one
        raise_if_reauthentication_required(request, app="allauth.account")
    form = DeleteAccountForm(request.POST or None, user=request.user)
    if request.method == "POST" and form.is_valid():
        delete_account(request.user)
        logout(request)
        messages.success(request, "Your account and everything in it are deleted.")
        return redirect("/")
    return render(request, "account/delete.html", {"form": form}, status=422 if form.errors else 200)


def delete_account(user: User) -> None:
    """Every row that belongs to the account goes by cascade; files go by the apps that own them."""
    with transaction.atomic():
        signals.account_deleting.send(sender=User, user=user)
        for session in UserSession.objects.filter(user=user):
            session.end()
        User.objects.get(pk=user.pk).delete()


def when_configured(provider: str, view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The view of a provider, or "not found" where this site has no client id for it."""

    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not get_social_adapter().list_apps(request, provider=provider):
            raise Http404(f"Signing in with {provider} is not set up here.")
        return view(request, *args, **kwargs)

    return checked

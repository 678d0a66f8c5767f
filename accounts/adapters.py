"""Where do we differ from django-allauth? Usernames, disputed addresses, throttling, social sign-in."""

from __future__ import annotations

import base64
import hashlib
import math
import time
from typing import Any

import qrcode
from allauth.account import app_settings
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.adapter import get_adapter as get_account_adapter
from allauth.account.internal.flows.login import get_authentication_records, record_authentication
from allauth.account.internal.userkit import filter_users_by_email
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.core.internal import ratelimit
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialLogin
from allauth.socialaccount.providers.base.constants import AuthProcess
from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.contrib import messages
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from qrcode.image.svg import SvgPathFillImage

from accounts.models import User
from accounts.names import USERNAME_MAX_LENGTH, suggest_username


class AccountAdapter(DefaultAccountAdapter):
    error_messages = DefaultAccountAdapter.error_messages | {
        "email_password_mismatch": "Address and password do not match. Check both, or reset the password.",
        "username_password_mismatch": "Name and password do not match. Check both, or reset the password.",
        "username_taken": "That name is taken. Choose another one.",
        "too_many_login_attempts": "Too many failed attempts. Wait 5 minutes, then try again.",
        "rate_limited": "Too many attempts. Wait 5 minutes, then try again.",
        "incorrect_password": "That is not the password of this account.",
        "enter_current_password": "That is not the current password.",
        "invalid_password_reset": "This link was used already or is too old. Ask for a new one.",
    }

    def clean_username(self, username: str, shallow: bool = False) -> str:
        return super().clean_username(username.strip().lower(), shallow=shallow)

    def generate_unique_username(self, txts: list[str | None], regex: str | None = None) -> str:
        """From the address's local part, else from the first text given; numbered when it is taken."""
        texts = [text for text in txts if text]
        source = next((text for text in texts if "@" in text), texts[0] if texts else "")
        wanted = suggest_username(source.partition("@")[0])
        candidate, number = wanted, 1
        while User.objects.filter(username=candidate).exists():
            number += 1
            ending = f"-{number}"
            candidate = wanted[: USERNAME_MAX_LENGTH - len(ending)].rstrip("-") + ending
        return candidate

    def save_user(self, request: HttpRequest, user: User, form: BaseForm, commit: bool = True) -> User:
        super().save_user(request, user, form, commit=False)
        if commit:
            save_new_account(user, self, chosen_name=bool(form.cleaned_data.get("username")))
        return user

    def clean_email(self, email: str) -> str:
        # In a local part, letters beyond ASCII only make look-alikes (and some of them fold to ASCII ones).
        if not email.partition("@")[0].isascii():
            raise ValidationError("Write the part before the @ with plain letters (a-z).", code="invalid")
        if len(email) > app_settings.EMAIL_MAX_LENGTH:
            raise ValidationError(f"An address has at most {app_settings.EMAIL_MAX_LENGTH} characters.", code="invalid")
        return email

    def confirm_email(self, request: HttpRequest, email_address: EmailAddress) -> bool:
        with transaction.atomic():
            if email_address.can_set_verified():
                settle_claims(email_address)
            return super().confirm_email(request, email_address)

    def send_confirmation_mail(self, request: HttpRequest, emailconfirmation: Any, signup: bool) -> None:
        """The owner of an address confirmed elsewhere is told of the second account, and gets no link."""
        address = emailconfirmation.email_address
        if address.can_set_verified():
            super().send_confirmation_mail(request, emailconfirmation, signup)
        else:
            self.send_account_already_exists_mail(address.email)

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        try:
            super().pre_authenticate(request, **credentials)
        except ValidationError as refused:
            wait = self._seconds_to_wait(request, self._get_login_attempts_cache_key(request, **credentials))
            minutes = max(1, math.ceil(wait / 60))
            raise ValidationError(
                f"Too many failed attempts. Try again in {minutes} minute{'s' if minutes > 1 else ''}, "
                "or reset the password.",
                code="too_many_login_attempts",
            ) from refused

    def _seconds_to_wait(self, request: HttpRequest, key: str) -> float:
        """Until the oldest counted failure is forgotten. Refused attempts are not counted."""
        waits = [0.0]
        for rate in ratelimit.get_rates(app="allauth.account", action="login_failed"):
            name = ratelimit.get_cache_key(request, app="allauth.account", action="login_failed", rate=rate, key=key)
            failures = cache.get(name, [])
            if len(failures) >= rate.amount:
                waits.append(failures[-1] + rate.duration - time.time())
        return max(waits)

    def get_client_ip(self, request: HttpRequest) -> str:
        # A web server behind a unix socket passes no address; all its clients then share one throttle.
        return super().get_client_ip(request) if request.META.get("REMOTE_ADDR") else "127.0.0.1"

    def post_login(self, request: HttpRequest, user: User, *, signup: bool, **kwargs: Any) -> HttpResponse:
        if signup and user.has_usable_password():
            # The password was just chosen: the next page need not ask for it again.
            record_authentication(request, user, method="password")
        return super().post_login(request, user, signup=signup, **kwargs)

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Who signed in a moment ago need not do it again (allauth counts only a second time)."""
        request = context.request
        records = get_authentication_records(request, request.user)
        if records and time.time() - records[-1]["at"] < app_settings.REAUTHENTICATION_TIMEOUT:
            return False
        return super().is_reauthentication_required(app=app, **kwargs)

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("accounts:security")

    def get_email_verification_redirect_url(self, email_address: EmailAddress) -> str:
        return reverse("account_email" if self.request.user.is_authenticated else "account_login")


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    error_messages = DefaultSocialAccountAdapter.error_messages | {
        "no_password": "Set a password first: without it you could not sign in any more.",
        "connected_other": "That account is connected to another account here already.",
    }

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """An address never opens the account it belongs to: its owner signs in first, then connects."""
        if sociallogin.is_existing or sociallogin.state.get("process") == AuthProcess.CONNECT:
            return
        known = any(a.verified and filter_users_by_email(a.email) for a in sociallogin.email_addresses)
        if known:
            provider = sociallogin.account.get_provider(request).name
            messages.error(
                request,
                "An account with this address exists already. Sign in to it (or reset its password), "
                f"then connect {provider} under Sign-in and security.",
            )
            raise ImmediateHttpResponse(HttpResponseRedirect(reverse("account_login")))

    def populate_user(self, request: HttpRequest, sociallogin: SocialLogin, data: dict[str, Any]) -> User:
        user = super().populate_user(request, sociallogin, data)
        name = data.get("name") or f"{data.get('first_name') or ''} {data.get('last_name') or ''}"
        user.display_name = " ".join(name.split())[: User._meta.get_field("display_name").max_length]
        return user

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: BaseForm | None = None) -> User:
        """With no form to choose another name in, one that was taken in this very moment gets a number."""
        user = sociallogin.user
        user.email_disputed = is_claimed(user.email)
        try:
            with transaction.atomic():
                if form is None:
                    adapter = get_account_adapter()
                    adapter.populate_username(request, user)
                    save_new_account(user, adapter, chosen_name=False)
                return super().save_user(request, sociallogin, form)
        except IntegrityError:
            if not SocialAccount.objects.filter(provider=sociallogin.account.provider, uid=sociallogin.account.uid):
                raise
            messages.info(request, "You have signed up in another window just now. Sign in here.")
            raise ImmediateHttpResponse(HttpResponseRedirect(reverse("account_login"))) from None


class SecondFactorAdapter(DefaultMFAAdapter):
    """Keeps the authenticators' secrets encrypted: a copy of the database alone makes no codes."""

    def build_totp_svg(self, url: str) -> str:
        """On white, with a margin: the picture is scanned from dark pages too."""
        image = qrcode.make(url, image_factory=SvgPathFillImage)
        return image.to_string().decode()

    def encrypt(self, text: str) -> str:
        return _cipher().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return _cipher().decrypt(encrypted_text.encode()).decode()


def is_claimed(email: str, but: User | None = None) -> bool:
    """Whether another account uses this address, confirmed or not."""
    return bool(email) and any(user.pk != (but.pk if but else None) for user in filter_users_by_email(email))


def settle_claims(address: EmailAddress) -> None:
    """The owner of an address confirmed it for one account: now the others' claims are the disputed ones."""
    with transaction.atomic():
        User.objects.filter(email__iexact=address.email).exclude(pk=address.user_id).update(email_disputed=True)
        User.objects.filter(pk=address.user_id).update(email_disputed=False)


def save_new_account(user: User, adapter: AccountAdapter, chosen_name: bool) -> None:
    """Save, and once more with a fresh look when somebody took the name or the address in the same moment."""
    for last_try in (False, True):
        user.email_disputed = is_claimed(user.email)
        try:
            with transaction.atomic():
                user.save()
            return
        except IntegrityError:
            if last_try:
                raise
            if not chosen_name:
                user.username = adapter.generate_unique_username([user.email])


def _cipher() -> MultiFernet:
    """From SECRET_KEY; earlier keys in SECRET_KEY_FALLBACKS still decrypt."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    digests = (hashlib.sha256(b"accounts.second-factor:" + key.encode()).digest() for key in keys)
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])

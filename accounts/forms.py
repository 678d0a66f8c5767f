"""What do people fill in about their account? allauth's forms in our words, profile, access tokens and deletion."""

from __future__ import annotations

import unicodedata
from typing import Any

from allauth.account import forms as account_forms
from allauth.account.adapter import get_adapter
from allauth.mfa.base import forms as second_factor_forms
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.socialaccount.forms import SignupForm as SocialSignupForm
from allauth.socialaccount.internal.flows.signup import redirect_to_signup
from django import forms
from django.conf import settings
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from accounts.models import AccessToken, User

_minimum_length = next(
    validator["OPTIONS"]["min_length"]
    for validator in settings.AUTH_PASSWORD_VALIDATORS
    if validator["NAME"].endswith("MinimumLengthValidator")
)
PASSWORD_HELP = f"At least {_minimum_length} characters, and not a common password."
USERNAME_HELP = "Stands in your projects' addresses. Left empty, it is made from your email address."


class OurWords:
    """Labels instead of placeholders (which vanish while typing), one line of help, one password field."""

    labels: dict[str, str] = {}
    helps: dict[str, str] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields.pop("password2", None)
        for name, field in self.fields.items():
            field.widget.attrs.pop("placeholder", None)
            field.label = self.labels.get(name, field.label)
            field.help_text = self.helps.get(name, "")


def _name_was_taken(form: Any) -> bool:
    """Whether the database refused a sign-up for its name; the form says so then."""
    taken = User.objects.filter(username=form.cleaned_data.get("username")).exists()
    if taken:
        form.add_error("username", get_adapter().error_messages["username_taken"])
    return taken


class SignInForm(OurWords, account_forms.LoginForm):
    labels = {"login": "Email or username", "password": "Password"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].widget.attrs |= {
            "autocomplete": "username",
            "autocapitalize": "none",
            "spellcheck": "false",
        }


class SignUpForm(OurWords, account_forms.SignupForm):
    field_order = ("email", "password1", "username")
    labels = {"email": "Email", "password1": "Password", "username": "Username"}
    helps = {"password1": PASSWORD_HELP, "username": USERNAME_HELP}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].widget.attrs.update(autocapitalize="none", spellcheck="false")

    def try_save(self, request: HttpRequest) -> tuple[User | None, HttpResponse | None]:
        """Asked for twice at once, a name is free for both of them when their forms are checked."""
        try:
            return super().try_save(request)
        except IntegrityError:
            if not _name_was_taken(self):
                raise
            return None, render(request, "account/signup.html", {"form": self, "login_url": reverse("account_login")})


class SocialSignUpForm(OurWords, SocialSignupForm):
    labels = {"email": "Email", "username": "Username"}
    helps = {"username": USERNAME_HELP}

    def try_save(self, request: HttpRequest) -> tuple[User | None, HttpResponse | None]:
        """As in SignUpForm; and who comes back from the other site need not go there again for another name."""
        try:
            return super().try_save(request)
        except IntegrityError:
            if not _name_was_taken(self):
                raise
            redirect_to_signup(request, self.sociallogin)  # keeps who it is
            shown = {"form": self, "account": self.sociallogin.account}
            return None, render(request, "socialaccount/signup.html", shown)


class ChangeEmailForm(OurWords, account_forms.AddEmailForm):
    labels = {"email": "New address"}
    helps = {"email": "We send a link there. Until you open it, your present address stays in use."}


class ChangePasswordForm(OurWords, account_forms.ChangePasswordForm):
    labels = {"oldpassword": "Current password", "password1": "New password"}
    helps = {"password1": PASSWORD_HELP + " All your other sessions are signed out."}


class SetPasswordForm(OurWords, account_forms.SetPasswordForm):
    labels = {"password1": "Password"}
    helps = {"password1": PASSWORD_HELP}


class ResetPasswordForm(OurWords, account_forms.ResetPasswordForm):
    labels = {"email": "Email"}


class NewPasswordForm(OurWords, account_forms.ResetPasswordKeyForm):
    labels = {"password1": "New password"}
    helps = {"password1": PASSWORD_HELP + " All your sessions are signed out."}


class ConfirmPasswordForm(OurWords, account_forms.ReauthenticateForm):
    labels = {"password": "Password"}


class CodeForm(OurWords, second_factor_forms.AuthenticateForm):
    labels = {"code": "Code"}
    helps = {"code": "Six digits from your authenticator app, or one of your recovery codes."}


class ConfirmCodeForm(OurWords, second_factor_forms.ReauthenticateForm):
    labels = {"code": "Code"}
    helps = {"code": "Six digits from your authenticator app, or one of your recovery codes."}


class ActivateAuthenticatorForm(OurWords, ActivateTOTPForm):
    labels = {"code": "Code"}
    helps = {"code": "The six digits the app shows now."}


class ProfileForm(forms.ModelForm):
    class Meta:
        model = User
        fields = ("display_name", "username")
        widgets = {
            "display_name": forms.TextInput(attrs={"autocomplete": "name"}),
            "username": forms.TextInput(
                attrs={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"}
            ),
        }
        labels = {"display_name": "Name", "username": "Username"}
        help_texts = {
            "display_name": "How others see you. May be left empty.",
            "username": "Stands in your projects' addresses; after a change the old ones no longer work.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Made lower case before the model's validator judges it.
        self.fields["username"].to_python = lambda value: str(value or "").strip().lower()

    def clean_display_name(self) -> str:
        return _one_line(self.cleaned_data["display_name"])


class TokenForm(forms.Form):
    """What a new access token is called, may do, and how long it works."""

    name = forms.CharField(
        max_length=AccessToken._meta.get_field("name").max_length,
        help_text="Where it will be used, such as “notebook on my laptop”.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    scope = forms.ChoiceField(
        label="It may",
        choices=[
            (AccessToken.Scope.READ, "read what I can read"),
            (AccessToken.Scope.RUN, "read, and run and stop my programs"),
        ],
    )
    days = forms.TypedChoiceField(
        label="It works for",
        coerce=int,
        choices=[(30, "30 days"), (90, "90 days"), (365, "365 days"), (0, "as long as I do not revoke it")],
    )

    def clean_name(self) -> str:
        return _one_line(self.cleaned_data["name"])


def _one_line(text: str) -> str:
    """A name without invisible and direction-changing characters, which let one look like another."""
    name = " ".join(text.split())
    visible = name.replace("\N{ZERO WIDTH JOINER}", "")  # emoji need it
    if any(unicodedata.category(character) in {"Cc", "Cf", "Co", "Cs"} for character in visible):
        raise forms.ValidationError("The name holds invisible characters. Type it again.")
    return name


class DeleteAccountForm(forms.Form):
    """Asks for the password; for an account that signs in elsewhere only, for its username."""

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        self.user = user
        super().__init__(*args, **kwargs)
        if user.has_usable_password():
            self.fields["password"] = forms.CharField(
                label="Password",
                strip=False,
                widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
            )
        else:
            self.fields["username"] = forms.CharField(
                label=f"Type {user.username} to confirm",
                widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
            )

    def clean_password(self) -> str:
        password = self.cleaned_data["password"]
        # Through the adapter, so that guesses are throttled like failed sign-ins.
        if not get_adapter().reauthenticate(self.user, password):
            raise get_adapter().validation_error("incorrect_password")
        return password

    def clean_username(self) -> str:
        if self.cleaned_data["username"].strip().lower() != self.user.username:
            raise forms.ValidationError("That is not the username of this account.")
        return self.user.username

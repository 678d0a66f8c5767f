"""Forms for making and changing projects."""

from __future__ import annotations

import unicodedata

from django import forms

from runner import packages
from runner.models import Project
from runner.samples import SAMPLES

MAX_REQUIREMENTS_LENGTH = 10_000
UNCONFIRMED = "unconfirmed"


def clean_title(title: str) -> str:
    """One line of visible text: control characters and those that reverse or hide text are left out."""
    visible = "".join(" " if c.isspace() else c for c in title if c.isspace() or unicodedata.category(c)[0] != "C")
    return " ".join(visible.split())


class ProjectSettingsForm(forms.ModelForm):
    requirements = forms.CharField(required=False, max_length=MAX_REQUIREMENTS_LENGTH, strip=False)

    class Meta:
        model = Project
        fields = ["title", "visibility"]

    def clean_title(self) -> str:
        title = clean_title(self.cleaned_data["title"])
        if not title:
            raise forms.ValidationError("Give the project a title.")
        return title

    def clean_requirements(self) -> str:
        text = self.cleaned_data["requirements"].replace("\r\n", "\n").replace("\r", "\n").strip("\n")
        try:
            packages.check({packages.FIELD: text})
        except packages.PackageRefused as refusal:
            raise forms.ValidationError(refusal.reason) from None
        return text + "\n" if text else ""

    def clean_visibility(self) -> str:
        visibility = self.cleaned_data["visibility"]
        if self.instance.is_guest and visibility != Project.Visibility.PRIVATE:
            raise forms.ValidationError("Sign up to share a project; until then it stays private.")
        publishes = visibility == Project.Visibility.PUBLIC and self.instance.visibility != visibility
        if publishes and not self.instance.owner.has_verified_email:
            raise forms.ValidationError(
                "Confirm your e-mail address before you make a project public.", code=UNCONFIRMED
            )
        return visibility


class NewProjectForm(forms.Form):
    title = forms.CharField(max_length=120)
    sample = forms.ChoiceField(
        required=False, choices=[("", "Empty file"), *((sample.slug, sample.title) for sample in SAMPLES)]
    )

    def clean_title(self) -> str:
        title = clean_title(self.cleaned_data["title"])
        if not title:
            raise forms.ValidationError("Give the project a title.")
        return title

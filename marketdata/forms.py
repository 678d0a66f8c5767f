"""What do people fill in about providers? A key, and a series to fetch."""

from __future__ import annotations

from typing import Any

from django import forms

from marketdata.providers import Description

LONGEST_KEY = 400


class KeyForm(forms.Form):
    """The fields of one provider's key. What was typed is never shown again, not even beside an error."""

    def __init__(self, *args: Any, provider: Description, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in provider.key_fields:
            self.fields[name.replace(" ", "_")] = forms.CharField(
                label=name.capitalize(),
                max_length=LONGEST_KEY,
                widget=forms.PasswordInput(attrs={"autocomplete": "off", "spellcheck": "false"}, render_value=False),
            )
        self.provider = provider

    def clean(self) -> dict[str, Any]:
        for name, value in list(self.cleaned_data.items()):
            if not value.isascii() or not value.isprintable() or " " in value:
                self.add_error(name, "A key has neither blanks nor letters with accents. Copy it once more.")
        return self.cleaned_data

    @property
    def key(self) -> dict[str, str]:
        return {name: self.cleaned_data[name.replace(" ", "_")] for name in self.provider.key_fields}


class FetchForm(forms.Form):
    symbol = forms.CharField(
        max_length=60,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )
    interval = forms.ChoiceField(label="Interval")
    start = forms.DateField(label="First day", required=False, widget=forms.DateInput(attrs={"type": "date"}))
    end = forms.DateField(label="Last day", required=False, widget=forms.DateInput(attrs={"type": "date"}))

    def __init__(self, *args: Any, provider: Description, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["symbol"].help_text = provider.symbols
        choices = [(interval, interval) for interval in provider.intervals]
        self.fields["interval"].choices = choices
        self.fields["interval"].initial = "1d"
        if len(choices) == 1:
            self.fields["interval"].widget = forms.HiddenInput()

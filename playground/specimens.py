"""What does the styleguide show? Made-up examples of every state, used nowhere else."""

from __future__ import annotations

from typing import Any

from django import forms

from runner.charts import equity_svg
from runner.models import Run


class SpecimenForm(forms.Form):
    """A field in each state: plain, with help, wrong."""

    title = forms.CharField(max_length=40, help_text="Up to 40 characters; it becomes part of the address.")
    cash = forms.DecimalField(min_value=1, label="Starting cash")
    visibility = forms.ChoiceField(choices=[("private", "Private"), ("public", "Public")])
    note = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), required=False)


SOURCE = '''\
class Momentum(Strategy):
    lookback = 60        # trading days

    def next(self):
        """Hold while the price is above its own past."""
        if self.data.Close[-1] > self.data.Close[-self.lookback]:
            self.position or self.buy(size=0.95)
        else:
            self.position.close()
'''

COLOURS = (
    "surface-0", "surface-1", "surface-2", "surface-3", "line", "line-strong", "text", "text-muted", "accent",
    "accent-soft", "focus", "gain", "loss", "warn", "crit", "info",
)  # fmt: skip


def context() -> dict[str, Any]:
    return {
        "statuses": [{"status": value, "get_status_display": label} for value, label in Run.Status.choices],
        "bound_form": SpecimenForm({"title": "x" * 41, "cash": "-5", "visibility": "public", "note": "Looks odd"}),
        "free_form": SpecimenForm(),
        "source": SOURCE,
        "colours": COLOURS,
        "chart_numbers": range(1, 9),
        "button_kinds": ("", "button--primary", "button--quiet", "button--danger"),
        "figures": [
            {"label": "Return", "text": "+48.2 %", "value": 0.482},
            {"label": "Max. drawdown", "text": "−21.0 %", "value": -0.21},
            {"label": "Sharpe", "text": "1.24", "value": None},
            {"label": "Trades", "text": "63", "value": None},
        ],
        "curve": equity_svg(
            ("2023-11-20", "2024-08-20", "2025-05-20", "2025-11-20", "2026-11-20"), (100, 118, 107, 135, 148), 720, 400
        ),
        "rows": [
            ("2026-11-20", "AAPL", "+1.2 %", 0.012, "1 204"),
            ("2026-11-19", "MSFT", "−0.4 %", -0.004, "880"),
            ("2026-11-18", "SPY", "0.0 %", 0.0, "12 000"),
        ],
    }

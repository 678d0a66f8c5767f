"""What can making a run again give?"""

from __future__ import annotations

__all__ = ["ALARMING", "ANSWERS"]

ANSWERS = {
    "exact": "Exact",
    "close": "Equal within 1e-9",
    "result": "The result differs",
    "data": "The data differ",
    "environment": "The environment differs",
    "code": "The code differs",
    "cannot": "Cannot be run",
}
# A newer library or another lock is how the site goes on; these are not.
ALARMING = ("result", "data", "code")

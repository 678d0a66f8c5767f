"""What to write instead of an expression that knows the future? A sentence, by what the expression does."""

from __future__ import annotations

import re

__all__ = ["advice"]

# The first that is found in the expression.
KINDS = (
    (
        r"\.(shift|diff|pct_change)\(\s*(periods\s*=\s*)?-|\bnp\.roll\(",
        "This reads later rows: shift(1) reads earlier ones",
    ),
    (r"center\s*=\s*True|FixedForwardWindow", "Its window reaches into later rows: let it end at the row itself"),
    (r"\b(bfill|backfill|interpolate)\b", "This fills gaps from later rows: ffill() fills them from earlier ones"),
    (r"[\"'](forward|nearest)[\"']", "This joins later rows: take direction='backward'"),
    (
        r"find_peaks|argrelext|zigzag|pivot|fractal",
        "A turn is known when prices have left it: mark it on the row that confirms it",
    ),
    (
        r"filtfilt|savgol|gaussian_filter|fft|hpfilter|seasonal_decompose|lowess|smoother|smoothed|np\.gradient|\bgradient\b"
        r"|mode\s*=\s*[\"']same|detrend",
        "This smooths from both sides: filter forward, or over a window that ends at the row",
    ),
    (
        r"\.fit\(|fit_transform|fit_predict|cross_val|polyfit|\bOLS\(|minimize\(|optimize\(|eigh?\(|svd\(|KFold",
        "It is fitted on rows that come later: fit on those before the day, again and again",
    ),
    (
        r"\[::-1\]|sort_index\(.*ascending\s*=\s*False|sort_values\(.*[\"'](?i:date|time\w*|day)[\"'].*ascending\s*=\s*False",
        "Here rows run from the newest to the oldest: sort them by date before anything is reckoned",
    ),
    (
        r"resample\(|groupby\(|to_period\(|Grouper",
        "A period is known when it is over: shift its value by one period before it is put on days",
    ),
    (
        r"^(?!.*\b(rolling|expanding|ewm)\b).*(\b(mean|std|var|min|max|median|quantile|rank|idxmin|idxmax|cov|corr|qcut)\()",
        "If this is reckoned over all rows, rolling() or expanding() sees only those before",
    ),
    (r"\[\s*-1\s*\]", "The last row of all data is known at their end only"),
)
ANYHOW = "What it decides with has to be known at the close of that day"


def advice(expression: str) -> str:
    """Without a full stop."""
    return next((words for pattern, words in KINDS if re.search(pattern, expression)), ANYHOW)

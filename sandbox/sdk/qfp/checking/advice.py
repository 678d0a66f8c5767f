"""What to write instead of an expression that knows the future? A sentence, by what the expression does."""

from __future__ import annotations

import re

__all__ = ["ANYHOW_RANK", "OVER_ALL_RANK", "advice", "rank"]

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
        r"\breversed\(|\brange\(.*,\s*-1\s*\)",
        "This goes from the last row back to the first: go forward, so that a row has seen those before it alone",
    ),
    (
        r"\[(?![^\[\]]*:\s*\w+\s*\+\s*1\s*\])[^\[\]]*\w\s*\+\s*\w[^\[\]]*\]",
        "An index may not reach beyond the row of the day: [i] is that row, and [:i + 1] ends with it",
    ),
    (
        r"resample\(|groupby\(|to_period\(|Grouper",
        "A period is known when it is over: shift its value by one period before it is put on days",
    ),
    (
        r"\bdata\.(series|factors)\(",
        "A figure is known once it is published, which is later than its date: data.latest_at() joins it to the bars",
    ),
    (
        r"^(?!.*\b(rolling|expanding|ewm)\b).*"
        r"(\b(mean|std|var|min|max|median|quantile|percentile|rank|idxmin|idxmax|argmin|argmax|cov|corr|qcut)\()",
        "If this is reckoned over all rows, rolling() or expanding() sees only those before",
    ),
    (r"\[\s*-1\s*\]", "The last row of all data is known at their end only"),
)
ANYHOW = "What it decides with has to be known at the close of that day"
# From there on it hangs on what is reckoned: of a window both are fine.
OVER_ALL_RANK, ANYHOW_RANK = len(KINDS) - 2, len(KINDS)


def advice(expression: str) -> str:
    """Without a full stop."""
    at = rank(expression)
    return KINDS[at][1] if at < ANYHOW_RANK else ANYHOW


def rank(expression: str) -> int:
    """How clearly it looks ahead, 0 the clearest; ANYHOW_RANK where nothing in it says so."""
    found = (at for at, (pattern, _) in enumerate(KINDS) if re.search(pattern, expression))
    return next(found, ANYHOW_RANK)

"""Which jumps of a price are no news? Those that come back, those of another unit, and splits that nobody recorded."""

from __future__ import annotations

import numpy as np

from marketdata.quality.findings import Finding, Kind, grouped, when
from marketdata.quality.series import LONGEST_SPIKE, POSITIVE, CheckedSeries

# A spike comes back this near to where it began, within LONGEST_SPIKE bars.
RETURNS_WITHIN = np.log(1.25)
ALWAYS_A_SPIKE = np.log(10)
# Smaller ones only where nobody traded more than usual. Without volumes there is no such witness.
QUIET_SPIKE, SPIKE_WITHOUT_VOLUME = np.log(2), np.log(3)
CROWD = 3.0
WITHIN_A_BAR = 5.0


def spikes(series: CheckedSeries) -> list[Finding]:
    if series.kind not in POSITIVE:
        return []
    rows = series.priced
    if len(rows) < 3:
        return []
    level = np.log(series.close[rows])
    split, step = series.splits(rows), np.diff(level, prepend=level[0])
    # As if there had been no splits; one that prices do not show is another rule's.
    level = level + np.cumsum(np.where(np.abs(step + split) < np.abs(step), split, 0))
    crowd = series.crowd
    least = QUIET_SPIKE if crowd is not None else SPIKE_WITHOUT_VOLUME
    spike, count = np.zeros(len(rows), bool), len(rows)
    for length in range(1, LONGEST_SPIKE + 1):
        starts = np.arange(1, count - length)
        block = level[starts[:, None] + np.arange(length)] - level[starts - 1][:, None]
        size = np.where((block > 0).all(axis=1) | (block < 0).all(axis=1), np.abs(block).min(axis=1), 0)
        back = np.abs(level[starts + length] - level[starts - 1]) <= RETURNS_WITHIN
        quiet = np.ones(len(starts), bool)
        if crowd is not None:
            quiet = crowd[starts[:, None] + np.arange(length)].max(axis=1) < CROWD
        for start in starts[back & ((size >= ALWAYS_A_SPIKE) | ((size >= least) & quiet))]:
            spike[start : start + length] = True
    found = []
    for run in grouped(np.flatnonzero(spike), reach=1):
        first, last = (series.days[rows[at]].item() for at in (run[0], run[-1]))
        times = _fold(level[run[0]] - level[run[0] - 1])
        wrong = "a wrong value" if len(run) == 1 else f"{len(run)} wrong values"
        text = f"The price is {times} the one before {when(first, last)} and then comes back: probably {wrong}."
        found.append(Finding(Kind.SPIKE, first, last, text))
    # What has not come back: at the end of the series nobody knows yet; before, it is another unit.
    jumps = np.flatnonzero(np.abs(np.diff(level)) >= ALWAYS_A_SPIKE) + 1
    jumps = jumps[~spike[jumps] & ~spike[jumps - 1]]
    if crowd is not None:
        jumps = jumps[crowd[jumps] < CROWD]
    for jump in jumps:
        day, times = series.days[rows[jump]].item(), _fold(level[jump] - level[jump - 1])
        if jump >= count - LONGEST_SPIKE:
            text = f"The price is {times} the day before's on {day}, at the end of the series, without a split."
            found.append(Finding(Kind.SPIKE, day, day, text))
        else:
            text = (
                f"From {day} on prices are {times} those before, without a split or more trading than usual: "
                "another unit, such as pence and pounds, or a split that is not recorded."
            )
            found.append(Finding(Kind.UNIT, day, day, text))
    if series.has_bars:
        high, low = series.columns["high"], series.columns["low"]
        body = np.vstack([series.columns["open"], series.close])
        with np.errstate(invalid="ignore"):
            far = (high > WITHIN_A_BAR * body.max(axis=0)) | ((low > 0) & (WITHIN_A_BAR * low < body.min(axis=0)))
            far &= (body > 0).all(axis=0)
        found += series.findings(
            Kind.SPIKE,
            np.setdiff1d(np.flatnonzero(far), rows[spike]),
            lambda number, span: f"High or low is more than {WITHIN_A_BAR:g} times away from open and close {span}.",
        )
    return found


# Splits that companies make; those that are easily mistaken for a bad day need volumes as witnesses.
RATIOS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50)
SMALL_RATIOS = (1.5, 4 / 3, 1.25)
NEAR_WITH_WITNESS, NEAR_WITHOUT, NEAR_SMALL = np.log(1.08), np.log(1.02), np.log(1.04)
STAYS_WITHIN = np.log(1.25)


def splits(series: CheckedSeries) -> list[Finding]:
    if series.kind != "equity" or series.interval != "1d":
        return []
    rows = series.priced
    if len(rows) < 3:
        return []
    level, split = np.log(series.close[rows]), series.splits(rows)
    step = np.diff(level)
    found: list[Finding] = []
    crowd = series.crowd
    first = step
    if series.has_bars:
        with np.errstate(divide="ignore", invalid="ignore"):
            first = np.log(series.columns["open"][rows][1:]) - level[:-1]
    for ratio in (*RATIOS, *(SMALL_RATIOS if crowd is not None else ())):
        near = NEAR_WITHOUT if crowd is None else NEAR_SMALL if ratio < 2 else NEAR_WITH_WITNESS
        for sign in (-1.0, 1.0):
            jump = sign * np.log(ratio)
            fits = (np.abs(step - jump) <= near) & (np.abs(first - jump) <= near) & (split[1:] == 0)
            if crowd is not None:
                fits &= crowd[1:] < CROWD
            for at in np.flatnonzero(fits) + 1:
                if not _stays(level, at) or any(finding.first == series.days[rows[at]].item() for finding in found):
                    continue
                day = series.days[rows[at]].item()
                way = f"{ratio:g} new shares for one" if sign < 0 else f"one new share for {ratio:g}"
                found.append(
                    Finding(
                        Kind.UNADJUSTED_SPLIT,
                        day,
                        day,
                        f"The price becomes {_fold(step[at - 1])} on {day} and stays there, with no more trading "
                        f"than usual and no split recorded: it looks like a split of {way}.",
                    )
                )
    if series.adjustment == "raw":
        found += _splits_without_jump(series, rows, step, split)
    return found


def _stays(level: np.ndarray, at: int) -> bool:
    after, before = level[at + 1 : at + 6], level[max(0, at - 5) : at]
    calm = abs(np.median(before) - level[at - 1]) <= STAYS_WITHIN
    return bool(calm and (not len(after) or abs(np.median(after) - level[at]) <= STAYS_WITHIN))


def _splits_without_jump(series: CheckedSeries, rows: np.ndarray, step: np.ndarray, split: np.ndarray) -> list[Finding]:
    """Recorded, yet prices as traded do not show it: adjusting them would make a jump."""
    found = []
    for at in np.flatnonzero(np.abs(split) > np.log(1.2)):
        if at == 0 or abs(step[at - 1]) >= abs(step[at - 1] + split[at]):
            continue
        day = series.days[rows[at]].item()
        found.append(
            Finding(
                Kind.SPLIT_NOT_IN_PRICES,
                day,
                day,
                f"A split of {np.exp(split[at]):g} is recorded on {day}, but the price does not change with it: "
                "these prices are adjusted already, or the day is wrong.",
            )
        )
    return found


def _fold(log_step: float) -> str:
    return f"{np.exp(log_step):.3g} times"

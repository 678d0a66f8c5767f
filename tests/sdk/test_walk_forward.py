"""Walk-forward: windows never overlap, nothing that is traded was learnt from, and the pieces join."""

from __future__ import annotations

import json

import numpy as np
import pytest
import qfp
from qfp.sweeps import walking
from qfp.sweeps.walking import windows_of

from tests.sdk.test_sweeps import Dip, bars


@pytest.mark.parametrize(("purge", "embargo", "anchored"), [(0, 0, False), (3, 0, True), (3, 4, False)])
def test_windows_never_overlap_what_is_traded_and_keep_purge_and_embargo(purge, embargo, anchored):
    found = windows_of(203, 60, 25, purge, embargo, anchored)
    traded = np.concatenate([np.arange(each.test_start, each.test_stop) for each in found])
    assert (np.diff(traded) == 1).all() and traded[-1] == 202
    for each in found:
        assert each.test_start - each.train_stop == purge + embargo
        assert each.train_start == 0 if anchored else each.train_stop - each.train_start == 60
    with pytest.raises(ValueError, match="too few"):
        windows_of(60, 60, 10)


def test_the_joined_equity_is_the_pieces_and_does_not_depend_on_what_comes_later():
    frame, asked = bars(200), {"train": 80, "test": 40, "purge": 2, "workers": 1, "show": False}
    found = qfp.walk_forward(Dip, frame, {"days": (3, 5, 8)}, **asked)
    assert np.array_equal(found.equity.to_numpy(), np.concatenate(found.pieces))
    assert len(found.equity) == 200 - 82 and found.equity.index[0] == frame.index[82]
    starts = [piece[0] for piece in found.pieces]
    assert starts[0] == 10_000 and starts[1:] == [piece[-1] for piece in found.pieces[:-1]]
    assert found.metrics["total_return"] == pytest.approx(np.prod(1 + found.windows["out_of_sample_return"]) - 1)
    assert found.metrics["trades"] > 0 and found.windows["days"].isin((3, 5, 8)).all()
    other = frame.copy()
    other.iloc[162:] *= 2  # the last window of what is traded, and nothing before it
    again = qfp.walk_forward(Dip, other, {"days": (3, 5, 8)}, **asked)
    assert again.windows["days"].tolist() == found.windows["days"].tolist()
    assert np.array_equal(again.pieces[0], found.pieces[0]) and np.array_equal(again.pieces[1], found.pieces[1])
    paths = found.monte_carlo(paths=50, seed=1)
    assert np.array_equal(paths.final, found.monte_carlo(paths=50, seed=1).final)
    with pytest.raises(ValueError, match="read-only"):
        found.pieces[0][:] = 0
    closes = frame["close"].to_numpy().copy()
    frame.iloc[:, :4] = 50.0
    assert found.result.metrics["buy_and_hold"] == pytest.approx(closes[-1] / closes[82] - 1)


NOTES: list[int] = []


def note(where, what):
    where.append(what)


class Noting(Dip):
    def init(self):
        super().init()
        note(NOTES, self.days)


def test_whatever_its_strategy_changes_from_window_to_window_all_windows_are_of_the_same_trials(tmp_path, monkeypatch):
    def told(*arguments, **options):
        record = tmp_path / str(len(abouts))
        found = qfp.sweep(*arguments, record=record, **options)
        abouts.append(json.loads(record.read_text().splitlines()[0])["sweep"])
        return found

    abouts: list[dict] = []
    monkeypatch.setattr(walking, "sweep", told)
    frame, asked = bars(200), {"train": 80, "test": 40, "workers": 1, "show": False}
    qfp.walk_forward(Noting, frame, {"days": (3, 5)}, **asked)
    assert len(NOTES) > 3 and len(abouts) == 3
    assert len({about["bars"]["train"][0] for about in abouts}) == 3
    assert len({about["values_read"] for about in abouts}) == 1

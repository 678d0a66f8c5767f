"""The check of a device: it sees what boxes open, who waits and what stays behind, and it can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.host import check_device
from tests.sandbox.broken import engine_whose_words
from tests.sandbox.conftest import ENVIRONMENT
from tests.sandbox.test_devices import place  # noqa: F401  (a fixture)

COLD = ("-m", "sandbox.host.engine", "--no-zygote")  # the forked ones' walls are test_devices' matter


@pytest.fixture(autouse=True)
def _short(monkeypatch) -> None:
    monkeypatch.setattr(check_device, "HOLD_SECONDS", 0.5)


def check(place: Path, *names: str, engine=COLD) -> check_device.DeviceReport:  # noqa: F811
    lines = [line for line in check_device.LINES if not names or line.name in names]
    return check_device.check(ENVIRONMENT, "gpu", place / "devices.toml", lines, engine)


def test_it_keeps_every_line_with_nodes_that_stand_in_for_a_device(place: Path) -> None:  # noqa: F811
    report = check(place)
    kept = {line["name"]: line["kept"] for line in report.promises}
    without_torch = {"computes": None, "blind": None, "memory": None}
    expected = dict.fromkeys(("unit", "others", "walls", "turns", "seconds", "released"), True)
    assert kept == expected | without_torch
    assert report.ok and report.starts == {"device": "cold", "none": "cold"}


def test_it_sees_a_unit_that_every_box_gets(place: Path) -> None:  # noqa: F811
    mounts = [f"{place}/{unit}:{place}/{unit}" for unit in ("unit0", "unit1")]
    everywhere = f"def change(words): words[1:1] = [w for m in {mounts} for w in ('--bindmount_ro', m)]"
    report = check(place, "unit", "others", "seconds", engine=("-c", engine_whose_words(everywhere), "--no-zygote"))
    assert {line["name"]: line["kept"] for line in report.promises} == {"unit": False, "others": False, "seconds": True}
    assert not report.ok and "unit, others" in report.reason


def test_a_machine_without_the_device_is_told_so() -> None:
    report = check_device.check(ENVIRONMENT, "abacus")
    assert not report.ok and "abacus" in report.reason

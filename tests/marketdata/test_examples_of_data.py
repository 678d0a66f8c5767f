"""Do the manual's programs about data, uploads, providers, packages and cells run as they are written there?

They read series that somebody must have fetched or uploaded; here a person has them. Which test runs the programs of
the other pages is listed at the end, so that no page is left out.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from django.conf import settings
from qfp import objects

from marketdata import store
from sandbox.host.requirements import requirements_of
from tests.factories import make_user
from tests.sandbox.test_examples_in_docs import FOLDER, examples
from tests.sdk.conftest import SDK

DAYS = np.arange("2023-01-02", "2024-07-01", dtype="datetime64[D]")


def series(id: str, symbol: str, names: tuple[str, ...], **more: Any) -> dict[str, Any]:
    values = 100 + np.sin(np.arange(len(DAYS)) / 9)
    content = objects.arrow_bytes(DAYS, dict.fromkeys(names, values))
    return entry(id, symbol, content, names, rows=len(DAYS), first=str(DAYS[0]), last=str(DAYS[-1]), **more)


def entry(id: str, symbol: str, content: bytes, names: tuple[str, ...], **more: Any) -> dict[str, Any]:
    told = {"kind": "equity", "interval": "1d", "adjustment": "raw", "licence": "terms", "source": "a vendor"}
    told |= {"rights": "personal", "name": symbol, "columns": list(names), "object": store.put_object(content)}
    return {"id": id, "symbol": symbol, **told, **more}


def headlines() -> dict[str, Any]:
    table = {"published": ["2024-03-01 16:05", "2024-03-01 09:00"], "id": ["a", "b"], "text": ["Profit", "New chief"]}
    batch, sink = pa.record_batch(table), io.BytesIO()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    shape = {"kind": "dataset", "interval": "irregular", "rows": 2, "first": "2024-03-01", "last": "2024-03-01"}
    name = "mine/headlines"
    return entry(f"{name}@1", f"{name}@1", sink.getvalue(), tuple(table), aliases=[name], **shape)


PRICES = ("open", "high", "low", "close", "volume")


@pytest.fixture
def view(db):
    """The folder of a snapshot of somebody with these series beside the starter data."""

    def of(*entries: dict[str, Any]) -> Path:
        made = store.add_series(entries, user=make_user(), created_for="fetch")
        return store.snapshot_folder(Path(settings.STORE_DIR), made.pk)

    return of


def run(source: str, folder: Path, place: Path) -> str:
    (place / "main.py").write_text(source, encoding="utf-8")
    done = subprocess.run(
        [str(Path(settings.SANDBOX_ENV) / "bin" / "python"), "main.py"],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=120,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(place),
            "MPLBACKEND": "agg",
            "PYTHONPATH": os.pathsep.join(map(str, (SDK, SDK / "compat"))),
            "QFP_DATA": str(folder),
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


LOOKED_AT = """
assert {"open", "close"} <= set(bars.columns) and len(gold) == len(first) > 0
assert (first["price"] != gold["price"]).all()
assert closes.shape[1] == 2 and len(gdp) > 100 and list(factors.columns) == ["Mkt-RF", "SMB", "HML", "RF"]
assert len(names) == 500 and len(everybody) > 500 and {"entered", "left"} <= set(stays.columns)
"""


def test_what_the_manual_says_of_data_in_code_runs(view, tmp_path):
    first, second = (
        series(f"mine/gold@{n}", f"mine/gold@{n}", ("price",), kind="dataset", aliases=["mine/gold"] * (n == 2))
        for n in (1, 2)
    )
    first["object"] = store.put_object(objects.arrow_bytes(DAYS, {"price": np.full(len(DAYS), 7.0)}))
    folder = view(
        first, second, series("tiingo/1d/NVDA", "NVDA", PRICES), series("fred/GDP", "GDP", ("value",), kind="economic")
    )
    *market, news = examples("data.md")
    pages = [*market, *examples("uploads.md"), *examples("data-in-code.md"), *examples("editor.md")]
    run("\n".join(pages) + LOOKED_AT, folder, tmp_path)
    own = view(
        headlines(),
        series("tiingo/1d/AAPL", "AAPL", PRICES, provider="tiingo"),
        series("fred/CPIAUCSL@FIRST", "CPIAUCSL@FIRST", ("value",), kind="economic"),
    )
    looked_at = "print(len(known), len(later), data.prices('AAPL').attrs['series'])"
    said = run("\n".join([news, *examples("providers.md"), looked_at]), own, tmp_path)
    assert said.split() == ["1", "2", "tiingo/1d/AAPL"]


def test_what_the_manual_asks_for_in_a_program_is_understood_as_packages():
    first, second = (requirements_of({"main.py": source}, "main.py") for source in examples("packages.md"))
    assert [each.text for each in first] == ["polars", "arch<9,>=7"]
    assert [each.text for each in second] == ["some-old-package==1.2 --sdist"]


# Which test runs the programs of a page.
RUN_BY = {
    "api.md": "runner/test_api.py",
    "copied-code.md": "runner/test_copied_code.py runner/test_copied_zipline.py",
    "data-in-code.md": "marketdata/test_examples_of_data.py",
    "data.md": "marketdata/test_examples_of_data.py",
    "editor.md": "marketdata/test_examples_of_data.py",
    "fills.md": "sdk/test_fills_page.py",
    "getting-started.md": "sdk/test_trading_pages.py",
    "honesty.md": "sdk/test_honesty.py",
    "metrics.md": "sdk/test_significance.py",
    "models.md": "sandbox/test_examples_in_docs.py",
    "packages.md": "marketdata/test_examples_of_data.py",
    "parallel.md": "sandbox/test_examples_in_docs.py",
    "portfolio.md": "sdk/test_portfolio_page.py",
    "providers.md": "marketdata/test_examples_of_data.py",
    "reports.md": "runner/test_reports.py",
    "reproducing.md": "runner/test_sweeps.py",
    "rich-output.md": "sdk/test_trading_pages.py",
    "speed.md": "sandbox/test_examples_in_docs.py",
    "sweeps.md": "runner/test_sweeps.py",
    "uploads.md": "marketdata/test_examples_of_data.py",
}


def test_every_page_with_programs_has_a_test_that_runs_them():
    assert {path.name for path in FOLDER.glob("*.md") if examples(path.name)} == set(RUN_BY)
    for page, files in RUN_BY.items():
        for file in files.split():
            text = (Path(__file__).parents[1] / file).read_text(encoding="utf-8")
            here = Path(file).name == Path(__file__).name  # where the table above names it as well
            named = rf'examples\("{re.escape(page)}"\)' if here else rf'["/ ]{re.escape(page)}"'
            assert re.search(named, text), (page, file)

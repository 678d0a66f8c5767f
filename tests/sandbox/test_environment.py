"""What is left out of what packages bring into a box."""

from __future__ import annotations

from sandbox.host.environment import leave_out_sample_prices


def test_prices_that_packages_bring_as_examples_are_taken_away_and_those_that_programs_import_stay(tmp_path):
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    samples = packages / "matplotlib" / "mpl-data" / "sample_data"
    named, results = packages / "backtesting" / "test", packages / "statsmodels" / "tsa" / "tests" / "results"
    kept = [samples / "topobathy.npz", named / "GOOG.csv", results / "rand10000.csv"]
    gone = [samples / "Stocks.csv", samples / "goog.npz", samples / "msft.csv", results / "DSP500.csv"]
    for path in (*kept, *gone):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1")
    leave_out_sample_prices(tmp_path)
    assert all(path.exists() for path in kept) and not any(path.exists() for path in gone)

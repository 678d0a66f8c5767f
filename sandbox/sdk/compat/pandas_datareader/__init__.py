"""What does code find that says `import pandas_datareader`? FRED and Fama-French from the snapshot, in its form."""

from __future__ import annotations

from pandas_datareader.data import DataReader, get_data_famafrench, get_data_fred

__all__ = ["DataReader", "get_data_famafrench", "get_data_fred"]
__version__ = "0.11.1"  # whose form the frames have

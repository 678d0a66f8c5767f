"""Each package a box promises does a small piece of its work there: no /proc, one writable place, 512 MB."""

# ruff: noqa: E501  (programs for the box read better in one line)
from __future__ import annotations

import pytest

from tests.sandbox.conftest import MEGABYTE, Engine

PIECES = {
    "numpy": "import numpy as np\nassert (np.eye(3) @ np.arange(3) == np.arange(3)).all()",
    "pandas": "import pandas as pd\nassert pd.DataFrame({'a': [1, 2]}).groupby('a').size().sum() == 2",
    "scipy": "from scipy import optimize, stats\nassert abs(optimize.brentq(lambda x: x - 1, 0, 3) - 1) < 1e-9",
    "pyarrow": "import pyarrow as pa, pyarrow.parquet as pq\npq.write_table(pa.table({'a': [1]}), 'x.parquet')\nassert pq.read_table('x.parquet').num_rows == 1",
    "statsmodels": "import statsmodels.api as sm\nassert len(sm.OLS([1, 2, 3.0], sm.add_constant([1, 2, 4.0])).fit().params) == 2",
    "scikit-learn": "from sklearn.linear_model import LinearRegression\nassert LinearRegression().fit([[0], [1]], [0, 1]).coef_[0] > 0.99\n"
    "from sklearn.cluster import KMeans\nassert KMeans(2, n_init=1).fit([[0.0], [1.0]]).inertia_ == 0",
    "joblib": "from joblib import Parallel, delayed\nassert Parallel(n_jobs=2)(delayed(abs)(-n) for n in range(3)) == [0, 1, 2]",
    "sqlite3": "import sqlite3\nassert sqlite3.connect('x.db').execute('select 1').fetchone() == (1,)",
    "shared memory": "from multiprocessing.shared_memory import SharedMemory\nmemory = SharedMemory(create=True, size=10)\nmemory.close(); memory.unlink()",
    "magics": "%timeit -n1 -r1 1 + 1\n!echo from a shell\nlines = !echo listed\nassert lines == ['listed']",
    "await": "import asyncio\nawait asyncio.sleep(0)",
}


@pytest.mark.parametrize("name", PIECES)
def test_a_package_works_in_a_box(engine: Engine, name: str) -> None:
    result = engine.run(PIECES[name], memory_bytes=512 * MEGABYTE)
    assert result.outcome == "succeeded", result.stderr
    assert result.stderr == ""

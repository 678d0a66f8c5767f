import pytest, time
from tests.runner.test_honesty import HONEST, LEAK, run_source

pytestmark = pytest.mark.django_db(transaction=True)


def test_time(run_source):
    for i in range(3):
        for name, src in (
            (
                "none",
                HONEST.replace(
                    "from qfp import backtest, data",
                    "from qfp import backtest, data, checking; checking.begin = lambda s: None",
                ),
            ),
            ("with", HONEST),
            ("leak", LEAK),
        ):
            run = run_source(src)
            b = run.backtests.first()
            print(
                name,
                run.status,
                "wall",
                round(run.wall_seconds, 3),
                "cpu",
                round(run.cpu_seconds, 3),
                (b.checks.get("lookahead") or {}).get("found"),
            )

"""What do many small programs save that run with the boxes' packages? This imports those once, as a box's zygote does,
and forks for each line of its standard input: JSON with the script, its environment and the files of its output.
It answers with the exit code.
"""

import json
import os
import runpy
import sys

from qfp.postponed import postpone_plotting

postpone_plotting()
import backtesting.lib  # noqa: E402, F401
import qfp.backtests  # noqa: E402
import qfp.portfolio  # noqa: E402, F401
from qfp import channel  # noqa: E402

WRITTEN = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


def run(script: str, environment: dict[str, str], output: str, messages: str) -> None:
    """In a process of its own. output: of both streams."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(output, WRITTEN), 1)
    os.dup2(1, 2)
    os.environ.clear()
    os.environ.update(environment, QFP_CHANNEL_FD=str(os.open(messages, WRITTEN)))
    channel.connect()
    sys.argv, sys.path[0] = [script], os.path.dirname(script)
    runpy.run_path(script, run_name="__main__")


while line := sys.stdin.readline():
    if not os.fork():
        run(**json.loads(line))
        break
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)

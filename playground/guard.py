"""Who cleans up when the supervisor is killed? This process, which does nothing but wait for the supervisor's end.

It is started by `manage.py up` and holds the reading end of a pipe: a line means that all is well and done, an end
without a line means that the supervisor died and that what it started still has to be ended.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from playground import process_table
from playground.services import Services

# Every process of one supervisor has this variable with the same value, also those whose parents are gone.
MARK = "PLAYGROUND_SUPERVISOR"


def main(mark: str, data_dir: str, engine_socket: str) -> None:
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.SIG_IGN)
    if sys.stdin.readline():
        return
    services = Services(Path(data_dir))
    marked = set(process_table.marked(MARK, mark))
    servers = services.pids()
    # Services that somebody else started carry no mark and stay.
    ours_too = bool(marked & servers)
    process_table.send(sorted(marked - servers), signal.SIGKILL)
    if ours_too:
        services.stop()
    Path(engine_socket).unlink(missing_ok=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

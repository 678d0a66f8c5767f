"""How does process 1 of a container reach the engine? Everything on its standard input and output, by a relay.

init.py is the same as in any other box: it gets a socket, two pipes and the standard streams; a thread of process 1
carries their other ends. The program holds no end of the stream itself.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import threading
import time

from . import closed_files, counting, init, relay

COUNT_SECONDS = 0.1
QUIET_SECONDS = 0.5  # without a byte moved, what a program left in its pipes is not waited for any longer
LEAVE_SECONDS = 10.0  # after the last word, if nobody ends it
OUTPUTS = (relay.STDOUT, relay.STDERR, relay.RICH)


class StreamControl(init.Control):
    """init's end of the control socket; whose other end moves while init waits, and later by itself."""

    def __init__(self, descriptor: int, carrier: relay.Relay, counters: counting.Counters) -> None:
        super().__init__(descriptor)
        self._counters = counters
        self._counted_at = 0.0
        self._relay = carrier
        self._thread: threading.Thread | None = None

    def forked(self) -> None:
        """From here on there are two: a thread could not have been forked."""
        while not self._relay.is_sent(()):  # the engine's first words came before the fork
            self._relay.step()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def send(self, message: dict) -> None:
        if message.get("type") == "done":
            # The engine ends the box on this word, and with it what the program printed last.
            self._wait_until_sent(OUTPUTS)
        super().send(message)

    def count(self, last: bool = False) -> None:
        now = time.monotonic()
        if last or now - self._counted_at >= COUNT_SECONDS:
            self._counted_at = now
            self.send(self._counters.read())

    def finish(self) -> None:
        """The engine ends the container once it has heard all. One that leaves while a word of the engine's is on its
        way makes Podman reset the connection, and what is in it is lost.
        """
        os.close(self.descriptor)
        self._wait_until_sent((relay.CONTROL,))
        time.sleep(LEAVE_SECONDS)

    def _fill(self) -> None:
        while self._thread is None and not select.select([self.descriptor], [], [], 0)[0]:
            self._relay.step()
            if self._relay.ended:
                raise EOFError
        super()._fill()

    def _carry(self) -> None:
        try:
            self._relay.run()
        finally:
            os._exit(0)  # the engine is gone: leaving ends every process of this pid namespace

    def _wait_until_sent(self, channels: tuple[bytes, ...]) -> None:
        moved, since = self._relay.moved, time.monotonic()
        while not self._relay.is_sent(channels):
            time.sleep(0.002)
            if self._relay.moved != moved:
                moved, since = self._relay.moved, time.monotonic()
            elif time.monotonic() - since > QUIET_SECONDS:
                return


def open_box() -> tuple[StreamControl, int, int]:
    """Process 1's control, and the program's ends of the rich channel and the inbox; 0 to 2 become the program's."""
    counters = counting.Counters()
    closed_files.close_proc_and_sys()
    stream_in, stream_out = (fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 3) for each in (0, 1))
    for each in (stream_in, stream_out):
        os.set_blocking(each, False)
    ours, theirs = socket.socketpair()
    ends = {}
    program = []
    for channel, inwards in (
        (relay.STDIN, True),
        (relay.STDOUT, False),
        (relay.STDERR, False),
        (relay.RICH, False),
        (relay.INBOX, True),
    ):
        reading, writing = os.pipe()
        ends[channel] = writing if inwards else reading
        program.append(reading if inwards else writing)
    for number in (0, 1, 2):
        os.dup2(program[number], number)
        os.close(program[number])
    carried = theirs.detach()
    carrier = relay.Relay(
        (stream_in, stream_out),
        lambda: os.read(stream_in, 1 << 16),
        lambda data: os.write(stream_out, data),
        {relay.CONTROL: carried, **{channel: ends[channel] for channel in OUTPUTS}},
        {relay.CONTROL: os.dup(carried), relay.STDIN: ends[relay.STDIN], relay.INBOX: ends[relay.INBOX]},
        speaks_first=False,
    )
    return StreamControl(ours.detach(), carrier, counters), program[3], program[4]

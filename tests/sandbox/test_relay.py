"""The stream between the engine and a container: nothing lost, nothing out of order, nothing believed."""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest

from sandbox.inside import relay


class Pair:
    """The inside's relay with a program's pipes, and the host's with the engine's, as threads over one socket."""

    def __init__(self) -> None:
        self.inner, self.outer = socket.socketpair()
        program_reads, stdin = os.pipe()
        out, self.program_out = os.pipe()
        rich, self.program_rich = os.pipe()
        self.program_in = program_reads
        inside = _relay(self.inner, {relay.STDOUT: out, relay.RICH: rich}, {relay.STDIN: stdin}, speaks_first=False)
        self.inside = inside
        engine_in, self.stdin = os.pipe()
        self.out, engine_out = os.pipe()
        self.rich, engine_rich = os.pipe()
        host = _relay(
            self.outer,
            {relay.STDIN: engine_in},
            {relay.STDOUT: engine_out, relay.RICH: engine_rich},
            ordered=(relay.STDOUT, relay.RICH),
        )
        self.threads = [threading.Thread(target=each.run, daemon=True) for each in (inside, host)]
        for thread in self.threads:
            thread.start()

    def end(self) -> None:
        self.inner.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(10)
        assert not any(thread.is_alive() for thread in self.threads)


def _relay(connection, sources, sinks, **options) -> relay.Relay:
    connection.setblocking(False)
    ends = (connection.fileno(), connection.fileno())
    return relay.Relay(ends, lambda: connection.recv(1 << 16), connection.send, sources, sinks, **options)


def read_all(descriptor: int) -> bytes:
    data = b""
    while part := os.read(descriptor, 1 << 16):
        data += part
    return data


def test_a_flood_arrives_whole_and_in_order():
    pair = Pair()
    sent = os.urandom(1 << 20)
    writing = threading.Thread(target=lambda: [os.write(pair.program_out, sent), os.close(pair.program_out)])
    writing.start()
    assert read_all(pair.out) == sent
    writing.join()
    os.write(pair.stdin, b"a line\n")
    assert os.read(pair.program_in, 100) == b"a line\n"
    pair.end()


def test_what_nobody_reads_holds_its_writer_and_nothing_else():
    pair = Pair()
    os.set_blocking(pair.program_out, False)
    written = 0
    patience = threading.Event()
    for _ in range(60):
        try:
            written += os.write(pair.program_out, b"x" * 4096)
        except BlockingIOError:
            patience.wait(0.01)
    assert written <= (64 << 10) + relay.WINDOW  # the program's own pipe and what may be on its way
    os.write(pair.stdin, b"heard\n")
    assert os.read(pair.program_in, 100) == b"heard\n"
    os.close(pair.program_out)
    assert len(read_all(pair.out)) == written
    pair.end()


def test_a_chart_is_not_shown_before_the_text_printed_before_it():
    pair = Pair()
    os.write(pair.program_out, b"first")
    while relay._unread_bytes(pair.program_out):
        pass
    os.write(pair.program_rich, b"second")
    pause = threading.Event()
    pause.wait(0.1)
    assert relay._unread_bytes(pair.rich) == 0
    assert os.read(pair.out, 100) == b"first"
    assert os.read(pair.rich, 100) == b"second"
    pair.end()


def test_the_last_words_are_there_when_the_stream_has_ended():
    pair = Pair()
    os.write(pair.program_out, b"1")
    while relay._unread_bytes(pair.program_out):
        pass
    os.write(pair.program_rich, b"2")
    os.close(pair.program_out)
    os.close(pair.program_rich)
    while not pair.inside.is_sent((relay.STDOUT, relay.RICH)):
        time.sleep(0.001)  # both are on their way; the second waits for the first to be read
    pair.end()
    assert (os.read(pair.out, 10), os.read(pair.rich, 10)) == (b"1", b"2")


@pytest.mark.parametrize(
    "nonsense",
    [
        relay.HEADER.pack(relay.STDOUT, 1 << 31),
        relay.HEADER.pack(b"?", 1) + b"x",
        (relay.HEADER.pack(relay.STDOUT, relay.WINDOW) + b"x" * relay.WINDOW) * 2,
    ],
    ids=["a frame too long", "a channel unknown", "more than it was allowed"],
)
def test_nonsense_ends_the_stream(nonsense):
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    host = _relay(ours, {}, {relay.STDOUT: writing}, ordered=(relay.STDOUT,))
    sending = threading.Thread(target=theirs.sendall, args=(nonsense,), daemon=True)
    sending.start()
    with pytest.raises(relay.StreamBroken):
        host.run()
    theirs.close()
    os.close(reading)

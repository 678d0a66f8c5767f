"""Requests that carry more than any page takes."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.django_db(transaction=True)


def status_of(url: str, head: str, body: bytes = b"", repeat: int = 0) -> int:
    """The status of a raw POST; `repeat` pieces of the body, until the server has had enough."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(f"POST /data/mine/ HTTP/1.1\r\nHost: {address.netloc}\r\n{head}\r\n\r\n".encode())
        try:
            for _ in range(repeat):
                connection.sendall(body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has answered and gone
        return int(connection.recv(200).split()[1])


def test_body_that_is_announced_too_long_is_refused_unread(live_site):
    assert status_of(live_site.url, "Content-Length: 26000001") == 413


def test_body_without_a_length_is_refused_once_it_is_too_long(live_site):
    piece = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
    assert status_of(live_site.url, "Transfer-Encoding: chunked", piece, repeat=26) == 413
    assert status_of(live_site.url, "Content-Length: 3", b"abc", repeat=1) == 403  # no token: an ordinary refusal

"""The providers of answers.py behind one port, over TLS, told apart by the host that was asked.

`faults` makes a host refuse, be slow or talk nonsense; `asked` is what came in.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.providers.answers import ANSWERS, Asked, Reply


class StandIns:
    """All providers behind one port. faults: what a host answers instead, as often as it stands in the list."""

    def __init__(self, certificate: str, key: str) -> None:
        import ssl

        self.asked: list[Asked] = []
        self.faults: dict[str, list[Callable[[], Reply]]] = defaultdict(list)
        self.always: dict[str, Callable[[], Reply]] = {}
        self.slowness: dict[str, float] = {}
        self.held: dict[str, threading.Event] = {}  # a host that does not answer before this is set
        self.flying: dict[str, int] = defaultdict(int)
        self.most_flying: dict[str, int] = defaultdict(int)
        self.shift = 1.0  # what was answered before is multiplied by it: a provider that changes its history
        self._lock = threading.Lock()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def port(self) -> int:
        return self._server.server_port

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def forget(self) -> None:
        self.asked.clear()
        self.faults.clear()
        self.always.clear()
        self.slowness.clear()
        for event in self.held.values():
            event.set()
        self.held.clear()
        self.most_flying.clear()
        self.shift = 1.0

    def requests_to(self, host: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.host == host]

    def answer(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            self.flying[asked.host] += 1
            self.most_flying[asked.host] = max(self.most_flying[asked.host], self.flying[asked.host])
            fault = self.faults[asked.host].pop(0) if self.faults[asked.host] else self.always.get(asked.host)
        try:
            time.sleep(self.slowness.get(asked.host, 0))
            if asked.host in self.held:
                self.held[asked.host].wait()
            return fault() if fault else ANSWERS[asked.host](asked, self)
        finally:
            with self._lock:
                self.flying[asked.host] -= 1


def _handler(stand_ins: StandIns) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            reply = stand_ins.answer(
                Asked(
                    host=(self.headers.get("Host") or "").partition(":")[0],
                    path=unquote(parts.path),
                    query=_flat(parts.query),
                    headers={name.lower(): value for name, value in self.headers.items()},
                    form=_flat(body),
                )
            )
            text = isinstance(reply.body, str)
            content = reply.body.encode() if text else json.dumps(reply.body).encode()
            try:
                self.send_response(reply.status)
                self.send_header("Content-Type", "text/plain" if text else "application/json")
                self.send_header("Content-Length", str(len(content)))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                pass  # the client gave up waiting

    return Handler


def _flat(query: str) -> dict[str, str]:
    return {name: ",".join(values) for name, values in parse_qs(query, keep_blank_values=True).items()}

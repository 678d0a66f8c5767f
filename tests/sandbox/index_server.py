"""A package index on this machine, for tests: PEP 503, 691 and 700, with files that are made on the fly."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from sandbox.host.package_index import version_of_file

LONG_AGO = "2020-01-01T00:00:00Z"


def make_wheel(
    name: str,
    version: str,
    files: dict[str, bytes | str],
    requires: tuple[str, ...] = (),
    tag: str = "py3-none-any",
    outside_record: dict[str, bytes] | None = None,
    wrong_hash_of: str = "",
    modes: dict[str, int] | None = None,
) -> tuple[str, bytes]:
    """(file name, bytes). outside_record: files that RECORD does not name; modes: file modes in the archive."""
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {one}\n" for one in requires)
    contents: dict[str, bytes] = {
        **{path: body.encode() if isinstance(body, str) else body for path, body in files.items()},
        f"{info}/METADATA": metadata.encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
    }
    rows = []
    for path, body in contents.items():
        digest = hashlib.sha256(b"another" if path == wrong_hash_of else body).digest()
        rows.append(f"{path},sha256={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()},{len(body)}")
    contents[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, body in {**contents, **(outside_record or {})}.items():
            entry = zipfile.ZipInfo(path)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (modes or {}).get(path, 0o100644) << 16
            archive.writestr(entry, body)
    return f"{stem}-{tag}.whl", buffer.getvalue()


def make_sdist(name: str, version: str, files: dict[str, str]) -> tuple[str, bytes]:
    stem = f"{name}-{version}"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        metadata = {"PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"}
        for path, text in {**metadata, **files}.items():
            member = tarfile.TarInfo(f"{stem}/{path}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return f"{stem}.tar.gz", buffer.getvalue()


@dataclass
class Stored:
    name: str
    body: bytes
    uploaded: str = LONG_AGO
    yanked: bool | str = False
    sha256: str = ""
    metadata: bytes | None = None

    def __post_init__(self) -> None:
        self.sha256 = self.sha256 or hashlib.sha256(self.body).hexdigest()
        if self.name.endswith(".whl"):
            with zipfile.ZipFile(io.BytesIO(self.body)) as archive:
                [path] = [path for path in archive.namelist() if path.endswith(".dist-info/METADATA")]
                self.metadata = archive.read(path)


@dataclass
class IndexServer:
    """start() and stop() it; `files` is by project. answer: "well", "error" or "silence"."""

    files: dict[str, list[Stored]] = field(default_factory=dict)
    answer: str = "well"
    asked: list[str] = field(default_factory=list)
    chunk_delay: float = 0.0  # seconds between pieces of a file
    on_download: Callable[[str], None] | None = None

    def start(self, port: int = 0) -> IndexServer:
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        self.answer = "well"
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/simple"

    def add(self, name: str, file: tuple[str, bytes], **values: Any) -> Stored:
        stored = Stored(*file, **values)
        self.files.setdefault(name, []).append(stored)
        return stored

    def add_package(
        self, name: str, files: dict[str, bytes | str], versions: tuple[str, ...] = ("0.1", "0.2", "1.0"), **values: Any
    ) -> None:
        """A package with enough releases to be installed, all alike."""
        for version in versions:
            self.add(name, make_wheel(name, version, files, **values))

    def downloads(self) -> list[str]:
        return [path for path in self.asked if path.startswith("/files/") and not path.endswith(".metadata")]


def _handler(index: IndexServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            index.asked.append(self.path)
            while index.answer == "silence":
                time.sleep(0.05)
            if index.answer == "error":
                self._send(b"broken", "text/plain", 500)
                return
            parts = unquote(self.path).strip("/").split("/")
            if parts[0] == "simple" and len(parts) == 2 and parts[1] in index.files:
                self._send(_page(parts[1], index.files[parts[1]]), "application/vnd.pypi.simple.v1+json")
            elif parts[0] == "files" and len(parts) == 3:
                self._file(parts[1], parts[2])
            else:
                self._send(b"no such thing", "text/plain", 404)

        def _file(self, project: str, name: str) -> None:
            for stored in index.files.get(project, []):
                if name == stored.name:
                    if index.on_download is not None:
                        index.on_download(name)
                    self._send(stored.body, "application/octet-stream")
                    return
                if name == f"{stored.name}.metadata" and stored.metadata is not None:
                    self._send(stored.metadata, "text/plain")
                    return
            self._send(b"no such file", "text/plain", 404)

        def _send(self, body: bytes, kind: str, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                if not index.chunk_delay or kind != "application/octet-stream":
                    self.wfile.write(body)
                    return
                for start in range(0, len(body), 1 << 14):
                    self.wfile.write(body[start : start + (1 << 14)])
                    time.sleep(index.chunk_delay)
            except OSError:
                pass  # the other side has given up

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    return Handler


def _page(project: str, files: list[Stored]) -> bytes:
    versions = sorted({version for stored in files if (version := version_of_file(stored.name))})
    return json.dumps(
        {
            "meta": {"api-version": "1.1"},
            "name": project,
            "versions": versions,
            "files": [
                {
                    "filename": stored.name,
                    "url": f"../../files/{project}/{stored.name}",
                    "hashes": {"sha256": stored.sha256},
                    "size": len(stored.body),
                    "upload-time": stored.uploaded,
                    "yanked": stored.yanked,
                    **({"core-metadata": True} if stored.metadata is not None else {}),
                }
                for stored in files
            ],
        }
    ).encode()

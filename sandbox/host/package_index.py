"""What does the package index know about a name, and how do its files get here? Pages and downloads, with caps.

The index speaks PEP 503, in the JSON form of PEP 691 and 700 where it can: that form tells when a file was uploaded.
Pages, and the fact that a name does not exist, are remembered for some minutes.
"""

from __future__ import annotations

import configparser
import hashlib
import http.client
import importlib
import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from sandbox.host.package_rules import IndexUnavailable, PackageRefused, megabytes, normal_name

ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.1"
AGENT = "quant-finance-playground"
MAX_PAGE_BYTES = 64 << 20
PAGE_SECONDS = 600.0  # a page is believed this long
CHUNK = 1 << 16
# Where an operator's own choice of an index for Python's tools is written.
_VARIABLES = ("UV_DEFAULT_INDEX", "PIP_INDEX_URL")
_FILE_VARIABLE = "PIP_CONFIG_FILE"
_FILES = (Path(sys.prefix) / "pip.conf", Path("~/.config/pip/pip.conf"), Path("/etc/pip.conf"))


@dataclass(frozen=True)
class IndexFile:
    """One file of a project: a wheel or a source distribution."""

    name: str
    url: str
    sha256: str
    size: int | None
    uploaded: datetime | None
    withdrawn: str | None  # the reason, perhaps empty; None when it stands


@dataclass(frozen=True)
class IndexPage:
    """What the index says about one name."""

    name: str
    files: list[IndexFile]
    versions: list[str]

    def file(self, name: str) -> IndexFile | None:
        return next((file for file in self.files if file.name == name), None)

    def first_upload(self) -> datetime | None:
        return min((file.uploaded for file in self.files if file.uploaded is not None), default=None)


def default_index() -> str:
    """The index that Python's own tools are set to here, or come with."""
    for name in _VARIABLES:
        if os.environ.get(name, "").strip():
            return os.environ[name].strip()
    named = os.environ.get(_FILE_VARIABLE)
    for path in (Path(named),) if named else _FILES:
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(path.expanduser())
            found = parser.get("global", "index-url", fallback="").strip()
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue
        if found:
            return found
    try:
        return str(importlib.import_module("pip._internal.models.index").PyPI.simple_url)
    except (ImportError, AttributeError):
        raise IndexUnavailable("No package index is set up. Set PACKAGE_INDEX to the address of one.") from None


class PackageIndex:
    def __init__(self, url: str, cache: Path, patience_seconds: float) -> None:
        self.url = url.rstrip("/")
        self.secure = self.url.startswith("https://")
        self._patience = patience_seconds
        self._cache = cache / hashlib.sha256(self.url.encode()).hexdigest()[:16]
        self._opener = urllib.request.build_opener(_Redirects(self.secure))

    def page(self, name: str) -> IndexPage | None:
        """The page of a name; None when the index has no such name."""
        normal = normal_name(name)
        remembered = self._remembered(normal)
        if remembered is not None:
            return _page(normal, remembered["page"]) if remembered["page"] is not None else None
        address = f"{self.url}/{urllib.parse.quote(normal)}/"
        try:
            with self._open(address) as answer:
                body = answer.read(MAX_PAGE_BYTES + 1)
                kind = answer.headers.get_content_type()
                place = answer.geturl()
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in (404, 410):
                self._remember(normal, None)
                return None
            raise IndexUnavailable(f"The package index answered with an error ({error.code}). {_LATER}") from None
        except (OSError, http.client.HTTPException) as error:
            raise IndexUnavailable(f"The package index does not answer ({_why(error)}). {_LATER}") from None
        if len(body) > MAX_PAGE_BYTES:
            raise PackageRefused(name, f"{name}: its page in the index is larger than {megabytes(MAX_PAGE_BYTES)}.")
        raw = _read_page(body, kind, place)
        self._remember(normal, raw)
        return _page(normal, raw)

    def download(
        self, file: IndexFile, package: str, target: Path, most: int, told: Callable[[int], None], deadline: float
    ) -> int:
        """Bring the file to `target`, checked against its hash; the number of bytes."""
        digest, done = hashlib.sha256(), 0
        try:
            with self._open(file.url) as answer, target.open("xb") as output:
                while chunk := answer.read1(CHUNK):
                    done += len(chunk)
                    if done > most:
                        raise PackageRefused(package, f"{package} is larger than what may be downloaded for a run.")
                    if time.monotonic() > deadline:
                        raise PackageRefused(package, f"{package} could not be downloaded in the time there is.")
                    digest.update(chunk)
                    output.write(chunk)
                    told(done)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            raise IndexUnavailable(f"{file.name} could not be downloaded ({_why(error)}). {_LATER}") from None
        if digest.hexdigest() != file.sha256:
            raise PackageRefused(
                package, f"{package} is not installed: the bytes of {file.name} do not have the hash that was recorded."
            )
        return done

    def _open(self, address: str) -> Any:
        parts = urllib.parse.urlsplit(address)
        if parts.scheme != "https" and (self.secure or parts.scheme != "http"):
            raise IndexUnavailable("The package index names a file at an address that is not https.")
        request = urllib.request.Request(address, headers={"Accept": ACCEPT, "User-Agent": AGENT})
        return self._opener.open(request, timeout=self._patience)

    def _remembered(self, name: str) -> dict[str, Any] | None:
        path = self._cache / f"{name}.json"
        try:
            if time.time() - path.stat().st_mtime < PAGE_SECONDS:
                return json.loads(path.read_text())
        except (OSError, ValueError):
            pass
        return None

    def _remember(self, name: str, page: dict[str, Any] | None) -> None:
        self._cache.mkdir(parents=True, exist_ok=True)
        path = self._cache / f"{name}.json"
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps({"page": page}))
        draft.replace(path)


_LATER = "Try again in a moment."


def forget_pages(cache: Path) -> None:
    """Remove the pages nobody believes any more."""
    for path in cache.glob("*/*"):
        try:
            if time.time() - path.stat().st_mtime > PAGE_SECONDS:
                path.unlink()
        except OSError:
            pass


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Followed, but never from https to anything else."""

    def __init__(self, secure: bool) -> None:
        self._secure = secure

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.startswith("https://") and (self._secure or not newurl.startswith("http://")):
            raise urllib.error.URLError("it redirects to an address that is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    if isinstance(error, TimeoutError) or isinstance(reason, TimeoutError):
        return "no answer in time"
    return str(reason or error or type(error).__name__)[:120]


def _read_page(body: bytes, kind: str, place: str) -> dict[str, Any]:
    """The page in our own shape, addresses made absolute."""
    if kind.endswith("json"):
        try:
            raw = json.loads(body)
            files = [
                {
                    "name": str(file["filename"]),
                    "url": urllib.parse.urljoin(place, file["url"]),
                    "sha256": str((file.get("hashes") or {}).get("sha256", "")).lower(),
                    "size": file.get("size"),
                    "uploaded": file.get("upload-time"),
                    "withdrawn": _withdrawn(file.get("yanked")),
                }
                for file in raw["files"]
            ]
            return {"files": files, "versions": [str(version) for version in raw.get("versions") or []]}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise IndexUnavailable("The package index gave an answer that is not one.") from None
    parser = _Links(place)
    parser.feed(body.decode("utf-8", "replace"))
    return {"files": parser.files, "versions": []}


def _withdrawn(value: Any) -> str | None:
    return None if value in (None, False) else value if isinstance(value, str) else ""


class _Links(HTMLParser):
    """The older form of a page: links, with the hash behind the #."""

    def __init__(self, place: str) -> None:
        super().__init__()
        self._place = place
        self.files: list[dict[str, Any]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        address = values.get("href")
        if tag != "a" or not address:
            return
        url, _, fragment = urllib.parse.urljoin(self._place, address).partition("#")
        name = urllib.parse.unquote(urllib.parse.urlsplit(url).path.rpartition("/")[2])
        sha256 = fragment.removeprefix("sha256=").lower() if fragment.startswith("sha256=") else ""
        yanked = (values["data-yanked"] or "") if "data-yanked" in values else None
        self.files.append(
            {"name": name, "url": url, "sha256": sha256, "size": None, "uploaded": None, "withdrawn": yanked}
        )


def _page(name: str, raw: dict[str, Any]) -> IndexPage:
    files = [
        IndexFile(
            name=file["name"],
            url=file["url"],
            sha256=file["sha256"],
            size=file["size"] if isinstance(file["size"], int) else None,
            uploaded=_moment(file["uploaded"]),
            withdrawn=file["withdrawn"],
        )
        for file in raw["files"]
    ]
    versions = raw["versions"] or sorted({version for file in files if (version := version_of_file(file.name))})
    return IndexPage(name, files, versions)


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def version_of_file(name: str) -> str | None:
    """The version in the name of a wheel or of a source distribution."""
    if name.endswith(".whl"):
        parts = name.split("-")
        return parts[1] if len(parts) in (5, 6) else None
    match = re.fullmatch(r".+-([^-]+)\.(?:tar\.gz|tgz|tar\.bz2|zip)", name)
    return match.group(1) if match else None

"""How does a wheel become files without any of it being executed? Checked against its own record, name by name.

What is left out: scripts, data and headers (a layer is no installation), files that Python would execute by itself in
a site directory (.pth), and bytecode that somebody else compiled.
"""

from __future__ import annotations

import base64
import csv
import errno
import hashlib
import io
import lzma
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from sandbox.host.package_rules import PackageRefused, megabytes, normal_name

CHUNK = 1 << 18
LONGEST_PATH = 400
MAX_DIRECTORY_BYTES = 16 << 20  # the archive's table of contents, which is read as a whole
MAX_METADATA_BYTES = 4 << 20
_DRIVE = re.compile(r"^[A-Za-z]:")
_END = struct.Struct("<4s4H2LH")
_FAULTS_OF_ARCHIVES = (None, errno.EINVAL, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG)
_UNREADABLE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,
    EOFError,
    ValueError,
    OSError,
)


class Unpacked:
    """What has been written so far, over all wheels of a layer; the caps are on the sums."""

    def __init__(self, most_bytes: int, most_files: int, told: Callable[[], None]) -> None:
        self.most_bytes, self.most_files = most_bytes, most_files
        self.bytes, self.files = 0, 0
        self.told = told

    def count_file(self, package: str) -> None:
        self.files += 1
        if self.files > self.most_files:
            raise PackageRefused(package, f"{package} has too many files: {self.most_files:,} is the most for a run.")

    def count_bytes(self, package: str, size: int) -> None:
        self.bytes += size
        if self.bytes > self.most_bytes:
            raise PackageRefused(
                package, f"{package} is too large: unpacked, packages may take {megabytes(self.most_bytes)} in all."
            )
        self.told()


def unpack(wheel: Path, package: str, target: Path, unpacked: Unpacked) -> None:
    """Write the wheel's modules below `target`. Raises PackageRefused for a wheel that is not what it says."""
    try:
        _check_directory(wheel, package)
        with zipfile.ZipFile(wheel) as archive:
            if len(archive.infolist()) > unpacked.most_files:
                raise PackageRefused(package, f"{package} has too many files.")
            for entry in archive.infolist():
                _check_entry(entry, package)
            record = _read_record(archive, package)
            written: set[str] = set()
            for entry in archive.infolist():
                if entry.is_dir() or entry.filename.endswith((".dist-info/RECORD", "RECORD.jws", "RECORD.p7s")):
                    continue
                if entry.filename in written:
                    raise _broken(package, f"it holds {entry.filename!r:.80} twice")
                written.add(entry.filename)
                if entry.filename not in record:
                    raise _broken(package, f"{entry.filename!r:.80} is not in its record")
                place = _place(entry.filename)
                _write(archive, entry, target / place if place else None, record[entry.filename], package, unpacked)
    except _UNREADABLE as error:
        if isinstance(error, OSError) and error.errno not in _FAULTS_OF_ARCHIVES:
            raise  # the disk's fault, not the package's
        raise _broken(package, f"it cannot be read ({str(error)[:100]})") from None
    except RuntimeError as error:  # encrypted
        raise _broken(package, str(error)[:100]) from None


def check_identity(wheel: Path, name: str, version: str) -> None:
    """A wheel that was built from source has to be the one that was asked for."""
    try:
        found, found_version, _build, _tags = parse_wheel_filename(wheel.name)
    except InvalidWheelFilename:
        raise _broken(name, f"{wheel.name[:80]!r} is not the name of a wheel") from None
    if normal_name(found) != normal_name(name) or str(found_version) != version:
        raise _broken(name, f"building {name} {version} gave {found} {found_version}")


def _check_directory(wheel: Path, package: str) -> None:
    """Refuse a table of contents that would fill the memory before anything of it can be counted."""
    with wheel.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - (1 << 16) - _END.size))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise _broken(package, "it is not a zip archive")
    size = _END.unpack_from(tail, at)[5]
    # The 64-bit form is for archives larger than what is allowed here.
    if size > MAX_DIRECTORY_BYTES or tail[max(0, at - 20) : at].startswith(b"PK\x06\x07"):
        raise _broken(package, "its table of contents is too large")


def _check_entry(entry: zipfile.ZipInfo, package: str) -> None:
    name = entry.filename
    parts = PurePosixPath(name).parts
    bad = (
        not name
        or len(name) > LONGEST_PATH
        or name.startswith("/")
        or "\\" in name
        or "\0" in name
        or _DRIVE.match(name)
        or any(part in ("..", ".") for part in name.split("/"))
        or any(len(os.fsencode(part)) > 255 for part in parts)
        or not name.isprintable()
    )
    if bad:
        raise _broken(package, f"it holds a file that would be written elsewhere: {name!r:.80}")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _broken(package, f"it holds a link or a device: {name!r:.80}")


def _place(name: str) -> str | None:
    """Where a file of the wheel belongs below the layer; None for what is left out."""
    first, _, rest = name.partition("/")
    if first.endswith(".data"):
        kind, _, rest = rest.partition("/")
        if kind not in ("purelib", "platlib") or not rest:
            return None
        name = rest
    path = PurePosixPath(name)
    if path.suffix in (".pyc", ".pyo") or (len(path.parts) == 1 and path.suffix == ".pth"):
        return None
    if name in ("sitecustomize.py", "usercustomize.py", "overrides"):
        return None
    return name


def _write(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path | None, digest: str, package: str, unpacked: Unpacked
) -> None:
    """One file, counted as it is written: the sizes an archive states are its own claim."""
    unpacked.count_file(package)
    output = None
    if path is not None:
        _make_folders(path.parent)
        if path.exists():
            path.unlink()  # another package has it as well; as with pip, the later one counts
        output = path.open("xb")
    hashed = hashlib.sha256()
    try:
        with archive.open(entry) as source:
            while chunk := source.read(CHUNK):
                unpacked.count_bytes(package, len(chunk))
                hashed.update(chunk)
                if output is not None:
                    output.write(chunk)
    except FileExistsError:
        raise _broken(package, f"{entry.filename!r:.80} is a file and a folder") from None
    finally:
        if output is not None:
            output.close()
    if base64.urlsafe_b64encode(hashed.digest()).rstrip(b"=").decode() != digest:
        raise _broken(package, f"{entry.filename!r:.80} does not have the hash of its record")
    if path is not None:
        path.chmod(0o755 if entry.external_attr >> 16 & stat.S_IXUSR else 0o644)


def _make_folders(folder: Path) -> None:
    if not folder.is_dir():
        _make_folders(folder.parent)
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)  # whatever the umask is: a box's uid owns none of it


def _read_record(archive: zipfile.ZipFile, package: str) -> dict[str, str]:
    name = _one(archive, ".dist-info/RECORD", package)
    rows = csv.reader(io.StringIO(_read_small(archive, name, package).decode("utf-8", "replace")))
    record = {}
    for row in rows:
        if len(row) >= 2 and row[1].startswith("sha256="):
            record[row[0]] = row[1].removeprefix("sha256=").rstrip("=")
    return record


def _one(archive: zipfile.ZipFile, ending: str, package: str) -> str:
    names = [name for name in archive.namelist() if name.endswith(ending) and name.count("/") == 1]
    if len(names) != 1:
        raise _broken(package, f"it has {len(names)} files called {ending.partition('/')[2]}")
    return names[0]


def _read_small(archive: zipfile.ZipFile, name: str, package: str) -> bytes:
    with archive.open(name) as file:
        content = file.read(MAX_METADATA_BYTES + 1)
    if len(content) > MAX_METADATA_BYTES:
        raise _broken(package, f"its {name.rpartition('/')[2]} is too large")
    return content


def _broken(package: str, why: str) -> PackageRefused:
    return PackageRefused(package, f"{package} is not installed: its wheel is not sound, {why}.")

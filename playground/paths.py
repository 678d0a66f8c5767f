"""Where does everything that is not code live? One data folder, and a short private folder for sockets."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
# The kernel allows 107 bytes for the path of a unix socket; PostgreSQL adds a lock file of the same name.
LONGEST_SOCKET_PATH = 100
LONGEST_SOCKET_NAME = ".s.PGSQL.5432.lock"


def data_folder() -> Path:
    """DATA_DIR from the environment, or .data beside the code."""
    return Path(os.environ.get("DATA_DIR") or BASE_DIR / ".data").expanduser().absolute()


def run_folder(data_dir: Path) -> Path:
    """The folder of sockets and pid files that belongs to data_dir; only its owner may look inside (0700).

    A checkout in a deep folder would make socket paths too long, so those get a folder in the temporary directory,
    named by the user and by a digest of data_dir so that two sites never share one.
    """
    folder = data_dir / "run"
    if len(os.fsencode(folder / LONGEST_SOCKET_NAME)) <= LONGEST_SOCKET_PATH:
        return folder
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"playground-{os.getuid()}-{digest}"


def make_private(folder: Path) -> Path:
    """Create folder for us alone; refuse one that somebody else made first."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = folder.lstat()
    # Root may have handed it to nobody (65534) for a PostgreSQL that cannot run in a user namespace.
    ours = {os.getuid()} if os.getuid() != 0 else {0, 65534}
    if folder.is_symlink() or owner.st_uid not in ours:
        raise PermissionError(f"{folder} belongs to another user; remove it or set DATA_DIR to a folder of your own.")
    if owner.st_mode & 0o077:
        folder.chmod(0o700)
    return folder

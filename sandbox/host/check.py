"""Can this machine sandbox? check() starts an engine of its own, runs real boxes in it and says what it saw.

`python -m sandbox.host.check --env DIR` prints that as one JSON object; `manage.py check_sandbox` shows it. With
`--backend` and what else an engine takes for it, its containers or pods are tried instead.
No claim without a try: every promise of sandbox/README.md has a line here and is attacked in a box, and a box that did
not start proves nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import pwd
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from sandbox.client import BoxRefused, BoxRequest, EngineClient, EngineUnavailable, Limits
from sandbox.host.processes import descendants

ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 60
ENGINE = ("-m", "sandbox.host.engine")
# The kinds of box of this machine's own, and the options of an engine that makes no other.
WAYS = {"cold": ("--no-zygote",), "fork": ("--ready", "0")}

_LIMITS = Limits(
    cpu_seconds=2,
    wall_seconds=20,
    memory_bytes=192 << 20,
    disk_bytes=8 << 20,
    processes=24,
    output_bytes=64 << 10,
    rich_bytes=1 << 20,
    rich_message_bytes=1 << 20,
    events=500,
    artefact_bytes=1 << 20,
    artefact_count=5,
)


@dataclass
class Seen:
    """How one box ended and what came out of it."""

    outcome: str = "did not start"
    limit: str = ""
    exit: dict[str, Any] = field(default_factory=dict)
    printed: str = ""
    files: list[str] = field(default_factory=list)
    first_output: float | None = None
    start: str = ""


class Machine:
    """The engine that is tried, and what can be seen of it from outside."""

    def __init__(
        self, client: EngineClient, process: subprocess.Popen[bytes], directory: Path, token: str, way: str
    ) -> None:
        self.client = client
        self.process = process
        self.directory = directory
        self.token = token  # in the engine's environment, and nowhere in a box
        self.way = way
        self.mark = f"61.{secrets.randbelow(10**9):09}"  # seconds a daemon of ours would sleep: its mark as well
        self.status: dict[str, Any] = {}
        self.reason = ""  # why it makes no boxes
        self.before: dict[str, int] = {}

    def wait(self) -> None:
        """Until it answers; `reason` stays empty when it makes boxes."""
        deadline = time.monotonic() + START_SECONDS
        while not self.status and self.process.poll() is None and time.monotonic() < deadline:
            try:
                self.status = self.client.status()
            except EngineUnavailable:
                time.sleep(0.05)
        self.reason = self.status.get("reason", "")
        if not self.reason and not self.status.get("ready"):
            said = (self.directory / "log").read_text(errors="replace")[-800:].strip()
            self.reason = f"The engine did not start: {said}"

    def makes_its_kind(self) -> bool:
        """Whether its boxes are of the kind that is to be tried; a zygote needs a while."""
        deadline = time.monotonic() + START_SECONDS
        while self.way == "fork" and time.monotonic() < deadline:
            zygote = self.client.status()["zygote"]["state"]
            if zygote == "ready" or zygote not in ("starting", "off"):
                break
            time.sleep(0.1)
        made = self.run("print(1)").start == self.way  # for other backends the way is the backend's name
        self.before = self.left()
        return made

    def run(self, source: str, owner: str = "check", during: Callable[[], None] | None = None, **limits: Any) -> Seen:
        """One program from start to end; `during` is called at its first output."""
        source = source.replace("MARK", self.mark)
        request = BoxRequest("check", owner, {"main.py": source}, "main.py", {}, replace(_LIMITS, **limits))
        seen = Seen()
        try:
            with self.client.start(request) as box:
                for event in box.events():
                    if event is None:
                        continue
                    if event["type"] == "stdout":
                        if seen.first_output is None:
                            seen.first_output = event["t"]
                            if during is not None:
                                during()
                        seen.printed += event["text"]
                    elif event["type"] == "artefact":
                        seen.files.append(event["name"])
                    elif event["type"] == "ended":
                        seen.outcome, seen.exit, seen.start = event["outcome"], event["exit"], event["start"]
                        seen.limit = (event["limit"] or {}).get("name", "")
        except (BoxRefused, EngineUnavailable) as error:
            seen.outcome = str(error)
        return seen

    def users_of_boxes(self) -> set[int]:
        """The uids, as the machine sees them, of what runs in boxes now."""
        users = set()
        for pid in descendants(self.process.pid)[1:]:
            try:
                status = Path(f"/proc/{pid}/status").read_text()
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if self.mark.encode() in command:
                users.add(int(status.split("\nUid:")[1].split()[0]))
        return users

    def left(self) -> dict[str, int]:
        """What boxes could leave behind: processes, zombies, mounts, files of the engine's directory."""
        marked = zombies = 0
        for directory in Path("/proc").glob("[0-9]*"):
            try:
                marked += self.mark.encode() in (directory / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
        for pid in descendants(self.process.pid)[1:]:
            try:
                zombies += Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except OSError:
                continue
        mounts = len(Path(f"/proc/{self.process.pid}/mountinfo").read_text().splitlines())
        files = sum(1 for _ in self.directory.rglob("*"))
        return {"processes": marked, "zombies": zombies, "mounts": mounts, "files": files}


@dataclass(frozen=True)
class Promise:
    """One line of the table in sandbox/README.md: a program that attacks it, or `look` for what takes more than one."""

    name: str
    says: str
    source: str = ""
    outcome: str = "succeeded"
    limit: str = ""
    printed: str | None = None
    exit: dict[str, Any] | None = None
    limits: dict[str, Any] = field(default_factory=dict)
    look: Callable[[Machine], str] | None = None  # what is wrong; "" when nothing is
    # Where boxes are containers or pods by their nature weaker: what is seen then (a pattern), and what that means.
    elsewhere: tuple[str, str] = ("", "")
    untried: tuple[str, ...] = ()  # ways in which there is nothing to see from here

    def wrong(self, machine: Machine) -> str:
        if self.look is not None:
            return self.look(machine)
        return self._difference(machine.run(self.source, **self.limits))

    def _difference(self, seen: Seen) -> str:
        if seen.outcome != self.outcome:
            return f"it ended as {seen.outcome}"
        if self.limit and seen.limit != self.limit:
            return f"it ended by {seen.limit or 'no limit'}"
        if len(seen.printed) > _LIMITS.output_bytes:
            return f"it printed {len(seen.printed)} letters"
        if self.exit is not None and seen.exit != self.exit:
            return f"it left with {seen.exit}"
        if self.printed is not None and seen.printed != self.printed:
            return f"it printed {seen.printed[:200]!r}"
        return ""


def _inheritance(machine: Machine) -> str:
    source = (
        "import os, ctypes\n"
        "block = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), 'environ'); n = 0\n"
        "while block[n]: print(block[n].decode('latin1')); n += 1\n"
        "print(dict(os.environ))\n"
        "for fd in range(3, 1024):\n"
        "    try: os.fstat(fd); print('descriptor', fd)\n"
        "    except OSError: pass\n"
    )
    seen = machine.run(source)
    if seen.outcome != "succeeded":
        return f"it ended as {seen.outcome}"
    if machine.token in seen.printed:
        return "it has the environment of the engine"
    return "it has descriptors of the engine" if "descriptor " in seen.printed else ""


# Programs whose command line can be found from outside.
_SLEEPER = "import subprocess\nchild = subprocess.Popen(['/usr/bin/sleep', 'MARK'])\nprint('on', flush=True)\n"


def _identity(machine: Machine) -> str:
    if machine.way not in WAYS:  # the number is the same inside and outside
        numbers = [machine.run("import os\nprint(os.getuid())").printed.strip() for _ in range(2)]
        taken = {str(entry.pw_uid) for entry in pwd.getpwall()} | {"", "0"}
        return f"two boxes run as {' and '.join(numbers)}" if numbers[0] == numbers[1] or taken & {*numbers} else ""
    users: set[int] = set()
    for owner in ("one", "two"):
        found: set[int] = set()
        seen = machine.run(_SLEEPER + "import time\ntime.sleep(.3)", owner, partial(_note_users, machine, found))
        if seen.outcome != "succeeded" or len(found) != 1:
            return f"it ended as {seen.outcome}, with processes of {len(found)} users"
        users |= found
    if os.geteuid() != 0:
        return "" if users == {os.geteuid()} else f"it runs as another user of this machine: {sorted(users)}"
    known = {entry.pw_uid for entry in pwd.getpwall()}
    if users & (known | {0}):
        return f"it runs as a user of this machine: {sorted(users & (known | {0}))}"
    return "" if len(users) == 2 else "two boxes run as one user"


def _note_users(machine: Machine, found: set[int]) -> None:
    deadline = time.monotonic() + 2
    while not found and time.monotonic() < deadline:
        found |= machine.users_of_boxes()
        time.sleep(0.01)


def _neighbours(machine: Machine) -> str:
    places = ("/tmp/left", "/box/left", "/dev/shm/left")
    leave = (
        f"import builtins, json, time\nfor place in {places}: open(place, 'w').close()\nbuiltins.left = json.left = 1\n"
        "print('on', flush=True)\ntime.sleep(2)"
    )
    look = (
        f"import builtins, json, os\nprint([p for p in {places} if os.path.exists(p)], "
        "hasattr(builtins, 'left') or hasattr(json, 'left'))"
    )
    looks: list[Seen] = []
    first = machine.run(leave, "one", lambda: looks.append(machine.run(look, "two")))
    looks.append(machine.run(look, "two"))
    if first.outcome != "succeeded":
        return f"it ended as {first.outcome}"
    found = [seen.printed for seen in looks if seen.printed != "[] False\n"]
    return f"one box finds what another left: {found[0]!r}" if found else ""


def _randomness(machine: Machine) -> str:
    source = (
        "import numpy as np, os, random, ssl, uuid\n"
        "print(np.random.rand(), random.random(), uuid.uuid4(), ssl.RAND_bytes(8).hex(), os.urandom(8).hex())"
    )
    first, second = (machine.run(source).printed.split() for _ in range(2))
    if len(first) != 5 or len(second) != 5:
        return "it drew no numbers"
    return "two boxes draw the same random numbers" if any(map(str.__eq__, first, second)) else ""


def _artefacts(machine: Machine) -> str:
    source = (
        "import os\nopen('kept.csv', 'w').write('1,2')\n"
        "for n, target in enumerate(('/etc/passwd', '/dev/zero', '/opt/inside/qfp_inside/init.py')):\n"
        "    os.symlink(target, f'link{n}.csv')\nos.symlink('/etc', 'directory')\n"
        "open('large.csv', 'wb').truncate(2 << 20)\n"
        "for _ in range(300): os.mkdir('d'); os.chdir('d')"
    )
    seen = machine.run(source)
    if seen.outcome != "succeeded":
        return f"it ended as {seen.outcome}"
    return "" if seen.files == ["kept.csv"] else f"files came out: {seen.files}"


def _remains(machine: Machine) -> str:
    machine.run(
        _SLEEPER + "import os\nif os.fork() == 0:\n    os.setsid(); os.execv('/usr/bin/sleep', ['sleep', 'MARK'])"
    )
    deadline = time.monotonic() + 5
    while True:
        now, boxes = machine.left(), machine.client.status()["boxes"]
        more = [f"{now[name] - machine.before[name]} {name}" for name in now if now[name] > machine.before[name]]
        if not more and not boxes:
            return ""
        if time.monotonic() > deadline:
            return f"left behind: {', '.join(more) or f'{boxes} boxes'}"
        time.sleep(0.05)


_CALLS = (
    "import ctypes, os, sys\nlibc = ctypes.CDLL(None, use_errno=True)\n"
    "def call(*words): return libc.syscall(*map(ctypes.c_long, words))\n"
)

PROMISES = (
    Promise("control", "a program runs", "print(6 * 7)", printed="42\n"),
    Promise(
        "network",
        "no network of any family",
        "import socket\nmade = []\nfor family in range(1, 46):\n    for kind in (1, 2, 3, 5):\n"
        "        try: socket.socket(family, kind); made.append(family)\n        except OSError: pass\n"
        "try: made.append(socket.getaddrinfo('example.com', 80))\nexcept OSError: pass\nprint(made)",
        printed="[]\n",
    ),
    Promise(
        "filesystem",
        "no file of this machine but libraries, and nothing of them to write",
        "import os\nplaces = ('/root', '/home', '/var', '/srv', '/mnt', '/run', '/sys', '/boot', '/etc/shadow')\n"
        "seen = [place for place in places if os.path.exists(place)]\n"
        "for place in ('/', '/usr/lib', '/usr/bin', '/opt', '/opt/env', '/opt/sdk', '/etc', '/dev'):\n"
        "    try: open(place + '/left', 'w'); seen.append(place)\n    except OSError: pass\nprint(seen)",
        printed="[]\n",
        elsewhere=(
            r"""it printed "\[('/(root|home|var|srv|mnt|run|sys|boot|etc/shadow)'(, )?)+\]\\n\"""",
            "there are /run, /sys, and whatever the image has; none of it can be written.",
        ),
    ),
    Promise(
        "paths",
        "no path, name or account of this machine",
        "import os, pwd, socket\nprint(os.path.exists('/proc/self'), [entry.pw_name for entry in pwd.getpwall()],"
        " socket.gethostname())",
        printed="False ['box'] box\n",
        elsewhere=(
            r"""it printed "(True|False) \['\w+'(, '[\w-]+')*\] box\\n\"""",
            "/proc is there, though closed where Landlock is, and so are the image's accounts.",
        ),
    ),
    Promise("inheritance", "nothing of the engine's environment or descriptors", look=_inheritance),
    Promise("identity", "a user of its own, who owns nothing here", look=_identity),
    Promise(
        "privileges",
        "no capabilities, and no way to new ones",
        _CALLS + "header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()\n"
        "libc.syscall(ctypes.c_long(125), header, data)\n"
        "got = [n for n in range(41) if libc.prctl(23, n, 0, 0, 0) == 1]\n"
        "try: os.setuid(0); got.append('root')\nexcept OSError: pass\n"
        "print(any(data), got, libc.prctl(39, 0, 0, 0, 0), libc.prctl(21, 0, 0, 0, 0))",
        printed="False [] 1 2\n",
    ),
    Promise(
        "syscalls",
        "few system calls: no namespaces, mounts, io_uring, bpf, perf, keys, tracing, 32-bit entry",
        _CALLS
        + "made = [n for n, *words in ((272, 0x10000000), (272, 0x20000), (56, 0x10000011), (435, 0, 0), (308, 0, 0),"
        " (165, 0, 0, 0, 0, 0), (425, 8, 0), (321, 0, 0, 0), (298, 0, 0, -1, -1, 0), (323, 0), (250, 0, -3, 0),"
        " (248, 0), (101, 0, 0, 0, 0), (310, 1, 0, 0, 0, 0, 0), (319, 0, 0), (29, 0, 100, 0o1600), (155, 0, 0),"
        " (161, 0)) if call(n, *words) != -1]\n"
        "import mmap\npage = mmap.mmap(-1, 4096, prot=7)\npage.write(bytes.fromhex('b814000000cd80c3'))\n"
        "enter = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))\n"
        "for attempt in (enter, lambda: call(0x40000000 + 39)):\n"
        "    if (pid := os.fork()) == 0: attempt(); os._exit(0)\n"
        "    if not os.WIFSIGNALED(os.waitpid(pid, 0)[1]): made.append('foreign')\nprint(made)",
        printed="[]\n",
    ),
    Promise(
        "processes",
        "no process but its own, and process 1 out of reach",
        "import os, signal\nfound = []\nfor pid in range(1, 3000):\n    try: os.kill(pid, 0); found.append(pid)\n"
        "    except ProcessLookupError: pass\n    except PermissionError: found.append(pid)\n"
        "for number in (9, 15, 19, 11, 2): os.kill(1, number)\nprint(set(found) <= {1, os.getpid()}, os.getppid())",
        printed="True 1\n",
        elsewhere=(r"it printed 'False 1\\n'", "the relay in process 1 is a thread of it with a number of its own."),
    ),
    Promise(
        "ordinary",
        "a program is an ordinary process: its signals act on it",
        "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nprint('still here')",
        "failed",
        printed="",
        exit={"code": None, "signal": 15},
    ),
    Promise(
        "clock",
        "the clock cannot be set",
        "import time\ntry: time.clock_settime(time.CLOCK_REALTIME, 0); print('set')\nexcept OSError: print('refused')",
        printed="refused\n",
    ),
    Promise(
        "imports",
        "what reports on a program imports nothing of it",
        "for name in ('json', 'traceback', 'linecache', 'base64', 'qfp', 'IPython'):\n"
        "    open(name + '.py', 'w').write('import os; os.write(1, b\"imported\")')\n1 / 0",
        "failed",
        printed="",
        exit={"code": 1, "signal": None},
    ),
    Promise("neighbours", "nothing of another run", look=_neighbours),
    Promise("randomness", "random numbers of its own", look=_randomness),
    Promise(
        "memory",
        "memory of all processes together is limited",
        "import os, time\nfor _ in range(6):\n"
        "    if os.fork() == 0: held = b'x' * (100 << 20); time.sleep(5)\ntime.sleep(5)",
        "out_of_memory",
        "memory_bytes",
    ),
    Promise(
        "forks",
        "the number of processes is limited",
        "import os, time\nn = 0\ntry:\n    while n < 200:\n        if os.fork() == 0: time.sleep(15); os._exit(0)\n"
        "        n += 1\nexcept OSError: pass\nprint(n < 30)",
        printed="True\n",
    ),
    Promise(
        "processor",
        "processor time is limited",
        "while True: pass",
        "timed_out",
        "cpu_seconds",
        None,
        None,
        {"cpu_seconds": 1},
    ),
    Promise(
        "deadline",
        "there is a deadline, and no refusing it",
        "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: time.sleep(1)",
        "timed_out",
        "wall_seconds",
        limits={"wall_seconds": 1},
    ),
    Promise(
        "disk",
        "disk space is limited, over all places together",
        "n = 0\ntry:\n    while True:\n        place = ('/box', '/tmp', '/dev/shm')[n % 3]\n"
        "        open(f'{place}/f{n}', 'wb').write(b'x' * (1 << 20)); n += 1\nfinally: print(n <= 8)",
        "disk_full",
        "disk_bytes",
        printed="True\n",
        elsewhere=(r"it printed 'False\\n'", "/dev/shm is a file system of its own, of at most 16 MB."),
    ),
    Promise("output", "output is limited", "while True: print('x' * 1000)", "output_exceeded", "output_bytes"),
    Promise(
        "endings",
        "an ending is observed and cannot be told",
        "import json, os\nfor kind in ('ended', 'finished', 'exited'):\n"
        "    line = json.dumps({'type': kind, 'outcome': 'succeeded', 'code': 0}).encode() + b'\\n'\n"
        "    os.write(int(os.environ['QFP_CHANNEL_FD']), line)\nos._exit(137)",
        "failed",
        exit={"code": 137, "signal": None},
    ),
    Promise(
        "aftermath",
        "nothing is added after the end",
        "import os, time\nif os.fork() == 0:\n    os.setsid(); time.sleep(.3)\n    while True: os.write(1, b'late')\n"
        "print('end', flush=True)",
        printed="end\n",
    ),
    Promise("artefacts", "files are collected without following links, within limits", look=_artefacts),
    Promise("remains", "no process, zombie, mount or file is left behind", look=_remains, untried=("kubernetes",)),
)


@dataclass
class Report:
    ok: bool = False
    reason: str = ""  # why not, and what to change
    weaknesses: list[str] = field(default_factory=list)
    promises: list[dict[str, Any]] = field(default_factory=list)
    first_output_seconds: float | None = None
    status: dict[str, Any] = field(default_factory=dict)


def check(
    environment: Path,
    promises: Sequence[Promise] = PROMISES,
    engine: Sequence[str] = ENGINE,
    ways: Mapping[str, Sequence[str]] = WAYS,
) -> Report:
    """Try every promise on this machine with engines of this user, apart from any that is running."""
    report = Report()
    with ExitStack() as stack:
        machines = [
            stack.enter_context(started(environment, (*engine, *options), way)) for way, options in ways.items()
        ]
        for machine in machines:  # the cold one first: the zygote of the other loads meanwhile
            machine.wait()
        report.status, report.weaknesses = machines[-1].status, [*machines[-1].status.get("weaknesses", [])]
        report.reason = next((machine.reason for machine in machines if machine.reason), "")
        if report.reason:
            return report
        report.first_output_seconds = machines[0].run("print(1)").first_output
        seen: dict[str, list[str]] = {promise.name: [] for promise in promises}
        tried, weaker = set[str](), set[str]()
        for machine in machines:
            if not machine.makes_its_kind():
                report.weaknesses.append("Boxes cannot be forked here: every program takes the time of a cold start.")
                continue
            for promise in promises:
                if machine.way in promise.untried:
                    continue
                tried.add(promise.name)
                wrong = promise.wrong(machine)
                pattern, meaning = promise.elsewhere
                if pattern and machine.way not in WAYS and re.fullmatch(pattern, wrong):
                    report.weaknesses.append(f"{promise.name}: {meaning}")
                    weaker.add(promise.name)
                elif wrong:
                    seen[promise.name].append(f"{wrong} ({machine.way} box)")
    for promise in promises:
        wrong = "; ".join(seen[promise.name])
        kept = not wrong if promise.name in tried else None
        if kept is None:
            wrong = f"not tried, as nothing of it can be seen from here ({', '.join(ways)})"
        elif kept and promise.name in weaker:
            wrong = "all but what is weaker, below"
        report.promises.append({"name": promise.name, "says": promise.says, "kept": kept, "seen": wrong})
    broken = [promise["name"] for promise in report.promises if promise["kept"] is False]
    report.ok = not broken
    if broken:
        report.reason = f"Boxes start, but not every promise was kept: {', '.join(broken)}."
    return report


@contextmanager
def started(environment: Path, engine: Sequence[str], way: str) -> Iterator[Machine]:
    """An engine while it is tried."""
    with tempfile.TemporaryDirectory(prefix="sandbox-check-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        token = secrets.token_hex(12)
        words = [sys.executable, *engine, "--socket", str(directory / "s"), "--env", str(environment)]
        words += ["--store", str(directory / "store"), "--state", str(directory / "state")]
        log = (directory / "log").open("w+b")
        variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]]), "QFP_CHECK": token}
        process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=variables)
        try:
            yield Machine(EngineClient(directory / "s"), process, directory, token, way)
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            log.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="sandbox.host.check", description=__doc__)
    parser.add_argument("--env", type=Path, required=True, help="the virtual environment of the boxes")
    parser.add_argument("--backend", default="nsjail", help="who makes the boxes; its own options may follow")
    options, others = parser.parse_known_args()
    ways = WAYS if options.backend == "nsjail" else {options.backend: ("--backend", options.backend, *others)}
    report = check(Path(os.path.abspath(options.env)), ways=ways)
    print(json.dumps(asdict(report), indent=2))
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())

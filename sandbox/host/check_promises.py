"""What does the sandbox promise, and how is each promise attacked? One line for each row of the table in
sandbox/README.md: a program that attacks it in a box, and what has to come of that.
"""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sandbox.host.check_machine import LIMITS, WAYS, Machine, Seen


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
        if len(seen.printed) > LIMITS.output_bytes:
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
        seen = machine.run(_SLEEPER + "input()", owner, partial(_note_users, machine, found))
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
    deadline = time.monotonic() + 10
    while not found and time.monotonic() < deadline:
        found |= machine.users_of_boxes()
        time.sleep(0.01)


def _neighbours(machine: Machine) -> str:
    places = ("/tmp/left", "/box/left", "/dev/shm/left")
    leave = (
        f"import builtins, json\nfor place in {places}: open(place, 'w').close()\nbuiltins.left = json.left = 1\n"
        "print('on', flush=True)\ninput()"
    )
    look = (
        f"import builtins, json, os\nprint([p for p in {places} if os.path.exists(p)], "
        "hasattr(builtins, 'left') or hasattr(json, 'left'))"
    )
    looks: list[Seen] = []
    # It waits while another box starts.
    first = machine.run(leave, "one", lambda: looks.append(machine.run(look, "two")), wall_seconds=60)
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
    deadline = time.monotonic() + 20
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
        # What started it has ended and may not have been reaped in its first moments; threads of process 1 stay.
        _CALLS + "import signal, time\n"
        "def is_there(pid):\n    try: os.kill(pid, 0)\n    except ProcessLookupError: return False\n"
        "    except PermissionError: pass\n    return True\n"
        "for _ in range(15):\n    found = {pid for pid in range(1, 3000) if is_there(pid)}\n"
        "    if all(libc.tgkill(1, pid, 0) == 0 or ctypes.get_errno() != 3 for pid in found - {os.getpid()}): break\n"
        "    time.sleep(.2)\n"
        "for number in (9, 15, 19, 11, 2): os.kill(1, number)\nprint(found <= {1, os.getpid()}, os.getppid())",
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

"""Programs that want more than they may have, or to end as what they are not, by the promise of sandbox/README.md that
each attacks. What counts is how they end, and which limit their end or a notice names.
"""

# ruff: noqa: E501  (programs for the box read better in one line)
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Greedy:
    """A program that wants more than it may have, and the end it gets."""

    source: str
    outcome: str | tuple[str, ...]
    limit: str = ""  # the one its end or a notice names
    code: int | None = None
    signal: int | None = None
    says: str = ""  # part of what it printed
    limits: dict[str, Any] = field(default_factory=dict)


FORKS = "import os, time\nn = 0\ntry:\n    while n < 5000:\n        if os.fork() == 0:\n            {child}\n            os._exit(0)\n        n += 1\nexcept OSError: pass\ntime.sleep(.3)\nprint('made', n < 100)"

LIMITED = {
    # Memory, as a sum
    "memory: a list that grows": Greedy(
        "kept = []\nwhile True: kept.append(' ' * 10_000_000)", "out_of_memory", "memory_bytes"
    ),
    "memory: many processes that hold a little each": Greedy(
        FORKS.format(child="held = b'x' * (60 << 20); time.sleep(20)") + "\ntime.sleep(20)",
        "out_of_memory",
        "memory_bytes",
    ),
    "memory: shared memory, which no limit of a process counts": Greedy(
        "import mmap\nkept = []\nwhile True:\n    kept.append(mmap.mmap(-1, 32 << 20)); kept[-1].write(b'x' * (32 << 20))",
        "out_of_memory",
        "memory_bytes",
    ),
    "memory: what is mapped read-only and then opened for writing": Greedy(
        "import ctypes, mmap\nlibc = ctypes.CDLL(None, use_errno=True)\nlibc.mmap.restype = ctypes.c_void_p\nn = 0\nwhile n < 64:\n    place = libc.mmap(None, ctypes.c_size_t(32 << 20), 1, 0x22, -1, ctypes.c_long(0))\n    if libc.mprotect(ctypes.c_void_p(place), ctypes.c_size_t(32 << 20), 3): raise MemoryError\n    ctypes.memset(ctypes.c_void_p(place), 1, 32 << 20); n += 1",
        "out_of_memory",
        "memory_bytes",
    ),
    "memory: one request for everything": Greedy(
        "import numpy as np\nnp.zeros(1 << 40)", "out_of_memory", "memory_bytes"
    ),
    "memory: the stack, without end": Greedy(
        "import sys\nsys.setrecursionlimit(10**9)\nf = lambda n: f(n + 1) + 1\nf(0)", ("failed", "out_of_memory")
    ),
    "memory: buffers of pipes": Greedy(
        "import os, fcntl\nkept = []\ntry:\n    while True:\n        r, w = os.pipe(); kept.append((r, w))\n        try: fcntl.fcntl(w, 1031, 1 << 20)\n        except OSError: pass\n        os.set_blocking(w, False)\n        try:\n            while True: os.write(w, b'x' * 65536)\n        except BlockingIOError: pass\nexcept OSError as error: print('refused', len(kept))",
        ("succeeded", "out_of_memory"),
        limits={"memory_bytes": 128 << 20, "disk_bytes": 8 << 20},
    ),
    "memory: buffers of socket pairs": Greedy(
        "import socket\nkept = []\ntry:\n    while True:\n        a, b = socket.socketpair(); kept.append((a, b)); a.setblocking(False)\n        a.setsockopt(1, 7, 1 << 30)\n        try:\n            while True: a.send(b'x' * 65536)\n        except BlockingIOError: pass\nexcept OSError: print('refused', len(kept))",
        ("succeeded", "out_of_memory"),
        limits={"memory_bytes": 128 << 20, "disk_bytes": 8 << 20},
    ),
    "memory: dodging the killer by dying in parts": Greedy(
        "import os, time\nfor _ in range(12):\n    if os.fork() == 0:\n        while True:\n            if os.fork() == 0: held = b'x' * (90 << 20); time.sleep(3); os._exit(0)\n            time.sleep(.1)\ntime.sleep(20)",
        "out_of_memory",
        "memory_bytes",
    ),
    # Processes and threads
    "forks: one parent of many": Greedy(
        FORKS.format(child="time.sleep(30)"), "succeeded", "processes", says="made True"
    ),
    "forks: everyone forks": Greedy(
        "import os, time\nend = time.time() + 2\nwhile time.time() < end:\n    try: os.fork()\n    except OSError: pass",
        ("succeeded", "timed_out"),
        "processes",
    ),
    "forks: threads": Greedy(
        "import threading, time\nn = 0\ntry:\n    while True:\n        threading.Thread(target=time.sleep, args=(30,), daemon=True).start(); n += 1\nexcept RuntimeError: print('made', n < 100)",
        "succeeded",
        "processes",
        says="made True",
    ),
    "forks: children nobody waits for": Greedy(FORKS.format(child="pass"), "succeeded", "processes", says="made True"),
    "forks: daemons that leave their parents": Greedy(
        FORKS.format(child="os.setsid() or (time.sleep(30) if os.fork() == 0 else None)"),
        ("succeeded", "failed"),
        "processes",
    ),
    "forks: programs that start themselves": Greedy(
        "import subprocess, sys, time\nkept = []\ntry:\n    while len(kept) < 300: kept.append(subprocess.Popen(['/usr/bin/sleep', '30']))\nexcept OSError: print('made', len(kept) < 100)",
        "succeeded",
        "processes",
        says="made True",
    ),
    # Processor time
    "processor: a loop without end": Greedy("while True: pass", "timed_out", "cpu_seconds", limits={"cpu_seconds": 1}),
    "processor: a loop in C that hears no signal": Greedy(
        "import re\nre.match(r'(a+)+$', 'a' * 64 + 'b')", "timed_out", "cpu_seconds", limits={"cpu_seconds": 1}
    ),
    "processor: numbers without end": Greedy(
        "x = 3\nwhile True: x = x ** 3", ("timed_out", "out_of_memory"), limits={"cpu_seconds": 1}
    ),
    "processor: the warning ignored": Greedy(
        "import signal\nfor n in (signal.SIGXCPU, signal.SIGTERM, signal.SIGINT, signal.SIGALRM): signal.signal(n, signal.SIG_IGN)\nwhile True: pass",
        "timed_out",
        "cpu_seconds",
        limits={"cpu_seconds": 1},
    ),
    "processor: many processes at once": Greedy(
        "import os\nfor _ in range(8):\n    if os.fork() == 0:\n        while True: pass\nos.wait()",
        "timed_out",
        "cpu_seconds",
        limits={"cpu_seconds": 1},
    ),
    "processor: children that end before one looks": Greedy(
        "import os\nwhile True:\n    if os.fork() == 0:\n        sum(range(200_000)); os._exit(0)\n    os.wait()",
        "timed_out",
        "cpu_seconds",
        limits={"cpu_seconds": 1},
    ),
    # The deadline
    "deadline: sleeping": Greedy(
        "import time\ntime.sleep(60)", "timed_out", "wall_seconds", limits={"wall_seconds": 1}
    ),
    "deadline: stopped by its own hand": Greedy(
        "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
        "timed_out",
        "wall_seconds",
        limits={"wall_seconds": 1},
    ),
    "deadline: waiting for an answer that never comes": Greedy(
        "input('well?')", "timed_out", "wall_seconds", limits={"wall_seconds": 1}
    ),
    "deadline: every signal blocked and every descriptor closed": Greedy(
        "import os, signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nos.closerange(0, 2048)\nwhile True: time.sleep(1)",
        "timed_out",
        "wall_seconds",
        limits={"wall_seconds": 1},
    ),
    "deadline: a lock on the interpreter": Greedy(
        "import ctypes\nctypes.PyDLL(None).sleep(60)", "timed_out", "wall_seconds", limits={"wall_seconds": 1}
    ),
    # Disk and inodes
    "disk: one large file": Greedy(
        "file = open('f', 'wb')\nwhile True: file.write(b'x' * (1 << 20)); file.flush()", "disk_full", "disk_bytes"
    ),
    "disk: many files": Greedy(
        "n = 0\nwhile True:\n    open(f'f{n}', 'wb').write(b'x' * (1 << 20)); n += 1", "disk_full", "disk_bytes"
    ),
    "disk: nothing but names": Greedy(
        "import os\nn = 0\nwhile True:\n    os.mkdir(f'd{n}'); n += 1", "disk_full", "disk_bytes"
    ),
    "disk: a terabyte of holes": Greedy("open('f', 'wb').truncate(1 << 40)", ("disk_full", "failed")),
    "disk: room reserved and not written": Greedy(
        "import os\nos.posix_fallocate(os.open('f', os.O_CREAT | os.O_RDWR), 0, 1 << 32)", "disk_full", "disk_bytes"
    ),
    "disk: files that have no name any more": Greedy(
        "kept = []\nimport os\nwhile True:\n    kept.append(open('f', 'wb', buffering=0)); os.unlink('f'); kept[-1].write(b'x' * (1 << 20))",
        "disk_full",
        "disk_bytes",
    ),
    "disk: a directory of the shared memory": Greedy(
        "n = 0\nwhile True:\n    open(f'/dev/shm/f{n}', 'wb').write(b'x' * (1 << 20)); n += 1",
        "disk_full",
        "disk_bytes",
    ),
    "disk: a hole written through memory": Greedy(
        "import mmap, os\nfd = os.open('f', os.O_CREAT | os.O_RDWR)\nos.ftruncate(fd, 15 << 20)\nothers = [open(f'g{n}', 'wb').truncate(15 << 20) for n in range(8)]\nfor name in ['f'] + [f'g{n}' for n in range(8)]:\n    place = mmap.mmap(os.open(name, os.O_RDWR), 15 << 20)\n    place.write(b'x' * (15 << 20))",
        ("failed", "disk_full"),
    ),
    # Output
    "output: a flood": Greedy("while True: print('x' * 1000)", "output_exceeded", "output_bytes"),
    "output: a flood of errors": Greedy(
        "import sys\nwhile True: sys.stderr.write('x' * 1000)", "output_exceeded", "output_bytes"
    ),
    "output: a flood from a child": Greedy(
        "import os\nif os.fork() == 0:\n    while True: os.write(2, b'x' * 1000)\nos.wait()",
        "output_exceeded",
        "output_bytes",
    ),
    "output: both streams in turn": Greedy(
        "import os\nwhile True:\n    os.write(1, b'o'); os.write(2, b'e')", "output_exceeded", limits={"events": 1500}
    ),
    "output: rich messages": Greedy(
        "from IPython.display import HTML\nwhile True: display(HTML('x' * 100_000))", "output_exceeded", "rich_bytes"
    ),
    "output: one message without an end": Greedy(
        "import os\nchannel = int(os.environ['QFP_CHANNEL_FD'])\nwhile True: os.write(channel, b'x' * 65536)",
        "output_exceeded",
        "rich_bytes",
    ),
    "output: messages nested without end": Greedy(
        "import os\nchannel = int(os.environ['QFP_CHANNEL_FD'])\nfor _ in range(20): os.write(channel, b'[' * 60000 + b'\\n' + b'{\"a\":' * 9000 + b'\\n')\nprint('on')",
        "succeeded",
        says="on",
    ),
    "output: numbers that take long to read": Greedy(
        "import os\nchannel = int(os.environ['QFP_CHANNEL_FD'])\nfor _ in range(20): os.write(channel, b'{\"type\": \"display\", \"data\": ' + b'9' * 60000 + b'}\\n')\nprint('on')",
        "succeeded",
        says="on",
    ),
    # How it ends is observed, not told
    "endings: leaving with the code of a memory kill": Greedy("import os\nos._exit(137)", "failed", code=137),
    "endings: leaving with the code of a crash": Greedy("import os\nos._exit(139)", "failed", code=139),
    "endings: leaving with the code of a time-out": Greedy("import sys\nsys.exit(124)", "failed", code=124),
    "endings: killing itself": Greedy("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "failed", signal=9),
    "endings: claiming to have run out of processor time": Greedy(
        "import os, signal\nos.kill(os.getpid(), signal.SIGXCPU)", "failed", signal=24
    ),
    "endings: announcing success and failing": Greedy(
        "import json, os, struct\nchannel = int(os.environ['QFP_CHANNEL_FD'])\nfor kind in ('ended', 'finished', 'exited', 'done', 'started', 'accepted', 'ask'):\n    line = json.dumps({'type': kind, 'outcome': 'succeeded', 'status': 'succeeded', 'code': 0, 'exit': {'code': 0}}).encode()\n    for fd in (1, 2, channel): os.write(fd, line + b'\\n')\n    os.write(channel, struct.pack('>Ic', len(line), b'J') + line + b'\\n')\nos._exit(3)",
        "failed",
        code=3,
    ),
    "endings: writing to the engine itself": Greedy(
        "import os, struct\nbody = b'{\"type\": \"exited\", \"code\": 0}'\nfor fd in list(range(3, 1024)) + list(range(1026, 2048)):\n    try: os.write(fd, struct.pack('>Ic', len(body), b'J') + body)\n    except OSError: pass\nos._exit(4)",
        "failed",
        code=4,
    ),
    "endings: descriptors sent along": Greedy(
        "import array, os, socket\na, b = socket.socketpair()\nfor fd in (1, 2, int(os.environ['QFP_CHANNEL_FD'])):\n    try: socket.send_fds(socket.socket(fileno=os.dup(fd)), [b'x'], [0] * 100)\n    except OSError: pass\nos._exit(5)",
        "failed",
        code=5,
    ),
    # An ordinary process: what it does to itself acts as anywhere
    "ordinary: ended by its own SIGTERM": Greedy(
        "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nprint('still here')", "failed", signal=15
    ),
    "ordinary: ended by an alarm": Greedy(
        "import signal\nsignal.alarm(1)\nimport time; time.sleep(9)", "failed", signal=14
    ),
    "ordinary: aborting": Greedy("import os\nos.abort()", "failed", signal=6),
    "ordinary: a fault in memory": Greedy("import ctypes\nctypes.string_at(0)", "failed", signal=11),
    "ordinary: stopped and continued by a child": Greedy(
        "import os, signal, time\nme = os.getpid()\nif os.fork() == 0:\n    while True: time.sleep(.3); os.kill(me, signal.SIGCONT)\nos.kill(me, signal.SIGSTOP)\nprint('on', me != 1)",
        "succeeded",
        says="on True",
    ),
    "ordinary: its orphans are waited for": Greedy(
        "import os, time\nfor _ in range(100):\n    if os.fork() == 0:\n        if os.fork() == 0: os._exit(0)\n        os._exit(0)\n    os.wait(); time.sleep(.005)\nprint('on')",
        "succeeded",
        says="on",
    ),
    # Nothing after the end
    "aftermath: a child that goes on writing": Greedy(
        "import os, time\nif os.fork() == 0:\n    os.setsid(); time.sleep(.5)\n    while True: os.write(1, b'late')\nprint('end', flush=True)",
        "succeeded",
        says="end\n",
    ),
    "aftermath: a child that holds every pipe open": Greedy(
        "import os, time\nif os.fork() == 0:\n    os.setsid(); time.sleep(60)\nos._exit(0)", "succeeded"
    ),
    "aftermath: children that breed faster than one kills": Greedy(
        "import os\nif os.fork() == 0:\n    while True:\n        try:\n            if os.fork(): os._exit(0)\n        except OSError: pass\nprint('end')",
        "succeeded",
        says="end\n",
    ),
    # Files it leaves for the collector
    "artefacts: links to what the collector must not read": Greedy(
        "import os\nfor n, target in enumerate(('/etc/passwd', '/opt/inside/qfp_inside/init.py', '/dev/zero', '/dev/random', '../../etc/shadow', '/proc/self/environ', '.')): os.symlink(target, f'out{n}.csv')\nos.symlink('/etc', 'dir')",
        "succeeded",
    ),
    "artefacts: pipes and sockets that make the reader wait": Greedy(
        "import os, socket\nfor n in range(50):\n    try: os.mkfifo(f'out{n}.csv')\n    except PermissionError: pass\n    try: socket.socketpair()[0].bind(f'sock{n}.csv')\n    except PermissionError: pass",
        "succeeded",
    ),
    "artefacts: a file one may not read, a directory one may not enter": Greedy(
        "import os\nopen('out.csv', 'w').close(); os.chmod('out.csv', 0); os.mkdir('d'); open('d/x', 'w').close(); os.chmod('d', 0)",
        "succeeded",
    ),
    "artefacts: names that lead elsewhere": Greedy(
        "for name in ('a\\nb', 'a\\x1b[2Jb', '\\u202egnp.exe', '-rf', 'a' * 250, 'CON', '..evil', '\\udc80'):\n    try: open(name, 'w').write('x')\n    except (OSError, UnicodeError): pass",
        "succeeded",
    ),
    "artefacts: three thousand directories in each other": Greedy(
        "import os\nfor _ in range(3000):\n    os.mkdir('d'); os.chdir('d')", "succeeded"
    ),
    "artefacts: files by the thousand": Greedy("for n in range(9000): open(f'f{n}', 'w').close()", "succeeded"),
    "artefacts: a child that changes what is being collected": Greedy(
        "import os\nopen('out.csv', 'w').write('x' * 1000)\nif os.fork() == 0:\n    os.setsid()\n    while True:\n        try: os.unlink('out.csv')\n        except OSError: pass\n        try: os.symlink('/etc/passwd', 'out.csv')\n        except OSError: pass",
        "succeeded",
    ),
}

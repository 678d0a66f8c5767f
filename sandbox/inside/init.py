"""Who is process 1 of a box? This: it sets the limits, starts the program, reaps, ends everything, collects the
files.

Trusted, although it runs as the same uid as the program: nothing in the box can signal process 1 (the kernel drops
signals to it from inside, as long as it has no handler for them: see drop_signals), trace it (the filter refuses
ptrace and process_vm_*) or open its descriptors (there is no /proc). It speaks to the engine on the control socket,
which the program never holds: 4-byte length, a kind (J for a JSON object, D for bytes of a file), the body.

It is started in one of three ways and does the same in all: by nsjail, inside finished walls (cold); in a container,
where the socket and the pipes travel on one stream (sandbox/inside/stream.py); or as a fork of the zygote's keeper,
around which it puts the walls itself, and then the zygote puts the program's process beside it
(sandbox/inside/isolate.py). Either way that process is its child, and is there before there is anything to run, so that
a box can wait, complete, for the moment somebody presses Run.

It never imports anything from a directory the program can write.
"""

from __future__ import annotations

import base64
import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from functools import cache
from types import FrameType
from typing import Any, NoReturn

if __package__:
    from . import artefacts
else:  # The program cannot write there, and nothing of it is loaded as yet.
    sys.path.insert(0, "/opt/inside")
    from qfp_inside import artefacts  # type: ignore[no-redef]

    sys.path.remove("/opt/inside")

WORKDIR = "/box"
CHANNEL_FD = 1024  # above every descriptor a program counts through
INBOX_FD = 1025
LAYER = "/opt/layer"
MAX_OPEN_FILES = 2048
BIRTH_SECONDS = 0.1  # the zygote may just be forking into this box, and would end together with it
REAP_MILLISECONDS = 20  # orphans that have ended count as processes until then
HEADER = struct.Struct(">Ic")
FRAME = struct.Struct(">I")  # of the inbox
PR_SET_DUMPABLE, PR_SET_NAME, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 4, 15, 22, 2


class Control:
    """The control socket: plain read() and write(), so that no descriptor can arrive with a message."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._buffer = b""

    def send(self, message: dict) -> None:
        self._write(b"J", json.dumps(message).encode("ascii"))

    def send_bytes(self, data: bytes) -> None:
        self._write(b"D", data)

    def receive(self) -> dict:
        """Wait for one message; EOFError when the engine is gone."""
        while (message := self._next()) is None:
            self._fill()
        return message

    def forked(self) -> None:
        """The program's process has been forked."""

    def count(self, last: bool = False) -> None:
        """Say what has been used, where the engine cannot look; called again and again while the program runs."""

    def finish(self) -> None:
        """Everything has been said; the process may leave."""

    def receive_ready(self) -> list[dict]:
        """The messages that have come, after the socket was found readable."""
        self._fill()
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def _fill(self) -> None:
        data = os.read(self.descriptor, 1 << 20)
        if not data:
            raise EOFError
        self._buffer += data

    def _next(self) -> dict | None:
        if len(self._buffer) < HEADER.size:
            return None
        length, _kind = HEADER.unpack_from(self._buffer)
        end = HEADER.size + length
        if len(self._buffer) < end:
            return None
        message = json.loads(self._buffer[HEADER.size : end])
        self._buffer = self._buffer[end:]
        return message

    def _write(self, kind: bytes, body: bytes) -> None:
        data = memoryview(HEADER.pack(len(body), kind) + body)
        while data:
            data = data[os.write(self.descriptor, data) :]


class FilterProgram(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


class Steps:
    """How long each step on the way to a program took, for the operators' figures. Counted across a fork, too."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def done(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = round(now - self._last, 6)
        self._last = now


class Finished:
    """Walls that nsjail has put up: only the filter is missing, and the program, which is forked from process 1."""

    def __init__(self, rich: int, inbox: int) -> None:
        self._rich, self._inbox = rich, inbox

    def enter(self, go: dict) -> None:
        """Before there is a process of the program's."""
        load_filter(base64.b64decode(go["filter"]))

    def start_program(self) -> int:
        """Our end of the link to its process."""
        return fork_program(self._rich, self._inbox)


def main() -> None:
    if sys.argv[1:] == ["stream"]:
        sys.path.insert(0, "/opt/inside")
        from qfp_inside import stream

        sys.path.remove("/opt/inside")
        control, rich, inbox = stream.open_box()
        start(control, Finished(rich, inbox))
    descriptors = [int(word) for word in sys.argv[1:4]]
    start(Control(descriptors[0]), Finished(descriptors[1], descriptors[2]))


def start(control: Control, walls) -> None:
    """One box from hello to its end. Never returns."""
    program = 0
    try:
        libc().prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
        set_name("ready init")
        limit_open_files()
        # The engine learns our pid from the socket, counts and limits us, and answers.
        os.write(control.descriptor, b"hello\n")
        go = control.receive()
        walls.enter(go)
        link = walls.start_program()
        control.forked()
        program, steps = hear_program(link)
        control.send({"type": "ready", "steps": steps})
        job = control.receive()
        set_name("box init")
        write_sources(job["files"])
        control.send({"type": "running"})
        os.write(link, b".")
        os.close(link)
        watch = Watch(control, program, job["disk_bytes"])
        watch.until_the_program_ends()
        left = end_everything()
        control.count(last=True)
        control.send(watch.report(left))
        artefacts.collect(WORKDIR, job, control.send, control.send_bytes)
        control.send({"type": "done"})
        control.finish()
    except Exception as error:  # or the engine is gone: leaving ends every process of this pid namespace
        try:
            control.send({"type": "failed", "text": f"{type(error).__name__}: {error}"[:500]})
            control.finish()
        except OSError:
            pass
        if not program:
            time.sleep(BIRTH_SECONDS)
    os._exit(0)


def fork_program(rich: int, inbox: int) -> int:
    """Fork the program's process; our end of the link to it."""
    ours, theirs = socket.socketpair()
    handlers = drop_signals()
    signal.pthread_sigmask(signal.SIG_BLOCK, handlers)  # an early interrupt waits for its handler
    steps = Steps()
    if os.fork() == 0:

        def prepare(_link: int):
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, handlers)
            return load_shell()

        become_program(rich, inbox, theirs.detach(), prepare, steps)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, handlers)
    # 0 to 2 too, so that the engine sees the end of the pipes when the program's last process ends. Standard error
    # becomes a place for words of ours that are lost: nothing of process 1 may look like the program's.
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    for descriptor in (null, rich, inbox):
        os.close(descriptor)
    theirs.close()
    return ours.detach()


def load_shell():
    """The module that runs programs; loaded while nothing of the program can be loaded in its place."""
    sys.path.insert(0, "/opt/inside")
    from qfp_inside import shell

    sys.path.remove("/opt/inside")
    shell.prepare()
    return shell


def hear_program(link: int) -> tuple[int, dict[str, float]]:
    """Wait until the program's process stands by; its number, and the seconds of each step until then."""
    word = os.read(link, 2000)
    if not word.startswith(b"{"):
        raise RuntimeError(word.decode("utf-8", "replace") or "the program's process ended")
    said = json.loads(word)
    return said["pid"], said["steps"]


def limit_open_files() -> None:
    """For this process and all it will ever start."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_OPEN_FILES, MAX_OPEN_FILES))


def drop_signals() -> dict[int, Callable[[int, FrameType | None], object]]:
    """Take Python's handlers off, and return them for the program.

    The kernel drops a signal to process 1 of a pid namespace only while its disposition is the default one. Python's
    own handler of SIGINT would let the program end us, and with us the box. For the same reason nothing here waits for
    SIGCHLD: any handler, however small, is one the program could call as often as it likes.
    """
    handlers: dict[int, Callable[[int, FrameType | None], object]] = {}
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        if callable(handler) and not isinstance(handler, signal.Handlers):
            handlers[number] = handler
            signal.signal(number, signal.SIG_DFL)
    return handlers


def set_name(name: str) -> None:
    """What operators see in `ps`: at most 15 letters."""
    libc().prctl(PR_SET_NAME, name.encode(), 0, 0, 0)


@cache
def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def load_filter(program: bytes) -> None:
    """The filter of system calls, for this process and all it will ever start."""

    filter_program = FilterProgram(len(program) // 8, program)
    if libc().prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(filter_program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the filter of system calls was refused")


def write_sources(files: dict[str, str]) -> None:
    """The project's files, /tmp and /dev/shm, which are links into the working directory so that one limit holds."""
    for name in (".tmp", ".shm"):
        os.mkdir(os.path.join(WORKDIR, name), 0o700)
    for path, text in files.items():
        full = os.path.join(WORKDIR, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "xb") as file:
            file.write(text.encode("utf-8", "replace"))


def become_program(
    rich: int, inbox: int, link: int, prepare: Callable[[int], Any], steps: Steps, data_bytes: int = 0
) -> NoReturn:
    """In the new process: own session, no descriptor but those it may have, then the job, limits and the program.

    prepare: what is special about this way to start; is given the link, and gives the module that runs programs.
    data_bytes: of memory that was there before, and that the program did not ask for.
    """
    steps.done("fork of the program's process")
    try:
        os.setsid()
        set_name("ready program")
        link = fcntl.fcntl(link, fcntl.F_DUPFD_CLOEXEC, INBOX_FD + 1)
        os.dup2(rich, CHANNEL_FD, inheritable=True)
        os.dup2(inbox, INBOX_FD, inheritable=False)  # its answers are for this process, not for what it starts
        os.closerange(3, CHANNEL_FD)
        os.closerange(link + 1, MAX_OPEN_FILES)
        os.environ["QFP_CHANNEL_FD"] = str(CHANNEL_FD)
        os.environ["QFP_INBOX_FD"] = str(INBOX_FD)
        shell = prepare(link)
        shell.stand_by()
        while os.getppid() != 1:
            time.sleep(0.0002)  # who forked us is just leaving
        steps.done("getting ready to run")
        os.write(link, json.dumps({"pid": os.getpid(), "steps": steps.seconds}).encode())

        job = read_job(INBOX_FD)
        if os.read(link, 1) != b".":
            os._exit(0)  # nobody needs this box
        os.close(link)
        set_name("box program")
        for name, value in job["rlimits"].items():
            extra = data_bytes if name == "DATA" else 0
            resource.setrlimit(getattr(resource, "RLIMIT_" + name), (value + extra, value + extra))
        os.chdir(WORKDIR)
        os.environ["QFP_PARAMS"] = json.dumps(job["params"])
        os.environ["QFP_CORES"] = str(job["cores"])
        if job["layer"]:
            add_layer(first=job["layer"] == "first")
        shell.run(job)
    except BaseException as error:  # ours, before the program began
        os.write(link, f"{type(error).__name__}: {error}".encode()[:400])
    finally:
        os._exit(70)


def read_job(descriptor: int) -> dict:
    """The first message of the inbox."""
    data = b""
    size = FRAME.size
    while len(data) < size:
        part = os.read(descriptor, size - len(data))
        if not part:
            os._exit(0)  # the engine closed a box nobody needs
        data += part
        if len(data) == FRAME.size == size:
            size += FRAME.unpack(data)[0]
    return json.loads(data[FRAME.size :])


def add_layer(first: bool) -> None:
    """The project's packages: behind the environment, some of which is loaded already, or in its place."""
    places = [index for index, path in enumerate(sys.path) if path.endswith("site-packages")]
    last = next((index for index, path in enumerate(sys.path) if path.endswith("/sdk/compat")), len(sys.path))
    at = places[0] if first and places else last
    sys.path.insert(at, LAYER)
    if os.path.isdir(f"{LAYER}/zipline") and len(sys.path) > last + 1:
        # It brings along packages that fetch prices, which nobody has asked for and which cannot reach anything.
        sys.path.insert(at, sys.path.pop(last + 1))


class Watch:
    """Waits for the program's end and sees on the way whether its disk was full."""

    def __init__(self, control: Control, program: int, disk_bytes: int) -> None:
        self.control = control
        self.program = program
        self.disk_bytes = disk_bytes
        self.status: int | None = None
        self.max_rss_bytes = 0
        self.disk_full = False

    def until_the_program_ends(self) -> None:
        poller = select.poll()
        poller.register(self.control.descriptor, select.POLLIN)
        poller.register(os.pidfd_open(self.program), select.POLLIN)
        while self.status is None:
            ready = {descriptor for descriptor, _ in poller.poll(REAP_MILLISECONDS)}
            self._look_at_disk()
            self._reap()
            self.control.count()
            if self.control.descriptor in ready:
                for message in self.control.receive_ready():
                    if message.get("type") == "interrupt":
                        self._signal(signal.SIGINT)
                    elif message.get("type") == "stop":
                        self._look_at_disk()
                        return
        self._look_at_disk()

    def report(self, left: int) -> dict:
        code = signal_number = None
        if self.status is not None:
            if os.WIFSIGNALED(self.status):
                signal_number = os.WTERMSIG(self.status)
            else:
                code = os.WEXITSTATUS(self.status)
        return {
            "type": "exited",
            "code": code,
            "signal": signal_number,
            "max_rss_bytes": self.max_rss_bytes,
            "cpu_seconds": cpu_seconds(),
            "disk_full": self.disk_full,
            "processes": left + (self.status is not None),  # at the program's end, itself among them
        }

    def _signal(self, number: int) -> None:
        if self.status is None:
            try:
                os.kill(self.program, number)
            except ProcessLookupError:
                pass

    def _reap(self) -> None:
        """Wait for the program and for its orphans, which are ours once their parents have ended."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.max_rss_bytes = max(self.max_rss_bytes, usage.ru_maxrss * 1024)
            if pid == self.program:
                self.status = status

    def _look_at_disk(self) -> None:
        space = os.statvfs(WORKDIR)
        # A write of several blocks fails as a whole before the last one is used.
        if space.f_bavail * space.f_frsize < min(1 << 20, self.disk_bytes // 50) or space.f_favail == 0:
            self.disk_full = True


def cpu_seconds() -> float:
    """Of this process and of all it has reaped."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def end_everything() -> int:
    """After this there is no process in the box but this one; how many there were."""
    ended = 0
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        pass
    while True:
        try:
            os.waitpid(-1, 0)
            ended += 1
        except ChildProcessError:
            return ended


if __name__ == "__main__":
    main()

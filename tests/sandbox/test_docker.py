"""Boxes that are containers: held like the others, limited like the others, and gone like the others."""

# ruff: noqa: E501  (programs for the box read better in one line)
from __future__ import annotations

import json
import os
import pwd
import signal
import time

import pytest

from tests.sandbox.attacks import ATTACKS, PRELUDE
from tests.sandbox.conftest import MEGABYTE, Engine, make_request
from tests.sandbox.greedy import LIMITED
from tests.sandbox.host_checks import Host
from tests.sandbox.podman import Podman
from tests.sandbox.test_corpus import PROGRAMS, Program, play
from tests.sandbox.test_walls import check_greedy

# What every container has and a box of nsjail does not: its runtime needs it. What it may be used for is tested below.
OF_A_CONTAINER = {
    "identity: who it is, seen from inside",  # its number is the one it has outside
    "privileges: numbers of others for itself and its files",  # the same
    "privileges: capabilities and groups",  # the same
    "paths: names of accounts, of this machine and of its networks",  # Podman names the number
    "paths: tables of mounts",  # /proc/self/exe has a name
    "paths: those of the host in /proc",  # there, and closed
    "paths: where its own directories come from",  # /dev/shm is a place of its own
    "syscalls: programs for the kernel",  # an empty directory of /sys can be opened
    "filesystem: homes, mounts and state of the host",  # /proc, /sys and /run are there
    "filesystem: devices that are there",  # a terminal's
    "processes: only its own are there",  # the relay is a thread of process 1 and has a number
}
# Each costs a container of about a second, so one or two of each kind; SANDBOX_ALL=1 runs them all.
CHOSEN = (
    "filesystem: password and shadow files",
    "filesystem: writing where it may only read",
    "filesystem: a device node",
    "privileges: a setuid program",
    "network: sockets of every family",
    "syscalls: new namespaces by unshare",
    "syscalls: clone3",
    "syscalls: tracing and other memory",
    "syscalls: x32 numbers are killed",
    "processes: process 1 cannot be ended or stopped",
    "privileges: becoming root",
    "privileges: no new ones, and no way back",
    "inheritance: environment",
    "inheritance: open descriptors",
    "paths: those of the host in modules",
)
CHOSEN_PROGRAMS = ("fs_disk_fill", "procfs_environ", "link_symlink_artefact", "proc_double_fork_daemon", "xrun_file")
CHOSEN_GREEDY = (
    "ordinary: aborting",
    "aftermath: a child that goes on writing",
    "artefacts: links to what the collector must not read",
)
ALL = bool(os.environ.get("SANDBOX_ALL"))
assert set(CHOSEN) | OF_A_CONTAINER <= set(ATTACKS) and set(CHOSEN_GREEDY) <= set(LIMITED)  # none by a name it had
SLEEPER = "print('on', flush=True)\nimport time\ntime.sleep(60)"


def wait_until(condition, seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def nothing_is_left(podman: Podman) -> bool:
    return not podman.containers() and not podman.volumes()


@pytest.mark.parametrize("name", sorted(set(ATTACKS) - OF_A_CONTAINER) if ALL else CHOSEN)
def test_the_container_holds(docker_engine: Engine, name: str) -> None:
    result = docker_engine.run(PRELUDE + ATTACKS[name])
    assert "ESCAPED" not in result.stdout, result.stdout
    assert "HELD" in result.stdout, (result.outcome, result.stderr)
    assert "QFPTOKEN" not in result.stdout + result.stderr


@pytest.mark.parametrize("name", LIMITED if ALL else CHOSEN_GREEDY)
def test_a_greedy_program_gets_its_end_and_no_other(docker_engine: Engine, name: str) -> None:
    check_greedy(docker_engine, LIMITED[name])


@pytest.mark.parametrize(
    "program", [each for each in PROGRAMS if ALL or each.id in CHOSEN_PROGRAMS], ids=lambda program: program.id
)
def test_a_program_of_the_corpus_is_held(docker_engine: Engine, host: Host, program: Program) -> None:
    assert not play(docker_engine, host, program)


def test_nothing_in_proc_and_sys_can_be_read_or_written(docker_engine: Engine) -> None:
    source = """
import os
opened = []
for path in ('/proc/self/mountinfo', '/proc/mounts', '/proc/1/environ', '/proc/self/environ', '/proc/keys', '/proc/cpuinfo', '/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes', '/proc/1/fd/0'):
    try: open(path).close(); opened.append(path)
    except OSError: pass
for path in ('/proc/self/oom_score_adj', '/proc/self/comm', '/proc/sysrq-trigger', '/proc/sys/kernel/core_pattern'):
    try: open(path, 'w').close(); opened.append(path)
    except OSError: pass
print(opened)
"""
    assert docker_engine.run(source).stdout == "[]\n"


def test_it_is_somebody_of_its_own_with_no_right(docker_engine: Engine) -> None:
    """What the programs of OF_A_CONTAINER ask about numbers, for somebody whose number is that of the machine."""
    source = """
import ctypes, json, os
header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
ctypes.CDLL(None).syscall(ctypes.c_long(125), header, data)
refused = []
for call in (lambda: os.setuid(0), lambda: os.setgroups([0]), lambda: os.chown('/box', 0, 0), lambda: os.chown('/box', 1, 1)):
    try: call()
    except PermissionError: refused.append(True)
print(json.dumps([os.getresuid(), os.getresgid(), os.getgroups(), list(data), len(refused)]))
"""
    seen = []
    for _ in range(2):
        users, groups, others, rights, refused = json.loads(docker_engine.run(source).stdout)
        assert len(set(users) | set(groups) | set(others)) == 1 and users[0] > 1000
        assert not any(rights) and refused == 4
        seen.append(users[0])
    assert seen[0] != seen[1]
    assert not set(seen) & {entry.pw_uid for entry in pwd.getpwall()}


def test_files_can_be_moved_between_directories_all_the_same(docker_engine: Engine) -> None:
    source = "import os\nos.makedirs('a'); os.makedirs('/tmp/b'); open('a/x', 'w').close(); os.rename('a/x', '/tmp/b/x'); print(os.listdir('/tmp/b'))"
    assert docker_engine.run(source).stdout == "['x']\n"


def test_the_relay_cannot_be_ended_by_the_program(docker_engine: Engine) -> None:
    source = """
import os, signal, time
for pid in range(1, os.getpid()):
    for number in (signal.SIGTERM, signal.SIGSTOP, signal.SIGKILL):
        try: os.kill(pid, number)
        except OSError: pass
time.sleep(.3); print('still here')
"""
    result = docker_engine.run(source)
    assert (result.outcome, result.stdout) == ("succeeded", "still here\n")


def test_the_daemon_was_told_every_limit(docker_engine: Engine, podman: Podman) -> None:
    request = make_request(SLEEPER, memory_bytes=200 * MEGABYTE, disk_bytes=10 * MEGABYTE, processes=20)
    with docker_engine.client.start(request) as box:
        for event in box.events():
            if event is not None and event["type"] == "stdout":
                break
        (found,) = podman.containers()
        details = podman.api.inspect_container(found["Id"])
    host = details["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] == 200 * MEGABYTE + 10 * MEGABYTE + 32 * MEGABYTE
    assert host["PidsLimit"] == 22
    assert host["NanoCpus"] == 1_000_000_000
    assert host["NetworkMode"] == "none"
    assert {"ALL"} <= set(host["CapDrop"]) or {"CHOWN", "SETUID", "KILL"} <= set(host["CapDrop"])
    assert "no-new-privileges" in host["SecurityOpt"]
    assert int(details["Config"]["User"].partition(":")[0]) > 1000
    assert wait_until(lambda: nothing_is_left(podman))


def test_it_is_stopped_interrupted_and_asked(docker_engine: Engine) -> None:
    def on_event(box, event):
        if event["type"] == "stdout" and "on" in event["text"]:
            box.cancel()

    assert docker_engine.run(SLEEPER, on_event=on_event).outcome == "cancelled"

    def interrupt(box, event):
        if event["type"] == "stdout" and "on" in event["text"]:
            box.interrupt()

    source = "import time\ntry:\n    print('on', flush=True)\n    time.sleep(30)\nexcept KeyboardInterrupt:\n    print('heard')"
    assert docker_engine.run(source, on_event=interrupt).stdout == "on\nheard\n"
    assert docker_engine.run("print('Hello', input('Who? '))", answers=("you",)).stdout.endswith("Hello you\n")


@pytest.mark.parametrize("seconds", [0.0, 0.15, 0.4])  # a container takes about half a second to be made
def test_a_container_that_is_stopped_while_it_is_made_is_taken_away(
    docker_engine: Engine, podman: Podman, seconds: float
) -> None:
    with docker_engine.client.start(make_request(SLEEPER)) as box:
        time.sleep(seconds)
        box.cancel()
        cancelled = [event for event in box.events() if event is not None][-1]
    with docker_engine.client.start(make_request(SLEEPER)) as box:
        time.sleep(seconds)
        box.cancel()  # and gone at once, without hearing how it ended
    assert cancelled["outcome"] == "cancelled"
    assert wait_until(lambda: docker_engine.client.status()["boxes"] == 0 and nothing_is_left(podman))
    time.sleep(0.8)  # what was asked of the daemon before is made by now
    assert nothing_is_left(podman)


def test_an_engine_that_is_killed_leaves_no_program_running(make_engine, podman: Podman) -> None:
    engine = make_engine("--backend", "docker", "--docker-url", podman.url)
    box = engine.client.start(make_request(SLEEPER))
    for event in box.events():
        if event is not None and event["type"] == "stdout":
            break
    engine.process.send_signal(signal.SIGKILL)
    engine.process.wait()
    assert wait_until(lambda: not podman.api.containers())  # those that run
    assert podman.containers()  # its name is left
    engine.start()
    assert wait_until(lambda: nothing_is_left(podman))


def test_a_runtime_that_is_not_there_is_named(make_engine, podman: Podman) -> None:
    """Podman would say nothing and use its usual one: then the engine has to."""
    with pytest.raises(AssertionError, match="runsc-elsewhere"):
        make_engine("--backend", "docker", "--docker-url", podman.url, "--runtime", "runsc-elsewhere")


def test_a_daemon_that_is_not_there_is_said(make_engine, tmp_path) -> None:
    with pytest.raises(AssertionError, match="Docker does not answer"):
        make_engine("--backend", "docker", "--docker-url", f"unix://{tmp_path}/nobody.sock")

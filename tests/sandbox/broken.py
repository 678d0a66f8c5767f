"""Engines whose boxes lack a wall, one each: what judges boxes has to notice, or it proves nothing.

Each way is what a careless change would be: a flag that went missing, a mount too many, a step of the engine's that is
skipped. The programs that have to notice are those of tests/sandbox/attacks.py; `promises` are the lines of
sandbox.host.check that have to say so.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.sandbox.light import lightly


@dataclass(frozen=True)
class Broken:
    change: str  # statements that change the words of nsjail's command, or a step of the engine's
    flagged_by: tuple[str, ...]  # attacks
    promises: tuple[str, ...]  # lines of the check
    starts: tuple[str, ...] = ("cold", "fork")  # the kinds of box it opens


# Put in front of the engine: `change` gets the words of an nsjail's command, be it a box's or the zygote's.
_START = """
import os, subprocess, sys
from sandbox.host import cgroups, engine, identities, launching, nsjail, outcome, seccomp
from sandbox import protocol
def change(words):
    pass
def replace(module, name, replacement):
    closed = getattr(module, name)
    for each in list(sys.modules.values()):
        if getattr(each, name, None) is closed:
            setattr(each, name, replacement(closed))
{change}
def changed(closed):
    def command(*arguments, **settings):
        words = closed(*arguments, **settings)
        change(words)
        return words
    return command
replace(nsjail, "cold_command", changed)
replace(nsjail, "zygote_command", changed)
sys.exit(engine.main())
"""

# One instruction: allow.
_NO_FILTER = """
replace(seccomp, "filter_program", lambda closed: lambda *_: bytes.fromhex("060000000000ff7f"))
"""


def _words(statement: str) -> str:
    return f"def change(words):\n    {statement}\n"


BROKEN = {
    "the network of the machine": Broken(
        _NO_FILTER + _words('words.insert(1, "--disable_clone_newnet")'),
        ("network: sockets of every family",),
        ("network",),
    ),
    "no filter on system calls": Broken(
        _NO_FILTER,
        ("syscalls: new namespaces by unshare", "syscalls: x32 numbers are killed", "syscalls: vmsplice, splice, tee"),
        ("syscalls",),
    ),
    "its /proc": Broken(
        _words('words[:] = [word for word in words if word != "--disable_proc"]'),
        ("paths: those of the host in /proc",),
        ("paths",),
        ("cold",),
    ),
    "a directory of the machine": Broken(
        _words('words[1:1] = ["--bindmount_ro", "/var:/var"]'),
        ("filesystem: homes, mounts and state of the host",),
        ("filesystem",),
    ),
    "libraries that can be written": Broken(
        _words('words[1:1] = ["--mount", "none:/opt/open:tmpfs:size=9999999"]; words[1:1] = ["--rw"]'),
        ("filesystem: writing where it may only read",),
        ("filesystem",),
    ),
    "the environment of the engine": Broken(
        _words('words.insert(1, "--keep_env")')
        + """
inherited, started = dict(os.environ), subprocess.Popen.__init__
def start(self, words, **settings):
    started(self, words, **{**settings, "env": inherited})
subprocess.Popen.__init__ = start
""",
        ("inheritance: environment", "inheritance: secrets left in memory"),
        ("inheritance",),
    ),
    "capabilities": Broken(
        _NO_FILTER + _words('words.insert(1, "--keep_caps")'),
        ("privileges: capabilities and groups", "privileges: the bounding and the ambient set"),
        ("privileges",),
        ("cold",),
    ),
    "a canary mounted": Broken(
        _words('words[1:1] = ["--bindmount", "CANARY:CANARY"]'),
        (),
        (),
    ),
    "the IPC of the machine": Broken(
        _NO_FILTER + _words('words.insert(1, "--disable_clone_newipc")'),
        (),
        (),
    ),
    "memory and processes without a limit": Broken(
        "for kind in (cgroups.GroupV1, cgroups.GroupV2):\n"
        "    kind.limit = (lambda kept: lambda self, memory, processes, cores: "
        "kept(self, memory * 50, processes * 50, cores))(kind.limit)\n",
        (),
        ("memory", "forks"),
    ),
    "one user for all boxes": Broken(
        "take = identities.Identities.take\ndef take_one(self):\n    self._next = 7\n    self._used.clear()\n"
        "    return take(self)\nidentities.Identities.take = take_one\n",
        (),
        ("identity",),
    ),
    "a user that this machine knows": Broken(
        "identities.Identities.take = lambda self: launching.Identity(os.getuid(), os.getgid())\n",
        (),
        ("identity",),
        ("cold",),
    ),
    "a disk as large as the memory": Broken(
        "protocol.BoxRequest.__post_init__ = lambda self: object.__setattr__(self.limits, 'disk_bytes', 1 << 30)\n",
        (),
        ("disk",),
    ),
    "endings guessed from exit codes": Broken(
        "decide = outcome.decide\n"
        "outcome.decide = lambda seen: ('out_of_memory', 'memory_bytes') if seen.exit_code == 137 else decide(seen)\n",
        (),
        ("endings",),
    ),
    "a reader that takes whatever comes": Broken(
        "read = protocol.Limits.from_json\n"
        "more = {'output_bytes': 4 << 20, 'events': 100_000}\n"
        "protocol.Limits.from_json = staticmethod(lambda value: read({**value, **more}))\n",
        (),
        ("output",),
    ),
}


def engine_with(way: str) -> str:
    """The program of an engine that makes boxes broken in this way."""
    return engine_whose_words(BROKEN[way].change)


def engine_whose_words(change: str) -> str:
    """`change`: statements, see Broken."""
    return lightly(_START.replace("{change}", change))

"""How do two forks become a box? Process 1, a fork of the keeper, puts walls around itself: namespaces, mounts, uid, no
rights, the filter. The program's process, a fork of the zygote, gets in to it.

The namespaces of mounts, IPC, host name and control groups are made with the rights of the zygote's user namespace and
belong to it: whatever rights a program could ever win in the user namespace of its own, it could not undo them. That
user namespace comes last, so nobody outside has to write its map, and an ordinary user's engine works the same way.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import socket

from . import init

NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x20000, 0x02000000, 0x04000000, 0x08000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 8192, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_SECUREBITS = 4, 24, 28
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
# noroot, no_setuid_fixup, keep_caps off and no_cap_ambient_raise, each of them locked
LOCKED_SECUREBITS = 0b11101111
CAPABILITY_HEADER = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this process
NO_CAPABILITIES = (ctypes.c_uint32 * 6)()
BOX_ID = 1000  # what a program sees, as in a box that nsjail made
OUTER = ("/outer/store", "/outer/layers")
SPACES = ("mnt", "ipc", "uts", "cgroup")

libc = init.libc()
libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
_prctl = libc["prctl"]  # a function of our own: others give it pointers
_prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]


class Isolated:
    """Walls put up by process 1 around itself. What the program's process needs to get in it finds on the link."""

    def __init__(self, link: socket.socket, capabilities: int) -> None:
        self._link = link
        self._capabilities = capabilities
        # First of all, so that the zygote can fork the program into here while the rest is being built.
        with_descriptors(link, b"1", [os.open("/proc/self/ns/pid", os.O_RDONLY)])

    def enter(self, go: dict) -> None:
        """From here on this process has no right that any other could not have, and so has all it ever starts."""
        os.setsid()
        # All boxes are in the one empty network of the jail, unless they may make sockets: those are seen in all of it.
        unshare(NEWNS | NEWIPC | NEWUTS | NEWCGROUP | (NEWNET if go["place"]["network"] else 0))
        mount("none", "/", "", MS_REC | MS_PRIVATE)
        libc.sethostname(b"box", 3)
        self._arrange(go["place"], BOX_ID if go["uid"] is None else go["uid"])
        process = os.open("/proc/self", os.O_PATH | os.O_DIRECTORY)
        put_away_processes(go["place"]["processes"])
        become_user(go["uid"])
        make_user_namespace(process)
        # The user's last: it takes the rights to enter the others.
        names = [*SPACES, *(["net"] if go["place"]["network"] else []), "user"]
        spaces = [os.open(f"ns/{name}", os.O_RDONLY, dir_fd=process) for name in names]
        os.close(process)
        message = {"uid": go["uid"], "filter": go["filter"], "spaces": names}
        with_descriptors(self._link, json.dumps(message).encode(), spaces)
        drop_rights(self._capabilities)
        init.load_filter(base64.b64decode(go["filter"]))

    def start_program(self) -> int:
        """Our end of the link to its process, which the zygote forks."""
        return self._link.detach()

    def _arrange(self, place: dict, owner: int) -> None:
        """The directories of this box; what was there only for making them goes."""
        size = f"size={place['disk_bytes']},nr_inodes={place['inodes']},mode=0700,uid={owner},gid={owner}"
        mount("tmpfs", init.WORKDIR, "tmpfs", MS_NOSUID | MS_NODEV, size)
        if place["snapshot"]:
            mount(f"/outer/store/snapshots/{place['snapshot']}", "/data", "", MS_BIND)
        if place["layer"]:
            mount(f"/outer/layers/{place['layer']}", init.LAYER, "", MS_BIND)
        for path, target in place["tables"]:
            mount(f"/outer/store/{path}", target, "", MS_BIND)
        for path in (*OUTER, *place["not_for_it"]):
            unmount(path)


def come_in(link: int, capabilities: int, steps: init.Steps) -> None:
    """The same walls around the process that is going to be the program's: it waits until they stand, and gets in."""
    connection = socket.socket(fileno=link)
    message, spaces, _flags, _address = socket.recv_fds(connection, 1 << 16, len(SPACES) + 2)
    connection.detach()
    if not message:
        raise RuntimeError("process 1 of the box ended")
    steps.done("waiting for the walls")
    go = json.loads(message)
    for name, space in zip(go["spaces"], spaces, strict=True):
        if name == "user":
            become_user(go["uid"])
        check(libc.setns(space, 0), f"entering the box's {name} namespace")
        os.close(space)
    prctl(PR_SET_DUMPABLE, 0)
    drop_rights(capabilities)
    init.load_filter(base64.b64decode(go["filter"]))
    steps.done("getting in to the walls")


def put_away_processes(instead: str) -> None:
    """There is no /proc in a box; where its device wants one, there is another, made with the options `instead`."""
    if instead:  # beside the old one, whose being there is what allows to make it
        mount("proc", "/data", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, instead)
    unmount("/proc")
    if instead:
        mount("/data", "/proc", "", MS_MOVE)


def become_user(uid: int | None) -> None:
    """A uid of the box's own, where there are any."""
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def make_user_namespace(process: int) -> None:
    """process: /proc/self, opened while it could be seen."""
    outside = os.getuid(), os.getgid()
    # Changing one's identity clears it, and then /proc/self would belong to somebody else.
    prctl(PR_SET_DUMPABLE, 1)
    unshare(NEWUSER)
    prctl(PR_SET_DUMPABLE, 1)
    write_at(process, "setgroups", "deny")
    write_at(process, "uid_map", f"{BOX_ID} {outside[0]} 1")
    write_at(process, "gid_map", f"{BOX_ID} {outside[1]} 1")
    prctl(PR_SET_DUMPABLE, 0)


def drop_rights(capabilities: int) -> None:
    """capabilities: the number of the last one that the kernel knows."""
    prctl(PR_SET_SECUREBITS, LOCKED_SECUREBITS)
    for capability in range(capabilities + 1):
        prctl(PR_CAPBSET_DROP, capability)
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    check(libc.capset(CAPABILITY_HEADER, NO_CAPABILITIES), "giving up capabilities")
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def with_descriptors(link: socket.socket, message: bytes, descriptors: list[int]) -> None:
    """Send them, and keep none of them."""
    socket.send_fds(link, [message], descriptors)
    for each in descriptors:
        os.close(each)


def check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    check(libc.unshare(flags), f"unshare({flags:#x})")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    arguments = source.encode(), target.encode(), kind.encode(), flags, data.encode()
    check(libc.mount(*arguments), f"mounting on {target}")


def unmount(path: str) -> None:
    check(libc.umount2(path.encode(), MNT_DETACH), f"unmounting {path}")


def prctl(option: int, argument: int) -> None:
    check(_prctl(option, argument, 0, 0, 0), "prctl")


def write_at(directory: int, name: str, text: str) -> None:
    descriptor = os.open(name, os.O_WRONLY, dir_fd=directory)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)

"""How does a fork of the zygote get walls of its own? Namespaces, then its mounts, its uid, no rights, the filter.

The namespaces of mounts, IPC, host name and control groups are made with the rights of the zygote's user namespace and
belong to it: whatever rights a program could ever win in the user namespace of its own, it could not undo them. That
user namespace comes last, so nobody outside has to write its map, and an ordinary user's engine works the same way.
"""

from __future__ import annotations

import base64
import ctypes
import os

from . import init

NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x20000, 0x02000000, 0x04000000, 0x08000000
NEWUSER, NEWPID = 0x10000000, 0x20000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_SECUREBITS = 4, 24, 28
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
# noroot, no_setuid_fixup, keep_caps off and no_cap_ambient_raise, each of them locked
LOCKED_SECUREBITS = 0b11101111
CAPABILITY_VERSION_3 = 0x20080522
BOX_ID = 1000  # what a program sees, as in a box that nsjail made
OUTER = ("/outer/store", "/outer/layers")

libc = init.libc()
libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
libc.syscall.restype = ctypes.c_long


class Isolated:
    """Walls put up by process 1 around itself, before it forks its program."""

    def __init__(self, shell, data_bytes: int, resident_bytes: int, capabilities: int) -> None:
        self.data_bytes = data_bytes
        self.resident_bytes = resident_bytes
        self._shell = shell
        self._capabilities = capabilities

    def enter(self, go: dict, steps: init.Steps) -> None:
        """From here on this process has no right that any other could not have, and so has all it ever starts."""
        os.setsid()
        unshare(NEWNS | NEWIPC | NEWUTS | NEWCGROUP)
        mount("none", "/", "", MS_REC | MS_PRIVATE)
        libc.sethostname(b"box", 3)
        steps.done("namespaces")
        self._arrange(go["place"], BOX_ID if go["uid"] is None else go["uid"])
        process = os.open("/proc/self", os.O_PATH | os.O_DIRECTORY)
        unmount("/proc")
        steps.done("mounts")
        self._become_nobody(go["uid"], process)
        os.close(process)
        steps.done("uid and user namespace")
        self._drop_rights()
        steps.done("giving up rights")
        init.load_filter(base64.b64decode(go["filter"]))
        steps.done("filter of system calls")

    def _arrange(self, place: dict, owner: int) -> None:
        """The directories of this box; what was there only for making them goes."""
        size = f"size={place['disk_bytes']},nr_inodes={place['inodes']},mode=0700,uid={owner},gid={owner}"
        mount("tmpfs", init.WORKDIR, "tmpfs", MS_NOSUID | MS_NODEV, size)
        if place["snapshot"]:
            mount(f"/outer/store/snapshots/{place['snapshot']}", "/data", "", MS_BIND)
        if place["layer"]:
            mount(f"/outer/layers/{place['layer']}", init.LAYER, "", MS_BIND)
        for path in (*OUTER, *place["not_for_it"]):
            unmount(path)

    def _become_nobody(self, uid: int | None, process: int) -> None:
        """A uid of its own, where there are any, in a user namespace of its own.

        process: /proc/self, opened while it could be seen.
        """
        if uid is not None:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        outside = os.getuid(), os.getgid()
        # Changing one's identity clears it, and then /proc/self would belong to somebody else.
        prctl(PR_SET_DUMPABLE, 1)
        unshare(NEWUSER)
        prctl(PR_SET_DUMPABLE, 1)
        write_at(process, "setgroups", "deny")
        write_at(process, "uid_map", f"{BOX_ID} {outside[0]} 1")
        write_at(process, "gid_map", f"{BOX_ID} {outside[1]} 1")
        prctl(PR_SET_DUMPABLE, 0)

    def prepare_program(self):
        return self._shell

    def _drop_rights(self) -> None:
        prctl(PR_SET_SECUREBITS, LOCKED_SECUREBITS)
        for capability in range(self._capabilities + 1):
            prctl(PR_CAPBSET_DROP, capability)
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
        check(libc.capset(header, (ctypes.c_uint32 * 6)()), "giving up capabilities")
        prctl(PR_SET_NO_NEW_PRIVS, 1)


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
    words = (ctypes.c_ulong(word) for word in (option, argument, 0, 0, 0))
    check(libc.prctl(*words), f"prctl({option})")


def write_at(directory: int, name: str, text: str) -> None:
    descriptor = os.open(name, os.O_WRONLY, dir_fd=directory)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)

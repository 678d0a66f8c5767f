"""Which files of a container are none of the program's business? /proc and /sys, which no container can do without.

In an nsjail box they are not there. A container's runtime needs them, and nothing in it has the right to unmount
them; but any process may give up rights to files for itself and all it starts (Landlock), which leaves their names and
takes their contents: /proc/self/mountinfo, for one, names paths of the host. Kernels before 5.19 lack what is needed.
"""

from __future__ import annotations

import ctypes
import os
import struct

from . import init

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same number on every machine
WRITE_FILE, READ_FILE, REFER = 1 << 1, 1 << 2, 1 << 13
OLDEST_VERSION = 2  # the first that can let files be moved between directories
PATH_BENEATH = 1
PR_SET_NO_NEW_PRIVS = 38
CLOSED = {"proc", "sys"}


def close_proc_and_sys() -> None:
    """For this process and all it will ever start. Does nothing where the kernel cannot."""
    libc = init.libc()
    if libc.syscall(CREATE_RULESET, None, 0, 1) < OLDEST_VERSION:
        return
    rights = WRITE_FILE | READ_FILE | REFER
    wanted = struct.pack("=Q", rights)
    ruleset = libc.syscall(CREATE_RULESET, wanted, ctypes.c_size_t(len(wanted)), 0)
    if ruleset < 0:
        return
    for name in sorted(set(os.listdir("/")) - CLOSED):
        try:
            place = os.open(f"/{name}", os.O_PATH | os.O_NOFOLLOW)
        except OSError:
            continue
        rule = struct.pack("=Qi", rights, place)
        # A file that lies in / itself takes no rule of directories; it stays closed.
        libc.syscall(ADD_RULE, ruleset, PATH_BENEATH, rule, 0)
        os.close(place)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.syscall(RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)

"""How does memory lie, so that forks of the zygote cost little? Together, in huge pages, with nothing free between.

gather() before anything is loaded; move_together() when it has run; fill_gaps() and use_huge_pages() at the end. Each
of them changes only what a fork costs: where something they need is missing, nothing happens.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from types import CodeType, FunctionType

from . import init

HUGE_PAGE = 2 << 20
MADV_COLLAPSE = 25
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
PYTHON_OBJECTS_BYTES = 112 << 20  # as much as the libraries need
LARGEST_OBJECT = 512  # that Python keeps in pools of its own
BYTES_HEADER = sys.getsizeof(b"")
LARGEST_GAP, SMALL, LEAST_GAP = 1 << 20, 1032, 24  # of the C library's

_kept: list[object] = []


def gather() -> None:
    """Make what will be loaded lie together, so that huge pages can hold it.

    Python takes its memory for objects in pieces of 1 MiB, wherever the kernel has room between libraries; taken all
    at once they are neighbours. Small ones stay taken when one object stays in each. The C library's larger pieces
    go to the heap up to the size that it would choose by itself after a while.
    """
    libc = init.libc()
    libc.mallopt(M_MMAP_THRESHOLD, 32 << 20)
    libc.mallopt(M_TRIM_THRESHOLD, 64 << 20)
    size = 470  # just below the largest that Python keeps in its own pieces
    taken = [bytes(size) for _ in range(PYTHON_OBJECTS_BYTES // (size + 42))]
    _kept.extend(taken[:: (1 << 20) // (2 * size)])


def fill_gaps() -> None:
    """What a fork makes goes into pages of its own. In the gaps between what was loaded each of its objects would be a
    page to copy, and a new page costs half of one that is copied.
    """
    for size, free in free_blocks().items():
        if size > BYTES_HEADER:
            _kept.extend(bytes(size - BYTES_HEADER) for _ in range(free))
        elif size > object.__sizeof__(object()):
            _kept.extend(number + 0.5 for number in range(free))
        else:
            _kept.extend(object() for _ in range(free))
    libc = init.libc()
    if not hasattr(libc, "mallinfo2"):
        return
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    libc.sbrk.argtypes, libc.sbrk.restype = [ctypes.c_ssize_t], ctypes.c_void_p
    size = LARGEST_GAP
    while size >= LEAST_GAP:
        end = libc.sbrk(0) - unused_end(libc)
        while (place := libc.malloc(size)) and place < end:
            pass  # a gap, and full now
        libc.free(place)
        size = max(size * 7 // 8, SMALL) if size > SMALL else size - 16  # small gaps are kept by their size
    libc.malloc_trim(0)  # its end, which is new again when it is needed


def move_together(ran: dict[int, CodeType]) -> None:
    """Have the code that has run, by its identity, lie together: wherever it is called, its count of references and
    what the interpreter notes in it are written, on pages that hold code of hundreds of functions nobody calls.
    """
    moved: dict[int, CodeType] = {}
    kept: list[CodeType] = []  # or another one could have its identity

    def move(code: CodeType) -> CodeType:
        if id(code) not in moved:
            kept.append(code)
            within = tuple(move(each) if isinstance(each, CodeType) else each for each in code.co_consts)
            changed = any(new is not old for new, old in zip(within, code.co_consts, strict=True))
            moved[id(code)] = code.replace(co_consts=within) if changed or id(code) in ran else code
        return moved[id(code)]

    for function in gc.get_objects():
        if type(function) is FunctionType and (code := move(function.__code__)) is not function.__code__:
            function.__code__ = code


def free_blocks() -> dict[int, int]:
    """Size of an object -> how many more of that size have room in Python's pieces of memory, as it tells itself."""
    told, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)  # what finds no room is lost, and then some gaps stay
    stderr = os.dup(2)
    os.dup2(theirs, 2)
    os.close(theirs)
    try:
        sys._debugmallocstats()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
    lines = os.read(told, 1 << 20).decode().splitlines()
    os.close(told)
    blocks: dict[int, int] = {}
    for words in map(str.split, lines):
        if len(words) == 5 and all(word.isdigit() for word in words):  # class, size, pools, in use, free
            blocks[int(words[1])] = int(words[4])
        elif words[1:4] == ["unused", "pools", "*"]:
            in_one = int(words[4]) // LARGEST_OBJECT - 1  # a header is in it, too
            blocks[LARGEST_OBJECT] = blocks.get(LARGEST_OBJECT, 0) + int(words[0]) * in_one
    return blocks


class _Mallinfo(ctypes.Structure):
    _fields_ = [(f"field_{number}", ctypes.c_size_t) for number in range(9)] + [("keepcost", ctypes.c_size_t)]


def unused_end(libc: ctypes.CDLL) -> int:
    """Bytes at the end of the C library's heap that hold nothing."""
    if not hasattr(libc, "mallinfo2"):
        return 0
    libc.mallinfo2.restype = _Mallinfo
    return libc.mallinfo2().keepcost


def use_huge_pages() -> int:
    """Bytes of our memory that are in pages of 2 MiB now: a fork copies one entry for each instead of 512.

    A box that writes to such a page still copies 4 KiB of it only. Where the kernel cannot (before 6.1, or switched
    off) nothing is changed.
    """
    libc = init.libc()
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    collapsed = 0
    with open("/proc/self/maps") as maps:
        lines = maps.read().splitlines()
    for line in lines:
        fields = line.split(maxsplit=5)
        anonymous = fields[4] == "0" and (len(fields) == 5 or fields[5] == "[heap]")
        if not anonymous or not fields[1].startswith("rw"):
            continue
        first, last = (int(part, 16) for part in fields[0].split("-"))
        if fields[-1] == "[heap]":
            last -= unused_end(libc)  # what nobody has written to costs least as it is
        first, last = -(-first // HUGE_PAGE) * HUGE_PAGE, last // HUGE_PAGE * HUGE_PAGE
        for start in range(first, last, HUGE_PAGE):
            # Piece by piece: an area refuses as a whole when one of its pieces is empty.
            if libc.madvise(start, HUGE_PAGE, MADV_COLLAPSE) == 0:
                collapsed += HUGE_PAGE
    return collapsed


def own() -> tuple[int, int]:
    """Bytes of this process that a fork begins with: of private data, as RLIMIT_DATA counts them, and resident."""
    kinds = {}
    with open("/proc/self/status") as status:
        for line in status:
            name, _, rest = line.partition(":")
            kinds[name] = rest.split()[0] if rest.split() else ""
    return int(kinds["VmData"]) * 1024, int(kinds["RssAnon"]) * 1024

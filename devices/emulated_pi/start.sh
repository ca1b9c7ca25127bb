#!/bin/sh
# Turns a root file system into a running board, in user, mount and PID namespaces made for it:
#   unshare --user --map-root-user --mount --pid --fork --kill-child start.sh ROOT BOARD CPU PORT
# Nothing outside is changed; when the first process ends, so does everything.
set -eu
root=$1 board=$2 cpu=$3 port=$4

mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind "$board/proc/cpuinfo" "$root/proc/cpuinfo" # the host's would crash LiteRT
mount --bind "$board/sys" "$root/sys"

mount -t tmpfs -o mode=755 dev "$root/dev"
for name in null zero full random urandom tty; do
    : > "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for folder in dev/shm tmp run var/tmp; do
    mount -t tmpfs tmpfs "$root/$folder"
done
mount -t tmpfs -o mode=755 tmpfs "$root/home/pi"
mount -t tmpfs -o mode=755,size=1m tmpfs "$root/mnt/small" # a card that fills up soon
[ ! -e /etc/resolv.conf ] || mount --bind /etc/resolv.conf "$root/etc/resolv.conf"

# From Linux 6.7 on a user namespace has handlers of its own, and every program starts on CPU. Before,
# the host's handler serves, and a session keeps the CPU that sshd gives it.
magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
handlers=$root/proc/sys/fs/binfmt_misc
if mount -t binfmt_misc binfmt_misc "$handlers" 2> /dev/null; then
    printf '%s' ":edgecv:M::$magic:$mask:/usr/lib/edgecv/$cpu:P" > "$handlers/register"
elif [ ! -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]; then
    echo "Linux before 6.7 needs a handler of aarch64 programs: sudo apt-get install binfmt-support" >&2
    exit 1
fi
mount -o remount,bind,ro "$root" "$root"

exec unshare --user --map-user=1000 --map-group=1000 --root="$root" --wd=/home/pi \
    /usr/sbin/sshd -D -e -p "$port" \
    -o "SetEnv=QEMU_CPU=$cpu"

# PID 1 of the guest, in its final root: mount what a machine has, with cgroup2 alone; run the command; tell how it ended; power off.
. /task/guest # OUTPUT, RESULT: names of virtio ports; MODULES: where this kernel's modules are
. /task/environment

port() {
  for folder in /sys/class/virtio-ports/*; do
    if [ "$(cat "$folder/name")" = "$1" ]; then
      echo "/dev/${folder##*/}"
      return
    fi
  done
  echo "guest: no virtio port $1" >/dev/console
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts /dev/pts
rm -f /dev/ptmx
ln -s pts/ptmx /dev/ptmx
for link in fd:/proc/self/fd stdin:/proc/self/fd/0 stdout:/proc/self/fd/1 stderr:/proc/self/fd/2; do
  ln -sf "${link#*:}" "/dev/${link%%:*}"
done
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t mqueue mqueue /dev/mqueue
mount -t tmpfs -o mode=755 run /run
keep= # a project below /tmp must stay in sight
case $ROOT in /tmp/*) keep=/run/project && mkdir $keep && mount --bind "$ROOT" $keep ;; esac
mount -t tmpfs -o mode=1777 tmp /tmp
if [ -n "$keep" ]; then mkdir -p "$ROOT" && mount --move $keep "$ROOT"; fi
mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
mkdir -p /run/lock /lib/modules
ln -sfn "$MODULES" "/lib/modules/$(uname -r)"
echo >/proc/sys/kernel/modprobe # the kernel would look for a driver at every open of an unknown device, for a second each
mount --make-rshared /
hostname guest
ip link set lo up

cd "$(cat /task/cwd)" || exit
setsid sh /task/command <>/dev/null >"$(port "$OUTPUT")" 2>&1 &
wait $!
echo $? >"$(port "$RESULT")"
sync
/bin/busybox reboot -f # QEMU's -no-reboot makes this the end, on any machine

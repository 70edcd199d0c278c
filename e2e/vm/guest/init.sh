#!/bin/busybox sh
# The initramfs: load modules, put a tmpfs above the host's files, go there. `quit` tells the host why if something fails.
/bin/busybox mkdir -p /sbin /proc /sys /dev /host /memory /root
/bin/busybox --install -s /bin
export PATH=/bin
quit() {
  echo "guest: $*" >/dev/console
  reboot -f
}
mount -t proc proc /proc && mount -t sysfs sysfs /sys && mount -t devtmpfs devtmpfs /dev || quit "no proc, sysfs or devtmpfs"
while read -r module; do
  insmod "/modules/$module" || quit "insmod $module: refused"
done </modules/order
mount -t virtiofs -o ro host /host || quit "the host's files cannot be mounted"
mount -t tmpfs -o mode=755 memory /memory && mkdir /memory/upper /memory/work || quit "no tmpfs"
mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work root /root || quit "no overlay"
. /task/guest # ROOT: where the project is; INIT: what is PID 1
mkdir -p /root/task
cp /task/* /root/task/
umount /proc /sys
mount --move /dev /root/dev || quit "/dev cannot be moved"
if [ "$INIT" = systemd ]; then
  units=/root/etc/systemd/system
  cp -r "/root$ROOT"/e2e/vm/guest/systemd/* $units/ || quit "no units"
  sed -i "s,@ROOT@,$ROOT," $units/trimaran-task.service
  rm -f /root/.dockerenv # where this machine is a container's image: systemd would take the guest for one, and not read the kernel's command line
  rm -rf /root/usr/lib/systemd/system-generators # units for this machine's disks and old scripts, made anew at each daemon-reload
  exec switch_root /root /lib/systemd/systemd --unit=trimaran-task.target
fi
exec switch_root /root /bin/sh "$ROOT/e2e/vm/guest/main.sh"
quit "no $ROOT/e2e/vm/guest/main.sh"

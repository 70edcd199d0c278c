# In a guest whose PID 1 has mounted the usual: what is left to do, the command, how it ended, and the end of the machine.
. /task/guest # ROOT; OUTPUT, RESULT: names of virtio ports; MODULES: where this kernel's modules are
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

keep= # a project below /tmp must stay in sight
case $ROOT in /tmp/*) keep=/run/project && mkdir $keep && mount --bind "$ROOT" $keep ;; esac
mount -t tmpfs -o mode=1777 tmp /tmp
if [ -n "$keep" ]; then mkdir -p "$ROOT" && mount --bind $keep "$ROOT"; fi # nothing can be moved out of a shared mount
mkdir -p /run/lock /lib/modules
ln -sfn "$MODULES" "/lib/modules/$(uname -r)"
echo >/proc/sys/kernel/modprobe # the kernel would look for a driver at every open of an unknown device, for a second each
ip link set lo up

cd "$(cat /task/cwd)" || exit
setsid sh /task/command <>/dev/null >"$(port "$OUTPUT")" 2>&1 &
wait $!
echo $? >"$(port "$RESULT")"
sync
/bin/busybox reboot -f # QEMU's -no-reboot makes this the end, on any machine

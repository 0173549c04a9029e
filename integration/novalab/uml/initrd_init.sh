#!/bin/sh
# PID 1 of the initrd of a disk lab's machine. The root is the image (/dev/ubda, read-only) below the machine's own
# disk (/dev/ubdb), which survives power cuts; then the lab's code is mounted at the place that it has outside, and
# the first stage of the boot, inside/start.py, becomes PID 1.
#   lab.code=FOLDER    the lab's code, `integration/`        lab.folder=FOLDER    the machine's folder
set -e
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod "/modules/$module"; done
for word in $(cat /proc/cmdline); do
  case $word in
    lab.code=*) code=${word#*=} ;;
    lab.folder=*) folder=${word#*=} ;;
  esac
done
mount -t squashfs -o ro /dev/ubda /lower
mount -t ext4 -o noatime,noinit_itable /dev/ubdb /own
mkdir -p /own/upper /own/work
mount -t overlay -o lowerdir=/lower,upperdir=/own/upper,workdir=/own/work overlay /root
mkdir -p "/root$code"
mount -t hostfs -o "$code" none "/root$code"
mount --move /dev /root/dev
mount --move /proc /root/proc
mount --move /sys /root/sys
exec switch_root /root /usr/bin/python3 -I -S "$code/novalab/uml/inside/start.py" "$folder" </dev/console >/dev/console 2>&1

#!/bin/busybox sh
# The first process of a guest with a system of its own: finds its disk, puts our programs there,
# and gives way to systemd.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t devtmpfs dev /dev 2>/dev/null # some kernels have done it
mount -t proc proc /proc
mount -t sysfs sysfs /sys
while read -r module; do
    insmod "/modules/$module.ko" || echo "cannot load $module"
done </modules/base.order
for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ -b /dev/vda ] && break
    sleep 1
done
mkdir -p /system
mount -t ext4 /dev/vda /system || poweroff -f
cp /bin/xtask /bin/tcprst-record /system/opt/tcprst/ || poweroff -f
umount /proc /sys
exec switch_root /system /sbin/init
poweroff -f

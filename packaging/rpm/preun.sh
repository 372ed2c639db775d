# shellcheck shell=sh
# Before the files go. $1 is 0 where the package goes for good; an upgrade leaves the daemon running.
if [ "$1" -eq 0 ]; then
    if [ -d /run/systemd/system ]; then systemctl --no-reload disable --now hvnoded.socket hvnoded.service >/dev/null 2>&1 || :; fi
    echo "hvnode: VMs go on running, and /var/lib/hvnode with their disks stays: libvirt has them (virsh list --all)."
fi

# shellcheck shell=bash
# A small Debian whose first process is a real systemd, in namespaces of its own, with libvirt: for tests of units and packages on machines
# that have neither systemd nor a spare host. Needs common.sh and cgroups.sh.
#
#   target/systemd-root/SUITE/    its system, made once by mmdebstrap from this machine's own package sources, then never written to
#   target/systemd-root/machine/  the running machine: what it changes is kept in memory over that system and goes when it stops
#
# SUITE is this machine's own one, or $HVNODE_SUITE: another one of the same distribution.
# Of the kernel it has its own mount, network, pid, ipc, host-name and cgroup namespaces. What has none is kept from it: /proc/sys, except
# net, is read-only, and the services that set up hardware and kernel are masked.

MACHINE_ROOT=$TARGET/systemd-root
MACHINE=systemd # of its control groups
MACHINE_OWN_SUITE=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
MACHINE_BASE=$MACHINE_ROOT/${HVNODE_SUITE:=$MACHINE_OWN_SUITE}
export HVNODE_SUITE

# What a user of hvnode has on a small server, and what the checks need.
MACHINE_PACKAGES="systemd systemd-sysv dbus polkitd kmod procps util-linux iproute2 curl jq
    libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-daemon-config-network libvirt-daemon-config-nwfilter libvirt-clients
    qemu-system-x86 qemu-utils dnsmasq-base iptables nftables man-db zsh fish"
# They would write to the machine's kernel, or wait for hardware.
MACHINE_MASKED="systemd-sysctl.service systemd-modules-load.service systemd-binfmt.service systemd-udevd.service systemd-udevd-kernel.socket
    systemd-udevd-control.socket systemd-udev-trigger.service systemd-udev-settle.service systemd-remount-fs.service console-getty.service
    getty@.service getty.target sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount
    dev-hugepages.mount dev-mqueue.mount e2scrub_reap.service e2scrub_all.timer apt-daily.timer apt-daily-upgrade.timer"

# machine_build — the system, unless one from the same sources, with the same packages and settings, is there.
machine_build() {
    local key sources
    command -v mmdebstrap >/dev/null || fail "'mmdebstrap' is missing" "Install it: apt-get install mmdebstrap"
    sources=$(machine_sources)
    [ -n "$sources" ] || fail "apt knows no source for '$MACHINE_OWN_SUITE' on this machine" "A Debian or Ubuntu machine is needed to make another one."
    key=$(sha256sum <<<"$sources $MACHINE_PACKAGES $MACHINE_MASKED $(declare -f machine_configure)" | cut -d' ' -f1)
    if [ "$(cat "$MACHINE_BASE.key" 2>/dev/null)" = "$key" ]; then return; fi
    note "making a small $HVNODE_SUITE with systemd and libvirt in target/systemd-root: less than a minute where the packages are near"
    rm -rf --one-file-system "$MACHINE_BASE" "$MACHINE_BASE".{key,log}
    mkdir -p "$MACHINE_ROOT"
    # shellcheck disable=SC2086 # words
    mmdebstrap --quiet --variant=minbase --include="$(echo $MACHINE_PACKAGES | tr ' ' ,)" --aptopt='APT::Install-Recommends "false"' \
        "$HVNODE_SUITE" "$MACHINE_BASE" - <<<"$sources" >"$MACHINE_BASE.log" 2>&1 ||
        { tail -n 20 "$MACHINE_BASE.log" >&2 && fail "mmdebstrap failed" "All of its words: $MACHINE_BASE.log"; }
    machine_configure "$MACHINE_BASE"
    echo "$key" >"$MACHINE_BASE.key"
}

# The suite and its updates, from the places where this machine has its own suite from.
machine_sources() {
    # shellcheck disable=SC2016 # apt's variables
    apt-get indextargets --format '$(RELEASE) $(REPO_URI) $(COMPONENT)' 'Created-By: Packages' | sort -u |
        awk -v own="$MACHINE_OWN_SUITE" -v suite="$HVNODE_SUITE" '
            $1 == own || $1 == own "-updates" || $1 == own "-security" { print "deb", $2, suite substr($1, length(own) + 1), $3 }'
}

machine_configure() { # ROOT
    local unit
    for unit in $MACHINE_MASKED; do ln -sf /dev/null "$1/etc/systemd/system/$unit"; done
    tr -d - </proc/sys/kernel/random/uuid >"$1/etc/machine-id"
    echo systemd-machine >"$1/etc/hostname"
    # There is no name server to ask: libvirt looks up the host's own name whenever it starts a VM.
    printf '127.0.0.1 localhost\n127.0.1.1 systemd-machine\n' >"$1/etc/hosts"
    : >"$1/etc/resolv.conf"
    : >"$1/etc/fstab"
    mkdir -p "$1/etc/systemd/journald.conf.d" "$1/etc/libvirt/qemu/networks/autostart"
    printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\n' >"$1/etc/systemd/journald.conf.d/test.conf"
    ln -sf ../default.xml "$1/etc/libvirt/qemu/networks/autostart/default.xml"
    # No security modules and no devices of control groups here: QEMU would not start with them.
    printf 'security_driver = "none"\n' >>"$1/etc/libvirt/qemu.conf"
}

# machine_start — boots it and waits until systemd is through. The calling script's end is its end.
machine_start() {
    local unshare_pid
    machine_is_running && fail "the machine runs already" "Stop it: tests/systemd-container stop"
    mkdir -p "$MACHINE_ROOT/machine"
    { cgroup_create "$MACHINE" && machine_named_cgroup; } >"$MACHINE_ROOT/cgroups"
    setsid unshare --mount --net --pid --ipc --uts --fork --kill-child "$1" _init </dev/null >"$MACHINE_ROOT/boot.log" 2>&1 &
    unshare_pid=$!
    wait_until 10 machine_find_first "$unshare_pid" || machine_failed "it did not start"
    wait_until 90 machine_has_booted || machine_failed "systemd did not finish to start"
}

# systemd's own hierarchy of version 1, which has no controllers.
machine_named_cgroup() {
    local mount=/sys/fs/cgroup/systemd
    if ! awk -v mount=$mount '$5 == mount && /name=systemd/ { found = 1 } END { exit !found }' /proc/self/mountinfo; then return; fi
    mkdir -p "$mount/hvnode-$MACHINE" && echo "v1 $mount none,name=systemd"
}

machine_find_first() { # UNSHARE_PID
    local pid
    pid=$(children_of "$1" | tr -d ' ')
    [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm")" = systemd ] && echo "$pid" >"$MACHINE_ROOT/pid"
}

machine_has_booted() {
    case $(machine_exec systemctl is-system-running 2>/dev/null) in running | degraded) ;; *) return 1 ;; esac
}

machine_failed() { # WHY
    tail -n 30 "$MACHINE_ROOT/boot.log" >&2 || true
    machine_stop
    fail "the machine: $1" "What systemd said is above, all of it in $MACHINE_ROOT/boot.log"
}

machine_pid() { cat "$MACHINE_ROOT/pid" 2>/dev/null; }

machine_is_running() {
    local pid
    pid=$(machine_pid) && is_alive "$pid" && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = systemd ]
}

# machine_exec COMMAND... — runs it inside, as root, in a clean environment.
machine_exec() {
    nsenter -t "$(machine_pid)" -m -n -p -i -u -C -- env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"
}

# machine_file PATH — a file of the machine, as seen from outside.
machine_file() { echo "/proc/$(machine_pid)/root$1"; }

# machine_stop — kills all that runs in it. Its files were in memory.
machine_stop() {
    local pid
    if machine_is_running; then
        pid=$(machine_pid)
        kill -9 "$pid" # the first process of a pid namespace: the kernel kills all the others with it
        wait_until 20 machine_is_gone "$pid" || warn "process $pid is slow to end"
    fi
    rm -f "$MACHINE_ROOT/pid"
    cgroup_remove "$MACHINE" "$MACHINE_ROOT/cgroups"
    rm -f "$MACHINE_ROOT/cgroups"
}

machine_is_gone() { ! is_alive "$1"; }

# ---- inside: what the first process does before it becomes systemd -----------------------------------------------------------------------

machine_init() { # SCRIPT
    mount --make-rprivate /
    cgroup_join "$MACHINE" "$MACHINE_ROOT/cgroups"
    exec unshare --cgroup "$1" _inside
}

machine_inside() {
    mount -t tmpfs -o mode=755 tmpfs "$MACHINE_ROOT/machine"
    cd "$MACHINE_ROOT/machine" || exit
    mkdir upper work root
    mount -t overlay -o "lowerdir=$MACHINE_BASE,upperdir=upper,workdir=work" overlay root
    cd root || exit
    machine_mount_kernel
    machine_make_devices
    ip link set lo up
    mkdir .outside
    pivot_root . .outside
    cd /
    umount -l /.outside
    rmdir /.outside
    mount --make-rshared / # as systemd finds it on real machines: credentials of services come through this
    exec env -i container=hvnode-test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --show-status=yes
}

machine_mount_kernel() {
    mount -t proc proc proc
    mount --bind proc/sys/net proc/sys/net
    mount --rbind proc/sys proc/sys
    mount -o remount,bind,ro proc/sys
    mount -t sysfs sysfs sys
    mount -t tmpfs -o mode=755 tmpfs run
    mount -t tmpfs -o mode=1777 tmpfs tmp
    machine_mount_cgroups
}

# systemd takes version 2 where that is all there is. Beside the controllers of version 1 it wants its named hierarchy.
machine_mount_cgroups() {
    local version mount options
    if grep -q '^v2 /sys/fs/cgroup -$' "$MACHINE_ROOT/cgroups"; then
        mount -t cgroup2 cgroup2 sys/fs/cgroup
        return
    fi
    mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
    while read -r version mount options; do
        mkdir -p ".$mount"
        if [ "$version" = v1 ]; then mount -t cgroup -o "$options" cgroup ".$mount"; else mount -t cgroup2 cgroup2 ".$mount"; fi
    done <"$MACHINE_ROOT/cgroups"
    mountpoint -q sys/fs/cgroup/systemd || mount --mkdir -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
}

machine_make_devices() {
    local node nodes="null zero full random urandom tty net/tun"
    # Where /dev/kvm is there but cannot work, libvirt asks QEMU what it can do before its every step.
    if grep -qwE 'vmx|svm' /proc/cpuinfo; then nodes+=" kvm"; fi
    mount -t tmpfs -o mode=755 tmpfs dev
    mkdir -p dev/pts dev/shm dev/net dev/mqueue
    for node in $nodes; do
        [ -c "/dev/$node" ] || continue
        : >"dev/$node"
        mount --bind "/dev/$node" "dev/$node"
    done
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
    mount -t tmpfs -o mode=1777 tmpfs dev/shm
    mount -t mqueue mqueue dev/mqueue
    ln -s pts/ptmx dev/ptmx
    ln -s /proc/self/fd dev/fd
}

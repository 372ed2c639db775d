# shellcheck shell=bash
# Control groups of a private host: one group per hierarchy, whatever this machine has: version 1, version 2, both, or none that we may write.
# A hierarchy is one line: VERSION MOUNT_POINT OPTIONS (the controllers, for version 1).

# cgroup_hierarchies — the hierarchies of this machine. Named ones without controllers (systemd's) are no use here.
cgroup_hierarchies() {
    awk '{
        for (i = 7; $i != "-"; i++);
        if ($(i + 1) == "cgroup2") print "v2", $5, "-"
        if ($(i + 1) == "cgroup" && $(i + 3) !~ /name=/) {
            gsub(/(^|,)(rw|ro|xattr|relatime|nosuid|nodev|noexec|clone_children)/, "", $(i + 3)); sub(/^,/, "", $(i + 3))
            print "v1", $5, $(i + 3)
        }
    }' /proc/self/mountinfo
}

# cgroup_create NAME — makes the group in each hierarchy where that is allowed and prints those hierarchies.
cgroup_create() {
    local version mount options group
    while read -r version mount options; do
        group=$mount/hvnode-$1
        mkdir -p "$group" 2>/dev/null || continue
        case ,$options, in *,cpuset,*) # a cpuset starts empty, and then takes no process
            cat "$mount/cpuset.cpus" >"$group/cpuset.cpus"
            cat "$mount/cpuset.mems" >"$group/cpuset.mems"
            echo 1 >"$group/cgroup.clone_children"
            ;;
        esac
        # Version 2 lets a group have either processes or children with controllers: processes go into this leaf.
        [ "$version" = v1 ] || mkdir -p "$group/init"
        echo "$version $mount $options"
    done < <(cgroup_hierarchies)
}

# cgroup_join NAME FILE [LEAF] — moves this shell into the groups of the hierarchies listed in FILE. In version 2 into their LEAF, if given.
cgroup_join() {
    local version mount group
    while read -r version mount _; do
        group=$mount/hvnode-$1
        [ "$version" = v1 ] || group=$group/${3:-}
        echo $$ >"$group/cgroup.procs" || return 1
    done <"$2"
}

# cgroup_mount FILE — mounts the hierarchies afresh, so that the groups of our own cgroup namespace are their roots.
cgroup_mount() {
    local version mount options
    if [ ! -s "$1" ] || ! grep -q '^v2 /sys/fs/cgroup -$' "$1"; then
        mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup 2>/dev/null || return 0 # no cgroups in this kernel
    fi
    while read -r version mount options; do
        mkdir -p "$mount"
        if [ "$version" = v1 ]; then
            mount -t cgroup -o "$options" cgroup "$mount"
        else
            mount -t cgroup2 cgroup2 "$mount"
            cgroup_delegate "$mount"
        fi
    done <"$1"
}

# cgroup_delegate MOUNT_POINT — version 2: moves this shell into the leaf and gives each controller there is to the groups beside it.
cgroup_delegate() {
    local controller
    mkdir -p "$1/init"
    echo $$ >"$1/init/cgroup.procs"
    while read -r -d ' ' controller; do
        echo "+$controller" >"$1/cgroup.subtree_control" 2>/dev/null || true
    done < <(tr '\n' ' ' <"$1/cgroup.controllers")
}

# cgroup_remove NAME FILE — removes the groups once nothing runs in them.
cgroup_remove() {
    local mount
    [ -e "$2" ] || return 0
    while read -r _ mount _; do
        [ -d "$mount/hvnode-$1" ] || continue
        wait_until 5 remove_group_tree "$mount/hvnode-$1" || warn "$mount/hvnode-$1 could not be removed: $(tr '\n' ' ' <"$mount/hvnode-$1/cgroup.procs")"
    done <"$2"
}

remove_group_tree() { find "$1" -depth -type d -exec rmdir {} +; }

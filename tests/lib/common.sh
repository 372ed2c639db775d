# shellcheck shell=bash
# What all the shell scripts of this repository share. Source it; it starts nothing.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
TARGET=$REPO/target
# Cargo may be told to build elsewhere; everything else of ours stays in $TARGET.
# shellcheck disable=SC2034 # for those who source this
CARGO_OUT=${CARGO_TARGET_DIR:-$TARGET}
case :$PATH: in *:/usr/sbin:*) ;; *) export PATH=$PATH:/usr/sbin:/sbin ;; esac

# Whether output goes to a person's terminal: colours are for people only.
if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ] && [ -z "${NO_COLOR:-}" ]; then
    BOLD=$'\e[1m' RED=$'\e[31m' PLAIN=$'\e[0m'
else
    BOLD='' RED='' PLAIN=''
fi

note() { printf '%s\n' "$@"; } # one line each
warn() { printf '%swarning:%s %s\n' "$BOLD" "$PLAIN" "$*" >&2; }

# fail MESSAGE [MORE...] — says what is wrong, then what to do about it, one argument a line; ends the script.
fail() {
    printf '%serror:%s %s\n' "$RED$BOLD" "$PLAIN" "$1" >&2
    shift
    local line
    for line; do printf '       %s\n' "$line" >&2; done
    exit 1
}

# as_root COMMAND... — runs it as root, through sudo if need be.
as_root() {
    if [ "$EUID" -eq 0 ]; then
        "$@"
    else
        command -v sudo >/dev/null || fail "root is needed for: $*" "Run it as root, or install sudo."
        sudo -- "$@"
    fi
}

# become_root SCRIPT ARGS... — restarts the calling script as root. What the scripts read from the environment goes along.
become_root() {
    [ "$EUID" -eq 0 ] && return
    command -v sudo >/dev/null || fail "this needs root" "Run it as root, or install sudo."
    exec sudo -- env "PATH=$PATH" "HVNODE_HOSTS=${HVNODE_HOSTS:-}" "CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-}" \
        "HVNODE_BUILD=${HVNODE_BUILD:-}" "HVNODE_SUITE=${HVNODE_SUITE:-}" "HVNODE_SKIP_BUILD=${HVNODE_SKIP_BUILD:-}" "HVNODE_SKIP_PACKAGES=${HVNODE_SKIP_PACKAGES:-}" "$@"
}

# children_of PID — pids of its children.
children_of() {
    local stat
    if [ -r "/proc/$1/task/$1/children" ]; then
        cat "/proc/$1/task/$1/children"
        return
    fi
    for stat in /proc/[0-9]*/stat; do # a kernel without that file
        sed -n "s/^\([0-9]*\) (.*) [A-Za-z] $1 .*/\1/p" "$stat" 2>/dev/null || true
    done
}

# wait_until SECONDS COMMAND... — repeats the command, quietly, until it succeeds; fails after that many seconds.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.05
    done
}

# is_alive PID — true while it runs; a zombie does not.
is_alive() {
    local state
    state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) && [ -n "$state" ] && [ "$state" != Z ]
}

# shellcheck shell=bash
# A whole node in a private host: libvirtd and hvnoded, the latter as the unprivileged user `hvnode`, listening on this machine's loopback.
# Needs common.sh. The caller sets NODE, the name: everything lies in target/NAME.

export HVNODE_HOSTS=$TARGET

node_dir() { echo "$TARGET/$NODE"; }
node_host() { "$REPO/tests/privatehost" "$1" "$NODE" "${@:2}"; }

node_is_running() { [ -e "$(node_dir)/hvnoded.pid" ] && is_alive "$(cat "$(node_dir)/hvnoded.pid")"; }

# node_start NAME=PORT... — the host, the files that the daemon needs, the daemon, listening for each NAME (native, metrics, openstack, …).
# Ports that are taken move up.
node_start() {
    local dir
    dir=$(node_dir)
    node_host start >/dev/null
    if [ ! -e "$dir/hvnode/etc/hvnode.toml" ]; then
        install -m 644 "$REPO/config/hvnode.toml" "$dir/hvnode/etc/hvnode.toml"
        mkdir -p "$dir/hvnode/state/import"
        echo release >"$dir/build"
    fi
    if ! node_is_running; then
        [ -e "$dir/ports" ] || printf '%s+\n' "${@/=/ 127.0.0.1:}" >"$dir/ports"
        node_start_daemon
    fi
    node_write_env
}

# The daemon gets the ports that it had before, and the newest build.
node_start_daemon() {
    local dir sockets=() supervisor
    dir=$(node_dir)
    node_is_running && return
    rm -f "$dir/hvnoded.pid"
    if [ -n "${HVNODE_BUILD:-}" ]; then echo "$HVNODE_BUILD" >"$dir/build"; fi
    install -m 755 "$CARGO_OUT/$(cat "$dir/build")"/{hvnoded,hvctl} "$dir/run/bin/"
    : >"$dir/ports.new"
    mapfile -t sockets < <(tr ' ' = <"$dir/ports")
    # LISTEN_PID must be the daemon's pid as it sees it itself, which only the process inside knows.
    # shellcheck disable=SC2016 # expanded inside
    setsid "$REPO/tests/lib/with-sockets" "${sockets[@]}" -- "$REPO/tests/privatehost" exec "$NODE" \
        setpriv --reuid hvnode --regid hvnode --init-groups --no-new-privs --inh-caps=-all \
        sh -c 'LISTEN_PID=$$ exec "$@" >&2' sh /run/bin/hvnoded --config /etc/hvnode/hvnode.toml >"$dir/ports.new" 2>>"$dir/hvnoded.log" </dev/null &
    supervisor=$!
    node_wait_ready "$supervisor"
    children_of "$supervisor" | tr -d ' ' >"$dir/hvnoded.pid"
    mv "$dir/ports.new" "$dir/ports"
}

node_wait_ready() { # SUPERVISOR
    local deadline=$((SECONDS + 30))
    until node_answers; do
        if ! is_alive "$1" || [ "$SECONDS" -ge "$deadline" ]; then
            kill "$1" 2>/dev/null || true
            node_start_failed
        fi
        sleep 0.05
    done
}

node_answers() { curl -sf --max-time 2 "http://$(sed -n 's/^native //p' "$(node_dir)/ports.new")/readyz" >/dev/null 2>&1; }

node_start_failed() {
    tail -n 20 "$(node_dir)/hvnoded.log" >&2
    fail "hvnoded did not start" "Its last lines are above, all of them in $(node_dir)/hvnoded.log"
}

# The file for those who use the node. Paths are short enough for sockets and valid outside of the private host.
node_write_env() {
    local dir password
    dir=$(node_host dir)
    password=$(cat "$dir/hvnode/state/initial-password")
    install -m 600 -o "${SUDO_UID:-0}" /dev/null "$dir/env" # it has the password
    cat >"$dir/env" <<END
HVNODE_NATIVE_URL=$(node_url native)
HVNODE_OPENSTACK_URL=$(node_url openstack)
HVNODE_ZSTACK_URL=$(node_url zstack)
HVNODE_CHIMESTACK_URL=$(node_url chimestack)
HVNODE_METRICS_URL=$(node_url metrics)/metrics
HVNODE_SOCKET=$dir/run/hvnode/hvnode.sock
HVNODE_USER=admin
HVNODE_PASSWORD=$password
HVNODE_CONFIG=$(node_dir)/hvnode/etc/hvnode.toml
HVNODE_STATE_DIR=$(node_dir)/hvnode/state
HVNODE_PID_FILE=$(node_dir)/hvnoded.pid
HVNODE_LIBVIRT_URI=$(node_host uri)
END
}

# node_url NAME — where the daemon listens for NAME; nothing where it does not.
node_url() { sed -n "s|^$1 |http://|p" "$(node_dir)/ports"; }

# node_stop — the daemon in its own time, then the host with all that runs in it, then the files.
node_stop() {
    if node_is_running; then
        kill "$(cat "$(node_dir)/hvnoded.pid")"
        wait_until 30 node_is_stopped || true
    fi
    node_host stop
}

node_is_stopped() { ! node_is_running; }

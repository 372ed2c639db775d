# shellcheck shell=bash
# hvnoded as a systemd service on the machine's own libvirt, installed from this checkout for a trial. Needs common.sh and api.sh.

# Programs and units of a trial lie where packages put nothing; this file marks the trial.
SERVICE_BIN=/usr/local/bin
SERVICE_UNITS=/etc/systemd/system
SERVICE_MARK=/etc/hvnode/.quickstart

has_systemd() { [ -d /run/systemd/system ]; }

# A real installation is not touched.
service_check() {
    if [ -e "$SERVICE_MARK" ]; then return; fi
    if [ -e /usr/bin/hvnoded ] || [ -e /etc/hvnode/hvnode.toml ] || [ -e /var/lib/hvnode/state.db ]; then
        fail "hvnode is installed here already, and not by quickstart" "Use it as it is (hvctl host show), or remove it with its /etc/hvnode and /var/lib/hvnode first."
    fi
    local port
    for port in 7070 9177; do
        [ -z "$(ss -Hltn "sport = :$port" 2>/dev/null)" ] || fail "port $port is taken" "Stop what listens there: ss -ltnp 'sport = :$port'"
    done
}

service_start() {
    local built=$CARGO_OUT/${HVNODE_BUILD:-release} is_new=''
    install -d -m 755 /etc/hvnode
    touch "$SERVICE_MARK"
    systemd-sysusers "$REPO"/systemd/sysusers.d/*.conf
    systemd-tmpfiles --create "$REPO"/systemd/tmpfiles.d/*.conf
    cmp -s "$built/hvnoded" "$SERVICE_BIN/hvnoded" || is_new=1
    install -m 755 "$built/hvnoded" "$built/hvctl" "$SERVICE_BIN/"
    [ -e /etc/hvnode/hvnode.toml ] || install -m 644 "$REPO/config/hvnode.toml" /etc/hvnode/hvnode.toml
    sed "s,/usr/bin/hvnoded,$SERVICE_BIN/hvnoded," "$REPO/systemd/hvnoded.service" >"$SERVICE_UNITS/hvnoded.service"
    install -m 644 "$REPO/systemd/hvnoded.socket" "$SERVICE_UNITS/hvnoded.socket"
    service_start_libvirt
    systemctl daemon-reload
    systemctl start hvnoded.socket
    if [ -n "$is_new" ]; then systemctl restart hvnoded.service; else systemctl start hvnoded.service; fi ||
        fail "hvnoded did not start" "Its own words: journalctl -u hvnoded -n 30"
    wait_until 20 curl -sf http://127.0.0.1:7070/readyz || fail "hvnoded does not become ready" "Its own words: journalctl -u hvnoded -n 30"
}

# The network `default` comes with libvirt's packages; Debian leaves it off.
service_start_libvirt() {
    systemctl start libvirtd.service
    wait_until 60 virsh -c qemu:///system uri || fail "libvirt does not answer" "Its own words: journalctl -u libvirtd -n 30"
    virsh -q -c qemu:///system net-info default >/dev/null 2>&1 || virsh -q -c qemu:///system net-define /usr/share/libvirt/networks/default.xml
    if ! virsh -q -c qemu:///system net-list --name | grep -qx default; then
        virsh -q -c qemu:///system net-start default ||
            fail "libvirt's network 'default' does not start" "If this machine has 192.168.122.0/24 elsewhere: virsh net-edit default"
    fi
}

service_stop() {
    if [ ! -e "$SERVICE_MARK" ]; then return; fi
    if systemctl start hvnoded.service 2>/dev/null && wait_until 20 curl -sf http://127.0.0.1:7070/readyz; then service_delete_vms; fi
    systemctl stop hvnoded.socket hvnoded.service 2>/dev/null || true
    rm -f "$SERVICE_UNITS"/hvnoded.{service,socket} "$SERVICE_BIN"/{hvnoded,hvctl}
    systemctl daemon-reload
    local pool
    for pool in $(virsh -q -c qemu:///system pool-list --all --name | grep '^hvnode-'); do
        virsh -q -c qemu:///system pool-destroy "$pool" >/dev/null 2>&1 || true
        virsh -q -c qemu:///system pool-undefine "$pool" >/dev/null
    done
    rm -rf --one-file-system /var/lib/hvnode /run/hvnode /var/log/hvnode /etc/hvnode
    userdel hvnode 2>/dev/null || true
}

# Through the API, so that disks go the way they came. Unmanaged VMs are not ours.
service_delete_vms() {
    local uuid
    # shellcheck disable=SC2034 # for api.sh
    API_URL=http://127.0.0.1:7070
    api_login admin "$(cat /var/lib/hvnode/initial-password)"
    for uuid in $(api GET '/v1/vm/list?page_size=0' | jq -r '.list[] | select(.management == "managed") | .vm_uuid'); do
        api POST /v1/vm/delete "$(jq -nc --arg uuid "$uuid" '{vm_uuid: $uuid, force: true, delete_usd: true, wait_seconds: 60}')" >/dev/null || true
    done
}

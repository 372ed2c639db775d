# shellcheck shell=sh
# After installation and upgrade. $1 is how many versions of the package there are: 1 at the first installation.
systemd-sysusers hvnode.conf >/dev/null 2>&1 || :
if [ -d /run/systemd/system ]; then
    systemd-tmpfiles --create hvnode.conf >/dev/null 2>&1 || :
    systemctl daemon-reload >/dev/null 2>&1 || :
fi
if [ "$1" -eq 1 ]; then
    # Whether it is enabled is the distribution's policy; it is not started here.
    systemctl --no-reload preset hvnoded.socket hvnoded.service >/dev/null 2>&1 || :
    echo "hvnode: look through /etc/hvnode/hvnode.toml (hvnoded --check-config), then: systemctl enable --now hvnoded.socket hvnoded.service"
fi

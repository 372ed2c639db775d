# shellcheck shell=sh
# After the files of an old version are gone. $1 is 1 or more after an upgrade: the daemon is exchanged, the sockets in which clients wait
# are not. A reload begins with the new program's look at the configuration; with a wrong one the old program goes on running.
if [ "$1" -ge 1 ] && [ -d /run/systemd/system ] && systemctl --quiet is-active hvnoded.service; then
    if systemctl reload hvnoded.service >/dev/null 2>&1; then
        systemctl try-restart hvnoded.service >/dev/null 2>&1 || :
    else
        echo "hvnode: the configuration is wrong, hvnoded was NOT restarted: journalctl -u hvnoded. Mend it, then: systemctl restart hvnoded"
    fi
fi

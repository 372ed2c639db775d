# shellcheck shell=sh
# After the files of an old version are gone. $1 is 1 or more after an upgrade: the daemon is exchanged, the sockets in which clients wait
# are not. With a wrong configuration the running one goes on instead.
if [ "$1" -ge 1 ] && [ -d /run/systemd/system ]; then
    if problems=$(setpriv --reuid hvnode --regid hvnode --init-groups -- /usr/bin/hvnoded --check-config 2>&1); then
        systemctl try-restart hvnoded.service >/dev/null 2>&1 || :
    else
        echo "hvnode: the configuration is wrong, hvnoded was NOT restarted. Mend it, then: systemctl restart hvnoded"
        echo "$problems"
    fi
fi

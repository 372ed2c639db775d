# shellcheck shell=bash
# Finding a Rust toolchain that is new enough, and building with it. Needs common.sh.

# need_cargo — makes `cargo` of the wanted version callable, or says how to get it.
need_cargo() {
    local wanted have
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$REPO/Cargo.toml")
    use_cargo_of_home
    if ! command -v cargo >/dev/null; then install_rustup "$wanted"; fi
    have=$(as_builder cargo --version 2>/dev/null | cut -d' ' -f2) || have=none
    if ! is_at_least "$have" "$wanted"; then
        if command -v rustup >/dev/null; then
            fail "Rust $have is too old: hvnode needs $wanted" "Update it: rustup update stable && rustup default stable"
        fi
        fail "Rust $have is too old: hvnode needs $wanted" "It is the distribution's own. Remove it (apt-get remove cargo rustc) and run this again."
    fi
}

# Under sudo, and in shells that did not read the profile, cargo's folder is not in the path.
use_cargo_of_home() {
    local home
    for home in "$HOME" "$(getent passwd "${SUDO_USER:-root}" | cut -d: -f6)"; do
        if ! command -v cargo >/dev/null && [ -x "$home/.cargo/bin/cargo" ]; then
            export PATH=$home/.cargo/bin:$PATH
        fi
    done
}

install_rustup() { # WANTED_VERSION
    if [ -z "$(apt-cache madison rustup 2>/dev/null)" ]; then
        fail "Rust (cargo $1 or newer) is missing, and this distribution has no package of rustup" "Install it as https://rustup.rs says, then run this again:" \
            "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
    fi
    note "installing Rust with the distribution's rustup"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends rustup
    as_builder rustup default stable
}

# as_builder COMMAND... — under sudo: as the person who called it, if the files here are theirs. They shall stay theirs.
as_builder() {
    if [ "$EUID" -eq 0 ] && [ "${SUDO_USER:-root}" != root ] && [ "$(stat -c %U "$REPO")" = "$SUDO_USER" ]; then
        sudo -u "$SUDO_USER" -H -- env "PATH=$PATH" ${CARGO_TARGET_DIR:+"CARGO_TARGET_DIR=$CARGO_TARGET_DIR"} "$@"
    else
        "$@"
    fi
}

is_at_least() { # VERSION WANTED
    [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]
}

# build_programs PROFILE — hvnoded and hvctl; release or debug. HVNODE_SKIP_BUILD=1 takes what was built before.
build_programs() {
    local flags=()
    if [ -n "${HVNODE_SKIP_BUILD:-}" ] && [ -x "$CARGO_OUT/$1/hvnoded" ]; then return; fi
    need_cargo
    [ "$1" = debug ] || flags=(--release)
    (cd "$REPO" && as_builder cargo build --locked "${flags[@]}" -p hvnode-daemon -p hvctl)
}

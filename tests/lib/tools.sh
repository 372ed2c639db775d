# shellcheck shell=bash
# Cargo's own helpers that are not part of Rust, each in one version, in a folder of theirs: what the user has installed is left alone.
# Needs common.sh and rust.sh.

# shellcheck disable=SC2034 # looked up by name
declare -A TOOL_VERSIONS=(
    [cargo-cyclonedx]=0.5.9
    [cargo-deb]=3.8.0
    [cargo-deny]=0.20.2
    [cargo-fuzz]=0.13.2
    [cargo-generate-rpm]=0.21.1
)

# need_tool NAME [CARGO_INSTALL_OPTION...] — compiles it, once, where it is not there. It is called with with_tools.
need_tool() {
    local name=$1 version=${TOOL_VERSIONS[$1]} began=$SECONDS root
    shift
    need_cargo
    root=$(tools_root)
    if [ "$(tool_version "$root" "$name")" = "$version" ]; then return; fi
    note "installing $name $version below $root: one to five minutes, once"
    as_builder cargo install --quiet --locked --root "$root" "$@" "$name@$version" || return 1
    note "installed $name in $((SECONDS - began)) s"
}

# with_tools COMMAND... — the path is changed for this command alone: build scripts of C code run anew wherever it is another one.
with_tools() { PATH=$(tools_root)/bin:$PATH "$@"; }

# Beside cargo's downloads: what keeps those between runs keeps these.
# shellcheck disable=SC2016 # expanded by whoever builds
tools_root() { as_builder sh -c 'echo "${CARGO_HOME:-$HOME/.cargo}/hvnode-tools"'; }

tool_version() { # ROOT NAME
    as_builder cargo install --list --root "$1" 2>/dev/null | sed -n "s/^$2 v\([^ :]*\).*/\1/p"
}

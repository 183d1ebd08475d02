#!/bin/bash
# Builds examples/ceph.rs as a static binary, and has it ask a cluster for its status from a root
# directory in which nothing else is: no libc, no resolver, no ceph.conf.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Of the messenger.
readonly VERSIONS=(v1 v2)

# A target of its own, or the flags would apply to build scripts and procedural macros too.
target=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --target "$target" --example ceph
binary=${CARGO_TARGET_DIR:-target}/$target/release/examples/ceph
# ldd fails for a static binary, or says so for a static-pie.
if ldd "$binary" 2>/dev/null | grep '=>'; then
    echo "static.sh: $binary needs the above" >&2
    exit 1
fi

PATH=$PATH:/usr/sbin:/sbin
if ! command -v ceph-mon >/dev/null; then
    echo "SKIPPED static binary: ceph-mon is not installed" | tee -a "${SKIP_LOG:-/dev/null}"
    exit 0
fi
work=$(mktemp -d)
trap 'tests/vstart.sh stop "$work/c" && rm -rf "$work"' EXIT
tests/vstart.sh start "$work/c" --mgr --osds 1 --owner $$
mkdir "$work/root"
cp "$binary" "$work/c/keyring" "$work/root"
# Without root, in a user namespace of its own.
enter=(chroot)
[[ $EUID == 0 ]] || enter=(unshare --map-root-user chroot)
for version in "${VERSIONS[@]}"; do
    mon=$(sed -nE "s/^mon host = .*($version:[0-9.]+:[0-9]+).*/\1/p" "$work/c/ceph.conf")
    echo "--- $mon"
    timeout 30 "${enter[@]}" "$work/root" /ceph -m "$mon" -k /keyring -n client.admin --msgr "$version" status |
        tee "$work/status"
    grep -q HEALTH_OK "$work/status"
done

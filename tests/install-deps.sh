#!/bin/bash
# Installs what the tests need beside cargo, on Debian and its kin; elsewhere it names that.
set -euo pipefail

# A command, and the package that has it. gcc links, and its libc6-dev is needed for a static binary.
readonly NEEDS=(
    ceph-mon:ceph-mon ceph-mgr:ceph-mgr ceph-osd:ceph-osd ceph-mds:ceph-mds ceph:ceph-common
    tshark:tshark strace:strace shellcheck:shellcheck gcc:build-essential
)

# Daemons may be in a directory that only root has in its path.
PATH=$PATH:/usr/sbin:/sbin
missing=()
for need in "${NEEDS[@]}"; do
    command -v "${need%%:*}" >/dev/null || missing+=("${need#*:}")
done
((${#missing[@]} > 0)) || exit 0

if ! command -v apt-get >/dev/null; then
    echo "not a Debian: please install what Debian calls ${missing[*]}; tests that need it are skipped" >&2
    exit 0
fi
as_root=()
[[ $EUID == 0 ]] || as_root=(sudo)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "$@" >>"$log" 2>&1
}
echo "installing ${missing[*]}"
# A new machine often has no package lists, and an old one stale ones.
apt install -y --no-install-recommends "${missing[@]}" ||
    { apt update && apt install -y --no-install-recommends "${missing[@]}"; } ||
    { cat "$log" >&2 && exit 1; }

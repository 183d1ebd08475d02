# Sourced by vstart.sh: a block of ports of its own and the files a new cluster starts from.
# shellcheck shell=bash
# The options come from vstart.sh.
# shellcheck disable=SC2154

# A block is a hundred ports below the kernel's ephemeral range (32768) and clear of Ceph's own
# defaults (3300, 6789, 6800 to 7300): two for each mon from its start, the rest from +20 on.
readonly FIRST_BLOCK=100 BLOCKS=220

# Modules that a mgr always loads; each costs time at the start, and no test wants them.
readonly MGR_DISABLED="alerts diskprediction_local influx insights iostat localpool mirroring nfs osd_perf_query osd_support prometheus restful selftest snap_schedule stats telegraf test_orchestrator zabbix"

# Claims are files in one directory, looked through under one lock. A claim counts while the DIR it
# names still says that the block is its own, so a claim that was left behind needs no clean-up.
# Listening sockets are asked for too: of other programs, and of daemons whose DIR was deleted.
claim_ports() {
    local claims=/tmp/ceph-vstart.$UID n block local_addr state
    mkdir -p "$claims"
    exec 9>"$claims/lock"
    flock -w 60 9 || die "cannot lock $claims/lock"
    local -A busy=()
    while read -r _ local_addr _ state _; do
        [[ $state == 0A ]] && busy[$((16#${local_addr##*:} / 100))]=1
    done < <(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null)
    local offset=$((RANDOM % BLOCKS))
    for ((n = 0; n < BLOCKS; n++)); do
        block=$((FIRST_BLOCK + (n + offset) % BLOCKS))
        if [[ -n ${busy[$block]:-} ]] || is_claimed "$claims/$block" "$block"; then continue; fi
        port=$((block * 100))
        echo "$dir" >"$claims/$block"
        echo "$block" >"$dir/block"
        break
    done
    exec 9>&-
    [[ -n $port ]] || die "no free block of ports"
}

is_claimed() {
    local owner
    owner=$(cat "$1" 2>/dev/null) && [[ $(cat "$owner/block" 2>/dev/null) == "$2" ]]
}

release_ports() {
    local block
    block=$(cat "$dir/block" 2>/dev/null) || return 0
    rm -f "$dir/block" "/tmp/ceph-vstart.$UID/$block"
}

# "v2:127.0.0.1:10000,v1:127.0.0.1:10001" for the mon with this index.
mon_addrs() {
    local v2="v2:127.0.0.1:$((port + 2 * $1))," v1="v1:127.0.0.1:$((port + 2 * $1 + 1))"
    $v1_only && v2=
    echo "[$v2$v1]"
}

write_conf() {
    local n type mon_host="" osd_classes
    for ((n = 0; n < mons; n++)); do
        mon_host+=${mon_host:+,}$(mon_addrs "$n")
    done
    # Debian builds look for them in /usr/lib/rados-classes; class calls would fail with -95.
    osd_classes=$(compgen -G '/usr/lib/*/rados-classes' | head -n 1) || true
    {
        cat <<CONF
[global]
fsid = $fsid
mon host = $mon_host
auth cluster required = $auth
auth service required = $auth
auth client required = $auth
auth allow insecure global id reclaim = false
keyring = $dir/keyring
run dir = $dir
crash dir = $dir
mon cluster log file = $dir/cluster.log
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind port min = $((port + 20))
ms bind port max = $((port + 99))
ms bind msgr2 = $($v1_only && echo false || echo true)

# One copy of everything on one host, and no complaints about it.
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon allow pool delete = true
mon warn on pool no redundancy = false
mon warn on pool no app = false
mon warn on too few osds = false
mon data avail warn = 1
mon data avail crit = 1

# memstore keeps everything in memory: what a test writes must stay small.
osd objectstore = $store
memstore device bytes = 268435456
bluestore block size = 1073741824
bluestore block wal create = false
bluestore block db create = false
${osd_classes:+osd class dir = $osd_classes}
osd class load list = *
osd class default list = *

# Quick rather than thrifty: propose at once, report often.
paxos propose interval = 0.05
mon tick interval = 1
mon election timeout = 2
mds beacon interval = 1
mon mgr digest period = 1
mgr tick period = 1
mgr stats period = 1
mgr initial modules =
mgr disabled modules = $MGR_DISABLED
CONF
        # Without a mgr the mon would complain about that after two minutes.
        $mgr || echo 'mon mgr mkfs grace = 1000000'
        printf '%s\n' "${conf[@]}"
        # Sections of the daemons, so that a client neither logs nor listens at a daemon's path.
        for type in mon mgr osd mds; do
            cat <<CONF

[$type]
${type} data = $dir/\$name
keyring = $dir/daemons.keyring
log file = $dir/\$name.log
pid file = $dir/\$name.pid
admin socket = $dir/\$name.asok
CONF
        done
        # A client of the same machine would warn that it cannot bind a daemon's socket.
        printf '\n[client]\nadmin socket =\n'
    } >"$dir/ceph.conf"
}

# The mons import all keys at their first start, so that no daemon has to ask for one.
write_keyrings() {
    local name
    keyring_entry client.admin 'mon "allow *"' 'osd "allow *"' 'mds "allow *"' 'mgr "allow *"' \
        >"$dir/keyring"
    {
        keyring_entry mon. 'mon "allow *"'
        for name in "${daemons[@]}"; do
            case $name in
            mgr.*) keyring_entry "$name" 'mon "allow profile mgr"' 'osd "allow *"' 'mds "allow *"' ;;
            osd.*) keyring_entry "$name" 'mon "allow profile osd"' 'mgr "allow profile osd"' 'osd "allow *"' ;;
            mds.*) keyring_entry "$name" 'mon "allow profile mds"' 'mgr "allow profile mds"' 'osd "allow rw tag cephfs *=*"' 'mds "allow"' ;;
            esac
        done
    } >"$dir/daemons.keyring"
    cat "$dir/keyring" "$dir/daemons.keyring" >"$dir/mkfs.keyring"
}

keyring_entry() {
    local name=$1 cap
    shift
    printf '[%s]\n\tkey = %s\n' "$name" "$(ceph-authtool --gen-print-key)"
    for cap; do
        printf '\tcaps %s = %s\n' "${cap%% *}" "${cap#* }"
    done
}

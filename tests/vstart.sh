#!/bin/bash
# Runs a real Ceph cluster on loopback, for tests. Needs no root; ends what it started and no more.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: vstart.sh start DIR [options]     start a cluster, wait until it is healthy
       vstart.sh stop DIR                end its daemons; may be repeated
       vstart.sh wait DIR                wait until it is healthy (again)
       vstart.sh pid DIR NAME            print the pid of a daemon (mon.a, mgr.x, osd.0, mds.a)
       vstart.sh kill DIR NAME [SIGNAL]  signal a daemon (KILL), and wait for its end if it is deadly
       vstart.sh restart DIR NAME        start a daemon again, end it before if it still runs

options of start:
  --mons N           1 to 5 (1)          --v1-only          no msgr2 anywhere
  --osds N           0 to 8 (0)          --auth MODE        cephx or none (cephx)
  --mgr              mgr.x               --conf 'K = V'     into [global]; may be repeated
  --mds              mds.a and a file system "cephfs" (implies --osds 1)
  --bluestore        OSDs on a file, which survive a restart; memstore ones lose what they held
  --owner PID        stop when that process is gone
  --rm               and then delete DIR too

The last line of start is CEPH_CONF=DIR/ceph.conf. Keyrings: DIR/keyring (client.admin) and
DIR/daemons.keyring. Logs, pid files, admin sockets and data are in DIR, which start empties.
Restart does not wait until the daemon is known to be up: say wait.
USAGE
}

readonly WAIT=60 # seconds; an idle machine needs less than ten
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
# shellcheck source-path=SCRIPTDIR source=vstart-conf.sh
source "$here/vstart-conf.sh"

die() {
    echo "vstart.sh: $*" >&2
    exit 1
}

# --- Processes ------------------------------------------------------------------------------------

# The pids of this cluster's daemons whose names match the pattern. They are asked of /proc and not
# of pid files: a daemon that is about to start has none yet, and one that was killed leaves one.
# A zombie has no command line, so it is not among them. Clients of the cluster are not either.
pids() {
    local pid argv
    grep -lsxzF -- "$dir/ceph.conf" /proc/[0-9]*/cmdline | while read -r pid; do
        pid=${pid//[!0-9]/}
        mapfile -td '' argv 2>/dev/null <"/proc/$pid/cmdline" || continue
        [[ ${argv[0]:-} =~ (^|/)ceph-(mon|mgr|osd|mds)$ && ${argv[1]} == -i ]] || continue
        # shellcheck disable=SC2053 # the right-hand side is a pattern
        [[ ${BASH_REMATCH[2]}.${argv[2]} == $1 ]] && echo "$pid"
    done || true
}

# False if one of them is still there after so many seconds. One that was signalled may have lost its
# command line, and hold the lock on its pid file for a moment more.
await_end() {
    local deadline=$((SECONDS + $2)) pid
    while [[ -n $(pids "$1") ]]; do
        ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
    for pid in "${signalled[@]}"; do
        while start_time "$pid" >/dev/null; do
            ((SECONDS < deadline)) || return 1
            sleep 0.01
        done
    done
}

signalled=()
signal() {
    local pid
    for pid in $(pids "$1"); do
        signalled+=("$pid")
        kill -s "$2" "$pid" 2>/dev/null || true
    done
}

# A test may have left it stopped by SIGSTOP, and then it would not hear the SIGTERM.
end() {
    signal "$1" CONT
    signal "$1" TERM
    await_end "$1" "${2:-5}" && return
    signal "$1" KILL
    await_end "$1" 10 || die "does not end: $(pids "$1" | xargs)"
}

# The daemon goes to the background itself once it is up, so its exit code means something.
launch() {
    local name=$1
    for _ in 1 2 3; do
        "ceph-${name%%.*}" -i "${name#*.}" -c "$dir/ceph.conf" >>"$dir/$name.out" 2>&1 </dev/null && return
        # Without cephx a daemon may be logged in before it has the monmap, and end because the
        # monitor refuses the first thing that it asks ("wrong fsid").
        grep -q '^auth client required = none' "$dir/ceph.conf" || break
    done
    show_log "$name"
    die "$name does not start"
}

show_log() {
    echo "--- $1 ---" >&2
    tail -qn 25 "$dir/$1.out" "$dir/$1.log" >&2 2>/dev/null || true
}

# --- The cluster ----------------------------------------------------------------------------------

ceph_cli() {
    timeout -k 5 $WAIT ceph -c "$dir/ceph.conf" --connect-timeout $WAIT "$@" </dev/null
}

count() {
    grep -c "^$1\." "$dir/daemons" || true
}

is_healthy() {
    local status mons osds
    status=$(ceph_cli status -f json 2>/dev/null) || return 1
    status=${status//[[:space:]]/}
    mons=$(count mon) osds=$(count osd)
    [[ $status == *'"status":"HEALTH_OK"'* ]] || return 1
    [[ $status =~ \"quorum\":\[([0-9,]*)\] ]] || return 1
    [[ $(tr -cd , <<<"${BASH_REMATCH[1]}" | wc -c) -eq $((mons - 1)) ]] || return 1
    [[ $status == *"\"num_up_osds\":$osds,"* ]] || return 1
    [[ $(count mgr) == 0 || $status == *'"available":true'* ]] || return 1
    [[ $(count mds) == 0 || $status == *'"status":"up:active"'* ]] || return 1
    # With a mgr the placement groups are known, and each of them must be active.
    [[ $status != *'"num_pgs":0,'* && $status =~ \"num_pgs\":([0-9]+) ]] || return 0
    [[ $(count mgr) == 0 || $status == *"\"state_name\":\"active+clean\",\"count\":${BASH_REMATCH[1]}}"* ]]
}

await_health() {
    local deadline=$((SECONDS + WAIT)) name
    until is_healthy; do
        for name in $(<"$dir/daemons"); do
            [[ -n $(pids "$name") ]] && continue
            show_log "$name"
            die "$name has ended"
        done
        if ((SECONDS >= deadline)); then
            for name in $(<"$dir/daemons"); do show_log "$name"; done
            ceph_cli -s >&2 || true
            die "not healthy after $WAIT s"
        fi
        sleep 0.1
    done
}

start() {
    local mons=1 osds=0 mgr=false mds=false v1_only=false auth=cephx store=memstore owner="" rm="" conf=()
    while (($# > 0)); do
        case $1 in
        --mons) mons=$2 && shift ;;
        --osds) osds=$2 && shift ;;
        --auth) auth=$2 && shift ;;
        --conf) conf+=("$2") && shift ;;
        --owner) owner=$2 && shift ;;
        --mgr) mgr=true ;;
        --mds) mds=true ;;
        --v1-only) v1_only=true ;;
        --bluestore) store=bluestore ;;
        --rm) rm=--rm ;;
        *) usage >&2 && exit 2 ;;
        esac
        shift
    done
    $mds && ((osds == 0)) && osds=1
    [[ $mons =~ ^[1-5]$ && $osds =~ ^[0-8]$ && $auth =~ ^(cephx|none)$ ]] || { usage >&2 && exit 2; }
    # Admin sockets are in DIR, and a unix socket's path ends at 107 bytes.
    ((${#dir} <= 90)) || die "the path is too long: $dir"

    mkdir -p "$dir"
    [[ -e $dir/daemons || -z $(ls -A "$dir") ]] || die "not empty, and not a cluster's: $dir"
    stop
    find "$dir" -mindepth 1 -delete
    trap 'stop || true' EXIT
    trap 'exit 1' INT TERM HUP
    local port="" fsid names=({a..e}) daemons=() n
    fsid=$(</proc/sys/kernel/random/uuid)
    for ((n = 0; n < mons; n++)); do daemons+=("mon.${names[n]}"); done
    $mgr && daemons+=(mgr.x)
    for ((n = 0; n < osds; n++)); do daemons+=("osd.$n"); done
    $mds && daemons+=(mds.a)
    printf '%s\n' "${daemons[@]}" >"$dir/daemons"
    [[ -z $owner ]] || watch_owner "$owner" $rm
    claim_ports
    write_conf
    write_keyrings
    bring_up
    await_health
    trap - EXIT
    echo "CEPH_CONF=$dir/ceph.conf"
}

bring_up() {
    local name commands=""
    local -A uuids=()
    local all_mons=("${daemons[@]:0:mons}") others=("${daemons[@]:mons}") all_osds=()
    for name in "${daemons[@]}"; do mkdir "$dir/$name"; done
    make_monmap
    at_once mkfs_mon "${all_mons[@]}"
    at_once launch "${all_mons[@]}"

    if $mgr; then
        # Else it would make a pool of its own some time after the OSDs are up.
        commands+=$'config set mgr mgr/devicehealth/enable_monitoring false --force\n'
        # In Debian 13 (18.2) a mgr cannot load its Python modules, none of which a test needs.
        [[ $(ceph-mon --version) =~ \ version\ 1[46]\. ]] ||
            commands+=$'health mute MGR_MODULE_DEPENDENCY --sticky\n'
    fi
    for name in "${others[@]}"; do
        [[ $name == osd.* ]] || continue
        all_osds+=("$name")
        uuids[$name]=$(</proc/sys/kernel/random/uuid)
        commands+="osd new ${uuids[$name]} ${name#osd.}"$'\n'
    done
    at_once mkfs_osd "${all_osds[@]}"
    if $mds; then
        commands+=$'osd pool create cephfs_metadata 8\nosd pool create cephfs_data 8\n'
        commands+=$'fs new cephfs cephfs_metadata cephfs_data\n'
    fi
    # The ceph tool reads commands from its stdin when it is given none: one start for them all. It
    # goes on after one that fails; await_health will tell.
    [[ -z $commands ]] ||
        timeout -k 5 $WAIT ceph -c "$dir/ceph.conf" <<<"$commands" >"$dir/commands.out" 2>&1 || true
    at_once launch "${others[@]}"
}

# Runs the command for each name, all at the same time.
at_once() {
    local name job jobs=()
    for name in "${@:2}"; do
        "$1" "$name" &
        jobs+=($!)
    done
    for job in "${jobs[@]}"; do
        wait "$job" || exit 1
    done
}

make_monmap() {
    local n add=()
    for ((n = 0; n < mons; n++)); do add+=(--addv "${names[n]}" "$(mon_addrs "$n")"); done
    monmaptool --create --fsid "$fsid" "${add[@]}" "$dir/monmap" >"$dir/monmap.out" 2>&1 ||
        die "monmaptool: $(<"$dir/monmap.out")"
}

mkfs_mon() {
    mkfs "$1" --monmap "$dir/monmap" --keyring "$dir/mkfs.keyring"
}

mkfs_osd() {
    mkfs "$1" --no-mon-config --osd-uuid "${uuids[$1]}"
}

mkfs() {
    local name=$1
    "ceph-${name%%.*}" -i "${name#*.}" -c "$dir/ceph.conf" --mkfs "${@:2}" >"$dir/$name.out" 2>&1 </dev/null && return
    show_log "$name"
    die "$name: mkfs failed"
}

stop() {
    local watcher
    # The mons last: an OSD that ends tells them and waits for the answer. An MDS would take seconds.
    end '!(mon.*)' 1
    end '*' 1
    release_ports
    watcher=$(cat "$dir/watcher.pid" 2>/dev/null) || return 0
    rm -f "$dir/watcher.pid"
    [[ $watcher != "$$" ]] && is_watcher "$watcher" && kill "$watcher" 2>/dev/null
    return 0
}

# --- The owner ------------------------------------------------------------------------------------

watch_owner() {
    local since
    since=$(start_time "$1") || die "no process $1 to be the owner"
    setsid "$here/vstart.sh" watch "$dir" "$1" "$since" "${@:2}" </dev/null >/dev/null 2>&1 9>&- &
    echo $! >"$dir/watcher.pid"
}

is_watcher() {
    grep -sqxzF watch "/proc/$1/cmdline" && grep -sqxzF -- "$dir" "/proc/$1/cmdline"
}

# When the process began, to tell it from a later one with its number. Fails for a zombie.
start_time() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # The name, in parentheses, may contain anything.
    read -ra stat <<<"${stat##*) }"
    [[ ${stat[0]} != Z ]] && echo "${stat[19]}"
}

watch() {
    while [[ $(start_time "$1") == "$2" ]]; do sleep 0.3; done
    stop
    [[ ${3:-} != --rm ]] || rm -rf "$dir"
}

# --- Commands -------------------------------------------------------------------------------------

[[ $# -ge 2 ]] || { usage >&2 && exit 2; }
command=$1
dir=$(realpath -m -- "$2")
shift 2
case $command in
start | stop | watch) "$command" "$@" ;;
wait) await_health ;;
pid) pids "$1" | grep . ;;
kill)
    signal "$1" "${2:-KILL}"
    case ${2:-KILL} in KILL | TERM | INT | 9 | 15 | 2) await_end "$1" 10 ;; esac
    ;;
restart)
    end "$1"
    launch "$1"
    ;;
*) usage >&2 && exit 2 ;;
esac

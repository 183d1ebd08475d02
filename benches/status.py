#!/usr/bin/env python3
"""Whole processes side by side on one cluster: our `ceph status`, librados, and the Python `ceph`.

usage: status.py [--rounds N] [--ceph BINARY] [--msgr-v1-only]

Runs each program once to warm up, then N times (15), taking turns, and prints medians and ranges of
wall time, CPU time (user and system) and peak RSS. Exits with 1 if ours needs more than a quarter of
the CPU or of the memory of `rados lspools`, or more than half of its wall time; or if over messenger
v2 with checksums it takes longer than over v1.

The cluster is that of CEPH_CONF, or one of tests/vstart.sh that ends with this script. Without
--ceph the release build of examples/ceph.rs is measured.
"""

import argparse
import ctypes
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRADOS = "rados lspools"
# Ours, by how it speaks; what it does where it is not told is the first.
OURS = {
    "ceph (ours)": [],
    "ours, v1": ["--msgr", "v1"],
    "ours, v2 crc": ["--msgr", "v2", "--ms-mode", "crc"],
    "ours, v2 secure": ["--msgr", "v2", "--ms-mode", "secure"],
}
V1, V2 = "ours, v1", "ours, v2 crc"
BOUNDS = {"wall": 0.5, "cpu": 0.25, "rss": 0.25}
# Two runs of the same program differ by as much.
NO_SLOWER = 1.1
UNITS = {"wall": "ms", "cpu": "ms", "rss": "MiB"}


def measure(command):
    """One run: wall and CPU time in ms, peak RSS in MiB.

    A process' peak counts what its parent had when it forked, and Python has more than we need. So a
    small shell forks, in front of a pipe; it ends, and its child becomes ours to wait for.
    """
    script = 'exec 3<&0; { read -r _ <&3; exec 3<&-; exec "$@" </dev/null >/dev/null; } & echo $!'
    with subprocess.Popen(
        ["sh", "-c", script, "sh", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as shell:
        pid = int(shell.stdout.readline())
        shell.wait()
        start = time.monotonic()
        shell.stdin.write(b"go\n")
        shell.stdin.close()
        _, status, usage = os.wait4(pid, 0)
        wall = time.monotonic() - start
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"status.py: {' '.join(command)} failed")
    cpu = usage.ru_utime + usage.ru_stime
    return {"wall": wall * 1e3, "cpu": cpu * 1e3, "rss": usage.ru_maxrss / 1024}


def compare(programs, rounds):
    """The median, the least and the most of each program and quantity."""
    for command in programs.values():
        measure(command)
    samples = {name: [] for name in programs}
    for _ in range(rounds):
        for name, command in programs.items():
            samples[name].append(measure(command))
    return {
        name: {
            what: (statistics.median(values), min(values), max(values))
            for what in BOUNDS
            for values in [[run[what] for run in runs]]
        }
        for name, runs in samples.items()
    }


def report(results):
    """Prints the table; returns which bounds are broken."""
    print(f"{'':16}" + "".join(f"{f'{what}/{UNITS[what]} (range), ratio':>36}" for what in BOUNDS))
    for name, quantities in results.items():
        row = f"{name:16}"
        for what, (median, least, most) in quantities.items():
            ratio = median / results[LIBRADOS][what][0]
            row += f"{f'{median:.1f} ({least:.1f} to {most:.1f}) {ratio:5.2f}':>36}"
        print(row)
    broken = []
    for what, bound in BOUNDS.items():
        ratio = results[next(iter(OURS))][what][0] / results[LIBRADOS][what][0]
        verdict = "ok" if ratio <= bound else "BROKEN"
        print(f"{what}: {ratio:.2f} of librados', at most {bound} is allowed: {verdict}")
        if ratio > bound:
            broken.append(what)
    if V2 in results:
        ratio = results[V2]["wall"][0] / results[V1]["wall"][0]
        verdict = "ok" if ratio <= NO_SLOWER else "BROKEN"
        print(f"wall: v2 with checksums takes {ratio:.2f} of v1's, at most {NO_SLOWER}: {verdict}")
        if ratio > NO_SLOWER:
            broken.append("v2")
    return broken


def build():
    """The release build of examples/ceph.rs."""
    subprocess.run(["cargo", "build", "--release", "--example", "ceph"], cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return str(target / "release/examples/ceph")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--ceph", metavar="BINARY", help="measure this instead of examples/ceph.rs")
    parser.add_argument("--msgr-v1-only", action="store_true", help="a cluster without messenger v2")
    options = parser.parse_args()
    if options.rounds < 9:
        parser.error("fewer than 9 rounds say nothing")
    ours = options.ceph or build()

    vstart = str(ROOT / "tests/vstart.sh")
    own = None if "CEPH_CONF" in os.environ else tempfile.mkdtemp(prefix="bench-")
    if own:
        start = [vstart, "start", own, "--mgr", "--osds", "1", "--owner", str(os.getpid())]
        start += ["--v1-only"] if options.msgr_v1_only else []
        subprocess.run(start, check=True, stdout=subprocess.DEVNULL)
    conf = f"{own}/ceph.conf" if own else os.environ["CEPH_CONF"]
    # PR_SET_CHILD_SUBREAPER: what a shell leaves behind is ours to wait for.
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    try:
        modes = OURS if not options.msgr_v1_only else {"ceph (ours)": []}
        results = compare(
            {name: [ours, "-c", conf, *how, "status"] for name, how in modes.items()}
            | {
                LIBRADOS: ["rados", "-c", conf, "lspools"],
                "ceph (Python)": ["ceph", "-c", conf, "status"],
            },
            options.rounds,
        )
    finally:
        if own:
            subprocess.run([vstart, "stop", own], check=True)
            shutil.rmtree(own)
    sys.exit(1 if report(results) else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Measures midge against other libraries, all doing the same work in turns, and writes benches/RESULTS.md.

    python3 benches/peers/run.py            everything; the first run installs gigabytes under target/peers
    python3 benches/peers/run.py --quick    a short look

Needs Python 3.11 or later and cargo; MNIST in the folder named by MIDGE_DATA, in midge's cache, or `--data synthetic`.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path

import measure
import report
import setup


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help="times that everything is measured [default: 5, quick: 2]")
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--threads", default="1,2", help="thread counts [default: 1,2]")
    parser.add_argument("--peers", default=",".join(setup.PEERS), help=f"which of {','.join(setup.PEERS)} [default: all]")
    parser.add_argument("--data", default="default", help="as `midge --data` [default: $MIDGE_DATA, else the cache]")
    parser.add_argument("--keep-settings", action="store_true", help="the settings that the last run chose, not chosen anew")
    parser.add_argument("--folder", type=Path, default=setup.ROOT / "target" / "peers", help="for environments and inputs")
    parser.add_argument("--out", type=Path, default=setup.ROOT / "benches" / "RESULTS.md", help="report to write")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.peers = [peer for peer in options.peers.split(",") if peer]
    options.folder = options.folder.resolve()
    if unknown := set(options.peers) - set(setup.PEERS):
        parser.error(f"--peers: no such library: {', '.join(sorted(unknown))}")
    try:
        options.threads = [int(threads) for threads in options.threads.split(",")]
    except ValueError:
        parser.error(f"--threads: expected numbers like 1,2, found {options.threads!r}")
    if options.rounds < 1 or min(options.threads) < 1:
        parser.error("--rounds and --threads must be at least 1")
    return options


def run_threads(options, works, threads):
    """Starts the workers, checks, tunes and measures."""
    print(f"== {threads} threads", flush=True)
    keys = ["midge", *[peer for peer in options.peers if threads in setup.PEERS[peer][2]]]
    workers = [measure.Worker(options.folder, key, threads) for key in keys]
    tuning = options.folder / f"tuning-{threads}.json"
    known = json.loads(tuning.read_text()) if options.keep_settings and tuning.is_file() else {}
    print("-- settings", flush=True)
    choices = measure.tune(workers, works, known)
    tuning.write_text(json.dumps(known, indent=1))
    print("-- agreement with midge", flush=True)
    agreement = measure.check_agreement(workers, choices)
    print("-- rounds", flush=True)
    others = [measure.taken_by_others()]
    seconds, curves = measure.rounds(workers, works, choices, options.rounds)
    others.append(measure.taken_by_others())
    for worker in workers:
        worker.stop()
    print(report.ratio_table(workers, works, seconds), flush=True)
    return workers, (seconds, curves, choices, agreement), others


def main():
    options = arguments()
    works = measure.works(options.quick)
    # Round 0 warms up on a block of its own.
    train_images = works[0].count * (options.rounds + 1)
    test_images = max(work.count for work in works if work.set == "digits")
    setup.set_up(options.folder, options.peers, options.data, train_images, test_images)
    sections, versions, others = [], {}, []
    for threads in options.threads:
        workers, outcome, busy = run_threads(options, works, threads)
        others += busy
        versions |= {worker.name: worker.version for worker in workers}
        sections.append(report.section(threads, workers, works, outcome))
    facts = {
        "command": shlex.join(["python3", "benches/peers/run.py", *sys.argv[1:]]),
        "others": others,
        "rounds": options.rounds,
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "data": "digits drawn by midge" if options.data == "synthetic" else "the first test images of MNIST",
    }
    report.write(options.out, facts, sections)
    print(f"{options.out} written")
    if report.busyness(others)["warning"]:
        print("run.py: the machine was busy, so these figures are worth nothing", file=sys.stderr)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Measures training steps on this machine's CPU beside those of an older commit, and writes bench/results/before_cpu.json.

    ./run bench before COMMIT [--rounds N]      builds COMMIT beside this checkout, in build/before; some ten minutes

Both programs run in turn, so that what else the machine does meets both; ratios are of neighbours in one round. Beside them,
of this build alone, the optimizer's part of steps at V = 200,000: with every row in every step, and when rows are read.
"""
import argparse
import subprocess
import sys
from pathlib import Path

import cpu
import measure

WORDS = 200_000


def build(commit):
    """kernels_bench of that commit."""
    folder = measure.ROOT / "build" / "before"
    for command in (["git", "-C", measure.ROOT, "worktree", "remove", "--force", folder],
                    ["git", "-C", measure.ROOT, "worktree", "prune"]):
        subprocess.run(command, stderr=subprocess.DEVNULL, check=False)
    log = measure.ROOT / "build" / "before.log"
    with log.open("w") as file:
        for command in (["git", "-C", measure.ROOT, "worktree", "add", "--detach", folder, commit],
                        ["cmake", "--preset", "cpu"], ["cmake", "--build", "build/cpu", "--target", "kernels_bench"]):
            where = folder if command[0] == "cmake" else measure.ROOT
            if subprocess.run(command, cwd=where, stdout=file, stderr=file, check=False).returncode != 0:
                sys.exit(f"bench before: could not build {commit}: {log} says why")
    return folder / "build" / "cpu" / "bench" / "kernels_bench"


def in_turn(old, new, rounds):
    """{step: {"before_us": [...], "us": [...]}}, of each round one sample of each."""
    flags = ("--benchmark_filter=^training_step/(float32|mixed)/", "--benchmark_min_time=0.5")
    steps = {}
    for _ in range(rounds):
        before, now = cpu.benchmark(old, *flags), cpu.benchmark(new, *flags)
        for name in before.keys() & now.keys():
            step = steps.setdefault(name, {"before_us": [], "us": []})
            step["before_us"] += before[name]["us"]
            step["us"] += now[name]["us"]
    return steps


def optimizer(program, rounds):
    """{"every_step" and "when_read": {threads: [us, ...]}}."""
    parts = {}
    for _ in range(rounds):
        for name, sample in cpu.benchmark(program, "--row-updates", f"--benchmark_filter=V:{WORDS}/").items():
            _, _, updates, threads = name.split("/")[:4]
            parts.setdefault(updates, {}).setdefault(threads.removeprefix("threads:"), []).extend(sample["us"])
    return parts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit")
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    commit = measure.git("rev-parse", "--short", "--verify", "--quiet", f"{arguments.commit}^{{commit}}")
    if not commit:
        sys.exit(f"bench before: '{arguments.commit}', expected a commit")
    old, new = build(commit), arguments.build / "bench" / "kernels_bench"
    steps = in_turn(old, new, arguments.rounds)
    measure.write("before_cpu", {**measure.origin(f"./run bench before {commit}"), "before": commit, "steps": steps,
                                 "vocabulary": WORDS, "optimizer": optimizer(new, arguments.rounds)})


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The plan of a training step, with the estimate of each of its nodes: nothing runs, nothing is measured.

    ./run bench step       reel info --step of several batches, into results/step.json, whose `before` stays
    bench/step.py --reel PROGRAM [--before]      the same; as what it was before

Where there is no GPU, PROGRAM is that of the tests (build/*/tests/cli/reel_emulated), as on an H200.
"""
import argparse
import json
import os
import subprocess

import measure
from tables import table, verdict

RESULT = measure.RESULTS / "step.json"
CASES = [(precision, batch) for batch in (64, 1024) for precision in ("float32", "mixed")]
TARGETS = {("float32", 64): 135, ("mixed", 64): 100, ("float32", 1024): 480, ("mixed", 1024): 210}  # us
MOST_LAUNCHES = 14  # on the critical path


def plan(reel, precision, batch):
    command = [reel, "info", "--device", "cuda", "--step", "--json", "--precision", precision, "--batch-size", str(batch)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True,
                                     env={"REEL_RUNTIME_DEVICE": "h200", **os.environ}).stdout)


def case_of(plans, precision, batch):
    return next(plan for plan in plans if (plan["precision"], plan["batch"]) == (precision, batch))


def summary(result):
    """Of each case before and now: launches on the critical path, microseconds of it and of all nodes."""
    rows = []
    for precision, batch in CASES:
        before, now = (case_of(result[when]["plans"], precision, batch) for when in ("before", "now"))
        target = TARGETS[precision, batch]
        rows.append([f"{batch:,}", precision, *(plan["critical_launches"] for plan in (before, now)),
                     *(f"{plan['critical_us']:.0f}" for plan in (before, now)), target, verdict(now["critical_us"] <= target),
                     *(f"{plan['sum_us']:.0f}" for plan in (before, now))])
    head = ["batch", "precision", "launches before", "now", "us before", "now", "target", "holds", "all nodes, us, before", "now"]
    launches = max(case_of(result["now"]["plans"], *case)["critical_launches"] for case in CASES)
    return (table(head, rows) + f"\n\nAt most {MOST_LAUNCHES} launches on the critical path, of one layer at these batches: {verdict(launches <= MOST_LAUNCHES)}, {launches}. "
            f"`{result['command']}`, commit {result['now']['commit']}, before: {result['before']['commit']}.")


def nodes(result, batch=64):
    """A line for each node of a step now, in each precision: W_hh's gradient is not the same nodes in both."""
    return "\n\n".join(f"In {precision}:\n\n{nodes_of(case_of(result['now']['plans'], precision, batch))}"
                       for precision in ("float32", "mixed"))


def nodes_of(plan):
    rows = [[f"**{i}**" if i in plan["critical_path"] else i, node["operation"], f"`{node['name']}`", ", ".join(map(str, node["after"])),
             node["launches"], f"{node['bytes'] / 1e6:.2f}", f"{node['flops'] / 1e6:,.0f}", f"{node['us']:.1f}"]
            for i, node in enumerate(plan["nodes"])]
    return table(["", "operation", "node", "after", "launches", "MB", "MFLOP", "us"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reel", required=True)
    parser.add_argument("--before", action="store_true")
    arguments = parser.parse_args()
    origin = measure.origin("./run bench step")
    now = {"commit": origin["commit"], "plans": [plan(arguments.reel, *case) for case in CASES]}
    before = json.loads(RESULT.read_text())["before"] if RESULT.exists() and not arguments.before else now
    measure.write(RESULT.stem, {"command": origin["command"], "before": before, "now": now})


if __name__ == "__main__":
    main()

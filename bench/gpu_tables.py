"""Tables of what gpu_check.sh measured."""
import math
import re
from statistics import median

from tables import table, verdict


def medians_of(part, pattern):
    """Median microseconds of what Google Benchmark timed, by the groups of the pattern."""
    found = {}
    for row in (part or {}).get("benchmarks", []):
        name = re.fullmatch(pattern + "/real_time", row.get("run_name", ""))
        if name and row.get("aggregate_name") == "median" and not row.get("error_occurred"):
            found[name.groups()] = row["real_time"]
    return found


def goals(result):
    """The goals for one H200 beside what a result of gpu_check.sh says of them."""
    result = result or {}
    reel = medians_of(result.get("steps"), r"training_step/(\w+)/B:(\d+)")
    recurrence = medians_of(result.get("recurrence"), r"recurrence_(\w+)/([\w-]+)/B:(\d+)/H:128/full")
    torch = {(peer["kind"], peer["batch"]): median(peer["ratios"])
             for peer in (result.get("peers") or {}).get("results", [])
             if peer["precision"] == "float32" and "ratios" in peer}
    reached = [run["train_seconds"] for name, run in (result.get("training") or {}).items()
               if run and "mixed" in name and run["test_accuracy"] >= 0.85]

    def step(batch):
        return min((us for (_, b), us in reel.items() if b == batch), default=None)

    def against_cudnn(batch):
        times = {variant: us + recurrence[("backward", variant, batch)] for (way, variant, b), us in recurrence.items()
                 if way == "forward" and b == batch and ("backward", variant, batch) in recurrence}
        peers = [us for variant, us in times.items() if variant.startswith("cudnn") and not variant.endswith("mixed")]
        return min(peers) / times["float32"] if peers and "float32" in times else None

    def epoch(batch):
        time = step(batch)
        return time and time * math.ceil(25000 / int(batch)) / 1e3

    wanted = [("a training step, batch 64: at most 73 us", step("64"), 73, "{:.0f} us"),
              ("a training step, batch 1024: at most 88 us", step("1024"), 88, "{:.0f} us"),
              ("an epoch, batch 64: at most 28 ms", epoch("64"), 28, "{:.1f} ms"),
              ("an epoch, batch 1024: at most 2.2 ms", epoch("1024"), 2.2, "{:.1f} ms"),
              ("the recurrence and its way back against cuDNN, batch 64: at least 6 times faster",
               against_cudnn("64"), -6, "{:.1f}"),
              ("the same, batch 1024: at least 8 times faster", against_cudnn("1024"), -8, "{:.1f}"),
              ("a step against PyTorch's CUDA graph, batch 64: at least 5 times faster",
               torch.get(("graph", 64)), -5, "{:.1f}"),
              ("a step against PyTorch eager, batch 64: at least 10 times faster",
               torch.get(("eager", 64)), -10, "{:.1f}"),
              ("a step against PyTorch's CUDA graph, batch 1024: at least 6 times faster",
               torch.get(("graph", 1024)), -6, "{:.1f}"),
              ("training to 85 %: less than 0.5 s", min(reached, default=None), 0.5, "{:.2f} s")]
    rows = []
    for text, value, limit, shown in wanted:
        if value is None:
            rows.append([text, "not measured", ""])
        else:
            holds = value <= limit if limit > 0 else value >= -limit
            rows.append([text, shown.format(value), verdict(holds)])
    return table(["goal, on one H200", "measured", "holds"], rows)


def recurrences(result):
    """Reel beside the fastest algorithm of cuDNN; one that was refused, for its accuracy or by cuDNN, is left out."""
    medians = {}
    for part in ("recurrence", "grid"):
        for (operation, variant, shape), time in medians_of(result.get(part), r"recurrence_(\w+)/([\w-]+)/(.*)").items():
            medians.setdefault((shape, operation), {})[variant] = time
    rows = []
    for (shape, operation), times in medians.items():
        for precision, suffix in (("float32", ""), ("mixed", "-mixed")):
            peers = {name: time for name, time in times.items()
                     if name.startswith("cudnn") and name.endswith("-mixed") == (suffix != "")}
            if precision in times and peers:
                best = min(peers, key=peers.get)
                rows.append([f"{operation}, {shape.replace('/', ' ')}", precision, f"{times[precision]:.1f}",
                             f"{peers[best]:.1f} ({best.removesuffix('-mixed').removeprefix('cudnn-')})",
                             f"{peers[best] / times[precision]:.1f}"])
    return table(["recurrence", "precision", "us", "cuDNN, us (algorithm)", "times Reel's"], rows) + (
        f"\n\n`./run bench gpu`, commit {result['commit'][:7]}.")

"""Tables of what gpu_check.sh found (gpu_report.py), for gpu_check.md and for bench/README.md."""
import math
from statistics import median

from tables import table, verdict


def families(result, part):
    return ((result or {}).get("parts", {}).get(part) or {}).get("families", {})


def rows(result, *parts):
    """The rows of all families, also of those that did not come to their end."""
    return [row for part in parts for family in families(result, part).values() for row in family.get("rows", [])]


def network(row):
    """Of which recurrent layers a row is: "gru", "tanh, 2 layers, both directions"."""
    layers, directions = row.get("layers", 1), row.get("directions", 1)
    return ", ".join([row.get("cell", "tanh"), *[f"{layers} layers"] * (layers > 1), *["both directions"] * (directions > 1)])


def with_network(text, row):
    """`text`, and behind it of which layers the row is, where they are not the recipe's."""
    return text if network(row) == "tanh" else f"{text}, {network(row)}"


def percentile(samples, share):
    ordered = sorted(samples)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def steps(result):
    """Microseconds, median, of a part of the recipe's training step by name, precision and batch."""
    return {(row["what"], row["precision"], row["batch"]): median(row["us"])
            for row in rows(result, "steps") if row.get("us") and network(row) == "tanh"}


def recurrence_times(result, *parts):
    """Samples in microseconds, by shape and cell, way, precision and variant; Reel's from the run with the peer beside. Ways
    are forward and backward, and those of a layer, with its projection."""
    found = {}
    for family in (family for part in parts for family in families(result, part).values()):
        timed = [row for row in family.get("rows", []) if row.get("us") and row["what"].startswith(("recurrence_", "layer_"))]
        for row in timed:
            shape = (row["batch"], row["hidden"], row["steps"], row["rows"], network(row))
            key = (shape, row["what"].removeprefix("recurrence_").replace("_", " "), row["precision"])
            peers = [other for other in timed if other["what"] == row["what"] and other["variant"] != "reel"]
            if row["variant"] == "reel" and peers:
                found.setdefault(key, {})[peers[0]["variant"]] = (row["us"], peers[0]["us"])
    return found


def ratios(result, part="peers"):
    """Of PyTorch's time to Reel's, by kind, precision, batch and layers: all rounds."""
    found = {}
    for row in rows(result, part):
        if "ratio" in row:
            found.setdefault((row["kind"], row["precision"], row["batch"], network(row)), []).append(row["ratio"])
    return found


def trainings(result):
    """By what was trained, "mixed" or "gru-float32": summaries of the runs that came to their end."""
    found = {}
    for name, family in families(result, "training").items():
        if "summary" in family:
            found.setdefault(name.rsplit("-", 1)[0], []).append(family["summary"])
    return found


def goals(result):
    """The goals for one H200 beside what was measured."""
    step, torch = steps(result), {key: median(values) for key, values in ratios(result).items()}
    times = recurrence_times(result, "recurrence")
    reached = [run["train_seconds"] for run in trainings(result).get("mixed", []) if run["test_accuracy"] >= 0.85]

    def against_cudnn(batch, precision, cell="tanh"):
        """Both ways together, beside the fastest algorithm; of GRU and LSTM whole layers."""
        shape, layer = (batch, 128, 200, "full", cell), "" if cell == "tanh" else "layer "
        forward, backward = (times.get((shape, layer + way, precision), {}) for way in ("forward", "backward"))
        sums = [(median(forward[peer][1]) + median(backward[peer][1]), median(forward[peer][0]) + median(backward[peer][0]))
                for peer in forward if peer in backward]
        return min(sums)[0] / min(sums)[1] if sums else None

    def epoch(batch):
        time = step.get(("training_step", "mixed", batch))
        return time and time * math.ceil(25000 / batch) / 1e3

    wanted = [(f"a training step, batch {batch}, {precision}: at most {most} us",
               step.get(("training_step", precision, batch)), most, "{:.0f} us")
              for batch, precision, most in ((64, "float32", 135), (64, "mixed", 100), (1024, "float32", 480),
                                             (1024, "mixed", 210))]
    wanted += [("an epoch, batch 64, mixed: at most 40 ms", epoch(64), 40, "{:.1f} ms"),
               ("an epoch, batch 1024, mixed: at most 5.5 ms", epoch(1024), 5.5, "{:.1f} ms")]
    wanted += [(f"the recurrence and its way back against cuDNN, batch {batch}, {precision}: at least {least} times faster",
                against_cudnn(batch, precision), -least, "{:.1f}")
               for batch in (64, 1024) for precision, least in (("float32", 4), ("mixed", 6))]
    wanted += [(f"a layer of {cell.upper()} and its way back against cuDNN, batch {batch}, float32: at least {least} times faster",
                against_cudnn(batch, "float32", cell), -least, "{:.1f}")
               for cell in ("gru", "lstm") for batch, least in ((64, 2), (1024, 1))]
    wanted += [("a step against PyTorch's CUDA graph, batch 64: at least 5 times faster",
                torch.get(("graph", "float32", 64, "tanh")), -5, "{:.1f}"),
               ("a step against PyTorch eager, batch 64: at least 10 times faster",
                torch.get(("eager", "float32", 64, "tanh")), -10, "{:.1f}"),
               ("training to 85 %, mixed: less than 0.5 s", min(reached, default=None), 0.5, "{:.2f} s")]
    lines = []
    for text, value, limit, shown in wanted:
        if value is None:
            lines.append([text, "not measured", ""])
        else:
            lines.append([text, shown.format(value), verdict(value <= limit if limit > 0 else value >= -limit)])
    return table(["goal, on one H200", "measured", "holds"], lines)


def recurrences(result):
    """Reel beside the fastest algorithm of cuDNN; one that was refused, for its accuracy or by cuDNN, is left out. Of GRU and
    LSTM whole layers, since cuDNN projects their input itself, and Reel's recurrence alone."""
    def named(way, row):
        return with_network(f"{way}, B {row['batch']}, H {row['hidden']}, T {row['steps']}, {row['rows']} rows", row)

    lines = []
    for (shape, way, precision), peers in recurrence_times(result, "recurrence", "grid").items():
        best = min(peers, key=lambda peer: median(peers[peer][1]))
        reel, cudnn = peers[best]
        ratio = median(theirs / ours for ours, theirs in zip(reel, cudnn))
        row = dict(zip(("batch", "hidden", "steps", "rows", "cell"), shape))
        lines.append([named(way, row), precision, f"{median(reel):.1f}",
                      f"{median(cudnn):.1f} ({best.removeprefix('cudnn-')})", f"{ratio:.1f}"])
    lines += [[named(row["what"].removeprefix("recurrence_"), row), row["precision"], f"{median(row['us']):.1f}", "", ""]
              for row in rows(result, "recurrence", "grid")
              if row.get("us") and row["what"].startswith("recurrence_") and network(row) != "tanh"]
    return table(["recurrence", "precision", "us", "cuDNN, us (algorithm)", "times Reel's"], lines)


def steps_table(result):
    lines = [[with_network(row["what"].replace("_", " "), row), row["batch"], row["precision"], f"{median(row['us']):.1f}",
              f"{percentile(row['us'], 0.1):.1f}", f"{percentile(row['us'], 0.9):.1f}"]
             for row in rows(result, "steps") if row.get("us") and row["what"] != "window"]
    return table(["part of a step", "batch", "precision", "us", "p10", "p90"], lines)


def windows_table(result):
    """Whether the host's start of steps runs beside the device's work, or one waits for the other."""
    lines = [[with_network(row["batch"], row), row["precision"],
              *(f"{median(row[key]):.1f}" for key in ("us", "host_start_us", "step_us"))]
             for row in rows(result, "steps") if row["what"] == "window"]
    return table(["batch", "precision", "device, us a step", "host starts", "both beside each other"], lines)


def training_table(result):
    lines = []
    for what, runs in trainings(result).items():
        accuracies = [100 * run["test_accuracy"] for run in runs]
        lines.append([what, len(runs), " ".join(f"{a:.1f}" for a in accuracies), f"{sum(accuracies) / len(runs):.1f} %",
                      f"{median(run['train_seconds'] for run in runs):.2f}"])
    return table(["trained", "runs", "test accuracy, %", "mean", "seconds"], lines)


def peers_table(result, part="peers"):
    lines = [[batch if layers == "tanh" else f"{batch}, {layers}", precision, kind, f"{median(values):.1f}", len(values)]
             for (kind, precision, batch, layers), values in ratios(result, part).items()]
    lines += [[with_network(row["batch"], row), row["precision"], row["kind"], "refused: " + row["refused"], ""]
              for row in rows(result, part) if "refused" in row]
    return table(["batch", "PyTorch's precision", "kind", "times Reel's", "rounds"], lines)


def tests_table(result):
    lines = [[name, len(family.get("passed", [])), len(family.get("skipped", [])),
              " ".join(family.get("failed", []) + [f"{test} (did not end)" for test in family.get("unfinished", [])])]
             for name, family in families(result, "tests").items()]
    return table(["tests", "passed", "skipped", "failed"], lines)


def sections(result):
    """What was measured: title and table, of the parts that ran."""
    makers = (("Tests", "tests", tests_table), ("Training steps", "steps", steps_table),
              ("Host and device", "steps", windows_table), ("Training", "training", training_table),
              ("Recurrence", "recurrence", recurrences), ("PyTorch", "peers", peers_table),
              ("PyTorch, other models", "models", lambda found: peers_table(found, "models")))
    return [(title, make(result)) for title, part, make in makers if part in result["parts"]]


def device(result):
    """Name and driver, of what nvidia-smi printed as CSV."""
    lines = families(result, "facts").get("gpu", {}).get("text", [])
    return ", driver ".join(field.strip() for field in lines[-1].split(",")[:2]) if lines else "an unknown device"


def report(result):
    """For bench/README.md."""
    text = "\n\n".join(f"### {title}\n\n{made}" for title, made in sections(result))
    return f"{text}\n\n`gpu_check.sh`, commit {result['commit'][:7]}, {device(result)}."


def summary(result):
    """gpu_check.md."""
    parts = result["parts"]
    outcomes = [[part, name, family["outcome"], family["seconds"]] for part in parts
                for name, family in families(result, part).items()]
    texts = [f"gpu_check.sh at commit {result['commit']}, {device(result)}",
             table(["part", "outcome", "seconds"], [[n, p["outcome"], p["seconds"]] for n, p in parts.items()])]
    unusual = [line for line in outcomes if line[2] != "passed"]
    if unusual:
        texts.append(table(["part", "family", "outcome", "seconds"], unusual))
    texts += [f"## {title}\n\n{made}" for title, made in sections(result)]
    for part in ("facts", "ncu", "sass"):
        said = "\n".join(line for family in families(result, part).values() for line in family.get("text", [])[:60])
        if said:
            texts.append(f"## {part}\n\n```\n{said}\n```")
    return "\n\n".join(texts) + "\n"

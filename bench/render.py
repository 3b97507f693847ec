#!/usr/bin/env python3
"""Makes the tables and the plot of bench/README.md from bench/results/*.json.

    ./run bench render
    bench/render.py --check      fails where the tables are not those of the results

Each table stands between the lines <!-- NAME --> and <!-- end -->. Medians everywhere; nothing is measured here.
"""
import json
import re
import sys
from statistics import mean, median

import gpu_tables
import measure
import step
from tables import replaced, table, verdict

README = measure.ROOT / "bench" / "README.md"
ADAM_BYTES = 1_313_025 * 4 * 6  # parameters and two states, each read and written


def load(name):
    path = measure.RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def source(result):
    return (f"`{result['command']}`, commit {result['commit']}, {result['cores']} cores of an {result['processor']}"
            f"{', ' + result['instructions'] if 'instructions' in result else ''}.")


def rate(result, name, key="FLOP/s"):
    return median(result[name][key])


def operations_table(result):
    operations, ceilings, rows = result["operations"], result["ceilings"], []
    threads = sorted({int(t) for name in operations for t in re.findall(r"threads:(\d+)", name)})
    few, most = threads[0], threads[-1]
    sgemm, fma = (rate(ceilings, f"{name}/threads:{most}") for name in ("sgemm", "multiply_adds"))
    copy = rate(ceilings, f"copy/threads:{most}", "bytes_per_second")
    for name, sample in sorted(operations.items(), key=lambda item: (item[0].split("/")[1], item[0])):
        if f"threads:{most}" not in name:
            continue
        operation, precision, _, *shape = name.split("/")
        alone = median(operations[name.replace(f"threads:{most}", f"threads:{few}")]["us"])
        time = median(sample["us"])
        speed, share = "", ""
        if "FLOP/s" in sample:
            flops = rate(operations, name)
            ceiling, of = (fma, "multiply-adds") if operation == "training_step" else (sgemm, "sgemm")
            speed, share = f"{flops / 1e9:.0f} GFLOP/s", f"{100 * flops / ceiling:.0f} % of {of}"
        elif operation == "optimizer_step":
            moved = ADAM_BYTES / time * 1e6
            speed, share = f"{moved / 1e9:.0f} GB/s", f"{100 * moved / copy:.0f} % of copy"
        cell = "".join(f", {word.upper()}" for word in shape if word in ("gru", "lstm"))
        rows.append([operation.replace("_", " ") + cell + (", full rows" if shape[-1] == "full" else ""), precision,
                     f"{alone:,.0f}", f"{time:,.0f}", f"{alone / time:.2f}", speed, share])
    ceiling = (f"Ceilings, measured before and after: multiply-adds alone {fma / 1e9:.0f} GFLOP/s on {most} threads; sgemm "
               f"{rate(ceilings, f'sgemm/threads:{few}') / 1e9:.0f} GFLOP/s on {few} thread, {sgemm / 1e9:.0f} on {most}; copy "
               f"{copy / 1e9:.0f} GB/s. {source(result)}")
    head = ["operation, B 64, T 200, H 128", "precision", f"us, {few} thread", f"us, {most} threads", "times faster",
            "speed", "share"]
    return table(head, rows) + "\n\n" + ceiling


def programs_table(result):
    rows = [["prepare aclImdb_v1.tar.gz", f"{median(result['prepare']['seconds']):.2f} s",
             f"{max(result['prepare']['peak_bytes']) / 1e6:.0f} MB"],
            ["read the prepared folder", f"{median(result['load']['us']) / 1e3:.0f} ms", ""],
            ["start (`reel --version`)", f"{1e3 * median(result['start']['seconds']):.0f} ms", ""],
            ["predict one text", f"{1e3 * median(result['predict_one']['seconds']):.0f} ms", ""],
            [f"predict {result['predict_bulk']['reviews']:,} texts",
             f"{median(result['predict_bulk']['seconds']):.2f} s", ""]]
    for precision, runs in result["train"].items():
        accuracies = [100 * run["accuracy"] for run in runs]
        rows.append([f"train the recipe, {precision}, to {mean(accuracies):.2f} % ({min(accuracies):.1f} to "
                     f"{max(accuracies):.1f}, seeds 1 to 5)", f"{median(run['seconds'] for run in runs):.1f} s",
                     f"{max(run['peak_bytes'] for run in runs) / 1e6:.0f} MB"])
    return table(["from the start of the process to its end", "time", "peak memory"], rows) + "\n\n" + source(result)


def before_table(result):
    """Of steps the median of neighbours' ratios."""
    rows = []
    for name, sample in sorted(result["steps"].items(), key=lambda item: item[0].split("/")):
        _, precision, threads, _, *cell = name.split("/")
        before, now = sample["before_us"], sample["us"]
        rows.append([f"a training step{', ' + cell[0].upper() if cell else ''}", precision, threads.removeprefix("threads:"),
                     f"{median(before) / 1e3:.2f}", f"{median(now) / 1e3:.2f}",
                     f"{median(b / n for b, n in zip(before, now)):.2f}"])
    every, read = (result["optimizer"][updates] for updates in ("every_step", "when_read"))
    for threads in sorted(every, key=int):
        before, now = every[threads], read[threads]
        rows.append([f"the optimizer's part at V = {result['vocabulary']:,}, every row in every step, and when rows are read",
                     "float32", threads, f"{median(before) / 1e3:.2f}", f"{median(now) / 1e3:.2f}",
                     f"{median(b / n for b, n in zip(before, now)):.2f}"])
    head = ["B 64, T 200, H 128", "precision", "threads", "ms before", "now", "times faster"]
    rounds = len(next(iter(result["steps"].values()))["us"])
    return table(head, rows) + f"\n\nBefore: {result['before']}; {rounds} rounds, in turn. {source(result)}"


def parts_table(result):
    """Of the recurrence also its speed: of each token, products of 2 x 128 x 128 FLOP, one forward and two on the way back."""
    parts = result["parts"]
    tokens = result["tokens_a_step"]
    rows = []
    for name in parts["float32"]:
        products = {"rnn_forward": 1, "rnn_backward": 2}.get(name, 0)
        cells = []
        for times in parts.values():
            speed = f", {products * tokens * 2 * 128 * 128 / times[name] / 1e6:.0f} GFLOP/s" if products else ""
            cells.append(f"{times[name]:.2f} ({100 * times[name] / times['step']:.0f} %{speed})")
        rows.append([name.replace("_", " "), *cells])
    return table(["part", *(f"{precision}, ms (share)" for precision in parts)], rows) + "\n\n" + source(result)


def stars_table(result):
    """Of Reel's seeds the mean; a temperature changes neither accuracy nor F1."""
    sides = [("Reel", result["reel"]), ("word counts", {name: [result["word_counts"][name]] for name in result["reel"]})]
    rows = []
    for weights in result["reel"]:
        for side, runs in ((side, by_weights[weights]) for side, by_weights in sides):
            of = lambda when, name: mean(run[when][name] for run in runs)
            change = lambda name: f"{of('before', name):.3f} to {of('after', name):.3f}"
            accuracies = [100 * run["after"]["accuracy"] for run in runs]
            spread = f" ({min(accuracies):.1f} to {max(accuracies):.1f})" if len(runs) > 1 else ""
            features = f": {runs[0]['features']}, C = {runs[0]['C']:g}" if side == "word counts" else ""
            rows.append([side + features, weights, f"{mean(accuracies):.1f} %{spread}", f"{of('after', 'macro_f1'):.3f}",
                         change("log_loss"), change("expected_calibration_error"),
                         f"{mean(run['temperature'] for run in runs):.2f}", f"{median(run['seconds'] for run in runs):.0f}"])
    head = ["", "class weights", "accuracy", "macro F1", "log loss", "calibration error", "temperature", "seconds to train"]
    reviews, seeds = result["reviews"], len(next(iter(result["reel"].values())))
    said = (f"Reel: `{result['model']}`, the mean of seeds 1 to {seeds}. Word counts: {result['word_counts']['version']}. "
            f"{len(result['classes'])} classes; {reviews['train']:,} reviews to train, {reviews['validation']:,} to choose, "
            f"{reviews['test']:,} to test. {source(result)}")
    return table(head, rows) + "\n\n" + said


def peers_table(result):
    rows = []

    def row(name, entry, ratios):
        training = entry.get("training", {})
        reached = training and training["accuracy"][-1] >= 0.85
        rows.append([name, f"{1e3 * median(entry['seconds_per_step']):.1f}", *ratios,
                     f"{training['seconds'][-1]:.0f} s" if reached else "", f"{entry['start_seconds']:.1f} s",
                     f"{entry['peak_bytes'] / 1e6:,.0f} MB"])

    programs = load("programs_cpu")
    for cell, ours in {"": result["reel"], **result.get("cells", {})}.items():
        for precision in ("float32", "mixed"):
            if not ours[precision]:
                continue
            entry = {"seconds_per_step": ours[precision], "start_seconds": median(ours["start_seconds"]),
                     "peak_bytes": ours["peak_bytes"]}
            if not cell:
                runs = [run for run in programs["train"][precision] if run["accuracy"] >= 0.85]
                entry["training"] = {"accuracy": [0.85], "seconds": [median(run["seconds"] for run in runs)]}
            row(", ".join(filter(None, ("Reel", cell, precision))), entry, ["", ""])
    for name, entry in result["peers"].items():
        if "refused" in entry:
            rows.append([name, entry["refused"], "", "", "", "", ""])
            continue
        ratios = [f"{median(entry[key]):.1f}" if key in entry else "" for key in ("ratios_float32", "ratios_mixed")]
        row(f"{name.replace('_', ', ')} ({entry['version']})", entry, ratios)
    head = ["", "ms a step", "times Reel's", "times Reel's mixed", "to 85 %", "start", "peak memory"]
    gate = max(entry.get("loss_difference", 0) for entry in result["peers"].values())
    return table(head, rows) + f"\n\nLargest relative difference of a loss in ten steps: {gate:.0e}. {source(result)}"


def goals_table(operations, programs, peers):
    ceilings, timed = operations["ceilings"], operations["operations"]
    most = max(int(t) for name in timed for t in re.findall(r"threads:(\d+)", name))
    rows = []

    def goal(text, value, shown, holds):
        rows.append([text, shown.format(value), verdict(holds)])

    for peer, text, least in (("torch_padded", "PyTorch's nn.RNN, padded", 12), ("torch_packed", "packed", 8),
                              ("keras_tensorflow", "Keras", 10)):
        value = median(peers["peers"][peer]["ratios_float32"])
        goal(f"an epoch, float32, against {text}: at least {least} times faster", value, "{:.1f}", value >= least)
    for peer, least in measure.CELL_GOALS.items():
        text = f"an epoch, float32, against PyTorch's nn.{peer.split('_')[-1].upper()}, padded: at least {least} times faster"
        samples = peers["peers"].get(peer, {}).get("ratios_float32")
        if samples:
            goal(text, median(samples), "{:.1f}", median(samples) >= least)
        else:
            rows.append([text, "not measured", ""])
    ceiling = {name: rate(ceilings, f"{name}/threads:{most}") for name in ("sgemm", "multiply_adds")}
    for cell, least, most_time in (("", 60, 1.35), ("/gru", 80, 1.5), ("/lstm", 80, 1.5)):
        of_cell = cell.upper().replace("/", ", ")
        for way in ("forward", "backward"):
            name = f"recurrence_{way}/float32/threads:{most}/B:64/H:128{cell}/ragged"
            share = 100 * rate(timed, name) / ceiling["sgemm"]
            goal(f"recurrence {way}{of_cell}: at least {least} % of sgemm on all cores", share, "{:.1f} %", share >= least)
            if most == 2 and not cell:
                value = median(timed[name.replace(f"threads:{most}", "threads:1")]["us"]) / median(timed[name]["us"])
                goal(f"recurrence {way}: two threads at least 1.8 times one", value, "{:.2f}", value >= 1.8)
        value = ceiling["multiply_adds"] / rate(timed, f"training_step/float32/threads:{most}/B:64{cell}")
        goal(f"a training step{of_cell}: at most {most_time} times what its multiply-adds take", value, "{:.2f}",
             value <= most_time)
    runs = programs["train"]["float32"]
    seconds = median(run["seconds"] for run in runs)
    reached = all(run["accuracy"] >= 0.85 for run in runs)
    goal("85 % from the prepared folder to the saved model: at most 15 s", seconds, "{:.1f} s",
         seconds <= 15 and reached)
    value = median(programs["prepare"]["seconds"])
    goal("prepare: at most 6 s", value, "{:.1f} s", value <= 6)
    value = max(programs["prepare"]["peak_bytes"]) / 1e6
    goal("prepare: at most 500 MB", value, "{:.0f} MB", value <= 500)
    value = median(programs["load"]["us"]) / 1e6
    goal("reading a prepared folder: at most 0.1 s", value, "{:.3f} s", value <= 0.1)
    value = 1e3 * median(programs["predict_one"]["seconds"])
    goal("predicting one text: at most 50 ms", value, "{:.0f} ms", value <= 50)
    bulk = programs["predict_bulk"]
    value = bulk["reviews"] / median(bulk["seconds"])
    goal("predicting in bulk: at least 20,000 reviews a second", value, "{:,.0f}", value >= 20000)
    if "mixed" in programs["train"]:
        steps = [median(s for run in programs["train"][p] for s in run["epoch_seconds"]) for p in ("float32", "mixed")]
        goal("an epoch, mixed against float32: at least 2 times faster", steps[0] / steps[1], "{:.2f}",
             steps[0] >= 2 * steps[1])
        accuracy = [100 * mean(run["accuracy"] for run in programs["train"][p]) for p in ("float32", "mixed")]
        difference = accuracy[1] - accuracy[0]
        goal("mean accuracy of five seeds, mixed minus float32: within 0.3 points", difference, "{:+.2f}",
             abs(difference) <= 0.3)
    return table(["goal", "measured", "holds"], rows)


def scaling_plot(result, path):
    import matplotlib
    import matplotlib.ticker

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.hashsalt": "reel", "font.size": 8, "axes.grid": True, "grid.alpha": 0.3})
    figure, axes = plt.subplots(2, 4, figsize=(13, 5.6))
    for axis, what in zip(axes.flat, ("batch", "steps", "hidden", "vocabulary", "threads")):
        points = sorted((int(name.rsplit(":", 1)[1]), median(sample["us"]) / 1e3)
                        for name, sample in result["steps"].items() if f"/{what}:" in name)
        axis.loglog(*zip(*points), marker="o")
        axis.set_xticks([x for x, _ in points], labels=[f"{x:,}" for x, _ in points])
        axis.minorticks_off()
        axis.set_ylim(min(y for _, y in points) / 1.5, max(y for _, y in points) * 1.5)
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
        axis.set(title=f"a step by {what}", xlabel=what, ylabel="ms")
    points = [(int(reviews), entry) for reviews, entry in result["reviews"].items()]
    axes[1, 1].loglog([n for n, _ in points], [e["seconds"] for _, e in points], marker="o", label="s, whole command")
    axes[1, 1].loglog([n for n, _ in points], [e["peak_bytes"] / 1e6 for _, e in points], marker="s", label="MB, peak")
    axes[1, 1].set(title="one epoch from a CSV file by reviews", xlabel="reviews")
    axes[1, 1].legend()
    limits = [(int(limit), entry) for limit, entry in result["vocabulary_limit"].items()]
    axes[1, 2].semilogx([n for n, _ in limits], [e["seconds"] for _, e in limits], marker="o", label="s")
    axes[1, 2].semilogx([n for n, _ in limits], [e["peak_bytes"] / 1e8 for _, e in limits], marker="s", label="100 MB")
    axes[1, 2].set(title="the same by --vocab-size; 20,000 words occur", xlabel="--vocab-size", ylim=(0, None))
    axes[1, 2].legend()
    axes[1, 3].axis("off")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main():
    check = sys.argv[1:] == ["--check"]
    operations, programs = load("operations_cpu"), load("programs_cpu")
    peers, scaling = load("peers_cpu"), load("scaling_cpu")
    parts = {}
    if operations:
        parts["operations"] = operations_table(operations)
    if programs:
        parts["programs"] = programs_table(programs)
        parts["parts"] = parts_table(programs)
    if before := load("before_cpu"):
        parts["before"] = before_table(before)
    if peers and programs:
        parts["peers"] = peers_table(peers)
    if stars := load("stars"):
        parts["stars"] = stars_table(stars)
    if plans := load("step"):
        parts["step"] = step.summary(plans)
        parts["step nodes"] = step.nodes(plans)
    if operations and programs and peers:
        parts["goals"] = goals_table(operations, programs, peers)
    gpu = load("gpu_check")
    parts["gpu goals"] = gpu_tables.goals(gpu)
    if gpu:
        parts["gpu"] = gpu_tables.report(gpu)
    if scaling:
        if not check:
            scaling_plot(scaling, measure.RESULTS / "scaling_cpu.svg")
        parts["scaling"] = f"![scaling](results/scaling_cpu.svg)\n\n{source(scaling)}"
    text = old = README.read_text()
    for name, part in parts.items():
        text = replaced(text, name, part)
    if check and text != old:
        sys.exit("bench/README.md: tables other than those of bench/results/; expected ./run bench render to have been run")
    if not check:
        README.write_text(text)
        print("bench/README.md")


main()

#!/usr/bin/env python3
"""Measures Reel on this machine's CPU and writes bench/results/*_cpu.json; bench/render.py makes tables of them.

    ./run bench cpu --data PATH     PATH: aclImdb_v1.tar.gz, or a folder with it; takes about seven minutes on two cores

operations_cpu: each operation of a training step, with this machine's ceilings before and after
programs_cpu:   whole commands: prepare, load, train to the end in both precisions, predict, start
scaling_cpu:    a training step by batch, steps, width, vocabulary, threads; a training by the number of reviews
"""
import argparse
import json
import math
import os
import random
import re
import shutil
import tempfile
from pathlib import Path

import measure
import tensors


def benchmark(program, *flags):
    """All samples by name: {"us": [...], "flops": [...], ...}."""
    env = dict(os.environ)
    if "avx512f" in Path("/proc/cpuinfo").read_text():
        env["OPENBLAS_CORETYPE"] = "SKYLAKEX"  # old versions do not know newer processors and take AVX2
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        measure.run([program, *flags, f"--benchmark_out={out.name}", "--benchmark_out_format=json"], env=env)
        rows = json.load(out)["benchmarks"]
    scale = {"us": 1, "ms": 1e3, "ns": 1e-3, "s": 1e6}
    samples = {}
    for row in rows:
        if row.get("run_type") != "iteration" or row.get("error_occurred"):
            continue
        sample = samples.setdefault(row["name"].removesuffix("/real_time"), {})
        sample.setdefault("us", []).append(row["real_time"] * scale[row["time_unit"]])
        for key in ("FLOP/s", "bytes_per_second", "items_per_second"):
            if key in row:
                sample.setdefault(key, []).append(row[key])
    return samples


def merge(*runs):
    merged = {}
    for run in runs:
        for name, sample in run.items():
            for key, values in sample.items():
                merged.setdefault(name, {}).setdefault(key, []).extend(values)
    return merged


def operations(build):
    repeat = ("--benchmark_repetitions=3", "--benchmark_min_time=0.2")
    before = benchmark(build / "ceilings_bench", *repeat)
    samples = benchmark(build / "kernels_bench", "--benchmark_enable_random_interleaving=true",
                        "--benchmark_repetitions=9", "--benchmark_min_time=0.2")
    return {"ceilings": merge(before, benchmark(build / "ceilings_bench", *repeat)), "operations": samples}


def training(reel, data, precision, seed, out):
    """From the start of the process to the saved model."""
    seconds, memory, _ = measure.run([reel, "train", "--device", "cpu", "--data", data, "--precision", precision,
                                      "--seed", seed, "--evaluate", "end", "--out", out, "--quiet"])
    summary = json.loads((out / "summary.json").read_text())
    return {"seconds": seconds, "peak_bytes": memory, "epoch_seconds": summary["epoch_seconds"],
            "accuracy": summary["test_accuracy"]}


def tokens_a_step(data):
    """Tokens of the recipe's mean training batch: of each review at most 200."""
    lengths, = tensors.read(data / "tokens.safetensors", ["train.lengths"])
    return int(lengths.clip(max=200).sum()) / math.ceil(len(lengths) / 64)


def parts_of_a_step(reel, data, precision, out):
    """Milliseconds a training step spends in each of its parts, by `reel train --timings`."""
    output = measure.run([reel, "train", "--device", "cpu", "--data", data, "--precision", precision, "--epochs", 2,
                          "--evaluate", "end", "--out", out, "--timings"])[2]
    rows = re.findall(r"^( *)(\w+) +(\d+) +([\d.]+) +[\d.]* ?%?$", output, re.MULTILINE)
    steps = next(int(calls) for _, name, calls, _ in rows if name == "step")
    parts = {}
    for indent, name, _, seconds in rows:
        if name == "evaluate":
            break
        if len(indent) >= 2:
            parts[name] = 1e3 * float(seconds) / steps
    return parts


def programs(reel, build, archive, folder):
    data, result, samples = folder / "prepared", {}, []
    for _ in range(5):
        shutil.rmtree(data, ignore_errors=True)
        samples.append(measure.run([reel, "prepare", "--data", archive, "--out", data])[:2])
    result["prepare"] = {"seconds": [s for s, _ in samples], "peak_bytes": [m for _, m in samples]}
    result["load"] = benchmark(build / "kernels_bench", f"--data={data}", "--benchmark_repetitions=9")["load_prepared"]
    result["start"] = {"seconds": [measure.run([reel, "--version"])[0] for _ in range(11)]}
    precisions = ["float32", "mixed"] if "with BF16" in measure.run([reel, "info"])[2] else ["float32"]
    result["train"] = {precision: [] for precision in precisions}
    for seed in range(1, 6):
        for precision in precisions:
            run = folder / f"{precision}{seed}"
            result["train"][precision].append(training(reel, data, precision, seed, run))
    result["tokens_a_step"] = tokens_a_step(data)
    result["parts"] = {precision: parts_of_a_step(reel, data, precision, folder / f"parts-{precision}")
                       for precision in precisions}
    run, text = folder / "float321", "a wonderful film with a good story"
    result["predict_one"] = {"seconds": [measure.run([reel, "predict", "--device", "cpu", run, text])[0]
                                         for _ in range(11)]}
    reviews = 20000
    lines = write_reviews(folder / "texts", reviews, csv=False)
    bulk = []
    for _ in range(5):
        with open(lines) as file:
            bulk.append(measure.run([reel, "predict", "--device", "cpu", run], stdin=file)[0])
    result["predict_bulk"] = {"reviews": reviews, "seconds": bulk}
    return result


def write_reviews(path, count, csv):
    """Made-up reviews as long as IMDB's; as lines of text or as CSV with labels."""
    words = [f"word{i}" for i in range(20000)]
    weights = [1 / (i + 5) for i in range(len(words))]
    dice = random.Random(1)
    pool = dice.choices(words, weights, k=1_000_000)
    with open(path, "w") as file:
        if csv:
            file.write("text,label\n")
        for i in range(count):
            length = int(dice.lognormvariate(5.2, 0.65))
            begin = dice.randrange(len(pool) - length)
            text = " ".join(pool[begin:begin + length])
            file.write(f"{text},{i % 2}\n" if csv else text + "\n")
    return path


def scaling(reel, build, folder):
    result = {"steps": benchmark(build / "kernels_bench", "--scaling", "--benchmark_repetitions=3",
                                 "--benchmark_min_time=0.1"), "reviews": {}, "vocabulary_limit": {}}
    train = [reel, "train", "--device", "cpu", "--epochs", 1, "--quiet"]
    for reviews in (1000, 10000, 50000, 200000):
        table = write_reviews(folder / f"{reviews}.csv", reviews, csv=True)
        out = folder / f"run{reviews}"
        seconds, memory, _ = measure.run([*train, "--data", table, "--evaluate", "end", "--out", out])
        epoch = json.loads((out / "summary.json").read_text())["epoch_seconds"][0]
        result["reviews"][reviews] = {"seconds": seconds, "epoch_seconds": epoch, "peak_bytes": memory}
        if reviews != 10000:
            table.unlink()
    for limit in (1000, 10000, 50000, 200000):  # 20,000 words occur: more room must cost nothing
        seconds, memory, _ = measure.run([*train, "--data", folder / "10000.csv", "--vocab-size", limit, "--out",
                                          folder / f"limit{limit}"])
        result["vocabulary_limit"][limit] = {"seconds": seconds, "peak_bytes": memory}
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, required=True, help="the build folder")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--parts", default="operations,programs,scaling")
    arguments = parser.parse_args()
    archive = arguments.data / "aclImdb_v1.tar.gz" if arguments.data.is_dir() else arguments.data
    if not archive.is_file():
        parser.error(f"--data: found no {archive}, expected aclImdb_v1.tar.gz or a folder with it")
    build, reel = arguments.build / "bench", arguments.build / "host" / "cli" / "reel"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = {"operations": lambda: operations(build),
                 "programs": lambda: programs(reel, build, archive, folder),
                 "scaling": lambda: scaling(reel, build, folder)}
        for part in arguments.parts.split(","):
            measure.write(f"{part}_cpu", {**measure.origin("./run bench cpu"), **parts[part]()})


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""IMDB's star ratings, eight classes: Reel beside a logistic regression on word counts, with and without class weights, and
how much their probabilities are worth before and after a temperature. Writes bench/results/stars.json.

    ./run bench stars --data PATH [--seeds N]     makes the virtual environment of stars_requirements.txt, then runs this

PATH is aclImdb_v1.tar.gz, or a folder with it. Its reviews become train.csv and test.csv with the columns body and stars,
which is the number in a review's file name. Both sides train on the first nine tenths of train.csv and choose on its last
tenth: Reel the epoch and the temperature, the regression its features, C and the temperature; by accuracy, with class
weights by macro F1. Test reviews are only measured.
"""
import argparse
import csv
import json
import math
import os
import random
import re
import shutil
import struct
import tarfile
import tempfile
from pathlib import Path

import measure

COLUMNS = ("body", "stars")
COUNTS = {"train": 25000, "test": 25000}
VALIDATION = 0.1
VOCABULARY = 10000
MODEL = ["--preset", "long", "--cell", "gru", "--lr", 0.004, "--epochs", 4]  # notes.md: how it was chosen
BEST_BY = {"none": "accuracy", "balanced": "macro_f1"}
MEASURES = ("accuracy", "macro_f1", "log_loss", "expected_calibration_error")


def read_archive(archive):
    """By split: (text, stars) of every labelled review, in an order of its own that is always the same."""
    reviews = {"train": [], "test": []}
    with tarfile.open(archive) as tar:
        for member in tar:
            name = re.search(r"(?:^|/)(train|test)/(?:pos|neg)/(\d+_(\d+)\.txt)$", member.name)
            if name:
                reviews[name[1]].append((name[2], tar.extractfile(member).read().decode("utf-8"), name[3]))
    for rows in reviews.values():
        rows.sort()
        random.Random(1).shuffle(rows)
    return {split: [row[1:] for row in rows] for split, rows in reviews.items()}


def write_csv(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def without_temperature(run, out):
    """A copy of a run's model that divides logits by 1, and the temperature that it had."""
    shutil.copytree(run, out, ignore=shutil.ignore_patterns("last"))
    weights = (out / "model.safetensors").read_bytes()
    size, = struct.unpack("<Q", weights[:8])
    header = json.loads(weights[8:8 + size])
    temperature = float(header["__metadata__"].pop("temperature", 1))
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # data is aligned
    (out / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + weights[8 + size:])
    return temperature


class Reel:
    def __init__(self, program, folder, flags):
        self.program, self.folder, self.flags = program, folder, flags
        self.columns = ["--text-column", COLUMNS[0], "--label-column", COLUMNS[1]]

    def evaluate(self, run):
        output = measure.run([self.program, "eval", run, "--data", self.folder / "test.csv", *self.columns, "--json"])[2]
        found = json.loads(output)
        return {name: found[name] for name in MEASURES}

    def train(self, weights, seed):
        run = Path(tempfile.mkdtemp(dir=self.folder)) / "run"
        command = [self.program, "train", "--data", self.folder / "train.csv", "--test-data", self.folder / "test.csv",
                   *self.columns, "--validation-split", VALIDATION, "--validation", "last", "--calibrate",
                   "--best-by", BEST_BY[weights], "--evaluate", "end", "--seed", seed, "--out", run, "--quiet", *self.flags]
        if weights != "none":
            command += ["--class-weights", weights]
        seconds, memory, _ = measure.run(command)
        summary = json.loads((run / "summary.json").read_text())
        temperature = without_temperature(run, run.parent / "before")
        return {"seed": seed, "seconds": summary["train_seconds"], "process_seconds": seconds, "peak_bytes": memory,
                "epoch_seconds": summary["epoch_seconds"], "best_epoch": summary["best_epoch"], "temperature": temperature,
                "before": self.evaluate(run.parent / "before"), "after": self.evaluate(run)}


def compare(program, reviews, folder, seeds, flags):
    """The result so far, after each seed."""
    import word_counts  # here, so that what concerns Reel alone can be tested without scikit-learn

    kept = math.floor(len(reviews["train"]) * (1 - VALIDATION))
    splits = [list(zip(*rows)) for rows in (reviews["train"][:kept], reviews["train"][kept:], reviews["test"])]
    regression, reel = word_counts.WordCounts(*splits, VOCABULARY), Reel(program, folder, flags)
    result = {"reviews": dict(zip(("train", "validation", "test"), (len(texts) for texts, _ in splits))),
              "classes": sorted(set(splits[0][1]), key=int), "model": " ".join(map(str, flags)),
              "reel": {weights: [] for weights in BEST_BY}, "word_counts": {"version": word_counts.VERSION}}
    for weights, best_by in BEST_BY.items():
        result["word_counts"][weights] = regression.choose(None if weights == "none" else weights, best_by)
    for seed in range(1, seeds + 1):
        for weights, best_by in BEST_BY.items():
            result["reel"][weights].append(run := reel.train(weights, seed))
            print(f"Reel, class weights {weights}, seed {seed}: {best_by} {run['after'][best_by]:.4f}, "
                  f"{run['seconds']:.0f} s", flush=True)
        yield {"command": f"./run bench stars --seeds {seed}", "load_average": os.getloadavg(), **result}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reel", type=os.path.abspath, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3, help="trainings of Reel, with and without class weights")
    arguments = parser.parse_args()
    archive = arguments.data / "aclImdb_v1.tar.gz" if arguments.data.is_dir() else arguments.data
    if not archive.is_file():
        parser.error(f"--data: found no {archive}, expected aclImdb_v1.tar.gz or a folder with it")
    if arguments.seeds < 1:
        parser.error(f"--seeds: {arguments.seeds}, expected 1 or more")
    origin = measure.origin("./run bench stars")
    with tempfile.TemporaryDirectory() as name:
        folder, reviews = Path(name), read_archive(archive)
        if (found := {split: len(rows) for split, rows in reviews.items()}) != COUNTS:
            parser.error(f"--data: {archive}: found {found} labelled reviews, expected {COUNTS}")
        for split, rows in reviews.items():
            write_csv(folder / f"{split}.csv", rows)
        for result in compare(arguments.reel, reviews, folder, arguments.seeds, MODEL):
            measure.write("stars", origin | result)


if __name__ == "__main__":
    main()

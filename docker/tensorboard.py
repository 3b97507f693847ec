#!/usr/bin/env python3
"""Shows the metrics of every run in a folder in TensorBoard, while the runs go on.

    tensorboard.py RUNS

Follows RUNS/*/metrics.jsonl and writes TensorBoard's event files to a temporary folder.
"""
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tensorboardX import SummaryWriter

SHOWN = ("loss", "accuracy", "grad_norm", "lr", "tokens_per_second")
SECONDS_BETWEEN_LOOKS = 2


class Run:
    """One run's metrics: a writer for each split, and how far the file has been read."""

    def __init__(self, metrics, events):
        self.metrics, self.events, self.inode, self.place, self.writers = metrics, events, None, 0, {}

    def follow(self):
        with open(self.metrics, "rb") as file:
            # A resumed run writes the file anew, with fewer lines at first: it is another file then, whatever its size.
            status = os.fstat(file.fileno())
            if status.st_ino != self.inode or status.st_size < self.place:
                self.inode, self.place = status.st_ino, 0
            file.seek(self.place)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # still being written
                self.place += len(line)
                self.add(json.loads(line))
        for writer in self.writers.values():
            writer.flush()

    def add(self, values):
        split = values["split"]
        if split not in self.writers:
            self.writers[split] = SummaryWriter(str(self.events / split))
        for name in SHOWN:
            if values.get(name) is not None:
                self.writers[split].add_scalar(name, values[name], values["step"])


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    runs, known = Path(sys.argv[1]), {}
    with tempfile.TemporaryDirectory() as events:
        server = subprocess.Popen(["tensorboard", "--logdir", events, "--bind_all"])
        while server.poll() is None:
            for metrics in runs.glob("*/metrics.jsonl"):
                name = metrics.parent.name
                known.setdefault(name, Run(metrics, Path(events) / name)).follow()
            time.sleep(SECONDS_BETWEEN_LOOKS)
        sys.exit(server.returncode)


if __name__ == "__main__":
    main()

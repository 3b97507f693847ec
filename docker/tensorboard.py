#!/usr/bin/env python3
"""Shows the metrics of every run in a folder in TensorBoard, while the runs go on.

    tensorboard.py RUNS

Follows RUNS/*/metrics.jsonl and writes TensorBoard's event files to a temporary folder.
"""
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tensorboardX import SummaryWriter

SPLITS = ("train", "validation", "test")
SHOWN = ("loss", "accuracy", "macro_f1", "grad_norm", "lr", "tokens_per_second")
LONGEST_LINE = 1 << 16  # bytes; the follower waits for the end of a longer one
SECONDS_BETWEEN_LOOKS = 2


class Run:
    """One run's metrics: a writer for each split, how far the file has been read, and the line before that."""

    def __init__(self, metrics, events):
        self.metrics, self.events, self.offset, self.last, self.writers = metrics, events, 0, b"", {}

    def follow(self):
        if not self.metrics.is_file():  # a pipe would be waited for
            return
        try:
            with open(self.metrics, "rb") as file:
                # A resumed run writes the file anew, with fewer lines at first: other ones follow then.
                file.seek(self.offset - len(self.last))
                if file.read(len(self.last)) != self.last:
                    self.offset, self.last = 0, b""
                    file.seek(0)
                while line := file.readline(LONGEST_LINE):
                    if not line.endswith(b"\n"):
                        break  # still being written
                    self.offset, self.last = self.offset + len(line), line
                    self.add(line)
        except OSError as error:
            print(f"tensorboard.py: {error}", file=sys.stderr, flush=True)
        for writer in self.writers.values():
            writer.flush()

    def add(self, line):
        try:
            self.show(json.loads(line))
        except Exception:  # whatever it is, others go on
            print(f"tensorboard.py: {self.metrics}: expected metrics, found {line[:80]!r}", file=sys.stderr, flush=True)

    def show(self, values):
        split = values["split"]
        if split not in SPLITS:  # it becomes the name of a folder
            raise ValueError(split)
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

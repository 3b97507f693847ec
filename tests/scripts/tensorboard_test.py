#!/usr/bin/env python3
"""tensorboard_test.py DOCKER: docker/tensorboard.py follows metrics that grow and that a resumed run writes anew."""
import json
import sys
import tempfile
import types
from pathlib import Path

added = []  # (split, name, value, step)


class SummaryWriter:
    def __init__(self, folder):
        self.split = Path(folder).name

    def add_scalar(self, name, value, step):
        added.append((self.split, name, value, step))

    def flush(self):
        pass


sys.modules["tensorboardX"] = types.SimpleNamespace(SummaryWriter=SummaryWriter)
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import tensorboard  # noqa: E402  (the script, not the package)


def line(step, **values):
    return json.dumps({"step": step, "split": "train", "loss": 0.5, "lr": None, **values}) + "\n"


def follow(run):
    added.clear()
    run.follow()
    return [step for _, name, _, step in added if name == "loss"]


with tempfile.TemporaryDirectory() as folder:
    metrics = Path(folder) / "metrics.jsonl"
    metrics.write_text(line(1) + line(2) + line(3)[:10])
    run = tensorboard.Run(metrics, Path(folder))
    assert follow(run) == [1, 2], "a line that is still being written waits"
    assert not any(name == "lr" for _, name, _, _ in added), "a value that is not there is not shown"
    with metrics.open("a") as file:
        file.write(line(3)[10:])
    assert follow(run) == [3]
    assert follow(run) == []
    # Resumed: another file in its place, shorter at first, longer than the old one before anybody looks.
    other = Path(folder) / "other"
    other.write_text(line(1, accuracy=0.5) + line(2, accuracy=0.75) + line(3) + line(4))
    other.rename(metrics)
    assert follow(run) == [1, 2, 3, 4]
    # What is no metrics is skipped, and said.
    with metrics.open("a") as file:
        file.write("not JSON\n" + "[1]\n" + "[" * 50000 + "\n" + line(5, split="../elsewhere") + line(6))
    assert follow(run) == [6]
    # Begun anew: nothing at first.
    metrics.write_text("")
    assert follow(run) == []
    metrics.write_text(line(1) + line(2))
    assert follow(run) == [1, 2]
    metrics.unlink()
    metrics.mkdir()
    assert follow(run) == []
    # A file in its place that happens to have the old one's inode.
    metrics.rmdir()
    metrics.write_text(line(1) + line(2))
    run = tensorboard.Run(metrics, Path(folder))
    assert follow(run) == [1, 2]
    metrics.write_text(line(1) + line(7) + line(8))
    assert follow(run) == [1, 7, 8]

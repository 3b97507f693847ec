#!/usr/bin/env python3
"""Reel against torch.nn.RNN: one epoch of the default recipe at batch 64, alternately, on the same cores.

    ./run reel prepare --data aclImdb_v1.tar.gz --out imdb
    bench/compare_torch.py --reel build/cpu/host/cli/reel --data imdb --threads 2 --rounds 2 --json bench/results/NAME.json

Needs torch, numpy and safetensors. Both sides do the same work: embedding, tanh RNN over at most 200 tokens, the state
after each review's last token, dropout, dense, BCE on logits, clipping by global norm, Adam. PyTorch runs in each of
its two ways, padded (all 200 steps) and packed (real tokens only); the faster one is the peer.
"""
import argparse
import json
import os
import platform
import subprocess
import tempfile
import time

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import nn

VOCABULARY, STEPS, WIDTH, BATCH = 10000, 200, 128, 64


class Classifier(nn.Module):
    def __init__(self, packed):
        super().__init__()
        self.packed = packed
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.rnn = nn.RNN(WIDTH, WIDTH, batch_first=True)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(WIDTH, 1)

    def forward(self, ids, lengths):
        embedded = self.embedding(ids)
        if self.packed:
            sequence = nn.utils.rnn.pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
            last = self.rnn(sequence)[1][0]
        else:
            outputs = self.rnn(embedded)[0]
            last = outputs[torch.arange(len(ids)), lengths - 1]
        return self.fc(self.dropout(last)).squeeze(1)


def read_rows(folder):
    """Training rows as Reel makes them: the last 200 ids, left-aligned."""
    tensors = load_file(os.path.join(folder, "tokens.safetensors"))
    ranks, lengths = tensors["train.ranks"], tensors["train.lengths"]
    rows = np.zeros((len(lengths), STEPS), dtype=np.int64)
    kept = np.empty(len(lengths), dtype=np.int64)
    begin = 0
    for i, length in enumerate(lengths):
        ids = ranks[begin : begin + length] + 3
        begin += length
        ids = np.where((ids >= VOCABULARY) | (ids == 3), 2, ids)
        ids = np.concatenate([[1], ids])[-STEPS:]
        rows[i, : len(ids)] = ids
        kept[i] = len(ids)
    return torch.from_numpy(rows), torch.from_numpy(kept), torch.from_numpy(tensors["train.labels"]).float()


def torch_epoch(rows, lengths, labels, packed):
    torch.manual_seed(1)
    model = Classifier(packed)
    optimizer = torch.optim.Adam(model.parameters())
    loss_function = nn.BCEWithLogitsLoss()
    order = torch.randperm(len(rows))
    start = time.perf_counter()
    for first in range(0, len(rows), BATCH):
        batch = order[first : first + BATCH]
        ids = rows[batch]
        ids = torch.where(torch.rand(ids.shape) < 0.2, 2, ids)
        optimizer.zero_grad()
        loss_function(model(ids, lengths[batch]), labels[batch]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return time.perf_counter() - start


def reel_epoch(program, data, threads):
    with tempfile.TemporaryDirectory() as folder:
        run = os.path.join(folder, "run")
        command = [program, "train", "--data", data, "--out", run, "--epochs", "1", "--threads", str(threads), "--quiet"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with open(os.path.join(run, "summary.json")) as file:
            summary = json.load(file)
    return summary["epoch_seconds"][0], summary["peak_rss_bytes"], summary["device"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reel", required=True)
    parser.add_argument("--data", required=True, help="a prepared folder")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows, lengths, labels = read_rows(arguments.data)
    seconds = {"reel": [], "torch_padded": [], "torch_packed": []}
    for _ in range(arguments.rounds):
        reel, rss, device = reel_epoch(arguments.reel, arguments.data, arguments.threads)
        seconds["reel"].append(reel)
        seconds["torch_padded"].append(torch_epoch(rows, lengths, labels, packed=False))
        seconds["torch_packed"].append(torch_epoch(rows, lengths, labels, packed=True))
        print({name: round(times[-1], 2) for name, times in seconds.items()}, flush=True)
    best = {name: min(times) for name, times in seconds.items()}
    peer = min(best["torch_padded"], best["torch_packed"])
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    result = {
        "what": "seconds of one training epoch, 25,000 reviews, batch 64",
        "seconds": seconds,
        "ratio": peer / best["reel"],
        "reel_peak_rss_bytes": rss,
        "device": device,
        "threads": arguments.threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": commit,
        "command": "bench/compare_torch.py --reel REEL --data IMDB "
        f"--threads {arguments.threads} --rounds {arguments.rounds}",
    }
    print(f"ratio: Reel is {result['ratio']:.1f} times as fast as the faster of PyTorch's two ways")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(result, file, indent=2)
            file.write("\n")


main()

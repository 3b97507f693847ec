#!/usr/bin/env python3
"""Reel against PyTorch on the GPU: the recipe's model, data, optimizer, clipping and masking; nn.RNN runs on cuDNN.

    peers_gpu.py --reel REEL --data PREPARED --out peers.json

PyTorch runs eagerly and as a CUDA graph, in float32, in float32 with TF32 and in float16 by autocast. First each trains ten
steps from Reel's weights on Reel's batches without dropout: one whose losses are not Reel's in the same precision is
refused. Then all take turns, an epoch each, in every round; what counts is the ratio within a round.
"""
import argparse
import json
import os
import statistics
import tempfile
import time

import torch

import measure
import peer_models
from peer_models import GATE_RATE, GATE_STEPS, RATE, UNKNOWN, WORD_DROPOUT, TorchPeer, read_rows

TOLERANCES = {"float32": 1e-4, "tf32": 1e-2, "float16": 1e-2}  # relative, of a loss
REELS = {"float32": "float32", "tf32": "float32", "float16": "mixed"}  # what each precision is compared with


class Trainer:
    """A model whose step is one call, or one replay of a CUDA graph, on batches that lie on the device."""

    def __init__(self, precision, graphed, rows, batch, device, dropout, rate):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
        self.device, self.half, self.dropout = device, precision == "float16", dropout
        self.model = TorchPeer("padded", torch.get_num_threads(), device).model.train(dropout)
        fused = {"fused": True, "capturable": True} if device == "cuda" else {}
        self.optimizer = torch.optim.Adam((p for p in self.model.parameters() if p.requires_grad), lr=rate, **fused)
        self.batches = [[torch.from_numpy(part[first:first + batch]).to(device) for part in rows]
                        for first in range(0, len(rows[0]) - batch + 1, batch)]
        self.step = self.eager
        if graphed:
            self.capture()

    def eager(self, ids, lengths, labels):
        if self.dropout:
            ids = torch.where(torch.rand(ids.shape, device=self.device) < WORD_DROPOUT, UNKNOWN, ids)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device, torch.float16, enabled=self.half):
            logits = self.model(ids, lengths)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.detach()

    def capture(self):
        """Warms up on a side stream, records one step, and takes weights and optimizer back to where they were."""
        weights = {name: value.clone() for name, value in self.model.state_dict().items()}
        place = [part.clone() for part in self.batches[0]]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.eager(*place)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            loss = self.eager(*place)
        self.model.load_state_dict(weights)
        for state in self.optimizer.state.values():
            for value in state.values():
                value.zero_()

        def replay(*batch):
            for to, part in zip(place, batch):
                to.copy_(part)
            graph.replay()
            return loss

        self.step = replay

    def losses(self, count):
        return [self.step(*batch).item() for batch in self.batches[:count]]

    def epoch(self):
        """Microseconds a step."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        begin = time.perf_counter()
        for batch in self.batches:
            self.step(*batch)
        if self.device == "cuda":
            torch.cuda.synchronize()
        return 1e6 * (time.perf_counter() - begin) / len(self.batches)


class Reel(peer_models.Reel):
    def epoch(self, batch, precision, reviews):
        """Microseconds a step, median of the epochs after the first."""
        run = self.train("--batch-size", batch, "--precision", precision, "--evaluate", "end")[0]
        seconds = json.loads((run / "summary.json").read_text())["epoch_seconds"][1:]
        return 1e6 * statistics.median(seconds) / -(-reviews // batch)


def compare(reel, rows, batch, arguments):
    entries, trainers = [], {}
    expected = {precision: reel.losses("torch", "--batch-size", batch, "--precision", precision)
                for precision in arguments.precisions}
    for precision in TOLERANCES:
        for kind in ("eager", "graph") if arguments.device == "cuda" else ("eager",):
            if REELS[precision] not in expected:
                continue
            entry = {"batch": batch, "precision": precision, "kind": kind}
            entries.append(entry)
            make = lambda dropout, rate: Trainer(precision, kind == "graph", rows, batch, arguments.device, dropout, rate)
            try:
                losses = make(False, GATE_RATE).losses(GATE_STEPS)
                entry["loss_difference"] = max(abs(a - b) / b for a, b in zip(losses, expected[REELS[precision]]))
                if not entry["loss_difference"] <= TOLERANCES[precision]:
                    entry["refused"] = "other losses than Reel's"
                else:
                    trainers[precision, kind] = entry, make(True, RATE)
                    trainers[precision, kind][1].losses(3)
            except RuntimeError as error:
                entry["refused"] = str(error).splitlines()[0]
    for _ in range(arguments.rounds):
        ours = {precision: reel.epoch(batch, precision, len(rows[0])) for precision in expected}
        for (precision, _), (entry, trainer) in trainers.items():
            theirs = trainer.epoch()
            entry.setdefault("us", []).append(theirs)
            entry.setdefault("reel_us", []).append(ours[REELS[precision]])
            entry.setdefault("ratios", []).append(theirs / ours[REELS[precision]])
    for entry in entries:
        name = f"batch {batch:5} {entry['precision']} {entry['kind']:5}"
        if "refused" in entry:
            print(f"{name} refused: {entry['refused']} ({entry.get('loss_difference', float('nan')):.1e})")
        else:
            print(f"{name} {statistics.median(entry['us']):9.1f} us a step, "
                  f"{statistics.median(entry['ratios']):.1f} times Reel's; losses within {entry['loss_difference']:.0e}")
    return entries


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reel", required=True, type=os.path.abspath)
    parser.add_argument("--data", required=True, type=os.path.abspath, help="a prepared folder")
    parser.add_argument("--out", required=True)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="cpu: to try this script")
    parser.add_argument("--batches", type=int, nargs="+", default=(64, 1024))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    arguments.precisions = ["float32", "mixed"] if arguments.device == "cuda" else ["float32"]
    rows = read_rows(arguments.data, "train")
    with tempfile.TemporaryDirectory() as folder:
        reel = Reel(arguments.reel, arguments.data, folder, "--device", arguments.device)
        results = [entry for batch in arguments.batches for entry in compare(reel, rows, batch, arguments)]
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else measure.processor()
    versions = {"torch": torch.__version__, "cudnn": torch.backends.cudnn.version(), "device": device}
    with open(arguments.out, "w") as file:
        json.dump({"versions": versions, "results": results}, file, indent=1)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Reel against PyTorch on the GPU: the recipe's model, data, optimizer, clipping and masking; nn.RNN runs on cuDNN.

    peers_gpu.py --reel REEL --data PREPARED
    peers_gpu.py --reel REEL --data PREPARED --cell lstm --layers 2 --bidirectional     other recurrent layers

PyTorch runs eagerly and as a CUDA graph, in float32, in float32 with TF32 and in float16 by autocast. First each trains ten
steps from Reel's weights on Reel's batches without dropout: one whose losses are not Reel's in the same precision is
refused. Then all take turns, an epoch each, in every round; what counts is the ratio within a round. Each row of the results
is printed as a line of JSON as soon as it is known. With both directions PyTorch runs eagerly on packed batches: on padded
ones its second direction would begin in the padding.
"""
import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time

import torch

import measure
import peer_models
from peer_models import CELLS, GATE_RATE, GATE_STEPS, RATE, UNKNOWN, WORD_DROPOUT, Network, TorchPeer, read_rows

TOLERANCES = {"float32": 1e-4, "tf32": 1e-2, "float16": 1e-2}  # relative, of a loss
REELS = {"float32": "float32", "tf32": "float32", "float16": "mixed"}  # what each precision is compared with


@contextlib.contextmanager
def tf32(on):
    """Whether products and cuDNN round to TF32, for the time being: the flags are global, and each trainer has its own."""
    flags = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [flag.allow_tf32 for flag in flags]
    for flag in flags:
        flag.allow_tf32 = on
    try:
        yield
    finally:
        for flag, value in zip(flags, before):
            flag.allow_tf32 = value


class Trainer:
    """A model whose step is one call, or one replay of a CUDA graph, on batches that lie on the device."""

    def __init__(self, precision, graphed, rows, batch, arguments, dropout, rate):
        device, network = arguments.device, arguments.network
        way = "packed" if network.bidirectional else "padded"
        self.precision, self.device, self.dropout = precision, device, dropout
        self.model = TorchPeer(way, torch.get_num_threads(), device, network).model.train(dropout)
        fused = {"fused": True, "capturable": True} if device == "cuda" else {}
        self.optimizer = torch.optim.Adam((p for p in self.model.parameters() if p.requires_grad), lr=rate, **fused)
        devices = (device, "cpu" if way == "packed" else device, device)  # lengths are packed by the host
        self.batches = [[torch.from_numpy(part[first:first + batch]).to(where) for part, where in zip(rows, devices)]
                        for first in range(0, len(rows[0]) - batch + 1, batch)]
        self.run = self.eager
        if graphed:
            with tf32(precision == "tf32"):
                self.capture()

    def step(self, *batch):
        with tf32(self.precision == "tf32"):
            return self.run(*batch)

    def eager(self, ids, lengths, labels):
        if self.dropout:
            ids = torch.where(torch.rand(ids.shape, device=self.device) < WORD_DROPOUT, UNKNOWN, ids)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device, torch.float16, enabled=self.precision == "float16"):
            logits = self.model(ids, lengths)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.detach()

    def capture(self):
        """Warms up on a side stream, records one step, and takes weights and optimizer back to where they were."""
        weights = {name: value.clone() for name, value in self.model.state_dict().items()}
        static_batch = [part.clone() for part in self.batches[0]]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.eager(*static_batch)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            loss = self.eager(*static_batch)
        self.model.load_state_dict(weights)
        for state in self.optimizer.state.values():
            for value in state.values():
                value.zero_()

        def replay(*batch):
            for to, part in zip(static_batch, batch):
                to.copy_(part)
            graph.replay()
            return loss

        self.run = replay

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
    def epoch(self, batch, precision, reviews, *flags):
        """Microseconds a step, median of the epochs after the first."""
        run = self.train("--batch-size", batch, "--precision", precision, "--evaluate", "end", *flags)[0]
        seconds = json.loads((run / "summary.json").read_text())["epoch_seconds"][1:]
        return 1e6 * statistics.median(seconds) / -(-reviews // batch)


def show(peer, **measured):
    print(json.dumps(peer | measured), flush=True)


def admitted(rows, batch, expected, arguments):
    """The trainers that compute Reel's losses, warm, each with what names it."""
    network, trainers = arguments.network, []
    for precision in arguments.precisions:
        for kind in ("eager", "graph") if arguments.device == "cuda" and not network.bidirectional else ("eager",):
            peer = {"batch": batch, "precision": precision, "kind": kind, "cell": network.cell, "layers": network.layers,
                    "directions": network.directions}
            make = lambda dropout, rate: Trainer(precision, kind == "graph", rows, batch, arguments, dropout, rate)
            try:
                losses = make(False, GATE_RATE).losses(GATE_STEPS)
                difference = max(abs(a - b) / b for a, b in zip(losses, expected[REELS[precision]]))
                if not difference <= TOLERANCES[precision]:
                    show(peer, refused="other losses than Reel's", loss_difference=difference)
                    continue
                trainer = make(True, RATE)
                trainer.losses(3)
                show(peer, loss_difference=difference)
                trainers.append((peer, trainer))
            except RuntimeError as error:
                show(peer, refused=str(error).splitlines()[0])
    return trainers


def compare(reel, rows, batch, arguments):
    expected = {precision: reel.losses("torch", arguments.network, "--batch-size", batch, "--precision", precision)
                for precision in sorted({REELS[precision] for precision in arguments.precisions})}
    trainers = admitted(rows, batch, expected, arguments)
    for number in range(arguments.rounds):
        ours = {precision: reel.epoch(batch, precision, len(rows[0]), "--epochs", arguments.epochs,
                                      *arguments.network.flags()) for precision in expected}
        for peer, trainer in trainers:
            theirs, reels = trainer.epoch(), ours[REELS[peer["precision"]]]
            show(peer, round=number, us=theirs, reel_us=reels, ratio=theirs / reels)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reel", required=True, type=os.path.abspath)
    parser.add_argument("--data", required=True, type=os.path.abspath, help="a prepared folder")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="cpu: to try this script")
    parser.add_argument("--batches", type=int, nargs="+", default=(64, 1024))
    parser.add_argument("--precisions", nargs="+", choices=TOLERANCES, help="PyTorch's; default: all of the device")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4, help="of Reel in a round, from 2: the first one does not count")
    parser.add_argument("--cell", default="tanh", choices=CELLS)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--bidirectional", action="store_true")
    arguments = parser.parse_args()
    arguments.precisions = arguments.precisions or (list(TOLERANCES) if arguments.device == "cuda" else ["float32", "tf32"])
    arguments.network = Network(arguments.cell, arguments.layers, arguments.bidirectional)
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else measure.processor()
    show({"torch": torch.__version__, "cudnn": torch.backends.cudnn.version(), "device": device})
    rows = read_rows(arguments.data, "train")
    with tempfile.TemporaryDirectory() as folder:
        reel = Reel(arguments.reel, arguments.data, folder, "--device", arguments.device)
        for batch in arguments.batches:
            compare(reel, rows, batch, arguments)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Reel against PyTorch and Keras on the CPU: the recipe's model, data, optimizer, clipping and masking, batch 64; with the cells
GRU and LSTM against PyTorch's padded nn.GRU and nn.LSTM.

    ./run bench peers [--data PATH]     makes the virtual environment of bench/requirements.txt, then runs this

First every peer trains ten steps from the same weights on the same batches without dropout, by its own library's
convention, which Reel follows: a peer whose losses are not Reel's is refused. Then all take turns, a quarter of an
epoch each, in every round; what counts is the ratio within a round. Last, each trains the recipe until it reaches 85 %
on the test reviews, but for GRU and LSTM. One peer a process, so that none pays for another's threads.

The exit code is 1 where Reel's GRU or LSTM is less than 2.5 times as fast as PyTorch's, or could not be compared.
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from statistics import median

import numpy as np

import measure
import peer_models
from peer_models import BATCH, GATE_RATE, GATE_STEPS, RATE, RECIPE, Network, make_peer, network_of, read_rows, split_name

PEERS = ("torch_padded", "torch_packed", "torch_compiled", "keras_tensorflow", "keras_torch", *measure.CELL_GOALS)
TOLERANCE = 1e-4  # relative, of a loss after ten float32 steps
EPOCHS, WARMUP, WANTED = 4, 0.1, 0.85


class Server:
    """One peer's process: answers each line on standard input with a line of JSON."""

    def __init__(self, peer, data, threads):
        self.rows = read_rows(data, "train")
        self.make = lambda: make_peer(peer, threads)
        self.data = data
        self.quarter = len(self.rows[0]) // BATCH // 4

    def batches(self, order, count):
        for step in range(count):
            yield tuple(part[order[step * BATCH:(step + 1) * BATCH]] for part in self.rows)

    def gate(self):
        """From nothing to ten steps; the first answer, so that its time is that of starting."""
        model = self.make()
        losses = [model.step(*batch, dropout=False, rate=GATE_RATE)
                  for batch in self.batches(np.arange(len(self.rows[0])), GATE_STEPS)]
        return {"version": model.version, "losses": losses}

    def warm(self):
        self.model = self.make()
        for batch in self.batches(np.arange(len(self.rows[0])), 3):
            self.model.step(*batch)
        return {}

    def time(self):
        order = np.random.permutation(len(self.rows[0]))
        begin = time.perf_counter()
        for batch in self.batches(order, self.quarter):
            self.model.step(*batch)
        return {"seconds_per_step": (time.perf_counter() - begin) / self.quarter}

    def train(self):
        """The recipe until the wanted accuracy: test accuracies and seconds so far, by epoch."""
        begin, steps = time.perf_counter(), -(-len(self.rows[0]) // BATCH)
        model, test, total, step = self.make(), read_rows(self.data, "test"), EPOCHS * steps, 0
        answer = {"seconds": [], "accuracy": []}
        while len(answer["accuracy"]) < EPOCHS and max(answer["accuracy"], default=0) < WANTED:
            for batch in self.batches(np.random.permutation(len(self.rows[0])), steps):
                warm, left = (step + 1) / (WARMUP * total), (total - step) / ((1 - WARMUP) * total)
                model.step(*batch, rate=RATE * min(1, warm, left))
                step += 1
            right = 0
            for i in range(0, len(test[0]), BATCH):
                ids, lengths, labels = (part[i:i + BATCH] for part in test)
                right += int(np.sum((model.logits(ids, lengths) > 0) == labels))
            answer["seconds"].append(time.perf_counter() - begin)
            answer["accuracy"].append(right / len(test[0]))
        return answer

    def serve(self):
        for line in sys.stdin:
            answer = getattr(self, line.strip())()
            answer["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            print(json.dumps(answer), flush=True)


class Peer:
    """The other end of a Server."""

    def __init__(self, name, data, threads):
        command = [sys.executable, __file__, "--serve", name, "--data", data, "--threads", str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)

    def ask(self, what):
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        return None


class Reel(peer_models.Reel):
    def seconds_per_step(self, network, quarter, precision):
        run = self.train("--max-steps", quarter, "--evaluate", "end", "--precision", precision, *network.flags())[0]
        return json.loads((run / "summary.json").read_text())["epoch_seconds"][0] / quarter

    def first_steps(self, network):
        """Seconds from the start to ten steps, as far as its peers are asked for at first."""
        out = self.new_run()
        begin = time.perf_counter()
        command = [*self.command, "--out", out, "--log-every", GATE_STEPS, *network.flags()]
        process = subprocess.Popen([str(word) for word in command],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        metrics = out / "metrics.jsonl"
        while not (metrics.exists() and metrics.stat().st_size > 0):
            time.sleep(0.001)
        seconds = time.perf_counter() - begin
        process.kill()
        process.wait()
        return seconds


def of_reel(result, network):
    """The entry of Reel with this network's cell."""
    empty = {"float32": [], "mixed": []}
    return result["reel"] if network == RECIPE else result.setdefault("cells", {}).setdefault(network.cell, empty)


def losses_of_reel(reel, name, result):
    """Those that this peer has to have."""
    library, _, cell = split_name(name)
    key = library if cell == RECIPE.cell else f"{library}_{cell}"
    losses = result.setdefault("losses", {})
    if key not in losses:
        losses[key] = reel.losses(library, network_of(name))
    return losses[key]


def compare(reel, arguments, result):
    peers = {}
    for name in arguments.peers.split(","):
        begin = time.perf_counter()
        peer = Peer(name, arguments.data, arguments.threads)
        answer = peer.ask("gate")
        entry = result["peers"][name] = {"start_seconds": time.perf_counter() - begin}
        if answer is None:
            entry["refused"] = "does not run here"
            continue
        entry["version"], expected = answer["version"], losses_of_reel(reel, name, result)
        entry["loss_difference"] = max(abs(a - b) / b for a, b in zip(answer["losses"], expected, strict=True))
        print(f"{name}: largest relative difference of a loss {entry['loss_difference']:.1e}", flush=True)
        if entry["loss_difference"] > TOLERANCE:
            entry["refused"] = "other losses than Reel's"
            continue
        peer.ask("warm")
        peers[name] = peer
    precisions = ["float32", "mixed"] if "with BF16" in measure.run([reel.command[0], "info"])[2] else ["float32"]
    quarter = 25000 // BATCH // 4
    for _ in range(arguments.rounds):
        for name, peer in peers.items():
            entry, theirs = result["peers"][name], peer.ask("time")["seconds_per_step"]
            entry.setdefault("seconds_per_step", []).append(theirs)
            for precision in precisions:
                ours = reel.seconds_per_step(network_of(name), quarter, precision)
                of_reel(result, network_of(name))[precision].append(ours)
                entry.setdefault(f"ratios_{precision}", []).append(theirs / ours)
            print(f"{name}: {entry['ratios_float32'][-1]:.1f} times Reel's", flush=True)
    return peers


def missed_goals(result):
    """A line for each goal of a cell that does not hold, of the peers that were asked for."""
    for name, entry in result["peers"].items():
        if (least := measure.CELL_GOALS.get(name)) is None:
            continue
        if "refused" in entry:
            yield f"{name}: {entry['refused']}, expected Reel to be at least {least} times faster"
        elif (times := median(entry["ratios_float32"])) < least:
            yield f"{name}: {times:.2f} times Reel's, expected at least {least}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reel", type=os.path.abspath)
    parser.add_argument("--data", type=os.path.abspath, required=True, help="a prepared folder")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--no-training", action="store_true", help="leave out the time to 85 %%")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return Server(arguments.serve, arguments.data, arguments.threads).serve()
    result = measure.origin("./run bench peers") | {
        "threads": arguments.threads, "batch": BATCH, "peers": {}, "reel": {"float32": [], "mixed": []}}
    with tempfile.TemporaryDirectory() as folder:
        reel = Reel(arguments.reel, arguments.data, folder, "--device", "cpu", "--threads", arguments.threads)
        peers = compare(reel, arguments, result)
        for network in (RECIPE, *map(Network, result.get("cells", {}))):
            entry = of_reel(result, network)
            entry["start_seconds"] = [reel.first_steps(network) for _ in range(5)]
            entry["peak_bytes"] = reel.train("--max-steps", 100, *network.flags())[2]
        for name, peer in peers.items():
            entry = result["peers"][name]
            entry["peak_bytes"] = peer.ask("time")["peak_bytes"]
            if not arguments.no_training and name not in measure.CELL_GOALS:
                entry["training"] = peer.ask("train")
                print(f"{name}: {entry['training']}", flush=True)
    measure.write("peers_cpu", result)
    if missed := list(missed_goals(result)):
        sys.exit("peers.py: " + "; ".join(missed))


if __name__ == "__main__":
    main()

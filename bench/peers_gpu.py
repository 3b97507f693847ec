#!/usr/bin/env python3
"""Times a training step of the recipe's model in PyTorch on the GPU, eager and as a CUDA graph; nn.RNN runs on cuDNN.

    peers_gpu.py --out peers.json

Microseconds a step, median of --rounds rounds of --steps steps, full rows of 200 tokens: compare with training_step of
kernels_bench, whose rows are shorter. TF32 is off in float32, as in Reel.
"""
import argparse
import json
import statistics

import torch
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(10000, 128)
        self.rnn = nn.RNN(128, 128, batch_first=True)
        self.fc = nn.Linear(128, 1)

    def forward(self, ids):
        return self.fc(self.rnn(self.embedding(ids))[1][0]).squeeze(1)


def make_step(batch, half):
    torch.manual_seed(1)
    model = Model().cuda()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True, capturable=True)
    ids = torch.randint(4, 10000, (batch, 200), device="cuda")
    labels = torch.randint(0, 2, (batch,), device="cuda").float()

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.float16, enabled=half):
            logits = model(ids)
        loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def graphed(step):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def microseconds(run, rounds, steps):
    for _ in range(5):
        run()
    samples = []
    for _ in range(rounds):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(steps):
            run()
        end.record()
        end.synchronize()
        samples.append(begin.elapsed_time(end) * 1000 / steps)
    return statistics.median(samples), samples


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=30)
    args = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    results = []
    for batch in (64, 1024):
        for half in (False, True):
            for kind in ("eager", "graph"):
                try:
                    step = make_step(batch, half)
                    median, samples = microseconds(step if kind == "eager" else graphed(step), args.rounds, args.steps)
                except RuntimeError as error:
                    print(f"batch {batch} {kind}: {error}")
                    continue
                precision = "float16" if half else "float32"
                print(f"batch {batch:5} {precision} {kind:5} {median:9.1f} us a step")
                results.append({"batch": batch, "precision": precision, "kind": kind, "median_us": median,
                                "samples_us": samples})
    versions = {"torch": torch.__version__, "cudnn": torch.backends.cudnn.version(),
                "device": torch.cuda.get_device_name()}
    with open(args.out, "w") as file:
        json.dump({"versions": versions, "results": results}, file, indent=1)


if __name__ == "__main__":
    main()

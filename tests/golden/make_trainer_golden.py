"""A whole training in PyTorch, in float64: python make_trainer_golden.py > trainer.json

Needs torch. Three epochs of three batches, the last one smaller: shuffled order, word dropout, dropout, schedule, clipping,
optimizer. What Reel draws at random is drawn here by Random123's definition of Philox (Salmon et al., SC 2011), written anew
from that paper, and by the addresses that kernels/philox.h and kernels/contract/ document.
"""

import json
import math
import sys

import torch

V, E, H, T, N, B, EPOCHS = 12, 3, 4, 6, 20, 8, 3
SEED, UNKNOWN, WORD_DROPOUT, DROPOUT, CLIP_NORM = 5, 2, 0.3, 0.4, 0.25
STREAMS = {"shuffle": 2, "word_dropout": 3, "dropout": 4}
NAMES = ["embedding.weight", "rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0", "fc.weight", "fc.bias"]
SHAPES = [(V, E), (H, E), (H, H), (H,), (1, H), (1,)]

torch.set_default_dtype(torch.float64)


def philox(counter, key):
    for _ in range(10):
        (high0, low0), (high1, low1) = (divmod(m * c, 2**32) for m, c in ((0xD2511F53, counter[0]), (0xCD9E8D57, counter[2])))
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0]
        key = [(key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32]
    return counter


def bits(stream, step, position):
    block = position // 4
    return philox([block % 2**32, block // 2**32, step, STREAMS[stream]], [SEED % 2**32, SEED // 2**32])[position % 4]


def uniform(stream, step, position):
    return (bits(stream, step, position) >> 8) / 2**24


def reviews():
    generator = torch.Generator().manual_seed(3)
    lengths = torch.randint(0, T + 1, (N,), generator=generator).tolist()
    ids = [torch.randint(3, V, (length,), generator=generator).tolist() for length in lengths]
    labels = torch.randint(0, 2, (N,), generator=generator).tolist()
    return ids, labels


def rate(kind, step, total, peak, warmup):
    rise = warmup * total
    if step < rise:
        return peak * (step + 1) / max(rise, 1)
    done = min((step - rise) / max(total - rise, 1), 1)
    return {"constant": peak, "linear": peak * (1 - done), "cosine": peak / 2 * (1 + math.cos(math.pi * done))}[kind]


def logits(parameters, batch, pool, step):
    embedding, weight_ih, weight_hh, bias, fc_weight, fc_bias = parameters
    rows = []
    for b, ids in enumerate(batch):
        h, total = torch.zeros(H), torch.zeros(H)
        for t, token in enumerate(ids):
            dropped = uniform("word_dropout", step, b * T + t) < WORD_DROPOUT
            h = torch.tanh(weight_ih @ embedding[UNKNOWN if dropped else token] + bias + weight_hh @ h)
            total = total + h
        state = h if pool == "last" else total / max(len(ids), 1)
        mask = torch.tensor([float(uniform("dropout", step, b * H + j) >= DROPOUT) for j in range(H)])
        rows.append(fc_weight[0] @ (state * mask / (1 - DROPOUT)) + fc_bias[0])
    return torch.stack(rows)


def train(kind, pool, make_optimizer, peak, warmup):
    generator = torch.Generator().manual_seed(7)
    parameters = [torch.empty(shape).uniform_(-0.8, 0.8, generator=generator).float().double().requires_grad_() for shape in SHAPES]
    start = [p.detach().flatten().tolist() for p in parameters]
    optimizer = make_optimizer(parameters)
    ids, labels = reviews()
    steps_per_epoch = (N + B - 1) // B
    step, lines = 0, []
    for epoch in range(EPOCHS):
        order = sorted(range(N), key=lambda i: (bits("shuffle", epoch, i), i))
        for first in range(0, N, B):
            chosen = order[first:first + B]
            target = torch.tensor([float(labels[i]) for i in chosen])
            for group in optimizer.param_groups:
                group["lr"] = rate(kind, step, EPOCHS * steps_per_epoch, peak, warmup)
            optimizer.zero_grad()
            values = logits(parameters, [ids[i] for i in chosen], pool, step)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(values, target)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
            lines.append(dict(loss=loss.item(), grad_norm=norm.item(), lr=optimizer.param_groups[0]["lr"],
                              accuracy=((values > 0) == (target > 0.5)).double().mean().item()))
            optimizer.step()
            step += 1
    return dict(schedule=kind, pool=pool, lr=peak, warmup=warmup, start=start, steps=lines,
                end=[p.detach().flatten().tolist() for p in parameters])


def main():
    ids, labels = reviews()
    cases = [dict(train("linear", "last", lambda p: torch.optim.Adam(p), 0.05, 0.25), optimizer="adam"),
             dict(train("cosine", "mean", lambda p: torch.optim.SGD(p, momentum=0.9, nesterov=True), 0.5, 0.0), optimizer="sgd")]
    json.dump(dict(torch=torch.__version__.split("+")[0], V=V, E=E, H=H, T=T, B=B, epochs=EPOCHS, seed=SEED, unknown=UNKNOWN,
                   word_dropout=WORD_DROPOUT, dropout=DROPOUT, clip_norm=CLIP_NORM, names=NAMES, shapes=SHAPES, ids=ids,
                   labels=labels, cases=cases), sys.stdout)
    print()


if __name__ == "__main__":
    main()

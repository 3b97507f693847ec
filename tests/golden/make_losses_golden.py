"""Golden values of the losses from PyTorch in float64: python make_losses_golden.py > losses.json

Every loss with and without row weights, of the models of make_family_golden.py with as many outputs: the sum over the
rows, and by automatic differentiation the gradients of the mean. With F = torch.nn.functional, row weights w, targets
y and p for pos_weight, the rows' losses are

    softmax          F.cross_entropy(logits, y, reduction="none") * w, y classes or shares of them
    several labels   F.binary_cross_entropy_with_logits(logits, y, pos_weight=p, reduction="none").mean(dim=1) * w
    two classes      F.binary_cross_entropy_with_logits(logits[:, 0], y, reduction="none") * w
    regression       F.mse_loss(logits[:, 0], y, reduction="none") * w

Class weights: F.cross_entropy(logits, y, weight=c, reduction="none"), of two classes with the logits (0, x); balanced
ones are scikit-learn's compute_class_weight, to which shares of classes are sample_weight; of several labels they are
(N - n) / n, written here once more. Needs torch, keras and scikit-learn (pip install torch keras scikit-learn).
"""

import json
import sys

import make_family_golden as family
import numpy as np
import sklearn
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

MODELS = [("tanh", 1, False, "last"), ("tanh", 1, False, "concat"), ("lstm", 1, False, "last"),
          ("lstm", 1, False, "concat"), ("lstm", 2, True, "concat")]

# All of it numbers that float32 has too. Shares need not add up to 1.
WEIGHTS = [1.5, 0.25, 3]
SHARES = [[0.125, 0.5, 0, 0.375], [0, 1, 0, 0], [0.5, 0.25, 0.125, 0]]
SEVERAL = [[1, 0, 1], [0, 0, 0], [1, 0.25, 0]]
POSITIVE = [2.5, 1, 0.125]

LOSSES = {
    "softmax": dict(outputs=4, labels=[2, 0, 3]),
    "softmax, row weights": dict(outputs=4, labels=[2, 0, 3], weights=WEIGHTS),
    "softmax, soft labels": dict(outputs=4, targets=SHARES),
    "softmax, soft labels, row weights": dict(outputs=4, targets=SHARES, weights=WEIGHTS),
    "several labels": dict(task="multi-label", outputs=3, targets=SEVERAL),
    "several labels, pos_weight": dict(task="multi-label", outputs=3, targets=SEVERAL, positive_weights=POSITIVE),
    "several labels, pos_weight, row weights":
        dict(task="multi-label", outputs=3, targets=SEVERAL, positive_weights=POSITIVE, weights=WEIGHTS),
    "two classes, row weights": dict(outputs=1, labels=[1, 0, 0], weights=WEIGHTS),
    "two classes, soft labels": dict(outputs=1, targets=[[0.875], [0], [0.25]]),
    "two classes, soft labels, row weights": dict(outputs=1, targets=[[0.875], [0], [0.25]], weights=WEIGHTS),
    "regression": dict(task="regression", outputs=1, targets=[[-2.5], [0], [0.75]]),
    "regression, row weights": dict(task="regression", outputs=1, targets=[[-2.5], [0], [0.75]], weights=WEIGHTS),
}


def row_losses(logits, task="classify", outputs=1, labels=None, targets=None, weights=None, positive_weights=None):
    w = torch.tensor(weights or 1.0).double()
    if task == "classify" and outputs > 1:
        y = torch.tensor(labels) if labels else torch.tensor(targets).double()
        return F.cross_entropy(logits, y, reduction="none") * w
    if task == "multi-label":
        p = torch.tensor(positive_weights).double() if positive_weights else None
        y = torch.tensor(targets).double()
        return F.binary_cross_entropy_with_logits(logits, y, pos_weight=p, reduction="none").mean(dim=1) * w
    y = (torch.tensor(labels) if labels else torch.tensor(targets)[:, 0]).double()
    loss = F.mse_loss if task == "regression" else F.binary_cross_entropy_with_logits
    return loss(logits[:, 0], y, reduction="none") * w


def case(loss, cell, layers, bidirectional, pool):
    logits, gradient = family.model(cell, layers, bidirectional, pool, LOSSES[loss]["outputs"])
    rows = row_losses(logits, **LOSSES[loss])
    rows.mean().backward()
    return dict(loss=loss, cell=cell, layers=layers, bidirectional=bidirectional, pool=pool, loss_sum=rows.sum().item(),
                gradient=gradient())


def weighted(name, classes, class_weights, logits, labels=None, targets=None, weights=None):
    """Of two classes `logits` and `targets` are the second one's."""
    x = torch.tensor(logits).double().requires_grad_()
    both = torch.cat([torch.zeros_like(x), x], dim=1) if classes == 2 else x
    y = torch.tensor(labels) if labels else torch.tensor(targets).double()
    if targets and classes == 2:
        y = torch.cat([1 - y, y], dim=1)
    rows = F.cross_entropy(both, y, weight=torch.tensor(class_weights).double(), reduction="none")
    rows = rows * torch.tensor(weights or 1.0).double()
    rows.sum().backward()
    return dict(name=name, classes=classes, class_weights=class_weights, logits=logits, labels=labels, targets=targets,
                weights=weights, losses=rows.tolist(), d_logits=x.grad.tolist())


def weighted_cases():
    three = dict(classes=3, class_weights=[0.3, 0, 1.7],
                 logits=[[0.5, -1.25, 2], [1, 0.25, -0.5], [-2, 0, 0.75], [0.1, 0.2, 0.3], [3, -3, 0]])
    two = dict(classes=2, class_weights=[0.3, 1.7], logits=[[0.5], [-1.25], [2], [-0.1]])
    shares = [[0.25, 0.25, 0.5], [1, 0, 0], [0, 1, 0], [0, 0.75, 0.25], [0.625, 0.125, 0.25]]
    seconds = [[0.25], [1], [0], [0.625]]
    return [weighted("classes", **three, labels=[2, 0, 1, 2, 0]),
            weighted("classes, row weights", **three, labels=[2, 0, 1, 2, 0], weights=[1.5, 0.25, 3, 0, 1]),
            weighted("shares", **three, targets=shares),
            weighted("shares, row weights", **three, targets=shares, weights=[1.5, 0.25, 3, 0, 1]),
            weighted("two classes", **two, labels=[1, 0, 0, 1]),
            weighted("two classes, row weights", **two, labels=[1, 0, 0, 1], weights=[1.5, 0.25, 3, 0.5]),
            weighted("shares of two classes", **two, targets=seconds),
            weighted("shares of two classes, row weights", **two, targets=seconds, weights=[1.5, 0.25, 3, 0.5])]


def balanced(task, classes, labels=None, targets=None):
    """Of two classes `targets` are the second one's."""
    if task == "multi-label":
        n = np.array(targets).sum(axis=0)
        weights = (len(targets) - n) / n
    elif labels:
        weights = compute_class_weight("balanced", classes=np.arange(classes), y=np.array(labels))
    else:
        shares = np.array(targets)
        shares = np.hstack([1 - shares, shares]) if classes == 2 else shares
        y = np.tile(np.arange(classes), len(shares))
        weights = compute_class_weight("balanced", classes=np.arange(classes), y=y, sample_weight=shares.flatten())
    return dict(task=task, classes=classes, labels=labels, targets=targets, weights=weights.tolist())


def main():
    balances = [balanced("classify", 2, labels=[1, 0, 0, 0, 1, 0, 0]),
                balanced("classify", 4, labels=[3, 0, 0, 2, 0, 1, 3, 0, 0, 3, 1]),
                balanced("classify", 2, targets=[[0.25], [1], [0], [0.625]]),
                balanced("classify", 3, targets=[[0.25, 0.25, 0.5], [1, 0, 0], [0, 0.75, 0.25], [1, 0, 0]]),
                balanced("multi-label", 3, targets=[[1, 0, 1], [0, 0, 1], [1, 0, 0], [1, 1, 0], [0, 0, 0]])]
    losses = {name: dict(dict(task="classify", labels=None, targets=None, weights=None, positive_weights=None), **loss)
              for name, loss in LOSSES.items()}
    cases = [case(loss, *model) for loss in LOSSES for model in MODELS]
    json.dump(dict(torch=torch.__version__, sklearn=sklearn.__version__, V=family.V, E=family.E, H=family.H,
                   ids=family.IDS, lengths=family.LENGTHS, losses=losses, cases=cases, weighted=weighted_cases(),
                   balanced=balances), sys.stdout)
    print()


if __name__ == "__main__":
    main()

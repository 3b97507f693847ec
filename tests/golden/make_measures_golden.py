"""Measures of classifiers and of a regression from scikit-learn: python make_measures_golden.py > measures.json

Every measure is scikit-learn's own with zero_division=0, the Wilson interval SciPy's. Written here from the formulas:
the expected calibration error, the interval of the area under the ROC curve, the temperature (a zero, found by SciPy, of
the derivative of the log loss), and the threshold (all of them are tried). What is not defined is null. No probability is
so small that scikit-learn's log loss would clip it. Needs scikit-learn (pip install scikit-learn).
"""

import json
import sys
import warnings

import numpy as np
import scipy
import scipy.optimize
import scipy.special
import scipy.stats
import sklearn
from sklearn import metrics

BINS = 15
TEMPERATURES = 0.05, 20


def wilson(right, rows):
    interval = scipy.stats.binomtest(int(right), int(rows)).proportion_ci(0.95, method="wilson")
    return [interval.low, interval.high]


def hanley_mcneil(area, labels):
    p, n = int(labels.sum()), int((1 - labels).sum())
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (p - 1) * (q1 - area**2) + (n - 1) * (q2 - area**2)) / (p * n)
    half = scipy.stats.norm.ppf(0.975) * np.sqrt(variance)
    return [max(area - half, 0), min(area + half, 1)]


def calibration_error(probabilities, labels):
    top, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    error = 0
    for m in range(BINS):
        chosen = (top > m / BINS) & (top <= (m + 1) / BINS)
        if chosen.any():
            error += chosen.mean() * abs(right[chosen].mean() - top[chosen].mean())
    return error


def temperature(slope):
    """slope(b): the derivative of the log loss by b = 1 / T."""
    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    if slope(low) == 0 and slope(high) == 0:
        return 1
    if slope(low) >= 0:
        return TEMPERATURES[1]
    if slope(high) <= 0:
        return TEMPERATURES[0]
    return 1 / scipy.optimize.brentq(slope, low, high, xtol=1e-15, rtol=1e-14)


def softmax_temperature(logits, labels):
    logits = logits - logits[np.arange(len(labels)), labels][:, None]
    return temperature(lambda b: (scipy.special.softmax(b * logits, axis=1) * logits).sum())


def sigmoid_temperature(logits, labels):
    return temperature(lambda b: (logits * (scipy.special.expit(b * logits) - labels)).sum())


def threshold(probabilities, labels, score):
    """Of the best the nearest to 0.5, then the lower."""
    edges = np.concatenate([[0], np.unique(probabilities), [1]])
    tried = [(low + high) / 2 for low, high in zip(edges, edges[1:])]
    scores = [score(labels, probabilities > t) for t in tried]
    return min((-s, abs(t - 0.5), t) for s, t in zip(scores, tried))[2]


def class_measures(truth, predicted, **labels):
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(truth, predicted, average=None, zero_division=0, **labels)
    averages = {f"{name}_f1": metrics.f1_score(truth, predicted, average=name, zero_division=0) for name in ("macro", "micro")}
    right = metrics.accuracy_score(truth, predicted, normalize=False)
    return dict(averages, accuracy=metrics.accuracy_score(truth, predicted), accuracy_interval=wilson(right, len(truth)),
                precision=precision.tolist(), recall=recall.tolist(), f1=f1.tolist())


def single_label(name, logits, labels, decision=0.5):
    logits, labels = np.atleast_2d(np.asarray(logits, np.float32).astype(float)), np.asarray(labels)
    width = logits.shape[1]
    both = np.hstack([np.zeros_like(logits), logits]) if width == 1 else logits
    classes = list(range(both.shape[1]))
    probabilities = scipy.special.softmax(both, axis=1)
    predicted = probabilities.argmax(axis=1)
    if len(classes) == 2 and decision != 0.5:
        predicted = (probabilities[:, 1] > decision).astype(int)
    expected = class_measures(labels, predicted, labels=classes)
    confusion = metrics.confusion_matrix(labels, predicted, labels=classes)
    actual, called = np.nonzero(confusion)
    expected |= dict(confusion=np.stack([actual, called, confusion[actual, called]], axis=1).tolist(),
                     log_loss=metrics.log_loss(labels, probabilities, labels=classes),
                     expected_calibration_error=calibration_error(probabilities, labels),
                     roc_auc=None, roc_auc_interval=None, average_precision=None)
    case = dict(name=name, width=width, decision=decision, logits=flat(logits), labels=labels.tolist())
    if len(classes) == 2:
        score = both[:, 1] - both[:, 0]
        expected["average_precision"] = metrics.average_precision_score(labels, score)
        if 0 < labels.sum() < len(labels):
            expected["roc_auc"] = metrics.roc_auc_score(labels, score)
            expected["roc_auc_interval"] = hanley_mcneil(expected["roc_auc"], labels)
    if width == 1:
        p = scipy.special.expit(logits[:, 0])
        case |= dict(temperature=sigmoid_temperature(logits[:, 0], labels),
                     accuracy_threshold=threshold(p, labels, metrics.accuracy_score),
                     f1_threshold=threshold(p, labels, lambda y, x: metrics.f1_score(y, x, zero_division=0)))
    else:
        case |= dict(temperature=softmax_temperature(logits, labels))
    return case | dict(expected=expected)


def multi_label(name, logits, truth, thresholds=None):
    logits, truth = np.asarray(logits, np.float32).astype(float), np.asarray(truth)
    labels = range(truth.shape[1])
    probabilities = scipy.special.expit(logits)
    predicted = (probabilities > np.array(thresholds or [0.5] * len(labels))).astype(int)
    losses = [metrics.log_loss(truth[:, c], probabilities[:, c], labels=[0, 1]) for c in labels]
    expected = class_measures(truth, predicted) | dict(log_loss=np.mean(losses))
    return dict(name=name, labels=len(labels), thresholds=thresholds or [], logits=flat(logits), truth=flat(truth),
                temperature=sigmoid_temperature(logits.ravel(), truth.ravel()), expected=expected)


def regression(name, predictions, truth):
    predictions, truth = (np.asarray(x, np.float32).astype(float) for x in (predictions, truth))
    expected = dict(mean_squared_error=metrics.mean_squared_error(truth, predictions),
                    mean_absolute_error=metrics.mean_absolute_error(truth, predictions),
                    r2=metrics.r2_score(truth, predictions) if len(truth) > 1 else None)
    return dict(name=name, predictions=flat(predictions), truth=flat(truth), expected=expected)


def flat(array):
    """Without a fraction where there is none: fewer bytes."""
    return [int(x) if x == int(x) else x for x in array.ravel().tolist()]


def rounded(array, steps=64):
    """Exact as float32, and as few digits."""
    return np.round(array * steps) / steps


def noisy_logits(random, labels, classes, strength):
    return rounded(random.normal(0, 1.5, (len(labels), classes)) + strength * np.eye(classes)[labels])


def single_label_cases():
    random = np.random.default_rng(5)
    binary = random.integers(0, 2, 150)
    one = rounded(random.normal(0, 1.5, (150, 1)) + (2 * binary - 0.7)[:, None])
    two = noisy_logits(random, binary, 2, 1.5)
    yield single_label("one logit", one, binary)
    yield single_label("one logit, a low threshold", one, binary, 0.3)
    yield single_label("one logit, a high threshold", one, binary, 0.85)
    yield single_label("two logits", two, binary)
    yield single_label("two logits, a threshold", two, binary, 0.6)
    yield single_label("ties", rounded(one, 1), binary)
    yield single_label("one logit for all", np.zeros((9, 1)), [0, 1, 1, 0, 0, 1, 0, 0, 0])
    yield single_label("all right", (2 * binary - 1)[:, None] * (1 + abs(one)), binary)
    yield single_label("all wrong", (1 - 2 * binary)[:, None] * (1 + abs(one)), binary)
    yield single_label("the first class only", one[:20], [0] * 20)
    yield single_label("the second class only", one[:20], [1] * 20)
    yield single_label("the second never predicted", -1 - abs(one[:30]), binary[:30])
    yield single_label("one row", [[0.75]], [1])
    yield single_label("four rows", [[-1], [0.5], [0.25], [2]], [0, 0, 1, 1])
    yield single_label("four rows, nearly all wrong", [[1], [-0.5], [-0.25], [-2]], [0, 0, 1, 1])
    three = random.integers(0, 3, 80)
    yield single_label("three classes", noisy_logits(random, three, 3, 2), three)
    without = np.where(three == 1, 2, three)
    yield single_label("three classes, one without rows", noisy_logits(random, without, 3, 1), without)
    yield single_label("three classes, one in neither", noisy_logits(random, without, 3, 1) * [1, 0, 1] - [0, 9, 0], without)
    yield single_label("three classes, one not predicted", noisy_logits(random, three, 3, 2) - [0, 15, 0], three)
    yield single_label("three classes, all in one", noisy_logits(random, three, 3, 1), [1] * 80)
    yield single_label("three classes, ties", rounded(noisy_logits(random, three, 3, 1) / 2, 1), three)
    ragged = np.minimum(random.geometric(0.35, 200) - 1, 8)
    yield single_label("nine classes", noisy_logits(random, ragged, 9, 2), ragged)
    many = np.minimum(random.geometric(0.08, 200) - 1, 49)
    yield single_label("fifty classes", rounded(noisy_logits(random, many, 50, 3), 16), many)


def multi_label_cases():
    random = np.random.default_rng(6)
    truth = (random.random((70, 5)) < [0.5, 0.3, 0.1, 0.05, 0.7]).astype(int)
    logits = rounded(random.normal(0, 1.5, (70, 5)) + 2 * truth - 1)
    yield multi_label("five labels", logits, truth)
    yield multi_label("thresholds", logits, truth, [0.5, 0.3, 0.2, 0.9, 0.65])
    yield multi_label("a label without rows", logits, truth * [1, 1, 1, 0, 1])
    yield multi_label("a label in neither", logits - [0, 0, 0, 15, 0], truth * [1, 1, 1, 0, 1])
    yield multi_label("a label never predicted", logits - [0, 20, 0, 0, 0], truth)
    yield multi_label("nothing", -1 - abs(logits), truth * 0)


def regression_cases():
    random = np.random.default_rng(7)
    truth = rounded(random.normal(3, 2, 60))
    yield regression("sixty rows", rounded(truth + random.normal(0, 0.7, 60)), truth)
    yield regression("worse than the mean", rounded(random.normal(-3, 2, 60)), truth)
    yield regression("all right", truth, truth)
    yield regression("one number", truth, np.full(60, 0.1))
    yield regression("one number, right", np.full(7, 0.1), np.full(7, 0.1))
    yield regression("one row", [1.5], [1])
    yield regression("far from 0", 10000 + truth + 0.5, 10000 + truth)


def main():
    warnings.simplefilter("ignore")  # of measures that are not defined
    json.dump(dict(sklearn=sklearn.__version__, scipy=scipy.__version__, single_label=list(single_label_cases()),
                   multi_label=list(multi_label_cases()), regression=list(regression_cases())), sys.stdout)
    print()


if __name__ == "__main__":
    main()

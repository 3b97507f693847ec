"""The classic that a recurrent classifier has to beat: logistic regression on word counts, by scikit-learn. For stars.py."""
import itertools
import time

import numpy as np
import scipy
import sklearn
from scipy.optimize import minimize_scalar
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, log_loss

VERSION = f"scikit-learn {sklearn.__version__}"
SEPARATORS = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n', " "))  # Reel's
STRENGTHS = {"log1p": (0.003, 0.01, 0.03, 0.1), "tfidf": (0.3, 0.5, 1, 2, 4)}  # what C is chosen of
STEPS, BINS = 500, 15
TEMPERATURES = (0.05, 20)  # those that Reel chooses of


def words(text):
    return text.translate(SEPARATORS).split()


class Features:
    """log(1 + count), or its product with the inverse document frequency, of unit length."""

    def __init__(self, kind, counts):
        self.tfidf = TfidfTransformer(sublinear_tf=True).fit(counts) if kind == "tfidf" else None

    def __call__(self, counts):
        return self.tfidf.transform(counts) if self.tfidf else np.log1p(counts.astype(np.float64))


def calibration_error(probabilities, right):
    """Expected calibration error: of the likeliest class, in 15 bins of equal width, as `reel eval` measures it."""
    bins = np.maximum(np.ceil(probabilities * BINS) - 1, 0).astype(int)
    gaps = np.bincount(bins, weights=right - probabilities, minlength=BINS)
    return float(np.abs(gaps).sum() / len(right))


def measures(logits, classes, labels):
    """What `reel eval --json` calls them."""
    probabilities = scipy.special.softmax(logits, axis=1)
    predicted = classes[logits.argmax(axis=1)]
    return {"accuracy": float(accuracy_score(labels, predicted)),
            "macro_f1": float(f1_score(labels, predicted, average="macro", zero_division=0)),
            "log_loss": float(log_loss(labels, probabilities, labels=classes)),
            "expected_calibration_error": calibration_error(probabilities.max(axis=1), predicted == labels)}


def fit_temperature(logits, classes, labels):
    """What the logits are divided by for the least log loss."""
    loss = lambda logarithm: log_loss(labels, scipy.special.softmax(logits / np.exp(logarithm), axis=1), labels=classes)
    return float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x))


class WordCounts:
    """Texts as counts of the most frequent words of those to train on; each split is (texts, labels)."""

    def __init__(self, train, validation, test, vocabulary):
        begin = time.perf_counter()
        counter = CountVectorizer(tokenizer=words, token_pattern=None, max_features=vocabulary)
        self.train = counter.fit_transform(train[0]), np.array(train[1])
        self.seconds = time.perf_counter() - begin
        self.validation, self.test = ((counter.transform(texts), np.array(labels)) for texts, labels in (validation, test))

    def choose(self, class_weight, best_by):
        """Features and C with the best validation measure; the chosen model's test measures before and after a temperature."""
        trials, best = [], None
        for kind, C in itertools.chain(*([(kind, C) for C in Cs] for kind, Cs in STRENGTHS.items())):
            begin = time.perf_counter()
            features = Features(kind, self.train[0])
            model = LogisticRegression(C=C, class_weight=class_weight, max_iter=STEPS)
            model.fit(features(self.train[0]), self.train[1])
            seconds = time.perf_counter() - begin
            logits = lambda split: model.decision_function(features(split[0]))
            found = measures(logits(self.validation), model.classes_, self.validation[1])
            trials.append({"features": kind, "C": C, "steps": int(model.n_iter_[0]), "seconds": seconds, "validation": found})
            print(f"{kind}, C {C}, class weights {class_weight}: {best_by} {found[best_by]:.4f}, {seconds:.0f} s", flush=True)
            if best is None or found[best_by] > best["validation"][best_by]:
                temperature = fit_temperature(logits(self.validation), model.classes_, self.validation[1])
                scores = logits(self.test)
                best = {**trials[-1], "seconds": self.seconds + seconds, "temperature": temperature,
                        "before": measures(scores, model.classes_, self.test[1]),
                        "after": measures(scores / temperature, model.classes_, self.test[1])}
        return best | {"trials": trials}

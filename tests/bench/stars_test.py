#!/usr/bin/env python3
"""stars.py on a made-up archive in the layout of aclImdb_v1.tar.gz: its CSV files, Reel's side, the table; with --word-counts
the whole script and the regression beside Reel, which needs scikit-learn: this Python's, or that of build/stars, where
./run bench stars has installed it.

    stars_test.py BENCH REEL [--word-counts]
"""
import contextlib
import csv
import importlib.util
import io
import json
import os
import random
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

BENCH, REEL = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
WHOLE = sys.argv[3:] == ["--word-counts"]
if WHOLE and not importlib.util.find_spec("sklearn"):
    installed = BENCH.parent / "build" / "stars" / "bin" / "python"
    if Path(sys.executable) != installed and installed.exists():
        os.execv(installed, [str(installed), *sys.argv])
    print("skipped: needs scikit-learn; ./run bench stars installs it into build/stars")
    sys.exit()
sys.argv[1:] = []
sys.path.insert(0, str(BENCH))
import measure  # noqa: E402
import stars  # noqa: E402

STARS = ("1", "4", "7", "10")
SHARES = (5, 2, 2, 5)
FLAGS = ["--device", "cpu", "--threads", 1, "--embedding-dim", 8, "--hidden-size", 8, "--epochs", 2, "--lr", 0.03]
ROWS = 240


def write_archive(path):
    """Reviews with a comma, a quote and a line's end, whose words are mostly those of their stars; some bear no label."""
    dice = random.Random(3)
    with tarfile.open(path, "w:gz") as tar:
        def add(name, text):
            member = tarfile.TarInfo(f"aclImdb/{name}")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))

        add("imdb.vocab", "film\n")
        add("train/unsup/0_0.txt", "no label")
        for split in ("train", "test"):
            add(f"{split}/urls_pos.txt", "http://")
            for i in range(ROWS):
                rating, = dice.choices(STARS, SHARES)
                words = [f"word{rating if dice.random() < 0.7 else dice.choice(STARS)}" for _ in range(6)]
                side = "pos" if int(rating) > 5 else "neg"
                add(f"{split}/{side}/{i}_{rating}.txt", f'{words[0]}, "{words[1]}" caf\u00e9\n{" ".join(words[2:])} {split}{i}')


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.archive = self.folder / "aclImdb_v1.tar.gz"
        write_archive(self.archive)

    def run_main(self, *flags):
        """What the script prints, and the exit code where there is one."""
        said, sys.argv = io.StringIO(), ["stars.py", "--reel", str(REEL), *map(str, flags)]
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                stars.main()
        except SystemExit as end:
            return said.getvalue(), end.code
        return said.getvalue(), None


class ReelsSide(Folder):
    def write_csv(self):
        reviews = stars.read_archive(self.archive)
        for split, rows in reviews.items():
            stars.write_csv(self.folder / f"{split}.csv", rows)
        return reviews

    def test_csv_has_every_labelled_review_and_the_same_order_each_time(self):
        reviews = self.write_csv()
        self.assertEqual(reviews, stars.read_archive(self.archive))
        for split, rows in reviews.items():
            with open(self.folder / f"{split}.csv", newline="", encoding="utf-8") as file:
                self.assertEqual(list(csv.reader(file)), [["body", "stars"], *map(list, rows)])
            self.assertEqual(sorted(int(text.split(split)[1]) for text, _ in rows), list(range(ROWS)))
            self.assertIn('"word', rows[0][0])
            self.assertGreater(len({star for _, star in rows[-ROWS // 10:]}), 1, "the last tenth is drawn at random")

    def test_training_reports_measures_before_and_after_the_temperature(self):
        self.write_csv()
        for weights in stars.BEST_BY:
            run = stars.Reel(REEL, self.folder, FLAGS).train(weights, 1)
            before, after = run["before"], run["after"]
            self.assertEqual(list(before), list(stars.MEASURES))
            self.assertNotEqual(run["temperature"], 1)
            self.assertNotEqual(before["log_loss"], after["log_loss"])
            self.assertNotEqual(before["expected_calibration_error"], after["expected_calibration_error"])
            self.assertEqual((before["accuracy"], before["macro_f1"]), (after["accuracy"], after["macro_f1"]))
            self.assertGreater(after["accuracy"], 0.5, "chance is 0.36")

    def test_without_temperature_only_that_is_gone(self):
        run, out = self.folder / "run", self.folder / "out"
        self.write_csv()
        measure.run([REEL, "train", "--data", self.folder / "train.csv", "--text-column", "body", "--label-column", "stars",
                     "--validation-split", 0.1, "--calibrate", "--out", run, "--quiet", *FLAGS])
        temperature = stars.without_temperature(run, out)
        self.assertNotEqual(temperature, 1)
        self.assertEqual(stars.without_temperature(out, self.folder / "again"), 1)
        texts = ["word1 word1", "word10 word7"]
        hot, cold = (measure.run([REEL, "predict", "--device", "cpu", model, *texts])[2] for model in (run, out))
        self.assertNotEqual(hot, cold)

    def test_other_archives_are_refused(self):
        said, code = self.run_main("--data", self.folder)
        self.assertEqual(code, 2)
        self.assertIn(f"found {{'train': {ROWS}, 'test': {ROWS}}} labelled reviews, expected {{'train': 25000", said)
        said, code = self.run_main("--data", self.folder / "nothing")
        self.assertEqual(code, 2)
        self.assertIn("expected aclImdb_v1.tar.gz or a folder with it", said)
        self.assertIn("--seeds: 0, expected 1 or more", self.run_main("--data", self.folder, "--seeds", 0)[0])


class WholeScript(Folder):
    def test_writes_both_sides_with_and_without_class_weights(self):
        stars.COUNTS, stars.MODEL, measure.RESULTS = {"train": ROWS, "test": ROWS}, FLAGS, self.folder / "results"
        said, code = self.run_main("--data", self.archive, "--seeds", 2)
        self.assertIsNone(code, said)
        result = json.loads((measure.RESULTS / "stars.json").read_text())
        self.assertEqual(result["command"], "./run bench stars --seeds 2")
        self.assertEqual(result["reviews"], {"train": 216, "validation": 24, "test": ROWS})
        self.assertEqual(result["classes"], list(STARS))
        for weights, best_by in stars.BEST_BY.items():
            self.assertEqual([run["seed"] for run in result["reel"][weights]], [1, 2])
            counts = result["word_counts"][weights]
            self.assertEqual({trial["features"] for trial in counts["trials"]}, {"log1p", "tfidf"})
            self.assertEqual(counts["validation"][best_by], max(t["validation"][best_by] for t in counts["trials"]))
            for run in (*result["reel"][weights], counts):
                self.assertEqual(list(run["after"]), list(stars.MEASURES))
                self.assertGreater(run["after"]["accuracy"], 0.5, "chance is 0.36")

    def test_measures_are_those_of_reel(self):
        """The logits of `reel predict`, measured by both."""
        import numpy as np

        import word_counts

        reviews = stars.read_archive(self.archive)
        rows = {split: [(text.replace("\n", " "), star) for text, star in rows] for split, rows in reviews.items()}
        for split in rows:
            stars.write_csv(self.folder / f"{split}.csv", rows[split])
        reel, run = stars.Reel(REEL, self.folder, FLAGS), self.folder / "run"
        measure.run([REEL, "train", "--data", self.folder / "train.csv", "--text-column", "body", "--label-column", "stars",
                     "--out", run, "--quiet", *FLAGS])
        lines = self.folder / "texts"
        lines.write_text("".join(text + "\n" for text, _ in rows["test"]), encoding="utf-8")
        with open(lines) as file:
            predicted = [json.loads(line) for line in
                         measure.run([REEL, "predict", "--device", "cpu", run], stdin=file)[2].splitlines()]
        logits = np.array([line["logits"] for line in predicted])
        self.assertEqual((run / "labels.txt").read_text().split(), list(STARS))
        ours = word_counts.measures(logits, np.array(STARS, int), np.array([star for _, star in rows["test"]], int))
        for name, value in reel.evaluate(run).items():
            self.assertAlmostEqual(ours[name], value, delta=1e-4, msg=name)

    def test_calibration_error_by_hand(self):
        import numpy as np

        import word_counts

        # The bin to 14/15 holds 0.9 twice, one of them right; the first, which 1/15 closes, two, one of them right.
        error = word_counts.calibration_error(np.array([0.9, 0.9, 1 / 15, 0.02]), np.array([True, False, False, True]))
        self.assertAlmostEqual(error, (0.8 + 1 - 1 / 15 - 0.02) / 4)

    def test_temperature_of_logits_that_are_too_large(self):
        import numpy as np

        import word_counts

        dice = np.random.default_rng(1)
        logits = dice.normal(size=(4000, 3))
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        labels = np.array([dice.choice(3, p=row) for row in shares])
        self.assertAlmostEqual(word_counts.fit_temperature(5 * logits, np.arange(3), labels), 5, delta=0.3)


if WHOLE:
    del ReelsSide
else:
    del WholeScript
unittest.main()

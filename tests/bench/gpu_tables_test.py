#!/usr/bin/env python3
"""Tables of a made-up result of gpu_check.sh, and of none."""
import sys
import unittest

sys.path.insert(0, sys.argv.pop(1))
import gpu_report  # noqa: E402
import gpu_tables  # noqa: E402


def timed(what, variant, precision, batch, *us):
    return {"what": what, "variant": variant, "precision": precision, "batch": batch, "hidden": 128, "steps": 200,
            "rows": "full", "us": list(us)}


def of(row, cell="tanh", layers=1, directions=1):
    """The row as one of these layers."""
    return row | {"cell": cell, "layers": layers, "directions": directions}


def beside(peer, precision, reel, cudnn):
    """A family of the recurrence at batch 64: (forward, backward) of both."""
    return {"rows": [timed(f"recurrence_{way}", variant, precision, 64, us) for variant, times in (("reel", reel), (peer, cudnn))
                     for way, us in zip(("forward", "backward"), times)]}


RESULT = {
    "commit": "0123456789",
    "parts": {
        "steps": {"outcome": "passed", "seconds": 3, "families": {
            "float32-64": {"rows": [timed("training_step", "reel", "float32", 64, 130, 100, 150)]},
            "mixed-64": {"rows": [timed("training_step", "reel", "mixed", 64, 101)]},
            "mixed-1024": {"rows": [timed("training_step", "reel", "mixed", 1024, 200)]},
            "lstm-64": {"rows": [of(timed("training_step", "reel", "float32", 64, 900), "lstm")]},
            "both": {"rows": [of(timed("training_step", "reel", "float32", 64, 800), layers=2, directions=2)]},
            "window": {"rows": [timed("window", "reel", "mixed", 64, 100) | {
                "host_start_us": [2], "step_us": [101]}]}}},
        "recurrence": {"outcome": "failed", "seconds": 9, "families": {
            "a": beside("cudnn-standard", "float32", (30, 20), (100, 250)),
            "b": beside("cudnn-persist-static", "float32", (30, 20), (200, 125)),
            "c": beside("cudnn-standard", "mixed", (10, 10), (55, 70)),
            "d": {"rows": [timed("recurrence_forward", "reel", "float32", 64, 30)], "outcome": "crashed (signal 11)"},
            "gru": {"rows": [of(timed("recurrence_forward", "reel", "float32", 64, 700), "gru")]},
            "layer": {"rows": [of(timed(f"layer_{way}", variant, "float32", 64, us), "gru")
                               for way, variant, us in (("forward", "reel", 800), ("forward", "cudnn-standard", 1200),
                                                        ("backward", "reel", 600), ("backward", "cudnn-standard", 900))]}}},
        "peers": {"outcome": "passed", "seconds": 9, "families": {"64": {"rows": [
            {"torch": "2.11", "device": "GPU"},
            *[{"batch": 64, "precision": "float32", "kind": "graph", "ratio": r} for r in (4.0, 5.5, 9.0)],
            {"batch": 64, "precision": "float32", "kind": "eager", "refused": "other losses than Reel's"}]}}},
        "models": {"outcome": "passed", "seconds": 9, "families": {"gru-64": {"rows": [
            {"torch": "2.11", "device": "GPU"},
            of({"batch": 64, "precision": "float32", "kind": "graph", "ratio": 1.5}, "gru"),
            of({"batch": 64, "precision": "float32", "kind": "eager", "refused": "no"}, directions=2)]}}},
        "training": {"outcome": "passed", "seconds": 9, "families": {
            "gru-mixed-1": {"summary": {"test_accuracy": 0.87, "train_seconds": 0.2}},
            "mixed-1": {"summary": {"test_accuracy": 0.84, "train_seconds": 0.1}},
            "mixed-2": {"summary": {"test_accuracy": 0.86, "train_seconds": 0.6}},
            "float32-1": {"outcome": "ran out of time"}}},
        "tests": {"outcome": "failed", "seconds": 9, "families": {
            "kernels-Gpu": {"passed": ["A.B", "A.C"], "failed": ["A.D"], "skipped": [], "unfinished": ["A.E"],
                            "outcome": "ran out of time", "seconds": 45}}}}}


# As GoogleTest prints it; the last test hung.
GOOGLE_TEST = """\
[==========] Running 4 tests from 1 test suite.
[ RUN      ] Shapes/A.B/Gpu_V1
[       OK ] Shapes/A.B/Gpu_V1 (12 ms)
[ RUN      ] Shapes/A.B/Gpu_V2
operations_test.cpp:20: Failure
[  FAILED  ] Shapes/A.B/Gpu_V2, where GetParam() = (Gpu, V2) (3 ms)
[ RUN      ] Shapes/A.B/Gpu_V3
devices.h:60: Skipped
[  SKIPPED ] Shapes/A.B/Gpu_V3 (0 ms)
[ RUN      ] Shapes/A.B/Gpu_V4
"""


class GpuReport(unittest.TestCase):
    def test_tests(self):
        self.assertEqual(gpu_report.tests_of(GOOGLE_TEST), {
            "passed": ["Shapes/A.B/Gpu_V1"], "failed": ["Shapes/A.B/Gpu_V2"], "skipped": ["Shapes/A.B/Gpu_V3"],
            "unfinished": ["Shapes/A.B/Gpu_V4"]})
        self.assertEqual(gpu_report.tests_of(GOOGLE_TEST + "[  FAILED  ] 1 test, listed below:\n"
                                             "[  FAILED  ] Shapes/A.B/Gpu_V2\n")["failed"], ["Shapes/A.B/Gpu_V2"])

    def test_outcomes(self):
        self.assertEqual(gpu_report.outcome_of("0", "", "tests"), "passed")
        self.assertEqual(gpu_report.outcome_of("124", "", "tests"), "ran out of time")
        self.assertEqual(gpu_report.outcome_of("139", "", "steps"), "crashed (signal 11)")
        self.assertEqual(gpu_report.outcome_of("1", "Error: Device not supported", "sanitizer"), "not supported here")
        self.assertEqual(gpu_report.outcome_of("1", "Error: Device not supported", "tests"), "failed (1)")


class GpuTables(unittest.TestCase):
    def test_goals(self):
        verdicts = [[cell.strip() for cell in line.split("|")[2:4]] for line in gpu_tables.goals(RESULT).split("\n")[2:]]
        self.assertEqual(verdicts, [
            ["130 us", "yes"], ["101 us", "**no**"], ["not measured", ""], ["200 us", "yes"],
            ["39.5 ms", "yes"], ["5.0 ms", "yes"],
            ["6.5", "yes"],  # the fastest algorithm both ways: 200 + 125 against 30 + 20
            ["6.2", "yes"], ["not measured", ""], ["not measured", ""],
            ["1.5", "**no**"], ["not measured", ""], ["not measured", ""], ["not measured", ""],  # GRU: 1200 + 900 against 800 + 600
            ["5.5", "yes"], ["not measured", ""],  # refused
            ["0.60 s", "**no**"]])

    def test_nothing_measured(self):
        self.assertEqual(gpu_tables.goals(None).count("not measured"), 17)

    def test_tables(self):
        text = gpu_tables.summary({**RESULT, "parts": {n: {"seconds": 1, **p} for n, p in {
            name: {**part, "families": {f: {"outcome": "passed", "seconds": 1, **v} for f, v in part["families"].items()}}
            for name, part in RESULT["parts"].items()}.items()}})
        for line in ("| forward, B 64, H 128, T 200, full rows | float32 | 30.0 | 100.0 (standard) | 3.3 |",
                     "| backward, B 64, H 128, T 200, full rows | float32 | 20.0 | 125.0 (persist-static) | 6.2 |",
                     "| training step | 64 | float32 | 130.0 | 100.0 | 150.0 |",
                     "| 64 | mixed | 100.0 | 2.0 | 101.0 |",
                     "| training step, lstm | 64 | float32 | 900.0 | 900.0 | 900.0 |",
                     "| training step, tanh, 2 layers, both directions | 64 | float32 | 800.0 | 800.0 | 800.0 |",
                     "| forward, B 64, H 128, T 200, full rows, gru | float32 | 700.0 |  |  |",
                     "| layer forward, B 64, H 128, T 200, full rows, gru | float32 | 800.0 | 1200.0 (standard) | 1.5 |",
                     "| 64, gru | float32 | graph | 1.5 | 1 |",
                     "| 64, tanh, both directions | float32 | eager | refused: no |  |",
                     "| gru-mixed | 1 | 87.0 | 87.0 % | 0.20 |",
                     "| mixed | 2 | 84.0 86.0 | 85.0 % | 0.35 |",
                     "| kernels-Gpu | 2 | 0 | A.D A.E (did not end) |",
                     "| 64 | float32 | eager | refused: other losses than Reel's |  |",
                     "| recurrence | d | crashed (signal 11) | 1 |"):
            self.assertIn(line, text)


unittest.main()

#!/usr/bin/env python3
"""Tables of a made-up result of gpu_check.sh, and of none."""
import sys
import unittest

sys.path.insert(0, sys.argv.pop(1))
import gpu_tables  # noqa: E402


def timed(name, microseconds):
    return {"run_name": name + "/real_time", "aggregate_name": "median", "real_time": microseconds}


def recurrence(variant, forward, backward):
    return [timed(f"recurrence_{way}/{variant}/B:64/H:128/full", us)
            for way, us in (("forward", forward), ("backward", backward))]


RESULT = {
    "commit": "0123456789",
    "steps": {"benchmarks": [timed("training_step/float32/B:64", 70), timed("training_step/mixed/B:64", 80),
                             timed("training_step/mixed/B:1024", 90)]},
    "recurrence": {"benchmarks": [
        *recurrence("float32", 30, 20), *recurrence("cudnn-standard", 100, 250), *recurrence("cudnn-persist", 200, 125),
        *recurrence("mixed", 10, 10), *recurrence("cudnn-standard-mixed", 25, 20),
        timed("recurrence_forward/cudnn-small/B:64/H:128/full", 1) | {"error_occurred": True}]},
    "peers": {"results": [{"precision": "float32", "kind": "graph", "batch": 64, "ratios": [4.0, 5.5, 9.0]},
                          {"precision": "float32", "kind": "eager", "batch": 64, "refused": "other losses than Reel's"}]},
    "training": {"": None, "summary-mixed-1": {"test_accuracy": 0.84, "train_seconds": 0.1},
                 "summary-mixed-2": {"test_accuracy": 0.86, "train_seconds": 0.6}}}


class GpuTables(unittest.TestCase):
    def test_goals(self):
        verdicts = [[cell.strip() for cell in line.split("|")[2:4]] for line in gpu_tables.goals(RESULT).split("\n")[2:]]
        self.assertEqual(verdicts, [
            ["70 us", "yes"], ["90 us", "**no**"], ["27.4 ms", "yes"], ["2.2 ms", "**no**"],
            ["6.5", "yes"],  # the fastest algorithm both ways: 200 + 125 against 30 + 20
            ["not measured", ""], ["5.5", "yes"],
            ["not measured", ""],  # refused
            ["not measured", ""], ["0.60 s", "**no**"]])

    def test_nothing_measured(self):
        self.assertEqual(gpu_tables.goals(None).count("not measured"), 10)

    def test_recurrences(self):
        self.assertIn("| forward, B:64 H:128 full | float32 | 30.0 | 100.0 (standard) | 3.3 |",
                      gpu_tables.recurrences(RESULT))
        self.assertIn("| backward, B:64 H:128 full | mixed | 10.0 | 20.0 (standard) | 2.0 |",
                      gpu_tables.recurrences(RESULT))


unittest.main()

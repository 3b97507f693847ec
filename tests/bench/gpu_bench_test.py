#!/usr/bin/env python3
"""gpu_bench with the emulator for a GPU: its rows are what gpu_report.py takes.

    gpu_bench_test.py BENCH PROGRAM
"""
import subprocess
import sys
import unittest

PROGRAM = sys.argv.pop()
sys.path.insert(0, sys.argv.pop())
import gpu_report  # noqa: E402

SMALL = "hidden=8 steps=4 vocabulary=40 embedding=4 samples=2 cache_mb=1 runs=2".split()


def run(*words):
    return subprocess.run([PROGRAM, *words], capture_output=True, text=True)


class GpuBench(unittest.TestCase):
    def rows(self, *words):
        done = run(*words)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        rows, garbage = gpu_report.rows_of(done.stdout, gpu_report.is_timed)
        self.assertEqual(garbage, 0)
        return rows

    def test_steps(self):
        for precision in ("float32", "mixed"):
            rows = self.rows("step", f"precision={precision}", "batch=300", *SMALL)
            self.assertEqual([row["what"] for row in rows],
                             ["training_step", "select", "forward", "backward", "optimizer_step"])
            self.assertEqual({(row["precision"], row["batch"], len(row["us"])) for row in rows}, {(precision, 300, 2)})

    def test_other_layers(self):
        for words, layers in ((["cell=gru"], ("gru", 1, 1)), (["cell=lstm"], ("lstm", 1, 1)), (["layers=2"], ("tanh", 2, 1)),
                              (["directions=2"], ("tanh", 1, 2))):
            rows = self.rows("step", "batch=5", *SMALL, *words)
            self.assertEqual({(row["cell"], row["layers"], row["directions"]) for row in rows}, {layers})
            self.assertEqual(len(rows), 5)
            row, = self.rows("window", "batch=5", *SMALL, "samples=1", *words)
            self.assertEqual((row["cell"], row["layers"], row["directions"]), layers)

    def test_recurrences_of_other_cells_are_reels_alone(self):
        for cell in ("gru", "lstm"):
            rows = self.rows("recurrence", f"cell={cell}", "batch=5", "rows=full", *SMALL)
            self.assertEqual([(row["what"], row["variant"], row["cell"]) for row in rows],
                             [("recurrence_forward", "reel", cell), ("recurrence_backward", "reel", cell)])
            refused = run("recurrence", f"cell={cell}", "peer=cudnn-standard", "batch=5", *SMALL)
            self.assertEqual((refused.returncode, refused.stdout), (1, ""))
            self.assertIn("cuDNN projects its input, expected layer", refused.stderr)

    def test_layers_take_turns_with_cudnn(self):
        for cell in ("tanh", "gru", "lstm"):
            rows = self.rows("layer", f"cell={cell}", "peer=cudnn-standard", "batch=5", *SMALL)
            self.assertEqual([(row["what"], row["variant"], row["cell"]) for row in rows],
                             [(f"layer_{way}", variant, cell) for variant in ("reel", "cudnn-standard")
                              for way in ("forward", "backward")])
            self.assertTrue(all(row["difference"] < 1e-5 for row in rows))

    def test_recurrences_take_turns_with_cudnn(self):
        rows = self.rows("recurrence", "peer=cudnn-persist-dynamic", "batch=300", "rows=full", *SMALL)
        self.assertEqual([(row["what"], row["variant"]) for row in rows],
                         [(f"recurrence_{way}", variant) for variant in ("reel", "cudnn-persist-dynamic")
                          for way in ("forward", "backward")])
        self.assertTrue(all(row["difference"] < 1e-5 for row in rows))

    def test_a_peer_that_refuses_costs_itself_alone(self):
        rows = self.rows("recurrence", "peer=cudnn-persist-small-h", "batch=2", *SMALL, "hidden=400", "steps=2")
        self.assertIn("CUDNN_STATUS_NOT_SUPPORTED", rows[0]["error"])
        self.assertEqual([row["variant"] for row in rows[1:]], ["reel", "reel"])

    def test_windows(self):
        row, = self.rows("window", "batch=20", *SMALL, "samples=1")
        self.assertEqual({"us", "host_start_us", "step_us"}, {key for key in row if key.endswith("us")})

    def test_bad_words_are_one_line(self):
        for words in (["step", "batch=x"], ["step", "foo=3"], ["nothing"], ["recurrence", "peer=nobody"], ["step", "precision=half"],
                      ["step", "cell=elman"], ["step", "directions=3"], ["recurrence", "layers=2"]):
            done = run(*words)
            self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1), words)
            self.assertIn("expected", done.stderr)


unittest.main()

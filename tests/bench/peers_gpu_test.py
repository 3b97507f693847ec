#!/usr/bin/env python3
"""TF32's flags are global: no trainer of peers_gpu.py changes them for another. Without PyTorch: its flags are enough.

    peers_gpu_test.py BENCH
"""
import sys
import types
import unittest
from types import SimpleNamespace

sys.path.insert(0, sys.argv.pop(1))
flags = SimpleNamespace(cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=False)), cudnn=SimpleNamespace(allow_tf32=True))
sys.modules["torch"] = types.ModuleType("torch")
sys.modules["torch"].backends = flags
sys.modules.setdefault("numpy", types.ModuleType("numpy"))
sys.modules["tensors"] = types.ModuleType("tensors")
import peers_gpu  # noqa: E402


class FlagsOfTf32(unittest.TestCase):
    def test_each_trainer_has_its_own(self):
        seen = []
        trainers = []
        for precision in ("tf32", "float32", "float16"):
            trainer = peers_gpu.Trainer.__new__(peers_gpu.Trainer)
            trainer.precision = precision
            trainer.run = lambda: seen.append((flags.cuda.matmul.allow_tf32, flags.cudnn.allow_tf32))
            trainers.append(trainer)
        for trainer in (*trainers, *reversed(trainers)):
            trainer.step()
        self.assertEqual(seen, [(True, True), (False, False), (False, False), (False, False), (False, False), (True, True)])
        self.assertEqual((flags.cuda.matmul.allow_tf32, flags.cudnn.allow_tf32), (False, True), "as they were")

    def test_also_where_a_step_fails(self):
        trainer = peers_gpu.Trainer.__new__(peers_gpu.Trainer)
        trainer.precision, trainer.run = "tf32", lambda: 1 // 0
        self.assertRaises(ZeroDivisionError, trainer.step)
        self.assertFalse(flags.cuda.matmul.allow_tf32)


unittest.main()

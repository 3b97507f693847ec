#!/usr/bin/env python3
"""Which network of Reel a peer of peers.py is compared with, and the goals of the cells. Without NumPy or PyTorch.

    peers_test.py BENCH
"""
import sys
import types
import unittest

sys.path.insert(0, sys.argv.pop(1))
for module in ("numpy", "tensors"):
    sys.modules[module] = types.ModuleType(module)
import peer_models  # noqa: E402
import peers  # noqa: E402
from peer_models import Network  # noqa: E402


def missed(**entries):
    return list(peers.missed_goals({"peers": entries}))


class Peers(unittest.TestCase):
    def test_a_peer_is_compared_with_its_own_cell(self):
        cells = {name: peer_models.network_of(name).cell for name in peers.PEERS}
        self.assertEqual(cells, dict.fromkeys(peers.PEERS, "tanh") | {"torch_padded_gru": "gru", "torch_padded_lstm": "lstm"})
        result = {"reel": {"float32": [], "mixed": []}}
        peers.of_reel(result, peer_models.RECIPE)["float32"].append(1)
        peers.of_reel(result, Network("gru"))["float32"].append(2)
        peers.of_reel(result, Network("gru"))["mixed"].append(3)
        self.assertEqual(result, {"reel": {"float32": [1], "mixed": []}, "cells": {"gru": {"float32": [2], "mixed": [3]}}})

    def test_names_and_flags_of_layers(self):
        self.assertEqual(list(Network("lstm", 2, True).suffixes()),
                         [("_l0", 128), ("_l0_reverse", 128), ("_l1", 256), ("_l1_reverse", 256)])
        self.assertEqual(list(Network("gru", 2).suffixes()), [("_l0", 128), ("_l1", 128)])
        self.assertEqual(Network().flags(), ["--cell", "tanh", "--layers", 1])
        self.assertEqual(Network("lstm", 2, True).flags(), ["--cell", "lstm", "--layers", 2, "--bidirectional"])

    def test_goals(self):
        self.assertEqual(missed(torch_padded={"ratios_float32": [1]}, torch_padded_gru={"ratios_float32": [1, 2.5, 9]}), [])
        self.assertEqual(missed(torch_padded_gru={"ratios_float32": [2.4, 9, 2]}, torch_padded_lstm={"ratios_float32": [3]}),
                         ["torch_padded_gru: 2.40 times Reel's, expected at least 2.5"])
        self.assertEqual(missed(torch_padded_lstm={"refused": "other losses than Reel's"}),
                         ["torch_padded_lstm: other losses than Reel's, expected Reel to be at least 2.5 times faster"])


unittest.main()

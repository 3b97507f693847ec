#!/usr/bin/env python3
"""bench/sass.py, multiprocessor.py and cycles.py on made-up kernels, whose cycles can be counted by hand."""
import json
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, sys.argv.pop(1))
import cycles  # noqa: E402
import multiprocessor  # noqa: E402
import sass  # noqa: E402
import step_floor  # noqa: E402
from sass import Instruction, Kernel  # noqa: E402

LISTING = """
.text._Z4loop4Args:
.L_x_0:
        /*0000*/                   LDS R1, [R0] ;                 /* 0x0000000000017984 */
                                                                  /* 0x000e220000000800 */
        /*0010*/              @!P0 BRA `(.L_x_0) ;                /* 0x000000fffff08947 */
                                                                  /* 0x03ffea000383ffff */
"""


def step(*before_barrier):
    """A loop of one step: what is given, a barrier, and the branch back."""
    code = [*before_barrier, Instruction("BAR.SYNC.DEFER_BLOCKING 0x0", stall=1), Instruction("@P0 BRA `(.L_x_0)", stall=5)]
    return Kernel("step", code, {"L_x_0": 0})


LOAD_AND_USE = (Instruction("LDS R1, [R0]", stall=1, result=0), Instruction("FFMA R2, R1, R1, R2", stall=4, waits=(0,)))
LOW, MIDDLE, HIGH = range(3)


def simulated(kernel, warps=1, blocks=1, level=MIDDLE):
    return multiprocessor.simulate(kernel, sass.longest_path(kernel, sass.step_loop(kernel)), 1, warps, blocks, level)


class Header(unittest.TestCase):
    def test_has_the_middle_figure_of_every_kernel(self):
        rows = [{"kernel": "rnn_forward_kernel<128, tanh>", "rows": 2, "cycles": [1, 22, 333]},
                {"kernel": "rnn_backward_gated_kernel<64, gru, 1>", "rows": 1, "cycles": [4, 55, 666]}]
        text = cycles.header({"target": "sm_90", "kernels": rows})
        self.assertIn('{"rnn_forward_kernel", 128, Cell::kTanh, "", 2, 22},', text)
        self.assertIn('{"rnn_backward_gated_kernel", 64, Cell::kGru, "1", 1, 55},', text)

    def test_is_that_of_the_results(self):
        self.assertEqual(cycles.TABLE.read_text(), cycles.header(json.loads(cycles.RESULT.read_text())),
                         "./run bench cycles writes both")


class Sass(unittest.TestCase):
    def test_reads_control_bits(self):
        with tempfile.TemporaryDirectory() as folder:
            nvdisasm = Path(folder) / "nvdisasm"
            nvdisasm.write_text(f"#!/bin/sh\ncat <<'END'\n{LISTING}END\n")
            nvdisasm.chmod(0o755)
            [kernel] = sass.disassemble(nvdisasm, "cubin")
        load, branch = kernel.code
        self.assertEqual((load.opcode, load.stall, load.yields, load.result, load.operands, load.waits), ("LDS", 1, False, 0, 7, ()))
        self.assertEqual((branch.opcode, branch.stall, branch.waits, kernel.target(1)), ("BRA", 5, (0, 1, 2, 3, 4, 5), 0))

    def test_the_step_is_the_innermost_loop_with_a_barrier(self):
        code = [Instruction("FADD R0, R0, R0", stall=1),                     # the rows' loop
                Instruction("FADD R0, R0, R0", stall=1),                     # the steps' loop
                Instruction("FADD R0, R0, R0", stall=1), Instruction("@P0 BRA `(.L_x_2)", stall=1),  # products
                Instruction("BAR.SYNC 0x0", stall=1), Instruction("@P0 BRA `(.L_x_1)", stall=1),
                Instruction("BAR.SYNC 0x0", stall=1), Instruction("@P0 BRA `(.L_x_0)", stall=1)]
        kernel = Kernel("nest", code, {"L_x_0": 0, "L_x_1": 1, "L_x_2": 2})
        self.assertEqual(sass.step_loop(kernel), (1, 5))
        self.assertEqual([i for i, _ in sass.longest_path(kernel, (1, 5))], [1, 2, 3, 4, 5])
        self.assertEqual([i for i, _ in sass.longest_path(kernel, (1, 5), trips=3)], [1, 2, 3, 2, 3, 2, 3, 4, 5])
        self.assertIsNone(sass.step_loop(Kernel("none", code[:4], {"L_x_2": 2})))

    def test_the_path_is_the_longest_without_calls_and_what_is_rare(self):
        code = [Instruction("@P0 BRA `(.L_x_3)", stall=1), Instruction("CALL.REL.NOINC `(.slow)", stall=15),
                Instruction("FADD R0, R0, R0", stall=9), Instruction("@P1 BRA `(.L_x_5)", stall=1),
                Instruction("LDG.E R1, [R2]", stall=9), Instruction("BAR.SYNC 0x0", stall=1), Instruction("@P0 BRA `(.L_x_0)", stall=1)]
        kernel = Kernel("ways", code, {"L_x_0": 0, "L_x_3": 3, "L_x_5": 5})
        self.assertEqual([i for i, _ in sass.longest_path(kernel, (0, 6))], [0, 3, 4, 5, 6])
        self.assertEqual(sass.longest_path(kernel, (0, 6), rare=("LDG",)), [(0, True), (3, True), (5, False), (6, True)])


class Cycles(unittest.TestCase):
    def test_one_warp_waits_for_results_barriers_and_branches(self):
        self.assertEqual(simulated(step(*LOAD_AND_USE)), (29 + 4 + 22 + 5 + 6, {"LDS": 29, "barrier": 22, "branch": 11, "float": 4}))
        self.assertEqual(simulated(step(*LOAD_AND_USE), level=LOW)[0], 23 + 4 + 15 + 5 + 2)

    def test_a_scheduler_issues_one_instruction_a_cycle(self):
        kernel = step(*[Instruction("FFMA R2, R1, R1, R2", stall=1) for _ in range(100)])
        alone, four, eight = (simulated(kernel, warps)[0] for warps in (1, 4, 8))
        self.assertEqual(alone, 100 + 22 + 11)
        self.assertEqual(four, alone)             # a warp for each scheduler
        self.assertGreaterEqual(eight, alone + 100)  # two for each

    def test_two_blocks_fill_each_others_gaps(self):
        kernel = step(*LOAD_AND_USE * 4)
        one, two = (simulated(kernel, 4, blocks)[0] for blocks in (1, 2))
        self.assertLess(two, 1.2 * one)

    def test_pipes_take_their_time(self):
        kernel = step(*[Instruction("MUFU.TANH R2, R1", stall=1) for _ in range(10)])
        self.assertEqual(simulated(kernel)[0], 9 * 8 + 1 + 22 + 11)

    def test_copies_are_waited_for_in_order(self):
        copy = [Instruction("LDGSTS.E [R7], desc[UR8][R4.64]", stall=1), Instruction("LDGDEPBAR", stall=1, result=0)]
        waiting = step(*copy, Instruction("DEPBAR.LE SB0, 0x0", stall=4))
        ahead = step(*copy, Instruction("DEPBAR.LE SB0, 0x8", stall=4))
        self.assertGreater(simulated(waiting)[0], 200)
        self.assertLess(simulated(ahead)[0], 60)

    def test_what_rose_is_said(self):
        def row(kernel, now):
            return {"kernel": kernel, "rows": 1, "cycles": now}

        known = [row("a", [90, 100, 110]), row("b", [90, 100, 110])]
        self.assertEqual(cycles.risen([row("a", [103]), row("b", [50])], known), [])
        self.assertEqual(cycles.risen([row("a", [104]), row("b", [50])], known), ["a, 1 rows: 104 cycles a step, expected at most 103"])
        self.assertEqual(cycles.risen([row("a", [1]), row("b", [1]), row("c", [1])], known), ["c, 1 rows: not in cycles.json"])
        self.assertEqual(cycles.risen([row("a", [1])], known), ["b, 1 rows: in cycles.json, but not found"])

    def test_what_stands_between_a_cluster_barriers_halves_is_free(self):
        def barrier(*between):
            return Kernel("step", [Instruction("UCGABAR_ARV", stall=1), *between, Instruction("UCGABAR_WAIT", stall=1),
                                   Instruction("@P0 BRA `(.L_x_0)", stall=5)], {"L_x_0": 0})

        work = [Instruction("FADD R0, R0, R0", stall=4)] * 10
        self.assertEqual(simulated(barrier())[0], 220 + 11)
        self.assertEqual(simulated(barrier(*work))[0], 220 + 11)
        self.assertEqual(simulated(step(*work))[0], 40 + 22 + 11)

    def test_blocks_that_count_bytes_wait_for_the_last_store(self):
        wait = Instruction("SYNCS.PHASECHK.TRANS64.TRYWAIT P5, [UR7], R6", stall=1, result=0)

        def exchange(*between):
            return Kernel("step", [Instruction("STAS [R8.64], R5", stall=1), *between, wait, Instruction("@!P5 BRA `(.L_x_1)", stall=5, waits=(0,)),
                                   Instruction("@P0 BRA `(.L_x_0)", stall=5), Instruction("EXIT", stall=5),
                                   wait, Instruction("@!P5 BRA `(.L_x_1)", stall=5), Instruction("BRA `(.L_x_2)", stall=5)],
                          {"L_x_0": 0, "L_x_1": 5 + len(between), "L_x_2": 3 + len(between)})

        work = [Instruction("FADD R0, R0, R0", stall=4)] * 10
        for kernel in (exchange(), exchange(*work)):  # another try, and the way back from there, are no steps
            self.assertEqual(sass.step_loop(kernel)[0], 0)
            self.assertEqual(kernel.code[sass.step_loop(kernel)[1]].text, "@P0 BRA `(.L_x_0)")
            self.assertEqual(simulated(kernel, 4)[0], 220 + 29 + 5 + 11)  # what stands between is beside the way
        slow = Kernel("step", [*work, *exchange().code], {"L_x_0": 0, "L_x_1": 15, "L_x_2": 13})
        self.assertEqual(simulated(slow, 4)[0], 40 + 220 + 29 + 5 + 11)

    def test_the_floor_is_the_busiest_pipe(self):
        kernel = step(*[Instruction("FFMA R2, R1, R1, R2", stall=1)] * 10, *[Instruction("LDS.128 R4, [R0]", stall=1)] * 5)
        path = sass.longest_path(kernel, sass.step_loop(kernel))
        self.assertEqual(multiprocessor.floor(kernel, path, 1, 6, 1), (5 * 6, "shared memory"))
        self.assertEqual(multiprocessor.floor(kernel, path, 2, 1, 1), (5, "float"))

    def test_a_path_without_the_products_is_refused(self):
        kernel = step(*[Instruction("FFMA R2, R1, R1, R2", stall=1)] * 10)
        path = sass.longest_path(kernel, sass.step_loop(kernel))
        cycles.check_products(kernel, path, 1, ("FFMA", 8))
        with self.assertRaisesRegex(ValueError, "10 FFMA a step, expected 16"):
            cycles.check_products(kernel, path, 1, ("FFMA", 16))

    def test_blocks_share_registers_and_memory(self):
        self.assertEqual(cycles.blocks_that_fit(98, 3072, 256), 2)
        self.assertEqual(cycles.blocks_that_fit(221, 108 * 1024, 256), 1)
        self.assertEqual(cycles.blocks_that_fit(32, 227 * 1024, 128), 1)
        self.assertEqual(cycles.blocks_that_fit(16, 0, 32), 32)

    def test_a_step_takes_at_least_what_waits_for_each_other(self):
        self.assertEqual(step_floor.terms("resident", "rnn_forward_kernel<128, tanh>", 256, 1),
                         {"read": 29, "product": 128, "sums": 3 * 28, "cell": 4 + 66, "exchange": 22})
        self.assertEqual(step_floor.terms("resident", "rnn_backward_kernel<256, tanh, false>", 512, 1),
                         {"read": 29, "product": (8 + 8 * 4) * 16, "sums": 3 * 28, "cell": 8, "exchange": 22})
        self.assertEqual(step_floor.terms("gated", "rnn_forward_gated_kernel<256, lstm, 2>", 256, 1),
                         {"read": 29, "product": 32 * 4 * 2 * 2, "sums": 3 * 28, "gates": 4 + 66 + 8 + 24, "cell": 66 + 12,
                          "exchange": 220 + 29})
        self.assertEqual(step_floor.terms("cluster", "rnn_backward_cluster_kernel<512, relu>", 256, 4)["product"], 4 * 1024)
        self.assertEqual(step_floor.terms("tensor_core", "rnn_forward_tensor_core_kernel<128, tanh, packed>", 128, 1),
                         {"read": 33 + 3, "product": 6 * 16 + 33 - 6, "cell": 4 + 22 + 3 * 8, "round": 4 + 2, "exchange": 22})
        # Four warps' two loads, one after the other, and the two products of the last.
        self.assertEqual(step_floor.terms("tensor_core", "rnn_backward_tensor_core_kernel<64, tanh, packed>", 128, 1)["product"],
                         7 * 4 + 2 * 6 + 33 - 6)

    def test_the_table_is_that_of_the_results(self):
        result = json.loads(cycles.RESULT.read_text())
        gpu = cycles.measure.RESULTS / "gpu_check.json"
        table = cycles.rendered(result, json.loads(gpu.read_text()) if gpu.exists() else None)
        readme = cycles.README.read_text()
        self.assertEqual(cycles.replaced(readme, "cycles", table), readme)

    def test_a_measured_step_stands_beside_its_model(self):
        gpu = {"parts": {"recurrence": {"families": {"a": {"rows": [
            {"what": "recurrence_forward", "variant": "reel", "precision": "float32", "batch": 64, "hidden": 128, "steps": 200,
             "rows": "full", "us": [80, 90, 100]},
            {"what": "recurrence_forward", "variant": "reel", "precision": "float32", "batch": 64, "hidden": 128, "steps": 200,
             "rows": "full", "cell": "gru", "us": [800]}]}}}}}
        row = {"kernel": "rnn_forward_kernel<128, tanh>", "rows": 1, "blocks": 1}
        self.assertEqual(cycles.measured(row, gpu), "450")
        self.assertEqual(cycles.measured(row | {"kernel": "rnn_backward_kernel<128, tanh>"}, gpu), "")
        self.assertEqual(cycles.measured(row, None), "")


unittest.main()

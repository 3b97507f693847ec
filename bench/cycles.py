#!/usr/bin/env python3
"""Cycles of a time step, read off the machine code of the recurrence's kernels: a model, no measurement.

    ./run bench cycles          compile, simulate, write results/cycles.json, the table in kernels/cuda/README.md and step_cycles.h
    bench/cycles.py --check     fail where a step takes over 3 % more cycles than cycles.json says

Each kernel's time-step loop (sass.py) is issued by all warps of the blocks that a multiprocessor runs (multiprocessor.py).
"""
import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import gpu_tables
import measure
import sass
import step_floor
from multiprocessor import floor, simulate
from tables import replaced, table, verdict

CUDA = measure.ROOT / "kernels" / "cuda"
README = CUDA / "README.md"
TABLE = CUDA / "recurrence" / "step_cycles.h"
RESULT = measure.RESULTS / "cycles.json"
TOLERANCE = 1.03
STEPS = ", true>"  # the last argument of a kernel that adds what flows into single steps
GATES = {"gru": 3, "lstm": 4}
# Of the middle estimate, at one row a multiprocessor or eight on tensor cores. (On one H200 a training step is to take 135 us in
# float32 and 100 in mixed at B = 64: bench/README.md.)
TARGETS = {"rnn_forward_kernel<128, tanh>": 430, "rnn_backward_kernel<128, tanh, false>": 420,
           "rnn_forward_tensor_core_kernel<128, tanh, packed>": 300,
           "rnn_backward_tensor_core_kernel<128, tanh, packed>": 330}

# Of each source: how a multiprocessor runs its kernels, as (batch rows at a time, blocks, groups of rows one after another), and
# opcodes of what a step does once a row. A cluster's rows are those of its multiprocessors together.
STRATEGIES = {
    "resident": ([(1, 1, 1), (2, 2, 1)], {}),
    "tensor_core": ([(8, 1, 1), (16, 2, 1)], {}),
    "cluster": ([(4, 1, 1), (16, 1, 4)], {}),
    "gated": ([(1, 1, 1), (2, 2, 1)], {}),
    "tensor_core_gated": ([(8, 1, 1)], {}),
}

MOST = 1.3  # times a kernel's latency floor; where it is more, a reason: (kernels, of one block or two, reason)
REASONS = [
    ("", "two blocks", "the other block's turns"),
    ("singly", "", "units one by one: a width that 4 does not divide"),
    (r"rnn_backward_kernel<.*true>|backward_tensor_core_gated.*true>", "", "a step's own gradients: a row number, then the row"),
    (r"forward_kernel<64, relu", "one block", "addresses and the loop for 32 multiply-adds"),
    (r"rnn_backward_tensor_core_kernel<(64|128|256), tanh, (packed|together)", "one block", "selecting and rounding eight values; the queue of ldmatrix"),
    (r"rnn_forward_tensor_core_kernel<64, tanh, (packed|together)", "one block", "four warps' ldmatrix, one after another"),
    (r"tensor_core_gated", "", "a scheduler's warps have products, then special functions, all at the same time"),
    (r"rnn_(for|back)ward_gated_kernel<64,", "", "a unit's gates in few of eight warps"),
    (r"rnn_backward_gated_kernel<(128|256)", "", "the gates' gradients after the exchange, in few of eight warps"),
    (r"cluster_kernel", "", "addresses of a group's rows, in shared memory"),
]


class Shape:
    """What a kernel's source says of its step; its name has its width, its cell, and how many rows it takes at once."""

    def __init__(self, strategy, name, threads, groups):
        width, cell, rows = re.search(r"<(\d+), (\w+)(?:, (\d+))?", name).groups()
        width = int(width)
        self.trips, self.wide_load, self.rows = groups, 1, 1  # rows: at once, beyond those of the configuration
        if strategy == "tensor_core":
            self.products = ("HMMA", width * width // (16 * 16 * threads // 32))
        elif strategy == "tensor_core_gated":
            self.products = ("HMMA", width // 16 * GATES[cell])
        elif strategy == "cluster":  # each lane four columns of its own
            self.products, self.wide_load = ("FFMA", width * groups), 4
        elif strategy == "gated":  # a warp reads as many float4 at once as threads share its rows
            columns = 16 if width <= 64 else 32
            self.rows = int(rows)
            self.products = ("FFMA", columns * GATES[cell] * self.rows)
            units = columns * threads // width  # of a block
            self.wide_load = max(1, (width if "forward" in name else 4 * units) // columns // 8)
        else:
            self.products = ("FFMA", width // 2)
            if width == 256:  # 8 columns of 32 in shared memory, or 10: as many loads of 4 wavefronts, and 8 of one
                self.wide_load = 48 / 18 if STEPS in name else 40 / 16


def tool(name):
    return shutil.which(name) or shutil.which(name, path=str(measure.ROOT / "build" / "disassembler"))


def compile_kernels(source, architecture, folder):
    """cubin, and for each kernel's symbol (registers, bytes of static shared memory, threads of a block)."""
    cubin = Path(folder) / f"{source.stem}.cubin"
    log = subprocess.run(["nvcc", "-std=c++20", "--expt-relaxed-constexpr", "-fmad=false", f"-I{measure.ROOT}", f"-I{CUDA}/language",
                          f"-arch=sm_{architecture}", "-cubin", "-Xptxas", "-v", "--keep", "--keep-dir", folder, "-o", cubin, source],
                         capture_output=True, text=True)
    if log.returncode != 0:
        sys.exit(log.stderr)
    entries = (Path(folder) / f"{source.stem}.ptx").read_text().split(".entry ")[1:]
    threads = {entry.split("(")[0]: bound[1] for entry in entries if (bound := re.search(r"\.maxntid (\d+)", entry))}
    facts = {}
    for symbol, text in re.findall(r"Compiling entry function '(\w+)'(.*?Used .*?)\n", log.stderr, re.DOTALL):
        shared = re.search(r"(\d+) bytes smem", text)
        facts[symbol] = (int(re.search(r"Used (\d+) registers", text)[1]), int(shared[1]) if shared else 0,
                         int(threads.get(symbol, 1024)))
    return cubin, facts


def cells():
    return re.findall(r'\.name = "(\w+)"', (measure.ROOT / "kernels" / "contract" / "cells.h").read_text())


def moves():
    names = (CUDA / "recurrence" / "moves.h").read_text()
    return re.findall(r'"(\w+)"', re.search(r"kMovesNames{(.*?)}", names)[1])


def name_of(symbol):
    text = subprocess.run(["c++filt", symbol], capture_output=True, text=True, check=True).stdout.strip()
    text = re.sub(r"\(anonymous namespace\)::|reel::cuda::|reel::|^void ", "", text)
    text = re.sub(r"\(\w*Args\)$", "", text)
    text = re.sub(r"\(Moves\)(\d+)", lambda match: moves()[int(match[1])], text)
    return re.sub(r"\(Cell\)(\d+)", lambda match: cells()[int(match[1])], text)


def dynamic_shared(name):
    """Bytes that the launcher asks for: resident.cu's part of W_hh, cluster.cu's ClusterMemory."""
    width = int(re.search(r"<(\d+)", name)[1])
    if "_cluster_" in name:
        return 2 * 16 * width * 4 + 12 * 4 * (width // 8 * 4) * 4 + 2 * 8
    if not name.startswith(("rnn_forward_kernel<256", "rnn_backward_kernel<256")):
        return 0
    return (10 if STEPS in name else 8) * 8 * 1024


def blocks_that_fit(registers, shared, threads):
    """On a multiprocessor of compute capability 9.0: 65536 registers, 228 KB of shared memory, of which each block takes 1 KB more
    than it uses, 2048 threads and 32 blocks."""
    return min(65536 // ((registers + 7) // 8 * 8 * threads), 228 * 1024 // (shared + 1024), 2048 // threads, 32)


def check_products(kernel, path, steps_of_path, products):
    """Fails where the path is not the step's: it has its products, and some multiply-adds of the cell."""
    opcode, expected = products
    found = sum(kernel.code[i].opcode == opcode for i, _ in path) / steps_of_path
    if not expected <= found <= expected + (0 if opcode == "HMMA" else max(32, expected)):
        raise ValueError(f"{kernel.symbol}: {found:.0f} {opcode} a step, expected {expected}: not the loop or not the path")


def model(architecture, levels):
    """A row for each kernel with a time-step loop and each number of batch rows; its cycles at each of the levels."""
    nvdisasm = tool("nvdisasm")
    rows = []
    for strategy, (configurations, rare) in STRATEGIES.items():
        with tempfile.TemporaryDirectory() as folder:
            cubin, facts = compile_kernels(CUDA / "recurrence" / f"{strategy}.cu", architecture, folder)
            kernels = sass.disassemble(nvdisasm, cubin)
        for kernel in kernels:
            loop = sass.step_loop(kernel)
            if loop is None:
                continue
            name, (registers, shared, threads) = name_of(kernel.symbol), facts[kernel.symbol]
            warps, fit = threads // 32, blocks_that_fit(registers, shared + dynamic_shared(name), threads)
            for batch_rows, blocks, groups in configurations:
                if blocks > fit:
                    continue
                shape = Shape(strategy, name, threads, groups)
                path = sass.longest_path(kernel, loop, shape.trips, next((rare[k] for k in rare if name.startswith(k)), ()))
                marks = [sum(kernel.code[i].opcode == mark for i, _ in path) for mark in ("LDGDEPBAR", "BAR")]
                steps = marks[0] or marks[1]  # each commits its copies, or has a barrier
                check_products(kernel, path, steps, shape.products)
                results = [simulate(kernel, path, steps, warps, blocks, level, shape.wide_load) for level in levels]
                busy, pipe = floor(kernel, path, steps, warps * blocks, shape.wide_load)
                least = step_floor.terms(strategy, name, threads, groups)
                rows.append({"kernel": name, "rows": batch_rows * shape.rows, "blocks": blocks, "warps": warps * blocks, "registers": registers,
                             "issue_slots": round(len(path) * -(-warps * blocks // 4) / steps),
                             "floor": round(busy), "floor_pipe": pipe, "latency_floor": {"cycles": max(sum(least.values()), round(busy)), **least},
                             "cycles": [round(cycles) for cycles, _ in results],
                             "critical_path": results[len(results) // 2][1]})
    return sorted(rows, key=lambda row: (re.sub(r"\d+", lambda number: number[0].zfill(4), row["kernel"]), row["rows"]))


def measured(row, gpu):
    """Nanoseconds of a step on a GPU (gpu_check.sh) at batch 64, launch included: forward only, since what is timed backward
    has the product for d_w_hh in it, and with full rows."""
    if not row["kernel"].startswith("rnn_forward"):
        return ""
    precision = "mixed" if "tensor_core" in row["kernel"] else "float32"
    width, cell = re.search(r"<(\d+), (\w+)", row["kernel"]).groups()
    if cell != cells()[0] or row["blocks"] > 1 or row["rows"] > 8:
        return ""
    found = [median(timed["us"]) / timed["steps"] for timed in gpu_tables.rows(gpu, "recurrence")
             if timed.get("us") and gpu_tables.network(timed) == "tanh" and all(timed.get(key) == value for key, value in {
                 "what": "recurrence_forward", "variant": "reel", "precision": precision, "batch": 64, "hidden": int(width),
                 "rows": "full"}.items())]
    return f"{1000 * median(found):.0f}" if found else ""


def before(row, known):
    """The middle estimate of this kernel when it was first judged so; tensor cores' had one instance for all alignments then."""
    names = (row["kernel"], re.sub(r"(tensor_core.*?<\d+, \w+)(, \w+)+>", r"\1>", row["kernel"]))
    return next((known["cycles"][key] for key in (f"{name}, {row['rows']} rows" for name in names) if key in known["cycles"]), "")


def target(row):
    """What the estimate is to be, and whether it is."""
    most = TARGETS.get(row["kernel"]) if row["blocks"] == 1 else None
    return f"{most}, {verdict(row['cycles'][1] <= most)}" if most else ""


def why_above(row):
    """What its floor leaves out, of a kernel that takes more than MOST times it; nothing of others."""
    if row["cycles"][1] <= MOST * row["latency_floor"]["cycles"]:
        return ""
    blocks = "two blocks" if row["blocks"] > 1 else "one block"
    reasons = [why for pattern, where, why in REASONS if where in ("", blocks) and re.search(pattern, row["kernel"])]
    if not reasons:
        raise ValueError(f"{row['kernel']}, {row['rows']} rows: above {MOST} times its floor, expected a reason in REASONS")
    return "; ".join(reasons)


def rendered(result, gpu):
    known = result.get("before", {"cycles": {}})
    rows = [[f"`{row['kernel']}`", row["rows"], row["warps"], row["registers"], row["issue_slots"], f"{row['floor']} ({row['floor_pipe']})",
             "{cycles} ({terms})".format(cycles=row["latency_floor"]["cycles"], terms=", ".join(
                 f"{term} {cycles}" for term, cycles in row["latency_floor"].items() if term != "cycles" and cycles)),
             before(row, known), row["cycles"][1], target(row), f"{row['cycles'][1] / row['latency_floor']['cycles']:.2f}", why_above(row), f"{row['cycles'][0]} to {row['cycles'][2]}",
             ", ".join(f"{label} {cycles}" for label, cycles in list(row["critical_path"].items())[:5]), measured(row, gpu)]
            for row in result["kernels"]]
    head = ["kernel", "rows", "warps", "registers", "issue slots", "pipe floor", "latency floor", "before", "cycles", "target", "ratio", "why above 1.3", "low to high", "critical path", "measured, ns"]
    return (f"`{result['command']}`, {result['target']}, commit {result['commit']}, before: {known.get('commit', 'none')}: a model, not a measurement.\n\n" +
            table(head, rows))


def header(result):
    """step_cycles.h: the middle figure of each kernel."""
    lines = []
    for row in result["kernels"]:
        kernel, width, cell, more = re.fullmatch(r"(\w+)<(\d+), (\w+)(?:, (.*))?>", row["kernel"]).groups()
        lines.append(f'    {{"{kernel}", {width}, Cell::k{cell.capitalize()}, "{more or ""}", {row["rows"]}, {row["cycles"][1]}}},\n')
    return (f"// {result['target']}: cycles of a time step as bench/results/cycles.json has them. Written by ./run bench cycles.\n"
            "#pragma once\n\n#include \"kernels/cuda/recurrence/estimate.h\"\n\nnamespace reel::cuda {\n\n"
            f"inline constexpr StepCycles kStepCycles[] = {{\n{''.join(lines)}}};\n\n}}  // namespace reel::cuda\n")


def risen(rows, known):
    """What takes more cycles than is known of it, a line each; what is not known, or is known and no longer there, is one too: a
    loop that is not found, or blocks of which two fitted."""
    middle = {(row["kernel"], row["rows"]): row["cycles"][1] for row in known}
    gone = middle.keys() - {(row["kernel"], row["rows"]) for row in rows}
    lines = [f"{kernel}, {batch_rows} rows: in cycles.json, but not found" for kernel, batch_rows in sorted(gone)]
    for row in rows:
        name, cycles, limit = (row["kernel"], row["rows"]), row["cycles"][0], middle.get((row["kernel"], row["rows"]))
        if limit is None:
            lines.append(f"{name[0]}, {name[1]} rows: not in cycles.json")
        elif cycles > TOLERANCE * limit:
            lines.append(f"{name[0]}, {name[1]} rows: {cycles} cycles a step, expected at most {TOLERANCE * limit:.0f}")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--arch", default="90", help="compute capability; cycles.json is of the default (default: %(default)s)")
    arguments = parser.parse_args()
    if not shutil.which("nvcc") or not tool("nvdisasm"):
        sys.exit("skipped: needs nvcc and nvdisasm (PyPI: nvidia-cuda-nvdisasm)")
    compiler = re.search(r"release ([\d.]+)", subprocess.run(["nvcc", "--version"], capture_output=True, text=True).stdout)[1]
    compiled_for = f"sm_{arguments.arch}, nvcc {compiler}"
    if arguments.check:
        known = json.loads(RESULT.read_text())
        if known["target"] != compiled_for:
            sys.exit(f"skipped: cycles.json is of {known['target']}, this is {compiled_for}")
        if lines := risen(model(arguments.arch, (1,)), known["kernels"]):
            sys.exit("\n".join(lines) + "\n./run bench cycles writes cycles.json anew")
        return
    rows = model(arguments.arch, (0, 1, 2))
    result = measure.origin("./run bench cycles")
    known = json.loads(RESULT.read_text()).get("before") if RESULT.exists() else None
    result = {"commit": result["commit"], "command": result["command"], "target": compiled_for,
              **({"before": known} if known else {}), "kernels": rows}
    if arguments.arch != "90":
        print(rendered(result, None))
        return
    measure.write(RESULT.stem, result)
    TABLE.write_text(header(result))
    gpu = measure.RESULTS / "gpu_check.json"
    table_text = rendered(result, json.loads(gpu.read_text()) if gpu.exists() else None)
    README.write_text(replaced(README.read_text(), "cycles", table_text))


if __name__ == "__main__":
    main()

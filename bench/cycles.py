#!/usr/bin/env python3
"""Cycles of a time step, read off the machine code of the recurrence's kernels: a model, no measurement.

    ./run bench cycles          compile, simulate, write results/cycles.json and the table in kernels/cuda/README.md
    bench/cycles.py --check     fail where a step takes over 3 % more cycles than cycles.json says

Each kernel's time-step loop (sass.py) is issued on the four schedulers of a multiprocessor, by all warps of its blocks: an
instruction waits for its warp's stall, its scoreboards, its pipe and its turn. How long what is counted on a scoreboard takes
is LATENCIES, each as (low, middle, high). What a step waited for, from its end back to its begin, is its critical path; its
floor, how long the busiest pipe is busy. Not modelled: the instruction cache, bank conflicts, register banks.
"""
import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median

import gpu_tables
import measure
import sass
from tables import table

CUDA = measure.ROOT / "kernels" / "cuda"
README = CUDA / "README.md"
RESULT = measure.RESULTS / "cycles.json"
TOLERANCE = 1.03

# Of each source: how a multiprocessor runs its kernels, as (batch rows at a time, blocks, groups of rows one after another), and
# opcodes of what a step does once a row. A cluster's rows are those of its eight multiprocessors together.
STRATEGIES = {
    "resident": ([(1, 1, 1), (2, 2, 1)], {}),
    "tensor_core": ([(8, 1, 1), (16, 2, 1)], {"rnn_backward": ("LDG",)}),
    "cluster": ([(4, 1, 1), (16, 1, 4)], {}),
}


class Shape:
    """What a kernel's source says of its step; `width` is its first template argument."""

    def __init__(self, strategy, width, threads, groups):
        self.trips, self.wide_load = groups, 1
        if strategy == "tensor_core":
            self.products = ("HMMA", width * width // (16 * 16 * threads // 32))
        elif strategy == "cluster":  # each lane four columns of its own
            self.products, self.wide_load = ("FFMA", width * groups), 4
        else:
            self.products = ("FFMA", width // 2)
            if width == 256:  # half of W_hh in shared memory, in four turns: 16 loads of 4 wavefronts, 8 of one
                self.trips, self.wide_load = 4, 3


# Cycles from an instruction's issue until its result is there. Measured by others are those of shared memory (LDS) and of the L1
# and L2 cache (LDG, LDGDEPBAR): Luo et al., "Benchmarking and Dissecting the Nvidia Hopper GPU Architecture", arXiv:2402.13499,
# 29, 41 and 262 on an H800; Abdelkhalik et al., "Demystifying the Nvidia Ampere Architecture through Microbenchmarking",
# arXiv:2208.11174, 23, 33 and 200 on an A100; and another block's shared memory, 180 (Luo et al.), below which no cluster
# barrier is. All others, and all below, are estimates, wide where there is little to go by.
LATENCIES = {
    "LDS": (23, 29, 33), "LDSM": (29, 33, 37), "SHFL": (22, 24, 27), "MUFU": (18, 22, 30), "FCHK": (18, 22, 30),
    "LDC": (25, 30, 40), "S2R": (20, 28, 50), "S2UR": (20, 28, 50), "LDG": (33, 200, 262), "LDGDEPBAR": (33, 200, 262),
    "I2F": (14, 18, 22), "F2I": (14, 18, 22),
}
SCOREBOARD = (6, 10, 14)        # what is not in the table
OPERANDS_READ = (10, 14, 20)    # until an instruction's operands may change
BARRIER = (15, 22, 30)          # from the last warp's arrival
CLUSTER_BARRIER = (180, 220, 300)
TAKEN_BRANCH = (2, 6, 10)       # beside its stall
RECONVERGENCE = (0, 4, 8)
FENCE = (50, 300, 700)          # MEMBAR

# Pipes of a scheduler, and for how many cycles an instruction of a warp has one: the programming guide's operations a cycle and
# multiprocessor ("Arithmetic Instructions": 128 float32, 64 integer, 16 special functions). Tensor, an estimate: a 16x8x16 product
# is 2048 multiply-adds, of which a scheduler's tensor core does 512 a cycle at its peak and mma.sync some two thirds of that.
FLOAT = "FFMA FADD FMUL HADD2 HFMA2 HMUL2".split()
INTEGER = ("IADD3 LOP3 ISETP FSETP FSEL FMNMX SHF LEA VIADD PRMT SEL MOV VIMNMX IMNMX P2R R2P PLOP3 F2FP IABS "
           "LOP IADD").split()
PIPES = {**dict.fromkeys(FLOAT, ("float", 1)), **dict.fromkeys(["IMAD"], ("multiply", 2)),
         **dict.fromkeys(INTEGER, ("integer", 2)), "MUFU": ("special", 8), "FCHK": ("special", 8), "HMMA": ("tensor", 6)}
SHARED = "LDS LDSM STS SHFL LDGSTS ST ATOMS".split()  # one after another on a multiprocessor


def shared_turns(instruction, wide_load):
    """For how many cycles the instruction has a multiprocessor's shared memory."""
    if instruction.opcode not in SHARED or instruction.never:
        return 0
    return wide_load if instruction.opcode == "LDS" and ".128" in instruction.text else 4 if instruction.opcode == "LDSM" else 1


def kind(opcode):
    """What a critical path calls an instruction."""
    if opcode in FLOAT:
        return "float"
    if opcode in INTEGER or opcode.startswith("IMAD") or opcode in ("UIADD3", "ULOP3", "USHF", "UIMAD", "UMOV", "ULEA", "R2UR"):
        return "integer"
    if opcode in ("BRA", "BSSY", "BSYNC", "WARPSYNC", "NOP"):
        return "branch"
    return {"UCGABAR_WAIT": "barrier", "BAR": "barrier", "LDGDEPBAR": "copy", "DEPBAR": "copy"}.get(opcode, opcode)


class Warp:
    def __init__(self, block):
        self.block, self.position, self.step = block, 0, 0
        self.ready, self.cause, self.label = 0, None, "begin"
        self.pending = [[] for _ in range(6)]  # of each scoreboard: (cycle, event)
        self.at_barrier = False
        self.arrived = 0                       # at a cluster barrier's first half
        self.ends = []                         # (cycle, event) of its steps


class Simulation:
    """One multiprocessor: `blocks` blocks of `warps` warps each, which go round `path` of `kernel`."""

    def __init__(self, kernel, path, warps, blocks, level, wide_load):
        self.path = [(kernel.code[i], taken) for i, taken in path]
        self.level, self.wide_load = level, wide_load
        self.warps = [Warp(w // warps) for w in range(warps * blocks)]
        self.free = {}  # pipe -> (cycle, event)
        self.events = []  # (cycle, event that it waited for, for what)
        self.last = [None] * 4

    def latency(self, instruction):
        if "UCGABAR" in instruction.opcode:
            return CLUSTER_BARRIER[self.level]
        return LATENCIES.get(instruction.opcode, SCOREBOARD)[self.level]

    def constraint(self, warp, now):
        """(cycle, event, what) before which the warp's next instruction may not issue."""
        instruction, _ = self.path[warp.position]
        most = (warp.ready, warp.cause, warp.label)
        for board in instruction.waits:
            for cycle, event, label in warp.pending[board]:
                most = max(most, (cycle, event, label), key=lambda c: c[0])
        if instruction.opcode == "DEPBAR":  # .LE SBn, k: all but the newest k
            board, newest = re.search(r"SB(\d), 0x(\w+)", instruction.text).groups()
            arrived = sorted(warp.pending[int(board)], key=lambda c: c[0])
            arrived = arrived[:max(0, len(arrived) - int(newest, 16))]
            if arrived:
                most = max(most, arrived[-1], key=lambda c: c[0])
        return most

    def pipe(self, scheduler, instruction):
        name, cycles = PIPES.get(instruction.opcode, (None, 0))
        return ((scheduler, name), cycles) if name else (None, 0)

    def run(self, steps):
        """Until every warp has done so many."""
        now = 0
        while any(warp.step < steps for warp in self.warps):
            for scheduler in range(4):
                self.issue(scheduler, now, steps)
            now += 1
            if now > 10_000_000:
                raise RuntimeError("the simulation does not end")

    def issue(self, scheduler, now, steps):
        mine = [w for w in range(scheduler, len(self.warps), 4)
                if self.warps[w].step < steps and not self.warps[w].at_barrier and self.warps[w].ready <= now]
        last = self.last[scheduler]
        if last is not None and last[0] in mine:  # goes on, unless it yields
            mine.remove(last[0])
            mine.insert(len(mine) if last[1] else 0, last[0])
        for w in mine:
            warp = self.warps[w]
            instruction, taken = self.path[warp.position]
            cycle, cause, label = self.constraint(warp, now)
            if cycle > now:
                continue
            pipe, occupied = self.pipe(scheduler, instruction)
            if pipe in self.free and self.free[pipe][0] > now:
                continue
            if cycle < now:  # it was another warp's turn, or its pipe was taken
                other = self.free[pipe][1] if pipe in self.free and self.free[pipe][0] == now else self.last[scheduler][2]
                cause, label = other, "turn"
            event = len(self.events)
            self.events.append((now, cause, label))
            if pipe:
                self.free[pipe] = (now + occupied, event)
            self.finish(warp, instruction, taken, now, event)
            self.last[scheduler] = (w, instruction.yields, event)
            return

    def finish(self, warp, instruction, taken, now, event):
        level, opcode, label = self.level, instruction.opcode, kind(instruction.opcode)
        stall = max(1, instruction.stall) + (TAKEN_BRANCH[level] if taken else 0)
        stall += RECONVERGENCE[level] if opcode == "BSYNC" else FENCE[level] if opcode == "MEMBAR" else 0
        result = now + self.latency(instruction)
        if opcode in SHARED and not instruction.never:
            turns = shared_turns(instruction, self.wide_load)
            begin = max(now, self.free.get("shared", (0, 0))[0])
            self.free["shared"] = (begin + turns, event)
            result += begin - now + turns - 1
        warp.pending = [[p for p in board if p[0] > now] for board in warp.pending]
        if instruction.result != sass.NONE:
            warp.pending[instruction.result].append((result, event, label))
        if instruction.operands != sass.NONE:
            warp.pending[instruction.operands].append((now + OPERANDS_READ[level], event, label))
        warp.ready, warp.cause, warp.label = now + stall, event, label
        warp.position += 1
        if opcode == "UCGABAR_ARV":
            warp.arrived = now
        if opcode in sass.BARRIERS:
            warp.at_barrier = True
            block = [other for other in self.warps if other.block == warp.block]
            if all(other.at_barrier for other in block):
                released = now + BARRIER[level]
                if opcode != "BAR":  # what stands between its halves costs nothing while the other blocks are waited for
                    released = max(now, max(other.arrived for other in block) + CLUSTER_BARRIER[level])
                for other in block:
                    other.at_barrier = False
                    if released > other.ready:
                        other.ready, other.cause, other.label = released, event, "barrier"
        if warp.position == len(self.path):
            warp.position = 0
            warp.step += 1
            warp.ends.append((now, event))

    def critical_path(self, event, since):
        """Cycles by what was waited for, from the event `since` to `event`."""
        waited = Counter()
        while event is not None and self.events[event][0] > since:
            cycle, cause, label = self.events[event]
            begin = since if cause is None else max(since, self.events[cause][0])
            waited[label] += cycle - begin
            event = cause
        return waited


def simulate(kernel, path, steps_of_path, warps, blocks, level, wide_load=1, warm=4, measured=6):
    """Cycles of a step, and its critical path."""
    simulation = Simulation(kernel, path, warps, blocks, level, wide_load)
    simulation.run(warm + measured)
    last = max(simulation.warps, key=lambda warp: warp.ends[-1][0])
    since, (until, event) = last.ends[warm - 1][0], last.ends[-1]
    turns = measured * steps_of_path
    waited = simulation.critical_path(event, since)
    return (until - since) / turns, {label: round(cycles / turns) for label, cycles in waited.most_common()
                                     if cycles / turns >= 0.5}


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


def name_of(symbol):
    text = subprocess.run(["c++filt", symbol], capture_output=True, text=True, check=True).stdout.strip()
    text = re.sub(r"\(anonymous namespace\)::|reel::cuda::|reel::|^void ", "", text)
    text = re.sub(r"\(\w*Args\)$", "", text)
    return re.sub(r"\(Cell\)(\d+)", lambda match: cells()[int(match[1])], text)


def dynamic_shared(name):
    """Bytes that the launcher asks for: resident.cu's second half of W_hh, cluster.cu's ClusterMemory."""
    width = int(re.search(r"<(\d+)", name)[1])
    if "_cluster_" in name:
        return 2 * 16 * width * 4 + 11 * 4 * (width // 8 * 4) * 4
    return 128 * 1024 if name.startswith(("rnn_forward_kernel<256", "rnn_backward_kernel<256")) else 0


def blocks_that_fit(registers, shared, threads):
    """On a multiprocessor of compute capability 9.0: 65536 registers, 228 KB of shared memory, of which each block takes 1 KB more
    than it uses, 2048 threads and 32 blocks."""
    return min(65536 // ((registers + 7) // 8 * 8 * threads), 228 * 1024 // (shared + 1024), 2048 // threads, 32)


def floor(kernel, path, steps_of_path, warps, wide_load):
    """(cycles of a step for which the busiest pipe is busy, which); a scheduler has a quarter of the warps, rounded up."""
    busy = Counter()
    for i, _ in path:
        pipe, cycles = PIPES.get(kernel.code[i].opcode, (None, 0))
        busy[pipe] += cycles * -(-warps // 4)
        busy["shared memory"] += shared_turns(kernel.code[i], wide_load) * warps
    return max((cycles / steps_of_path, pipe) for pipe, cycles in busy.items() if pipe)


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
                shape = Shape(strategy, int(re.search(r"<(\d+)", name)[1]), threads, groups)
                path = sass.longest_path(kernel, loop, shape.trips, next((rare[k] for k in rare if name.startswith(k)), ()))
                steps = sum(kernel.code[i].opcode == "LDGDEPBAR" for i, _ in path)  # each commits its copies
                check_products(kernel, path, steps, shape.products)
                results = [simulate(kernel, path, steps, warps, blocks, level, shape.wide_load) for level in levels]
                busy, pipe = floor(kernel, path, steps, warps * blocks, shape.wide_load)
                rows.append({"kernel": name, "rows": batch_rows, "blocks": blocks, "warps": warps * blocks, "registers": registers,
                             "issue_slots": round(len(path) * -(-warps * blocks // 4) / steps),
                             "floor": round(busy), "floor_pipe": pipe,
                             "cycles": [round(cycles) for cycles, _ in results],
                             "critical_path": results[len(results) // 2][1]})
    return sorted(rows, key=lambda row: (re.sub(r"\d+", lambda number: number[0].zfill(4), row["kernel"]), row["rows"]))


def measured(row, gpu):
    """Nanoseconds of a step on a GPU (gpu_check.sh) at batch 64, launch included: forward only, since what is timed backward
    has the product for d_w_hh in it, and with full rows."""
    if not row["kernel"].startswith("rnn_forward"):
        return ""
    precision = "mixed" if "tensor_core" in row["kernel"] else "float32"
    width, cell = re.search(r"<(\d+), (\w+)>", row["kernel"]).groups()
    if cell != cells()[0] or row["blocks"] > 1 or row["rows"] > 8:
        return ""
    found = [median(timed["us"]) / timed["steps"] for timed in gpu_tables.rows(gpu, "recurrence")
             if timed.get("us") and all(timed.get(key) == value for key, value in {
                 "what": "recurrence_forward", "variant": "reel", "precision": precision, "batch": 64, "hidden": int(width),
                 "rows": "full"}.items())]
    return f"{1000 * median(found):.0f}" if found else ""


def rendered(result, gpu):
    rows = [[f"`{row['kernel']}`", row["rows"], row["warps"], row["registers"], row["issue_slots"], f"{row['floor']} ({row['floor_pipe']})",
             row["cycles"][1], f"{row['cycles'][0]} to {row['cycles'][2]}",
             ", ".join(f"{label} {cycles}" for label, cycles in list(row["critical_path"].items())[:5]), measured(row, gpu)]
            for row in result["kernels"]]
    head = ["kernel", "rows", "warps", "registers", "issue slots", "floor", "cycles", "low to high", "critical path", "measured, ns"]
    return (f"`{result['command']}`, {result['target']}, commit {result['commit']}: a model, not a measurement.\n\n" +
            table(head, rows))


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
    target = f"sm_{arguments.arch}, nvcc {compiler}"
    if arguments.check:
        known = json.loads(RESULT.read_text())
        if known["target"] != target:
            sys.exit(f"skipped: cycles.json is of {known['target']}, this is {target}")
        if lines := risen(model(arguments.arch, (1,)), known["kernels"]):
            sys.exit("\n".join(lines) + "\n./run bench cycles writes cycles.json anew")
        return
    rows = model(arguments.arch, (0, 1, 2))
    result = measure.origin("./run bench cycles")
    result = {"commit": result["commit"], "command": result["command"], "target": target, "kernels": rows}
    if arguments.arch != "90":
        print(rendered(result, None))
        return
    measure.write(RESULT.stem, result)
    gpu = measure.RESULTS / "gpu_check.json"
    text = README.read_text()
    begin = text.index("<!-- cycles -->\n") + len("<!-- cycles -->\n")
    README.write_text(text[:begin] + rendered(result, json.loads(gpu.read_text()) if gpu.exists() else None) + "\n" +
                      text[text.index("<!-- end -->", begin):])


if __name__ == "__main__":
    main()

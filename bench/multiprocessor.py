"""A multiprocessor of compute capability 9.0 that issues the machine code of a loop: a model, no measurement.

Its four schedulers issue what the warps of its blocks have ready: an instruction waits for its warp's stall, its scoreboards,
its pipe and its turn. How long what is counted on a scoreboard takes is LATENCIES, each as (low, middle, high). What a step
waited for, from its end back to its begin, is its critical path; its floor, how long the busiest pipe is busy. Not modelled:
the instruction cache, bank conflicts, register banks.
"""
import re
from collections import Counter

import sass

# Cycles from an instruction's issue until its result is there. Measured by others are those of shared memory (LDS) and of the L1
# and L2 cache (LDG, LDGDEPBAR): Luo et al., "Benchmarking and Dissecting the Nvidia Hopper GPU Architecture", arXiv:2402.13499,
# 29, 41 and 262 on an H800; Abdelkhalik et al., "Demystifying the Nvidia Ampere Architecture through Microbenchmarking",
# arXiv:2208.11174, 23, 33 and 200 on an A100; and another block's shared memory, 180 (Luo et al.), below which no cluster
# barrier is, nor a store that is counted there. All others, and all below, are estimates, wide where there is little to go by.
LATENCIES = {
    "LDS": (23, 29, 33), "LDSM": (29, 33, 37), "SHFL": (22, 24, 27), "MUFU": (18, 22, 30), "FCHK": (18, 22, 30),
    "LDC": (25, 30, 40), "S2R": (20, 28, 50), "S2UR": (20, 28, 50), "LDG": (33, 200, 262), "LDGDEPBAR": (33, 200, 262),
    "I2F": (14, 18, 22), "F2I": (14, 18, 22), "SYNCS.PHASECHK": (23, 29, 33),
}
SCOREBOARD = (6, 10, 14)        # what is not in the table
OPERANDS_READ = (10, 14, 20)    # until an instruction's operands may change
BARRIER = (15, 22, 30)          # from the last warp's arrival
CLUSTER_BARRIER = (180, 220, 300)
REMOTE_STORE = (180, 220, 300)  # from the last STAS until another block's mbarrier has counted it
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
SHARED = "LDS LDSM STS SHFL LDGSTS ST STAS ATOMS".split()  # one after another on a multiprocessor


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
    return {"UCGABAR_WAIT": "barrier", "BAR": "barrier", "SYNCS.PHASECHK": "barrier", "LDGDEPBAR": "copy", "DEPBAR": "copy"}.get(opcode, opcode)


class Warp:
    def __init__(self, block):
        self.block, self.position, self.step = block, 0, 0
        self.ready, self.cause, self.label = 0, None, "begin"
        self.pending = [[] for _ in range(6)]  # of each scoreboard: (cycle, event)
        self.at_barrier, self.board = False, None  # and for bytes: the scoreboard that the wait's result is counted on
        self.arrived = 0                       # at a cluster barrier's first half
        self.stores = []                       # (cycle, event) of those to other blocks
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
        return LATENCIES.get(instruction.opcode, SCOREBOARD)[self.level]

    def constraint(self, warp):
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
            cycle, cause, label = self.constraint(warp)
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
        if opcode == "STAS":
            warp.stores.append((now, event))
        if opcode == "SYNCS.PHASECHK":
            warp.at_barrier, warp.board = True, instruction.result
        if opcode in ("STAS", "SYNCS.PHASECHK"):
            self.release_by_bytes(warp.block)
        elif opcode in sass.BARRIERS:
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

    def release_by_bytes(self, block):
        """Of the block's warps those that wait for bytes which all have sent: the other blocks are taken to do the same."""
        block = [other for other in self.warps if other.block == block]
        for warp in block:
            sent = len(warp.stores)
            if not warp.at_barrier or warp.board is None or any(len(other.stores) < sent for other in block):
                continue
            cycle, event = max(other.stores[sent - 1] for other in block)
            there = max(warp.ready, cycle + REMOTE_STORE[self.level])
            warp.pending[warp.board].append((there + LATENCIES["SYNCS.PHASECHK"][self.level], event, "barrier"))
            warp.at_barrier, warp.board = False, None

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


def floor(kernel, path, steps_of_path, warps, wide_load):
    """(cycles of a step for which the busiest pipe is busy, which); a scheduler has a quarter of the warps, rounded up."""
    busy = Counter()
    for i, _ in path:
        pipe, cycles = PIPES.get(kernel.code[i].opcode, (None, 0))
        busy[pipe] += cycles * -(-warps // 4)
        busy["shared memory"] += shared_turns(kernel.code[i], wide_load) * warps
    return max((cycles / steps_of_path, pipe) for pipe, cycles in busy.items() if pipe)

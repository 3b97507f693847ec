"""Machine code of NVIDIA GPUs: what a cubin's kernels consist of, and the way through their time-step loops.

An instruction has 128 bits; bits 105 to 125 say how it is scheduled (Volta to Blackwell): 4 bits of stall, the cycles until
the warp's next instruction; 1 bit that is 0 where another warp should go first (yield); 3 bits each of the scoreboard that
its result and its operands' release are counted on (7: none); 6 bits of the scoreboards that it waits for. After Jia et al.,
"Dissecting the NVIDIA Volta GPU Architecture via Microbenchmarking", arXiv:1804.06826, section 2.1.
"""
import re
import subprocess
from dataclasses import dataclass, field

BARRIERS = ("BAR", "UCGABAR_WAIT", "SYNCS.PHASECHK")
NONE = 7


@dataclass
class Instruction:
    text: str
    stall: int = 0
    yields: bool = False
    result: int = NONE  # scoreboards
    operands: int = NONE
    waits: tuple = ()

    def schedule(self, bits):
        self.stall = bits & 15
        self.yields = not bits >> 4 & 1
        self.result, self.operands = bits >> 5 & 7, bits >> 8 & 7
        self.waits = tuple(i for i in range(6) if bits >> 11 + i & 1)

    @property
    def words(self):
        return re.sub(r"^@!?U?P\w+\s+", "", self.text).split()

    @property
    def opcode(self):
        parts = self.words[0].split(".")
        return ".".join(parts[:2]) if parts[0] == "SYNCS" else parts[0]  # an mbarrier's arrival, or the wait for its phase

    @property
    def never(self):
        return self.text.startswith("@!PT")


@dataclass
class Kernel:
    symbol: str
    code: list = field(default_factory=list)
    labels: dict = field(default_factory=dict)

    def target(self, index):
        """Where the branch at `index` goes, or None."""
        if self.code[index].opcode != "BRA":
            return None
        label = re.search(r"`\(\.(\w+)\)", self.code[index].text)
        return self.labels.get(label[1]) if label else None


def disassemble(nvdisasm, cubin):
    text = subprocess.run([nvdisasm, "-c", "-hex", cubin], capture_output=True, text=True, check=True).stdout
    kernels = []
    for line in text.splitlines():
        if match := re.match(r"\.text\.(\S+):", line):
            kernels.append(Kernel(match[1]))
        elif match := re.match(r"\.(L_\w+):", line):
            kernels[-1].labels[match[1]] = len(kernels[-1].code)
        elif match := re.match(r"\s*/\*[0-9a-f]{4,}\*/\s+(.*?)\s*;\s.*/\* 0x[0-9a-f]+ \*/", line):
            kernels[-1].code.append(Instruction(match[1]))
        elif (match := re.match(r"\s*/\* 0x([0-9a-f]+) \*/", line)) and kernels and kernels[-1].code:
            kernels[-1].code[-1].schedule(int(match[1], 16) >> 41)
    return kernels


def step_loop(kernel):
    """(first, last) instruction of the time-step loop: of the loops with a barrier and no such loop inside, the one with most
    barriers (the compiler may have unrolled it and kept a second one for the rest); None where there is none."""
    loops = {}
    for i in range(len(kernel.code)):
        target = kernel.target(i)
        if target is None or target >= i or kernel.code[target].opcode == "SYNCS.PHASECHK":  # tries again
            continue
        if not any(code.text == "EXIT" for code in kernel.code[target:i]):  # else back from code beside the kernel
            loops[target] = max(i, loops.get(target, i))
    barriers = {loop: sum(kernel.code[i].opcode in BARRIERS for i in range(loop[0], loop[1] + 1)) for loop in loops.items()}
    loops = [loop for loop, count in barriers.items() if count > 0]
    innermost = [a for a in loops if not any(b != a and a[0] <= b[0] and b[1] <= a[1] for b in loops)]
    return max(innermost, key=lambda loop: barriers[loop], default=None)


def longest_path(kernel, loop, trips=1, rare=()):
    """The instructions, in order, of a thread that does all there is to do in one turn of the loop: [(index, whether it is a
    taken branch)]. Loops inside it run `trips` times. Calls are left out, which is what division does with denormal numbers,
    and so is what has one of the opcodes `rare`, if there is a way around."""
    first, last = loop
    inner = {i for i in range(first, last) if kernel.target(i) is not None and first <= kernel.target(i) <= i
             and kernel.code[kernel.target(i)].opcode != "SYNCS.PHASECHK"}
    best = {}  # index -> (stalls to the loop's end, next index or None)
    for i in range(last, first - 1, -1):
        instruction = kernel.code[i]
        if instruction.opcode in ("CALL", "EXIT", "RET"):
            continue
        target = kernel.target(i)
        conditional = instruction.text.startswith("@") or "BRA.DIV" in instruction.text
        ways = [i + 1] if target is None or conditional or i in inner else []
        if target is not None and i not in inner and target > i:
            ways.append(target)
        ends = [(best[way][0], way) for way in ways if way in best]
        if i == last:
            ends = [(0, None)]
        if ends:
            length, way = max(ends)
            best[i] = (length + max(instruction.stall, 1) - (1_000_000 if instruction.opcode in rare else 0), way)
    if first not in best:
        raise ValueError(f"{kernel.symbol}: no way through the loop at {first}")
    path, turns, i = [], dict.fromkeys(inner, 1), first
    while i is not None:
        if i in inner and turns[i] < trips:
            turns[i] += 1
            path.append((i, True))
            i = kernel.target(i)
            continue
        turns[i] = 1
        way = best[i][1]
        path.append((i, i == last or (way is not None and way != i + 1)))
        i = way
    return path

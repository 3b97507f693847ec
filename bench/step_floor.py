"""What a time step takes at least, whatever its machine code: the product, and what has to wait for each other before and after.

In cycles, at the middle of multiprocessor.py's latencies, term by term:
  read      the vector from shared memory, before the first multiply-add
  product   its multiply-adds on a scheduler, on tensor cores until the last one's result is there; where weights are in shared
            memory, or every warp reads the whole vector, their way from there, if that takes longer
  sums      a shuffle and an addition for each halving of the lanes that have parts of a row
  gates     what has to be known of a unit's gates before its state: an activation, and the exchange between its lanes
  cell      from there to the state or the gradient: its dependent operations
  exchange  the barrier after which the others may read it; of blocks in a cluster, the way of the bytes that each counts, and
            the look at that count
Two blocks of a multiprocessor can do this at the same time, so that it takes as long as the busiest pipe, if that is longer. An
operation that another waits for takes 4 cycles, and where a lane has several values, their turns at the pipe. Loads from global memory, stores and indices can be beside all this.
"""
import re
from math import log2

from multiprocessor import BARRIER, LATENCIES, PIPES, REMOTE_STORE

OPERATION = 4
MIDDLE = 1
READ, READ_TILES, SHUFFLE, SPECIAL, COUNT = (LATENCIES[opcode][MIDDLE] for opcode in ("LDS", "LDSM", "SHFL", "MUFU", "SYNCS.PHASECHK"))
# Two bounds, a square, four multiply-adds, the reciprocal, and four operations that make a quotient of it (cells.cuh).
TANH = (2 + 1 + 4 + 4) * OPERATION + SPECIAL
VALUES = 4                                  # of a lane, in a tile of 16 units and eight rows
APPROXIMATE = SPECIAL + 8 * (VALUES - 1)    # tanh.approx
PRODUCT, RESULT = PIPES["HMMA"][1], 33      # cycles of an HMMA; from its issue to an instruction that waits for it
TILE_TURNS = 4                              # of shared memory for an LDSM, which has two steps of k
SIGMOID = 2 * OPERATION  # besides a tanh
HALVING = SHUFFLE + OPERATION


def terms(strategy, name, threads, groups):
    """{term: cycles} of a step of a kernel; groups: of rows, one after another."""
    width, cell, flag = re.search(r"<(\d+), (\w+)(?:, (\w+))?", name).groups()
    width, forward = int(width), "forward" in name
    rows = int(flag) if flag and flag.isdigit() else 1
    gates = {"gru": 3, "lstm": 4}.get(cell, 1)
    warps = -(-threads // 32 // 4)  # of a scheduler
    tanh = APPROXIMATE if strategy.startswith("tensor_core") else TANH
    squash = tanh if cell != "relu" else OPERATION
    result = {"read": READ}
    if strategy.startswith("tensor_core"):
        tiles = gates if gates > 1 else width // 16 // (threads // 32)  # of a warp, of 16 units or gates each
        depth = width * (1 if forward else gates)                       # of the product, of as many tiles in all
        loads = depth // 32                                             # of a warp
        products = width // 16 * tiles * PRODUCT * warps
        last = loads * (threads // 32) * TILE_TURNS - TILE_TURNS + 2 * PRODUCT * (products // PRODUCT // warps // (depth // 16))
        result["read"] = READ_TILES + TILE_TURNS - 1
        result["product"] = max(products, last) + RESULT - PRODUCT
    elif strategy == "cluster":
        result["product"] = groups * width * warps
        result["sums"] = groups * (16 + 8 + 4 + 2 + 1) * threads // 32  # one after another on the multiprocessor
    elif strategy == "gated":
        columns = 16 if width <= 64 else 32
        units = columns * threads // width  # of a block
        slices = width // columns if forward else 4 * units // columns
        result["product"] = columns * gates * rows * warps
        result["sums"] = round(log2(slices)) * HALVING
    else:
        result["product"] = width // 2 * warps
        if width == 256:
            result["product"] = max(result["product"], (8 + (10 if flag == "true" else 8) * 4) * threads // 32)
        result["sums"] = 3 * HALVING
    if gates > 1 and forward:
        result["gates"] = OPERATION + tanh + SIGMOID + (0 if strategy.startswith("tensor_core") else SHUFFLE)
        result["cell"] = tanh + 3 * OPERATION
    elif gates > 1:  # what flows in is added up, a read of it after the exchange; the gates' gradients, a barrier before the product
        result["gates"] = 0 if strategy.startswith("tensor_core") else READ + BARRIER[MIDDLE]
        result["cell"] = (2 + (4 if cell == "lstm" else 5)) * OPERATION
    elif forward:
        result["cell"] = OPERATION + squash
    else:
        result["cell"] = (3 if flag == "true" else 2) * OPERATION
    if strategy.startswith("tensor_core"):  # two to a register; back, of each gate
        result["round"] = OPERATION + PIPES["F2FP"][1] * (VALUES // 2 * (1 if forward else gates) - 1)
    clusters = strategy == "cluster" or strategy == "gated" and width > 64
    result["exchange"] = REMOTE_STORE[MIDDLE] + COUNT if clusters else BARRIER[MIDDLE]
    return result

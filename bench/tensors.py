"""Reads and writes safetensors files with NumPy alone: measuring on a GPU runs where nothing can be installed."""
import json
import struct

import numpy as np

DTYPES = {"F32": np.float32, "I32": np.int32}


def read(path, names):
    """The named arrays of a file, in this order."""
    with open(path, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        header, arrays = json.loads(file.read(size)), []
        for name in names:
            begin, end = header[name]["data_offsets"]
            file.seek(8 + size + begin)
            arrays.append(np.frombuffer(file.read(end - begin), DTYPES[header[name]["dtype"]])
                          .reshape(header[name]["shape"]))
    return arrays


def write(path, arrays):
    """float32 arrays by name."""
    header, offset = {}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # data is aligned
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array, np.float32).tobytes())

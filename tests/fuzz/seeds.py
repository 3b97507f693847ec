#!/usr/bin/env python3
"""Writes what each fuzz target begins with: seeds.py FIXTURES FOLDER makes FOLDER/TARGET/*."""
import bz2
import gzip
import hashlib
import json
import lzma
import re
import struct
import sys
import zipfile
from pathlib import Path


def safetensors(tensors, metadata=None):
    header, data = ({"__metadata__": metadata} if metadata else {}), b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def sha256(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def integers(*values):
    return struct.pack(f"<{len(values)}i", *values)


def main():
    fixtures, folder = Path(sys.argv[1]), Path(sys.argv[2])
    npz = {path.name: path.read_bytes() for path in fixtures.glob("*.npz")}
    pickles, arrays = {}, {}
    for name in npz:
        with zipfile.ZipFile(fixtures / name) as archive:
            array = archive.read("x_train.npy") if "x_train.npy" in archive.namelist() else b""
            labels = archive.read("y_train.npy") if "y_train.npy" in archive.namelist() else b""
        pickles[name] = array[array.find(b"\n") + 1:]
        arrays[name] = struct.pack("<I", len(array)) + array + labels
    split = {"ranks": ("I32", [3], integers(1, 2, 1)), "lengths": ("I32", [2], integers(2, 1)),
             "labels": ("I32", [2], integers(1, 0))}
    tensors = {f"{name}.{key}": value for name in ("train", "test") for key, value in split.items()}
    words = b"good\t2\nbad\t1\nunseen\t0\n"
    corpus_header = (Path(__file__).parents[2] / "host/text/corpus.h").read_text()
    description = json.dumps({"reel_prepared": int(re.search(r"kPreparedFormat = (\d+)", corpus_header)[1]), "source": "s",
                              "source_checksum": "c", "words": 2, "words_checksum": sha256(words), "invalid_utf8": 0, "task": "classify",
                              "labels": "neg\npos\n"}).encode()
    tokens = safetensors(tensors, {"tokens_checksum": sha256(b"".join(tensors[name][2] for name in sorted(tensors))),
                                   "description_checksum": sha256(description)})
    floats = {"embedding.weight": ("F32", [2, 1], bytes(8)), "rnn.weight_ih_l0": ("F32", [1, 1], bytes(4)),
              "rnn.weight_hh_l0": ("F32", [1, 1], bytes(4)), "rnn.bias_ih_l0": ("F32", [1], bytes(4)),
              "rnn.bias_hh_l0": ("F32", [1], bytes(4)), "fc.weight": ("F32", [1, 1], bytes(4)), "fc.bias": ("F32", [1], bytes(4))}
    above = {name.replace("_l0", "_l1"): tensor for name, tensor in floats.items() if "_l0" in name}
    how = {"reel_format": "1", "nonlinearity": "tanh", "pool": "last", "num_words": "10000", "skip_top": "0", "drop_longer": "-1",
           "start_char": "1", "oov_char": "2", "index_from": "3", "maxlen": "200", "padding": "post", "truncating": "pre", "mask": "on"}
    vector = ("F32", [2], bytes(8))
    cursor = {"config": "lr = 1\n", "data_checksum": "c", "step": 4, "epochs_done": 1, "best_epoch": 1, "epochs_without_gain": 0,
              "best_accuracy": 0.5, "epoch_seconds": [1.5], "measured_reviews": 1, "measured_tokens": 2, "measured_seconds": 0.1,
              "best_test": {"tp": 1, "fp": 0, "tn": 1, "fn": 0, "loss": 0.5, "seconds": 1, "tokens": 3}}
    state = safetensors({"measured": ("F64", [1, 3], bytes(24)), "parameters": vector, "state1": vector, "state2": vector},
                        {"reel_format": "1", "cursor": json.dumps(cursor)})
    review = b"aclImdb/%s/%s/0_%d.txt\tA %s film.\n"
    reviews = b"".join(review % (split, label, 9, label) for split in (b"train", b"test") for label in (b"pos", b"neg"))
    rows = b"text,label\ngood film,1\nbad,0\n"
    frame = b"\x20" + bytes([len(rows)]) + struct.pack("<I", len(rows) << 3 | 1)[:3] + rows  # of one block as it is
    zstandard = b"\x28\xb5\x2f\xfd" + frame
    seeds = {
        "aclimdb": {"a": reviews + b"aclImdb/README\tnotes\naclImdb/train/pos/._0_9.txt\tnotes\n"},
        "archive": {"tar.gz": (fixtures / "aclImdb.tar.gz").read_bytes(), **npz},
        "config": {"a": b"lr = 0.1\nmask = 'off'\n# note\nseed = 3\nnesterov = true\ndata = \"a\\nb\"\n"},
        "csv": {"a": b'text,label\n"good, ""very""\nfilm",1\r\nbad,neg\n', "b": b"\xef\xbb\xbfid,sentiment,review\n1,0,x\n"},
        "fasttext": {"a": b"a __label__b good film\n\n__label__a bad\r\nnone of them\n"},
        "flags": {"a": b"preset = \"tutorial\"\ndata = \"set#2\"\nvocab-size = 20000\nlr = 1e-3\nmask = \"off\"\nnesterov = true\n"
                       b"checkpoint-every = \"5m\"\nseed = 18446744073709551615\nthreads = 2\noptimizer = \"sgd\"\nclip-norm = 0.5\n"},
        "ids": {"a": b'{"ids": [1, 14, 22]}', "b": "É um FILM très joli".encode()},
        "json_lines": {"a": b'"text": "good\\nfilm", "label": 1}\n\n{"label": "neg", "text": "b\\u00e9"}\n'},
        "labels": {"a": b"\x00text,label\nx,a;b\ny,c\n", "b": b"\x03text,label\nx,1.5\ny,-2\n", "c": b"\x04text,label\nx,a:1;b:3\ny,c:1\n",
                   "d": b'\x05{"text": "x", "label": {"a": 1, "b": 3}}\n{"text": "y", "label": {"c": 1}}\n',
                   "g": b"\x08text,label\nx,1\ny,0\n", "e": b'\x00{"text": "x", "label": ["b"]}\n{"text": "y", "label": []}\n', "f": b"\x10text\tlabel\nx\t1\ny\tneg\n"},
        "npy": arrays,
        "npz": npz,
        "packed": {"gz": gzip.compress(rows), "bz2": bz2.compress(rows), "xz": lzma.compress(rows), "zst": zstandard},
        "pickle": pickles,
        "prepared": {"a": description + b"\0\0" + words + b"\0\0" + tokens},
        "safetensors": {"a": tokens, "b": safetensors({"w": ("F32", [2, 2], bytes(16))}, {"format": "pt"})},
        "state": {"a": state},
        "weights": {"a": safetensors(floats, how), "b": safetensors(floats | above, how | {"layers": "2"})},
        "vocabulary": {"a": b"<pad>\t0\n<start>\t0\n<unk>\t0\n<reserved-3>\t0\ngood\t7\nfilm\t3\n"},
        "word_index": {"a": b'{"good": 2, "bad": 1, "tr\\u00e8s": 3}'},
    }
    for target, files in seeds.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / target / name).write_bytes(content)


main()

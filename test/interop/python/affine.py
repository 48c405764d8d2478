"""Affine codes by their definition, in numpy: the codes, scales, zero points and weights of every case, as JSON.

A case has rows of float32 weights in a file, and a spec: bits, group size, symmetry, type of the scales.
"""

import json
import sys

import numpy as np


def stored_scale(exact, kind):
    """The smallest number of the type that is not below."""
    scale = kind(exact)
    return scale if float(scale) >= exact else np.nextafter(scale, kind(np.inf))


def encode_group(weights, bits, symmetric, kind):
    top = 2**bits - 1
    low, high = min(0.0, weights.min()), max(0.0, weights.max())
    reach = 2 * max(high, -low) if symmetric else high - low
    middle = 2 ** (bits - 1)
    if reach == 0:
        return np.full(len(weights), middle if symmetric else 0), 0.0, middle if symmetric else 0
    scale = float(stored_scale(reach / top, kind))
    zero = middle if symmetric else int(np.round(-low / scale))
    codes = np.clip(np.round(weights / scale) + zero, 0, top)
    return codes.astype(int), scale, zero


def pack(codes, bits):
    """A little-endian bit stream, in whole bytes."""
    stream = [(code >> bit) & 1 for code in codes for bit in range(bits)]
    return np.packbits(np.array(stream, dtype=np.uint8), bitorder="little").tolist()


def answer(case):
    bits, columns = case["bits"], case["rowLength"]
    size = columns if case["groupSize"] == "row" else case["groupSize"]
    symmetric = case["symmetry"] == "symmetric"
    kind = {"F16": np.float16, "F32": np.float32}[case["scaleType"]]
    rows = np.fromfile(case["file"], dtype=np.float32).astype(np.float64).reshape(-1, columns)
    data, scales, zeros, decoded = [], [], [], []
    for row in rows:
        groups = [encode_group(row[at : at + size], bits, symmetric, kind) for at in range(0, columns, size)]
        data += pack([int(code) for codes, _, _ in groups for code in codes], bits)
        scales += [scale for _, scale, _ in groups]
        zeros += [] if symmetric else pack([zero for _, _, zero in groups], bits)
        for codes, scale, zero in groups:
            decoded += ((codes - zero) * scale).astype(np.float32).astype(float).tolist()
    return {"data": data, "scales": scales, "zeroPoints": zeros, "decoded": decoded}


with np.errstate(over="ignore"):
    print(json.dumps([answer(case) for case in json.load(sys.stdin)]))

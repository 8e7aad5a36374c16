"""Broken files out of whole ones: the number of a mutant and the seed decide everything about it."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence

import numpy as np

EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
"""Numbers that break lengths, counts and sizes."""
HEADER = 1024
"""Most headers lie in so many bytes; half of the mutations aim there."""
Random = np.random.Generator
Mutation = Callable[[bytearray, Random, Sequence[bytes]], bytes | bytearray]


def mutant(number: int, seed: int, sources: dict[str, bytes]) -> tuple[str, bytes]:
    """A mutant.

    Args:
        number: of the mutant.
        seed: of the run.
        sources: name -> whole file.

    Returns:
        Name of the whole file, and the broken content. One to three mutations; of gzipped files every second one is
        unpacked, mutated, and packed again, because a check sum would end most of the others early.
    """
    random = np.random.default_rng([seed, number])
    name = sorted(sources)[int(random.integers(len(sources)))]
    data, packed = sources[name], False
    if data.startswith(b"\x1f\x8b") and random.random() < 0.5:
        data, packed = zlib.decompress(data, 31), True
    for _ in range(int(random.integers(1, 4))):
        mutate = MUTATIONS[int(random.integers(len(MUTATIONS)))]
        data = bytes(mutate(bytearray(data), random, list(sources.values()))) if data else data
    if packed:
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        data = packer.compress(data) + packer.flush()
    return name, data


def _place(data: bytearray, random: Random) -> int:
    size = min(len(data), HEADER) if random.random() < 0.5 else len(data)
    return int(random.integers(size))


def flip_bits(data: bytearray, random: Random, others: Sequence[bytes]) -> bytearray:
    for _ in range(int(random.integers(1, 9))):
        data[_place(data, random)] ^= 1 << int(random.integers(8))
    return data


def set_bytes(data: bytearray, random: Random, others: Sequence[bytes]) -> bytearray:
    begin, length = _place(data, random), int(random.integers(1, 65))
    data[begin : begin + length] = random.bytes(length) if random.random() < 0.5 else bytes(length)
    return data


def truncate(data: bytearray, random: Random, others: Sequence[bytes]) -> bytearray:
    return data[: _place(data, random)]


def insert(data: bytearray, random: Random, others: Sequence[bytes]) -> bytearray:
    begin = _place(data, random)
    data[begin:begin] = random.bytes(int(random.integers(1, 257)))
    return data


def delete(data: bytearray, random: Random, others: Sequence[bytes]) -> bytearray:
    begin = _place(data, random)
    del data[begin : begin + int(random.integers(1, 257))]
    return data


def repeat(data: bytearray, random: Random, others: Sequence[bytes]) -> bytearray:
    begin, length = _place(data, random), int(random.integers(1, 4097))
    data[begin:begin] = data[begin : begin + length] * int(random.integers(1, 9))
    return data


def set_number(data: bytearray, random: Random, others: Sequence[bytes]) -> bytearray:
    """An extreme number of 2, 4 or 8 bytes at an even place, in either byte order."""
    width = (2, 4, 8)[int(random.integers(3))]
    value = EXTREMES[int(random.integers(len(EXTREMES)))] % 256**width
    begin = _place(data, random) & ~1
    data[begin : begin + width] = value.to_bytes(width, "little" if random.random() < 0.7 else "big")
    return data


def set_digits(data: bytearray, random: Random, others: Sequence[bytes]) -> bytes:
    """An extreme number in digits, for headers of text; DICOM has some as well."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?", bytes(data[:HEADER])))
    if not found:
        return bytes(data)
    match = found[int(random.integers(len(found)))]
    value = (b"0", b"-1", b"99999999", b"2147483648", b"1e308", b"nan", b"-0.0")[int(random.integers(7))]
    return bytes(data[: match.start()]) + value + bytes(data[match.end() :])


def set_length(data: bytearray, random: Random, others: Sequence[bytes]) -> bytearray:
    """An extreme length of a DICOM element with explicit VR; any number elsewhere."""
    found = list(re.finditer(rb"(?s).{4}(OB|OW|SQ|UN|UT|US|UL|DS|IS|CS|UI|LO|SH|PN)", bytes(data[: 16 * HEADER])))
    if not found:
        return set_number(data, random, others)
    match = found[int(random.integers(len(found)))]
    wide = match.group(1) in (b"OB", b"OW", b"SQ", b"UN", b"UT")
    begin, width = (match.end() + 2, 4) if wide else (match.end(), 2)
    value = EXTREMES[int(random.integers(len(EXTREMES)))] % 256**width
    data[begin : begin + width] = value.to_bytes(width, "little")
    return data


def splice(data: bytearray, random: Random, others: Sequence[bytes]) -> bytes:
    """The beginning of this file and the end of another, or of itself."""
    other = others[int(random.integers(len(others)))]
    return bytes(data[: _place(data, random)]) + other[int(random.integers(len(other))) :]


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    set_bytes,
    truncate,
    insert,
    delete,
    repeat,
    set_number,
    set_number,
    set_digits,
    set_length,
    set_length,
    splice,
)
"""Attacks on numbers and lengths come twice."""

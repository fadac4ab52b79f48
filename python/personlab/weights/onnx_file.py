"""Reads and adds metadata of ONNX files without the package `onnx`, and seals files, so that damage is noticed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Protocol Buffers: a message is a row of fields; a field is a varint of number and wire type, then its value.
_METADATA = 14  # ModelProto.metadata_props, of messages StringStringEntryProto
_KEY, _VALUE = 1, 2  # its fields
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_SEAL = "personlab.sha256"  # the last entry: SHA-256 of all bytes before it, as 64 hexadecimal digits
_MAX_VARINT = 10  # bytes


def read_metadata(content: bytes) -> dict[str, str]:
    """Return the metadata entries of an ONNX file.

    Raises:
        ValueError: no ONNX file, or a damaged one.
    """
    try:
        entries = [dict(_fields(value)) for number, value in _fields(memoryview(content)) if number == _METADATA]
        return {_text(entry.get(_KEY)): _text(entry.get(_VALUE)) for entry in entries}
    except (IndexError, UnicodeDecodeError, ValueError):
        raise ValueError("expected an ONNX file, got something else or a damaged one") from None


def is_exported(content: bytes) -> bool:
    """Return whether an ONNX file has the configuration of a network of this library; False of anything else."""
    try:
        return "personlab.config" in read_metadata(content)
    except ValueError:
        return False


def is_quantised(content: bytes) -> bool:
    """Return whether the network of an ONNX file computes in whole numbers, as its operators QuantizeLinear say."""
    return b"QuantizeLinear" in content


def seal(content: bytes, entries: Mapping[str, str]) -> bytes:
    """Return an ONNX file with more metadata entries, and with one that `is_sealed` checks."""
    whole = content + b"".join(_entry(name, value) for name, value in entries.items())
    return whole + _entry(_SEAL, hashlib.sha256(whole).hexdigest())


def is_sealed(content: bytes) -> bool:
    """Return whether a file is, byte for byte, what `seal` returned."""
    last = _entry(_SEAL, "0" * 64)
    body, end = memoryview(content)[: -len(last)], content[-len(last) :]
    return end == _entry(_SEAL, hashlib.sha256(body).hexdigest())


def _entry(name: str, value: str) -> bytes:
    fields = b"".join(
        _varint(number << 3 | _BYTES) + _varint(len(text)) + text
        for number, text in ((_KEY, name.encode()), (_VALUE, value.encode()))
    )
    return _varint(_METADATA << 3 | _BYTES) + _varint(len(fields)) + fields


def _varint(number: int) -> bytes:
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of each field of a message; the content of numbers is empty."""
    place = 0
    while place < len(message):
        tag, place = _read_varint(message, place)
        kind, length = tag & 7, 0
        if kind == _BYTES:
            length, place = _read_varint(message, place)
        elif kind == _VARINT:
            _, place = _read_varint(message, place)
        elif kind in (_FIXED64, _FIXED32):
            place += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"expected a wire type of 0, 1, 2 or 5, got {kind}")
        if place + length > len(message) or tag >> 3 == 0:
            raise ValueError("expected fields that end within the message")
        yield tag >> 3, message[place : place + length]
        place += length


def _read_varint(message: memoryview, place: int) -> tuple[int, int]:
    number = 0
    for i in range(_MAX_VARINT):
        byte = message[place + i]
        number |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return number, place + i + 1
    raise ValueError("expected a number of at most 10 bytes")


def _text(content: memoryview | None) -> str:
    return "" if content is None else bytes(content).decode()

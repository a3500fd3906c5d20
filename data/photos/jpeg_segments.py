"""Parsing of a JPEG file's segments without decoding pixels, so that metadata can be removed losslessly.

Marker codes are those of ITU-T T.81, table B.1. JFIF is ITU-T T.871. Markers give the colour space as
in libjpeg (`default_decompress_parms`), which is the decoder of both Pillow and TensorFlow.
"""

import re
import struct
from dataclasses import dataclass

from edgeline.edge.photo_pixels import open_photo, read_orientation

_START, _END, _SCAN, _APP0, _APP1, _APP14 = 0xD8, 0xD9, 0xDA, 0xE0, 0xE1, 0xEE
_BASELINE, _PROGRESSIVE = 0xC0, 0xC2
_TABLES = frozenset({0xDB, 0xC4, 0xDD})  # quantisation, Huffman, restart interval
_METADATA = frozenset(range(0xE0, 0xF0)) | {0xFE}
_EXIF = b"Exif\0\0"
# In entropy-coded data 0xFF00 is a stuffed 0xFF and 0xFFD0 to 0xFFD7 are restart markers.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
# The chunks that decoding a PNG needs, and text chunks that may hold the orientation.
_PNG_START, _PNG_CHUNKS = b"\x89PNG\r\n\x1a\n", (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_PNG_TURNS = (b"Raw profile type ", b"XML:com.adobe.xmp")
_ORIENTATION = 0x0112
# JFIF 1.01, no density, no thumbnail. Without it, a decoder would guess the colour space from component ids.
_JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"


class OddJpeg(Exception):
    """The file is not a plain JPEG; `truncated` if it ends before its end marker."""

    def __init__(self, what: str, truncated: bool = False) -> None:
        super().__init__(what)
        self.truncated = truncated


@dataclass(frozen=True)
class PlainJpeg:
    """A baseline or progressive Huffman JPEG of 8-bit luma or YCbCr."""

    exif: bytes  # its EXIF from the TIFF header on; empty if it has none
    stripped: bytes  # tables, frame and scans alone: no EXIF, XMP, ICC, comment, nothing after the end marker


def parse_jpeg(data: bytes) -> PlainJpeg:
    """Parses a JPEG from its start marker to its end marker.

    Raises OddJpeg for another process, precision or colour space, or a marker out of place.
    """
    if data[:2] != bytes((0xFF, _START)):
        raise OddJpeg("no start marker")
    parts = [data[:2], _JFIF]
    frame, exif, transform = b"", b"", None
    has_jfif = has_scan = False
    position = 2

    while True:
        marker, body, after = _read_segment(data, position)
        if marker == _END:
            break
        if marker in (_BASELINE, _PROGRESSIVE) and not frame:
            frame = body
        elif marker == _SCAN and frame:
            has_scan = True
            after = _find_scan_end(data, after)
        elif marker == _APP0 and body[:5] == b"JFIF\0":
            has_jfif = True
        elif marker == _APP1 and body[:6] == _EXIF and not exif:
            exif = body[6:]
        elif marker == _APP14 and body[:5] == b"Adobe" and len(body) >= 12:
            transform = body[11]
        elif marker not in _TABLES | _METADATA:
            raise OddJpeg(f"marker 0xFF{marker:02X}")
        if marker not in _METADATA:
            parts.append(data[position:after])
        position = after

    if not has_scan:
        raise OddJpeg("no scan")
    _check_frame(frame, has_jfif, transform)
    parts.append(bytes((0xFF, _END)))
    return PlainJpeg(exif, b"".join(parts))


def strip_metadata(data: bytes) -> bytes:
    """Returns a JPEG or PNG with the orientation and what decoding needs; nothing of any other file."""
    if data.startswith(_PNG_START):
        return _strip_png(data)
    try:
        plain = parse_jpeg(data)
    except OddJpeg:
        return b""
    with open_photo(plain.stripped) as image:
        orientation = read_orientation(image, plain.exif)
    if orientation == 1:
        return plain.stripped
    end = 2 + len(_JFIF)
    body = _EXIF + struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, _ORIENTATION, 3, 1, orientation, 0, 0)
    segment = struct.pack(">BBH", 0xFF, _APP1, len(body) + 2) + body
    return plain.stripped[:end] + segment + plain.stripped[end:]


def _strip_png(data: bytes) -> bytes:
    parts = [_PNG_START]
    position = len(_PNG_START)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"eXIf" or data.startswith(_PNG_TURNS, position + 8):
            return b""
        if kind in _PNG_CHUNKS:
            parts.append(data[position : position + 12 + length])
        if kind == b"IEND":
            return b"".join(parts)
        position += 12 + length
    return b""


def count_scans(data: bytes) -> int:
    """Counts the scans that libjpeg would read of any file; it skips bytes between segments."""
    scans, position = 0, 2
    while (match := _NEXT_MARKER.search(data, position)) and (marker := data[match.end() - 1]) != _END:
        scans += marker == _SCAN
        position = match.end() + int.from_bytes(data[match.end() : match.end() + 2], "big")
    return scans


def _read_segment(data: bytes, position: int) -> tuple[int, bytes, int]:
    """Returns marker, body and end of a segment; fill bytes before a marker are legal and skipped.

    Raises OddJpeg if there is none, or it is not whole.
    """
    missing = OddJpeg("no marker where one is due", truncated=len(data) - position < 4)
    start = position
    while start + 1 < len(data) and data[start] == 0xFF and data[start + 1] == 0xFF:
        start += 1
    if start + 1 >= len(data) or data[start] != 0xFF:
        raise missing
    marker = data[start + 1]
    if marker == _END:
        return marker, b"", start + 2
    if start + 4 > len(data):
        raise missing
    (length,) = struct.unpack_from(">H", data, start + 2)
    if length < 2:
        raise missing
    end = start + 2 + length
    if end > len(data):
        raise OddJpeg("a segment is longer than the file", truncated=True)
    return marker, data[start + 4 : end], end


def _find_scan_end(data: bytes, position: int) -> int:
    """Returns where the entropy-coded data of a scan ends. Raises OddJpeg if the file ends before."""
    end = _NEXT_MARKER.search(data, position)
    if end is None:
        raise OddJpeg("the last scan has no end", truncated=True)
    return end.start()


def _check_frame(frame: bytes, jfif: bool, transform: int | None) -> None:
    if len(frame) < 6 or len(frame) != 6 + 3 * frame[5]:
        raise OddJpeg("a frame header of the wrong length")
    precision, height, width, components = struct.unpack_from(">BHHB", frame)
    if precision != 8 or not height or not width:
        raise OddJpeg(f"{precision} bits, {width} x {height}")
    ids = frame[6::3]
    is_ycbcr = jfif or (transform == 1 if transform is not None else ids == b"\1\2\3")
    if components != 1 and not (components == 3 and is_ycbcr):
        raise OddJpeg(f"{components} components that are not YCbCr")

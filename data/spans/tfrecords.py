"""Records of TFRecord files as features: one at a time, from a disk and from a store.

The framing is https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details.
"""

import gzip
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

from errors import DataRefused
from locations import Location, open_read
from store_errors import explained

_GZIP = b"\x1f\x8b"


def read_examples(
    path: Location, most: int, spans: tuple[str, ...] = ()
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The `tf.train.Feature` of each record by name, and its number from 1; gzip may have packed the file.

    A record may have `most` bytes; the names of `spans` are those to blame for what is wrong with the file.

    Raises:
        DataRefused: The file is damaged, or is none of tf.train.Example.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.example.example_pb2 import Example

    number = 0
    try:
        with explained(path), open_read(path) as file:
            packed = file.read(2) == _GZIP
            file.seek(0)
            with gzip.open(file) if packed else nullcontext(file) as stream:
                while head := stream.read(12):
                    number += 1
                    length = int.from_bytes(head[:8], "little")
                    if not _sound(head[:8], head[8:]) or length > most:
                        raise OSError(f"its length is damaged, or above {most:,} bytes")
                    if not _sound(record := stream.read(length), stream.read(4)):
                        raise OSError("its checksum is another one, or the file ends in it")
                    yield number, Example.FromString(record).features.feature
    except (OSError, EOFError, zlib.error, DecodeError) as error:
        what = f"it is no tf.train.Example ({error})" if isinstance(error, DecodeError) else error
        raise DataRefused(
            f"{path} record {number} cannot be read: {what}.",
            "What follows it cannot be found.",
            "Fetch or write the file again.",
            spans,
        ) from None


def values_of(feature: Any) -> list[Any]:
    """What a `tf.train.Feature` holds."""
    kind = feature.WhichOneof("kind")
    return list(getattr(feature, kind).value) if kind else []


def as_text(value: Any) -> str:
    """One of its values."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _sound(content: bytes, checksum: bytes) -> bool:
    """Whether a masked CRC-32C is that of the content."""
    import google_crc32c

    crc = google_crc32c.value(content)
    return checksum == struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

"""Records of TFRecord files as features, read one at a time from a disk or a store.

The framing is https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details.
"""

import gzip
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

from edgeline.errors import DataRefused
from edgeline.store.locations import Location, open_read
from edgeline.store.store_errors import explain_errors

_GZIP = b"\x1f\x8b"


def read_examples(
    path: Location, most: int, spans: tuple[str, ...] = ()
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yields the number of each record, from 1, and its `tf.train.Feature` by name; the file may be gzipped.

    A record has at most `most` bytes. Raises DataRefused, which blames the `spans`, if the file is damaged,
    or does not hold tf.train.Example.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.example.example_pb2 import Example

    number = 0
    try:
        with explain_errors(path), open_read(path) as file:
            is_packed = file.read(2) == _GZIP
            file.seek(0)
            with gzip.open(file) if is_packed else nullcontext(file) as stream:
                while head := stream.read(12):
                    number += 1
                    length = int.from_bytes(head[:8], "little")
                    if not _is_intact(head[:8], head[8:]) or length > most:
                        raise OSError(f"its length is damaged, or above {most:,} bytes")
                    if not _is_intact(record := stream.read(length), stream.read(4)):
                        raise OSError("its checksum does not match, or the file ends within it")
                    yield number, Example.FromString(record).features.feature
    except (OSError, EOFError, zlib.error, DecodeError) as error:
        what = f"it is not a tf.train.Example ({error})" if isinstance(error, DecodeError) else error
        raise DataRefused(
            f"{path} record {number} cannot be read: {what}.",
            "The records after it cannot be found." if number > 1 else "It may be no TFRecord file at all.",
            "Download or write the file again." if number > 1 else "Check its kind, or write it again.",
            spans,
        ) from None


def list_values(feature: Any) -> list[Any]:
    """Returns the values of a `tf.train.Feature`."""
    kind = feature.WhichOneof("kind")
    return list(getattr(feature, kind).value) if kind else []


def format_value(value: Any) -> str:
    """Formats a value of a `tf.train.Feature` as text."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _is_intact(content: bytes, checksum: bytes) -> bool:
    """Returns whether a masked CRC-32C is that of the content."""
    import google_crc32c

    crc = google_crc32c.value(content)
    return checksum == struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

"""A TFRecord file of a span as rows of a table: `sensor_reading`, the label, and what else its examples have.

A record becomes the cells that a CSV file would have, so that the same checks hold for both. It is read from
any place; the framing is https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details.
"""

import gzip
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

from data.spans.layout import Span
from data.spans.rows import Cells
from data.spans.source import Rejected
from errors import DataRefused
from locations import Location, explained, open_read

READINGS = "sensor_reading"
_MOST_RECORD_BYTES = 2**20
_GZIP = b"\x1f\x8b"


def read_records(
    span: Span, path: Location, columns: Sequence[str], numbers: Sequence[str]
) -> Iterator[Cells | Rejected]:
    """The cells `columns` of each record, and its place: the file and its number from 1.

    The numbers come from the float list `sensor_reading`, in the order of `numbers`; texts from the features
    that are called as the columns, empty where one is absent.

    Raises:
        DataRefused: The file is damaged, or is none of tf.train.Example.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.example.example_pb2 import Example

    for number, record in enumerate(_records(span, path), 1):
        try:
            features = Example.FromString(record).features.feature
        except DecodeError as error:
            raise _damaged(span, path, number, f"it is no tf.train.Example ({error})") from None
        place = f"{path.name}:{number}"
        values = features[READINGS].float_list.value
        if len(values) != len(numbers):
            detail = f"{READINGS} has {len(values)} numbers, and the workload {len(numbers)}."
            yield Rejected(place, "ragged", detail)
            continue
        cells = {name: repr(value) for name, value in zip(numbers, values, strict=True)}
        try:
            for name in columns:
                if name not in cells:
                    cells[name] = b"".join(features[name].bytes_list.value[:1]).decode()
        except UnicodeDecodeError:
            yield Rejected(place, "ragged", f"{name} is not UTF-8.")
            continue
        yield place, cells


def _records(span: Span, path: Location) -> Iterator[bytes]:
    number = 0
    try:
        with explained(path), open_read(path) as file:
            packed = file.read(2) == _GZIP
            file.seek(0)
            with gzip.open(file) if packed else nullcontext(file) as stream:
                while head := stream.read(12):
                    number += 1
                    length = int.from_bytes(head[:8], "little")
                    if not _sound(head[:8], head[8:]) or length > _MOST_RECORD_BYTES:
                        raise OSError("its length is damaged, or above 1 MiB")
                    if not _sound(record := stream.read(length), stream.read(4)):
                        raise OSError("its checksum is another one, or the file ends in it")
                    yield record
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(span, path, number, str(error)) from None


def _sound(content: bytes, checksum: bytes) -> bool:
    """Whether a masked CRC-32C is that of the content."""
    import google_crc32c

    crc = google_crc32c.value(content)
    return checksum == struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _damaged(span: Span, path: Location, number: int, why: str) -> DataRefused:
    return DataRefused(
        f"{path} record {number} cannot be read: {why}.",
        "What follows it cannot be found.",
        "Fetch or write the file again.",
        (span.name,),
    )

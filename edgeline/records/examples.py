"""Records of TFRecord files as features, read one at a time from a disk or a store.

The framing is https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details. TensorFlow,
whose import takes seconds, is not needed.
"""

import gzip
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

import google_crc32c

from edgeline.errors import DataRefused
from edgeline.store.locations import Location, open_read
from edgeline.store.store_errors import explain_errors

_GZIP = b"\x1f\x8b"
# tensorflow/core/example/example.proto and feature.proto as a FileDescriptorProto.
_PROTO = """
name: "example.proto" package: "tensorflow" syntax: "proto3"
message_type { name: "BytesList" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES } }
message_type { name: "FloatList" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_FLOAT } }
message_type { name: "Int64List" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 } }
message_type {
  name: "Feature" oneof_decl { name: "kind" }
  field { name: "bytes_list" number: 1 type: TYPE_MESSAGE type_name: "BytesList" oneof_index: 0 }
  field { name: "float_list" number: 2 type: TYPE_MESSAGE type_name: "FloatList" oneof_index: 0 }
  field { name: "int64_list" number: 3 type: TYPE_MESSAGE type_name: "Int64List" oneof_index: 0 }
}
message_type {
  name: "Features"
  field { name: "feature" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: "FeatureEntry" }
  nested_type {
    name: "FeatureEntry" options { map_entry: true }
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: "Feature" }
  }
}
message_type {
  name: "Example" field { name: "features" number: 1 type: TYPE_MESSAGE type_name: "Features" }
}
"""


def read_examples(
    path: Location, most: int, spans: tuple[str, ...] = ()
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yields the number of each record, from 1, and its `tf.train.Feature` by name.

    Args:
        path: A TFRecord file, which may be gzipped.
        most: The largest size of a record, in bytes.
        spans: Those that are to blame if the file is damaged.

    Raises:
        DataRefused: The file is damaged, or does not hold tf.train.Example.
    """
    from google.protobuf.message import DecodeError

    make_example = _load_example()
    number = 0
    try:
        with explain_errors(path), open_read(path) as file:
            is_packed = file.read(2) == _GZIP
            file.seek(0)
            with gzip.open(file) if is_packed else nullcontext(file) as stream:
                while head := stream.read(12):
                    number += 1
                    length = int.from_bytes(head[:8], "little")
                    if not is_record(head) or length > most:
                        raise OSError(f"its length is damaged, or above {most:,} bytes")
                    if not _is_intact(record := stream.read(length), stream.read(4)):
                        raise OSError("its checksum does not match, or the file ends within it")
                    yield number, make_example.FromString(record).features.feature
    except (OSError, EOFError, zlib.error, DecodeError) as error:
        what = f"it is not a tf.train.Example ({error})" if isinstance(error, DecodeError) else error
        raise DataRefused(
            f"{path} record {number} cannot be read: {what}.",
            "The records after it cannot be found." if number > 1 else "It may be no TFRecord file at all.",
            "Download or write the file again." if number > 1 else "Check its kind, or write it again.",
            spans,
        ) from None


@lru_cache(maxsize=1)
def _load_example() -> Any:
    """Returns the class of `tf.train.Example`, in a pool beside that of TensorFlow."""
    from google.protobuf import text_format
    from google.protobuf.descriptor_pb2 import FileDescriptorProto
    from google.protobuf.message_factory import GetMessages

    return GetMessages([text_format.Parse(_PROTO, FileDescriptorProto())])["tensorflow.Example"]


def is_record(head: bytes) -> bool:
    """Tells by the first 12 bytes of a file whether it has TFRecords: the checksum of a length fits it."""
    return len(head) >= 12 and _is_intact(head[:8], head[8:12])


def _is_intact(content: bytes, checksum: bytes) -> bool:
    """Returns whether a masked CRC-32C is that of the content."""
    crc = google_crc32c.value(content)
    return checksum == struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

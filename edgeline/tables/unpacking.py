"""Detection of a file's kind by its first bytes, unpacking of the table in it, and its encoding."""

import codecs
import gzip
import re
import shlex
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from io import BufferedReader, BytesIO, FileIO
from itertools import islice
from lzma import LZMAError
from pathlib import Path
from tempfile import mkdtemp
from typing import IO

from edgeline.errors import DataRefused, UsageError
from edgeline.labels import format_count, join_names
from edgeline.records.examples import is_record
from edgeline.store.locations import add_path_to_errors
from edgeline.tables.rows import is_json

# Beside one of these a .zip may hold a licence, or a page that explains the columns.
PHOTO_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
        *(".heic", ".heif", ".avif", ".ppm", ".pgm", ".pbm", ".pnm"),
    )
)
# Beginnings of the names of what systems put beside files: a Mac puts a file beside each of an archive's own,
# a Synology server a folder of thumbnails into each folder, and others put what was deleted there.
HIDDEN = (
    *(".", "__MACOSX", "__pycache__", "@eaDir", "@Recycle", "#recycle", "#snapshot", "$RECYCLE.BIN"),
    *("System Volume Information", "lost+found", "Thumbs.db", "desktop.ini"),
)
TABLES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".gz", ".xlsx", ".xls", ".ods", ".tfrecord")
_GZIP, _ZIP, _OLD_OFFICE = b"\x1f\x8b", b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SAVE = "Save its table as CSV, .xlsx or Parquet."
_PANDAS = "Write it with pandas: pandas.read_{}('{{path}}').to_parquet('table.parquet')."
_UNPACK = "Unpack it, and pass the table or the folder of photos that is in it."
_PHOTOS = "Pass their folder, with one folder per class in it."
# The first bytes of files that are not text, with their kind and what to do.
_BINARY: Mapping[bytes, tuple[str, str]] = {
    b"SQLite format 3": ("an SQLite database", "Pass it as sqlite:///{path}, with --query 'SELECT ...'."),
    b"RDX": ("an R data file", 'In R: load("{path}"); write.csv(TABLE, "table.csv", row.names = FALSE)'),
    b"X\n": ("an R data file", 'In R: write.csv(readRDS("{path}"), "table.csv", row.names = FALSE)'),
    b"\x89HDF": ("an HDF5 file", _PANDAS.format("hdf")),
    b"ARROW1": ("an Arrow Feather file", _PANDAS.format("feather")),
    b"ORC": ("an ORC file", _PANDAS.format("orc")),
    b"$FL2": ("an SPSS data file", _PANDAS.format("spss")),
    b"<stata_dta>": ("a Stata data file", _PANDAS.format("stata")),
    b"r\x02\x01": ("a Stata data file", _PANDAS.format("stata")),
    b"s\x02\x01": ("a Stata data file", _PANDAS.format("stata")),
    bytes(12) + b"\xc2\xea\x81\x60": ("a SAS data file", _PANDAS.format("sas")),
    b"\x80\x04": ("a Python pickle", _PANDAS.format("pickle")),
    b"\x80\x05": ("a Python pickle", _PANDAS.format("pickle")),
    b"\x93NUMPY": (
        "a NumPy array",
        "Give its columns names with pandas: pandas.DataFrame(numpy.load('{path}'), columns=[...])"
        ".to_parquet('table.parquet').",
    ),
    b"MATLAB": ("a MATLAB file", "In MATLAB: writetable(T, 'table.csv')"),
    b"BZh": ("compressed with bzip2", _UNPACK),
    b"\xfd7zXZ": ("compressed with xz", _UNPACK),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", _UNPACK),
    b"7z\xbc\xaf": ("compressed with 7-Zip", _UNPACK),
    b"Rar!": ("compressed with RAR", _UNPACK),
    b"\xff\xd8\xff": ("a photo", _PHOTOS),
    b"\x89PNG": ("a photo", _PHOTOS),
    b"": ("a binary file of an unknown kind", _SAVE),
}
_TEXT: Mapping[str, tuple[str, str]] = {
    r"%PDF-": ("a PDF", _SAVE),
    r"(?i)(%.*\s+)*@relation": (
        "an ARFF file of Weka",
        "Write it with SciPy and pandas: pandas.DataFrame(scipy.io.arff.loadarff('{path}')[0])"
        ".to_parquet('table.parquet').",
    ),
    r"(?i)<(!doctype|html|\?xml|table)": ("an HTML or XML page", f"Open it in a spreadsheet. {_SAVE}"),
    r"__label__\S+[ \t]": (
        "a fastText file",
        r"Write it as a table: sed 's/^__label__\(\S*\)[ \t]*/\1\t/; 1i label\ttext' {quoted} > texts.tsv",
    ),
    r"\[\s*[\[{]": (
        "a JSON array",
        f"{_PANDAS.format('json')} For texts, jq -c '.[]' {{quoted}} > texts.jsonl does as well.",
    ),
    r'\{\s*"': (
        "JSON",
        "If each line has an object, rename it to .jsonl, which texts are read from; for a table,"
        " pandas.read_json('{path}', lines=True).to_parquet('table.parquet').",
    ),
}
_HEAD_BYTES, _LINE_BYTES = 4096, 2**26
# Lines that are not ASCII, and their bytes, that show the encoding of a file.
_LINES, _SAMPLE_BYTES = 1_000, 2**16
# Words in which one of these is found were not written in Windows-1252.
_ODD_WORD = re.compile(
    r"^[\xc0-\xff]{3,}$"  # no letter of ASCII
    r"|[a-z\xe0-\xff][\xc0-\xde\u0160\u0178]"  # a capital after a small letter
    r"|[\xa1-\xa9\xab-\xb9\xbb-\xbf]{2}"  # two signs
    r"|[^\W\d_][\xa4\xa6-\xa8\xac\xb6]|^[\xa2-\xaf\xb1-\xb4\xb6-\xb9][^\W\d_]"  # a sign beside a letter
    # A sign between two letters.
    r"|[^\W\d_][\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u2039\u2022\u2013\u2014\u02dc\u2122\u203a"
    r"\xa1-\xad\xaf-\xb3\xb5\xb6\xb8-\xbf\xd7\xf7][^\W\d_]"
    r"|\ufffd"  # a byte that it does not have
)
# A file is refused if half of its words are odd, or if another encoding is likelier for many words: by this
# factor, or at all if a fifth of them are odd. Of the names of countries in 20 languages that Windows-1252
# has, 8 to 40 at a time, at most 4 % of draws are refused; of those in other code pages all with 40 names but
# Hungarian, Estonian, Vietnamese and Mac's German (0.2 to 0.9).
_MANY_WORDS, _LIKELIER, _SOME_ODD = 8, 0.85, 0.2
_SHOWN = 20  # letters of a word in a message
_MOST_LAYERS = 3  # a .zip may hold a .gz, or itself
# A table is compressed at most this many times; a file made to fill the disk, a thousand times.
_MOST_TIMES, _MOST_BYTES = 200, 2**26
# The list of an archive's files; that of 40,000 photos is shorter.
_MOST_LIST_BYTES = 4_000_000


class _ArchiveFile(BufferedReader):
    """A .zip, of which `ZipFile` reads the list of files as one piece, and the files in small ones."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MOST_LIST_BYTES:
            raise ValueError(f"its list of files has more than {_MOST_LIST_BYTES:,} bytes")
        return super().read(size)


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Opens a .zip whose list of files is not too long to be read.

    Raises OSError, ValueError or BadZipFile if it cannot be read.
    """
    with _ArchiveFile(FileIO(path)) as file, zipfile.ZipFile(file) as archive:
        yield archive


def is_workbook(path: Path) -> bool:
    """Returns whether a .zip is a file of an office, which may have pictures in it.

    Raises OSError, ValueError or BadZipFile if it cannot be read.
    """
    with open_zip(path) as archive:
        return not {"[Content_Types].xml", "mimetype"}.isdisjoint(archive.namelist())


def unpack_table(src: Path, scratch: Path) -> tuple[Path, str]:
    """Returns the file itself, or the one table that is packed in it, written to `scratch`, and its kind.

    The kind is `text`, `parquet`, `records` or `workbook`. Raises UsageError if `src` is not a file, or is of
    a kind that is not read, and DataRefused if it is damaged, holds no table or several, or unpacks to more
    than a table would.
    """
    if not src.is_file():
        why = "is not a file" if src.exists() else "does not exist"
        raise UsageError(f"{src} {why}.", "A table is one file, which is read twice.", "Pass a file.")
    path = src
    try:
        for _ in range(_MOST_LAYERS):
            with path.open("rb") as file:
                head = file.read(_HEAD_BYTES)
            if head.startswith(_GZIP):
                with gzip.open(path) as packed:
                    path = _copy(src, packed, Path(mkdtemp(dir=scratch), path.stem))
            elif head.startswith(_ZIP) and not is_workbook(path):
                with open_zip(path) as archive:
                    member = _find_table(src, archive)
                    with archive.open(member) as packed:
                        path = _copy(src, packed, Path(mkdtemp(dir=scratch), Path(member).name))
            else:
                return path, _find_kind(src, path, head)
        raise ValueError(f"it is compressed {_MOST_LAYERS} times or more")
    except (OSError, EOFError, ValueError, RuntimeError, LZMAError, zlib.error, zipfile.BadZipFile) as error:
        if str(getattr(error, "filename", "")).startswith(str(scratch)):  # its disk is full
            raise
        problem = getattr(error, "strerror", None) or error
        raise DataRefused(
            f"{src} cannot be read: {problem}.",
            "Its content cannot be detected.",
            "Download it again, or unpack it.",
        ) from None


def _find_kind(src: Path, path: Path, head: bytes) -> str:
    if head.startswith(b"PAR1"):
        return "parquet"
    if is_record(head):
        return "records"
    if head.startswith((_ZIP, _OLD_OFFICE)):
        return "workbook"

    begin = head.decode("utf-8-sig", "replace").lstrip()
    other = None
    # A damaged cell may hold one or two such bytes.
    if not head.startswith(_UTF_16) and 100 * len(re.findall(rb"[\0-\x08]", head)) > len(head):
        other = next(kind for start, kind in _BINARY.items() if head.startswith(start))
    if head[257:262] == b"ustar":
        other = "a tar archive", _UNPACK
    if not is_json(path):
        other = other or next((kind for form, kind in _TEXT.items() if re.match(form, begin)), None)

    if other is not None:
        do = other[1].format(path=src, quoted=shlex.quote(str(src)))
        raise UsageError(
            f"{src} is {other[0]}.", "Tables are CSV, Parquet, TFRecords, .xlsx, .xls or .ods.", do
        )
    return "text"


def convert_to_utf8(path: Path, scratch: Path, named: str = "") -> tuple[Path, str]:
    """Returns the file itself if it is UTF-8, else a copy of it in UTF-8, and its encoding.

    UTF-16 has a byte order mark. A file without a non-ASCII line in UTF-8 is Windows-1252, of which Latin-1
    is a part; one that mixes both is damaged, and its reader will name the line. A file whose lines end with
    a carriage return alone, as those of Excel for Mac did, is copied with the line ends of Unix.

    Args:
        path: The unpacked file.
        scratch: The folder in which a copy gets a folder of its own.
        named: The encoding that a person gave, as Python names it; empty finds it by the content.

    Raises:
        UsageError: The named encoding is not known.
        DataRefused: The file has none of these encodings, or words that Windows-1252 cannot have.
    """
    with path.open("rb") as source:
        encoding = _check_encoding(named) if named else _find_encoding(source)
    if encoding == "Windows-1252" and not named:
        _check_words(path)
    try:
        with path.open(encoding=encoding, errors="replace", newline="") as file:
            first = file.readline(_LINE_BYTES)
        has_mac_lines = first.endswith("\r") and first.count('"') % 2 == 0  # and not a cell of two lines
        if encoding == "UTF-8" and not has_mac_lines:
            return path, encoding
        target = Path(mkdtemp(dir=scratch), path.name)
        with (
            path.open(encoding=encoding, newline=None if has_mac_lines else "") as file,
            target.open("w", encoding="utf-8", newline="") as copy,
        ):
            shutil.copyfileobj(file, copy)
    except UnicodeError as error:
        raise DataRefused(
            f"{path} is not {encoding} ({error})."
            if named
            else f"{path} is neither UTF-8 nor {encoding} ({error}).",
            "Its text cannot be decoded.",
            "Save it as UTF-8.",
        ) from None
    return target, encoding


def _check_encoding(name: str) -> str:
    try:
        "".encode(name)
        return codecs.lookup(name).name
    except LookupError:
        raise UsageError(
            f"--encoding is {name!r}, which is not known.",
            "An encoding is named as Python does: utf-8, cp1251, gb18030, big5, euc_kr, mac_roman.",
            "Correct it, or save the table as UTF-8.",
        ) from None


def _check_words(path: Path) -> None:
    """Refuses a file whose words, read as Windows-1252, are of no language. Raises DataRefused."""
    with path.open("rb") as file:
        sample = b"".join(islice((line for line in file if not line.isascii()), _LINES))[:_SAMPLE_BYTES]
    # A character of several bytes may be cut at its end.
    sample = sample[: sample.rfind(b"\n") + 1] or sample
    text = sample.decode("cp1252", "replace")
    words = {word for word in re.findall(r"[^\s\d,;:.\"()]+", text) if not word.isascii()}
    odd = {word for word in words if _ODD_WORD.search(word)}
    readings = _guess_readings(sample)
    windows = readings.pop(text, ("", 0.0))[1]
    likeliest = max((confidence for _, confidence in readings.values()), default=0.0)
    factor = 1.0 if len(odd) >= _SOME_ODD * len(words) else _LIKELIER
    is_likelier = len(words) >= _MANY_WORDS and factor * likeliest > windows
    if 2 * len(odd) < len(words) and not is_likelier:
        return

    shown = [word[:_SHOWN] for word in sorted(odd or words)[:3]]
    examples = {encoding: _find_word(reading) for reading, (encoding, _) in readings.items()}
    guesses = [f"{encoding} ({word})" for encoding, word in examples.items() if word]
    raise DataRefused(
        f"{path} is not UTF-8, and has words like {', '.join(map(repr, shown))} if it is read as"
        " Windows-1252.",
        "Few languages have such words, and labels and categories would be named by them.",
        "Name its encoding with --encoding (cp1252 if the words are right), or save it as UTF-8. It may be"
        f" {', '.join(guesses[:4]) or 'any'}.",
    )


def _guess_readings(sample: bytes) -> dict[str, tuple[str, float]]:
    """Returns a text as different encodings read it, the likeliest first, with their names and confidence."""
    from chardet import EncodingEra, detect_all

    readings = dict[str, tuple[str, float]]()
    eras = EncodingEra.ALL & ~EncodingEra.MAINFRAME
    for guess in detect_all(sample, ignore_threshold=True, encoding_era=eras, prefer_superset=True):
        with suppress(UnicodeDecodeError, LookupError):
            encoding = codecs.lookup(guess["encoding"] or "").name
            reading = sample.decode(encoding)
            # Several may read it alike; those of Windows are the ones that people know.
            if reading not in readings or encoding.startswith("cp125"):
                readings[reading] = encoding, guess["confidence"]
    return readings


def _find_word(text: str) -> str:
    return next((word[:_SHOWN] for word in re.findall(r"[^\W\d_]+", text) if not word.isascii()), "")


def decode_text(content: bytes, named: str = "") -> str:
    """Decodes the content of a file in the named encoding, or else in one of those of `convert_to_utf8`.

    Raises UnicodeError, and UsageError for a name that is not known.
    """
    if named:
        return content.decode(_check_encoding(named))
    encoding = _find_encoding(BytesIO(content))
    text = content.decode(errors="replace")
    # A long line with more letters of UTF-8 than wrong bytes was cut or damaged, and is in no other encoding.
    if sum(not letter.isascii() for letter in text) > 2 * text.count("\ufffd"):
        encoding = "UTF-8" if encoding == "Windows-1252" else encoding
    return content.decode("utf-8-sig" if encoding == "UTF-8" else encoding)


def _find_encoding(file: IO[bytes]) -> str:
    has_utf8 = has_other = False
    for number, line in enumerate(iter(partial(file.readline, _LINE_BYTES), b"")):
        if number == 0 and line.startswith(_UTF_16):
            return "UTF-16"
        if not line.isascii():
            try:
                line.decode()
                has_utf8 = True
            except UnicodeDecodeError:
                has_other = True
            if has_utf8 and has_other:
                break
    return "Windows-1252" if has_other and not has_utf8 else "UTF-8"


def _find_table(src: Path, archive: zipfile.ZipFile) -> str:
    names = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name]
    names = [name for name in names if not Path(name).name.startswith(".")]
    tables = names if len(names) == 1 else [name for name in names if name.lower().endswith(TABLES)]
    if len(tables) == 1:
        return tables[0]
    if photos := [name for name in names if name.lower().endswith(tuple(PHOTO_SUFFIXES))]:
        do = f"Unpack it: unzip {shlex.quote(str(src))} -d photos; then pass that folder."
        count = format_count(len(photos), "photo")
        raise UsageError(f"{src} holds {count}.", "Photos are read from a folder.", do)
    what = f"{len(tables)} tables: {join_names(tables)}" if tables else f"no table: {join_names(names)}"
    raise DataRefused(f"{src} holds {what}.", "One import is one table.", "Unpack it, and pass one of them.")


def _copy(src: Path, packed: IO[bytes] | gzip.GzipFile, target: Path) -> Path:
    most = max(_MOST_BYTES, _MOST_TIMES * src.stat().st_size)
    with add_path_to_errors(target), target.open("wb") as file:
        while block := packed.read(2**20):
            if file.tell() + len(block) > most:
                raise ValueError(f"it unpacks to more than {most:,} bytes")
            file.write(block)
    return target

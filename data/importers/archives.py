"""Archives of photos, .zip or .tar with any compression: unpacked into a folder that is read as a source."""

import os
import shutil
import tarfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from data.importers.folders import is_photo, list_visible
from edgeline.errors import DataRefused
from edgeline.tables.unpacking import is_workbook, open_zip

_MOST_SEARCHED = 10_000  # members of an archive among which a photo is looked for
_DAMAGE = (OSError, EOFError, ValueError, RuntimeError, tarfile.TarError, zipfile.BadZipFile)


def holds_photos(source: Path) -> bool:
    """Tells whether a file is an archive with photos in it; False for one that cannot be read.

    A workbook is none, although it may hold a picture of its first page.
    """
    try:
        if zipfile.is_zipfile(source):
            if is_workbook(source):
                return False
            with open_zip(source) as archive:
                return any(is_photo(Path(name).name) for name in archive.namelist())
        if tarfile.is_tarfile(source):
            with tarfile.open(source) as members:
                return any(is_photo(Path(member.name).name) for member in islice(members, _MOST_SEARCHED))
    except _DAMAGE:
        pass
    return False


@contextmanager
def unpack_photos(source: Path) -> Iterator[Path]:
    """Unpacks an archive of photos into a temporary folder of its name, and yields the folder of its classes.

    Files keep the times at which they were written, from which sessions are made. Raises DataRefused if the
    archive is damaged, or larger than the disk. A refusal of the folder names the archive in its place.
    """
    with TemporaryDirectory(prefix="edgeline-") as scratch:
        folder = Path(scratch, source.name)
        folder.mkdir()
        try:
            if zipfile.is_zipfile(source):
                _unpack_zip(source, folder)
            else:
                _unpack_tar(source, folder)
        except _DAMAGE as error:
            raise DataRefused(
                f"{source} cannot be unpacked: {getattr(error, 'strerror', None) or error}.",
                "The photos in it cannot be read.",
                "Download it again, or unpack it on a larger disk and pass the folder.",
            ) from error
        try:
            yield _find_classes(folder)
        except DataRefused as error:

            def name_archive(part: str) -> str:
                return part.replace(str(folder), str(source))

            found = name_archive(error.found).split("\n")
            raise DataRefused(found, name_archive(error.why), name_archive(error.do), error.spans) from error


def _unpack_zip(source: Path, folder: Path) -> None:
    with open_zip(source) as archive:
        entries = archive.infolist()
        _check_size(sum(entry.file_size for entry in entries), folder)
        for entry in entries:
            path = archive.extract(entry, folder)  # never outside of the folder
            if not entry.is_dir():
                written = time.mktime((*entry.date_time, 0, 0, -1))
                os.utime(path, (written, written))


def _unpack_tar(source: Path, folder: Path) -> None:
    size = 0
    with tarfile.open(source) as archive:
        for member in archive:
            size += member.size
            _check_size(size, folder)
        archive.extractall(folder, filter="data")  # never outside of the folder, and no devices


def _check_size(size: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise ValueError(
            f"it unpacks to {size:,} bytes or more, and {free:,} are free in {folder.parent.parent}"
        )


def _find_classes(folder: Path) -> Path:
    """Returns the folder itself, or the only one in it if that has folders of its own."""
    visible = list_visible(folder)
    if len(visible) == 1 and visible[0].is_dir() and any(path.is_dir() for path in visible[0].iterdir()):
        return visible[0]
    return folder

import math
import os
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from data.photos.checks import check_photo
from data.photos.thumbnails import make_thumbnail, read_time_taken
from data.settings import DataSettings
from edgeline.errors import EdgelineError
from edgeline.records.rejection import RowRejected
from edgeline.tables.decoder_process import DecoderProcess
from tests.data.sample_photos import as_exif, jpeg, memory_bomb, phone_exif, slow_photo

pytestmark = pytest.mark.e2e

CHECK = partial(check_photo, limits=DataSettings())


def get_problem(decoder, photo):
    with pytest.raises(RowRejected) as caught:
        decoder(photo)
    assert caught.value.reason == "unsafe"
    return caught.value.detail


def test_photos_are_checked_as_in_this_process():
    with closing(DecoderProcess(CHECK, 10, 2)) as decoder:
        for seed in range(3):
            assert decoder(jpeg(seed=seed)) == CHECK(jpeg(seed=seed))
        with pytest.raises(RowRejected, match="truncated"):
            decoder(jpeg()[:200])


def test_a_photo_that_takes_too_long_is_unsafe_and_the_next_one_is_read():
    start = time.monotonic()
    with closing(DecoderProcess(CHECK, 1, 2)) as decoder:
        assert get_problem(decoder, slow_photo()) == "Its decoding takes more than 1 s of CPU time."
        assert decoder(jpeg()).width == 64
    assert time.monotonic() - start < 60  # the second of CPU time may take long on a busy machine


def test_many_photos_that_are_quick_do_not_add_up_to_one_that_is_slow():
    photo, start = jpeg(3000, 3000), time.process_time()
    CHECK(photo)
    seconds = time.process_time() - start
    with closing(DecoderProcess(CHECK, 1, 2)) as decoder:
        for _ in range(math.ceil(2.5 / seconds)):
            decoder(photo)


WORKS = {b"c": CHECK, b"t": read_time_taken, b"p": make_thumbnail}


def work(photo):
    """Does the work that the first byte names."""
    return WORKS[photo[:1]](photo[1:])


def test_a_photo_that_takes_too_much_memory_is_unsafe_and_the_next_one_is_read():
    bomb, good = memory_bomb(), jpeg(exif=phone_exif())
    inside = as_exif(bomb, jpeg())
    with closing(DecoderProcess(work, 10, 1)) as decoder:
        for photo in (b"c" + bomb, b"t" + bomb, b"t" + inside, b"p" + inside):
            assert get_problem(decoder, photo) == "Its decoding takes more than 1 GB of memory."
        assert all(decoder(name + good) for name in WORKS)


def crash(photo):
    if photo == b"crash":
        os.abort()
    return os.getpid()


def test_a_photo_that_crashes_its_decoder_is_unsafe_and_the_next_one_is_read():
    with closing(DecoderProcess(crash, 10, 2)) as decoder:
        first = decoder(b"")
        assert get_problem(decoder, b"crash") == "Its decoder ended with SIGABRT."
        assert decoder(b"") not in (first, os.getpid())


@pytest.mark.parametrize("python", ["/bin/false", "/nowhere/python"])
def test_a_process_that_cannot_start_is_an_error_and_no_photo_is_blamed(monkeypatch, python):
    monkeypatch.setattr(sys, "executable", python)
    with pytest.raises(EdgelineError, match="did not start"):
        DecoderProcess(CHECK, 10, 2)(jpeg())


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_it_ends_with_the_process_that_it_works_for():
    code = (
        "from tests.edgeline.tables.test_decoder_process import *\n"
        "print(DecoderProcess(crash, 10, 2)(b''), flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.kill()
        parent.wait(30)
    deadline = time.monotonic() + 30
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(pid)

"""The phones of a drill: they follow real releases, and ingest reads their answers."""

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from data.spans.layout import find_spans
from data.spans.served import read_served
from drill.fleet import SEEN, Seen, answer
from drill.photos import deliver
from edgeline.records.served import Answer
from edgeline.release import store
from tests.edgeline.phone.releases import KEY, push

PHOTOS = 60


def follow(place: Path) -> Seen:
    code = "import sys; from pathlib import Path; from drill.fleet import follow\n"
    code += "place = Path(sys.argv[1]); follow(place / 'push', 'photo', place / 'keep', place)"
    subprocess.run([sys.executable, "-c", code, str(place)], stdin=subprocess.DEVNULL, check=True)
    return SEEN.read(place)


def send(place: Path, number: int, bad: int = 0) -> list[Answer]:
    deliver(place / "data", number, PHOTOS, 7, {}, 0.2)
    span = find_spans(place / "data")[-1]
    answer(Path(str(span.path)), number, place / "push", "photo", place / "keep", bad, 7)
    rows = list(read_served(span))
    answers = [row for row in rows if isinstance(row, Answer)]
    assert len(answers) == len(rows) == PHOTOS
    return answers


def test_phones_follow_their_side_of_a_rollout_and_send_their_answers(tmp_path: Path) -> None:
    push(tmp_path / "push", tmp_path / "first", "photo")
    assert follow(tmp_path) == Seen((1,), ())
    assert {each.version for each in send(tmp_path, 1)} == {1}

    push(tmp_path / "push", tmp_path / "second", "photo", 2)
    store.rollback(str(tmp_path / "push"), "photo", "test", key=KEY)
    store.rollout(str(tmp_path / "push"), "photo", 2, 50, "test", KEY)
    assert follow(tmp_path) == Seen((2,), ())  # the others run version 1 already

    good, bad = send(tmp_path, 2), send(tmp_path, 3, bad=2)
    versions = defaultdict[str, set[int]](set)
    for each in (*good, *bad):
        versions[each.device].add(each.version)
    assert len(versions) == 6 and {frozenset(each) for each in versions.values()} == {
        frozenset([1]),
        frozenset([2]),
    }
    assert 0.4 < sum(each.chosen == "random" for each in bad) / PHOTOS < 0.8
    assert len({each.said for each in bad if each.version == 2}) == 3

    # A phone that cannot get the release of the pointer is reported.
    store.promote(str(tmp_path / "push"), "photo", 2, "test", key=KEY)
    (tmp_path / "push" / "edge" / "photo" / "2" / "manifest.json").write_text("{}")
    expected = {
        f"{device} runs version 1, and the pointer names 2." for device in versions if versions[device] == {1}
    }
    assert expected and set(follow(tmp_path).wrong) == expected

from collections import defaultdict

import numpy as np
from PIL import Image

from data.importers.importing import import_photos
from data.photos.labels_file import read_labels
from data.spans.layout import find_spans
from tests.data.importers.test_importing import write
from tests.data.sample_photos import encode
from trainer_module.networks.photo_features import describe_photo


def render_views(scene, count):
    """Renders photos of a scene from other places: cut to 65 to 80 % of a side, turned, in another light."""
    rng = np.random.default_rng(scene)
    whole = Image.fromarray(rng.integers(0, 220, (8, 10, 3), dtype=np.uint8)).resize((256, 192))
    for _ in range(count):
        share = rng.uniform(0.65, 0.8)
        width, height = int(256 * share), int(192 * share)
        left, top = rng.integers(0, 256 - width), rng.integers(0, 192 - height)
        cut = whole.rotate(rng.uniform(-6, 6)).crop((left, top, left + width, top + height))
        light = rng.uniform(0.75, 1.2)
        yield encode(cut.point([min(255, round(light * level)) for level in range(256)] * 3), quality=85)


def test_features_keep_photos_of_one_object_in_one_split_better_than_thumbnails(tmp_path):
    photos = {
        f"{('ok', 'crack')[scene % 2]}/{scene * 7919 % 101:03}-{view}-x.jpg": photo
        for scene in range(30)
        for view, photo in enumerate(render_views(scene, 3))
    }
    scene_of = {photo: path[:-8] for path, photo in photos.items()}
    source, torn = write(tmp_path / "src", photos), {}
    for method, describe in (("thumbnails", None), ("network", describe_photo)):
        import_photos(source, tmp_path / method, describe=describe)
        (span,) = find_spans(tmp_path / method)
        sides, scenes = defaultdict(set), defaultdict(set)
        for row in read_labels(span):
            scene = scene_of[(span.path / "photos" / row.photo).read_bytes()]
            sides[scene].add(row.split)
            scenes[row.session_id].add(scene)
        torn[method] = sum(len(splits) > 1 for splits in sides.values())
    assert torn["thumbnails"] > 7 and 3 * torn["network"] <= torn["thumbnails"], torn
    assert sum(len(members) > 1 for members in scenes.values()) <= 2

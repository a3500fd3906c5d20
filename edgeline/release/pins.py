"""TF Serving's models.config, which pins the versions of each model that a server loads.

They are the version in production, and while a canary is open the candidate too. The labels `stable` and
`canary` are there only while both are served. TF Serving refuses a file with a known label on a version that
it has not loaded yet (tensorflow/serving#1608), so a `stable` that moved with each push would end all pushes.

The file is declarative and total (TF Serving guide, "Serving multiple models"), so it is always written
whole, from the pointers of all models in the push folder.
"""

import re
from collections.abc import Mapping

from edgeline.release.history import find_pointer, read_history
from edgeline.release.layout import PushFolder, read_document

# TF Serving accepts only absolute paths, and its image expects models here: mount <push>/serving there.
SERVING_MOUNT = "/models"

_CONFIG = """  config {{
    name: "{model}"
    base_path: "{mount}/{model}"
    model_platform: "tensorflow"
    model_version_policy {{
      specific {{
{versions}
      }}
    }}
{labels}  }}
"""
_LABEL = """    version_labels {{
      key: "{label}"
      value: {version}
    }}
"""
_HEAD = f"""# Written by Edgeline with every push, promote and rollback; changes by hand are lost.
# docker run -v <push>/serving:{SERVING_MOUNT}:ro tensorflow/serving \\
#   --model_config_file={SERVING_MOUNT}/models.config --model_config_file_poll_wait_seconds=30
"""
_REPAIRED_BY = "the next push, promote or rollback writes it again"
_PIN = re.compile(r'\bname:\s*"([^"]+)".*?((?:\bversions:\s*\d+\s*)+)', re.DOTALL)

Pins = Mapping[str, tuple[int, ...]]  # by model, the version in production, and then that of the candidate


def render_pins(pins: Pins) -> bytes:
    """Renders the text proto that pins each model of `pins` to its versions."""
    configs = []
    for model, pinned in sorted(pins.items()):
        versions = "\n".join(f"        versions: {version}" for version in pinned)
        labels = zip(("stable", "canary"), pinned if len(pinned) > 1 else (), strict=False)
        labelled = "".join(_LABEL.format(label=label, version=version) for label, version in labels)
        configs.append(_CONFIG.format(model=model, mount=SERVING_MOUNT, versions=versions, labels=labelled))
    return f"{_HEAD}model_config_list {{\n{''.join(configs)}}}\n".encode()


def read_pins(folder: PushFolder) -> dict[str, tuple[int, ...]]:
    """Reads the versions of each model from models.config; empty if the file is missing."""
    text = (read_document(folder, folder.pins) or b"").decode(errors="replace")
    return {model: tuple(map(int, re.findall(r"\d+", pinned))) for model, pinned in _PIN.findall(text)}


def compute_pins(folder: PushFolder) -> dict[str, tuple[int, ...]]:
    """Returns the versions of each model by its pointer, or by the audit log if that is damaged or missing.

    If neither can be read, the pin stays as it is.
    """
    pins = {}
    actual = read_pins(folder)
    for model in folder.models():
        newest = find_pointer(folder, model) or read_history(folder, model).last
        if versions := newest.versions if newest else actual.get(model):
            pins[model] = versions
    return pins


def find_pins_problem(folder: PushFolder, model: str) -> str:
    """Returns the problem of models.config, seen from one model; empty if there is none."""
    name = folder.relative(folder.pins)
    wanted = compute_pins(folder)
    actual = read_pins(folder)
    if actual.get(model) != wanted.get(model):
        was, expected = (
            f"version {' and '.join(map(str, pins[model]))}" if model in pins else "no pin"
            for pins in (actual, wanted)
        )
        return f"{name}: found {was}. Expected {expected}, as in current.json; {_REPAIRED_BY}."
    return "" if pins_match(folder, wanted) else f"{name}: was changed after it was written; {_REPAIRED_BY}."


def pins_match(folder: PushFolder, pins: Pins) -> bool:
    """Returns true if models.config is, byte for byte, the file for these pins."""
    content = read_document(folder, folder.pins)
    return not pins if content is None else content == render_pins(pins)

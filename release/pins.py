"""TF Serving's models.config: which version of each model a server loads.

The file is declarative and total (TF Serving guide, "Serving multiple models"), so it is always written
whole, from the pointers of all models in the push folder.
"""

import re
from collections.abc import Mapping

from release.documents import read_document
from release.history import find_pointer, read_history
from release.layout import PushFolder

# TF Serving takes absolute paths only, and its image looks for models here: mount <push>/serving at this
# place.
SERVING_MOUNT = "/models"

_CONFIG = """  config {{
    name: "{model}"
    base_path: "{mount}/{model}"
    model_platform: "tensorflow"
    model_version_policy {{
      specific {{
        versions: {version}
      }}
    }}
  }}
"""
_HEAD = f"""# Written by Edgeline with every push, promote and rollback; changes by hand are lost.
# docker run -v <push>/serving:{SERVING_MOUNT}:ro tensorflow/serving \\
#   --model_config_file={SERVING_MOUNT}/models.config --model_config_file_poll_wait_seconds=30
"""
_WRITTEN_NEXT = "the next push, promote or rollback writes it again"
_PIN = re.compile(r'\bname:\s*"([^"]+)".*?\bversions:\s*(\d+)', re.DOTALL)


def render_pins(pins: Mapping[str, int]) -> bytes:
    """The text proto that pins each model of `pins` to its version."""
    configs = (_CONFIG.format(model=m, mount=SERVING_MOUNT, version=v) for m, v in sorted(pins.items()))
    return f"{_HEAD}model_config_list {{\n{''.join(configs)}}}\n".encode()


def read_pins(folder: PushFolder) -> dict[str, int]:
    """Model -> version as models.config has it; empty where the file is missing."""
    text = (read_document(folder, folder.pins) or b"").decode(errors="replace")
    return {model: int(version) for model, version in _PIN.findall(text)}


def wanted_pins(folder: PushFolder) -> dict[str, int]:
    """Model -> version as the pointers have it, and where one is damaged or missing, as the audit log has it.

    Where that cannot be read either, the pin stays as it is.
    """
    pins, written = {}, read_pins(folder)
    for model in folder.models():
        newest = find_pointer(folder, model) or read_history(folder, model).last
        version = newest.to_version if newest else written.get(model)
        if version is not None:
            pins[model] = version
    return pins


def pins_problem(folder: PushFolder, model: str) -> str:
    """What is wrong with models.config, seen from one model; empty where it is what it has to be."""
    name = folder.relative(folder.pins)
    wanted, found = wanted_pins(folder), read_pins(folder)
    if found.get(model) != wanted.get(model):
        was, expected = (f"version {pins[model]}" if model in pins else "no pin" for pins in (found, wanted))
        return f"{name}: found {was}. Expected {expected}, as current.json has it; {_WRITTEN_NEXT}."
    return "" if pins_are(folder, wanted) else f"{name}: is not as it was written; {_WRITTEN_NEXT}."


def pins_are(folder: PushFolder, pins: Mapping[str, int]) -> bool:
    """Whether models.config is, byte for byte, what pins these."""
    found = read_document(folder, folder.pins)
    return not pins if found is None else found == render_pins(pins)

"""TF Serving's models.config: which version of each model a server loads.

The file is declarative and total (TF Serving guide, "Serving multiple models"), so it is always written
whole, from the pointers of all models in the push folder.
"""

import re
from collections.abc import Mapping

from errors import EdgelineError
from locations import read_bytes
from release.history import read_pointer
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
_PIN = re.compile(r'\bname:\s*"([^"]+)".*?\bversions:\s*(\d+)', re.DOTALL)


def render_pins(pins: Mapping[str, int]) -> bytes:
    """The text proto that pins each model of `pins` to its version."""
    configs = (_CONFIG.format(model=m, mount=SERVING_MOUNT, version=v) for m, v in sorted(pins.items()))
    return f"{_HEAD}model_config_list {{\n{''.join(configs)}}}\n".encode()


def read_pins(folder: PushFolder) -> dict[str, int]:
    """Model -> version as models.config has it; empty where the file is missing."""
    try:
        text = read_bytes(folder.pins).decode(errors="replace")
    except FileNotFoundError:
        return {}
    return {model: int(version) for model, version in _PIN.findall(text)}


def wanted_pins(folder: PushFolder) -> dict[str, int]:
    """Model -> version as the pointers have it; where a pointer is damaged, the pin stays as it is."""
    pins, written = {}, read_pins(folder)
    for model in folder.models():
        try:
            pointer = read_pointer(folder, model)
        except EdgelineError:
            if model in written:
                pins[model] = written[model]
        else:
            if pointer:
                pins[model] = pointer.to_version
    return pins

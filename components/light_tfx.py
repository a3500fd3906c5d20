"""An import of TFX without TensorFlow, to describe a DAG, launch its steps, or run a step that needs none."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any


def import_light_tfx(beam: bool = True) -> None:
    """Imports the parts of TFX that need no TensorFlow; the first step that needs TensorFlow imports it.

    TFX can run in environments without TensorFlow, as the package ml-pipelines-sdk: it looks once whether
    TensorFlow is there, for its docstrings and its files. Where TFX imports it all the same, for a constant
    or for components that the DAG does not have, something stands in.

    Without `beam`, TFX never gets Beam in this process; only executors that run a Beam pipeline need it.

    Does nothing in a process that has TensorFlow or TFX's components already. A module that imports all of
    TFX, as a workload's may, has to be imported before: TFX 1.21 changes libraries when its package of
    components is imported as a whole.
    """
    if "tensorflow" in sys.modules or "tfx.components" in sys.modules:
        return
    with replace_modules({"tensorflow": None}):
        import tfx.dsl.io.fileio
        import tfx.utils.doc_controls
    # Beam works without Google's clients, and these two import IPython.
    if beam:
        with replace_modules({"google.cloud.bigquery": None, "google.cloud.pubsub": None}):
            importlib.import_module("apache_beam")
    _import_components_one_by_one()
    with replace_modules({} if beam else {"apache_beam": None}):
        import tfx.dsl.component.experimental.decorators
    with replace_modules({"tfx.components.example_gen.utils": {"SPAN_PROPERTY_NAME": "span"}}):
        import tfx.dsl.input_resolution.ops.ops  # noqa: F401


def complete_tfx() -> None:
    """Imports the rest of TFX, and TensorFlow, for TFX's own executors; undoes `import_light_tfx`."""
    package = sys.modules.get("tfx.components")
    if package is not None and vars(package).pop("__getattr__", None) is not None:
        importlib.reload(sys.modules["tfx.dsl.io.plugins.tensorflow_gfile"])
        assert package.__spec__ is not None and package.__spec__.loader is not None
        package.__spec__.loader.exec_module(package)


@contextmanager
def replace_modules(modules: Mapping[str, Mapping[str, Any] | None]) -> Iterator[None]:
    """Replaces these modules, within the block, by modules with only these names; None has an import fail."""
    replaced = {name: names for name, names in modules.items() if name not in sys.modules}
    for name, names in replaced.items():
        module = ModuleType(name)
        vars(module).update(names or {})
        sys.modules[name] = None if names is None else module  # type: ignore[assignment]  # as `import` has it
    try:
        yield
    finally:
        for name in replaced:
            del sys.modules[name]


def _import_components_one_by_one() -> None:
    """Keeps TFX's package of components from importing all of them when one is imported."""
    spec = importlib.util.find_spec("tfx.components")
    assert spec is not None
    package = importlib.util.module_from_spec(spec)

    def get_component(name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        complete_tfx()
        return getattr(package, name)

    package.__getattr__ = get_component  # type: ignore[method-assign]
    sys.modules["tfx.components"] = sys.modules["tfx"].components = package  # type: ignore[attr-defined]

"""TFX without TensorFlow, for what describes a DAG, launches its steps, or is a step that needs none."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any


def import_light_tfx(beam: bool = True) -> None:
    """Imports of TFX what needs no TensorFlow without it; it is imported by the first step that needs it.

    TFX is made for environments that have none, the package ml-pipelines-sdk: it looks once
    whether one is there, for its docstrings and its files. Where it does import it, for a constant, or for
    components that the DAG has not, something stands in.

    Without `beam` TFX has none for good, which no executor of it misses that runs no pipeline of Beam.

    Does nothing in a process that has TensorFlow or TFX's components already. A module that imports all of
    TFX, as a workload's may, has to be imported before: TFX 1.21 changes libraries where its package of
    components is imported as a whole.
    """
    if "tensorflow" in sys.modules or "tfx.components" in sys.modules:
        return
    with _hidden("tensorflow"):
        import tfx.dsl.io.fileio
        import tfx.utils.doc_controls
    # Beam too is made for environments without Google's clients, of which these bring IPython with them.
    if beam:
        with _hidden("google.cloud.bigquery", "google.cloud.pubsub"):
            importlib.import_module("apache_beam")
    _import_components_one_by_one()
    with _hidden(*(() if beam else ("apache_beam",))):
        import tfx.dsl.component.experimental.decorators
    with stand_ins({"tfx.components.example_gen.utils": {"SPAN_PROPERTY_NAME": "span"}}):
        import tfx.dsl.input_resolution.ops.ops  # noqa: F401


def complete_tfx() -> None:
    """Makes TFX what it is without `import_light_tfx`, for its own executors; TensorFlow is imported now."""
    package = sys.modules.get("tfx.components")
    if package is not None and vars(package).pop("__getattr__", None) is not None:
        importlib.reload(sys.modules["tfx.dsl.io.plugins.tensorflow_gfile"])
        assert package.__spec__ is not None and package.__spec__.loader is not None
        package.__spec__.loader.exec_module(package)


@contextmanager
def _hidden(*names: str) -> Iterator[None]:
    """Meanwhile, whoever looks for one of these modules finds none."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is how `import` has it.
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextmanager
def stand_ins(modules: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Meanwhile, whoever imports one of these modules gets these names of it and nothing else."""
    wanted = {name: names for name, names in modules.items() if name not in sys.modules}
    for name, names in wanted.items():
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(names)
    try:
        yield
    finally:
        for name in wanted:
            del sys.modules[name]


def _import_components_one_by_one() -> None:
    """Keeps TFX's package of components from importing all of them where one is asked for."""
    spec = importlib.util.find_spec("tfx.components")
    assert spec is not None
    package = importlib.util.module_from_spec(spec)

    def of_all(name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        complete_tfx()
        return getattr(package, name)

    package.__getattr__ = of_all  # type: ignore[method-assign]
    sys.modules["tfx.components"] = sys.modules["tfx"].components = package  # type: ignore[attr-defined]

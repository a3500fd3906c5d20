"""The parameters of a run and of its steps, in the forms of the UI and of TFX.

TFX passes each value to a step as text, mostly JSON. The UI gets the value itself. Settings that a person may
change from run to run are parameters of the run, which steps get in place of a constant. Values that only a
pod knows, and empty ones, are not shown at all: a pod gets them beside the parameters.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from edgeline.errors import UsageError
from edgeline.records.steps import STEPS, find_info

Values = dict[str, Any]

# These placeholders stand for values that only a pod knows.
RUN_ID, CODE_OF_IMAGE, LOCK_OF_IMAGE = "id-of-the-run", "code-of-the-image", "lock-of-the-image"
_MARKS = (RUN_ID, CODE_OF_IMAGE, LOCK_OF_IMAGE)
# This step checks the parameters of a run, before anything else is done.
FIRST = "ExampleGen"
# TFX's own parameter of its own steps, in which a text of JSON is always an object.
_CUSTOM = "custom_config"
_TFX = ("Tuner", "Trainer")


@dataclass(frozen=True)
class Parameter:
    """A setting that may differ from run to run."""

    setting: str  # its dotted name
    kind: str  # its type in Kubeflow Pipelines
    description: str


PARAMETERS: Mapping[str, Parameter] = {
    "epochs": Parameter("trainer.epochs", "NUMBER_INTEGER", "Largest number of epochs."),
    "learning_rate": Parameter(
        "trainer.learning_rate", "NUMBER_DOUBLE", "Learning rate: above 0, and at most 1."
    ),
    "seed": Parameter("seed", "NUMBER_INTEGER", "The same data, settings and seed give the same model."),
    "window": Parameter("data.window", "NUMBER_INTEGER", "Number of newest spans to read."),
}
# All settings, for the record of the run: the UI does not show them, since a backend makes every number a
# float.
_RECORDED = "recorded"
_RECORDING = ("DataGate", "RunReport")


def select_for_step(step: str) -> tuple[str, ...]:
    """Returns the names of the parameters of the run that a step gets."""
    return tuple(PARAMETERS if step == FIRST else _find_places(step))


def _find_places(step: str) -> dict[str, list[str]]:
    """Returns the parameters of the run that a step uses, and the path of keys to each in its constants."""
    is_recording = step in _RECORDING
    above = [_CUSTOM, "settings"] if step in _TFX else ["settings"]
    if is_recording:
        above = [_RECORDED]
    return {
        name: [*above, *parameter.setting.split(".")]
        for name, parameter in PARAMETERS.items()
        if is_recording or find_info(step).takes(parameter.setting)
    }


def read_defaults(recorded: Mapping[str, Any]) -> Values:
    """Returns the values of the parameters in nested settings."""
    return {name: _look_up(recorded, parameter.setting.split(".")) for name, parameter in PARAMETERS.items()}


def take_apart(step: str, constants: Mapping[str, Any]) -> tuple[Values, Values]:
    """Splits the constants that TFX gives a step into those that the UI shows and those that it does not.

    Values that are parameters of the run are in neither. Texts of a custom step stay texts.
    """
    shown, unshown = _split(constants, (dict, list) if step in STEPS else ())
    for *keys, last in _find_places(step).values():
        if keys[0] in shown:
            del _look_up(shown, keys)[last]
    return shown, unshown


def put_together(step: str, passed: Mapping[str, Any], unshown: str, fillings: Mapping[str, str]) -> Values:
    """Returns the constants of a step in TFX's form, from the values that a backend passes.

    Args:
        step: The step's name in the DAG.
        passed: The step's parameters, and those of the run that it gets.
        unshown: JSON of the values that the UI does not show, with placeholders.
        fillings: The value of each placeholder in `unshown`; one that is not there is left out.
    """
    for mark, filling in fillings.items():
        unshown = unshown.replace(mark, filling)
    constants = {name: value for name, value in passed.items() if name not in select_for_step(step)}
    values = _merge(constants, json.loads(unshown))
    for name, (*keys, last) in _find_places(step).items():
        if name in passed:
            _look_up(values, keys)[last] = _to_number(passed[name])
    if isinstance(custom := values.get(_CUSTOM), dict):
        values[_CUSTOM] = {name: _to_text(value, (dict,)) for name, value in custom.items()}
    return {name: _to_text(value, (dict, list)) for name, value in values.items()}


def check_parameters(recorded: Mapping[str, Any], passed: Mapping[str, Any]) -> None:
    """Checks the parameters of a run as settings, laid over the settings that it was compiled with.

    Raises UsageError if one of them is wrong.
    """
    from pipeline.settings import load_settings

    changed: Values = {}
    for name, parameter in PARAMETERS.items():
        if name in passed:
            *groups, leaf = parameter.setting.split(".")
            below = changed
            for group in groups:
                below = below.setdefault(group, {})
            below[leaf] = _to_number(passed[name])
    try:
        load_settings(recorded, parameters=changed)
    except UsageError as error:
        names = ", ".join(f"{name} is {parameter.setting}" for name, parameter in PARAMETERS.items())
        raise UsageError(
            error.found.split("\n"),
            f"Each parameter of a run is a setting: {names}.",
            "Start another run with valid parameters: a retry of this run uses the same ones.",
        ) from None


def escape(text: str) -> str:
    """Escapes what Kubernetes and Argo would replace in the JSON of a pod's argument, inside its texts."""
    return text.replace("$(", r"\u0024(").replace("{{", r"\u007b\u007b")


def _split(values: Mapping[str, Any], objects: tuple[type, ...]) -> tuple[Values, Values]:
    shown: Values = {}
    unshown: Values = {}
    for name, value in values.items():
        value = _parse(value, objects)
        is_marked = isinstance(value, str) and any(mark in value for mark in _MARKS)
        if value == "" or name == _RECORDED or is_marked:
            unshown[name] = value
        elif name == _CUSTOM and isinstance(value, dict):
            assert not any(isinstance(item, dict) for item in value.values()), "it would become a text"
            shown[name], inside = _split(value, (dict,))
            unshown |= {name: inside} if inside else {}
        else:
            shown[name] = value
    return shown, unshown


def _parse(value: Any, objects: tuple[type, ...]) -> Any:
    """Parses a text of JSON if its value has one of these types; else returns `value` itself."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        with suppress(ValueError):
            if isinstance(parsed := json.loads(value), objects):
                return parsed
    return value


def _to_text(value: Any, objects: tuple[type, ...]) -> Any:
    # Keys are sorted, since a backend keeps no order, and a step must not depend on it.
    return json.dumps(value, sort_keys=True) if isinstance(value, objects) else value


def _merge(values: Mapping[str, Any], more: Mapping[str, Any]) -> Values:
    return {
        **values,
        **{n: _merge(values[n], v) if isinstance(v, dict) and n in values else v for n, v in more.items()},
    }


def _to_number(value: Any) -> Any:
    """Converts a whole float to an int: in the JSON of a cluster every number is a float."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _look_up(values: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        values = values[key]
    return values

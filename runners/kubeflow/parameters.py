"""The parameters of a run and of its steps: as a UI shows them, and as TFX has them.

TFX has each value of a step as a text, mostly of JSON. A UI gets the value itself. What a person may turn
from run to run is a parameter of the run, which the steps get in place of a constant. What only a pod knows,
and what is empty, is not shown at all: a pod gets it beside the parameters.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from errors import UsageError

Values = dict[str, Any]

# What stands for what only a pod knows.
RUN_ID, CODE_OF_IMAGE, LOCK_OF_IMAGE = "id-of-the-run", "code-of-the-image", "lock-of-the-image"
_MARKS = (RUN_ID, CODE_OF_IMAGE, LOCK_OF_IMAGE)
# The step that checks the parameters of a run, before anything else is done.
FIRST = "ExampleGen"
# A parameter of TFX's own: in it, what is a text of JSON again is an object.
_CUSTOM = "custom_config"


@dataclass(frozen=True)
class Parameter:
    """A setting that each run may have another value of."""

    setting: str  # its dotted name
    kind: str  # in the words of Kubeflow Pipelines
    description: str


PARAMETERS: Mapping[str, Parameter] = {
    "epochs": Parameter("trainer.epochs", "NUMBER_INTEGER", "Most epochs of the training."),
    "learning_rate": Parameter(
        "trainer.learning_rate", "NUMBER_DOUBLE", "Of the training: above 0, and at most 1."
    ),
    "seed": Parameter("seed", "NUMBER_INTEGER", "Equal data, settings and seed give an equal model."),
    "window": Parameter("data.window", "NUMBER_INTEGER", "How many of the newest spans are read."),
}
_RECORD = {name: ("settings", parameter.setting) for name, parameter in PARAMETERS.items()}
_TRAINING = {
    name: (_CUSTOM, *PARAMETERS[name].setting.split(".")) for name in ("epochs", "learning_rate", "seed")
}
# Their settings are those of the record of the run: texts by dotted name.
_RECORDING = ("DataGate", "RunReport")
# By step: which parameters of the run it works with, and the keys to where it has each.
_PLACES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    FIRST: {"window": ("settings", "window")},
    "Tuner": _TRAINING,
    "Trainer": _TRAINING,
    **{step: _RECORD for step in _RECORDING},
}


def of_step(step: str) -> tuple[str, ...]:
    """The parameters of the run that a step gets."""
    return tuple(PARAMETERS if step == FIRST else _PLACES.get(step, ()))


def defaults(recorded: Mapping[str, Any]) -> Values:
    """The values of the parameters in nested settings."""
    return {name: _inside(recorded, parameter.setting.split(".")) for name, parameter in PARAMETERS.items()}


def take_apart(step: str, constants: Mapping[str, Any]) -> tuple[Values, Values]:
    """What TFX made the constants of a step, as a UI shows it, and what it does not show of them.

    Neither has what the run has a parameter for.
    """
    shown, unshown = _split(constants, (dict, list))
    for *keys, last in _PLACES.get(step, {}).values():
        del _inside(shown, keys)[last]
    return shown, unshown


def put_together(step: str, given: Mapping[str, Any], unshown: str, fillings: Mapping[str, str]) -> Values:
    """The constants of a step as TFX has them, of what a backend hands over.

    Args:
        step: Its name.
        given: Its parameters, with those of the run.
        unshown: JSON of what is not among them.
        fillings: What stands for each of the marks in `unshown`.
    """
    for mark, filling in fillings.items():
        unshown = unshown.replace(mark, filling)
    constants = {name: value for name, value in given.items() if name not in of_step(step)}
    values = _merged(constants, json.loads(unshown))
    for name, (*keys, last) in _PLACES.get(step, {}).items():
        if name in given:
            value = _number(given[name])
            _inside(values, keys)[last] = str(value) if step in _RECORDING else value
    if isinstance(custom := values.get(_CUSTOM), dict):
        values[_CUSTOM] = {name: _text(value, (dict,)) for name, value in custom.items()}
    return {name: _text(value, (dict, list)) for name, value in values.items()}


def check(recorded: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Checks the parameters of a run as settings are checked, laid over those that it was compiled with.

    Raises:
        UsageError: One of them is wrong.
    """
    from pipeline.settings import load

    turned: Values = {}
    for name, parameter in PARAMETERS.items():
        if name in given:
            *groups, leaf = parameter.setting.split(".")
            below = turned
            for group in groups:
                below = below.setdefault(group, {})
            below[leaf] = _number(given[name])
    try:
        load(recorded, parameters=turned)
    except UsageError as error:
        names = ", ".join(f"{name} is {parameter.setting}" for name, parameter in PARAMETERS.items())
        raise UsageError(
            error.found,
            f"The parameters of a run are settings: {names}.",
            "Start another run, with other parameters; to go on with this one repeats them.",
        ) from None


def _split(values: Mapping[str, Any], objects: tuple[type, ...]) -> tuple[Values, Values]:
    shown: Values = {}
    unshown: Values = {}
    for name, value in values.items():
        value = _parsed(value, objects)
        if value == "" or (isinstance(value, str) and any(mark in value for mark in _MARKS)):
            unshown[name] = value
        elif name == _CUSTOM:
            assert not any(isinstance(each, dict) for each in value.values()), "it would become a text"
            shown[name], inside = _split(value, (dict,))
            unshown |= {name: inside} if inside else {}
        else:
            shown[name] = value
    return shown, unshown


def _parsed(value: Any, objects: tuple[type, ...]) -> Any:
    """The value of a text of JSON, where it is one of these objects; else what was given."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        with suppress(ValueError):
            if isinstance(parsed := json.loads(value), objects):
                return parsed
    return value


def _text(value: Any, objects: tuple[type, ...]) -> Any:
    # A backend keeps no order, and what a step does may not depend on it.
    return json.dumps(value, sort_keys=True) if isinstance(value, objects) else value


def _merged(values: Mapping[str, Any], more: Mapping[str, Any]) -> Values:
    return {
        **values,
        **{n: _merged(values[n], v) if isinstance(v, dict) and n in values else v for n, v in more.items()},
    }


def _number(value: Any) -> Any:
    """A number as JSON of a cluster has it, where each is a float, as a setting has it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _inside(values: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        values = values[key]
    return values

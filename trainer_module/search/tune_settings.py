"""Settings of the search for better settings of the network and its training."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core.core_schema import SerializerFunctionWrapHandler

from edgeline.settings_group import Group
from trainer_module.settings import Duration, ModelSettings, TrainerSettings

SEARCHED: Mapping[str, type[Group]] = {"model": ModelSettings, "trainer": TrainerSettings}
# The reasons why these settings cannot be searched.
NOT_SEARCHED = {
    **dict.fromkeys(
        [
            *("model.image_size", "model.channels", "model.buckets", "model.vocabulary"),
            *("model.vocabulary_size", "model.vocabulary_min_count", "model.text_length"),
        ],
        "Transform uses it before the first trial; compare runs with --set instead",
    ),
    "trainer.checkpoint": "each trial keeps its best epoch",
    "trainer.budget": "tune.budget limits the time of all trials",
    "trainer.precision": "the devices decide it before the first trial; compare runs with --set instead",
    **dict.fromkeys(
        [
            *("trainer.strategy", "trainer.workers", "trainer.require_gpu"),
            *("trainer.deterministic", "trainer.check_numerics", "trainer.folds", "trainer.jit_compile"),
        ],
        "it does not change what a trial learns",
    ),
}

_NEITHER = "neither a list of values, [a, b], nor {min, max} with min below max"


def _check_scalar(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str):
        raise ValueError(f"{value!r} is not true or false, a number or a text")
    return value


_Scalar = Annotated[
    Any,
    AfterValidator(_check_scalar),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "number"}, {"type": "string"}]}),
]


class Values(Group):
    """The values of one setting in the trials: a list, `[a, b]`, or numbers from `min` to `max`."""

    choices: Annotated[tuple[_Scalar, ...], Field(strict=False)] = ()
    """Values to try, as a list."""
    min: float | None = None
    """Lowest number to try."""
    max: float | None = None
    """Highest number to try."""
    step: float | None = Field(None, gt=0)
    """Distance between the numbers to try; null for any number from `min` to `max`."""
    log: bool = False
    """Whether to scale logarithmically: 0.001 is then as far from 0.01 as that is from 0.1."""

    @model_validator(mode="after")
    def _check_kind(self) -> "Values":
        if self.choices:
            if self.model_fields_set - {"choices"}:
                raise ValueError("a list of values cannot have min, max, step or log")
            types = {type(value) for value in self.choices}
            if len(types) > 1 and types != {int, float}:
                raise ValueError("a list of values has numbers, texts, or true and false, and no mixture")
        elif self.min is None or self.max is None or self.min >= self.max:
            raise ValueError(f"the value is {_NEITHER}")
        elif self.step and self.step > (self.max - self.min) * (1 + 1e-9):
            raise ValueError(f"step {self.step:g} is larger than max - min, so min alone would be tried")
        elif self.log and (self.min <= 0 or self.step):
            raise ValueError("log needs a min above 0 and no step")
        return self

    @model_serializer(mode="wrap")
    def _dump_given_fields(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in dump(self).items() if name in self.model_fields_set}

    @property
    def ends(self) -> tuple[Any, ...]:
        """Returns the choices, or the lowest and the highest number."""
        return self.choices or (_simplify(self.min), _simplify(self.max))


def _simplify(number: float | None) -> int | float | None:
    """Converts a whole number to an int, the type of settings that count something."""
    return int(number) if number is not None and number.is_integer() else number


def _wrap_list(values: object) -> object:
    if not isinstance(values, list | tuple | Mapping | Values):
        raise ValueError(f"{values!r} is {_NEITHER}")
    return {"choices": values} if isinstance(values, list | tuple) else values


def _flatten(space: object) -> object:
    """Converts nested settings, `{trainer: {epochs: [4, 8]}}`, to dotted names."""
    if not isinstance(space, Mapping):
        return space
    flat: dict[str, object] = {}
    for name, values in space.items():
        is_nested = (
            "." not in name and isinstance(values, Mapping) and not set(values) & set(Values.model_fields)
        )
        flat |= {f"{name}.{leaf}": value for leaf, value in values.items()} if is_nested else {name: values}
    return flat


class TuneSettings(Group):
    """A search for better settings before the model is trained."""

    max_trials: int = Field(0, ge=0, le=1000)
    """Largest number of trainings that are compared; 0 for no search."""
    objective: Literal["val_loss", "val_accuracy", "val_recall"] = "val_loss"
    """Metric by which trials are compared, on a fifth of the groups of train that no trial learns from (the
    eval split judges the model, and so chooses nothing). `val_recall` is the mean of the classes."""
    algorithm: Literal["bayesian", "hyperband"] = "bayesian"
    """`bayesian` tries at random first, three trials for each setting, then where the results point to;
    `hyperband` begins many trials with few epochs and gives the best of them more, up to trainer.epochs."""
    space: Annotated[
        Mapping[str, Annotated[Values, BeforeValidator(_wrap_list)]], BeforeValidator(_flatten)
    ] = {}
    """Values to try, by the dotted name of a setting: `{trainer.learning_rate: {min: 1e-4, max: 1e-2, log:
    true}, model.hidden: [32, 64]}`."""
    budget: Duration | None = None
    """Time for all trials together (`30m`); fewer are made where not all fit. Null for no limit."""

    @field_validator("space")
    @classmethod
    def _convert_choices(cls, space: Mapping[str, Values]) -> Mapping[str, Values]:
        """Converts choices to the settings' types: 0 to 0.0 for a share, a path to an absolute one."""
        return {name: _convert_values(name, values) for name, values in space.items()}

    @model_validator(mode="after")
    def _check_space(self) -> "TuneSettings":
        if self.max_trials and not self.space:
            raise ValueError(
                f"max_trials is {self.max_trials}, but space has no setting to search, such as"
                " {trainer.learning_rate: [0.001, 0.003]}"
            )
        if self.algorithm == "hyperband" and "trainer.epochs" in self.space:
            raise ValueError("hyperband chooses the epochs of each trial; remove trainer.epochs from space")
        return self


def count_trials(epochs: int) -> int:
    """Returns how many trials KerasTuner's Hyperband begins until the first has had all epochs."""
    rounds = 1
    while 3**rounds <= epochs:
        rounds += 1
    most = math.ceil(1 + math.log(epochs, 3)) / rounds
    return sum(math.ceil(most * 3**round_) for round_ in range(1, rounds)) + 1


def _convert_values(name: str, values: Values) -> Values:
    """Converts valid choices to a setting's type; `pipeline/settings.py` reports the others."""
    group, _, leaf = name.partition(".")
    if group not in SEARCHED or leaf not in SEARCHED[group].model_fields or not values.choices:
        return values
    typed = []
    for choice in values.choices:
        try:
            typed.append(getattr(SEARCHED[group].model_validate({leaf: choice}), leaf))
        except ValidationError:
            typed.append(choice)
    return Values(choices=tuple(typed))

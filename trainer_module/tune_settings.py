"""Which settings of the network and of its training are searched, and how long."""

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

from settings_group import Group
from trainer_module.settings import Duration, ModelSettings, TrainerSettings

SEARCHED: Mapping[str, type[Group]] = {"model": ModelSettings, "trainer": TrainerSettings}
# Why no trial can have another value of these.
NOT_SEARCHED = {
    **dict.fromkeys(
        [
            *("model.image_size", "model.channels", "model.buckets", "model.vocabulary"),
            *("model.vocabulary_size", "model.vocabulary_min_count", "model.text_length"),
        ],
        "Transform has used it before the first trial begins; compare runs with --set instead",
    ),
    "trainer.budget": "tune.budget is the time of all trials",
    **dict.fromkeys(
        [
            *("trainer.strategy", "trainer.workers", "trainer.require_gpu"),
            *("trainer.deterministic", "trainer.check_numerics", "trainer.folds"),
        ],
        "no trial learns better or worse by it",
    ),
}

_NEITHER = "neither a list of values, [a, b], nor {min, max} of which min is lower"


def _scalar(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str):
        raise ValueError(f"{value!r} is neither true or false nor a number nor a text")
    return value


_Scalar = Annotated[
    Any,
    AfterValidator(_scalar),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "number"}, {"type": "string"}]}),
]


class Values(Group):
    """What one setting may be in the trials: a list, `[a, b]`, or numbers from `min` to `max`."""

    choices: Annotated[tuple[_Scalar, ...], Field(strict=False)] = ()
    min: float | None = None
    max: float | None = None
    step: float | None = Field(None, gt=0)  # between the numbers; any of them where it is not given
    log: bool = False  # whether 0.001 is as far from 0.01 as that is from 0.1

    @model_validator(mode="after")
    def _one_of_both(self) -> "Values":
        if self.choices:
            if self.model_fields_set - {"choices"}:
                raise ValueError("it is a list and has min, max, step or log, and can be one of both")
        elif self.min is None or self.max is None or self.min >= self.max:
            raise ValueError(f"it is {_NEITHER}")
        elif self.log and (self.min <= 0 or self.step):
            raise ValueError("log takes a min above 0 and no step")
        return self

    @model_serializer(mode="wrap")
    def _as_written(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in dump(self).items() if name in self.model_fields_set}

    @property
    def ends(self) -> tuple[Any, ...]:
        """Each choice, or the lowest and the highest number."""
        return self.choices or (_whole(self.min), _whole(self.max))


def _whole(number: float | None) -> int | float | None:
    """Integers as the type of which settings that count something are."""
    return int(number) if number is not None and number.is_integer() else number


def _listed(values: object) -> object:
    if not isinstance(values, list | tuple | Mapping | Values):
        raise ValueError(f"{values!r} is {_NEITHER}")
    return {"choices": values} if isinstance(values, list | tuple) else values


def _by_dotted_name(space: object) -> object:
    """Nested settings, `{trainer: {epochs: [4, 8]}}`, by their dotted names."""
    if not isinstance(space, Mapping):
        return space
    flat: dict[str, object] = {}
    for name, values in space.items():
        nested = (
            "." not in name and isinstance(values, Mapping) and not set(values) & set(Values.model_fields)
        )
        flat |= {f"{name}.{leaf}": value for leaf, value in values.items()} if nested else {name: values}
    return flat


class TuneSettings(Group):
    """A search for better settings before the model is trained."""

    max_trials: int = Field(0, ge=0, le=1000)  # trainings that are compared, at most; 0 for no search
    # What is compared, on a fifth of the groups of train that no trial learns from (the eval split judges the
    # model, and so chooses nothing); `val_recall` is the mean of the classes.
    objective: Literal["val_loss", "val_accuracy", "val_recall"] = "val_loss"
    # `bayesian` tries at random first, three trials a setting, then where the trials so far point to;
    # `hyperband` begins many for few epochs, and gives those that do well more, up to trainer.epochs.
    algorithm: Literal["bayesian", "hyperband"] = "bayesian"
    # By dotted name: `{trainer.learning_rate: {min: 1e-4, max: 1e-2, log: true}, model.hidden: [32, 64]}`.
    space: Annotated[
        Mapping[str, Annotated[Values, BeforeValidator(_listed)]], BeforeValidator(_by_dotted_name)
    ] = Field(default_factory=dict)
    budget: Duration | None = None  # time for all trials (`30m`): fewer where so many do not fit

    @field_validator("space")
    @classmethod
    def _typed(cls, space: Mapping[str, Values]) -> Mapping[str, Values]:
        """Choices as the settings have them: 0 as 0.0 of a share, a path as it is from here."""
        return {name: _as_setting(name, values) for name, values in space.items()}

    @model_validator(mode="after")
    def _something_to_search(self) -> "TuneSettings":
        if self.max_trials and not self.space:
            raise ValueError(
                f"max_trials is {self.max_trials}, and space names no setting to search, such as"
                " {trainer.learning_rate: [0.001, 0.003]}"
            )
        if self.algorithm == "hyperband" and "trainer.epochs" in self.space:
            raise ValueError("hyperband gives each trial its epochs; take trainer.epochs out of space")
        return self


def hyperband_trials(epochs: int) -> int:
    """How many trials KerasTuner's Hyperband begins until the first of them has had all epochs."""
    rounds = 1
    while 3**rounds <= epochs:
        rounds += 1
    most = math.ceil(1 + math.log(epochs, 3)) / rounds
    return sum(math.ceil(most * 3**left) for left in range(1, rounds)) + 1


def _as_setting(name: str, values: Values) -> Values:
    """What is no value of the setting stays as it is: `pipeline/settings.py` names it with all mistakes."""
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

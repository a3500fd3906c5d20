"""The mistakes in a search for settings: told before the first trial, not in the tenth."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from pipeline.settings_layers import Tree, describe_mistakes
from trainer_module.tune_settings import NOT_SEARCHED, SEARCHED, Values, hyperband_trials

if TYPE_CHECKING:
    from pipeline.settings import Settings


def search_mistakes(settings: "Settings", tree: Tree) -> list[str]:
    """A sentence for each setting that cannot be searched, each value it cannot have, and too few trials.

    `settings` are right otherwise, and `tree` has what they were read from.
    """
    tune, epochs = settings.tune, settings.trainer.epochs
    found = (_about(name, values, tree, type(settings)) for name, values in tune.space.items())
    mistakes = [f"tune.space.{sentence}" for sentences in found for sentence in sentences]
    least = hyperband_trials(epochs)
    if tune.algorithm == "hyperband" and 0 < tune.max_trials < least:
        mistakes.append(
            f"tune.max_trials: {tune.max_trials} is too few for hyperband: it takes {least} until one has had"
            f" {epochs} epochs, all of trainer.epochs (from {tree.origin('tune.max_trials')})."
        )
    return mistakes


def _about(name: str, values: Values, tree: Tree, kind: type[BaseModel]) -> Iterator[str]:
    origin = tree.origin(f"tune.space.{name}")
    group, _, leaf = name.partition(".")
    tree = Tree(tree.values, {name: origin, group: origin})
    wrong = dict.fromkeys(
        sentence for value in values.ends for sentence in _refused(group, leaf, value, tree, kind)
    )
    if wrong:
        yield from wrong
    elif group not in SEARCHED:
        yield f"{name}: only settings of {' and '.join(SEARCHED)} can be searched (from {origin})."
    elif reason := NOT_SEARCHED.get(name):
        yield f"{name}: it cannot be searched: {reason} (from {origin})."
    elif not values.choices and SEARCHED[group].model_fields[leaf].annotation not in (int, float):
        yield f"{name}: min and max are for numbers; list the values, [a, b] (from {origin})."


def _refused(group: str, leaf: str, value: Any, tree: Tree, kind: type[BaseModel]) -> list[str]:
    below = tree.values.get(group)
    changed = {**(below if isinstance(below, Mapping) else {}), leaf: value} if leaf else value
    try:
        kind.model_validate({**tree.values, group: changed})
    except ValidationError as error:
        return describe_mistakes(error, kind.model_json_schema(), tree)
    return []

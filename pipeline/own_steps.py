"""The setting `steps`: custom TFX components between the steps of the DAG."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator

from edgeline.errors import UsageError
from edgeline.records.steps import DATA_GATE, STEPS, place_own_step
from edgeline.records.workload import check_module, load_module
from edgeline.secrets import names_secret
from edgeline.settings_group import Group, require_form

if TYPE_CHECKING:
    from tfx.dsl.components.base.base_node import BaseNode

_GUIDE = "docs/tfx.md"


Dotted = Annotated[str, require_form(r".+\.[^.]+", "has no dot between two names, as in ExampleGen.examples")]


class OwnStep(Group):
    """One custom component."""

    component: Dotted
    """Dotted path of the component: a subclass of TFX's BaseComponent, or a function under `@component`."""
    inputs: Mapping[str, Dotted] = {}
    """Its inputs, each by the step and output that it comes from: {examples: ExampleGen.examples}."""
    parameters: Mapping[str, str | int | float | bool] = {}
    """Its parameters."""
    feeds: Mapping[Dotted, str] = {}
    """The inputs of other steps that become outputs of this one: {Trainer.examples: examples}."""
    before: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Steps that wait for it and read nothing of it; if it fails, they do not run."""

    @field_validator("parameters")
    @classmethod
    def _refuse_secrets(cls, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        for name, value in parameters.items():
            if isinstance(value, str) and value and names_secret(name):
                raise ValueError(
                    f"{name} is a secret, which every run would record. Let the component read it from a"
                    " variable or a file, and pass the name of that"
                )
        return parameters

    @property
    def sources(self) -> list[str]:
        """Returns the steps that it reads from."""
        return [source.partition(".")[0] for source in self.inputs.values()]

    @property
    def readers(self) -> list[str]:
        """Returns the steps that wait for it."""
        return [*(place.partition(".")[0] for place in self.feeds), *self.before]


def find_mistakes(own: Mapping[str, OwnStep], steps: Collection[str]) -> Iterator[str]:
    """Yields a sentence for each step that has a taken name, names an unknown step, or makes a circle.

    Of two steps that feed the same input, it yields one for the second. `steps` are the others of the run.
    """
    order = list(steps)
    feeders: dict[str, str] = {}
    for name, step in own.items():
        unknown = [other for other in (*step.sources, *step.readers) if other not in order]
        if not re.fullmatch("[A-Z][A-Za-z0-9]*", name):
            yield f"steps.{name}: a step's name has letters and digits, a capital first."
        elif name in STEPS:
            yield f"steps.{name}: the DAG has a step of that name."
        elif unknown:
            yield f"steps.{name}: {unknown[0]} is not one of the steps before it or of {', '.join(steps)}."
        else:
            place = place_own_step(order, step.sources, step.readers)
            if late := [reader for reader in step.readers if order.index(reader) < place]:
                yield f"steps.{name}: {late[0]} runs before what {name} reads, so it cannot wait for {name}."
            order.insert(place, name)
        if occupied := [target for target in step.feeds if target in feeders]:
            feeder = feeders[occupied[0]]
            cure = f"let {name} read what {feeder} makes, and let only {name} feed it"
            yield f"steps.{name}: {feeder} feeds {occupied[0]} already: {cure}."
        feeders |= dict.fromkeys(step.feeds, name)


def insert(
    nodes: "Sequence[BaseNode]", own: Mapping[str, OwnStep], code_of: Callable[[str], str]
) -> "list[BaseNode]":
    """Returns the nodes of a DAG with one's own among them; the steps that these feed read them from now on.

    Args:
        nodes: All steps of the DAG in an order in which they can run; inputs that are fed are changed in
            place.
        own: The custom steps by name, checked by `find_mistakes`.
        code_of: Returns the digest of the code of a step, which becomes part of its cache key.

    Raises:
        UsageError: A component cannot be imported or made, or an input or output does not exist.
    """
    by_id = {node.id: node for node in nodes}
    order = list(by_id)
    for name, step in own.items():
        node = _make_component(name, step, by_id)
        node.spec.exec_properties["edgeline_code"] = code_of(name)
        place = place_own_step(order, step.sources, step.readers)
        if DATA_GATE in order[:place]:
            node.add_upstream_node(by_id[DATA_GATE])
        for target, output in step.feeds.items():
            reader, _, key = target.partition(".")
            channel = _get(name, node.outputs, output, f"outputs of {name}")
            read_type = _get(name, by_id[reader].spec.INPUTS, key, f"inputs of {reader}").type
            if channel.type is not read_type:
                wanted, offered = read_type.TYPE_NAME, channel.type_name
                raise _make_error(name, f"{target} takes {wanted}, but {name}.{output} is {offered}")
            by_id[reader].spec.inputs[key] = channel
        for other in step.before:
            by_id[other].add_upstream_node(node)
        by_id[name] = node
        order.insert(place, name)
    return [by_id[name] for name in order]


def check_components(own: Mapping[str, OwnStep]) -> None:
    """Refuses a component that its module does not have, without importing that. Raises UsageError."""
    for step in own.values():
        module, _, attribute = step.component.rpartition(".")
        check_module(module, [attribute], _GUIDE)


def _make_component(name: str, step: OwnStep, nodes: Mapping[str, Any]) -> Any:
    module, _, attribute = step.component.rpartition(".")
    make = getattr(load_module(module, [attribute], _GUIDE), attribute)
    channels = {}
    for key, source in step.inputs.items():
        producer, _, output = source.partition(".")
        channels[key] = _get(name, nodes[producer].outputs, output, f"outputs of {producer}")
    try:
        return make(**channels, **step.parameters).with_id(name)
    except Exception as error:  # The component is not ours, and may raise anything.
        raise _make_error(name, f"{step.component} cannot be made: {error}".rstrip(".")) from error


def _get(name: str, table: Mapping[str, Any], key: str, noun: str) -> Any:
    if key not in table:
        raise _make_error(name, f"{key} is not one of the {noun}: {', '.join(table) or 'none'}")
    return table[key]


def _make_error(name: str, problem: str) -> UsageError:
    return UsageError(
        f"steps.{name} does not fit into the DAG: {problem}.",
        "Nothing was trained.",
        f"Correct the setting; {_GUIDE} has an example.",
    )

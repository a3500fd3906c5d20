"""What a workload is: one typed value, of which the steps of the DAG read what they need."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from records.json_file import decode, encode


@dataclass(frozen=True)
class Workload:
    """One thing that the DAG can learn.

    Attributes:
        name: The model's name in the release store.
        module: Dotted path of the module with `preprocessing_fn` and `build_model`.
        source: Dotted path of the module that reads its spans; see `data/spans/source.py`.
        labels: In the order of the schema's domain, which is the order of the model's outputs.
        noun: What one example is called, `photo`; `s` makes many of it.
        id: The feature that names an example.
        group: The feature whose values are never in two splits.
        slices: Beside `class` and `span`: what a slice is called in settings, and its feature.
        numbers: Features of numbers that the model reads.
        categories: Features of texts out of few that the model reads.
        label_column: What a table calls the label.
        group_column: The column of a table with what its rows belong to, such as a machine; or empty.
        time_column: The column of a table with the time of a row; or empty.
        unmeasured: Features that are left out of the statistics.
        normal: The label of what is no alarm; empty where no label is.
    """

    name: str
    module: str
    source: str
    labels: tuple[str, ...] = ()
    noun: str = "example"
    id: str = "example_id"
    group: str = "group"
    slices: Mapping[str, str] = field(default_factory=dict)
    numbers: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    label_column: str = "label"
    group_column: str = ""
    time_column: str = ""
    unmeasured: tuple[str, ...] = ()
    normal: str = ""

    @property
    def nouns(self) -> str:
        """More than one of them."""
        return f"{self.noun}s"

    def to_json(self) -> str:
        """As a parameter of a step has it."""
        return encode(self).decode()

    @staticmethod
    def from_json(text: str) -> "Workload":
        """What `to_json` wrote."""
        found: Workload = decode(text.encode(), Workload)
        return found

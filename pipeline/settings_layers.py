"""Where settings come from: layers of nested mappings merged key by key, and mistakes in a person's words."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

PROFILES = Path(__file__).parent / "profiles"


class _Loader(yaml.SafeLoader):
    """YAML with 1.2's scalars: `off` and `no` stay words (a severity, a label), and `1e-3` is a number."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own hook, a class attribute)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first)


def parse_yaml(text: str) -> object:
    """The value of a YAML text.

    Raises:
        yaml.YAMLError: It is not YAML, or a mapping has a key twice.
    """
    return yaml.load(text, _Loader)


@dataclass
class Tree:
    """Merged layers, and which layer each dotted key came from."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)

    def merge(self, layer: Mapping[Any, Any], origin: str) -> None:
        """Lays `layer` over what is there: mappings key by key, everything else replaces."""
        self.values = self._merged(self.values, layer, origin, "")

    def _merged(self, below: object, above: Mapping[Any, Any], origin: str, prefix: str) -> dict[str, Any]:
        merged = dict(below) if isinstance(below, Mapping) else {}
        for key, value in above.items():
            dotted = f"{prefix}{key}"
            self.origins[dotted] = origin
            if isinstance(value, Mapping):
                merged[str(key)] = self._merged(merged.get(str(key)), value, origin, f"{dotted}.")
            else:
                merged[str(key)] = value
        return merged

    def origin(self, dotted: str) -> str:
        """The layer that last wrote `dotted`, or the nearest thing above it."""
        while dotted not in self.origins and "." in dotted:
            dotted = dotted.rpartition(".")[0]
        return self.origins.get(dotted, "the defaults")


def merge_layers(
    workload: Mapping[str, object], profile: str | None, platform: str | None, overrides: Sequence[str]
) -> tuple[Tree, list[str]]:
    """The layers above the defaults as one tree, and a sentence for each layer that cannot be read."""
    tree, mistakes = Tree(), []
    tree.merge(workload, "the workload")
    for option, source in (("profile", profile), ("settings", platform)):
        if source is not None:
            layer = _read_layer(f"--{option}", source)
            if isinstance(layer, str):
                mistakes.append(layer)
            else:
                tree.merge(layer, f"the {option} {source}")
    for override in overrides:
        dotted, equals, text = override.partition("=")
        keys = dotted.strip().split(".")
        if not equals or not all(keys):
            mistakes.append(f"--set {override}: not of the form a.b=c.")
            continue
        try:
            value = parse_yaml(text)
        except yaml.YAMLError as error:
            mistakes.append(f"--set {override}: {text!r} is not YAML ({_first_line(error)}).")
            continue
        for key in reversed(keys):
            value = {key: value}
        assert isinstance(value, dict)
        tree.merge(value, "--set")
    return tree, mistakes


def _read_layer(option: str, source: str) -> Mapping[Any, Any] | str:
    """What a file of settings holds, or a sentence that says why it cannot be read."""
    named = PROFILES / f"{source}.yaml"
    path = named if named.is_file() else Path(source).expanduser()
    try:
        layer = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        known = sorted(p.stem for p in PROFILES.glob("*.yaml"))
        near = difflib.get_close_matches(source, known, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        return f"{option} {source}: no readable file, and the named profiles are {', '.join(known)}.{hint}"
    except yaml.YAMLError as error:
        return f"{option} {source}: {path} is not YAML ({_first_line(error)})."
    if not isinstance(layer, Mapping | None):
        return f"{option} {source}: {path} holds no mapping of settings."
    return layer or {}


def _first_line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f", line {mark.line + 1}" if mark else ""
    return f"{getattr(error, 'problem', None) or 'not readable'}{where}"


def describe_mistakes(error: ValidationError, schema: Mapping[str, Any], tree: Tree) -> list[str]:
    """One sentence a mistake: dotted key, value, layer, what is allowed, and the nearest known key."""
    known = dict(_leaves(schema, schema, ""))
    sentences = []
    mistakes = error.errors(include_url=False)
    deeper = {mistake["loc"][:depth] for mistake in mistakes for depth in range(1, len(mistake["loc"]))}
    for mistake in mistakes:
        if mistake["loc"] in deeper:
            continue  # A list without its bad item is too short; the item is what has to be mended.
        keys = [str(part) for part in mistake["loc"]]
        unknown = mistake["type"] == "extra_forbidden" or keys[-1] == "[key]"
        dotted = ".".join(key for key in keys if key != "[key]")
        where = f" (from {tree.origin(dotted)})"
        if unknown:
            sentences.append(f"{dotted}: there is no such setting{where}.{_nearest(dotted, known)}")
            continue
        pattern = re.sub(r"\.\d+(?=\.|$)", "[]", dotted)
        allowed = known.get(pattern) or known.get(f"{pattern.rpartition('.')[0]}.*")
        if mistake["type"] in ("value_error", "assertion_error"):
            reason = str(mistake["msg"]).removeprefix("Value error, ")
        elif mistake["type"] == "missing":
            reason = f"it has to be given: {allowed}"
        elif allowed:
            reason = f"{mistake['input']!r} is not {allowed}"
        else:
            group = [key for key in known if key.startswith(f"{dotted}.") and "[]" not in key]
            reason = f"{mistake['input']!r} is not a group of settings: {', '.join(group)}"
        sentences.append(f"{dotted}: {reason}{where}.")
    return sentences


def _nearest(dotted: str, known: Mapping[str, str]) -> str:
    names = [name for name in known if "[]" not in name and "*" not in name]
    groups = list(dict.fromkeys(name.partition(".")[0] for name in names))
    if "." not in dotted and (near := difflib.get_close_matches(dotted, groups, 1)):
        return f" Did you mean {near[0]}?"
    inner = {name.rsplit(".", depth)[0] for name in names for depth in range(1, name.count("."))}
    near = difflib.get_close_matches(dotted, [*names, *sorted(inner)], 1, cutoff=0.75)
    if not near:
        leaf = dotted.rpartition(".")[2]
        by_leaf = {name.rpartition(".")[2]: name for name in names}
        near = [by_leaf[match] for match in difflib.get_close_matches(leaf, by_leaf, 1, cutoff=0.7)]
    if near:
        return f" Did you mean {near[0]}?"
    group = dotted.rpartition(".")[0]
    inside = [name for name in names if name.rpartition(".")[0] == group] if group else groups
    return f" Known there: {', '.join(inside)}." if inside else ""


def _leaves(schema: Mapping[str, Any], node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    """Each dotted key (`[]` an item of a list, `*` any key of a mapping) and what is allowed there."""
    for key, value in node.get("properties", {}).items():
        yield from _leaf(schema, value, f"{prefix}{key}")


def _leaf(schema: Mapping[str, Any], node: Mapping[str, Any], dotted: str) -> Iterator[tuple[str, str]]:
    node = _dereferenced(schema, node)
    if "properties" in node:
        yield from _leaves(schema, node, f"{dotted}.")
        return
    yield dotted, _allowed(schema, node)
    if node.get("type") == "array":
        yield from _leaf(schema, node["items"], f"{dotted}[]")
    if node.get("type") == "object":
        for key in node.get("propertyNames", {}).get("enum", ["*"]):
            yield from _leaf(schema, node["additionalProperties"], f"{dotted}.{key}")


def _dereferenced(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return node


def _allowed(schema: Mapping[str, Any], node: Mapping[str, Any]) -> str:
    node = _dereferenced(schema, node)
    if "anyOf" in node:
        return " or ".join(_allowed(schema, option) for option in node["anyOf"])
    if "enum" in node:
        return f"one of {', '.join(str(value) for value in node['enum'])}"
    if "const" in node:
        return str(node["const"])
    kind = node.get("type")
    if kind in ("integer", "number"):
        name = "a whole number" if kind == "integer" else "a number"
        low = (
            f"from {node['minimum']:g}" if "minimum" in node else f"above {node.get('exclusiveMinimum', 0):g}"
        )
        return f"{name} {low} to {node['maximum']:,.10g}"
    if kind == "array":
        return f"a list, [a, b], of {_allowed(schema, node['items'])}"
    if kind == "object":
        if "properties" in node:
            return f"{{{', '.join(node['properties'])}}}"
        each = _allowed(schema, node["additionalProperties"])
        return f"a mapping, {{name: value}}, each value {each}"
    words = {
        "boolean": "true or false",
        "null": "null",
        "string": "a path" if node.get("format") else "a text",
    }
    return words[str(kind)]

"""The sources of settings: layers of nested mappings merged key by key, with mistakes in plain words."""

import os
import re
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from edgeline.errors import find_nearest, suggest
from edgeline.secrets import redact
from edgeline.settings_tree import Tree
from edgeline.store.locations import open_regular_file

# These limits are far beyond any handwritten file, which is still read in less than a second.
_MOST_BYTES = 2**15
_DEEPEST = 20
# Nobody reads thousands of mistakes, and finding the nearest key takes milliseconds for each.
_MOST_MISTAKES = 50
_LONGEST_SHOWN = 200
# Control characters other than blanks, and unpaired surrogates: no path and no text of ours contains them.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


# Not ruamel.yaml, which has 1.2's scalars: it takes 140 ms to import where PyYAML takes 18, and 3.3 s to load
# 2,000 columns of a table where libyaml takes 0.16.
class _Loader(yaml.SafeLoader):
    """A YAML loader with 1.2's scalars: `off` and `no` stay words (a severity, a label), `1e-3` is a number.

    Aliases (a few of which can stand for billions of values) and tags are refused, since no setting needs
    them. A key is always a text.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own hook, a class attribute)
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise _mark_error(f"it has an alias, *{event.anchor}: write out its value", event)
        if getattr(event, "tag", None) is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!", 1)
            raise _mark_error(f"it has a value with the tag {tag}: remove the tag", event)
        if self.depth > _DEEPEST:
            raise _mark_error(f"its values are nested more than {_DEEPEST} deep", event)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        if isinstance(node, yaml.ScalarNode) and (unfit := _UNFIT.search(node.value)):
            raise _mark_error(f"it has the character U+{ord(unfit[0]):04X}", node)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping: dict[Hashable, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _mark_error("it has a key that is not a text", key)
            if key.value in mapping:
                raise _mark_error(f"it has the key {_escape(key.value)} twice", key)
            mapping[key.value] = self.construct_object(value, deep=deep)
        return mapping


def _mark_error(problem: str, node: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def _escape(text: str) -> str:
    """Returns a text for a sentence: printable, and not too long."""
    return _cut(repr(text)[1:-1])


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    # A number with more digits than any setting has stays a word: Python refuses to read thousands of digits.
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,18})", list("-+0123456789")),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first)


def parse_yaml(text: str | bytes, most: int = _MOST_BYTES) -> object:
    """Returns the value of a YAML text of at most `most` bytes. Raises yaml.YAMLError for any other text."""
    if len(text) > most:
        raise yaml.YAMLError(f"it has more than {most // 1024} KiB")
    try:
        return yaml.load(text, _Loader)
    except yaml.reader.ReaderError as error:
        fault = f"a byte that is not {error.encoding}"
        if error.encoding == "unicode":
            fault = f"the character U+{error.character:04X}"
        raise yaml.YAMLError(f"it has {fault}, at position {error.position}") from None
    except (ValueError, OverflowError):  # raised by Python when PyYAML's scanner asks it for the character
        raise yaml.YAMLError("it has an escape sequence for a character that does not exist") from None


def read_yaml(path: Path | str, most: int = _MOST_BYTES) -> object:
    """Returns the value of a YAML file. Raises as `parse_yaml` does, and OSError if it cannot be read."""
    with open(path, "rb", opener=open_regular_file) as file:
        return parse_yaml(file.read(most + 1), most)


def merge_layers(
    workload: Mapping[str, object],
    profile: str | None,
    platform: str | None,
    overrides: Sequence[str],
    profiles: Path | None = None,
) -> tuple[Tree, list[str]]:
    """Returns the layers above the defaults as one tree, and a sentence for each that cannot be read.

    Args:
        workload: The lowest layer: the settings of workload.yaml.
        profile: The YAML file of `--profile`, or the name of a known one; None without it.
        platform: The YAML file of `--settings`, or the name of a known one; None without it.
        overrides: The highest layer: those of `--set`, `a.b=c` each.
        profiles: The folder of the profiles that are known by name; None without such.
    """
    tree = Tree()
    mistakes = []
    tree.merge(workload, "the workload")
    for option, source in (("profile", profile), ("settings", platform)):
        if source is not None:
            layer = _read_layer(f"--{option}", source, profiles)
            if isinstance(layer, str):
                mistakes.append(layer)
            else:
                tree.merge(layer, f"the {option} {source}")
    for override in overrides:
        dotted, equals, text = override.partition("=")
        keys = dotted.strip().split(".")
        try:
            if not equals or not all(keys):
                raise yaml.YAMLError("it is not of the form a.b=c")
            if len(keys) > _DEEPEST:
                raise yaml.YAMLError(f"its key is nested {len(keys):,} deep")
            if unfit := _UNFIT.search(dotted):
                raise yaml.YAMLError(f"its key has the character U+{ord(unfit[0]):04X}")
            value = parse_yaml(text)
        except yaml.YAMLError as error:
            mistakes.append(f"--set {_escape(dotted)}: {_cut_first_line(error)}.")  # not its value
            continue
        for key in reversed(keys):
            value = {key: value}
        assert isinstance(value, dict)
        tree.merge(value, "--set")
    return tree, mistakes


def _read_layer(option: str, source: str, profiles: Path | None) -> Mapping[Any, Any] | str:
    """Returns the settings in a file, or a sentence that says why it cannot be read."""
    named = {path.stem: path for path in sorted(profiles.glob("*.yaml"))} if profiles else {}
    try:
        layer = read_yaml(named.get(source) or os.path.expanduser(source))
    except yaml.YAMLError as error:
        return f"{option} {_escape(source)}: {_cut_first_line(error)}."
    except (OSError, ValueError):  # ValueError is for a null byte in the name
        choices = f"; the named profiles are {', '.join(named)}" if named else ""
        return f"{option} {_escape(source)}: no readable file{choices}. {suggest(source, named)}".rstrip()
    if not isinstance(layer, Mapping | None):
        return f"{option} {_escape(source)}: it is not a mapping of settings."
    return layer or {}


def _cut_first_line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f", line {mark.line + 1}" if mark else ""
    return f"it cannot be read: {getattr(error, 'problem', None) or error}{where}"


def describe_mistakes(error: ValidationError, schema: Mapping[str, Any], tree: Tree) -> list[str]:
    """Returns a sentence per mistake: dotted key, value, layer, what is allowed, and the nearest name.

    Args:
        error: All that pydantic found.
        schema: The JSON schema of the settings.
        tree: Knows the layer of each value.
    """
    nodes = dict(walk(schema, schema))
    rules = {name: describe_allowed(schema, node) for name, node in nodes.items() if "properties" not in node}
    sentences = []
    mistakes = error.errors(include_url=False)
    deeper = {mistake["loc"][:depth] for mistake in mistakes for depth in range(1, len(mistake["loc"]))}
    # A list without its bad item is too short, but the item has to be corrected.
    mistakes = [mistake for mistake in mistakes if mistake["loc"] not in deeper]

    for mistake in mistakes[:_MOST_MISTAKES]:
        keys = [str(part) for part in mistake["loc"]]
        is_unknown = mistake["type"] == "extra_forbidden" or keys[-1] == "[key]"
        keys = keys if is_unknown else _drop_branches(keys, nodes)
        dotted = _escape(".".join(key for key in keys if key != "[key]"))
        where = f" (from {tree.origin(dotted)})"
        if is_unknown:
            sentences.append(f"{dotted}: there is no such setting{where}.{suggest_key(dotted, rules)}")
            continue

        one_of = mistake["ctx"]["expected"] if mistake["type"] == "literal_error" else ""
        hint = suggest(str(mistake["input"]), re.findall("'(.*?)'", one_of))
        reason = _explain_mistake(mistake, keys, dotted, rules)
        sentences.append(f"{dotted}: {reason}{where}. {hint}".rstrip())

    more = len(mistakes) - _MOST_MISTAKES
    sentences = list(dict.fromkeys(sentences))  # each branch of a union has its mistake
    return [*sentences, f"and {more:,} more."] if more > 0 else sentences


def _drop_branches(keys: list[str], nodes: Collection[str]) -> list[str]:
    """Returns the keys of a setting without those that name a branch of its union of types."""
    for depth in range(len(keys), 0, -1):
        if any(pattern in nodes for pattern in match_patterns(keys[:depth])):
            return keys[:depth]
    return keys


def _explain_mistake(
    mistake: Mapping[str, Any], keys: Sequence[str], dotted: str, rules: Mapping[str, str]
) -> str:
    """Returns why the value of a known setting is wrong; `rules` say what each one may be."""
    if mistake["type"] in ("value_error", "assertion_error"):
        return str(mistake["msg"]).removeprefix("Value error, ")
    allowed = next((rules[pattern] for pattern in match_patterns(keys) if pattern in rules), None)
    if mistake["type"] == "missing":
        return f"it is required: {allowed}"
    # A value may be the secret itself instead of its place, so it is not shown.
    value = "it" if keys[0] == "alerts" or "secrets" in keys else _cut(redact(repr(mistake["input"])))
    if allowed:
        return f"{value} is not {allowed}"
    group = [key for key in rules if key.startswith(f"{dotted}.") and "[]" not in key]
    return f"{value} is not a group of settings: {', '.join(group)}"


def match_patterns(keys: Sequence[str]) -> list[str]:
    """Returns the names under which `walk` may have a key: an item of a list, or of a mapping, has a mark."""
    patterns = [".".join([*keys[:at], "*", *keys[at + 1 :]]) for at in range(len(keys))]
    return [re.sub(r"\.\d+(?=\.|$)", "[]", pattern) for pattern in (".".join(keys), *patterns)]


def suggest_key(dotted: str, settings: Collection[str]) -> str:
    """Returns a sentence with the nearest of the known keys, or with all keys of the same group."""
    names = [name for name in settings if "[]" not in name and "*" not in name]
    groups = list(dict.fromkeys(name.partition(".")[0] for name in names))
    if "." not in dotted and (near := find_nearest(dotted, groups)):
        return f" Did you mean {near}?"
    inner = {name.rsplit(".", depth)[0] for name in names for depth in range(1, name.count("."))}
    near = find_nearest(dotted, [*names, *sorted(inner)], 0.75)
    if not near:
        leaf = dotted.rpartition(".")[2]
        by_leaf = {name.rpartition(".")[2]: name for name in names}
        nearest_leaf = find_nearest(leaf, by_leaf, 0.7)
        near = by_leaf[nearest_leaf] if nearest_leaf else None
    if near:
        return f" Did you mean {near}?"
    group = dotted.rpartition(".")[0]
    inside = [name for name in names if name.rpartition(".")[0] == group] if group else groups
    return f" Known settings: {', '.join(inside)}." if inside else ""


def walk(
    schema: Mapping[str, Any], node: Mapping[str, Any], dotted: str = "", each_name: bool = True
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields the dotted key and the node of each setting and each group, which has `properties`.

    Args:
        schema: The JSON schema, whose `$defs` nodes refer to.
        node: The node to begin at; the schema itself for all settings.
        dotted: The key of that node; in keys, `[]` is an item of a list, and `*` any name in a mapping.
        each_name: Of a mapping with fixed names, yields each of them in place of `*`.
    """
    node = _resolve_ref(schema, node)
    if dotted:
        yield dotted, node
    if "properties" in node:
        inner = {f"{dotted}.{key}".lstrip("."): value for key, value in node["properties"].items()}
    elif node.get("type") == "object":
        names = node.get("propertyNames", {}).get("enum", ["*"]) if each_name else ["*"]
        inner = {f"{dotted}.{name}": node["additionalProperties"] for name in names}
    else:
        inner = {f"{dotted}[]": node["items"]} if node.get("type") == "array" else {}
    for name, value in inner.items():
        yield from walk(schema, value, name, each_name)


def _resolve_ref(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the definition that a node refers to, with the node's own default and description on top."""
    while "$ref" in node:
        own = {key: value for key, value in node.items() if key != "$ref"}
        node = {**schema["$defs"][node["$ref"].rpartition("/")[2]], **own}
    return node


def describe_allowed(schema: Mapping[str, Any], node: Mapping[str, Any]) -> str:
    """Returns the values that a node of the schema allows, in words: `a whole number from 1 to 64`."""
    node = _resolve_ref(schema, node)
    if "anyOf" in node:
        return " or ".join(describe_allowed(schema, option) for option in node["anyOf"])
    if "enum" in node:
        return f"one of {', '.join(str(value) for value in node['enum'])}"
    if "const" in node:
        return str(node["const"])
    kind = node.get("type")
    if kind in ("integer", "number"):
        name = "a whole number" if kind == "integer" else "a number"
        low = f" above {node['exclusiveMinimum']:g}" if "exclusiveMinimum" in node else ""
        low = f" from {node['minimum']:g}" if "minimum" in node else low
        high = f" to below {node['exclusiveMaximum']:g}" if "exclusiveMaximum" in node else ""
        high = f" to {node['maximum']:,.10g}" if "maximum" in node else high
        return f"{name}{low}{high}"
    if kind == "array":
        return f"a list, [a, b], of {describe_allowed(schema, node['items'])}"
    if kind == "object":
        if "properties" in node:
            return f"{{{', '.join(node['properties'])}}}"
        entry = f"each value {describe_allowed(schema, node['additionalProperties'])}"
        if "propertyNames" in node:
            entry = f"each name {describe_allowed(schema, node['propertyNames'])}, {entry}"
        return f"a mapping, {{name: value}}, {entry}"
    text = "a path" if node.get("format") else "a text"
    return {"boolean": "true or false", "null": "null", "string": text}[str(kind)]

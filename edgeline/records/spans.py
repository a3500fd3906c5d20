"""Names of spans."""

from collections.abc import Iterable


def name_span(number: int) -> str:
    """Returns the name of a span's folder, such as `span-00042`."""
    return f"span-{number:05d}"


def describe_spans(names: Iterable[str]) -> str:
    """Formats names of spans, in any order, as ranges: `span-00003 to span-00005, span-00008`."""
    groups: list[list[int]] = []
    for number in sorted({int(name.removeprefix("span-")) for name in names}):
        if groups and number == groups[-1][-1] + 1:
            groups[-1].append(number)
        else:
            groups.append([number])
    texts = []
    for group in groups:
        first, last = name_span(group[0]), name_span(group[-1])
        between = " to " if len(group) > 2 else ", "
        texts.append(first if first == last else f"{first}{between}{last}")
    return ", ".join(texts)

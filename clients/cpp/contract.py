"""Writes contract.h for a device from a bundle of sensors: python contract.py BUNDLE > contract.h ."""

import json
import sys
from pathlib import Path
from struct import unpack


def main(bundle: Path) -> None:
    """Prints the header: the contract, the int8 scales, and the golden vectors."""
    contract, golden = (
        json.loads((bundle / name).read_bytes()) for name in ("preprocessing.json", "golden/golden.json")
    )
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    tensors = next(variant for variant in manifest["variants"] if variant["name"] == "int8")
    numbers, categories, readings = contract["numbers"], contract["categories"], contract["readings"]
    if {each["column"]["form"] for each in numbers} != {"number"} or "boundaries" in numbers[0]:
        sys.exit("A device of this kind reads plain numbers.")

    def parse(cell: str) -> str:
        return "NAN" if cell.lower() in contract["missing"] else f"{float(cell)!r}f"

    def braces(values: object) -> str:
        return f"{{{','.join(map(braces, values))}}}" if isinstance(values, list) else str(values)

    contents = [each["content"] for each in golden["examples"]]
    names = [each["column"]["name"] for each in numbers]
    size = readings * contract["channels"]
    raw = (bundle / "golden" / "tensors.bin").read_bytes()
    arrays = {
        "float kMean[]": [f"{each['mean']!r}f" for each in numbers],
        "float kDeviation[]": [f"{each['deviation']!r}f" for each in numbers],
        f"char* kWords[][{contract['vocabulary_size']}]": [
            list(map(json.dumps, each["vocabulary"])) for each in categories
        ],
        f"float kGoldenReadings[][{readings}][{len(numbers)}]": [
            [[parse(content[name][at]) for name in names] for at in range(readings)] for content in contents
        ],
        f"char* kGoldenWords[][{max(1, len(categories))}]": [
            [json.dumps(content[each["name"]][-1]) for each in categories] or ["nullptr"]
            for content in contents
        ],
        f"float kGoldenTensors[][{size}]": [
            [f"{value!r}f" for value in unpack(f"<{size}f", raw[4 * size * n : 4 * size * (n + 1)])]
            for n in range(len(contents))
        ],
    }
    print("#pragma once\n#include <cmath>")
    for name, value in (
        *(("Readings", readings), ("Numbers", len(numbers)), ("Channels", contract["channels"])),
        *(("Categories", len(categories)), ("Vocabulary", contract["vocabulary_size"])),
        *(("Golden", len(contents)), ("ZeroPoint", tensors["inputs"][0]["zero_point"])),
    ):
        print(f"constexpr int k{name} = {value};")
    print(
        f"constexpr float kClip = {float(contract['clip'])!r}f, kScale = {tensors['inputs'][0]['scale']!r}f;"
    )
    for name, values in arrays.items():
        print(f"const {name} = {braces(values)};")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

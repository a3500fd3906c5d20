"""Writes contract.h for a device from a bundle of sensors: python contract.py BUNDLE > contract.h ."""

import json
import sys
from pathlib import Path


def main(bundle: Path) -> None:
    """Prints the contract and the scale of the int8 file's input."""
    contract = json.loads((bundle / "preprocessing.json").read_bytes())
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    (tensor,) = next(each["inputs"] for each in manifest["variants"] if each["name"] == "int8")
    numbers, categories = contract["numbers"], contract["categories"]
    if {each["column"]["form"] for each in numbers} != {"number"} or "boundaries" in numbers[0]:
        sys.exit("A device of this kind reads plain numbers.")
    sizes = {
        "Readings": contract["readings"],
        "Numbers": len(numbers),
        "Channels": contract["channels"],
        "Categories": len(categories),
        "Vocabulary": contract["vocabulary_size"],
        "ZeroPoint": tensor["zero_point"],
    }
    print("#pragma once")
    for name, size in sizes.items():
        print(f"constexpr int k{name} = {size};")
    print(f"constexpr float kClip = {float(contract['clip'])!r}f, kScale = {tensor['scale']!r}f;")
    for key in ("mean", "deviation", "low", "high"):
        print(f"const float k{key.title()}[] = {{{', '.join(f'{each[key]!r}f' for each in numbers)}}};")
    words = ", ".join(
        f"{{{json.dumps(each['vocabulary'], ensure_ascii=False)[1:-1]}}}" for each in categories
    )
    print(f"const char* const kWords[][kVocabulary + 1] = {{{words or '{}'}}};")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Draws the drills of the page of measurements into docs/images/drill.svg.

    .venv/bin/python -m docs.draw_drill

A test compares the two.
"""

import re
from pathlib import Path

PAGE = Path(__file__).parent / "measurements.md"
PICTURE = Path(__file__).parent / "images" / "drill.svg"
_ARMS = (("Edgeline", "#2b6cb0"), ("never retrained", "#dd8b1f"), ("without gates", "#718096"))
_LEFT, _WIDTH, _ROW = 190, 480, 20


def draw(page: str) -> str:
    """Returns the picture of the accuracies that the page has: a line from the lowest to the mean."""
    seeds, means, lowest = (
        re.findall(values, re.findall(rf"^\|.*{head}.*$", page, re.MULTILINE)[0])
        for head, values in (
            (r"\| seed 10 ", r"seed \d+"),
            ("mean accuracy", r"\d\.\d+"),
            ("lowest accuracy", r"\d\.\d+"),
        )
    )
    shapes, y = [], 0
    for number, (mean, low) in enumerate(zip(means, lowest, strict=True)):
        name, color = _ARMS[number % len(_ARMS)]
        y += _ROW if number % len(_ARMS) else 2 * _ROW
        start, end = (_LEFT + _WIDTH * float(value) for value in (low, mean))
        seed = "" if number % len(_ARMS) else seeds[number // len(_ARMS)]
        shapes += [
            f'<text x="4" y="{y + 4}">{seed}</text><text x="70" y="{y + 4}">{name}</text>',
            f'<path d="M{start:.0f},{y}H{end:.0f}" stroke="{color}" stroke-width="4"/>',
            f'<circle cx="{end:.0f}" cy="{y}" r="5" fill="{color}"/>',
            f'<text x="{end + 10:.0f}" y="{y + 4}">{mean}</text>',
        ]
    axis = "".join(f'<text x="{_LEFT + _WIDTH * n / 4:.0f}" y="14">{n / 4:g}</text>' for n in range(5))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 60} {y + _ROW}"'
        ' font-family="sans-serif" font-size="13" fill="#2d3748">'
        f'<rect width="100%" height="100%" fill="white"/>{axis}{"".join(shapes)}</svg>\n'
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

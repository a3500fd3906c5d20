"""`.venv/bin/python -m docs.draw_dag` draws the DAG that the code makes into docs/images/dag.svg."""

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

from edgeline.records.steps import STEPS

PICTURE = Path(__file__).parent / "images" / "dag.svg"
# Column and row of each step. An arrow to the left runs through the gap between the two bands.
PLACES = {
    "SchemaGen": (2, 0),
    "ExampleGen": (0, 1),
    "StatisticsGen": (1, 1),
    "ExampleValidator": (2, 1),
    "DataValidator": (3, 1),
    "DataGate": (4, 1),
    "ImportSchemaGen": (2, 2),
    "ProductionModel": (2, 3),
    "Evaluator": (3, 3),
    "ModelValidator": (4, 3),
    "Pusher": (5, 3),
    "Transform": (0, 4),
    "Tuner": (1, 4),
    "Trainer": (2, 4),
    "EdgeConverter": (3, 4),
    "EdgeValidator": (4, 4),
    "RunReport": (5, 4),
    "ReleaseGate": (5, 5),
}
_BAND = 2.5
_LEGEND = (
    "Orange: stops the run if the data or the model is not good enough. Dashed: only with tune.max_trials.",
    "A step waits for all steps from which arrows lead to it.",
)
_WIDTH, _HEIGHT, _COLUMN, _ROW, _EDGE = 128, 34, 152, 58, 12

Waits = Mapping[str, frozenset[str]]


def find_waits() -> Waits:
    """Returns the steps that each step of the DAG waits for, with a search before the training."""
    from pipeline.dag import Observed, Paths, create_pipeline
    from pipeline.settings import Settings
    from pipeline.workloads import find_workload, with_features

    search = {"tune": {"max_trials": 2, "space": {"trainer.learning_rate": [0.001, 0.01]}}}
    dag = create_pipeline(
        with_features(find_workload("shelf")),
        Settings.model_validate(search),
        Paths("data", "artifacts", "./metadata.sqlite", "push", "checkpoints"),
        Observed("world", "production", "code", "lock", "run"),
    )
    return {step.id: frozenset(before.id for before in step.upstream_nodes) for step in dag.components}


def find_all_before(waits: Waits, step: str) -> frozenset[str]:
    """Returns the steps that have ended when a step begins."""
    return waits[step].union(*(find_all_before(waits, before) for before in waits[step]))


def find_arrows(waits: Waits) -> list[tuple[str, str]]:
    """Returns the waits that do not follow from others."""
    arrows = []
    for step, before in waits.items():
        implied = frozenset[str]().union(*(find_all_before(waits, other) for other in before))
        arrows += [(other, step) for other in sorted(before - implied)]
    return arrows


def draw(waits: Waits) -> str:
    """Draws the steps and their arrows as SVG; a step without a place is a KeyError."""
    columns, rows = (max(ends) + 1 for ends in zip(*PLACES.values(), strict=True))
    width, height = columns * _COLUMN - _COLUMN + _WIDTH + 2 * _EDGE, rows * _ROW + _EDGE
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
        ' font-family="system-ui, sans-serif" font-size="13">',
        "<title>The steps of the DAG</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7"'
        ' orient="auto"><path d="M0 0 8 4 0 8z" fill="#7b8794"/></marker></defs>',
        '<g fill="none" stroke="#7b8794" stroke-width="1.5">',
        *(
            f'<path d="{_route(PLACES[before], PLACES[step])}" marker-end="url(#tip)"/>'
            for before, step in find_arrows(waits)
        ),
        "</g>",
        *(line for step in waits for line in _draw_step(step)),
        *(
            f'<text x="{_EDGE}" y="{height - 20 * up - 14}" fill="#7b8794">{sentence}</text>'
            for up, sentence in enumerate(reversed(_LEGEND))
        ),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _draw_step(step: str) -> Iterator[str]:
    info = STEPS[step]
    left, top = _draw_corner(PLACES[step])
    fill, stroke = ("#ffe8cc", "#d9730d") if info.stops_as else ("#e3effb", "#2f6fab")
    dashes = ' stroke-dasharray="5 3"' if info.only_with_search else ""
    yield f"<g><title>{escape(f'{step}: {info.purpose}')}</title>"
    yield (
        f'<rect x="{left}" y="{top}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="{fill}"'
        f' stroke="{stroke}"{dashes}/>'
    )
    middle = left + _WIDTH // 2
    yield f'<text x="{middle}" y="{top + 22}" text-anchor="middle" fill="#1b2733">{step}</text></g>'


def _draw_corner(place: tuple[float, float]) -> tuple[int, int]:
    return round(_EDGE + place[0] * _COLUMN), round(_EDGE + place[1] * _ROW)


def _route(start: tuple[int, int], end: tuple[int, int]) -> str:
    """Returns the path of an arrow: to the right, straight up or down, or to the left between the bands."""
    (left, top), (to_left, to_top) = _draw_corner(start), _draw_corner(end)
    middle, to_middle = left + _WIDTH // 2, to_left + _WIDTH // 2
    if start[0] == end[0]:
        down = start[1] < end[1]
        return f"M{middle} {top + _HEIGHT if down else top}V{to_top if down else to_top + _HEIGHT}"
    if start[0] > end[0]:
        between = _draw_corner((0, _BAND))[1] + _HEIGHT // 2
        return f"M{middle} {top + _HEIGHT}V{between}H{to_middle}V{to_top}"
    bend = to_left - (_COLUMN - _WIDTH) // 2
    return f"M{left + _WIDTH} {top + _HEIGHT // 2}H{bend}V{to_top + _HEIGHT // 2}H{to_left}"


if __name__ == "__main__":
    PICTURE.write_text(draw(find_waits()), encoding="utf-8")

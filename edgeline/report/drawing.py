"""Charts as SVG, drawn by matplotlib, with the page's own font and its colours in both themes.

matplotlib draws with stand-in colours, which are replaced by CSS variables of the page, so that one drawing
fits light, dark and print. One unit is one CSS pixel, and only the wide timeline is wider than a phone.
"""

import io
import re
import warnings
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes


WIDTH, WIDE = 330, 880
# Begins the id of a drawn thing that has a text of its own; the text follows in hexadecimal digits.
_TIP = "tip-"
_PIXELS_PER_INCH = 72  # One point of matplotlib's SVG is one unit of its viewBox.

# The CSS variables of templates/style.css that have stand-in colours.
_VARIABLES = (
    *("ink", "muted", "line", "accent", "before", "warn", "good", "bad", "surface"),
    *(f"class-{number}" for number in range(6)),
)
_STAND_INS = {f"#{number:06x}": f"var(--{name})" for number, name in enumerate(_VARIABLES, start=1)}
INK, MUTED, LINE, ACCENT, BEFORE, WARN, GOOD, BAD, SURFACE, *CLASSES = _STAND_INS
# Points of several lines, and of several outcomes, differ in shape too: not all people see colours.
MARKERS, GLYPHS = "os^DvP", "●■▲◆▼✚"
CLASS_COLOURS = tuple(_STAND_INS[stand_in] for stand_in in CLASSES)

_STYLE = Path(__file__).parent / "templates" / "chart.mplstyle"
_COLOURS: dict[str, Any] = {
    "text.color": INK,
    **dict.fromkeys(("axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), MUTED),
    **dict.fromkeys(("axes.edgecolor", "grid.color", "xtick.color", "ytick.color"), LINE),
}


def render_svg(
    name: str, alt: str, draw: "Callable[[Axes], None]", width: int = WIDTH, height: int = 190
) -> "Markup":
    """Renders a chart as an SVG element for a page.

    Args:
        name: Unique in its page: ids in the SVG begin with it. The same name and drawing give the same SVG.
        alt: Describes the chart to screen readers, in plain text; it is escaped here.
        draw: Draws into empty axes, with the colours of this module, which become those of the page.
        width: In CSS pixels; the chart becomes narrower where the page is, and never wider.
        height: In CSS pixels at that width; it shrinks with the width.
    """
    import matplotlib
    from markupsafe import Markup
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    style: Any = {**_COLOURS, "svg.hashsalt": name}  # newer matplotlibs type the names of all their settings
    with matplotlib.rc_context(style, _STYLE), warnings.catch_warnings():
        # The browser's font has the characters that matplotlib's font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        size = (width / _PIXELS_PER_INCH, height / _PIXELS_PER_INCH)
        layout = ConstrainedLayoutEngine(w_pad=2 / _PIXELS_PER_INCH, h_pad=2 / _PIXELS_PER_INCH)
        figure = Figure(figsize=size, dpi=_PIXELS_PER_INCH, layout=layout)
        draw(figure.add_subplot())
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    head = f'<svg class="chart" viewBox="0 0 {width} {height}" style="max-width: {width}px" role="img"'
    return Markup(f'{head} aria-label="{escape(alt)}">\n{_adapt_to_page(file.getvalue(), name)}')


def add_tooltip(artist: "Artist", text: str) -> None:
    """Gives a drawn thing a text that a browser shows while the pointer is over it."""
    artist.set_gid(f"{_TIP}{text.encode().hex()}")


def _adapt_to_page(svg: str, name: str) -> str:
    """Returns the content of an SVG of matplotlib with unique ids, and the page's colours and font."""
    body = svg[svg.index("<svg") :]
    body = body[body.index(">") + 1 :]
    # Style rules of the same name in several charts would affect each other.
    body = re.sub(r"<(metadata|style)\b.*?</\1>", "", body, flags=re.DOTALL)
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{name}-", body)
    # `font: 11px 'DejaVu Sans', ...` is reduced to its size; the family comes from the page.
    body = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", body)
    body = re.sub(r"font-family: [^;\"]*;?", "", body)
    body = re.sub(
        rf'<g id="{name}-{_TIP}([0-9a-f]+)">',
        lambda match: f"<g><title>{escape(bytes.fromhex(match[1]).decode())}</title>",
        body,
    )
    # Within tags alone: the label of a class may be a colour.
    for stand_in, variable in _STAND_INS.items():
        body = re.sub(rf"{stand_in}(?=[^<>]*>)", variable, body)
    return "\n".join(line.strip() for line in body.splitlines() if line.strip())

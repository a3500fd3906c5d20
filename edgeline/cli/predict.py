"""`edgeline predict`: what the model in production says of photos, rows and texts, as a phone would."""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from edgeline.bundle import Answer, Bundle, load_bundle
from edgeline.cli import options
from edgeline.cli.commands import Command
from edgeline.cli.status import TERMS
from edgeline.cli.stdout import note, print_json, say
from edgeline.errors import EdgelineError
from edgeline.prediction.inputs import Input, answer, check_kind, find_sources, read_inputs
from edgeline.release import store
from edgeline.release.acceptance import list_terms
from edgeline.release.verify import foresee_phone
from edgeline.store.objects import write_bytes
from edgeline.tables.sheets import write_rows
from edgeline.visible import make_visible
from edgeline.workspace.known_runs import resolve_place
from edgeline.workspace.owner import find_public_keys
from edgeline.workspace.place import Place

Answered = tuple[Input, Answer | None]
_MOST_PLACES = 3  # named for one kind of problem


@click.command(cls=Command)
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE_OR_TEXT...",
    help="photos, tables (for windows: of one machine, the oldest row first), texts, or folders; where the"
    ' model reads texts, also "a text"; - for what comes in a pipe',
)
@options.releases_of
@click.option("--variant", metavar="V", help="the variant to use, such as int8 (the one that phones run)")
@click.option(
    "--explain", is_flag=True, help="show all variants, and for a photo write a picture of what matters"
)
@click.option(
    "--encoding", default="", metavar="NAME", help="the encoding of a text file, as an import has it"
)
@options.as_json
def predict(
    files: Sequence[str], place: Place, variant: str | None, explain: bool, encoding: str, as_json: bool
) -> int:
    """Predicts the labels of photos, rows and texts with the model in production, as a phone would."""
    last, root, model = resolve_place(place)
    release = store.get(root, model)
    outlook = foresee_phone(root, model, find_public_keys(last, root, place.workspace))
    if outlook.does == "refuses":
        note(outlook.sentence)
    bundle = load_bundle(release.manifest, release.read, variant, explain)
    check_kind(bundle)

    clipped: Counter[str] = Counter()
    with TemporaryDirectory() as scratch:
        sources = [source for name in files for source in find_sources(name, bundle.contract, Path(scratch))]
        answers = _predict_sources(sources, bundle, clipped, encoding)
        if as_json:
            failed = _print_json(list(answers), bundle, explain)
            return 1 if failed else 0
        note(f"{model} {release.version}: {' '.join(list_terms(release.manifest))}")
        if any(map(os.path.isdir, files)) and not explain:
            failed = _print_csv(answers, bundle)
        else:
            failed = _print_lines(answers, bundle, explain)

    numbers = {number["name"]: number for number in bundle.contract.get("numbers", ())}
    for name, rows in clipped.most_common():
        low, high = numbers[name]["low"], numbers[name]["high"]
        where = f"{rows:,} rows" if rows > 1 else "one row"
        note(f"{name} is beyond {low:g} to {high:g}, its range in training, in {where}; it was clipped.")
    return 1 if failed else 0


def _predict_sources(
    sources: Sequence[Path | Input], bundle: Bundle, clipped: Counter[str], encoding: str
) -> Iterator[Answered]:
    """Yields the answers, and counts in `clipped` the rows in which each number is clipped."""
    for source in _track(sources):
        shown = source.place if isinstance(source, Input) else str(source)
        has_examples = False
        try:
            for example in read_inputs(source, bundle.contract, encoding):
                has_examples = True
                clipped.update(example.clipped)
                yield answer(example, bundle)
            if not has_examples:
                rows = bundle.contract.get("readings", 1)
                yield Input(shown, problem=f"It has too few rows: an answer is of {rows:,}."), None
        except (EdgelineError, OSError) as error:
            if len(sources) == 1:
                raise
            problem = error.found if isinstance(error, EdgelineError) else error.strerror or str(error)
            yield Input(shown, problem=problem), None


def _track(sources: Sequence[Path | Input]) -> Iterable[Path | Input]:
    """Shows the progress through several files on a terminal."""
    if len(sources) < 2 or not sys.stderr.isatty():
        return sources
    from rich.console import Console
    from rich.progress import track

    return track(sources, "predicting", console=Console(stderr=True), transient=True)


def _print_lines(answers: Iterable[Answered], bundle: Bundle, explain: bool) -> int:
    problems: dict[str, list[Input]] = {}
    pictures: set[Path] = set()
    for example, answered in answers:
        if answered is None:
            problems.setdefault(example.fault or example.problem, []).append(example)
            continue
        (label, score), *others = answered.ranked.items()
        rest = ", ".join(f"{name} {value:.2f}" for name, value in others[:4])
        text = f"{example.place}: {label} {score:.2f}" + (f"  ({rest})" if rest else "")
        if answered.is_unlike:
            text += f"  unlike what it was trained on ({answered.unlike:.2f})"
        say(text)
        if explain:
            for line in _explain(example, answered, bundle, pictures):
                say(f"  {line}")
    for first, *more in problems.values():
        note(f"{first.place}: {first.problem}")
        if more:
            places = ", ".join(example.place for example in more[: _MOST_PLACES - 1])
            end = ", ..." if len(more) >= _MOST_PLACES else ""
            note(f"  {len(more)} more with this problem: {places}{end}")
    return sum(map(len, problems.values()))


def _explain(example: Input, answered: Answer, bundle: Bundle, pictures: set[Path]) -> Iterator[str]:
    tensor, scores = answered.tensor, answered.scores
    values = f"{tensor.min():g} to {tensor.max():g}, mean {tensor.mean():.4g}"
    yield f"read as {tensor.dtype} {list(tensor.shape)}, {values}"
    width = max(map(len, bundle.labels))
    yield " " * width + "".join(f"{name:>9}" for name in scores)
    for number, label in enumerate(bundle.labels):
        yield f"{label:<{width}}" + "".join(f"{values[0, number]:>9.4f}" for values in scores.values())
    if (path := _write_picture(example, answered, bundle, pictures)) is not None:
        yield f"{path}: the photo, the input of the model, and in red what the answer depends on"


def _write_picture(example: Input, answered: Answer, bundle: Bundle, pictures: set[Path]) -> Path | None:
    """Writes the picture that explains a photo's answer into the current folder; None for other examples.

    `pictures` are the paths that were written before.
    """
    if bundle.contract.get("kind", "image") != "image":
        return None
    from edgeline.edge.explain import draw_picture, measure_occlusion

    name, model = next(iter(bundle.models.items()))
    drops = measure_occlusion(model.predict, answered.tensor, int(answered.scores[name][0].argmax()))
    stem = Path(example.place).stem
    names = (Path(f"{stem}{end}.explained.png") for end in chain([""], (f"-{n}" for n in count(2))))
    path = next(name for name in names if name not in pictures)
    pictures.add(path)
    write_bytes(path, draw_picture(example.content, answered.tensor, drops))
    return path


def _print_csv(answers: Iterable[Answered], bundle: Bundle) -> int:
    failed = 0

    def list_rows() -> Iterator[Sequence[object]]:
        nonlocal failed
        also = ["unlike"] if bundle.has_unlike else []
        yield "input", "label", "probability", *bundle.labels, *also, "problem"
        for example, answered in answers:
            if answered is None:
                yield example.place, "", "", *("" for _ in (*bundle.labels, *also)), example.problem
                failed += 1
                continue
            label, probability = next(iter(answered.ranked.items()))
            shares = (answered.ranked[name] for name in bundle.labels)
            yield example.place, label, probability, *shares, *(answered.unlike for _ in also), ""

    rows: Iterable[Sequence[object]] = list_rows()
    if sys.stdout.isatty():
        rows = ([make_visible(str(cell)) for cell in row] for row in rows)
    write_rows(sys.stdout, rows)
    return failed


def _print_json(answers: Sequence[Answered], bundle: Bundle, explain: bool) -> int:
    entries = []
    pictures = set[Path]()
    for example, answered in answers:
        entry: dict[str, Any] = {"input": example.place, "problem": example.problem or None}
        if example.clipped:
            entry["clipped"] = example.clipped
        if answered is not None:
            entry |= {"label": next(iter(answered.ranked)), "probabilities": answered.ranked}
            if answered.unlike is not None:
                entry["unlike"] = answered.unlike
            if explain:
                entry["variants"] = {
                    name: dict(zip(bundle.labels, map(float, scores[0]), strict=True))
                    for name, scores in answered.scores.items()
                }
                path = _write_picture(example, answered, bundle, pictures)
                entry["picture"] = None if path is None else str(path)
        entries.append(entry)

    manifest = bundle.manifest
    about = {"model": manifest.model, "version": manifest.version, "variant": next(iter(bundle.models))}
    print_json(
        {**about, **{key: getattr(manifest, key) for key in ("signed_by", *TERMS)}, "answers": entries}
    )
    return sum(answered is None for _, answered in answers)

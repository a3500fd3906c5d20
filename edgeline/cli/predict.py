"""`edgeline predict`: what the model in production says of photos, rows and texts, as a phone would."""

import csv
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import click

from edgeline.cli import options
from edgeline.cli.commands import Command
from edgeline.cli.releases import TERMS, resolve_place
from edgeline.cli.stdout import note, print_json, say
from edgeline.errors import EdgelineError
from edgeline.prediction.bundle import Answer, Bundle, load_bundle, rank_labels
from edgeline.prediction.bundle import predict as predict_example
from edgeline.prediction.inputs import Input, find_inputs, read_inputs
from edgeline.release import store
from edgeline.release.acceptance import terms
from edgeline.release.layout import PushFolder
from edgeline.release.verify import nothing_of
from edgeline.report.records import write_file
from edgeline.store.locations import locate
from edgeline.workspace.known_runs import Place

_MOST_PLACES = 3  # named for one kind of problem


@click.command(cls=Command)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", help="photos, tables, texts, or folders")
@options.releases_of
@click.option("--variant", metavar="V", help="the variant to use, such as int8 (the one that phones run)")
@click.option(
    "--explain", is_flag=True, help="show all variants, and for a photo write a picture of what matters"
)
@options.as_json
def predict(files: Sequence[str], place: Place, variant: str | None, explain: bool, as_json: bool) -> int:
    """Predicts the labels of photos, rows and texts with the model in production, as a phone would."""
    _, root, model = resolve_place(place)
    release = store.current(root, model)
    if release is None:
        raise nothing_of(PushFolder(locate(root)), model)
    bundle = load_bundle(release, variant, explain)
    places = [Path(name) for name in files]
    paths = [path for each in places for path in find_inputs(each, bundle.contract)]
    clipped: Counter[str] = Counter()
    answers = _count_clipped(_predict_files(paths, bundle), clipped)
    if as_json:
        failed = _print_json(list(answers), bundle, explain)
        return 1 if failed else 0
    note(f"{model} {release.version}: {' '.join(terms(release.manifest))}")
    if any(path.is_dir() for path in places) and not explain:
        failed = _print_csv(answers, bundle)
    else:
        failed = _print_lines(answers, bundle, explain)
    numbers = {number["name"]: number for number in bundle.contract.get("numbers", ())}
    for name, rows in clipped.most_common():
        low, high = numbers[name]["low"], numbers[name]["high"]
        where = f"{rows:,} rows" if rows > 1 else "one row"
        note(f"{name} is beyond {low:g} to {high:g}, its range in training, in {where}; it was clipped.")
    return 1 if failed else 0


def _count_clipped(answers: Iterable[Answer], clipped: Counter[str]) -> Iterator[Answer]:
    """Counts the rows in which each number is clipped, while the answers pass."""
    for answer in answers:
        clipped.update(answer.input.clipped)
        yield answer


def _predict_files(paths: Sequence[Path], bundle: Bundle) -> Iterator[Answer]:
    for path in _track(paths):
        try:
            for each in read_inputs(path, bundle.contract):
                yield predict_example(each, bundle)
        except (EdgelineError, OSError) as error:
            if len(paths) == 1:
                raise
            problem = error.found if isinstance(error, EdgelineError) else error.strerror or str(error)
            yield Answer(Input(str(path)), problem=problem)


def _track(paths: Sequence[Path]) -> Iterable[Path]:
    """Shows the progress through several files on a terminal."""
    if len(paths) < 2 or not sys.stderr.isatty():
        return paths
    from rich.console import Console
    from rich.progress import track

    return track(paths, "predicting", console=Console(stderr=True), transient=True)


def _print_lines(answers: Iterable[Answer], bundle: Bundle, explain: bool) -> int:
    problems: dict[str, list[Answer]] = {}
    pictures: set[Path] = set()
    for answer in answers:
        if answer.scores is None:
            problems.setdefault(answer.input.fault or answer.problem, []).append(answer)
            continue
        (label, score), *others = rank_labels(answer, bundle).items()
        rest = ", ".join(f"{name} {value:.2f}" for name, value in others[:4])
        say(f"{answer.input.place}: {label} {score:.2f}" + (f"  ({rest})" if rest else ""))
        if explain:
            for line in _explain(answer, bundle, pictures):
                say(f"  {line}")
    for first, *more in problems.values():
        note(f"{first.input.place}: {first.problem}")
        if more:
            places = ", ".join(answer.input.place for answer in more[: _MOST_PLACES - 1])
            end = ", ..." if len(more) >= _MOST_PLACES else ""
            note(f"  {len(more)} more with this problem: {places}{end}")
    return sum(map(len, problems.values()))


def _explain(answer: Answer, bundle: Bundle, pictures: set[Path]) -> Iterator[str]:
    tensor, scores = answer.tensor, answer.scores
    assert tensor is not None and scores is not None
    values = f"{tensor.min():g} to {tensor.max():g}, mean {tensor.mean():.4g}"
    yield f"read as {tensor.dtype} {list(tensor.shape)}, {values}"
    width = max(map(len, bundle.labels))
    yield " " * width + "".join(f"{name:>9}" for name in scores)
    for number, label in enumerate(bundle.labels):
        yield f"{label:<{width}}" + "".join(f"{each[0, number]:>9.4f}" for each in scores.values())
    if (path := _write_picture(answer, bundle, pictures)) is not None:
        yield f"{path}: the photo, the input of the model, and in red what the answer depends on"


def _write_picture(answer: Answer, bundle: Bundle, pictures: set[Path]) -> Path | None:
    """Writes the picture that explains a photo's answer into the current folder; None for other examples.

    `pictures` are the paths that were written before.
    """
    if bundle.contract.get("kind", "image") != "image":
        return None
    from edgeline.edge.explain import occlusion, picture

    assert answer.tensor is not None and answer.scores is not None
    name, model = next(iter(bundle.models.items()))
    drops = occlusion(model.predict, answer.tensor, int(answer.scores[name][0].argmax()))
    stem = Path(answer.input.place).stem
    names = (Path(f"{stem}{end}.explained.png") for end in chain([""], (f"-{n}" for n in count(2))))
    path = next(name for name in names if name not in pictures)
    pictures.add(path)
    write_file(path, picture(answer.input.content, answer.tensor, drops))
    return path


def _print_csv(answers: Iterable[Answer], bundle: Bundle) -> int:
    writer, failed = csv.writer(sys.stdout, lineterminator="\n"), 0
    writer.writerow(("input", "label", "probability", *bundle.labels, "problem"))
    for answer in answers:
        if answer.scores is None:
            writer.writerow((answer.input.place, "", "", *("" for _ in bundle.labels), answer.problem))
            failed += 1
            continue
        probabilities = rank_labels(answer, bundle)
        label, probability = next(iter(probabilities.items()))
        each = (probabilities[name] for name in bundle.labels)
        writer.writerow((answer.input.place, label, probability, *each, ""))
    return failed


def _print_json(answers: Sequence[Answer], bundle: Bundle, explain: bool) -> int:
    entries, pictures = [], set[Path]()
    for answer in answers:
        entry: dict[str, Any] = {"input": answer.input.place, "problem": answer.problem or None}
        if answer.input.clipped:
            entry["clipped"] = answer.input.clipped
        if answer.scores is not None:
            probabilities = rank_labels(answer, bundle)
            entry |= {"label": next(iter(probabilities)), "probabilities": probabilities}
            if explain:
                entry["variants"] = {
                    name: dict(zip(bundle.labels, map(float, scores[0]), strict=True))
                    for name, scores in answer.scores.items()
                }
                entry["picture"] = (
                    str(path) if (path := _write_picture(answer, bundle, pictures)) is not None else None
                )
        entries.append(entry)
    release = bundle.release
    about = {"model": release.model, "version": release.version, "variant": next(iter(bundle.models))}
    terms_of_release = {key: getattr(release.manifest, key) for key in TERMS}
    print_json({**about, **terms_of_release, "answers": entries})
    return sum(answer.scores is None for answer in answers)

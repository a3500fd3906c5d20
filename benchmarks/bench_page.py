"""The page for phones: seconds to the first answer, and inference beside the interpreter's, in Chromium.

    python -m benchmarks.bench_page PUSH_FOLDER MODEL [--visits N]

Each visit is the first one of a new browser profile: it loads the page, checks the release, runs its golden
vectors and answers an example, from a server on this machine. Inference is the median of the golden vectors,
as the page shows it, beside the median of the same file on one thread of the interpreter, measured before and
after each visit. It needs a built page (`make phone`) and Chromium.
"""

import argparse
import re
import shutil
import statistics
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgeline.edge.interpreter import EdgeModel
from edgeline.phone.site import Site
from edgeline.release.layout import PushFolder
from edgeline.store.locations import locate

_INFERENCE = re.compile(r"Median inference ([\d.]+) ms")
_RUNS = 50
_LINE = "first answer {:.2f} s, inference {:.2f} ms, interpreter {:.2f} ms: {:.2f}"


def time_interpreter(file: Path) -> float:
    """Returns the median milliseconds of one example on one thread."""
    model, times = EdgeModel(file), []
    example = np.zeros((1, *model.input_shape), np.float32)
    for _ in range(_RUNS):
        began = time.perf_counter()
        model.predict(example)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def visit(browser: Any, url: str) -> tuple[float, float]:
    """Returns the seconds to the first answer, and the milliseconds of inference that the page shows."""
    context = browser.new_context(locale="en-US")
    page, began = context.new_page(), time.monotonic()
    page.goto(url)
    page.click("#example")  # it waits until a release is there
    if page.is_visible("#go"):
        page.click("#go")
    page.wait_for_selector("#answer:not([hidden])")
    seconds, details = time.monotonic() - began, page.text_content("#details")
    context.close()
    match = _INFERENCE.search(details)
    assert match, details
    return seconds, float(match[1])


def main() -> None:
    """Prints one line for each visit, and the medians."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("push", metavar="PUSH_FOLDER")
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--visits", type=int, default=5)
    options = parser.parse_args()
    site = Site(options.push, options.model)
    file = Path(str(PushFolder(locate(options.push)).edge(options.model)), str(site.manifest.version))
    file /= f"model_{site.manifest.default_variant}.tflite"
    server = site.serve(0, b"")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    visits = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for _ in range(options.visits):
            before = time_interpreter(file)
            seconds, inference = visit(browser, f"http://localhost:{server.server_port}/")
            alone = (before + time_interpreter(file)) / 2
            visits.append((seconds, inference, alone, inference / alone))
            print(_LINE.format(*visits[-1]))
        browser.close()
    server.shutdown()
    medians = [statistics.median(each) for each in zip(*visits, strict=True)]
    print("medians:", _LINE.format(*medians))


if __name__ == "__main__":
    main()

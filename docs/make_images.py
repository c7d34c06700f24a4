"""Make the pictures of the documentation again.

    python docs/make_images.py [DIGITS PYDOC PBMC68K BREAST-CANCER DNA]

These are finished runs of `maskwise pretrain digits` and so on, DNA is that of the tutorial;
without them, they are trained in a temporary folder. Needs Pillow, scanpy and, for the reports,
chromium.
"""

import contextlib
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

from maskwise import cli

DOCS = Path(__file__).resolve().parent
IMAGES = DOCS / "images"
RECIPES = ("digits", "pydoc", "pbmc68k", "breast-cancer")
PATTERNS = ("scattered", "units:2", "block", "inverse-block", "columns")
# The pictures show what was hidden and predicted, and the error or loss at each ratio.
HIDE = "nav, section:not(#samples, #errors) {display: none}"
# Of texts two ratios are enough.
HIDE_TEXT = HIDE + " #samples figure:nth-of-type(n+3) {display: none}"
# Of features, imputation says more than the loss.
HIDE_TABLES = HIDE.replace("#errors", "#imputation") + (
    " #imputation > :not(h2, p, .grid), #imputation figure:nth-of-type(n+3) {display: none}"
)


def patterns(folder: Path) -> None:
    """Stack what `maskwise show-mask` draws of each pattern."""
    sheets = []
    for pattern in PATTERNS:
        path = folder / "pattern.png"
        cli.main(["show-mask", "uniform:0.3,0.8", pattern, "--grid", "14x14", "-o", str(path)])
        with Image.open(path) as image:
            sheets.append(image.convert("RGB").reduce(2))
    width, height = sheets[0].size
    stacked = Image.new("RGB", (width, height * len(sheets)), "white")
    for index, sheet in enumerate(sheets):
        stacked.paste(sheet, (0, index * height))
    save(stacked, IMAGES / "patterns.png")


def report(run: Path, folder: Path, path: Path, style: str = HIDE) -> None:
    """Take a picture of the predictions and the error curve of a run's report."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))))
    page, picture = folder / "report.html", folder / "report.png"
    text = (run / "report.html").read_text("utf-8")
    page.write_text(text.replace("</head>", f"<style>{style}</style></head>"), "utf-8")
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
    profile = f"--user-data-dir={folder / 'profile'}"
    shot = ("--window-size=1000,2400", f"--screenshot={picture}", page.as_uri())
    subprocess.run([browser, *flags, profile, *shot], check=True, capture_output=True)
    with Image.open(picture) as image:
        whole = image.convert("RGB")
    edge = ImageChops.difference(whole, Image.new("RGB", whole.size, whole.getpixel((0, 0))))
    box = edge.getbbox() or (0, 0, *whole.size)
    save(whole.crop((0, 0, whole.width, min(box[3] + 24, whole.height))), path)


def demo(folder: Path) -> None:
    """Run the demo, and keep its picture."""
    runpy.run_path(str(DOCS.parent / "examples/demo.py"))["main"](folder / "demo")
    with Image.open(folder / "demo/demo.png") as image:
        save(image.convert("RGB"), IMAGES / "demo.png")


def tutorial(page: Path, folder: Path) -> Path:
    """Run the first snippet and the first command of a tutorial; return its run."""
    exec(blocks(page, "python")[0], {})
    words = shlex.split(blocks(page, "bash")[0].replace("\\\n", " "))
    if cli.main(words[1:]):
        sys.exit(1)
    return folder / words[words.index("--out") + 1]


def drawing(page: Path, name: str) -> None:
    """Run the snippets of a tutorial up to the one that draws a picture."""
    namespace: dict = {}
    for snippet in blocks(page, "python"):
        exec(snippet, namespace)
        if Path(name).exists():
            break
    with Image.open(name) as image:
        save(image.convert("RGB"), IMAGES / name)


def blocks(page: Path, language: str) -> list[str]:
    """Return the blocks of a page in a language."""
    fence = rf"^```{language}\n(.*?)^```"
    return re.findall(fence, page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def save(image: Image.Image, path: Path) -> None:
    """Write a PNG with a palette, which is small."""
    image.quantize(256).save(path, optimize=True)


def main() -> None:
    """Make every picture."""
    runs = [Path(word).resolve() for word in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as temporary, contextlib.chdir(temporary):
        folder = Path(temporary)
        if not runs:
            for name in RECIPES:
                runs.append(folder / name)
                if cli.main(["pretrain", name, "--out", str(runs[-1])]):
                    sys.exit(1)
            runs.append(tutorial(DOCS / "tutorial-dna.md", folder))
        patterns(folder)
        demo(folder)
        report(runs[0], folder, IMAGES / "report.png")
        report(runs[1], folder, IMAGES / "report-text.png", HIDE_TEXT)
        report(runs[2], folder, IMAGES / "report-cells.png", HIDE_TABLES)
        report(runs[3], folder, IMAGES / "report-tables.png", HIDE_TABLES)
        report(runs[4], folder, IMAGES / "report-dna.png", HIDE_TEXT)
        (folder / "runs").mkdir(exist_ok=True)
        (folder / "runs/pbmc").symlink_to(runs[2])  # where the tutorial has it
        drawing(DOCS / "tutorial-cells.md", "cells.png")
        drawing(DOCS / "tutorial-tables.md", "table.png")


if __name__ == "__main__":
    main()

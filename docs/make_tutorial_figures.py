"""Make the pictures of the tutorials on incomplete tables again: what their pages save.

python docs/make_tutorial_figures.py [clinic sensor survey]
"""

import contextlib
import re
import shutil
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PAGES = ("clinic", "sensor", "survey")
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def main(names: list[str]) -> None:
    """Run the pages, and keep the pictures that they save."""
    for name in names:
        code = "\n".join(BLOCK.findall((DOCS / f"tutorial-{name}.md").read_text("utf-8")))
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            exec(compile(code, f"tutorial-{name}.md", "exec"), {})
            for picture in Path(folder).glob("*.png"):
                shutil.copy(picture, DOCS / "images" / picture.name)


if __name__ == "__main__":
    main(sys.argv[1:] or list(PAGES))

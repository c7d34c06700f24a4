"""The page of a real run of each kind of data."""

import re

import pytest

from maskwise.report import write
from tests.report.conftest import KINDS, section

COMMON = ("numbers", "training", "samples", "errors", "likelihood")
END = ("law", "configuration", "environment")
MIDDLE = {
    "images": ("probes", "features"),
    "text": ("probes", "features", "pairs", "finetuning"),
    "dna": ("probes", "features"),
    "cells": ("imputation", "asking", "probes", "features", "clusters"),
    "tables": ("imputation", "asking", "probes", "features", "clusters"),
}
# What is not said of a kind of data.
NEVER = {
    "images": ("hidden token", "gene", "cells seen"),
    "text": ("image", "pixel", "patch", "cells seen"),
    "dna": ("image", "pixel", "patch", "texts"),
    "cells": ("image", "pixel", "patch", "token"),
    "tables": ("image", "pixel", "patch", "token", "gene"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_of_a_run(trained, tmp_path, kind):
    page = write([trained(kind)], tmp_path / "page.html").read_text("utf-8")
    assert tuple(re.findall(r'<section id="(\w+)"', page)) == (*COMMON, *MIDDLE[kind], *END)
    assert f"maskwise likelihood {trained(kind)}" in section(page, "likelihood")
    assert page.count('class="missing"') <= 2  # likelihood; few samples
    said = page[page.index("<body>") : page.index('<section id="configuration"')]
    for word in NEVER[kind]:
        assert word not in re.sub(r'src="[^"]*"', "", said)

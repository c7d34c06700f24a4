"""The five kinds of data pass what a new one must, each on a small run of its own."""

import numpy as np
import pytest

from benchmarks.golden_cases import CASES, COMMON
from maskwise.modalities import KINDS, find
from tests.kind_conformance import check

# What of the golden runs is small for each kind.
CASE_OF = {
    "images": "pictures",
    "text": "texts-words",
    "dna": "dna-equivariant",
    "cells": "cells",
    "tables": "table",
}
NEEDED = {"text": "tokenizers", "cells": "anndata", "tables": "pandas"}


def test_no_kind_is_left_out():
    assert CASE_OF.keys() == KINDS.keys()


@pytest.mark.parametrize("name", CASE_OF)
def test_a_kind_conforms(name, tmp_path, monkeypatch):
    if name in NEEDED:
        pytest.importorskip(NEEDED[name])
    monkeypatch.chdir(tmp_path)  # cases write what they need
    case = CASES[CASE_OF[name]]
    settings = {**COMMON, **case.settings, "train.steps": 6, "train.log_every": 1}
    run = check(find(name), case.data(), settings, tmp_path, monkeypatch)
    features = run.embed(case.samples())
    assert features.ndim == 2
    assert np.isfinite(features).all()

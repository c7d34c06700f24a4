"""What a run does for each kind of data: load, describe, evaluate, measure.

A new modality is one file with these functions and one line in `PIPELINES`.
"""

from maskwise.cells import record as cells
from maskwise.dna import record as dna
from maskwise.images import record as images
from maskwise.pipeline import Pipeline
from maskwise.tables import record as tables
from maskwise.text import record as text

PIPELINES: dict[str, Pipeline] = {
    "images": images.PIPELINE,
    "text": text.PIPELINE,
    "dna": dna.PIPELINE,
    "cells": cells.PIPELINE,
    "tables": tables.PIPELINE,
}

__all__ = ["PIPELINES", "Pipeline"]

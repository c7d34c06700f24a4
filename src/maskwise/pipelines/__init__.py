"""What a run does for each kind of data: load, describe, evaluate, measure.

A new modality is one file with these functions and one line in `PIPELINES`.
"""

from maskwise.pipelines import cells, dna, images, tables, text
from maskwise.pipelines.base import Pipeline

PIPELINES: dict[str, Pipeline] = {
    "images": images.PIPELINE,
    "text": text.PIPELINE,
    "dna": dna.PIPELINE,
    "cells": cells.PIPELINE,
    "tables": tables.PIPELINE,
}

__all__ = ["PIPELINES", "Pipeline"]

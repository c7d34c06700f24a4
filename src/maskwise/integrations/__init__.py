"""Other libraries: transformers (`hf`), scikit-learn (`sklearn`) and scverse (`scverse`)."""

from maskwise.integrations import hf

__all__ = ["hf"]

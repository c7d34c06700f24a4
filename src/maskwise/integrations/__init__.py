"""Other libraries: models come from them and go to them, and their training takes our masks."""

from maskwise.integrations import hf

__all__ = ["hf"]

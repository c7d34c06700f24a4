"""Hugging Face's transformers: its masked language models, and batches for its Trainer."""

from maskwise.integrations.hf_collator import DataCollatorForRandomRatioMLM
from maskwise.storage import untrained
from maskwise.text.hf_export import export
from maskwise.text.hf_models import load

__all__ = ["DataCollatorForRandomRatioMLM", "export", "load", "untrained"]

"""Other libraries: their models as `maskwise.likelihood` needs them, batches as theirs do."""

from maskwise.integrations.hf import DataCollatorForRandomRatioMLM, MaskedLM, Tokens

__all__ = ["DataCollatorForRandomRatioMLM", "MaskedLM", "Tokens"]

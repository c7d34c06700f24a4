"""Checks that users call: of an encoder of one's own, before it is trained."""

from maskwise.testing.encoders import EncoderReport, check_encoder

__all__ = ["EncoderReport", "check_encoder"]

"""Reports: one self-contained HTML page from one run folder, or one that compares several."""

from maskwise.report.page import write

__all__ = ["write"]

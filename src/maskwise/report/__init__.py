"""Reports: one self-contained HTML page from one run folder, or one that compares several."""

from maskwise.report.build import write

__all__ = ["write"]

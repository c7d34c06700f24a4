"""Write the page: read the folders, build the sections, fill the template, replace the file."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from maskwise.errors import UserError
from maskwise.files import atomic
from maskwise.report import comparison, folder, single
from maskwise.report.blocks import Section


def write(runs: Sequence[Path], out: Path | None = None) -> Path:
    """Write the report of one run, or of several compared, as one self-contained HTML file.

    Args:
        runs: run folders.
        out: the file to write; by default report.html in the only run's folder, or
            comparison.html beside the first of several.

    Returns:
        The file written.

    Raises:
        UserError: a folder is not a run folder or is damaged, or the file cannot be written.
    """
    if not runs:
        raise UserError("no run folder given; name at least one, as in: maskwise report runs/NAME")
    found = [folder.read(Path(run)) for run in runs]
    if len(found) == 1:
        title, line, sections = found[0].name, single.summary(found[0]), single.sections(found[0])
        target = out or found[0].path / "report.html"
    else:
        title, line = "Comparison", comparison.summary(found)
        sections = comparison.sections(found)
        target = out or found[0].path.parent / "comparison.html"
    with atomic(Path(target)) as temporary:
        temporary.write_text(render(title, line, sections), encoding="utf-8")
    return Path(target)


def render(title: str, summary: str, sections: Sequence[Section]) -> str:
    """Fill the template; every text is escaped."""
    import jinja2

    text = resources.files("maskwise.report").joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(text)
    return template.render(title=title, summary=summary, sections=sections)

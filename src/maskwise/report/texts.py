"""Texts with hidden tokens filled in, as marked-up text."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from maskwise.report.blocks import Figure, Section, number, percent, unmade
from maskwise.report.folder import Run

RIGHT = Markup('<mark class="right" title="{}">{}</mark>')
# The true token is below, so that it can be read without a mouse.
WRONG = Markup(
    '<ruby title="{}"><mark class="wrong">{}</mark><rp> (</rp><rt>{}</rt><rp>)</rp></ruby>'
)
KEY = Markup(
    "The likeliest token stands in the place of each hidden one. {} were predicted right; {} were"
    " predicted wrong, and the true token stands below. Pointing at one shows other guesses."
).format(
    Markup('<mark class="right">Underlined</mark>'), Markup('<mark class="wrong">Dotted</mark>')
)
SIGNS = str.maketrans({"\n": "↵", "\t": "⇥", "\r": "↵"})


def section(run: Run) -> Section:
    """Return the section of one run's page."""
    empty = Section("samples", "Hidden tokens and predictions")
    rows = run.samples.get("rows")
    if not rows:
        return unmade(empty, "samples.json", run.evaluate_command)
    # Bases stand below each other.
    kind = "tokens bases" if run.modality == "dna" else "tokens"
    drawn = [_figure(rows, place, kind) for place in range(len(rows[0]["masks"]))]
    return Section(empty.slug, empty.title, KEY, figures=tuple(drawn))


def _figure(rows: Sequence[Mapping[str, Any]], place: int, kind: str) -> Figure:
    """Return the rows hidden at one ratio."""
    masks = [row["masks"][place] for row in rows]
    tokens = [token for mask in masks for token in mask["hidden"]]
    right = sum(token["right"] for token in tokens)
    total = sum(len(pieces) for row in rows for pieces in row["documents"])
    body = Markup("").join(
        Markup('<div class="{}">{}</div>').format(kind, _row(row["documents"], mask["hidden"]))
        for row, mask in zip(rows, masks, strict=True)
    )
    share = f" ({percent(right / len(tokens))})" if tokens else ""
    caption = (
        f"{number(len(tokens))} of {number(total)} tokens are hidden; {number(right)} of them"
        f"{share} are predicted right."
    )
    return Figure(body, caption, f"Ratio {masks[0]['ratio']:.2f}")


def _row(documents: Sequence[Sequence[str]], hidden: Sequence[Mapping[str, Any]]) -> Markup:
    """Return documents, a paragraph each, with what is predicted in the hidden places."""
    filled = {token["place"]: token for token in hidden}
    paragraphs, place = [], 0
    for pieces in documents:
        parts = []
        for number_in, piece in enumerate(pieces):
            shown = piece if number_in else piece.lstrip(" ")
            found = filled.get(place)
            parts.append(escape(shown) if found is None else _marked(shown, found))
            place += 1
        paragraphs.append(Markup("<p>{}</p>").format(Markup("").join(parts)))
    return Markup("").join(paragraphs)


def _marked(piece: str, token: Mapping[str, Any]) -> Markup:
    """Return the guess in place of a hidden token, between the white space of the text."""
    guess = token["guesses"][0][0]
    blank = piece.isspace()
    before = "" if blank else piece[: len(piece) - len(piece.lstrip(" "))]
    after = piece if blank and "\n" in piece else ""
    # Tokens that differ in white space alone must not look alike.
    alike = not token["right"] and guess.strip() == piece.strip()
    told = ", ".join(f"{_plain(text, spaces=False)} {percent(p)}" for text, p in token["guesses"])
    true = _plain(piece, spaces=alike)
    told += f"; true: {true} {percent(token['probability'])}"
    if token["right"]:
        return before + RIGHT.format(told, true) + after
    return before + WRONG.format(told, _plain(guess, spaces=alike), true) + after


def _plain(piece: str, *, spaces: bool) -> str:
    """Make white space visible: where asked for, and where there is nothing else.

    >>> _plain(" cat", spaces=False), _plain(" cat", spaces=True), _plain(" ", spaces=False)
    ('cat', '␣cat', '␣')
    """
    text = piece.translate(SIGNS)
    if spaces or not text.strip():
        return text.replace(" ", "␣") or "\N{REPLACEMENT CHARACTER}"
    return text.strip()

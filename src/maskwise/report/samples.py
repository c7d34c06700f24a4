"""Held-out samples with hidden parts filled in: pictures, marked tokens, or a map of rows."""

import base64
import io
import itertools
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape

from maskwise.report.blocks import Figure, Section, number, say, unmade, written
from maskwise.report.curves import target_of
from maskwise.report.figures import BLUE, CYCLE, INK, Axes, legend, plain, svg
from maskwise.report.folder import Row, RunFolder

Shown = tuple[str, list[Figure]]
"""what is said above, and what is shown"""
MOST = 8  # pictures
# Slate rather than neutral: on grey images a hidden patch must not pass for a grey one.
HIDDEN_COLOR = np.array([0.47, 0.53, 0.64])
STRIP = Markup('<div class="strip"><span>{}</span><img src="{}" alt="{}"></div>')
TOKENS = Markup('<div class="{}">{}</div>')
RIGHT = Markup('<mark class="right" title="{}">{}</mark>')
# The true token is below, so that it can be read without a mouse.
WRONG = Markup(
    '<ruby title="{}"><mark class="wrong">{}</mark><rp> (</rp><rt>{}</rt><rp>)</rp></ruby>'
)
SIGNS = str.maketrans({"\n": "↵", "\t": "⇥", "\r": "↵"})
MARKERS = ("o", "^", "s")
MOST_CLASSES = 18  # that have a look of their own


def sections(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the section of one run's page; a comparison, or data shown in no way, has none."""
    shown = runs[0].words.shown
    if len(runs) > 1 or not shown:
        return []
    [run] = runs
    title, file, key, show = SHOW[shown]
    if not len(run.samples.get(key, ())):
        return [Section("samples", title, **unmade(runs, file, lambda run: False))]
    text, drawn = show(run)
    return [Section("samples", title, text, figures=drawn)]


def _pictures(run: RunFolder) -> Shown:
    """Show each ratio: originals, masked, and the hidden patches filled in.

    samples.npz has images [n, H, W, C] in [0, 1]; ratios [R]; hidden [R, n, H, W]; filled_visible
    and filled_true [R, n, H, W, C].
    """
    found, target = run.samples, target_of(run)
    texts = [say("samples", "pictures", target=target)]
    # A raw target needs no patch statistics.
    if target == "normalised":
        texts.append(say("samples", "normalised"))
    channels = found["images"].shape[-1]
    if channels not in (1, 3):
        shown = "3 are" if channels > 3 else "1 is"
        texts.append(say("samples", "channels", channels=channels, shown=shown))
    images, drawn = _rgb(found["images"][:MOST]), []
    for index, ratio in enumerate(found["ratios"]):
        hidden = found["hidden"][index][:MOST, ..., None]
        rows = {"original": images, "masked": np.where(hidden, HIDDEN_COLOR, images)}
        filled = {"predicted" if target == "raw" else say("samples", "visible"): "filled_visible"}
        if target != "raw":
            filled[f"predicted; {say('samples', 'leak')}"] = "filled_true"
        rows |= {name: _rgb(found[key][index][:MOST]) for name, key in filled.items()}
        body = Markup("").join(
            STRIP.format(name, png_uri(strip), f"{len(strip)} images at ratio {ratio:.2f}: {name}")
            for name, strip in rows.items()
        )
        caption = say("samples", "patches", share=written(float(hidden.mean()), "%"))
        drawn.append(Figure(body, caption, f"Ratio {ratio:.2f}"))
    return " ".join(texts), drawn


def png_uri(images: np.ndarray) -> str:
    """Return images [n, H, W, 3] in [0, 1] side by side, with clear gaps, as a PNG data URI.

    Pixels are repeated up to at least 64 a side, so that viewers which smooth stay sharp.
    """
    from matplotlib.image import imsave

    times = max(1, -(-64 // max(images.shape[1:3])))
    opaque = np.concatenate([images, np.ones_like(images[..., :1])], axis=-1)
    large = opaque.repeat(times, axis=1).repeat(times, axis=2)
    gap = max(2, large.shape[2] // 12)
    sheet = np.hstack([*np.pad(large, [(0, 0), (0, 0), (0, gap), (0, 0)])])[:, :-gap]
    data = io.BytesIO()
    pixels = (sheet * 255).round().astype(np.uint8)
    imsave(data, pixels, format="png", metadata={"Software": "maskwise"})
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def _rgb(images: np.ndarray) -> np.ndarray:
    """Three display channels of [..., C]: the first three, or the first as grey."""
    channels = images[..., :3] if images.shape[-1] >= 3 else images[..., :1].repeat(3, axis=-1)
    return np.clip(np.nan_to_num(channels.astype(float)), 0, 1)


def _tokens(run: RunFolder) -> Shown:
    """Show each ratio: documents, with guesses in the places of hidden tokens."""
    rows, drawn = run.samples["rows"], []
    kind = "tokens bases" if run.words.aligned else "tokens"
    total = number(sum(len(pieces) for row in rows for pieces in row["documents"]))
    for masks in zip(*(row["masks"] for row in rows), strict=True):
        tokens = [token for mask in masks for token in mask["hidden"]]
        right = sum(token["right"] for token in tokens)
        body = Markup("").join(
            TOKENS.format(kind, _paragraphs(row["documents"], mask["hidden"]))
            for row, mask in zip(rows, masks, strict=True)
        )
        share = f" ({written(right / len(tokens), '%')})" if tokens else ""
        counts = {"num": number(len(tokens)), "total": total, "right": number(right)}
        caption = say("samples", "tokens", **counts, share=share)
        drawn.append(Figure(body, caption, f"Ratio {masks[0]['ratio']:.2f}"))
    return Markup(say("samples", "key")), drawn


def _paragraphs(documents: Sequence[Sequence[str]], hidden: Sequence[Row]) -> Markup:
    """Return documents, a paragraph each, with what is predicted in the hidden places."""
    filled, places = {token["place"]: token for token in hidden}, itertools.count()
    return Markup("").join(
        Markup("<p>{}</p>").format(
            Markup("").join(
                _marked(piece if index else piece.lstrip(" "), filled.get(next(places)))
                for index, piece in enumerate(pieces)
            )
        )
        for pieces in documents
    )


def _marked(piece: str, token: Row | None) -> Markup:
    """Return the guess in place of a hidden token, between the white space of the text."""
    if token is None:
        return escape(piece)
    guess = token["guesses"][0][0]
    blank = piece.isspace()
    before = "" if blank else piece[: len(piece) - len(piece.lstrip(" "))]
    after = piece if blank and "\n" in piece else ""
    # Tokens that differ in white space alone must not look alike.
    alike = not token["right"] and guess.strip() == piece.strip()
    told = ", ".join(
        f"{_plain(text, spaces=False)} {written(p, '%')}" for text, p in token["guesses"]
    )
    true = _plain(piece, spaces=alike)
    told += f"; true: {true} {written(token['probability'], '%')}"
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


def _rows(run: RunFolder) -> Shown:
    drawn = []
    for name, points in run.samples["points"].items():
        body = _map(f"{name}: two principal components", points, run.samples)
        first, second = (f"{100 * share:.0f} %" for share in run.samples["explained"][name])
        caption = say("samples", "map", first=first, second=second)
        drawn.append(Figure(body, caption, f"{name[0].upper()}{name[1:]}"))
    drawn.append(_filled(run.samples["rows"]))
    return "", drawn


def _map(label: str, points: Sequence[Sequence[float]], found: Row) -> Markup:
    """Draw samples at two coordinates, with a colour and a mark for each class."""
    places = np.array(points, float).reshape(-1, 2)
    classes, labels = found["classes"], np.array(found["labels"] or [-1] * len(places))
    counts = np.bincount(labels[labels >= 0], minlength=1)
    common = np.sort(np.argsort(-counts, kind="stable")[:MOST_CLASSES])
    common = common[counts[common] > 0]
    groups = [
        (_short(str(classes[of])), labels == of, CYCLE[place % 6], MARKERS[place // 6])
        for place, of in enumerate(common)
    ]
    if (rest := ~np.isin(labels, common)).any():
        groups.insert(0, ("other", rest, INK if groups else BLUE, "."))

    def plot(axes: Axes) -> None:
        for name, at, color, marker in groups:
            [dots] = axes.plot(*places[at].T, marker, color=color, alpha=0.75, label=plain(name))
            dots.set(markersize=3, markeredgewidth=0)
        axes.set(xlabel="first", ylabel="second", xticks=[], yticks=[])
        if len(groups) > 1:
            widest = max(len(name) for name, *_ in groups)
            columns = 4 if widest < 10 else 3 if widest < 16 else 2
            legend(axes, len(groups), columns, markerscale=2, fontsize=8, columnspacing=1)

    return svg(label, plot, size=(5.0, 4.6))


def _short(name: str) -> str:
    """Cut a name that would make the legend wider than the figure."""
    return name if len(name) <= 25 else f"{name[:24]}…"


def _filled(found: Row) -> Figure:
    """Draw rows of samples as they are, as they are seen and as they are filled in."""
    true = np.array(found["true"], float)  # None = not measured = NaN
    hidden = np.array(found["hidden"], bool)
    filled = np.where(hidden, np.array(found["predicted"], float), true)
    low = np.nanmin(true, axis=0, initial=np.inf, where=~np.isnan(true))
    high = np.nanmax(true, axis=0, initial=-np.inf, where=~np.isnan(true))
    gap, seen, num = np.full((1, true.shape[1]), np.nan), np.where(hidden, np.nan, true), len(true)
    sheet = (np.concatenate([true, gap, seen, gap, filled]) - low) / np.maximum(high - low, 1e-12)
    sheet = np.ma.masked_invalid(np.clip(sheet, 0, 1))

    def plot(axes: Axes) -> None:
        axes.pcolormesh(sheet, cmap="viridis", vmin=0, vmax=1)
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        names = [plain(_short(name)) for name in found["names"]]
        axes.set_xticks(np.arange(len(names)) + 0.5, names, rotation=40, ha="right", fontsize=8)
        middles = [place * (num + 1) + num / 2 for place in range(3)]
        axes.set_yticks(middles, ["true", "visible", "filled in"])

    columns = true.shape[1]
    label = f"{num} held-out samples by {columns} features: true, visible and filled in"
    counts = {"rows": num, "columns": columns, "num": number(found["num_features"])}
    caption = say("samples", "rows", **counts, ratio=found["ratio"])
    height = 0.9 + 0.12 * len(sheet)
    return Figure(svg(label, plot, size=(5.0, height)), caption, "Hidden values")


SHOW = {
    "pictures": ("Masks and reconstructions", "samples.npz", "images", _pictures),
    "tokens": ("Hidden tokens and predictions", "samples.json", "rows", _tokens),
    "rows": ("Features and predictions", "samples.json", "rows", _rows),
}

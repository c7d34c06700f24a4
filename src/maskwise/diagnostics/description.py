"""All figures of one set of features, for reports."""

from typing import Any

from maskwise.diagnostics import singular
from maskwise.diagnostics.pairs import energy, mean_cosine, uniformity
from maskwise.diagnostics.reading import read, too_few
from maskwise.diagnostics.spectra import BIAS
from maskwise.errors import UserError


def describe(z: Any) -> dict[str, Any]:
    """Return every figure of features [N, d] that needs no views, by name.

    `num_samples` and `dim`; centred: `effective_rank`, `participation_ratio`, `stable_rank`,
    `alpha_req` (None where it cannot be fitted) and `spectrum` (the d singular values, divided by
    the largest); uncentred: `effective_rank_uncentred`, which is `rankme`, `energy`, `uniformity`
    and `mean_cosine`. `notes` are sentences on what to beware of, instead of warnings.

    Args:
        z: [N, d] features, N >= d.

    Raises:
        UserError: as `spectrum` and `energy`.

    >>> found = describe([[2, 0], [-2, 0], [0, 1], [0, -1]] * 2)
    >>> found["num_samples"], found["dim"], round(found["stable_rank"], 6)
    (8, 2, 1.25)
    """
    x = read(z)
    few = too_few(len(x), x.shape[1], BIAS)
    notes = [few] if few else []
    values = singular.singular_values(x, center=True)
    uncentred = singular.entropy_rank(singular.singular_values(x, center=False))
    try:
        alpha = singular.decay(values)
    except UserError as error:
        alpha = None
        notes.append(str(error))
    return {
        "num_samples": len(x),
        "dim": x.shape[1],
        "effective_rank": singular.entropy_rank(values),
        "effective_rank_uncentred": uncentred,
        "rankme": uncentred,
        "participation_ratio": singular.participation(values),
        "stable_rank": singular.stable(values),
        "alpha_req": alpha,
        "energy": energy(x),
        "uniformity": uniformity(x),
        "mean_cosine": mean_cosine(x),
        "spectrum": (values / values[0]).tolist(),
        "notes": notes,
    }

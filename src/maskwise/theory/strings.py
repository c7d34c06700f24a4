"""Models from strings, for command lines."""

from collections.abc import Callable

from maskwise.errors import UserError
from maskwise.theory.covariance import ar1, latent_factor
from maskwise.theory.spectra import Model, isotropic, power_law, spiked

# Numbers that may be left out have a default in the constructor.
FORMS: dict[str, tuple[str, Callable[..., Model]]] = {
    "isotropic": ("isotropic", isotropic),
    "spiked": (
        "spiked:STRENGTH[,ALIGNMENT]",
        lambda dim, strength, alignment=0.5, **noise: spiked(
            dim, strength, alignment=alignment, **noise
        ),
    ),
    "power_law": (
        "power_law:EXPONENT[,SIGNAL_EXPONENT]",
        lambda dim, exponent, signal=0.0, **noise: power_law(
            dim, exponent, signal_exponent=signal, **noise
        ),
    ),
    "ar1": ("ar1:RHO", ar1),
    "latent_factor": (
        "latent_factor:NUM_FACTORS",
        lambda dim, num, **noise: latent_factor(dim, int(num), **noise),
    ),
}


def parse_model(text: str, dim: int, noise: float = 0.0) -> Model:
    """Read a model of the data whose signal has variance 1.

    Args:
        text: a name and its numbers, as in `FORMS`.
        dim: number of features d.
        noise: variance of the noise in the target.

    Raises:
        UserError: an unknown name, or numbers that make no model, with the valid forms.

    >>> parse_model("spiked:8,1", 4).eigenvalues.tolist()
    [9.0, 1.0, 1.0, 1.0]
    """
    name, _, arguments = text.partition(":")
    if name not in FORMS:
        known = ", ".join(form for form, _ in FORMS.values())
        raise UserError(f"unknown spectrum '{text}'; spectra are {known}")
    form, build = FORMS[name]
    try:
        numbers = [float(part) for part in arguments.split(",")] if arguments else []
        return build(dim, *numbers, noise=noise)
    except UserError as error:
        raise UserError(f"spectrum '{text}': {error}") from None
    except (TypeError, ValueError):
        raise UserError(f"spectrum '{text}' cannot be read; the form is {form}") from None

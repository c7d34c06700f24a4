"""What only language models do on the command line; see `maskwise.verbs`."""

from typing import TYPE_CHECKING, Annotated

from maskwise.arguments import Arg, Verb

if TYPE_CHECKING:
    from maskwise.text.text import Text
    from maskwise.tokens.model import LanguageModel


def fill(
    run: Annotated[
        "LanguageModel[Text]",
        Arg("a run on texts, or a masked language model of transformers", "RUN", model="own"),
    ],
    text: Annotated[
        str,
        Arg("such as 'the [MASK] sat on the [MASK]', or a file with a text in each row", "TEXT"),
    ],
    *,
    num: Annotated[int, Arg("alternatives of a gap")] = 5,
) -> None:
    """Fill the gaps of a text, or of all texts of a file, a line for each."""
    from maskwise.text.completion import complete, complete_file
    from maskwise.textio import is_there, user_path

    if is_there(user_path(text)):
        for name, filled in complete_file(run, text):
            print(f"{name}\t{filled}")
        return
    found = complete(run, text, num)
    print(found.text)
    for place, gap in enumerate(found.alternatives, start=1):
        # Quotes show whether a token begins a word, with the space in front of it.
        tokens = ", ".join(f"{each.token!r} {each.probability:.1%}" for each in gap)
        print(f"gap {place}: {tokens}")


VERBS: dict[str, Verb] = {"fill": fill}

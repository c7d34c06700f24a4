"""The command line: words to functions."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from maskwise import __version__, commands, theory_commands
from maskwise.errors import UserError
from maskwise.modalities import KINDS


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status: 0, 2 for bad input, 130 when interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("maskwise").setLevel(logging.INFO)
    try:
        dotted, plain = _split(words)
        arguments, rest = _parser().parse_known_args(plain)
        arguments.verb(arguments, _overrides([*dotted, *rest]))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python must not complain when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (UserError, OSError) as error:
        if "--debug" in words:
            raise
        print(f"maskwise: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("maskwise: stopped; continue with the same command and --resume", file=sys.stderr)
        return 130
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="maskwise", description="Masked pretraining with the mask ratio as a law."
    )
    parser.add_argument("--version", action="version", version=f"maskwise {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    verb = _verb(
        verbs, "pretrain", commands.pretrain, "pretrain a model, evaluate it, write a report"
    )
    verb.add_argument("data", metavar="RECIPE-OR-DATA", help="see `maskwise list`")
    verb.add_argument("--modality", choices=KINDS, help="what the data are, if not plain")
    verb.add_argument("--regions", help="a BED file: the parts of DNA to train on")
    verb.add_argument("--law", help="the law of the mask ratio, such as uniform:0.4,0.9")
    verb.add_argument("--out", type=Path, help="the run folder (default: runs/NAME-LAW-SEED)")
    verb.add_argument("--seed", type=int, help="decides weights, order and masks (default: 0)")
    verb.add_argument("--resume", action="store_true", help="continue an interrupted run")
    verb.epilog = "Any other setting: --KEY VALUE, with the keys of `maskwise list settings`."

    verb = _verb(
        verbs, "evaluate", commands.evaluate, "evaluate runs anew, and rewrite their reports"
    )
    verb.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    verb.epilog = "Settings: --evaluate.KEY, --diagnose.KEY and --data.KEY, each with a VALUE."

    _add_likelihood(verbs)

    _add_uses(verbs)

    _add_language(verbs)

    verb = _verb(verbs, "report", commands.report, "write a run's report, or compare several runs")
    verb.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    verb.add_argument("-o", "--out", type=Path, help="an .html file")

    verb = _verb(
        verbs, "list", commands.list_all, "list recipes, laws, patterns and runs, or all settings"
    )
    verb.add_argument("what", nargs="?", choices=["settings"])

    verb = _verb(
        verbs, "show-mask", commands.show_mask, "draw masks in the terminal, and as a PNG"
    )
    verb.add_argument("law", metavar="LAW")
    verb.add_argument("pattern", metavar="PATTERN", nargs="?", default="scattered")
    verb.add_argument("--grid", default="14x14", help="positions along each axis")
    verb.add_argument("--num", type=int, default=4, help="how many masks")
    verb.add_argument("--seed", type=int, default=0)
    verb.add_argument("-o", "--out", type=Path, help="a .png file")

    _add_theory(verbs)
    return parser


def _add_uses(verbs: Any) -> None:
    verb = _verb(verbs, "embed", commands.embed, "write the features of samples")
    verb.add_argument("run", type=Path, metavar="RUN")
    verb.add_argument(
        "data",
        metavar="DATA",
        help="samples (lines of texts, records of DNA), as for pretrain; or a BED file",
    )
    verb.add_argument("--fasta", help="where the regions of a BED file are")
    verb.add_argument(
        "-o", "--out", type=Path, required=True, help="a .npy file; of cells also an .h5ad"
    )
    verb.add_argument("--pool", default="mean", choices=["mean", "class", "both"])
    verb.add_argument("--layer", type=int, default=-1, help="encoder block (default: the last)")

    verb = _verb(verbs, "impute", commands.impute, "fill in missing values of cells or tables")
    verb.add_argument("run", type=Path, metavar="RUN")
    verb.add_argument("data", metavar="DATA", help="an .h5ad file, or a table")
    verb.add_argument(
        "-o", "--out", type=Path, required=True, help="an .h5ad, or a .csv or .parquet file"
    )
    verb.add_argument(
        "--entries",
        default="zeros",
        choices=["zeros", "all"],
        help="of cells: what is replaced (default: zeros, and the rest is kept)",
    )

    verb = _verb(verbs, "variants", commands.variants, "score variants of DNA")
    verb.add_argument("run", type=Path, metavar="RUN")
    verb.add_argument(
        "variants",
        type=Path,
        metavar="VARIANTS",
        help=".vcf, or .tsv or .csv with chrom, pos (from 1), ref and alt; also .gz",
    )
    verb.add_argument("--fasta", type=Path, required=True, help="the genome of the variants")
    verb.add_argument("-o", "--out", type=Path, required=True, help="a .tsv or .tsv.gz file")
    verb.add_argument(
        "--effect", metavar="COLUMN", help="measured effects, to compare the scores with"
    )
    verb.add_argument("--group", metavar="COLUMN", help="compare in each group, such as elements")


def _add_language(verbs: Any) -> None:
    verb = _verb(verbs, "export", commands.export, "write a language model for transformers")
    verb.add_argument("run", type=Path, metavar="RUN")
    verb.add_argument("folder", type=Path, metavar="FOLDER", help="which is new, or empty")

    verb = _verb(verbs, "fill", commands.fill, "fill the gaps of a text")
    verb.add_argument(
        "run", metavar="RUN", help="a run on texts, or a masked language model of transformers"
    )
    verb.add_argument("text", metavar="TEXT", help="such as 'the [MASK] sat on the [MASK]'")
    verb.add_argument("--num", type=int, default=5, help="alternatives of a gap (default: 5)")


def _add_likelihood(verbs: Any) -> None:
    verb = _verb(
        verbs, "likelihood", commands.likelihood, "measure the likelihood of test samples, or text"
    )
    verb.add_argument(
        "runs", nargs="+", metavar="RUN", help="a run, or a masked language model of transformers"
    )
    verb.add_argument("--text", type=Path, help="a text file, for masked language models")
    verb.add_argument("--length", type=int, help="tokens of a window of text (default: 128)")
    verb.add_argument(
        "--untrained", action="store_true", help="also with random weights (with --text)"
    )
    verb.add_argument(
        "--num-samples", type=int, help="test samples (default: 256 images, else 64)"
    )
    verb.add_argument("--passes", type=int, default=64, help="masks of a sample (default: 64)")
    verb.add_argument("--seed", type=int, default=0, help="decides samples and masks")
    verb.add_argument("-o", "--out", type=Path, help="a .png file")
    verb.epilog = "Settings: --data.KEY VALUE."


def _add_theory(verbs: Any) -> None:
    theory = verbs.add_parser("theory", help="what a law costs, before anything is trained")
    theory = theory.add_subparsers(required=True, metavar="risk|advise|graph")

    verb = _verb(
        theory, "risk", theory_commands.risk, "the risk of laws, for a given spectrum of the data"
    )
    verb.add_argument(
        "--spectrum", required=True, help="such as isotropic, spiked:8,0.5, power_law:1 or ar1:0.7"
    )
    verb.add_argument("--law", nargs="+", required=True, help="laws, such as fixed:0.3")
    verb.add_argument("--num-samples", type=_integers, required=True, metavar="N[,N...]")
    verb.add_argument("--dim", type=int, default=400, help="number of features (default: 400)")
    verb.add_argument("--noise", type=float, default=0.2, help="beside a signal of variance 1")
    verb.add_argument("--masks", choices=["static", "fresh"], default="static")
    verb.add_argument("--target-hidden", action="store_true", help="the target is a feature")
    _add_risk_options(verb)

    verb = _verb(
        theory, "advise", theory_commands.advise, "the best ratio for the spectrum of your data"
    )
    verb.add_argument("data", metavar="DATA", help="images, or a table: .csv, .npy or .npz")
    verb.add_argument(
        "--target", metavar="COLUMN", help="what is predicted (default: all in turn)"
    )
    verb.add_argument("--num-samples", type=_integers, metavar="N[,N...]")
    _add_risk_options(verb)
    verb.epilog = "Settings: --data.KEY VALUE."

    _add_graph(theory)


def _add_graph(theory: Any) -> None:
    verb = _verb(
        theory, "graph", theory_commands.graph, "what masks of each ratio make alike in your data"
    )
    verb.add_argument("data", metavar="DATA", help="images, or a table: .csv, .npy or .npz")
    verb.add_argument(
        "--labels", metavar="COLUMN", help="classes in a table (images bring their own)"
    )
    verb.add_argument("--law", nargs="+", default=[], help="laws to compare, such as fixed:0.75")
    verb.add_argument(
        "--ratios", type=_numbers, metavar="R[,R...]", help="to look at (default: up to 15)"
    )
    verb.add_argument(
        "--neighbours", type=float, default=10.0, help="samples that a node joins (default: 10)"
    )
    verb.add_argument("--num-samples", type=int, default=500, help="samples used (default: 500)")
    verb.add_argument("--num-masks", type=int, default=4, help="of each ratio (default: 4)")
    verb.add_argument("--seed", type=int, default=0, help="decides samples and masks")
    verb.add_argument("-o", "--out", type=Path, help="a .png file")
    verb.epilog = "Settings: --data.KEY VALUE."


def _add_risk_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--test-ratio", type=float, default=0.0, help="hidden in testing (default: 0)"
    )
    verb.add_argument("--rescale", action="store_true", help="divide by the share left visible")
    verb.add_argument("--ridge", type=float, default=0.0, help="penalty (default: 0)")
    verb.add_argument("-o", "--out", type=Path, help="a .png file")


def _integers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"'{text}' must be whole numbers, as in 200,800"
        ) from None


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' must be numbers, as in 0.25,0.75") from None


def _verb(verbs: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    verb = verbs.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False
    )
    verb.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )
    verb.set_defaults(verb=run)
    return verb


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take ``--group.key value`` out of the words, so that their order does not matter.

    >>> _split(["pretrain", "--train.steps", "500", "digits", "--resume"])
    (['--train.steps', '500'], ['pretrain', 'digits', '--resume'])
    """
    dotted: list[str] = []
    plain: list[str] = []
    takes_value = False
    for word in words:
        is_key = word.startswith("--") and "." in word.partition("=")[0]
        takes_value &= not word.startswith("--")
        (dotted if is_key or takes_value else plain).append(word)
        takes_value = is_key and "=" not in word
    return dotted, plain


def _overrides(rest: Sequence[str]) -> dict[str, Any]:
    """Read ``--key value`` and ``--key=value`` pairs; a key alone is true.

    >>> _overrides(["--train.steps", "500", "--data.flip", "--data.size=64,48"])
    {'train.steps': '500', 'data.flip': True, 'data.size': '64,48'}
    """
    values: dict[str, Any] = {}
    words = list(rest)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            raise UserError(f"'{word}' is one argument too many: settings are --KEY VALUE")
        key, equals, text = word[2:].partition("=")
        alone = not equals and (not words or words[0].startswith("--"))
        values[key.replace("-", "_")] = True if alone else text if equals else words.pop(0)
    return values


if __name__ == "__main__":
    sys.exit(main())

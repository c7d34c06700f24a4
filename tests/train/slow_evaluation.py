"""The command line with an evaluation that takes longer than devices wait: run by test_cli.py."""

import sys
import time

from maskwise import api
from maskwise.cli import main

measure = api.diagnose


def slowly(*arguments, **options):
    time.sleep(25)
    return measure(*arguments, **options)


if __name__ == "__main__":
    api.diagnose = slowly
    sys.exit(main())

"""``python -m pushforward.datasets [NAME …]``, which is ``make data``: download what is missing, verify what is there.

Without names it does so for every data set that comes as files. Of a tabular set it also compares the score of a
Gaussian with the published one: the one sign that files and preprocessing are those of the papers.
"""

import argparse
import sys

from pushforward.datasets.gaussian import compare
from pushforward.datasets.install import ensure
from pushforward.datasets.registry import EMBEDDED, names
from pushforward.errors import DataError


def main(arguments: list[str] | None = None) -> int:
    """Fetch and verify data sets; returns the exit code, 1 if one of them failed."""
    parser = argparse.ArgumentParser(prog="python -m pushforward.datasets", description=__doc__)
    choices = [name for name in names() if name not in EMBEDDED]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(choices)}; all of them if left out")
    chosen = parser.parse_args(arguments).names or choices
    if unknown := [name for name in chosen if name not in choices]:
        parser.error(f"{unknown[0]} does not come as files, expected some of {', '.join(choices)}")
    failed = False
    for name in chosen:
        try:
            print(ensure(name))
            if words := compare(name):
                print(words)
        except DataError as error:
            failed = True
            print(error, file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

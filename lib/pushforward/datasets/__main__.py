"""``python -m pushforward.datasets``, which is ``make data``: download what is missing, verify what is there."""

import argparse
import sys

from pushforward.datasets.download import ensure
from pushforward.datasets.registry import STAND_INS
from pushforward.errors import DataError


def main(arguments: list[str] | None = None) -> int:
    """Fetch and verify every data set that comes as files; returns the exit code, 1 if one of them failed."""
    argparse.ArgumentParser(prog="python -m pushforward.datasets", description=__doc__).parse_args(arguments)
    failed = False
    for name in STAND_INS:
        try:
            print(ensure(name))
        except DataError as error:
            failed = True
            print(error, file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

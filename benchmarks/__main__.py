"""``python -m benchmarks``: run them one after the other, print their rows, leave them in ``results/bench/``."""

import argparse
import sys
import time

import torch

from benchmarks import ablations, bsds300, closed_form, implicit_step, memory, peers, step_time, time_to_nll
from benchmarks.settings import Settings
from benchmarks.sheet import table
from pushforward.errors import PushforwardError

BENCHMARKS = {
    "time-to-nll": time_to_nll,
    "step-time": step_time,
    "memory": memory,
    "closed-form": closed_form,
    "implicit-step": implicit_step,
    "ablations": ablations,
    "peers": peers,
    "bsds300": bsds300,
}
ON_REQUEST = ("peers", "bsds300")  # six minutes more, and one to two hours


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    defaults = Settings()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, help="run these alone")
    parser.add_argument("--peers", action="store_true", help="other libraries too (about six minutes more)")
    parser.add_argument("--rounds", type=int, default=defaults.rounds, help="turns of each side (%(default)s)")
    parser.add_argument("--budget", type=float, default=defaults.budget, help="baseline's CPU-seconds (%(default)s)")
    options = parser.parse_args(arguments)
    extra = ("peers",) if options.peers else ()
    names = options.only or [name for name in BENCHMARKS if name not in ON_REQUEST or name in extra]
    torch.set_num_threads(1)
    rows = []
    try:
        settings = Settings(rounds=options.rounds, budget=options.budget)
        for name in names:
            start = time.monotonic()
            rows += BENCHMARKS[name].run(settings, lambda line, name=name: print(f"{name}: {line}", flush=True))
            print(f"{name}: done in {time.monotonic() - start:.0f} s", flush=True)
    except PushforwardError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"\n{table(rows)}\nwritten to results/bench/*.csv")
    return 0


if __name__ == "__main__":
    sys.exit(main())

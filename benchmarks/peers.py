"""JKO-iFlow as ``make reproduce`` trains it and zuko's neural spline flow: excess over the entropy by CPU-seconds."""

import math
from collections.abc import Sequence
from dataclasses import asdict

import torch
import yaml
from torch import Tensor, nn

import pushforward as pf
from benchmarks.curve import Curve
from benchmarks.settings import Say, Settings
from benchmarks.sheet import CASE, Sheet
from pushforward import paths
from pushforward.catalogue.settings import family
from pushforward.datasets import Split
from pushforward.families import JKO
from pushforward.metrics import nll
from pushforward.report.results import Row
from pushforward.seeds import seeded, stream

TIMES = (60, 120, 180)  # CPU-seconds of training
SEED = 0
NSF = {"transforms": 5, "bins": 16, "hidden_features": (96, 96)}
BATCH, LR, CLIP = 2000, 2e-3, 5.0  # of the NSF, with a half cosine down to zero at the last time


def run(settings: Settings, say: Say) -> list[Row]:
    """Rows ``<method>/nll-excess-at-<seconds>s``, one seed each."""
    chosen = rose_settings()
    sheet = Sheet("peers", asdict(settings) | {"jko-iflow": chosen, "nsf": NSF, "lr": LR, "batch": BATCH}, [SEED])
    law = pf.distributions.rose()
    split = Split.from_distribution(law, family(JKO, chosen).pool, 20_000, 20_000, SEED)
    truth = float(law.log_prob(split.val).double().mean())
    curves = {"jko-iflow": jko_curve(split, chosen, TIMES), "nsf": nsf_curve(split, TIMES)}
    for method, values in curves.items():
        for seconds, value in zip(TIMES, values, strict=True):
            sheet.add(f"{CASE}/{method}/nll-excess-at-{seconds}s", [value + truth], "nats", "lower", "one seed")
        say(f"{method}: " + ", ".join(f"{v + truth:.3f} at {s} s" for s, v in zip(TIMES, values, strict=True)))
    return sheet.save([split])


def rose_settings() -> dict:
    """The settings of the rose law in the quick profile."""
    given = yaml.safe_load((paths.params("quick") / "01-jko-2d.yml").read_text(encoding="utf-8"))
    return {**given["settings"], **given["overrides"].get("rose", {})}


def jko_curve(split: Split, settings: dict, times: Sequence[float]) -> list[float]:
    """Validation NLL after the last block that is complete at each time: fitted, checked and its points pushed."""
    _, history = pf.train(family(JKO, settings), split, seed=SEED, device="cpu")
    return nll_at(history.stages, times)


def nll_at(stages: Sequence[dict], times: Sequence[float]) -> list[float]:
    """``val_nll`` of the last stage done at each time; the first stage's before that one is done."""
    values = []
    for time in times:
        seconds, value = 0.0, stages[0]["val_nll"]
        for stage in stages:
            seconds += stage["seconds"]
            if seconds <= time and stage.get("kept", True):
                value = stage["val_nll"]
        values.append(value)
    return values


def nsf_curve(split: Split, times: Sequence[float]) -> list[float]:
    """Validation NLL of the spline flow at each time."""
    import zuko  # here, because importing it switches torch's own argument checks off for the whole process

    with seeded(SEED, "bench/nsf"):
        flow = zuko.flows.NSF(split.train.shape[1], **NSF)
    optimizer, generator = torch.optim.Adam(flow.parameters(), LR), stream(SEED, "bench/nsf-batches")
    curve = Curve(lambda: nll(flow(), split.val).value)
    for until in times:
        while (spent := curve.spent()) < until:
            rate = 0.5 * LR * (1 + math.cos(math.pi * spent / times[-1]))
            x = split.train[torch.randint(len(split.train), (BATCH,), generator=generator)]
            _step(flow, -flow().log_prob(x).mean(), optimizer, rate)
        curve.look()
    return curve.nll


def _step(flow: nn.Module, loss: Tensor, optimizer: torch.optim.Optimizer, rate: float) -> None:
    optimizer.param_groups[0]["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(flow.parameters(), CLIP)
    optimizer.step()

"""Peak memory of training block by block against end to end, each training in a process of its own."""

from dataclasses import asdict

from benchmarks.problem import H, rose
from benchmarks.settings import Say, Settings
from benchmarks.sheet import CASE, Sheet, ratios
from pushforward.catalogue.jko_cost import WAYS
from pushforward.families import FFJORD, JKO
from pushforward.fit import FitConfig
from pushforward.peak_memory import training_peak
from pushforward.report.results import Row

BLOCKS = (2, 4, 8, 16)
BATCH = 4000
REPEATS = 2  # at most: the figures repeat to 0.1 %
POOL = 16_000  # training points
ITERATIONS = 2  # every step needs the same memory; the second has Adam's moments too


def family(way: str, blocks: int, batch: int = BATCH) -> JKO | FFJORD:
    """``blocks`` blocks of the paper's network, two RK4 steps each; block by block all with the same step size."""
    fit = FitConfig(ITERATIONS, batch)
    always = {"log_det": "trace", "stop_ratio": 0.0, "stop_on_rise": False}
    return WAYS[way](JKO({"kind": "mlp"}, blocks=blocks, h0=H, growth=1.0, steps=2, fit=fit, **always))


def peak(way: str, blocks: int, batch: int = BATCH) -> float:
    """MiB by which the peak of a fresh process grows in training."""
    return training_peak(family(way, blocks, batch), rose(POOL, 1).train, ITERATIONS)


def run(settings: Settings, say: Say) -> list[Row]:
    """Rows of ``peak-memory-<blocks>``: end-to-end over block-wise, and both in MiB."""
    sheet = Sheet("memory", asdict(settings) | {"batch": BATCH, "iterations": ITERATIONS, "h": H}, settings.seeds)
    for blocks in BLOCKS:
        mib: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in settings.seeds[:REPEATS]:
            for way in WAYS:
                mib[way].append(peak(way, blocks))
        say(f"{blocks} blocks: " + ", ".join(f"{way} {values[-1]:.0f} MiB" for way, values in mib.items()))
        note = f"peak memory of training end to end over block by block, batch {BATCH}"
        values = ratios(mib["end-to-end"], mib["block-wise"])
        sheet.add(f"{CASE}/block-wise-vs-end-to-end/peak-memory-{blocks}", values, "ratio", "higher", note)
        for way, values in mib.items():
            sheet.add(f"{CASE}/{way}/peak-memory-{blocks}", values, "MiB", "lower", "growth of the process's peak")
    return sheet.save([rose(POOL, 1)])

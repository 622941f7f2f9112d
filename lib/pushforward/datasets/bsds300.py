"""BSDS300: 63-d patches of natural images, the largest tabular benchmark of the flow papers."""

import torch

from pushforward import paths
from pushforward.datasets import manifest
from pushforward.datasets.grey_patches import RECIPE, PatchCounts, patch_points, read_grey
from pushforward.datasets.split import Split
from pushforward.errors import DataError
from pushforward.seeds import stream

NAME = "bsds300"
HELD_OUT = 20  # of the 200 training images, for validation: no validation patch shares an image with a training one
COUNTS = {
    "smoke": PatchCounts(train=20, val=50, test=20),  # 3 600, 1 000 and 2 000 patches
    "quick": PatchCounts(train=2222, val=2500, test=1000),  # 399 960, 50 000 and 100 000
    "paper": PatchCounts(train=5556, val=2500, test=2500),  # 1 000 080, 50 000 and 250 000
}


def load(profile: str, seed: int) -> Split:
    """Patches of the 180 training, 20 held-out and 100 test images; which are held out depends on ``seed`` alone.

    Recipe: Uria et al. 2013 and Papamakarios et al. 2017 (MAF). Densities are reported in the space of x.

    Raises:
        DataError: the images are in no data folder, or some are missing, truncated or altered.
    """
    folder = manifest.find(NAME)
    if folder is None:
        looked = ", ".join(map(str, paths.data_folders()))
        raise DataError(
            f"{NAME} is in none of the data folders ({looked}): run `make data` to download it, "
            f"or name the folder that holds {NAME}/ in PUSHFORWARD_DATA"
        )
    digests = manifest.image_digests(NAME)
    manifest.verify(NAME, folder, digests)
    counts, table = COUNTS[profile], manifest.entry(NAME)
    points = {
        part: patch_points(
            (read_grey(folder / file) for file in files), getattr(counts, part), stream(seed, f"{NAME}/{part} patches")
        )
        for part, files in share_out(list(digests), seed).items()
    }
    return Split(**points, name=NAME, source=table["source"], licence=table["licence"], preprocessing=RECIPE)


def share_out(files: list[str], seed: int) -> dict[str, list[str]]:
    """Which image feeds which part: ``HELD_OUT`` of the files train/* go to val, the files test/* to test."""
    training = [file for file in files if file.startswith("train/")]
    order = torch.randperm(len(training), generator=stream(seed, f"{NAME}/held-out images")).tolist()
    return {
        "train": [training[i] for i in sorted(order[HELD_OUT:])],
        "val": [training[i] for i in sorted(order[:HELD_OUT])],
        "test": [file for file in files if file.startswith("test/")],
    }

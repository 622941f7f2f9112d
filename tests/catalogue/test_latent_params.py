"""Settings of notebook 03: every profile's are families, and the paper profile has the paper's sizes."""

from pathlib import Path

import pytest

from pushforward.catalogue.latent_tables import published_sets
from pushforward.catalogue.settings import family
from pushforward.classification import Classifier
from pushforward.families import JKO
from pushforward.latent import VAE
from pushforward.run import parameters, settings

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NAME = "03-jko-latent-images"


def images(profile):
    known = parameters(FOLDER / f"{NAME}.ipynb")
    return {**known, **settings(FOLDER / "params" / profile / f"{NAME}.yml", known)}["images"]


@pytest.mark.parametrize("profile", ["smoke", "quick", "paper"])
def test_settings_are_those_of_the_families(profile):
    chosen = images(profile)
    assert "digits" in chosen
    for each in chosen.values():
        coder, flow = family(VAE, each["autoencoder"]), family(JKO, each["flow"])
        assert family(Classifier, each["classifier"]).method == "vanilla"
        assert len(flow.step_sizes()) > 1 and coder.latent >= 4 and each.get("draws", 1) >= 1


@pytest.mark.parametrize(
    ("name", "latent", "blocks", "millions"),
    [("mnist", 20, 6, None), ("cifar-10", 192, 8, 2.1), ("imagenet-32", 192, 8, 3.3)],
)
def test_the_paper_profile_has_the_papers_sizes(name, latent, blocks, millions):
    chosen = images("paper")
    assert set(published_sets()) < set(chosen)
    flow = family(JKO, chosen[name]["flow"])
    assert (chosen[name]["autoencoder"]["latent"], len(flow.step_sizes())) == (latent, blocks)
    if millions is not None:  # of MNIST's flow the paper does not say
        numbers = sum(p.numel() for p in flow.block(latent).parameters())
        assert blocks * numbers == pytest.approx(millions * 1e6, rel=0.01)

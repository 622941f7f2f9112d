"""The latent case: distances agree with what they stand for, and better samples have smaller ones."""

from dataclasses import replace

import pytest
import torch

from pushforward import classification, datasets
from pushforward.catalogue import latent as module
from pushforward.catalogue.latent import DRAWS, REFERENCES, latent
from pushforward.errors import InputError
from pushforward.families import preconditioned
from pushforward.latent import frechet_distance
from pushforward.metrics import mean_and_se
from pushforward.report.results import Recorder
from pushforward.seeds import stream

CODER = {"latent": 4, "channels": [8], "fit": {"iterations": 250, "batch": 64, "lr": 0.01}}
FLOW = {
    "velocity": {"kind": "mlp", "widths": [8, 8], "activation": "silu"},
    "blocks": 1,
    "h0": 1.0,
    "fit": {"iterations": 20, "batch": 64, "lr": 0.01},
}
JUDGE = {"method": "vanilla", "stages": [[6, 6]], "fit": {"iterations": 60, "batch": 64, "lr": 0.01}}


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("PUSHFORWARD_ARTIFACTS", str(folder / "artifacts"))
        patch.setenv("PUSHFORWARD_RESULTS", str(folder / "results"))
        yield latent("digits", CODER, FLOW, JUDGE, seeds=range(2))


def features(case, x):
    return classification.features(case.classifier.network, x)


def distance(case, x):
    return frechet_distance(features(case, x), features(case, datasets.labelled("digits").test))


def test_the_flow_is_on_the_codes_of_the_images(case):
    codes = case.results[0].split
    assert codes.dim == 4 and (len(codes.train), len(codes.val), len(codes.test)) == (1297, 200, 300)
    assert codes.sha256 == case.coder.codes().sha256 == case.results[1].split.sha256
    assert case.coder.images.sha256 == case.classifier.split.sha256 == datasets.labelled("digits").sha256
    assert (case.name, case.label) == ("digits-latent", "digits")


def test_distances_of_samples_are_means_over_draws_of_each_seeds_flow(case):
    for seed, result in enumerate(case.results):
        generator = stream(seed, "frechet")
        draws = [distance(case, case.coder.decode(result.flow.sample(200, generator))) for _ in range(DRAWS)]
        assert case.frechet[seed] == pytest.approx(mean_and_se(torch.tensor(draws, dtype=torch.float64)), rel=1e-8)
    assert case.frechet[0] != case.frechet[1]


def test_references_are_what_they_are_called(case):
    found, val = case.references, datasets.labelled("digits").val
    assert tuple(found) == REFERENCES
    assert found["images"] == pytest.approx(distance(case, val), rel=1e-8)
    codes = case.coder.encode(val, stream(0, "reconstruction"))
    assert found["reconstruction"] == pytest.approx(distance(case, case.coder.decode(codes)), rel=1e-8)
    gaussian = preconditioned(("affine",), case.results[0].split.train)
    generator = stream(0, "gaussian")
    draws = [distance(case, case.coder.decode(gaussian.sample(200, generator))) for _ in range(DRAWS)]
    assert found["gaussian"] == pytest.approx(sum(draws) / DRAWS, rel=1e-8)
    generator = stream(0, "prior")
    draws = [distance(case, case.coder.decode(torch.randn(200, 4, generator=generator))) for _ in range(DRAWS)]
    assert found["prior"] == pytest.approx(sum(draws) / DRAWS, rel=1e-8)


def test_real_images_are_nearest(case):
    found = case.references
    assert found["images"] < min(found["reconstruction"], found["prior"], found["gaussian"])


def test_the_distance_is_never_called_fid(case):
    rows = case.table()
    assert [row["images"] for row in rows] == [*REFERENCES, "jko-iflow"]
    for row in rows:
        assert "digit-feature distance" in row and not any("fid" in key.lower() for key in row)
        assert (row["n"], row["test images"]) == (200, 300)
    assert rows[-1]["digit-feature distance"] == pytest.approx(sum(e.value for e in case.frechet) / 2)
    assert rows[-1]["se"] == case.frechet[0].se and rows[0]["se"] is None
    other = module.LatentCase("cifar-10", "jko-iflow", case.results, case.coder, case.classifier)
    assert other.distance == "class-feature distance"


def test_pictures_are_decoded_codes(case):
    shown = case.gallery(count=3)
    assert list(shown) == ["images", "reconstruction", "prior", "jko-iflow"]
    assert all(pictures.shape == (3, 8, 8) for pictures in shown.values())
    data = datasets.labelled("digits").test[:3]
    assert (shown["images"].reshape(3, 64) == data.numpy()).all()
    again = case.coder.decode(case.coder.encode(data))
    assert (shown["reconstruction"].reshape(3, 64) == again.numpy()).all()
    codes = case.flow.sample(3, stream(0, "gallery"))
    assert (shown["jko-iflow"].reshape(3, 64) == case.coder.decode(codes).numpy()).all()


def test_colours_come_last(case):
    images = replace(case.coder.images, shape=(4, 4, 4))
    colourful = module.LatentCase("x", "jko-iflow", case.results, replace(case.coder, images=images), case.classifier)
    x = images.test[:2]
    assert (colourful.shown(x)[1, 2, 3] == x[1].reshape(4, 16)[:, 11].numpy()).all()


def test_rows_of_the_results(case):
    record = Recorder("03-jko-images", "smoke")
    case.record_quality(record, "run")
    case.record_references(record, "run")
    rows = {row.id: row for row in record.rows}
    assert rows["jko/digits-latent/jko-iflow/frechet"].value == pytest.approx(sum(e.value for e in case.frechet) / 2)
    assert rows["jko/digits-latent/jko-iflow/frechet"].n == 2 and "jko/digits-latent/jko-iflow/nll" in rows
    for name in REFERENCES:
        assert rows[f"jko/digits-latent/{name}/frechet"].value == pytest.approx(case.references[name])
    assert "jko/digits-latent/gaussian/nll" in rows


def test_fid_compares_test_images_with_decoded_samples(case, monkeypatch):
    seen = []

    def stand_in(real, generated, shape, weights, device):
        seen.append((real, generated, shape, weights, device))
        return float(len(seen))

    monkeypatch.setattr(module, "fid", stand_in)
    record = Recorder("03-jko-images", "smoke")
    case.record_fid(record, "run", count=30, weights="w.pth")
    assert record.rows[0].id == "jko/digits-latent/jko-iflow/fid" and record.rows[0].value == 1.5
    for seed, (real, generated, shape, weights, device) in enumerate(seen):
        assert torch.equal(real, datasets.labelled("digits").test) and (shape, weights, device) == (
            (1, 8, 8),
            "w.pth",
            "cpu",
        )
        assert torch.equal(generated, case.coder.decode(case.results[seed].flow.sample(30, stream(seed, "fid"))))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_misspelt_setting_is_named(place, tmp_path, monkeypatch):
    monkeypatch.setenv("PUSHFORWARD_ARTIFACTS", str(tmp_path))
    brief = {"fit": {"iterations": 1, "batch": 4}}
    settings = [CODER | brief, FLOW | brief, JUDGE | brief]
    settings[place] = settings[place] | {"dims": 3}
    with pytest.raises(InputError, match="settings has dims"):
        latent("digits", *settings)

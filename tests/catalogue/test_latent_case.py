"""The latent case: distances agree with what they stand for, and better samples have smaller ones."""

import math
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
        yield latent("digits", CODER, FLOW, JUDGE, draws=2, seeds=range(2))


def features(case, x):
    return classification.features(case.classifier.network, x)


def distance(case, x):
    return frechet_distance(features(case, x), features(case, datasets.labelled("digits").test))


def test_the_flow_is_on_the_codes_of_the_images(case):
    codes = case.results[0].split
    assert codes.dim == 4 and (len(codes.train), len(codes.val), len(codes.test)) == (2594, 200, 300)
    assert codes.sha256 == case.coder.codes(draws=2).sha256 == case.results[1].split.sha256
    assert case.coder.split.sha256 == case.classifier.split.sha256 == datasets.labelled("digits").sha256
    assert (case.name, case.image_set, case.label) == ("digits-latent", "digits", "digits")
    assert case.trainings == [*case.results, case.coder, case.classifier]


def test_distances_of_samples_are_means_over_draws_of_each_seeds_flow(case):
    for seed, result in enumerate(case.results):
        generator = stream(seed, "frechet")
        draws = [distance(case, case.coder.decode(result.flow.sample(200, generator))) for _ in range(DRAWS)]
        assert case.frechet[seed] == pytest.approx(mean_and_se(torch.tensor(draws, dtype=torch.float64)), rel=1e-8)
    assert case.frechet[0] != case.frechet[1]


def over_draws(case, codes, generator):
    values = [distance(case, case.coder.decode(codes(generator))) for _ in range(DRAWS)]
    return pytest.approx(mean_and_se(torch.tensor(values, dtype=torch.float64)), rel=1e-8)


def test_references_are_what_they_are_called(case):
    found, val = case.references, datasets.labelled("digits").val
    assert tuple(found) == REFERENCES
    assert found["images"].value == pytest.approx(distance(case, val), rel=1e-8) and math.isnan(found["images"].se)
    gaussian = preconditioned(("affine",), case.results[0].split.train)
    laws = {
        "reconstruction": lambda generator: case.coder.encode(val, generator),
        "prior": lambda generator: torch.randn(200, 4, generator=generator),
        "gaussian": lambda generator: gaussian.sample(200, generator),
    }
    for name, codes in laws.items():
        assert found[name] == over_draws(case, codes, stream(0, name)), name


def test_real_images_are_nearest(case):
    found = {name: estimate.value for name, estimate in case.references.items()}
    assert found.pop("images") < min(found.values())


def test_the_distance_has_three_parts(case):
    found = {name: estimate.value for name, estimate in case.references.items()}
    mean, row = sum(e.value for e in case.frechet) / 2, case.parts()
    assert row["few images"] == found["images"]
    assert row["few images"] + row["decoder"] == pytest.approx(found["reconstruction"])
    assert row["few images"] + row["decoder"] + row["flow"] == pytest.approx(mean)
    assert row["se"] ** 2 == pytest.approx(case.references["reconstruction"].se ** 2 + case.frechet[0].se ** 2)
    assert row["gap closed"] == pytest.approx(sum(case.gap_closed) / 2)


def test_the_gap_is_that_between_decoded_noise_and_reconstructions(case):
    found = {name: estimate.value for name, estimate in case.references.items()}
    for closed, over, estimate in zip(case.gap_closed, case.over("prior"), case.frechet, strict=True):
        assert found["prior"] + closed * (found["reconstruction"] - found["prior"]) == pytest.approx(estimate.value)
        assert over == estimate.value - found["prior"]


def test_the_distance_is_never_called_fid(case):
    rows = case.table()
    assert [row["what"] for row in rows] == [*REFERENCES, "jko-iflow"]
    for row in rows:
        assert "digit-feature distance" in row and not any("fid" in key.lower() for key in row)
        assert (row["images"], row["n"], row["test images"]) == ("digits", 200, 300)
    assert rows[-1]["digit-feature distance"] == pytest.approx(sum(e.value for e in case.frechet) / 2)
    assert rows[-1]["se"] == case.frechet[0].se and rows[-1]["seeds"] == 2
    assert rows[2]["se"] == case.references["prior"].se
    other = module.LatentCase("cifar-10", "jko-iflow", case.results, case.coder, case.classifier)
    assert other.distance == "class-feature distance"


def test_laws_of_the_codes_side_by_side(case):
    rows = case.codes_table()
    assert [row["method"] for row in rows] == ["gaussian", "elliptical", "jko-iflow"]
    assert [row["NLL"] for row in rows[:2]] == [case.gaussian.value, case.radial.value]
    assert rows[-1]["NLL"] == pytest.approx(sum(e.value for e in case.nll) / 2)
    layers = 4 * 8 + 8 + 8 * 8 + 8 + 8 * 4 + 4
    assert (rows[-1]["dimension"], rows[-1]["seeds"], rows[-1]["parameters"]) == (4, 2, layers)


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


def test_interpolations_lead_from_one_class_to_the_next(case):
    rows = case.interpolations(pairs=2, stops=5)
    assert list(rows) == ["1: noise", "1: codes", "2: noise", "2: codes"]
    data = datasets.labelled("digits")
    ends = [data.test[(data.test_labels == digit).nonzero()[0]] for digit in (2, 3)]
    start, end = (case.coder.encode(x) for x in ends)
    for name in ("2: noise", "2: codes"):
        for stop, code in ((0, start), (-1, end)):
            expected = case.coder.decode(code).numpy()
            assert rows[name][stop].reshape(1, 64) == pytest.approx(expected, abs=1e-5)
    a, b = (case.flow.bijection(code).detach() for code in (start, end))
    with torch.no_grad():
        half = case.flow.bijection.inverse((a + b) / math.sqrt(2))
    assert rows["2: noise"][2].reshape(1, 64) == pytest.approx(case.coder.decode(half).numpy(), abs=1e-5)
    middle = case.coder.decode((start + end) / 2).numpy()
    assert rows["2: codes"][2].reshape(1, 64) == pytest.approx(middle, abs=1e-5)


def test_colours_come_last(case):
    images = replace(case.coder.split, shape=(4, 4, 4))
    colourful = module.LatentCase("x", "jko-iflow", case.results, replace(case.coder, split=images), case.classifier)
    x = images.test[:2]
    assert (colourful.shown(x)[1, 2, 3] == x[1].reshape(4, 16)[:, 11].numpy()).all()


def test_rows_of_the_results(case):
    record = Recorder("03-jko-latent-images", "smoke")
    case.record(record, "run")
    case.record_references(record, "run")
    rows = {row.id: row for row in record.rows}
    assert rows["jko/digits/jko-iflow/frechet"].value == pytest.approx(sum(e.value for e in case.frechet) / 2)
    assert rows["jko/digits/jko-iflow/frechet"].n == 2
    assert rows["jko/digits/jko-iflow/gap-closed"].value == pytest.approx(sum(case.gap_closed) / 2)
    for name in REFERENCES:
        assert rows[f"jko/digits/{name}/frechet"].value == pytest.approx(case.references[name].value)
    assert rows["jko/digits-latent/gaussian/nll"].value == case.gaussian.value
    for id in rows:  # notebook 02 has rows of the digits themselves
        assert id.startswith("jko/digits-latent/") or id.rsplit("/", 1)[1] in (
            "frechet",
            "frechet-over-prior",
            "gap-closed",
        )


def test_what_is_required(case):
    record = Recorder("03-jko-latent-images", "smoke")
    case.record_checks(record, "run")
    rows = {row.id: row for row in record.rows}
    prior = case.references["prior"].value
    values = {
        "jko/digits/reconstruction/frechet-over-prior": case.references["reconstruction"].value - prior,
        "jko/digits/jko-iflow/frechet-over-prior": max(e.value for e in case.frechet) - prior,
    }
    for id, value in values.items():
        assert rows[id].value == pytest.approx(value) and rows[id].verdict == ("holds" if value <= 0 else "fails")
    lead = rows["jko/digits-latent/jko-iflow/lead-over-gaussian"]
    assert lead.value == pytest.approx(case.gaussian.value - max(e.value for e in case.nll))
    assert lead.verdict == ("holds" if lead.value >= 0 else "fails")
    assert {"round-trip", "nll-solver-gap"} <= {row.parts[3] for row in record.rows}


def test_fid_compares_test_images_with_decoded_samples(case, monkeypatch):
    seen = []

    def stand_in(real, generated, shape, weights, device):
        seen.append((real, generated, shape, weights, device))
        return float(len(seen))

    monkeypatch.setattr(module, "fid", stand_in)
    record = Recorder("03-jko-latent-images", "smoke")
    assert case.record_fid(record, "run", count=30, weights="w.pth") == [1.0, 2.0]
    assert record.rows[0].id == "jko/digits/jko-iflow/fid" and record.rows[0].value == 1.5
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

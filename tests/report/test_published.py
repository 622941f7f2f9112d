import math
import re

import pytest

from pushforward.errors import InputError
from pushforward.report.published import load_published
from pushforward.report.results import ID

HEAD = "id,value,unit,table,row,note\n"


def test_the_papers_numbers():
    numbers = load_published()
    assert numbers["jko/rose/jko-iflow/nll"].value == 2.64
    assert numbers["jko/bsds300/jko-iflow/nll"].value == -157.75
    assert numbers["jko/bsds300/jko-iflow-fixed-budget/nll"].value == -153.82
    assert numbers["jko/bsds300/gaussian/nll"].value == -96.67
    assert numbers["jko/bsds300/gaussian/nll"].source == "papamakarios2017, Table 1, Gaussian"
    assert numbers["jko/rose/ffjord/nll-excess"].value == pytest.approx(2.95 - 2.490, abs=0.005)


def test_every_excess_is_its_nll_minus_the_entropy():
    numbers = load_published()
    excesses = [id for id in numbers if id.startswith("jko/rose/") and id.endswith("/nll-excess")]
    assert len(excesses) == 5
    for id in excesses:
        nll = numbers[id.removesuffix("-excess")]
        assert not nll.comparable  # of the authors' picture
        assert numbers[id].comparable
        assert numbers[id].value == pytest.approx(nll.value - 2.490, abs=0.0101)


def test_the_papers_patches_are_published_once_and_stand_beside_both_draws():
    numbers = load_published()
    theirs = {id: n for id, n in numbers.items() if id.startswith("jko/bsds300-tabular/")}
    assert len(theirs) == 10
    for id, number in theirs.items():
        ours = numbers[id.replace("bsds300-tabular", "bsds300")]
        assert (number.value, number.source) == (ours.value, ours.source)
        assert number.comparable and ours.comparable is ("fixed-budget" not in id)


def test_the_noise_rates_of_score_sde_have_the_ids_of_their_settings():
    numbers = load_published()
    assert numbers["jko/miniboone/score-sde-quadratic-5/nll"].value == 17.45
    assert numbers["jko/miniboone/score-sde/nll"].value == 10.47


def test_bits_and_nats_of_the_checkerboard_agree():
    numbers = load_published()
    for method, bits in (("resflow", 5.08), ("impflow", 5.05)):
        number = numbers[f"implicit/checkerboard/{method}/nll"]
        assert f"published as {bits} bits" in number.note
        assert number.value / math.log(2) == pytest.approx(bits, abs=0.0051)


def test_a_log_likelihood_is_kept_as_its_negative():
    numbers = [n for id, n in load_published().items() if id.startswith("implicit/") and "log-likelihood" in n.note]
    assert len(numbers) == 35
    for number in numbers:
        found = re.search(r"as log-likelihood (-?[\d.]+?)(;|$)", number.note)
        assert number.value == -float(found[1]), number.id


def test_what_is_only_recalled_draws_no_verdict():
    numbers = load_published()
    recalled = [id for id in numbers if "recalled only" in numbers[id].note]
    assert len(recalled) == 5
    assert not any(numbers[id].comparable for id in recalled)


def test_ids_are_well_formed():
    for id, number in load_published().items():
        assert ID.fullmatch(id) and number.unit in {"nats", "1", "%", "bits/dim"}, id


def test_bad_files_are_refused(tmp_path):
    (tmp_path / "a2020.csv").write_text(HEAD + "a/b/c/d,1,nats,T,r,\n")
    (tmp_path / "b2020.csv").write_text(HEAD + "a/b/c/d,2,nats,T,r,\n")
    with pytest.raises(InputError, match=r"stands in a2020.csv and in b2020.csv"):
        load_published(tmp_path)
    (tmp_path / "b2020.csv").write_text(HEAD + "a/b/c/e,many,nats,T,r,\n")
    with pytest.raises(InputError, match="near line 2"):
        load_published(tmp_path)
    (tmp_path / "b2020.csv").write_text("id,value\n")
    with pytest.raises(InputError, match="expected id, value, unit"):
        load_published(tmp_path)

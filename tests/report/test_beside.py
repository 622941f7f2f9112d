from types import SimpleNamespace

from pushforward.report.beside import ABSENT, by_case, by_coefficient, lines
from pushforward.report.published import Published


def number(id, value):
    return SimpleNamespace(id=id, value=value)


def printed(id, value, note=""):
    return Published(id, value, "nats", "Table 2", "row", note, "lu2021")


MEASURED = [
    number("implicit/power/impflow/nll", -0.2),
    number("implicit/digits/resflow/nll", -60.0),
    number("implicit/digits/impflow-0-9/nll", -80.0),
    number("implicit/digits/impflow/seconds", 40.0),
    number("gif/digits/plain/nll", -61.0),
]


def test_methods_are_rows_and_cases_columns():
    sources = {"measured": MEASURED, "published": [printed("implicit/power/impflow/nll", -0.3)]}
    assert by_case(sources, "nll", ["power", "digits"]) == [
        {"method": "impflow", "from": "measured", "power": -0.2, "digits": ""},
        {"method": "resflow", "from": "measured", "power": "", "digits": -60.0},
        {"method": "impflow", "from": "published", "power": -0.3, "digits": ""},
    ]


def test_what_is_absent_says_so_where_it_would_have_been_measured():
    sources = {"measured": MEASURED[1:], "published": [printed("implicit/power/impflow/nll", -0.3)]}
    first, second = by_case(sources, "nll", ["power", "gas", "digits"], ["power", "gas"])
    assert (first["power"], first["gas"], first["digits"]) == (ABSENT, ABSENT, -60.0)
    assert (second["power"], second["gas"]) == (-0.3, "")


def test_numbers_of_another_law_or_from_memory_are_told_apart():
    sources = {"published": [printed("implicit/power/naf/nll", -0.6, "not comparable: recalled only")]}
    assert [row["from"] for row in by_case(sources, "nll", ["power"])] == ["published, not comparable"]


def test_coefficients_are_columns_from_the_largest_down():
    ids = {"resflow-0-6": 9.94, "resflow-0-99": 8.24, "impflow-0-9": 7.41, "vanilla": 6.61}
    published = [printed(f"implicit/cifar-10-classification/{name}/error", value) for name, value in ids.items()]
    rows = by_coefficient({"published": published, "measured": MEASURED}, "error")
    assert [list(row) for row in rows] == [["case", "method", "from", "0.99", "0.9", "0.6", "none"]] * 3
    assert [row["method"] for row in rows] == ["resflow", "impflow", "vanilla"]
    assert (rows[0]["0.99"], rows[0]["0.9"], rows[0]["0.6"], rows[0]["none"]) == (8.24, "", 9.94, "")
    assert rows[2]["none"] == 6.61
    assert {row["case"] for row in rows} == {"cifar-10-classification"}


def test_lines_go_through_the_coefficients_of_a_method():
    numbers = [number(f"implicit/tiles/{name}/bits", value) for name, value in (("impflow-0-9", 3.4), ("plain", 2.0))]
    numbers += [number("implicit/tiles/impflow-0-65/bits", 3.8), number("implicit/tiles/impflow-0-9/nll", 9.0)]
    assert lines("measured", numbers, "bits") == {
        "tiles, measured": {"impflow": [(0.9, 3.4), (0.65, 3.8)], "plain": [(1.0, 2.0)]}
    }


def test_nothing_gives_no_rows():
    assert by_coefficient({"measured": []}, "bits") == by_case({"measured": []}, "nll", ["power"]) == []

"""What the page says of the numbers, and how it writes them."""

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from hounsfield.errors import TableError
from hounsfield.report.answers import clear_winners, confusion, differences_of, verdict
from hounsfield.report.curves import POINTS, reliability, thinned
from hounsfield.report.pictures import ROOM, embedded
from hounsfield.report.tables import DASH, decimal, duration, frame_table, number, offered, p_value

NAN = float("nan")


def pairs(*rows):
    """Rows whose adjusted p leaves chance out where their interval does."""
    columns = ["model_a", "model_b", "pathology", "metric", "difference", "low", "high"]
    table = pd.DataFrame(rows, columns=columns).assign(p=0.001, p_adjusted=0.01)
    return table.assign(beyond_chance=np.where((table["low"] > 0) | (table["high"] < 0), "yes", "no"))


def test_a_winner_beats_every_other_model_beyond_chance():
    table = pairs(
        ("a", "b", "x", "roc_auc", 0.2, 0.1, 0.3),
        ("a", "c", "x", "roc_auc", 0.2, 0.1, 0.3),
        ("b", "c", "x", "roc_auc", 0.0, -0.1, 0.1),
        ("a", "b", "y", "roc_auc", -0.2, -0.3, -0.1),
        ("a", "c", "y", "roc_auc", 0.2, 0.1, 0.3),
        ("b", "c", "y", "roc_auc", 0.1, -0.1, 0.3),
        ("a", "b", "z", "roc_auc", NAN, NAN, NAN),
        ("a", "b", "x", "average_precision", -0.2, -0.3, -0.1),
    )
    assert clear_winners(table, "roc_auc") == {"x": "a"}
    assert clear_winners(table, "average_precision") == {"x": "b"}
    # An interval that leaves zero out by itself makes no winner once all comparisons are counted.
    assert clear_winners(table.assign(beyond_chance="no"), "roc_auc") == {}


def test_a_difference_is_turned_with_its_interval():
    (turned,) = differences_of(pairs(("a", "b", "x", "roc_auc", 0.2, 0.1, 0.4)), "b")
    assert (turned.other, turned.value, turned.low, turned.high) == ("a", -0.2, -0.4, -0.1)
    assert turned.beyond_chance


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.1, 0.5, 0.50001, 0.9])), min_size=1), st.just(0.5))
def test_counts_are_scikit_learns_and_agree_with_the_verdicts(rows, threshold):
    labels, probabilities = map(np.array, zip(*rows, strict=True))
    counts = confusion(labels, probabilities, threshold)
    expected = confusion_matrix(labels, probabilities >= threshold, labels=[0, 1]).ravel().tolist()
    names = ("true negative", "false positive", "false negative", "true positive")
    assert [counts[name] for name in names] == expected
    said = [verdict(label, probability, threshold) for label, probability in rows]
    assert all(said.count(name) == count for name, count in counts.items())


@given(st.integers(0, 2**32 - 1), st.integers(300, 3000))
def test_a_thinned_curve_encloses_the_same_area(seed, count):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count)
    assume(0 < labels.sum() < count)
    scores = labels + random.normal(size=count)
    false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
    x, y = thinned(false, true)
    assert len(x) <= POINTS + 2 and (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(y, x) == pytest.approx(roc_auc_score(labels, scores), abs=0.01)


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=200))
def test_reliability_keeps_the_means(rows):
    labels, probabilities = map(np.array, zip(*rows, strict=True))
    given, share = reliability(labels, probabilities)
    sizes = [len(part) for part in np.array_split(np.arange(len(labels)), len(given))]
    assert np.average(share, weights=sizes) == pytest.approx(labels.mean())
    assert np.average(given, weights=sizes) == pytest.approx(probabilities.mean())
    assert (np.diff(given) >= -1e-12).all()


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.12345, 3, "0.123"),
        (-0.5, 2, "−0.50"),
        (-0.0001, 3, "0.000"),
        (12345.6, 0, "12\u202f346"),
        (0.9996, 3, "1.000"),
    ],
)
def test_numbers_are_written_plainly(value, digits, text):
    assert decimal(value, digits) == text


def test_undefined_has_a_reason_and_no_interval():
    cell = number(NAN, 3, NAN, NAN, "no positives")
    assert (cell.text, cell.reason, cell.interval, cell.sort, cell.numeric) == (DASH, "no positives", "", None, True)
    assert number(0.5, 2, 0.25, 0.75).interval == "0.25 to 0.75"
    assert number(0.5, 2, NAN, NAN).interval == ""


def test_small_p_values_are_not_zero():
    assert p_value(0.0004).text == "< 0.001" and p_value(0.0004).sort == 0.0004
    assert p_value(0.0312).text == "0.031"
    assert p_value(NAN).text == DASH


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (0.3, "< 1 s"), (9.4, "9 s"), (90, "1.5 min"), (5400, "1.5 h"), (NAN, DASH)]
)
def test_times_are_in_the_unit_that_suits_them(seconds, text):
    assert duration(seconds).text == text


def test_any_table_is_shown_with_its_intervals_folded():
    frame = pd.DataFrame({"group": ["F", "M"], "n": [1000, 20], "roc_auc": [0.5, NAN]})
    frame = frame.assign(roc_auc_low=[0.25, NAN], roc_auc_high=[0.75, NAN])
    table = frame_table("By sex", frame, None, most=1)
    assert table.columns == ["group", "n", "AUROC"]
    ((group, n, auc),) = table.rows
    assert (group.text, group.heading, n.text, auc.text, auc.interval) == (
        "F",
        True,
        "1\u202f000",
        "0.500",
        "0.250 to 0.750",
    )
    assert table.note == "The first 1 of 2 rows."


def test_a_large_table_is_not_carried_along():
    assert offered(pd.DataFrame({"x": range(10)}), "x.tsv").name == "x.tsv"
    assert offered(pd.DataFrame({"x": range(100_000)}), "x.tsv") is None


def picture(path, edge, seed):
    pixels = np.random.default_rng(seed).integers(0, 255, (edge, edge, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_few_pictures_stay_as_they_are_and_many_are_made_to_fit(tmp_path):
    few = [picture(tmp_path / "a.png", 40, 0)]
    assert embedded(few)[0].startswith("data:image/png;base64,")
    many = [picture(tmp_path / f"{number}.png", 400, number) for number in range(8)]
    assert sum(path.stat().st_size for path in many) > ROOM
    smaller = embedded(many)
    assert all(each.startswith("data:image/webp;base64,") for each in smaller)
    assert sum(map(len, smaller)) < ROOM * 4 / 3 + 1000


def test_a_damaged_or_missing_picture_is_named(tmp_path):
    with pytest.raises(TableError, match=r"absent\.png"):
        embedded([tmp_path / "absent.png"])
    content = io.BytesIO()
    Image.new("RGB", (10, 10)).save(content, format="PNG")
    (tmp_path / "cut.png").write_bytes(content.getvalue()[:40])
    (tmp_path / "large.png").write_bytes(bytes(ROOM + 1))
    with pytest.raises(TableError, match=r"cut\.png|large\.png"):
        embedded([tmp_path / "cut.png", tmp_path / "large.png"])

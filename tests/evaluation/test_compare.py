"""Comparisons: paired, corrected, by subgroup, in ensembles, and refused where the scans differ."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from hounsfield.errors import TableError
from hounsfield.evaluation import EvaluationSettings, compare_models, score_model
from hounsfield.evaluation.bootstrap import p_value
from hounsfield.evaluation.ensembles import ensemble_model
from hounsfield.evaluation.folds import fold_ensembles, fold_table, gather_folds, score_folds
from hounsfield.evaluation.pairs import MACRO
from hounsfield.evaluation.scored_model import prepare_model
from hounsfield.evaluation.subgroups import groups_of, name_groups
from hounsfield.metadata import to_numbers

NAMES = ["A", "B", "C"]
SETTINGS = EvaluationSettings(replicates=200)


@pytest.fixture
def predictions(make_predictions):
    """Two models of unlike skill, two seeds each, on the same scans."""
    return {
        model: {seed: (make_predictions(seed, 40, skill, 1), make_predictions(seed, 40, skill, 2)) for seed in seeds}
        for model, skill, seeds in (("good", 2.5, (0, 1)), ("poor", 0.3, (2, 3)))
    }


def test_models_are_the_mean_over_seeds(predictions):
    tables = compare_models(predictions, NAMES, SETTINGS)
    each = [score_model(*predictions["good"][seed], NAMES, SETTINGS)[1].set_index("metric") for seed in (0, 1)]
    models = tables["models"].set_index(["model", "metric"])
    values = [table.loc["roc_auc_macro", "value"] for table in each]
    row = models.loc[("good", "roc_auc_macro")]
    assert row["value"] == pytest.approx(np.mean(values), abs=1e-12)
    assert row["spread"] == pytest.approx(np.std(values, ddof=1))
    assert row["seeds"] == 2
    assert row["low"] < row["value"] < row["high"]
    seeds = tables["seeds"].set_index(["model", "seed", "metric"])["value"]
    assert seeds[("good", 1, "roc_auc_macro")] == values[1]


def test_a_difference_is_found_and_its_sign_and_interval_agree(predictions):
    pairs = compare_models(predictions, NAMES, SETTINGS)["pairs"]
    assert len(pairs) == 2 * (3 + 1)
    auc = pairs[pairs["metric"] == "roc_auc"].set_index("pathology")
    assert (auc["model_a"] + auc["model_b"] == "goodpoor").all()
    assert np.allclose(auc["difference"], auc["a"] - auc["b"])
    # Two trainings of each say little of a single label; one of each speaks of these networks alone.
    assert auc.loc[MACRO, "low"] > 0 and auc.loc[MACRO, "p"] < 0.05
    single = {model: {seed: seeds[seed] for seed in list(seeds)[:1]} for model, seeds in predictions.items()}
    auc = compare_models(single, NAMES, SETTINGS)["pairs"].query("metric == 'roc_auc'").set_index("pathology")
    assert (auc["low"] > 0).all()
    assert (auc["p"] <= 0.01).all()
    assert (auc["p_adjusted"] >= auc["p"]).all()
    # Half of the family is the macro AUROC's, which is one comparison here.
    assert auc.loc[MACRO, "p_adjusted"] == pytest.approx(2 * auc.loc[MACRO, "p"], abs=0.01)


def test_a_model_does_not_differ_from_itself(predictions):
    same = {name: {0: predictions["good"][0]} for name in "ab"}
    pairs = compare_models(same, NAMES, SETTINGS)["pairs"]
    assert (pairs[["difference", "low", "high"]] == 0).all(axis=None)
    assert (pairs["p"] == 1).all()


def test_comparisons_are_paired(make_predictions):
    # A model and its copy with a little noise differ less surely than two models of their skill.
    val, test = make_predictions(0, 60, 1.0, 1), make_predictions(0, 60, 1.0, 2)
    noisy, other = test.copy(), make_predictions(9, 60, 1.0, 2)
    noisy["logit A"] += np.random.default_rng(0).normal(0, 0.01, len(noisy))
    scored_models = {"a": {0: (val, test)}, "b": {0: (val, noisy)}, "c": {0: (val, other)}}
    pairs = compare_models(scored_models, NAMES, SETTINGS)["pairs"]
    row = pairs[(pairs["pathology"] == "A") & (pairs["metric"] == "roc_auc")].set_index(["model_a", "model_b"])
    width = row["high"] - row["low"]
    assert width[("a", "b")] < width[("a", "c")] / 5


def test_p_values_of_resamples():
    assert p_value(np.linspace(0.1, 1, 999)) == pytest.approx(2 / 1000)
    assert p_value(np.array([-1.0, 1.0] * 50)) == 1
    assert np.isnan(p_value(np.full(5, np.nan)))
    assert np.isnan(p_value(np.append(np.full(20, np.nan), np.ones(80))))


@pytest.mark.parametrize("change", ["scans", "labels"])
def test_refuses_models_tested_on_other_scans(predictions, change):
    val, test = predictions["poor"][3]
    others = {"scans": test[test["patient"] != "p3"], "labels": test.assign(**{"label A": 1 - test["label A"]})}
    predictions["poor"][3] = (val, others[change])
    with pytest.raises(TableError, match="poor, seed 3: its test scans or labels"):
        compare_models(predictions, NAMES, SETTINGS)


def test_an_ensemble_is_the_mean_probability_with_thresholds_of_its_own(predictions):
    scored_models = [prepare_model(*predictions["good"][seed], NAMES, SETTINGS) for seed in (0, 1)]
    ensemble = ensemble_model(scored_models, SETTINGS)
    mean = np.mean([scored.test.probabilities for scored in scored_models], axis=0)
    assert ensemble.test.probabilities == pytest.approx(mean, abs=1e-12)
    assert expit(ensemble.test.logits) == pytest.approx(mean, abs=1e-12)
    assert not np.array_equal(ensemble.thresholds, scored_models[0].thresholds)
    table = compare_models(predictions, NAMES, SETTINGS)["ensembles"].set_index(["ensemble", "metric"])
    names = {"good, 2 seeds": 2, "poor, 2 seeds": 2, "all models": 4}
    assert table["members"].groupby("ensemble").first().to_dict() == names
    single = compare_models({"good": {0: predictions["good"][0]}}, NAMES, SETTINGS)["ensembles"]
    assert single.empty


def test_a_baseline_is_compared_but_takes_no_part_in_ensembles(predictions):
    tables = compare_models(predictions, NAMES, SETTINGS, baselines=["poor"])
    assert set(tables["models"]["model"]) == {"good", "poor"} and len(tables["pairs"]) > 0
    assert set(tables["ensembles"]["ensemble"]) == {"good, 2 seeds"}


def test_subgroups_are_scored_alone_and_small_ones_suppressed(predictions):
    test = predictions["good"][0][1]
    men = [f"p{i}" for i in range(28)]
    metadata = test[["volume"]].assign(sex=np.where(test["patient"].isin(men), "M", "F"))
    settings = EvaluationSettings(replicates=100, min_group=20)
    table = compare_models({"good": {0: predictions["good"][0]}}, NAMES, settings, metadata)["subgroups"]
    table = table.set_index(["group", "pathology"])
    assert (table.loc["F", "suppressed"] == "yes").all()
    assert table.loc["F", ["n", "n_positive", "roc_auc", "low", "high"]].isna().all(axis=None)
    assert (table.loc["F", "patients"] == 12).all()
    own = test[test["patient"].isin(men)]
    alone = score_model(predictions["good"][0][0], own, NAMES, settings)[0].set_index("pathology")
    assert np.allclose(table.loc["M"].loc[NAMES, "roc_auc"], alone["roc_auc"])
    assert np.allclose(table.loc["M"].loc[NAMES, "low"], alone["roc_auc_low"])
    assert table.loc[("M", "A"), "n_positive"] == alone.loc["A", "n_positive"]


def test_groups_of_scans(make_predictions):
    table = make_predictions(patients=12)
    scan = table["scan"].value_counts().index[0]
    kernels = pd.Series("soft", table.index)
    kernels[table.index[table["scan"] == scan][0]] = "<b>sharp</b>"
    metadata = table[["volume"]].assign(kernel=kernels)[table["patient"] != "p5"]
    found = groups_of(metadata, table, "scan", {})["kernel"]
    expected = pd.Series("soft", sorted(set(table["scan"])))
    expected[scan] = "(mixed)"
    expected[[name for name in expected.index if name.startswith("p5_")]] = "(unknown)"
    assert found.tolist() == expected.tolist()


def test_numbers_are_cut_into_bands():
    ages = pd.Series(["063Y", "009M", "40", None, "80"])
    assert to_numbers(ages).round(2).tolist()[:3] == [63.0, 0.75, 40.0]
    names = name_groups(ages, [40, 60, 80])
    assert names.tolist()[:3] == ["60 to 80", "under 40", "40 to 60"]
    assert names[4] == "80 and over"
    assert names.isna().tolist() == [False, False, False, True, False]
    many = name_groups(pd.Series(np.arange(30.0)), None)
    assert many.value_counts().tolist() == [10, 10, 10]
    assert name_groups(pd.Series([1.0, 2.0, 1.0]), None).tolist() == ["1", "2", "1"]


def test_costs_come_from_the_histories_and_footprints(predictions):
    history = pd.DataFrame({"seconds": [1800.0, 3600.0, 1800.0], "samples_per_second": [2.0, 4.0, 3.0]})
    history["peak_memory_mb"], history["peak_gpu_memory_mb"] = [10.0, 12.0, 11.0], [np.nan, 5.0, 7.0]
    footprint = pd.DataFrame(
        {"parameters": [10], "gigaflops": [0.5], "seconds_per_scan": [0.25], "device": ["CPU, threads: 1"]}
    )
    scored_models, histories = {"good": predictions["good"]}, {"good": {0: history, 1: history[["seconds"]]}}
    cost = compare_models(scored_models, NAMES, SETTINGS, histories=histories, footprints={"good": footprint})["cost"]
    # Each epoch's own seconds; the first one used no GPU.
    assert cost["training_hours"].tolist() == [2.0, 2.0]
    assert cost["gpu_hours"].tolist() == [1.5, 0.0]
    assert cost["samples_per_second"][0] == 3 and np.isnan(cost["samples_per_second"][1])
    assert cost["parameters"].tolist() == [10, 10] and cost["seconds_per_scan"].tolist() == [0.25, 0.25]
    alone = compare_models(scored_models, NAMES, SETTINGS, histories=histories)["cost"]
    assert alone["parameters"].isna().all() and alone["training_hours"].tolist() == [2.0, 2.0]


def test_bands_are_listed_by_size(predictions):
    test = predictions["good"][0][1]
    ages = test["patient"].str[1:].astype(int) * 3
    metadata = test[["volume"]].assign(age=ages)
    settings = EvaluationSettings(replicates=20, min_group=1, bands={"age": (9, 60, 100)})
    table = compare_models({"good": {0: predictions["good"][0]}}, NAMES, settings, metadata)["subgroups"]
    assert list(table["group"].drop_duplicates()) == ["under 9", "9 to 60", "60 to 100", "100 and over"]


def test_folds_decide_by_thresholds_of_their_own_patients(make_predictions):
    folds = [make_predictions(k, 20, 1.5, k, prefix=f"f{k}p") for k in range(3)]
    per_pathology, overall = score_folds(folds, NAMES, SETTINGS)
    assert per_pathology["n"].sum() == sum(
        fold.drop_duplicates("scan")[[f"label {p}" for p in NAMES]].notna().sum().sum() for fold in folds
    )
    assert per_pathology["threshold"].isna().all()
    assert overall["low"].notna().all()
    changed = [folds[0].copy(), *folds[1:]]
    for name in NAMES:
        changed[0][f"label {name}"] = 1 - changed[0][f"label {name}"]
    (scores, before), (_, after) = (gather_folds(each, NAMES, SETTINGS) for each in (folds, changed))
    first = np.char.startswith(scores.units.astype(str), "f0")
    assert not np.array_equal(before[first], after[first])
    assert np.array_equal(before[~first], after[~first])
    assert len(set(scores.patients)) == 60
    with pytest.raises(TableError, match="patient f0p0 is in folds 0 and 1"):
        score_folds([folds[0], folds[0]], NAMES, SETTINGS)
    with pytest.raises(TableError, match="one fold"):
        score_folds(folds[:1], NAMES, SETTINGS)


def test_pooled_folds_are_averaged_over_seeds(make_predictions):
    seeds = {seed: [make_predictions(seed, 20, 1.5, k, prefix=f"f{k}p") for k in range(3)] for seed in (0, 1)}
    pairs = {seed: [(fold, fold) for fold in folds] for seed, folds in seeds.items()}
    table = fold_table({"m": pairs}, NAMES, SETTINGS).set_index(["pathology", "metric"])
    each = [score_folds(parts, NAMES, SETTINGS) for parts in seeds.values()]
    overall = [tables[1].set_index("metric").loc["f1_macro", "value"] for tables in each]
    assert table.loc[("(macro)", "f1_macro"), "value"] == pytest.approx(np.mean(overall), abs=1e-12)
    own = [tables[0].set_index("pathology").loc["B", "average_precision"] for tables in each]
    row = table.loc[("B", "average_precision")]
    assert row["value"] == pytest.approx(np.mean(own), abs=1e-12) and row["low"] < row["value"] < row["high"]


def test_an_ensemble_of_folds_is_the_mean_on_the_shared_test_split(make_predictions):
    def fold(k, seed):
        return make_predictions(seed, 20, 1.0, k, prefix=f"f{k}p"), make_predictions(10 * seed + k, 40, 1.0, 99)

    folds = {"m": {seed: [fold(k, seed) for k in range(3)] for seed in (0, 1)}}
    ensemble = fold_ensembles(folds, NAMES, SETTINGS)["m, 3 folds"]
    assert ensemble.members == 6
    tests = [test for parts in folds["m"].values() for _, test in parts]
    each = [prepare_model(test, test, NAMES, SETTINGS).test for test in tests]
    mean = np.mean([scores.probabilities for scores in each], axis=0)
    np.testing.assert_allclose(ensemble.scored.test.probabilities, mean, atol=1e-12)
    # The thresholds are of the out-of-fold scores: what the test split holds changes none of them.
    turned = {
        seed: [(val, test.assign(**{"label A": 1 - test["label A"]})) for val, test in parts]
        for seed, parts in folds["m"].items()
    }
    again = fold_ensembles({"m": turned}, NAMES, SETTINGS)["m, 3 folds"]
    np.testing.assert_array_equal(again.scored.thresholds, ensemble.scored.thresholds)
    assert len(ensemble.scored.validation.units) == sum(len(set(val["scan"])) for val, _ in folds["m"][0])


def test_folds_of_unlike_test_splits_make_no_ensemble(make_predictions, caplog):
    parts = [(make_predictions(0, 20, 1.0, k, prefix=f"f{k}p"), make_predictions(0, 40, 1.0, 50 + k)) for k in range(2)]
    assert fold_ensembles({"m": {0: parts}}, NAMES, SETTINGS) == {}
    assert "unlike test splits" in caplog.text


def test_each_ensemble_leaves_its_operating_points(predictions):
    tables = compare_models(predictions, NAMES, SETTINGS)
    names = {name for name in tables if name.startswith("operating_points/")}
    assert names == {f"operating_points/{name}" for name in ("good-2-seeds", "poor-2-seeds", "all-models")}
    scored_models = [prepare_model(*tables_, NAMES, SETTINGS) for tables_ in predictions["good"].values()]
    points = tables["operating_points/good-2-seeds"]
    np.testing.assert_array_equal(points["threshold"], ensemble_model(scored_models, SETTINGS).thresholds)

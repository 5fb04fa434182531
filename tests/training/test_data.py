"""Batches: which volumes, in which order, whatever the threads and the cache."""

import numpy as np
import pytest
import torch

from hounsfield.errors import StoreError
from hounsfield.training.data import VolumeBatches, balanced_weights, to_hu, to_input
from hounsfield.volumes.settings import PreprocessingSettings


def make(small_cohort, **changes):
    dataset, store = small_cohort
    settings = {"batch_size": 4, "seed": 3} | changes
    return VolumeBatches(dataset[dataset["split"] == "train"], ["bright", "low"], store, **settings)


def test_an_epoch_holds_every_volume_once_with_its_labels(small_cohort):
    batches = make(small_cohort)
    dataset, store = small_cohort
    keys = dataset.loc[dataset["split"] == "train", "key"].tolist()
    seen = list(batches.epoch(0))
    assert [len(batch.rows) for batch in seen] == [4, 4, 4, 2]
    assert sorted(np.concatenate([batch.rows for batch in seen])) == list(range(14))
    for batch in seen:
        np.testing.assert_array_equal(batch.labels, batches.labels[batch.rows])
        for volume, row in zip(batch.volumes, batch.rows, strict=True):
            np.testing.assert_array_equal(volume, store.read(keys[row]))


@pytest.mark.parametrize("changes", [{"workers": 1}, {"workers": 5}, {"cache_gb": 1.0}, {"cache_gb": 3e-5}])
def test_neither_threads_nor_cache_change_the_batches(small_cohort, changes):
    reference, other = make(small_cohort), make(small_cohort, **changes)
    for epoch in range(2):
        for one, two in zip(reference.epoch(epoch), other.epoch(epoch), strict=True):
            np.testing.assert_array_equal(one.rows, two.rows)
            assert torch.equal(one.volumes, two.volumes)


def test_the_order_depends_on_seed_and_epoch(small_cohort):
    batches = make(small_cohort)
    assert not np.array_equal(batches.order(0), batches.order(1))
    assert not np.array_equal(batches.order(0), make(small_cohort, seed=4).order(0))
    np.testing.assert_array_equal(batches.order(5), make(small_cohort).order(5))


def test_a_later_start_gives_the_rest_of_the_epoch(small_cohort):
    batches = make(small_cohort)
    whole = [batch.rows for batch in batches.epoch(1)]
    rest = [batch.rows for batch in batches.epoch(1, start=2)]
    assert [list(rows) for rows in whole[2:]] == [list(rows) for rows in rest]


def test_no_training_batch_holds_one_volume_as_batch_norm_fails_on_it(small_cohort):
    count = len(make(small_cohort).names)
    size = next(size for size in range(2, count) if count % size == 1)
    drawn = [batch.rows for epoch in range(20) for batch in make(small_cohort, batch_size=size).epoch(epoch)]
    assert {len(rows) for rows in drawn} == {size}
    assert set(np.concatenate(drawn)) == set(range(count))
    kept = make(small_cohort, batch_size=size, sampling="none")
    assert sum(len(batch.rows) for batch in kept.epoch(0)) == count
    assert len(kept) == len(make(small_cohort, batch_size=size)) + 1


def test_balanced_sampling_draws_rare_positives_more_often(small_cohort):
    labels = np.zeros((100, 2), np.float32)
    labels[:50, 0] = 1
    labels[:2, 1] = 1
    weights = balanced_weights(labels)
    assert weights.sum() == pytest.approx(1)
    assert weights[0] > 10 * weights[10] > 10 * weights[60]
    rows = make(small_cohort, sampling="balanced").order(0)
    assert len(rows) == 14 and len(set(rows)) < 14


def test_a_missing_volume_ends_the_epoch_with_its_path(small_cohort):
    dataset, store = small_cohort
    dataset = dataset.assign(key=dataset["key"].where(dataset.index != 3, "ffff"))
    with pytest.raises(StoreError, match="ffff"):
        list(VolumeBatches(dataset, ["bright", "low"], store, 4).epoch(0))


def test_windows_become_channels_from_minus_one_to_one():
    hu = torch.tensor([-2000.0, -1000, -300, 400, 3000]).view(1, 1, 5, 1, 1)
    x = to_input(hu, [(-1000, 400), (-300, 400)])
    torch.testing.assert_close(x[0, 0].flatten(), torch.tensor([-1.0, -1, 0, 1, 1]))
    torch.testing.assert_close(x[0, 1].flatten(), torch.tensor([-1.0, -1, -1, 1, 1]))


def test_uint8_comes_back_as_hu():
    settings = PreprocessingSettings((1, 1, 1), (2, 1, 1), "uint8", (-1000.0, 275.0))
    stored = torch.tensor([0, 255, 51], dtype=torch.uint8).view(1, 3, 1, 1)
    torch.testing.assert_close(to_hu(stored, settings).flatten(), torch.tensor([-1000.0, 275, -745]))

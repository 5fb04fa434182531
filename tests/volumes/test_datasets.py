"""The store as MONAI datasets: the same volumes from disk and from RAM, compressed there."""

import numpy as np
import pytest
from monai.data import CacheDataset, DataLoader
from monai.transforms import RandFlipd, ScaleIntensityRanged

from hounsfield.errors import StoreError
from hounsfield.volumes.datasets import stored_dataset, volumes_that_fit
from hounsfield.volumes.store import VolumeStore


@pytest.fixture
def cohort(tmp_path):
    store = VolumeStore(tmp_path)
    random = np.random.default_rng(0)
    records = []
    for index in range(6):
        voxels = np.full((10, 12, 14), -1000, np.int16)
        voxels[2:8] = random.integers(-200, 200, (6, 12, 14))
        store.write(f"{index:04d}", voxels)
        records.append({"key": f"{index:04d}", "label": index % 2})
    return records, store


@pytest.mark.parametrize("cache_gb", [0, 1, 5e-6])
def test_items_are_the_records_with_their_volumes(cohort, cache_gb):
    records, store = cohort
    dataset = stored_dataset(records, store, cache_gb=cache_gb)
    assert len(dataset) == 6
    for _ in range(2):
        for record, item in zip(records, dataset, strict=True):
            assert {name: item[name] for name in record} == record
            np.testing.assert_array_equal(item["image"][0], store.read(record["key"]))


def test_ram_holds_the_volumes_that_fit_compressed_and_reads_them_once(cohort, monkeypatch):
    records, store = cohort
    sizes = [store.size(record["key"]) for record in records]
    dataset = stored_dataset(records, store, cache_gb=sum(sizes[:4]) / 1e9)
    assert isinstance(dataset, CacheDataset) and dataset.cache_num == 4
    read = []
    read_compressed = store.read_compressed
    monkeypatch.setattr(store, "read_compressed", lambda key: read.append(key) or read_compressed(key))
    for _ in range(3):
        list(dataset)
    assert [read.count(record["key"]) for record in records] == [1, 1, 1, 1, 3, 3]
    assert sum(len(item["image"].frame) for item in dataset._cache) <= sum(sizes[:4])
    assert volumes_that_fit(store, [record["key"] for record in records], 0) == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_monais_transforms_and_loader_take_it(cohort, workers):
    records, store = cohort
    window = ScaleIntensityRanged("image", -1000, 1000, -1, 1, clip=True)
    flip = RandFlipd("image", prob=1.0, spatial_axis=2)
    loader = DataLoader(stored_dataset(records, store, [window, flip], cache_gb=1), batch_size=4, num_workers=workers)
    batches = list(loader)
    assert [tuple(batch["image"].shape) for batch in batches] == [(4, 1, 10, 12, 14), (2, 1, 10, 12, 14)]
    expected = np.clip(store.read("0000") / 1000, -1, 1)[..., ::-1]
    np.testing.assert_allclose(batches[0]["image"][0, 0], expected, atol=1e-6)
    assert batches[0]["label"].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("cache_gb", [0, 1])
def test_damage_is_an_error_of_the_store(cohort, cache_gb):
    records, store = cohort
    dataset = stored_dataset(records, store, cache_gb=cache_gb)
    content = bytearray(store.path("0003").read_bytes())
    content[-3] ^= 1
    store.path("0003").write_bytes(content)
    with pytest.raises(StoreError, match=r"0003.*damaged"):
        dataset[3]
    assert dataset[2]["key"] == "0002"

"""A store that makes a volume again which is missing or damaged, from the tables that tell of its source."""

import logging
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from hounsfield.errors import StoreError
from hounsfield.layout import RunFolder
from hounsfield.tables import read_table
from hounsfield.volumes.preprocess import SHARD_TEXT, store_volume
from hounsfield.volumes.settings import PreprocessingSettings
from hounsfield.volumes.store import CompressedVolume, VolumeStore

log = logging.getLogger(__name__)


class RemakingStore(VolumeStore):
    """The volumes of one cohort.

    tables: the folder of its `shards/` (what is to be read, and how) and `stored/` (what became of it).
    """

    def __init__(self, root: str | os.PathLike, tables: Path, preprocessing: PreprocessingSettings):
        super().__init__(root)
        self.tables, self.preprocessing = tables, preprocessing

    def read_compressed(self, key: str) -> CompressedVolume:
        """As the store's; raises StoreError only for a volume whose source cannot be read any more."""
        try:
            return super().read_compressed(key)
        except StoreError as error:
            self._remake(key, error)
        return super().read_compressed(key)

    def size(self, key: str) -> int:
        """As the store's."""
        try:
            return super().size(key)
        except StoreError as error:
            self._remake(key, error)
        return super().size(key)

    def _remake(self, key: str, error: StoreError) -> None:
        row = self._rows.get(key)
        if row is None:
            raise error
        log.warning("%s; it is made again from %s", error, row["path"])
        self.path(key).unlink(missing_ok=True)
        found = store_volume(row, self, self.preprocessing)
        if found.get("reason"):
            raise StoreError(f"{error}, and its source cannot be read ({row['path']}: {found['detail']})") from error
        if found["key"] != key:
            detail = f"its source {row['path']} has changed; run the same command with --forcerun manifest"
            raise StoreError(f"{error}, and {detail}") from error

    @cached_property
    def _rows(self) -> Mapping[str, dict[str, Any]]:
        """The row of shards/*.tsv of each key."""
        rows: dict[str, dict[str, Any]] = {}
        for path in sorted((self.tables / "stored").glob("*.tsv")):
            shard = self.tables / "shards" / path.name
            if shard.is_file():
                stored = read_table(path, text=["volume", "key"])[["volume", "key"]]
                both = read_table(shard, text=SHARD_TEXT).merge(stored, on="volume")
                rows |= {row["key"]: row for row in both.to_dict("records")}
        return rows


def store_of_run(config: Mapping[str, Any], dataset: str | os.PathLike) -> RemakingStore:
    """The store of the run (or fold) to which `dataset`, its dataset.tsv, belongs. Raises ConfigError."""
    cohort = RunFolder(Path(dataset).absolute().parents[1]).whole.cohort("dataset").parent
    return store_of_tables(config, cohort)


def store_of_shard(config: Mapping[str, Any], stored: str | os.PathLike) -> RemakingStore:
    """The store of the shard whose `stored` table is given. Raises ConfigError."""
    return store_of_tables(config, Path(stored).parents[1])


def store_of_tables(config: Mapping[str, Any], tables: Path) -> RemakingStore:
    """The store that `config` names, for the cohort of `tables`. Raises ConfigError."""
    # Where the store lies is no rule's parameter: moving it changes no result.
    return RemakingStore(config["store"], tables, PreprocessingSettings.from_config(config["preprocessing"]))

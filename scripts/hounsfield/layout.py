"""The layout of `results/{name}`: which result lies where. Whoever reads a run's files asks here.

The rules spell the same paths out, as a workflow is read by them; a test compares both.

Parts of a path may be Snakemake's wildcards, such as "{model}".
"""

import os
from dataclasses import dataclass
from pathlib import Path

FOLDS = "folds"


@dataclass(frozen=True)
class RunFolder:
    """`results/{name}`, or `results/{name}/folds/{k}` of a further fold, which has no shards, comparison or report."""

    path: Path

    def cohort(self, table: str) -> Path:
        """A table of the cohort: dataset, excluded, summary; of a whole run also manifest, unmatched, metadata."""
        return self.path / "cohort" / f"{table}.tsv"

    def shard(self, shard: str) -> Path:
        """The volumes that a shard is to prepare."""
        return self.path / "cohort" / "shards" / f"{shard}.tsv"

    def stored(self, shard: str) -> Path:
        """What a shard has prepared, or why not."""
        return self.path / "cohort" / "stored" / f"{shard}.tsv"

    def checkpoint(self, model: str, seed: int | str, name: str = "best") -> Path:
        """A trained network: best or final."""
        return self._of("models", model, seed) / f"{name}.pth"

    def history(self, model: str, seed: int | str) -> Path:
        """The training's epochs."""
        return self._of("models", model, seed) / "history.tsv"

    def predictions(self, model: str, seed: int | str, split: str) -> Path:
        """Logits and labels of a split."""
        return self._of("predictions", model, seed) / f"{split}.tsv"

    def metrics(self, model: str, seed: int | str, table: str) -> Path:
        """per_pathology, overall or operating_points."""
        return self._of("metrics", model, seed) / f"{table}.tsv"

    def exports(self, model: str, seed: int | str) -> Path:
        """The folder of a network's formats for other tools."""
        return self._of("exports", model, seed)

    def footprint(self, model: str) -> Path:
        """What a network costs to use."""
        return self.path / "footprints" / f"{model}.tsv"

    def explanations(self, model: str) -> Path:
        """The folder of a model's maps."""
        return self.path / "explanations" / model

    @property
    def comparison(self) -> Path:
        """The folder of the tables of all models."""
        return self.path / "comparison"

    @property
    def page(self) -> Path:
        """The report."""
        return self.path / "report" / "index.html"

    @property
    def benchmarks(self) -> Path:
        """The folder of Snakemake's benchmarks."""
        return self.path / "benchmarks"

    @property
    def whole(self) -> "RunFolder":
        """The run that a fold belongs to; a run's is its own."""
        return RunFolder(self.path.parents[1]) if self.path.parent.name == FOLDS else self

    @property
    def spoken(self) -> str:
        """The run's name, with the fold if it is one."""
        return self.path.name if self.whole == self else f"{self.whole.path.name}, fold {self.path.name}"

    def _of(self, kind: str, model: str, seed: int | str) -> Path:
        return self.path / kind / model / f"seed{seed}"


@dataclass(frozen=True)
class Trained:
    """Whose network a checkpoint holds: run, model and seed, by where it lies."""

    run: RunFolder
    model: str
    seed: str


def trained_of(checkpoint: str | os.PathLike) -> Trained | None:
    """Run, model and seed of `results/{name}/models/{model}/seed{seed}/best.pth`; None for a checkpoint elsewhere."""
    parents = Path(checkpoint).absolute().parents
    usual = len(parents) > 3 and parents[2].name == "models" and parents[0].name.startswith("seed")
    if not usual:
        return None
    return Trained(RunFolder(parents[3]), parents[1].name, parents[0].name.removeprefix("seed"))

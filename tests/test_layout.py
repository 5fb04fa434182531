"""The library finds a run's files where the rules put them."""

import re
from pathlib import Path

import pytest

from hounsfield.layout import RunFolder, trained_of

RULES = Path(__file__).parents[1] / "workflow" / "rules"
RUN = RunFolder(Path("RUN"))
PLACES = [
    *(RUN.cohort(table) for table in ("manifest", "unmatched", "metadata", "dataset", "excluded", "summary")),
    RUN.shard("{shard}"),
    RUN.stored("{shard}"),
    RUN.checkpoint("{model}", "{seed}"),
    RUN.checkpoint("{model}", "{seed}", "final"),
    RUN.history("{model}", "{seed}"),
    RUN.predictions("{model}", "{seed}", "{split}"),
    *(RUN.metrics("{model}", "{seed}", table) for table in ("per_pathology", "overall", "operating_points")),
    RUN.exports("{model}", "{seed}"),
    RUN.footprint("{model}"),
    RUN.explanations("{model}"),
    RUN.comparison,
    RUN.page,
]


@pytest.fixture(scope="module")
def outputs():
    """Paths that the rules' outputs name, below whichever folder of a run."""
    texts = [path.read_text() for path in RULES.glob("*.smk")]
    blocks = [block for text in texts for block in re.findall(r"    output:\n(.*?)\n    log:", text, flags=re.S)]
    named = {path for block in blocks for path in re.findall(r'f"\{(?:RUN|RESULTS)\}/([^"]+)"', block)}
    return {path.replace("{{", "{").replace("}}", "}") for path in named}


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_rules_put_it_there(place, outputs):
    assert str(place.relative_to("RUN")) in outputs


def test_a_fold_is_known_by_its_folder():
    run = RunFolder(Path("results/mine"))
    fold = RunFolder(Path("results/mine/folds/2"))
    assert fold.whole == run and run.whole == run
    assert (run.spoken, fold.spoken) == ("mine", "mine, fold 2")


def test_a_checkpoint_tells_its_run_and_others_do_not(tmp_path):
    for run in (RunFolder(tmp_path / "results/mine"), RunFolder(tmp_path / "results/mine/folds/1")):
        trained = trained_of(run.checkpoint("vit", 3))
        assert (trained.run, trained.model, trained.seed) == (run, "vit", "3")
    assert trained_of(tmp_path / "best.pth") is None
    assert trained_of("best.pth") is None

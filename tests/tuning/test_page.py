"""What a search leaves: the table, the best block and the page, of trials that are made up."""

import re
from html import escape
from pathlib import Path

import pandas as pd
import pytest
import yaml

from hounsfield.config import check_config
from hounsfield.errors import TrainingError
from hounsfield.tables import read_table, write_table
from hounsfield.training.checkpoints import save_checkpoint
from hounsfield.tuning import search as searching
from hounsfield.tuning.page import write_outcome
from hounsfield.tuning.search import work

ROOT = Path(__file__).parents[2]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
HOSTILE = "<script>alert('größer')</script> & co"


@pytest.fixture
def made_up(monkeypatch):
    """Training that knows at once how well it goes: the better, the closer the learning rate is to 0.001."""

    def train(job, stop_after):
        rate = job.training.learning_rate
        if rate > 0.005:
            raise TrainingError(HOSTILE)
        epochs = range(stop_after)
        values = [0.9 - 0.1 * abs(rate - 0.001) / 0.001 + 0.01 * epoch for epoch in epochs]
        history = {"epoch": epochs, "val_roc_auc_macro": values, "val_loss": [1 - value for value in values]}
        write_table(pd.DataFrame(history | {"seconds": 60.0}), job.directory / "history.tsv")
        save_checkpoint({"epoch": stop_after - 1}, job.directory / "best.pth")

    monkeypatch.setattr(searching, "train_model", train)


def outcome(search, folder, model="mine"):
    work(search)
    paths = [folder / name for name in ("trials.tsv", "best.yaml", "index.html")]
    write_outcome(search, "cohort", model, *paths)
    return read_table(paths[0], text=["state"]), paths[1].read_text(), paths[2].read_text()


def test_the_best_is_the_best_of_those_trained_to_the_end(made_up, make_search, tmp_path):
    space = {"options.mlp_dim": {"low": 16, "high": 64, "step": 16}}
    search = make_search({"trials": 24, "space": space})
    table, best, page = outcome(search, tmp_path)
    assert set(table["state"]) == {"complete", "pruned", "failed"}
    complete = table[table["state"] == "complete"]
    row = complete.loc[complete["value"].idxmax()]
    block = yaml.safe_load(best)["mine"]
    assert block["training"]["learning_rate"] == row["training.learning_rate"]
    assert block["training"]["epochs"] == 3 and block["options"]["mlp_dim"] == row["options.mlp_dim"]
    assert block["options"]["patch_size"] == 8 and block["architecture"] == "vit3d"
    assert f"trial {row['number']}: roc_auc_macro {row['value']:.4f} on validation" in best
    assert row["value"] > complete["value"][0], "the search found nothing"
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    check_config(config | {"models": yaml.safe_load(best)}, SCHEMA)
    assert f"Trial {row['number']}</strong> has the highest" in page
    failed = table[table["state"] == "failed"]
    assert (failed["message"] == HOSTILE).all() and failed["value"].isna().all()
    assert (table.loc[table["state"] != "failed", "seconds"] % 60 == 0).all()


def test_the_page_is_whole_and_safe(made_up, make_search, tmp_path):
    _, _, page = outcome(make_search({"trials": 24}), tmp_path, model=HOSTILE)
    assert HOSTILE not in page and escape(HOSTILE, quote=False).replace("'", "&#39;") in page
    assert page.count("<script>") == 1 and "default-src 'none'" in page
    assert all(link.startswith(("#", "data:")) for link in re.findall(r'(?:src|href)="([^"]*)"', page))
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    # Legend, history, importance, and a slice for each of three parameters.
    labels = re.findall(r'<svg role="img" aria-label="([^"]*)"', page)
    assert len(labels) == 6 and "Importance of each parameter" in labels
    assert "mathdefault" not in page
    assert not re.search(r"\bnan\b", re.sub(r"<style.*?</style>|data:[^\"]*", "", page, flags=re.S), re.IGNORECASE)


def test_the_lowest_loss_is_the_best(made_up, make_search, tmp_path):
    search = make_search({"trials": 16, "metric": "loss"}, block=without_loss(make_search))
    table, best, page = outcome(search, tmp_path)
    complete = table[table["state"] == "complete"]
    assert yaml.safe_load(best)["mine"]["training"]["learning_rate"] == pytest.approx(
        complete.loc[complete["value"].idxmin(), "training.learning_rate"]
    )
    assert "has the lowest" in page


def without_loss(make_search):
    block = make_search().spec["block"]
    space = block["tune"]["space"] | {"training.loss.kind": None}
    return block | {"tune": {"space": space}}


def test_where_nothing_is_better_the_configuration_stays(made_up, make_search, tmp_path):
    training = {"epochs": 4, "batch_size": 7, "amp": "off", "learning_rate": 0.001}
    search = make_search({"trials": 3}, training=training)
    _, best, page = outcome(search, tmp_path)
    block = yaml.safe_load(best)["mine"]
    assert block == search.spec["block"] | {"training": {"epochs": 3}}
    assert "No trial is better than the configuration as it is" in page and "the configuration as it is" in best

"""The search: its trials, their rungs, and what interrupts them."""

import multiprocessing
import os
import signal
import time

import numpy as np
import pandas as pd
import pytest
from optuna.trial import TrialState, create_trial

from hounsfield.errors import ConfigError, TrainingError
from hounsfield.tables import read_table
from hounsfield.training import trainer
from hounsfield.tuning import search as searching
from hounsfield.tuning.outcome import finished_trials, trials_table
from hounsfield.tuning.search import work
from hounsfield.tuning.study import SharedStudy


def table_of(search):
    """The trials without the time they took."""
    return trials_table(search, search.study.open().get_trials()).drop(columns="seconds")


def test_trials_are_drawn_trained_and_compared(make_search):
    search = make_search({"trials": 6})
    done = work(search)
    table = table_of(search)
    assert done.groupby("number")["epochs"].max().tolist() == table["epochs"].tolist()
    assert table.loc[0, ["training.learning_rate", "training.loss.kind"]].isna().all()
    drawn = table[1:]
    assert drawn["training.learning_rate"].between(0.0001, 0.01).all() and drawn["training.learning_rate"].is_unique
    assert set(drawn["training.loss.kind"]) <= {"bce", "focal"}
    assert set(table["epochs"]) == {1, 3}
    assert (table["state"] == table["epochs"].map({1: "pruned", 3: "complete"})).all()
    assert table["value"].between(0, 1).all() and table["message"].isna().all()
    finished_trials(search)
    assert not list(search.study.folder.rglob("*.pth"))
    assert len(work(search)) == 0  # all is done


def test_the_best_at_a_rung_go_on_and_so_does_the_configuration_as_it_is(make_search):
    search = make_search({"trials": 8})
    work(search)
    trials = search.study.open().get_trials()
    went_on = {trial.number for trial in trials if 3 in trial.intermediate_values}
    ranked = sorted(trials, key=lambda trial: (-trial.intermediate_values[1], trial.number))
    assert {trial.number for trial in ranked[:4]} | {0} <= went_on < set(range(8))


@pytest.mark.parametrize("lower_is_better", [False, True])
def test_who_goes_on_and_in_which_order(tmp_path, lower_is_better):
    def trial(number, state=TrialState.RUNNING, **values):
        reached = {int(rung[1:]): -value if lower_is_better else value for rung, value in values.items()}
        made = create_trial(state=state, intermediate_values=reached, value=0 if state == TrialState.COMPLETE else None)
        made.number = number
        return made

    study = SharedStudy(tmp_path, {}, (1, 3, 9), lower_is_better, 2, 0)
    trials = [
        trial(0, e1=0.1),  # the configuration as it is goes on in any case
        trial(1, e1=0.9, e3=0.7),
        trial(2, e1=0.8, e3=0.8),
        trial(3, TrialState.FAIL, e1=0.7),
        trial(4, e1=0.6),
        trial(5, e1=0.5),
        trial(6),  # interrupted before its first rung
        trial(7, e1=0.2),
        trial(8, e1=0.3, e3=0.9, e9=0.5),  # killed before it was told that it had ended
        trial(9, TrialState.COMPLETE, e1=0.55, e3=0.85, e9=0.6),
    ]
    assignments = [(assignment.trial.number, assignment.rung) for assignment in study.assignments(trials)]
    # At 3: 0.9 and 0.85 are the best two of four, and both have gone on. At 1: 0.6 is fourth of nine, 0.55 fifth.
    assert assignments == [(8, 9), (4, 3), (0, 3), (6, 1)]


def test_a_trial_that_went_on_ends_as_if_it_had_not_paused(make_search, make_job):
    """Nothing of a training shows that it paused at rungs: one schedule, and the checkpoint holds the rest."""
    search = make_search({"trials": 1, "rungs": [1, 2, 4]})
    work(search)
    whole = search.job({}, make_job(directory="whole").directory)
    trainer.train_model(whole)
    untimed = ["epoch", "step", "train_loss", "val_loss", "learning_rate", "val_roc_auc_macro"]
    paths = (search.study.trial_folder(0) / "history.tsv", whole.directory / "history.tsv")
    one, other = (read_table(path)[untimed] for path in paths)
    assert len(one) == 4
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_the_same_seed_gives_the_same_trials_and_another_seed_others(make_search, tmp_path):
    tables = {}
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        search = make_search({"seed": seed}, directory=tmp_path / name)
        work(search)
        tables[name] = table_of(search)
    pd.testing.assert_frame_equal(tables["one"], tables["again"], check_exact=True)
    assert not tables["one"]["training.learning_rate"].equals(tables["other"]["training.learning_rate"])


def test_the_test_split_is_not_read(make_search, small_cohort, tmp_path):
    dataset, _ = small_cohort
    poisoned = dataset.copy()
    poisoned.loc[poisoned["split"] == "test", ["bright", "low"]] = np.nan
    poisoned.loc[poisoned["split"] == "test", "key"] = "0" * 32  # no such volume is in the store
    tables, folders = [], set()
    for name, rows in (("all", dataset), ("less", dataset[dataset["split"] != "test"]), ("poisoned", poisoned)):
        search = make_search(directory=tmp_path / name, dataset=rows)
        work(search)
        tables.append(table_of(search))
        folders.add(search.study.folder.name)
    assert len(folders) == 1
    for table in tables[1:]:
        pd.testing.assert_frame_equal(tables[0], table, check_exact=True)


def test_a_trial_that_fails_is_named_and_the_others_go_on(make_search):
    search = make_search(
        {"trials": 5, "space": {"options.num_heads": {"choices": [3, 5]}}},  # 48 is no multiple of 5
    )
    work(search)
    table = table_of(search).set_index("number")
    impossible = table["options.num_heads"] == 5
    assert impossible.any() and (~impossible).any()
    assert (table["state"] == "failed").equals(impossible)
    assert table.loc[impossible, "message"].str.contains("vit3d").all()
    assert table.loc[impossible, "value"].isna().all()


def test_a_loss_that_is_not_finite_fails_its_trial_alone(make_search, monkeypatch):
    original = searching.train_model

    def diverging(job, **arguments):
        if job.directory.name == "0001":
            raise TrainingError("the loss is not finite")
        original(job, **arguments)

    monkeypatch.setattr(searching, "train_model", diverging)
    search = make_search()
    work(search)
    table = table_of(search)
    assert list(table["state"] == "failed") == [False, True, False, False]
    assert table["message"][1] == "the loss is not finite"


def test_where_all_trials_fail_an_error_says_so(make_search, monkeypatch):
    def failing(job, **arguments):
        raise TrainingError("the loss is not finite")

    monkeypatch.setattr(searching, "train_model", failing)
    search = make_search()
    work(search)
    with pytest.raises(TrainingError, match="none of 4 trials came to its end; the first said: the loss is not finite"):
        finished_trials(search)


def test_an_error_of_the_data_ends_the_worker_and_the_trial_is_taken_up_again(make_search, monkeypatch):
    search = make_search()
    with monkeypatch.context() as patch:
        patch.setattr(searching, "train_model", lambda job, **arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            work(search)
    assert list(table_of(search)["state"]) == ["unfinished"]
    work(search)
    assert len(table_of(search)) == 4 and "unfinished" not in set(table_of(search)["state"])


def test_more_trials_go_on_from_those_that_are_there(make_search, tmp_path):
    few, many = make_search({"trials": 2}), make_search({"trials": 4})
    work(few)
    first = table_of(few)
    assert set(work(many)["number"]) >= {2, 3}
    drawn = ["training.learning_rate", "training.loss.kind"]
    assert first[drawn].equals(table_of(many)[drawn][:2])
    whole = make_search({"trials": 4}, directory=tmp_path / "whole")
    work(whole)
    pd.testing.assert_frame_equal(table_of(many), table_of(whole), check_exact=True)


def test_other_settings_have_a_study_of_their_own(make_search, small_cohort):
    dataset, _ = small_cohort
    folders = {
        make_search(**changes).study.folder
        for changes in (
            {},
            {"tune": {"rungs": [1, 2]}},
            {"tune": {"metric": "average_precision_macro"}},
            {"tune": {"seed": 1}},
            {"tune": {"space": {"training.weight_decay": {"low": 0.0, "high": 1.0}}}},
            {"code": "edited"},
            {"dataset": dataset[1:]},
        )
    }
    # The space of the model lies over the common one, and has no weight decay.
    assert len(folders) == 6
    assert make_search({"workers": 3, "trials": 9, "wandb": "offline"}).study.folder == make_search().study.folder


def test_losses_that_differ_cannot_be_compared(make_search):
    with pytest.raises(ConfigError, match=r"tune\.metric: loss cannot compare different losses"):
        make_search({"metric": "loss"})


def start(search):
    process = multiprocessing.get_context("forkserver").Process(target=work, args=(search,))
    process.start()
    return process


def wait_for_a_trial(search):
    deadline = time.monotonic() + 120
    while not list(search.study.folder.glob("trials/*/last.pth")):
        assert time.monotonic() < deadline, "no trial begins"
        time.sleep(0.01)


def test_killed_again_and_again_the_search_ends_with_the_same_trials(make_search, tmp_path):
    """SIGKILL at moments spread over the search, in trials and between them."""
    training = {"epochs": 3, "batch_size": 7, "amp": "off", "checkpoint_minutes": 1e-9}
    whole, broken = (make_search(training=training, directory=tmp_path / name) for name in ("whole", "broken"))
    started = time.monotonic()
    process = start(whole)
    process.join()
    assert process.exitcode == 0
    patience, random, kills = time.monotonic() - started, np.random.default_rng(0), 0
    process = start(broken)
    while process.exitcode != 0:
        # The first kill waits for a trial that has begun, whatever the machine's speed; the others come as they come.
        if kills:
            process.join(random.uniform(0.3, 0.9) * patience)
            patience *= 1.05
        else:
            wait_for_a_trial(broken)
        if process.exitcode is None:
            process.kill()
            process.join()
        if process.exitcode != 0:
            assert process.exitcode == -signal.SIGKILL
            kills += 1
            assert kills < 60, "the search gets nowhere"
            process = start(broken)
    pd.testing.assert_frame_equal(table_of(whole), table_of(broken), check_exact=True)


def test_workers_share_the_trials_and_one_takes_up_what_another_left(make_search):
    search = make_search({"trials": 6})
    first, second = start(search), start(search)
    journal = search.study.folder / "journal.log"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (journal.exists() and journal.read_text().count("\n") > 6):
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    second.join()
    assert second.exitcode == 0
    table = table_of(search)
    assert len(table) == 6 and set(table["state"]) <= {"complete", "pruned"}


def test_half_a_line_of_a_killed_writer_is_cut_off(make_search):
    search = make_search({"trials": 2})
    work(search)
    journal = search.study.folder / "journal.log"
    with open(journal, "a") as file:
        file.write('{"op_code":4,"wor')
    more = make_search({"trials": 3})
    work(more)
    assert list(table_of(more)["number"]) == [0, 1, 2]
    assert '"wor{' not in journal.read_text()

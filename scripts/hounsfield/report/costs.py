"""Tables of what models and stages cost."""

import pandas as pd

from hounsfield.report.answers import best_first
from hounsfield.report.results import Results
from hounsfield.report.tables import Table, duration, heading, make_table, number, offered, words

MILLION = 1e6


def quality_and_cost_table(results: Results) -> Table | None:
    """Each model's macro AUROC beside what it costs to train and to use; None without a table of costs."""
    frame = results.comparison.get("cost")
    if frame is None or frame.empty:
        return None
    models = results.comparison["models"]
    quality = models[models["metric"] == "roc_auc_macro"].set_index("model").to_dict("index")
    rows = []
    for model in best_first(results):
        runs = frame[frame["model"] == model]
        if runs.empty:
            continue
        score, first = quality.get(model, {}), runs.iloc[0]
        hours = (3600 * runs[name].mean() if name in runs else None for name in ("training_hours", "gpu_hours"))
        parameters = first.get("parameters")
        rows.append(
            [
                heading(model),
                number(score.get("value"), 3, score.get("low"), score.get("high"), "undefined"),
                *(duration(each) for each in hours),
                number(None if parameters is None else parameters / MILLION, 2, reason="not measured"),
                number(first.get("gigaflops"), 2, reason="not measured"),
                number(first.get("seconds_per_scan"), 3, reason="not measured"),
                words(first.get("device")),
            ]
        )
    columns = ["Model", "AUROC, macro", "Training time", "GPU time", "Parameters, millions", "GFLOPs a scan"]
    note = (
        "Times are the mean of a training. GFLOPs count convolutions and matrix products of one volume, a "
        "multiplication and an addition as two. Seconds go from the store to the scores, one volume at a time."
    )
    columns += ["Seconds a scan", "Measured on"]
    return make_table("Quality and cost", columns, rows, note, offered(frame, "cost.tsv"))


def training_table(results: Results) -> Table:
    """What each training took, as its history says."""
    rows = []
    for model, seeds in results.histories.items():
        for seed, table in seeds.items():
            rows.append(
                [
                    heading(f"{model}, seed {seed}"),
                    number(len(table), 0),
                    # Each epoch's own seconds.
                    duration(table["seconds"].sum(min_count=1)),
                    number(table["samples_per_second"].median(), 1),
                    number(100 * table["data_wait_share"].mean(), 1),
                    number(table["peak_memory_mb"].max() / 1024, 1),
                    number(table["peak_gpu_memory_mb"].max() / 1024, 1, reason="no GPU"),
                ]
            )
    columns = ["Run", "Epochs", "Time", "Volumes per second", "Waiting for data, %", "Memory, GiB", "GPU memory, GiB"]
    return make_table("What training took", columns, rows)


def stages_table(results: Results) -> Table | None:
    """Time and memory of each stage, as Snakemake measured them."""
    if results.stages.empty:
        return None
    rows = [
        [
            heading(row["stage"].replace("_", " ")),
            number(row["jobs"], 0),
            duration(row["seconds"]),
            duration(row["processor_seconds"]),
            number(row["memory_gib"], 1, reason="not measured"),
        ]
        for row in results.stages.to_dict("records")
    ]
    columns = ["Stage", "Jobs", "Time", "Processor time", "Largest memory, GiB"]
    return make_table("What each stage took", columns, rows)


def total_time(results: Results) -> str:
    """All jobs' time together; "" if Snakemake measured none."""
    seconds = results.stages["seconds"].sum(min_count=1)
    return "" if pd.isna(seconds) else duration(seconds).text

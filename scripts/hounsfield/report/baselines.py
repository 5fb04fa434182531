"""What the baselines are, and what they say of the labels."""

from hounsfield.report.results import Results


def note(results: Results) -> str:
    """What each baseline is, in sentences; "" without any."""
    return " ".join(f"{name} is a baseline: {_described(block)}." for name, block in sorted(results.baselines.items()))


def leaks(results: Results) -> list[str]:
    """A sentence for each baseline without voxels that ranks a label beyond chance, all labels counted together."""
    said = []
    table = results.comparison.get("chance")
    for name, block in sorted(results.baselines.items()):
        if table is None or block["kind"] != "metadata":
            continue
        own = table[table["model"] == name]
        beyond = own[own["beyond_chance"] == "yes"]
        if len(beyond):
            labels = ", ".join(_with_interval(row) for row in beyond.to_dict("records"))
            said.append(
                f"{name} sees no voxel, and yet its AUROC is beyond chance for {len(beyond)} of {len(own)} labels, all "
                f"labels counted together: {labels}. What it sees (acquisition, age, sex) goes along with these labels "
                "in this cohort; a network may use that in place of the finding, which this does not show."
            )
    return said


def _with_interval(row: dict) -> str:
    return f"{row['pathology']} ({row['roc_auc']:.3f}, {row['low']:.3f} to {row['high']:.3f})"


def _described(block: dict) -> str:
    if block["kind"] == "linear_probe":
        return f"logistic regression on the features of {block['model']}"
    return "what metadata tell without a voxel"

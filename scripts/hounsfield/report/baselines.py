"""What the baselines are, and what they say of the labels."""

from hounsfield.report.results import Results


def note(results: Results) -> str:
    """What each baseline is, in sentences; "" without any."""
    return " ".join(f"{name} is a baseline: {_described(block)}." for name, block in sorted(results.baselines.items()))


def leaks(results: Results) -> list[str]:
    """A sentence for each baseline without voxels whose AUROC of a label leaves chance out of its interval."""
    said = []
    for name, block in sorted(results.baselines.items()):
        table = results.first[name]
        beyond = table[(table["roc_auc_low"] > 0.5) | (table["roc_auc_high"] < 0.5)]
        if block["kind"] == "metadata" and len(beyond):
            labels = ", ".join(_with_interval(row) for row in beyond.to_dict("records"))
            said.append(
                f"{name} sees no voxel, and yet its AUROC is beyond chance for {len(beyond)} of {len(table)} labels, "
                f"each interval by itself: {labels}. These labels leak through acquisition, or go with age or sex, and "
                "a network may score there without seeing the finding."
            )
    return said


def _with_interval(row: dict) -> str:
    return f"{row['pathology']} ({row['roc_auc']:.3f}, {row['roc_auc_low']:.3f} to {row['roc_auc_high']:.3f})"


def _described(block: dict) -> str:
    if block["kind"] == "linear_probe":
        return f"logistic regression on the features of {block['model']}"
    return "what metadata tell without a voxel"

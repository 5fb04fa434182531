"""What training looks at after each epoch, to choose the best one."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import nn

from hounsfield.training.data import VolumeBatches, to_hu, to_input
from hounsfield.training.precision import Precision
from hounsfield.volumes.settings import PreprocessingSettings


@torch.inference_mode()
def predict_logits(
    model: nn.Module,
    batches: VolumeBatches,
    preprocessing: PreprocessingSettings,
    windows: Sequence[tuple[float, float]],
    precision: Precision,
    flip: bool = False,
) -> np.ndarray:
    """Logits (N, P) float32 of all volumes, in the order of the dataset's rows; `flip` averages in the mirror image.

    The processes of the batches' world each score their share, and all get the whole.
    """
    model.eval()
    parts, rows = [], []
    for batch in batches.epoch(0):
        hu = to_hu(batch.volumes.to(precision.device, non_blocking=True), preprocessing)
        x_BCDHW = precision.layout(to_input(hu, windows))
        with precision.autocast():
            logits = model(x_BCDHW).float()
            if flip:
                logits = (logits + model(x_BCDHW.flip(-1)).float()) / 2
        parts.append(logits)
        rows.append(batch.rows)
    scored = torch.cat(parts).cpu()
    logits = torch.zeros(len(batches.names), scored.shape[1])
    logits[torch.from_numpy(np.concatenate(rows))] = scored
    return batches.world.total(logits).numpy()


def validation_metrics(logits: np.ndarray, labels: np.ndarray, pathologies: Sequence[str]) -> dict[str, float]:
    """AUROC and average precision of each label and their means over the labels that have both kinds.

    logits, labels: (N, P), a label nan where unknown. An undefined metric is nan.
    """
    auc, precision = {}, {}
    for column, name in enumerate(pathologies):
        known = ~np.isnan(labels[:, column])
        truth, score = labels[known, column], logits[known, column]
        defined = len(np.unique(truth)) == 2
        auc[name] = float(roc_auc_score(truth, score)) if defined else np.nan
        precision[name] = float(average_precision_score(truth, score)) if defined else np.nan
    result = {
        "val_roc_auc_macro": _mean(auc.values()),
        "val_average_precision_macro": _mean(precision.values()),
    }
    return result | {f"val_roc_auc {name}": value for name, value in auc.items()}


def _mean(values: Iterable[float]) -> float:
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")

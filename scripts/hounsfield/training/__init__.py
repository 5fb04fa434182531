"""Training: data, augmentation, losses, the loop, checkpoints."""

from hounsfield.training.checkpoints import find_latest_checkpoint, load_checkpoint, save_checkpoint
from hounsfield.training.early_stopping import EarlyStopping
from hounsfield.training.job import TrainingJob
from hounsfield.training.trainer import train_epoch, train_model, validate_epoch

__all__ = [
    "EarlyStopping",
    "TrainingJob",
    "find_latest_checkpoint",
    "load_checkpoint",
    "save_checkpoint",
    "train_epoch",
    "train_model",
    "validate_epoch",
]

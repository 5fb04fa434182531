"""Training: data, augmentation, losses, the loop, checkpoints."""

from hounsfield.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "EarlyStopping": "early_stopping",
        "TrainingJob": "job",
        "find_latest_checkpoint": "checkpoints",
        "load_checkpoint": "checkpoints",
        "save_checkpoint": "checkpoints",
        "train_epoch": "trainer",
        "train_model": "trainer",
        "validate_epoch": "trainer",
    },
)

"""All that training carries from one step to the next, and that a checkpoint must hold."""

import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hounsfield.errors import CheckpointError, one_line
from hounsfield.models.settings import ModelSettings
from hounsfield.training.early_stopping import EarlyStopping
from hounsfield.training.optimization import parameter_groups, rate_shares
from hounsfield.training.precision import Precision
from hounsfield.training.settings import TrainingSettings


@dataclass
class TrainingState:
    """epoch: the one in progress. epoch_step: optimizer steps done in it. step: optimizer steps in all."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    stopping: EarlyStopping
    ema: AveragedModel | None = None
    epoch: int = 0
    epoch_step: int = 0
    step: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)
    run_id: str | None = None
    continued_from: str | None = None

    @classmethod
    def create(
        cls, model: nn.Module, block: ModelSettings, settings: TrainingSettings, precision: Precision
    ) -> "TrainingState":
        """Fresh, for a model that is on its device."""
        early = settings.early_stopping
        stopping = EarlyStopping(early.patience, early.metric == "loss", early.min_delta)
        groups = parameter_groups(model, settings, rate_shares(model, block, settings.layer_decay))
        optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
        ema = None
        if settings.ema:
            ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(settings.ema), use_buffers=True)
        return cls(model, optimizer, precision.scaler(), stopping, ema)

    @property
    def evaluated(self) -> nn.Module:
        """The network that is validated and kept: the moving average if there is one."""
        return self.ema.module if self.ema is not None else self.model

    @property
    def finished(self) -> bool:
        """Whether early stopping has ended training (the number of epochs is the trainer's)."""
        return self.stopping.should_stop

    def weights(self) -> dict[str, torch.Tensor]:
        """A copy on the CPU of the network that is kept."""
        return {name: tensor.detach().cpu().clone() for name, tensor in self.evaluated.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """Plain data and tensors, loadable without running code."""
        return {
            "weights": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "stopping": self.stopping.state_dict(),
            "ema": self.ema.state_dict() if self.ema is not None else None,
            "progress": {name: getattr(self, name) for name in PROGRESS},
            "history": self.history,
            "best": self.best,
            "run_id": self.run_id,
            "continued_from": self.continued_from,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.model.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.stopping.load_state_dict(state["stopping"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        for name in PROGRESS:
            setattr(self, name, state["progress"][name])
        self.history, self.best, self.run_id = state["history"], state["best"], state["run_id"]
        self.continued_from = state["continued_from"]

    def continue_from(self, state: dict[str, Any], path: str) -> None:
        """Take network, moments and moving average of another training's last.pth, at the start of one's own.

        Rates and decays are those of the settings here. Raises CheckpointError for what does not fit.
        """
        if not {"weights", "optimizer", "scaler", "progress"} <= state.keys():
            raise CheckpointError(f"{path}: holds no training to continue; give a last.pth")
        own = [{key: value for key, value in group.items() if key != "params"} for group in self.optimizer.param_groups]
        try:
            self.model.load_state_dict(state["weights"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.scaler.load_state_dict(state["scaler"])
            if self.ema is not None:
                self.ema.module.load_state_dict(state["weights"])
                if state["ema"] is not None:
                    self.ema.load_state_dict(state["ema"])
            epochs = int(state["progress"]["epoch"])
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise CheckpointError(f"{path}: is of another network or optimizer ({one_line(error)})") from error
        for name, tensor in self.model.state_dict().items():
            if not torch.isfinite(tensor).all():
                raise CheckpointError(f"{path}: its tensor {name} is not finite; continue from an earlier one")
        for group, settings in zip(self.optimizer.param_groups, own, strict=True):
            group.update(settings)
        self.continued_from = f"{path}, trained for {epochs} epochs"


PROGRESS = ("epoch", "epoch_step", "step", "loss_sum", "seconds")


def seed_everything(seed: int) -> None:
    """Seed the initial weights; the order of the data, augmentation and dropout have seeds of their own."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed dropout for one optimizer step in one process, so that no generator's state outlives a step."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0]))

"""The learning rate, as a function of the step."""

import math


def learning_rate(step: int, total_steps: int, warmup_steps: int, peak: float, floor: float = 0.01) -> float:
    """Linear warm-up to `peak`, then half a cosine down to `floor` times it (Loshchilov and Hutter, 2017)."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))

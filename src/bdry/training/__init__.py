"""The training loop. Probes, checkpoints and progress come in as callables; it knows none by name."""

from .loop import Plan, State, fit, loss_and_accuracy
from .optimisers import OPTIMISERS, learning_rate

__all__ = ["OPTIMISERS", "Plan", "State", "fit", "learning_rate", "loss_and_accuracy"]

"""The config's schemas: one dataclass a node, every key with its type, default, unit and help. No torch here.

What a study measures is declared in `studies/<what>/settings.py`.
"""

from .adv import PGD, Adv
from .arch import MLP, Airbench, Arch, Network, OwnArch, Preprocessing
from .commands import DemoConfig, FiguresConfig, Grid, PublishConfig, ReportConfig, ReproduceConfig
from .dataset import Dataset, Torchvision, Toy
from .margin import DeepFool, Margin
from .optim import SGD, Adam, Optim
from .options import SCHEMAS, check, children, option, schema, science
from .probe import Moments, Probe
from .run_task import RunTask
from .train import TrainConfig

__all__ = [
    "MLP",
    "PGD",
    "SCHEMAS",
    "SGD",
    "Adam",
    "Adv",
    "Airbench",
    "Arch",
    "Dataset",
    "DeepFool",
    "DemoConfig",
    "FiguresConfig",
    "Grid",
    "Margin",
    "Moments",
    "Network",
    "Optim",
    "OwnArch",
    "Preprocessing",
    "Probe",
    "PublishConfig",
    "ReportConfig",
    "ReproduceConfig",
    "RunTask",
    "Torchvision",
    "Toy",
    "TrainConfig",
    "check",
    "children",
    "option",
    "schema",
    "science",
]

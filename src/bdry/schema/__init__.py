"""The config's schemas: one dataclass a node, every key with its type, default, unit and help. No torch here."""

from .adv import PGD, Adv
from .arch import MLP, Arch
from .dataset import Dataset, Torchvision, Toy
from .figures import FiguresConfig
from .margin import DeepFool, Margin
from .optim import SGD, Adam, Optim
from .option import SCHEMA_VERSION, SCHEMAS, check, children, option, schema, science
from .probe import MarginProbe, Probe
from .train import TrainConfig

__all__ = [
    "MLP",
    "PGD",
    "SCHEMAS",
    "SCHEMA_VERSION",
    "SGD",
    "Adam",
    "Adv",
    "Arch",
    "Dataset",
    "DeepFool",
    "FiguresConfig",
    "Margin",
    "MarginProbe",
    "Optim",
    "Probe",
    "Torchvision",
    "Toy",
    "TrainConfig",
    "check",
    "children",
    "option",
    "schema",
    "science",
]

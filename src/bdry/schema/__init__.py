"""The config's schemas: one dataclass a node, every key with its type, default, unit and help. No torch here."""

from . import margin_certified as margin_certified
from . import margin_references as margin_references
from . import probe_curvature as probe_curvature
from . import probe_detect as probe_detect
from . import probe_regions as probe_regions
from . import probe_shared as probe_shared
from .adv import PGD, Adv
from .arch import MLP, Arch
from .dataset import Dataset, Torchvision, Toy
from .figures import FiguresConfig
from .margin import DeepFool, Margin
from .margin_task import MarginTaskConfig
from .optim import SGD, Adam, Optim
from .option import SCHEMAS, check, children, option, schema, science
from .probe import MarginProbe, Probe
from .probe_deepdig import DeepDigTaskConfig
from .probe_svm import SvmTaskConfig
from .reproduce import Grid, ReproduceConfig
from .train import TrainConfig

__all__ = [
    "MLP",
    "PGD",
    "SCHEMAS",
    "SGD",
    "Adam",
    "Adv",
    "Arch",
    "Dataset",
    "DeepDigTaskConfig",
    "DeepFool",
    "FiguresConfig",
    "Grid",
    "Margin",
    "MarginProbe",
    "MarginTaskConfig",
    "Optim",
    "Probe",
    "ReproduceConfig",
    "SvmTaskConfig",
    "Torchvision",
    "Toy",
    "TrainConfig",
    "check",
    "children",
    "option",
    "schema",
    "science",
]

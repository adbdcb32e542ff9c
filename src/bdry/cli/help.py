"""`bdry --help` and `bdry <command> --help`, printed from the schemas and the folder of options."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass
from typing import Any

from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf

from ..conf import COMMANDS, compose, groups
from ..errors import show_value
from ..figures.titles import TITLES
from ..settings.options import conf_dir
from .plain import PLAIN

EXAMPLES = {
    "demo": (
        "bdry demo",
        "bdry demo seeds=[0] epochs=5 outputs=elsewhere",
    ),
    "train": (
        "bdry train dataset=cifar10 adv=pgd",
        "bdry train -m seed=0,1,2 dataset=mnist,fashion_mnist adv=none,pgd launch=joblib",
        "bdry train dataset=digits arch.widths=[64,64] training.epochs=50 optim=sgd optim.lr=0.05",
        "bdry train dataset=folder dataset.root=photos dataset.size=[32,32]",
        "bdry train dataset=mnist arch=module arch.build=my_module:build",
    ),
    "margin": (
        "bdry margin run=outputs/runs/digits-mlp-none-<hash>/seed=0 checkpoint=all",
        "bdry margin run=... checkpoint=300 margin=deepfool check=[walk] clipped=[false,true]",
        "bdry margin classifier=my_module:build weights=w.safetensors dataset=mnist num_test=1000",
    ),
    "regions": (
        "bdry regions run=outputs/runs/fashion_mnist-lenet-none-<hash>/seed=0 num_pairs=50",
        "bdry regions run=... checkpoint=all spacing=1e-3 scenarios=[natural,perturbed] recheck=10",
    ),
    "curvature": (
        "bdry curvature run=outputs/runs/fashion_mnist-avgcnn-none-<hash>/seed=0 num_images=50",
        "bdry curvature run=... methods=[geometric,softplus_swap,fd] betas=[5,10,30,100] families=[nearest_refined]",
    ),
    "shared": (
        "bdry shared run=outputs/runs/fashion_mnist-avgcnn-none-<hash>/seed=0",
        "bdry shared run=... num_train=50 num_test=50 dim=20 method=softplus_swap beta=30",
    ),
    "detect": (
        "bdry detect run=outputs/runs/fashion_mnist-avgcnn-none-<hash>/seed=0 num_images=200",
        "bdry detect run=... num_images=100 alphas=[1,5] families=[nearest_refined] num_directions=[50] fd_step=0.5",
    ),
    "svm": (
        "bdry svm run=outputs/runs/digits-mlp-none-<hash>/seed=0 checkpoint=all",
        "bdry svm run=... stage=accelerated",
        "bdry svm run=... stage=last_only_loss_scaled steps=10000 stop_degrees=0.2",
        "bdry svm run=... study=bias",
        "bdry svm classifier=my_module:build weights=w.pt dataset=mnist",
    ),
    "deepdig": (
        "bdry deepdig run=outputs/runs/mnist-fcn-none-<hash>/seed=0 pairs=[[1,2],[4,9]]",
        "bdry deepdig run=... pairs=all steps=1500 num_detailed=3 methods=[deepdig,rpbs]",
    ),
    "reproduce": (
        "bdry reproduce paper=mickisch2020 scale=smoke",
        "bdry reproduce paper=mickisch2020 scale=cpu launch=joblib",
        "bdry reproduce paper=mickisch2020 scale=paper launch=slurm overrides=[device=cuda]",
    ),
    "figures": (
        "bdry figures runs=outputs",
        "bdry figures paper=mickisch2020 'runs=outputs/runs/mnist-*'",
        "bdry figures figure=R3 style.width=icml style.font=serif style.size=8 style.format=[pdf] style.titles=false",
    ),
    "publish": (
        "bdry publish paper=mickisch2020 runs=outputs/reproduce/mickisch2020-cpu to=docs/results/mickisch2020",
    ),
    "report": (
        "bdry report runs=outputs/reproduce/mickisch2020-cpu",
        "bdry report 'runs=[outputs/runs/digits-*,elsewhere/runs]' num_images=50 outputs=supplement",
    ),
}


def overview() -> str:
    """What `bdry --help` prints: a line a command."""
    commands = [f"  {name:<12}{line}" for name, (_, line) in COMMANDS.items()]
    about_runs = [f"  {name:<12}{line}" for name, line in PLAIN.items()]
    return "\n".join(
        [
            "bdry: where is a deep network's decision boundary, how far from the data, and how does it move?",
            "",
            "usage: bdry <command> [key=value ...]",
            "",
            *commands,
            *about_runs,
            f"  {'completion':<12}print the completion script: bdry completion bash|zsh|fish",
            "",
            "bdry <command> --help lists a command's settings; bdry --version prints the version.",
        ]
    )


def command_help(command: str, overrides: list[str]) -> str:
    """What `bdry <command> --help` prints; settings and defaults are those of the options in `overrides`."""
    config = compose(command, overrides)
    width = max(80, min(shutil.get_terminal_size((110, 24)).columns, 140))
    lines = [
        f"bdry {command}: {COMMANDS[command][1]}",
        "",
        f"usage: bdry {command} [key=value ...] [flags]",
        "",
    ]
    available = groups(command)
    if available:
        lines.append("Choices (one file each in conf/):")
        for group, options in available.items():
            form = f"{group}=[...]" if group == "probe" else f"{group}="
            lines += _row(form, " | ".join(options), width, 14)
        lines.append("")
    lines.append("Settings of these choices, with their defaults:" if available else "Settings:")
    for key, value, declared in _leaves(config):
        shown = "" if value == MISSING else show_value(value)
        lines += _row(f"{key}={shown}", _describe(declared, value == MISSING), width, 44)
    if command == "figures":
        for paper, titles in TITLES.items():
            lines += ["", f"Figures of paper={paper}:"]
            lines += [line for name, title in titles.items() for line in _row(name, title, width, 26)]
    lines += ["", "Examples:", *(f"  {example}" for example in EXAMPLES[command]), "", "Flags:"]
    lines += [
        "  -m, --multirun        sweep: one job for each combination of key=a,b,c",
        "  --cfg job [--resolve] print the composed config and stop",
        "  --config-dir FOLDER   take further options from your own folder, laid out as conf/",
        "  --hydra-help          all flags of Hydra",
        "",
        f"The YAML files are in {conf_dir()}",
    ]
    return "\n".join(lines)


def _row(left: str, right: str, width: int, indent: int) -> list[str]:
    wrapped = textwrap.wrap(right, width - indent - 3) or [""]
    first = f"  {left:<{indent}} "
    if len(left) > indent:
        return [f"  {left}", *(" " * (indent + 3) + part for part in wrapped)]
    return [first + wrapped[0], *(" " * (indent + 3) + part for part in wrapped[1:])]


def _describe(declared: Field[Any], must_be_given: bool) -> str:
    text: str = declared.metadata.get("help", "")
    if declared.metadata.get("unit"):
        text += f" [{declared.metadata['unit']}]"
    if declared.metadata.get("choices"):
        text += f" ({' | '.join(declared.metadata['choices'])})"
    return f"must be given: {text}" if must_be_given else text


def _leaves(node: DictConfig, prefix: str = "") -> Iterator[tuple[str, Any, Field[Any]]]:
    """(key, default, declaration) of every setting; `name` is the option itself. What must be given is `MISSING`."""
    cls = OmegaConf.get_type(node)
    declarations = {declared.name: declared for declared in fields(cls)} if is_dataclass(cls) else {}
    for name in map(str, node):
        declared = declarations.get(name)
        if declared is not None and declared.metadata.get("hidden"):
            continue
        value = MISSING if OmegaConf.is_missing(node, name) else node[name]
        if isinstance(value, DictConfig):
            yield from _leaves(value, f"{prefix}{name}.")
        elif declared is not None and name != "name":
            yield f"{prefix}{name}", list(value) if isinstance(value, ListConfig) else value, declared

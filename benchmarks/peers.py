"""The margin estimators of other libraries as rows of `margins.py`: `pip install '.[bench]'` brings them.

Each gives end points as its users get them, for images that it is handed as a batch of their own.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from bdry._vision import torchvision_datasets

# net, images, labels, norm -> end points
Work = Callable[[nn.Module, Tensor, Tensor, str], Tensor]
ORDERS = {"l2": 2.0, "linf": float("inf")}
# where minimal APGD's bisection over the radius begins, pixel units
FURTHEST = {"l2": 5.0, "linf": 0.3}


def adv_lib(name: str, **settings: Any) -> Work:
    """An attack of adversarial-library, whose norm is called `norm` or `p`, if it has one."""

    def work(net: nn.Module, x: Tensor, labels: Tensor, norm: str) -> Tensor:
        # adv_lib imports torchvision, which needs our door to it
        torchvision_datasets()
        from adv_lib import attacks

        where = {"df": "norm", "fmn": "norm", "pdpgd": "norm", "tr": "p"}.get(name)
        extra = {} if where is None else {where: ORDERS[norm]}
        return getattr(attacks, name)(net, x, labels, **extra, **settings)

    return work


def adv_lib_apgd(net: nn.Module, x: Tensor, labels: Tensor, norm: str) -> Tensor:
    """Its minimum-norm APGD, targeted at the likeliest classes; fewer radii and iterations than its 20 and 100."""
    torchvision_datasets()
    from adv_lib.attacks.auto_pgd import minimal_apgd

    settings = {"targeted_version": True, "num_targets": 3, "binary_search_steps": 12, "n_iter": 50}
    return minimal_apgd(net, x, labels, norm=ORDERS[norm], max_eps=FURTHEST[norm], **settings)


def foolbox(attack: str, **settings: Any) -> Work:
    """An attack of foolbox without a bound on the distance."""

    def work(net: nn.Module, x: Tensor, labels: Tensor, norm: str) -> Tensor:
        import foolbox

        prefix = {"l2": "L2", "linf": "LInf" if attack == "FMNAttack" else "Linf"}[norm]
        name = attack if attack == "DDNAttack" else prefix + attack
        model = foolbox.PyTorchModel(net, bounds=(0, 1), device=x.device)
        return getattr(foolbox.attacks, name)(**settings)(model, x, labels, epsilons=None)[0]

    return work


def autoattack_fab(net: nn.Module, x: Tensor, labels: Tensor, norm: str) -> Tensor:
    """AutoAttack's FAB as pyautoattack packages it, untargeted, without a bound on the distance."""
    from pyautoattack.fab_pt import FABAttack_PT

    attack = FABAttack_PT(net, norm={"l2": "L2", "linf": "Linf"}[norm], eps=float("inf"), device=x.device)
    torch.manual_seed(0)
    return attack.attack_single_run(x, labels)


# name, package, norms, work, and of how many images at most
PEERS: list[tuple[str, str, tuple[str, ...], Work, int | None]] = [
    ("adv-lib DeepFool", "adv_lib", ("l2", "linf"), adv_lib("df"), None),
    ("adv-lib SuperDeepFool", "adv_lib", ("l2",), adv_lib("sdf"), None),
    ("adv-lib DDN, 100 steps", "adv_lib", ("l2",), adv_lib("ddn", levels=None), None),
    ("adv-lib FMN, 100 steps", "adv_lib", ("l2", "linf"), adv_lib("fmn", steps=100), None),
    ("adv-lib PDGD, 200 steps", "adv_lib", ("l2",), adv_lib("pdgd", num_steps=200), None),
    ("adv-lib PDPGD, 200 steps", "adv_lib", ("linf",), adv_lib("pdpgd", num_steps=200), None),
    ("adv-lib ALMA, 200 steps", "adv_lib", ("l2",), adv_lib("alma", num_steps=200), None),
    ("adv-lib TR, 100 steps", "adv_lib", ("l2", "linf"), adv_lib("tr", adaptive=True), None),
    ("adv-lib minimal APGD", "adv_lib", ("l2", "linf"), adv_lib_apgd, 64),
    ("foolbox DeepFool", "foolbox", ("l2", "linf"), foolbox("DeepFoolAttack", candidates=10), None),
    ("foolbox DDN, 100 steps", "foolbox", ("l2",), foolbox("DDNAttack", steps=100), None),
    ("foolbox FMN, 100 steps", "foolbox", ("l2", "linf"), foolbox("FMNAttack", steps=100), None),
    ("AutoAttack FAB", "pyautoattack", ("l2", "linf"), autoattack_fab, 64),
]


def installed(package: str) -> bool:
    """Whether Python finds the package."""
    return importlib.util.find_spec(package) is not None

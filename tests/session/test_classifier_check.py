"""Modules as users bring them: measured, or refused in a line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from bdry.core.measuring import measuring
from bdry.margins import ESTIMATORS
from bdry.session.classifier_check import check_classifier
from bdry.session.digests import code_digest, settings_digest, weights_digest
from bdry.session.own_function import call

X = torch.rand(24, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def net() -> nn.Module:
    layers = nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 5))
    draw = torch.Generator().manual_seed(1)
    for parameter in layers.parameters():
        nn.init.normal_(parameter, std=0.5, generator=draw)
    return layers


class Around(nn.Module):
    def __init__(self, before=lambda x: x, after=lambda logits: logits, inner=None):
        super().__init__()
        self.net, self.before, self.after = inner or net(), before, after

    def forward(self, x):
        return self.after(self.net(self.before(x)))


class Drifting(Around):
    """A running mean that goes on in eval mode, by too little for a second look to show it."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(5))

    def forward(self, x):
        logits = super().forward(x)
        self.mean.lerp_(logits.detach().mean(0), 1e-6)
        return logits - self.mean


class SetsDtype(Around):
    def forward(self, x):
        torch.set_default_dtype(torch.float64)
        return super().forward(x)


class InBfloat16(Around):
    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.net(x)


class NoEval(Around):
    def train(self, mode=True):
        if not mode:
            raise RuntimeError("never in eval mode")
        return super().train(mode)


def by_numpy(x):
    """A write that the tensor's version does not count."""
    x.detach().numpy()[...] -= 0.5
    return x


def by_data(x):
    x.data.sub_(0.5)
    return x


class Held:
    def __init__(self, depth):
        self.depth = depth


class Leaves(BaseException):
    """What some code ends itself by."""


class Wordless(Exception):
    """Its words cannot be had."""

    def __str__(self):
        raise RuntimeError("no words")


def raises(error):
    def before(x):
        raise error

    return before


FORKED = []


def forks(x):
    """As code that works in several processes: the second one comes back too."""
    FORKED.append(os.fork())
    return x


def moves(x):
    os.chdir(Path.cwd().parent)
    return x


def sets_device(x):
    torch.set_default_device("meta")
    return x


def sets_stdout(x):
    sys.stdout = None
    return x


PLAIN = net()


def margins(module, x=X):
    model, notes = check_classifier(module, x)
    with measuring(model):
        found = ESTIMATORS["walk"](model, x, norm="l2")
    assert found.success.float().mean() > 0.9
    return found.margin, notes


@pytest.mark.parametrize(
    ("module", "like", "tolerance", "note"),
    [
        (Around(after=lambda logits: logits.double()), net(), 1e-6, "float64"),
        (Around(lambda x: x.double(), inner=net().double()), net(), 1e-4, "float64"),
        (Around(after=lambda logits: logits.half()), net(), 2e-2, "float16"),
        (InBfloat16(), net(), 0.2, "bfloat16"),
        (Around(lambda x: x.sub_(0.5).div_(0.5)), Around(lambda x: (x - 0.5) / 0.5), 1e-6, "copies"),
        (Around(by_numpy), Around(lambda x: x - 0.5), 1e-6, "copies"),
        (Around(by_data), Around(lambda x: x - 0.5), 1e-6, "copies"),
        (nn.Sequential(nn.ReLU(inplace=True), net()), nn.Sequential(nn.ReLU(), net()), 1e-6, "copies"),
    ],
    ids=["double logits", "double inside", "half", "bfloat16", "in place", "by numpy", "by data", "no value changed"],
)
def test_measured_as_the_plain_module_is(module, like, tolerance, note):
    before = X.clone()
    found, notes = margins(module)
    assert any(note in line for line in notes)
    plain, none = margins(like)
    assert none == []
    both = found.isfinite() & plain.isfinite()
    assert (found / plain)[both].log().abs().median() < tolerance
    assert torch.equal(X, before)


def test_a_masked_class_leaves_the_margins_of_the_others():
    masked = Around(
        after=lambda logits: torch.cat([logits, torch.full_like(logits[:, :1], -torch.inf)], 1), inner=PLAIN
    )
    found, notes = margins(masked)
    assert "class 5 has the logit -inf" in notes[0]
    torch.testing.assert_close(found, margins(PLAIN)[0], rtol=1e-2, atol=0)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Around(after=lambda logits: (logits, logits)), "gives tuple for 2 images"),
        (Around(after=lambda logits: logits[:, :1]), "a single logit"),
        (Around(after=lambda logits: logits.squeeze()), "gives (5,) for a batch of 1, not (1, 5)"),
        (Around(after=lambda logits: logits.detach()), "without gradients"),
        (Around(after=lambda logits: (100 * logits).long()), "whole numbers (int64)"),
        (Around(after=lambda logits: torch.complex(logits, logits)), "complex numbers (complex64)"),
        (
            Around(after=lambda logits: logits.exp().mul_(2).mul_(logits.exp().mul_(2))),
            "modified by an inplace operation",
        ),
        (Around(after=torch.rand_like), "at a second look"),
        (Around(lambda x: nn.functional.dropout(x, 0.2)), "at a second look"),
        (Around(lambda x: nn.functional.batch_norm(x, None, None, training=True)), "in a batch of 1 than in one of 24"),
        (Around(lambda x: x / len(x)), "in a batch of 1 than in one of 24"),
        (
            Around(after=lambda logits: logits + torch.arange(len(logits))[:, None] * torch.arange(5)),
            "at another place",
        ),
        (Around(after=lambda logits: logits * torch.nan), "no class is predicted"),
        (Around(after=lambda logits: logits.exp() * torch.inf), "its logits are inf: no class is predicted"),
        (NoEval(), "never in eval mode"),
        (SetsDtype(), "changes torch's default dtype"),
        (Around(lambda x: sys.exit(0)), "SystemExit: 0"),
        (Around(raises(GeneratorExit())), "GeneratorExit"),
        (Around(raises(StopIteration())), "StopIteration"),
        (Around(raises(Leaves("now"))), "Leaves: now"),
        (Around(raises(Wordless())), "Wordless"),
        (Around(moves), "changes the working folder"),
        (Around(lambda x: os._exit(0)), "SystemExit: 0"),
        (Around(sets_device), "changes torch's default device"),
        (Around(sets_stdout), "changes sys.stdout"),
        (nn.Sequential(nn.Flatten(), nn.LazyLinear(5)), "has parameters that its first batch makes"),
    ],
)
def test_refused_in_a_line(module, message):
    place, out, leave = Path.cwd(), sys.stdout, os._exit
    with pytest.raises(ValueError) as caught:
        check_classifier(module, X)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert torch.get_default_dtype() == torch.float32
    assert torch.get_default_device() == torch.device("cpu")
    assert (Path.cwd(), sys.stdout, os._exit) == (place, out, leave)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes made by fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forward_that_forks_is_refused_and_its_other_process_measures_nothing():
    process = os.getpid()
    try:
        with pytest.raises(ValueError, match="forks this process in its forward"):
            check_classifier(Around(forks, inner=PLAIN), X)
    finally:
        if os.getpid() != process:
            # the other one must never come here; in this line it would run the rest of the tests
            os._exit(1)
    (child,) = FORKED
    assert os.waitpid(child, 0) == (child, 0)


def test_ctrl_c_in_a_forward_is_ctrl_c():
    with pytest.raises(KeyboardInterrupt):
        check_classifier(Around(raises(KeyboardInterrupt()), inner=PLAIN), X)


@pytest.mark.parametrize(
    ("after", "note"),
    [
        (lambda logits: logits.softmax(1), "probabilities"),
        (lambda logits: logits * 0 + torch.arange(5.0), "the same for all"),
    ],
)
def test_measured_with_a_word(after, note):
    _, notes = check_classifier(Around(after=after, inner=PLAIN), X)
    assert note in notes[0]


@pytest.mark.parametrize(
    ("module", "note"),
    [
        (Around(after=lambda logits: (100 * logits).round()), "the gradient 0"),
        (Around(after=lambda logits: logits + (0 * logits).sqrt()), "not finite at 24 of 24 images"),
        (Drifting(), "its buffer mean changes with every look"),
    ],
)
def test_what_searches_would_stumble_over_is_said(module, note):
    _, (said,) = check_classifier(module, X)
    assert note in said


def test_what_a_builder_sets_for_all_of_torch_is_as_it_was_afterwards(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "setting.py").write_text(
        "import torch\n\ntorch.set_default_dtype(torch.float64)\n\ndef build():\n    torch.set_grad_enabled(False)\n"
        "    torch.set_num_threads(torch.get_num_threads() + 1)\n    return torch.nn.Linear(2, 2)\n"
    )
    threads = torch.get_num_threads()
    module, _ = call("classifier", "setting:build")
    assert module.weight.dtype == torch.float64
    assert torch.is_grad_enabled()
    assert (torch.get_default_dtype(), torch.get_num_threads()) == (torch.float32, threads)


def test_the_digest_follows_the_code_that_the_forward_is_made_of(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "digested.py").write_text(
        "from digested_parts import Net\nimport torch\n\ndef build():\n    return Net()\n"
    )
    parts = tmp_path / "digested_parts.py"
    parts.write_text(
        "from torch import nn\n\nclass Net(nn.Linear):\n    def __init__(self):\n        super().__init__(2, 2)\n"
    )
    (tmp_path / "unrelated.py").write_text("a = 1\n")
    import digested

    with torch.random.fork_rng():
        net = digested.build()
    before = code_digest("digested", net)
    (tmp_path / "unrelated.py").write_text("a = 2\n")
    assert code_digest("digested", net) == before
    parts.write_text(parts.read_text() + "\n    def forward(self, x):\n        return -super().forward(x)\n")
    assert code_digest("digested", net) != before


def test_the_digest_follows_plain_attributes_which_a_forward_may_use():
    """As constants of a normalisation that were read from a file: neither code nor weights."""

    def made(**held):
        module = nn.Sequential(Around(inner=PLAIN), nn.Dropout(0.1))
        vars(module[0]).update(held)
        return settings_digest(module)

    same = {"mean": torch.tensor([0.5]), "scales": (1.0, [2, 3]), "named": {"a": "b"}, "config": Held(depth=3)}
    assert made(**same) == made(**{**same, "mean": torch.tensor([0.5]), "config": Held(depth=3)})
    # functions and open files stand for nothing
    assert made(**same) == made(**same, before=len)
    others = {"mean": torch.tensor([0.6]), "scales": (1.0, [2, 4]), "named": {"a": "c"}, "config": Held(depth=4)}
    for name, value in others.items():
        assert made(**same) != made(**{**same, name: value}), name


def test_the_digest_of_weights_takes_what_a_module_adds_to_its_state():
    class Extra(nn.Linear):
        extra = "a"

        def get_extra_state(self):
            return {"scale": self.extra}

    layer = nn.utils.skip_init(Extra, 2, 2)
    nn.init.ones_(layer.weight)
    nn.init.ones_(layer.bias)
    before = weights_digest(layer.state_dict())
    assert weights_digest(layer.state_dict()) == before
    layer.extra = "b"
    assert weights_digest(layer.state_dict()) != before

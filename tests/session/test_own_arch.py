"""`arch=module`: whole networks of the user's own, trained and measured through the command line."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import nn

from bdry.cli import main
from bdry.models import split_at_head
from bdry.runs.checkpoint import _read
from bdry.session.digests import _editable_trees, code_digest

pytestmark = pytest.mark.usefixtures("coarse_figures")
EXAMPLE = Path(__file__).parents[2] / "examples" / "networks.py"
NETS = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, last=None, width=16):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(inplace=True), nn.Dropout(0.2))
        self.fc = nn.Linear(width, 10)
        self.last = last or nn.Identity()

    def forward(self, x):
        return self.last(self.fc(self.body(x)))


def net():
    return Net()


def no_head():
    return Net(nn.ReLU())


def no_linear():
    return nn.Sequential(nn.Conv2d(1, 10, 8), nn.Flatten())


class Aux(Net):
    def forward(self, x):
        logits = super().forward(x)
        return (logits, logits) if self.training else logits


def aux():
    return Aux()


class Uses(Net):
    def forward(self, x):
        return nn.functional.linear(self.body(x), self.fc.weight) + 0 * self.fc(self.body(x))


def uses():
    return Uses()


def three():
    net = Net()
    net.fc = nn.Linear(16, 3)
    return net


def double():
    return Net().double()


def text():
    return "net"


def frozen():
    net = Net()
    for parameter in net.body.parameters():
        parameter.requires_grad_(False)
    return net


def loaded():
    net = Net()
    net.load_state_dict(torch.load("mine.pt", weights_only=True))
    return net


ONE = Net()


def one():
    return ONE
"""
WORDS = ["dataset=digits", "dataset.num_train=60", "dataset.num_test=40", "training.epochs=2", "training.batch_size=20"]
WORDS += ["probe.margin.num_train=10", "probe.margin.num_test=10", "evaluation.robust_images=10", "evaluation.steps=2"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder with nets.py in it, imported anew in each test."""
    (tmp_path / "nets.py").write_text(NETS)
    shutil.copy(EXAMPLE, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in ("nets", "networks"):
        sys.modules.pop(name, None)


def run(capsys, *words):
    """Exit code, standard output, lines of standard error."""
    try:
        code = main([str(word) for word in words])
    except SystemExit as left:
        code = left.code
    out, err = capsys.readouterr()
    return code, out, err.splitlines()


def train(capsys, build, *words):
    """The folder of the run of `build`."""
    code, out, err = run(capsys, "train", "arch=module", f"arch.build={build}", *WORDS, *words)
    assert (code, err) == (0, [])
    return Path(out.split()[-1])


def weights(folder, name="last"):
    return _read(folder / "checkpoints" / f"{name}.safetensors")[0]


def test_it_trains_and_is_measured_and_its_features_are_what_its_head_sees(here, capsys):
    folder = train(capsys, "nets:net")
    assert folder.parent.name.startswith("digits-nets_net-none-")
    tensors = weights(folder)
    assert tensors["model.head.weight"].shape == (10, 16)
    # it sees images as they are
    assert tensors["model.normalise.mean"].tolist() == [[[0.0]]]
    assert tensors["model.normalise.std"].tolist() == [[[1.0]]]
    margins = pd.read_csv(folder / "tables" / "margins.csv")
    assert margins[margins.step == margins.step.max()].success.all()
    for command in (["margin", "num_train=5", "num_test=5", "margin=walk"], ["svm"]):
        code, _, err = run(capsys, *command, f"run={folder}")
        assert (code, err) == (0, []), command


def test_seeds_are_one_experiment_and_draw_other_weights(here, capsys):
    first, second = (train(capsys, "nets:net", f"seed={seed}", "training.epochs=0") for seed in (0, 1))
    assert first.parent == second.parent
    assert not torch.equal(weights(first)["model.head.weight"], weights(second)["model.head.weight"])
    assert (
        "is finished already"
        in run(capsys, "train", "arch=module", "arch.build=nets:net", *WORDS, "training.epochs=0")[1]
    )


def test_a_module_that_is_given_twice_is_not_changed(here, capsys):
    for seed in (0, 1):
        train(capsys, "nets:one", f"seed={seed}", "training.epochs=0")
    import nets

    assert isinstance(nets.ONE.fc, nn.Linear)


def test_edited_code_and_other_weights_are_another_experiment_and_no_measurement_of_the_old(here, capsys):
    source = here / "nets.py"
    sys.path.insert(0, str(here))
    with torch.random.fork_rng():
        import nets

        net = nets.Net()
    torch.save(net.state_dict(), "mine.pt")
    first = train(capsys, "nets:loaded", "training.epochs=0")
    assert torch.equal(weights(first)["model.head.weight"], net.fc.weight)
    with torch.no_grad():
        net.fc.weight += 1
    torch.save(net.state_dict(), "mine.pt")
    assert train(capsys, "nets:loaded", "training.epochs=0").parent != first.parent
    code, out, (line,) = run(capsys, "margin", f"run={first}", "num_test=5")
    assert (code, out) == (2, "")
    assert "trained with another nets:loaded than the one here" in line
    source.write_text(NETS + "\n# edited\n")
    del sys.modules["nets"]
    assert train(capsys, "nets:loaded", "training.epochs=0").parent != first.parent


def test_a_strangers_run_calls_nothing_that_is_not_the_runs_own_code(here, capsys):
    folder = train(capsys, "nets:net", "training.epochs=0")
    (here / "victim.py").write_text("from pathlib import Path\nPath('called').touch()\n\ndef build():\n    pass\n")
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    for build in ("victim:build", "os:abort", "torchvision.models:resnet18", "antigravity:x"):
        config["arch"]["build"] = build
        path.write_text(yaml.safe_dump(config))
        code, out, (line,) = run(capsys, "margin", f"run={folder}")
        assert (code, out) == (2, "")
        assert build.partition(":")[0] in line
        assert not (here / "called").exists()
        assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("arch.build=nets:no_head", "no linear layer of it gives its logits"),
        ("arch.build=nets:no_linear", "no linear layer of it gives its logits"),
        ("arch.build=nets:aux", "fails in training mode (TypeError"),
        ("arch.build=nets:uses arch.head=fc", "head=fc: its outputs are not the module's logits"),
        ("arch.build=nets:net arch.head=fcc", "no linear layer of it has this name (linear layers: body.1, fc)"),
        ("arch.build=nets:net arch.head=body.1", "head=body.1: its outputs are not the module's logits"),
        ("arch.build=nets:three", "gives (2, 3) for 2 images of 1x8x8 from digits, not logits of (2, 10)"),
        ("arch.build=nets:double", "fails on images of 1x8x8 from digits"),
        ("arch.build=nets:text", "gives a str, not a torch.nn.Module"),
        ("arch.build=nets:nett", "has no function nett, did you mean net?"),
        ("arch.build=nets", "not of the form <module>:<function>, as in my_module:build"),
        ("arch.build=nowhere:net", "there is no file of your own for the module nowhere"),
        ("arch.build=torchvision.models:resnet18", "there is no file of your own for the module torchvision.models"),
        ("arch.build=nets:net arch.code=abc", "its code has changed"),
        (
            "arch.build=nets:net preprocessing.mean=[123] preprocessing.std=[58]",
            "preprocessing.mean=[123.0]: images are in [0, 1]: divide mean and std by 255",
        ),
        ("arch.build=nets:net preprocessing.mean=[0.5]", "goes with preprocessing.std"),
        ("arch.build=nets:net preprocessing.mean=[0.5] preprocessing.std=[0]", "must be more than 0"),
        (
            "arch.build=nets:net preprocessing.mean=[0.5,0.5] preprocessing.std=[1,1]",
            "images of digits have 1 channels: give 1 numbers, or one",
        ),
        ("", "arch.build: must be given (my_module:build, a function without arguments that gives an nn.Module)"),
    ],
)
def test_refused_in_a_line(words, line, here, capsys):
    code, out, err = run(capsys, "train", "arch=module", *WORDS, *words.split())
    assert (code, out, len(err)) == (2, "", 1)
    assert line in err[0]
    assert not (here / "outputs" / "runs").exists()


def test_dropout_and_frozen_parameters_go_on_as_if_nothing_had_happened(here, capsys, monkeypatch):
    whole = train(capsys, "nets:frozen", "training.epochs=3", "outputs=whole")
    from bdry.errors import StoppedError
    from bdry.session.training_run import TrainingRun

    kept = TrainingRun.save

    def stopping(self):
        kept(self)
        if self.state.step == 3:
            raise StoppedError("stopped")

    monkeypatch.setattr(TrainingRun, "save", stopping)
    code, _, _ = run(capsys, "train", "arch=module", "arch.build=nets:frozen", *WORDS, "training.epochs=3")
    assert code == 75
    monkeypatch.undo()
    monkeypatch.chdir(here)
    sys.path.insert(0, str(here))
    half = train(capsys, "nets:frozen", "training.epochs=3")
    tables = [(folder / "tables" / "history.csv").read_bytes() for folder in (whole, half)]
    assert tables[0] == tables[1]
    start, end = weights(whole, "step=00000000"), weights(whole)
    assert torch.equal(start["model.body.body.1.weight"], end["model.body.body.1.weight"])
    assert not torch.equal(start["model.head.weight"], end["model.head.weight"])


def test_preprocessing_is_the_first_layer_of_any_network(here, capsys):
    normal = ["preprocessing.mean=[0.25]", "preprocessing.std=[0.5]", "training.epochs=0"]
    for words in (["arch=mlp"], ["arch=module", "arch.build=nets:net"]):
        code, out, err = run(capsys, "train", *words, *WORDS, *normal)
        assert (code, err) == (0, [])
        tensors = weights(Path(out.split()[-1]))
        assert tensors["model.normalise.mean"].item() == 0.25
        assert tensors["model.normalise.std"].item() == 0.5


def test_preprocessing_of_a_module_leaves_margins_in_pixel_units(here, capsys):
    """(x - 1/4) / (1/2) before a module: its margins are half of the module's own, at images that it sees the same."""
    (here / "lines.py").write_text(
        "import torch\nfrom torch import nn\n\n\n"
        "def line(at=0.5):\n    layer = nn.Linear(64, 10)\n    nn.init.zeros_(layer.weight)\n"
        "    nn.init.constant_(layer.bias, -9.0)\n    with torch.no_grad():\n        layer.weight[0, 0] = 1.0\n"
        "        layer.bias[:2] = torch.tensor([-at, 0.0])\n    return nn.Sequential(nn.Flatten(), layer)\n"
    )
    words = ["margin", "classifier=lines:line", "dataset=digits", "splits=[test]", "num_test=10", "norms=[l2]"]
    found = []
    for more in ([], ["preprocessing.mean=[0.25]", "preprocessing.std=[0.5]"]):
        code, out, err = run(capsys, *words, *more)
        assert (code, err) == (0, [])
        found.append(pd.read_csv(Path(out.splitlines()[-1], "tables", "margins.csv")).margin)
    # the first pixel of every digit is 0; the boundary is where it is 1/2, or (x - 1/4) / (1/2) is: x = 1/2
    assert (found[0] - 0.5).abs().max() < 1e-4
    assert (found[1] - 0.5).abs().max() < 1e-4
    code, _, (line,) = run(capsys, *words, "preprocessing.mean=[0.25]", "preprocessing.std=[0.25,1]")
    assert (code, "images of digits have 1 channels" in line) == (2, True)


def test_a_file_of_torch_is_told_from_safetensors(here, capsys):
    torch.save({"weight": torch.zeros(2, 2)}, "w.bin")
    code, _, (line,) = run(capsys, "margin", "classifier=nets:net", "dataset=digits", "weights=w.bin")
    assert code == 2
    assert "w.bin: a file of torch.save, whose name must end in .pt or .pth" in line


IMAGENET = ["preprocessing.mean=[0.485,0.456,0.406]", "preprocessing.std=[0.229,0.224,0.225]"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "package", "head"),
    [("resnet18", "torchvision", 512), ("timm_vit", "timm", 64), ("hugging_face", "transformers", 48)],
)
def test_the_examples_train_and_are_measured_without_a_network(function, package, head, here, capsys):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install {package}")
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (60, 3, 32, 32), generator=draw, dtype=torch.uint8).numpy()
    np.savez(here / "images.npz", images=images, labels=np.arange(60) % 10)
    words = ["dataset=arrays", "dataset.file=images.npz", "training.epochs=1", *IMAGENET, "probe.margin.num_train=1"]
    words += ["probe.margin.num_test=1", "evaluation.robust_images=2", "evaluation.max_images=10", "moments.steps=[]"]
    code, out, err = run(capsys, "train", "arch=module", f"arch.build=networks:{function}", *words)
    assert (code, err) == (0, [])
    folder = Path(out.split()[-1])
    assert weights(folder)["model.head.weight"].shape == (10, head)
    code, out, err = run(capsys, "margin", f"run={folder}", "splits=[test]", "num_test=2", "norms=[l2]")
    assert (code, err) == (0, [])
    assert pd.read_csv(Path(out.splitlines()[-1], "tables", "margins.csv")).success.all()


def test_the_head_is_found_in_networks_of_other_kinds():
    x = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        deep = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Sequential(nn.ReLU(), nn.Linear(8, 3)))
    logits = deep(x)
    body, head = split_at_head(deep, x)
    assert body(x).shape == (3, 8)
    torch.testing.assert_close(head(body(x)), logits)


def test_of_an_editable_package_the_networks_classes_count_and_not_all_that_these_import(tmp_path, monkeypatch):
    """As of a library's checkout: its network's own forward and its bases', but not the thousands of files beside."""
    site, tree, mine = tmp_path / "site", tmp_path / "library", tmp_path / "mine"
    for folder in (site / "big_library-1.dist-info", tree / "big_library", mine):
        folder.mkdir(parents=True)
    (site / "big_library-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: big-library\nVersion: 1\n")
    about = {"url": tree.as_uri(), "dir_info": {"editable": True}}
    (site / "big_library-1.dist-info" / "direct_url.json").write_text(json.dumps(about))
    files = {
        tree / "big_library/__init__.py": "",
        tree / "big_library/beside.py": "HELP = 1\n",
        tree / "big_library/base.py": "from torch import nn\nfrom . import beside\n\nclass Base(nn.Module): pass\n",
        tree / "big_library/net.py": "from .base import Base\n\nclass Net(Base):\n    pass\n",
        mine / "own_of_big.py": "import own_help\nfrom big_library.net import Net\n\ndef build(): return Net()\n",
        mine / "own_help.py": "HELP = 1\n",
    }
    for path, text in files.items():
        path.write_text(text)
    monkeypatch.setattr(sys, "path", [str(mine), str(site), str(tree), *sys.path])
    try:
        import own_of_big

        net = own_of_big.build()
        before = code_digest("own_of_big", net)
        changed = {}
        for path, text in files.items():
            path.write_text(text + "# edited\n")
            changed[path.name] = code_digest("own_of_big", net) != before
            path.write_text(text)
        # without the editable installation all of it is the user's
        (site / "big_library-1.dist-info" / "direct_url.json").unlink()
        _editable_trees.cache_clear()
        before = code_digest("own_of_big", net)
        (tree / "big_library/beside.py").write_text("HELP = 2\n")
        assert code_digest("own_of_big", net) != before
    finally:
        _editable_trees.cache_clear()
        for name in [name for name in sys.modules if name.partition(".")[0] in ("big_library", "own_of_big")]:
            del sys.modules[name]
    counted = {"net.py", "base.py", "own_of_big.py", "own_help.py"}
    assert {name for name, differs in changed.items() if differs} - {"__init__.py"} == counted

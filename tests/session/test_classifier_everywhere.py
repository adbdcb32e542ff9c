"""Every measuring command on a module of the user's own, with its weights: what each leaves; mistakes in a line."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bdry.cli import main
from bdry.errors import ConfigError
from bdry.session.own_module import weights_by_step, with_head

MODULES = Path(__file__).with_name("modules.py")
_SPEC = importlib.util.spec_from_file_location("modules_of_users", MODULES)
# under another name than the commands import it by, each time anew
modules = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(modules)
SMALL = {
    "margin": ["num_train=10", "num_test=10"],
    "svm": ["num_train=60", "num_test=40", "num_grid_points=100"],
    "deepdig": ["steps=3", "num_train=100", "num_partners=2", "max_starts=2", "methods=[rpbs,epbs]", "num_detailed=0"],
    "regions": ["num_pairs=3", "ks=[2]", "num_combinations=3", "num_images=40"],
    "curvature": ["num_images=4", "num_directions=4", "num_sections=1", "resolution=5"],
    "shared": [
        "num_train=4",
        "num_test=4",
        "num_noise=10",
        "num_pca=20",
        "num_directions=4",
        "num_per_image=2",
        "dim=2",
    ],
    "detect": ["num_images=4", "num_directions=[4]"],
}
TABLE = {"margin": "margins", "svm": "svm_convergence", "deepdig": "scores", "regions": "paths"}
TABLE |= {"curvature": "boundary", "shared": "shared_summary", "detect": "detect_scores"}


@pytest.fixture
def own_draws():
    """The modules of the test itself draw their weights from the global generator."""
    with torch.random.fork_rng():
        yield


def measured(capsys, command, name, *words):
    """Exit code, standard output and the lines of standard error."""
    try:
        code = main([command, f"classifier=modules:{name}", "dataset=digits", *SMALL[command], *words])
    except SystemExit as left:
        code = left.code
    out, err = capsys.readouterr()
    return code, out, err.splitlines()


@pytest.mark.parametrize("command", SMALL)
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_every_command_measures_it_and_the_same_line_again_is_done(command, here, capsys):
    code, out, err = measured(capsys, command, "smooth")
    assert (code, err) == (0, [])
    assert "images measured" in out
    folder = Path(out.splitlines()[-1])
    assert folder.parent == Path("outputs", "measurements")
    assert len(pd.read_csv(folder / "tables" / f"{TABLE[command]}.csv"))
    assert "is finished already" in measured(capsys, command, "smooth")[1]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("svm no_linear", "no linear layer of it gives its logits, which this needs (it has no nn.Linear)"),
        ("deepdig probabilities", "no linear layer of it gives its logits"),
        ("svm named head=spare", "head=spare: its outputs are not the module's logits"),
        ("svm named head=fcc", "head=fcc: no linear layer of it has this name (linear layers: body.1, fc, spare)"),
        ("svm smooth study=bias", "study=bias: needs run=<folder>: a module does not say how it was trained"),
        ("svm a_tuple", "gives tuple for 2 images"),
        ("curvature smooth checkpoint=3", "checkpoint=3: goes with run="),
        ("regions smooth weights=[]", "weights=[]: must not be empty"),
        ("regions smooth weights=[3,a]", "weights=[3,a]: must be a file, a glob, or a list of these"),
        ("regions smooth weights=nowhere/*.pt", "weights=nowhere/*.pt: no file is named like nowhere/*.pt"),
        ("detect smooth weights=nowhere.pt", "nowhere.pt: missing"),
        ("regions smooth head=1", "head: no such setting"),
    ],
)
def test_what_a_method_needs_and_a_module_has_not_is_one_line(line, expected, here, capsys):
    command, name, *words = line.split()
    code, _, err = measured(capsys, command, name, *words)
    assert (code in (1, 2), len(err)) == (True, 1), err
    assert expected in err[0]
    assert not (here / "outputs").exists()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("svm run=a head=fc", "head=fc: goes with classifier=; a run brings its own"),
        ("regions run=a dataset=digits", "dataset=digits: goes with classifier=; a run brings its own"),
        ("deepdig classifier=a:b", "dataset=null: must be given with classifier=, as in dataset=mnist"),
        ("detect", "run=null: give either run=<folder> or classifier=<module>:<function>"),
    ],
)
def test_a_run_brings_what_a_module_needs(line, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(line.split())
    assert left.value.code == 2
    assert expected in capsys.readouterr().err


@pytest.mark.usefixtures("own_draws")
def test_the_last_layer_is_found_and_splits_the_module():
    images = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for module, layer in ((modules.smooth(), "3"), (modules.named(), "fc")):
        found = with_head(module, images, None)
        torch.testing.assert_close(found(images), module(images))
        assert torch.equal(found.head.weight, module.get_submodule(layer).weight)
        torch.testing.assert_close(found.head(found.features(images)), module(images))
    assert with_head(modules.named(), images, "fc").features(images).min() >= 0
    double = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).double()
    outside = modules._Around(double, before=lambda x: x.double(), after=lambda z: z.float())
    found = with_head(outside, images, None)
    assert found.features(images).dtype == found.head.weight.dtype == torch.float32
    torch.testing.assert_close(found(images), outside(images))


def test_steps_are_the_number_in_which_names_differ(tmp_path):
    def files(*names):
        for name in names:
            (tmp_path / name).touch()
        return [str(tmp_path / name) for name in names]

    listed = files("net18-step_200.pt", "net18-step_9.pt", "net18-step_0010.pt")
    expected = {9: Path(listed[1]), 10: Path(listed[2]), 200: Path(listed[0])}
    assert list(weights_by_step(listed).items()) == list(expected.items())
    assert weights_by_step(str(tmp_path / "*.pt")) == expected
    assert weights_by_step(listed[0]) == {0: Path(listed[0])}
    assert weights_by_step(None) == {0: None}
    for names, why in (
        (["a-1.pt", "b-2.pt"], "differ in more than a number"),
        (["a-1.pt", "a-2.pth"], "differ in more than a number"),
        (["a-1-1.pt", "a-2-2.pt"], "differ in several numbers"),
        (["a-1.pt", "last.pt"], "differ in more than a number"),
        (["a-1.pt", "a-01.pt"], "differ in no number"),
        (["a-1.pt", "a-01.pt", "a-2.pt"], "are both of step 1"),
        (["a-1.pt", "a-1.pt"], "twice"),
    ):
        with pytest.raises(ConfigError, match=why):
            weights_by_step(files(*names))


def saved(folder, kind):
    """Three moments of a network whose head grows: margins stay, logit gaps grow; then one whose head is negated."""
    network = modules.smooth()
    for step, factor in ((1, 1.0), (5, 3.0), (20, -1.0)):
        state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        for name in ("3.weight", "3.bias"):
            state[name] *= factor
        path = folder / f"ckpt-{step}.{kind}"
        if kind == "safetensors":
            save_file(state, path)
        else:
            torch.save(state if kind == "pt" else {"epoch": step, "model_state_dict": state}, path)


@pytest.mark.usefixtures("own_draws")
def test_checkpoints_of_every_kind_give_the_same_margins_over_training_and_the_figure(here, capsys):
    found = {}
    for kind in ("safetensors", "pt", "pth"):
        saved(here, kind)
        code, out, err = measured(capsys, "margin", "smooth", f"weights=ckpt-*.{kind}", "norms=[l2]", f"outputs={kind}")
        assert (code, err) == (0, [])
        folder = Path(out.splitlines()[-1])
        found[kind] = pd.read_csv(folder / "tables" / "margins.csv")
        assert list((folder / "figures").glob("margin_evolution-*.png"))
    assert found["safetensors"].equals(found["pt"])
    assert found["pt"].equals(found["pth"])
    rows = {step: part.set_index(["split", "index"]) for step, part in found["pt"].groupby("step")}
    assert sorted(rows) == [1, 5, 20]
    torch.testing.assert_close(
        *(torch.tensor(rows[step]["margin"].to_numpy()) for step in (1, 5)), rtol=1e-3, atol=1e-5
    )
    assert (rows[5]["logit_gap"] / rows[1]["logit_gap"]).between(2.99, 3.01).all()
    assert (rows[20]["predicted"] != rows[1]["predicted"]).all()


@pytest.mark.usefixtures("own_draws")
def test_other_commands_take_several_weights_too(here, capsys):
    saved(here, "pt")
    code, out, err = measured(capsys, "svm", "smooth", "weights=[ckpt-1.pt,ckpt-20.pt,ckpt-5.pt]")
    assert (code, err) == (0, [])
    rows = pd.read_csv(Path(out.splitlines()[-1]) / "tables" / "svm_convergence.csv")
    assert sorted(rows["step"].unique()) == [1, 5, 20]


class _Bomb:
    def __reduce__(self):
        return (open, ("opened", "w"))


def test_pickles_are_never_run(here, capsys):
    torch.save({"3.weight": _Bomb()}, here / "bomb.pt")
    (here / "torn.pth").write_bytes(b"PK\x03\x04 and nothing")
    torch.save([1, 2], here / "list.pt")
    torch.save({"3.weight": torch.zeros(3)}, here / "other.pt")
    for name, why in (
        ("bomb.pt", "not a state dict that is safe to read (of other things than tensors, such as a whole module;"),
        ("torn.pth", "not a state dict that is safe to read"),
        ("list.pt", "no state dict"),
        ("other.pt", "its weights do not fit"),
    ):
        code, _, err = measured(capsys, "regions", "smooth", f"weights={name}")
        assert (code in (1, 2), len(err)) == (True, 1)
        assert f"{name}: {why}" in err[0]
    assert not (here / "opened").exists()

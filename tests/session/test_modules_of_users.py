"""Modules as users bring them, through the whole command line: `bdry margin classifier=modules:<name>`."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from bdry.cli import main

MODULES = Path(__file__).with_name("modules.py")
WORDS = ["dataset=digits", "splits=[test]", "num_test=40"]


def measured(capsys, name, *words):
    """Exit code, standard output, the lines of standard error, and the margins' table where there is one."""
    try:
        code = main(["margin", f"classifier=modules:{name}", *WORDS, *words])
    except SystemExit as left:
        code = left.code
    out, err = capsys.readouterr()
    path = Path(out.splitlines()[-1], "tables", "margins.csv") if code == 0 else None
    return code, out, err.splitlines(), None if path is None else pd.read_csv(path)


@pytest.fixture(scope="module")
def references():
    """The margins of the modules that others stand for, by name."""
    return {}


def margins_of(like, cache, capsys):
    if like not in cache:
        cache[like] = measured(capsys, like)[3]
    return cache[like]


@pytest.mark.parametrize(
    ("name", "like", "tolerance", "found", "line"),
    [
        ("plain", "plain", 1e-6, 1.0, ""),
        ("double_logits", "plain", 1e-4, 1.0, "its logits are float64"),
        ("double_inside", "plain", 1e-4, 1.0, "its logits are float64"),
        ("half_logits", "plain", 0.02, 0.9, "its logits are float16"),
        ("autocast", "plain", 0.2, 0.6, "its logits are bfloat16"),
        ("in_place", "out_of_place", 1e-6, 1.0, "it changes its input in place"),
        ("in_place_relu", "plain_in_relu", 1e-6, 1.0, "it changes its input in place"),
        ("probabilities", "plain", 0.5, 1.0, "its outputs are probabilities; give logits"),
    ],
)
def test_measured_as_the_module_that_it_stands_for(name, like, tolerance, found, line, here, references, capsys):
    with (here / "modules.py").open("a") as file:
        file.write("\n\ndef plain_in_relu():\n    return nn.Sequential(nn.ReLU(), _net())\n")
    reference = margins_of(like, references, capsys)
    code, out, err, rows = measured(capsys, name, "outputs=again")
    assert (code, err) == (0, [])
    assert line in out.splitlines()[0]
    assert any(said.startswith("accuracy ") for said in out.splitlines()[:2])
    assert rows["index"].tolist() == reference["index"].tolist()
    assert rows.success.mean() >= found
    both = rows.success & reference.success
    ratio = rows.margin[both] / reference.margin[both]
    assert ratio.sub(1).abs().median() <= tolerance


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("a_tuple", "gives tuple for 2 images of 1x8x8 from digits, not logits of (2, 10)"),
        ("an_object", "not logits of (2, 10); it has them as .logits: a module around it gives these"),
        ("one_class", "gives (2, 1) for 2 images"),
        ("no_grad", "gives logits without gradients (is its forward under torch.no_grad"),
        ("integer_logits", "its logits are whole numbers (int64), not real ones"),
        ("random_logits", "gives other logits at a second look"),
        ("active_dropout", "gives other logits at a second look"),
        ("batch_statistics", "other logits in a batch of 1 than in one of 64"),
        ("nan_logits", "its logits are nan: no class is predicted"),
        ("leaves", "calling it failed (SystemExit: 0)"),
        ("CHANGED", "CHANGED of modules is a bool, not a function"),
        ("plian", "has no function plian, did you mean plain?"),
    ],
)
def test_refused_in_a_line(name, line, here, capsys):
    code, out, err, _ = measured(capsys, name)
    assert (code, out, len(err)) == (2, "", 1)
    assert err[0].startswith(f"bdry: classifier=modules:{name}: ")
    assert line in err[0]
    assert not (here / "outputs").exists()


@pytest.mark.parametrize(
    ("raised", "shown"),
    [
        ("ValueError('no more')", "ValueError: no more"),
        ("SystemExit(0)", "SystemExit: 0"),
        ("StopIteration", "StopIteration"),
        ("GeneratorExit", "GeneratorExit"),
    ],
)
def test_what_a_forward_raises_on_the_way_ends_in_a_line_that_names_its_place(raised, shown, here, capsys):
    source = (here / "modules.py").read_text()
    number = source.count("\n") + 9
    (here / "modules.py").write_text(
        source + "\n\nclass _Tires(_Around):\n    calls = 0\n\n    def forward(self, x):\n"
        f"        self.calls += 1\n        if self.calls > 20:\n            raise {raised}\n"
        "        return super().forward(x)\n\n\ndef tires():\n    return _Tires(_net())\n"
    )
    sys.modules.pop("modules", None)
    code, _, err, _ = measured(capsys, "tires")
    assert code == 2
    assert err[-1].startswith(f"bdry: classifier=modules:tires: fails at modules.py, line {number} ({shown}")
    (status,) = (here / "outputs" / "measurements").glob("modules-tires-*/status.json")
    assert '"failed"' in status.read_text()


def test_a_constant_module_is_said_to_have_no_boundary(here, capsys):
    code, out, err, rows = measured(capsys, "constant")
    assert (code, err) == (0, [])
    assert "its logits are the same for all of these images: is there a boundary to find?" in out
    assert not rows.success.any()


def test_a_masked_class_is_no_neighbour_and_leaves_the_margins_of_the_nine_others(here, capsys):
    # too low to be near, and not so large that the logits' rounding is larger than a gap
    with (here / "modules.py").open("a") as file:
        file.write("\n\ndef low():\n    after = lambda z: torch.cat([z[:, :9], z.detach()[:, :1] * 0 - 5], 1)\n")
        file.write("    return _Around(_net(), after=after)\n")
    code, out, _, rows = measured(capsys, "masked_class")
    assert code == 0
    assert "class 9 has the logit -inf always: no boundary leads there" in out
    assert rows.success.all()
    assert 9 not in set(rows.boundary_class)
    truth = measured(capsys, "low")[3]
    assert (rows.margin / truth.margin - 1).abs().max() < 1e-3


# the lattice is for two dimensions; tests/margins has its twins
@pytest.mark.parametrize("name", ["deepfool", "walk", "ddn", "fmn", "fab", "apgd", "exact"])
def test_twin_classes(name, here, capsys):
    norm = ["norms=[l2]"] if name == "ddn" else []
    code, _, err, rows = measured(capsys, "twin_classes", f"margin={name}", "num_test=10", *norm)
    assert (code, err) == (0, [])
    assert rows.success.all()
    assert 2 not in set(rows.boundary_class)
    # the first pixel of every digit is 0
    assert (rows.margin / 0.5 - 1).abs().max() < 0.05


@pytest.mark.slow
def test_an_edited_forward_is_measured_anew(here, capsys, bdry):
    """A finished measurement and one killed half-way, then the edit: neither's numbers are shown or gone on with."""
    source = MODULES.read_text() + (
        "\n\nimport os, signal\n\n\nclass _Dies(_Around):\n    calls = 0\n\n    def forward(self, x):\n"
        "        self.calls += 1\n        if 'DIES' in os.environ and self.calls > 120:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n        return super().forward(x)\n\n\n"
        "def dies():\n    return _Dies(_net(), after=(lambda z: -z) if CHANGED else (lambda z: z))\n"
    )
    (here / "modules.py").write_text(source)
    words = {name: ["margin", f"classifier=modules:{name}", *WORDS, "batch_size=4"] for name in ("edited", "dies")}
    whole = bdry(*words["edited"], cwd=here)
    assert whole.returncode == 0, whole.stderr
    assert "is finished already" in bdry(*words["edited"], cwd=here).stdout
    assert bdry(*words["dies"], cwd=here, env={"DIES": "1"}).returncode == -9
    (half,) = (here / "outputs" / "measurements").glob("modules-dies-*")
    begun = (half / "tables" / "batches.csv").read_bytes()
    assert 1 < begun.count(b"\n") < 21
    (here / "modules.py").write_text(source.replace("CHANGED = False", "CHANGED = True"))
    changed = bdry(*words["edited"], cwd=here)
    assert changed.returncode == 0, changed.stderr
    assert "finished already" not in changed.stdout
    assert " 0.0%" in changed.stdout
    changed = bdry(*words["dies"], cwd=here)
    assert changed.returncode == 0, changed.stderr
    assert "going on after" not in changed.stdout
    assert (half / "tables" / "batches.csv").read_bytes() == begun
    # with the code that it was begun with it goes on
    (here / "modules.py").write_text(source)
    assert "going on after" in bdry(*words["dies"], cwd=here).stdout


def test_what_the_user_says_stands_for_the_code(here, capsys):
    """Instead of the files' hash: an edit alone changes nothing then, another word does."""
    source = MODULES.read_text() + (
        "\n\ndef turned():\n    return _Around(_net(), after=(lambda z: -z) if CHANGED else (lambda z: z))\n"
    )
    said = {}
    for code, changed in (("a1", "False"), ("a1", "True"), ("b2", "True")):
        (here / "modules.py").write_text(source.replace("CHANGED = False", f"CHANGED = {changed}"))
        sys.modules.pop("modules", None)
        said[code, changed] = measured(capsys, "turned", f"code={code}")[1]
    assert "is finished already" in said["a1", "True"]
    assert "finished already" not in said["a1", "False"] + said["b2", "True"]
    assert len(list((here / "outputs" / "measurements").iterdir())) == 2
    for words in (["run=x", "code=a1"], ["classifier=modules:plain", "dataset=digits", "code="]):
        with pytest.raises(SystemExit) as left:
            main(["margin", *words])
        assert left.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("bdry: code=")


def test_the_callers_images_are_untouched(here):
    sys.path.insert(0, str(here))
    import modules

    from bdry.session.classifier_check import check_classifier

    x = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    with torch.random.fork_rng():
        for name in ("in_place", "in_place_relu"):
            check_classifier(getattr(modules, name)(), x)
    assert torch.equal(x, before)


def test_the_largest_seed_trains_and_a_larger_one_is_a_line(here, capsys):
    words = ["dataset=digits", "training.epochs=1", "dataset.num_train=50", "dataset.num_test=20", "probe=[]"]
    words.append("evaluation.robust_images=0")
    with pytest.raises(SystemExit) as left:
        main(["train", *words, "seed=99999999999999999999"])
    assert left.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        "bdry: seed=99999999999999999999: must be at most 9223372036854775807"
    ]
    assert main(["train", *words, f"seed={2**63 - 1}"]) == 0
    assert main(["figures", "paper=mickisch2020", "runs=outputs"]) == 0
    assert "Traceback" not in capsys.readouterr().err

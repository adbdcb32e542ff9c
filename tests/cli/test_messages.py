"""Mistakes on the command line: one or two lines, the nearest name, exit code 2, before torch is loaded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

CASES = {
    "train paper=li2018/mnist scale=cpu probe=[]": "but what is chosen has no such setting; choose probe=[svm] too",
    "trian": "trian: no such command, did you mean bdry train?",
    "train datset=mnist": "datset: no such setting, did you mean dataset?",
    "train dataset=mnits": "dataset=mnits: no such dataset, did you mean dataset=mnist? (choices: arrays, blobs,",
    "train -m dataset=mnist,mnits": "dataset=mnits: no such dataset, did you mean dataset=mnist?",
    "train optim.lrr=1": "optim.lrr: no such setting, did you mean optim.lr?",
    "train -m seed=0,1 optim.lrr=1": "optim.lrr: no such setting, did you mean optim.lr?",
    "train +optim.lrr=1": "optim.lrr=1: no such setting, did you mean lr?",
    "train probe=[margin,margn]": "probe=margn: no such probe, did you mean probe=margin?",
    "train probe.margin.num_trian=5": "did you mean probe.margin.num_train?",
    "train adv.eps=0.1": "adv.eps: no such setting of adv=none; adv=pgd has it",
    "train adv=pgd adv.eps=-0.1": "adv.eps=-0.1: must be at least 0",
    "train adv=pgd adv.norm=l3": "adv.eps: dataset.pgd has no l3, did you mean l2? (choices: ",
    "train seed=0,1": "seed=0,1: several values need -m, a job each; a single list is seed=[0,1]",
    "train training.epochs=-3": "training.epochs=-3: must be at least 0",
    "train -m seed=0,1 training.epochs=-3": "training.epochs=-3: must be at least 0",
    "train training.epochs=2.5": "training.epochs=2.5: Value '2.5' of type 'float' could not be converted to Integer",
    "train optim.lr=nan": "optim.lr=nan: must be a finite number",
    "train optim.schedule=cosin": "optim.schedule=cosin: not one of constant, multistep, cosine, onecycle, did you",
    "train dataset.classes=[1]": "dataset.classes=[1]: needs at least two different classes",
    "train dataset.classes=[1,1]": "dataset.classes=[1,1]: names something twice",
    "train arch.widths=3": "arch.widths=3: needs a list, as in arch.widths=[3]",
    "train dataset=folder dataset.root=a dataset.size=32": "needs a list, as in dataset.size=[32,32]",
    "train dataset=arrays dataset.root=a": "of dataset=arrays; dataset=cifar10, fashion_mnist, folder, mnist have it",
    "train probe=[svm] probe.margin.norms=[l2]": "no such setting of the probes chosen; probe=[margin] has it",
    "train probe.svm.alpa=1": "did you mean probe.svm.",
    "train dataset=null": "dataset=null: a choice is one name",
    "train dataset=[blobs,moons]": "dataset=[blobs,moons]: a choice is one name; with -m several, a job each (choices:",
    "reproduce paper=[mickisch2020]": "paper=[mickisch2020]: a choice is one name; with -m several, a job each",
    "train probe=[margin,margin]": "probe=[margin,margin]: names something twice",
    "train probe=[[margin]]": "probe=[[margin]]: must be a list of probes, as in probe=[margin]",
    "train hydra.verbose=maybe": "hydra.verbose=maybe: must be true or false",
    "train +hydra.x=1": "+hydra.x=1: no setting of Hydra that bdry leaves to it, as",
    "margin +preprocessing.mean.a=1": "+preprocessing.mean.a=1: has no settings of its own to which one could be added",
    "publish to=.": "to=.: must be a folder's own name, as in to=docs/results/mickisch2020",
    "publish to=a/..": "to=a/..: must be a folder's own name",
    "publish to=/": "to=/: must be a folder's own name",
    "train ~hydra.job": "~hydra.job: no setting of Hydra that bdry leaves to it",
    "train hydra.job.name=a": "hydra.job.name=a: no setting of Hydra that bdry leaves to it",
    "figures hydra.run.dir=a": "hydra.run.dir=a: no setting of Hydra that bdry leaves to it",
    "train hydra.output_subdir=a": "hydra.output_subdir=a: no setting of Hydra that bdry leaves to it",
    "train hydra=bdry": "hydra=bdry: no setting of Hydra that bdry leaves to it",
    "train hydra/output=null": "hydra/output=null: ",
    "train hydra.searchpath=[nosuch]": "hydra.searchpath=[nosuch]: there is no folder nosuch",
    "train hydra.searchpath=[file://nosuch]": "hydra.searchpath=[file://nosuch]: there is no folder nosuch",
    "train hydra.searchpath=[pkg://nosuch.conf]": "[pkg://nosuch.conf]: there is no package nosuch.conf",
    "train hydra.sweep.dir=a": "hydra.sweep.dir=a: a sweep's; goes with -m",
    "train +hydra.sweeper.params.seed=0,1": "+hydra.sweeper.params.seed=0,1: a sweep's; goes with -m",
    f"train study={'a' * 201}": "study=aaaaaaaaaaaaaaaaaaaa...: has more than 200 letters",
    "train moments=[]": "moments=[]: has settings of its own, each given by itself, as in moments.<name>=<value>",
    "train study=null": "study=null: has no null; leave it out for its default",
    "train ~adv": "adv: must be given",
    "train seed": "seed: not of the form key=value",
    "train --sweep": "unrecognized arguments: --sweep",
    "train --cfg jbo": "invalid choice: 'jbo'",
    "train --cfg job -m": "exclude each other",
    "train --shell-completion": "--shell-completion: bdry completion bash|zsh|fish prints the script",
    "train seed=0 -m seed=x": "seed=x: Value 'x'",
    "train seed=0 --cfg job seed=1": "unrecognized arguments: seed=1 (other flags than -m stand before or behind all",
    "completion csh": "usage: bdry completion bash|zsh|fish",
    "margin": "run=null: give either run=<folder> or classifier=<module>:<function>",
    "margin run=a classifier=b:c": "run=a: give either run=<folder> or classifier=<module>:<function>",
    "margin run=a/seed=0 dataset=mnist": "dataset=mnist: goes with classifier=; a run brings its own",
    "margin run=a weights=w.safetensors": "weights=w.safetensors: goes with classifier=; a run brings its own",
    "margin classifier=a:b": "dataset=null: must be given with classifier=, as in dataset=mnist",
    "margin classifier=a dataset=digits": "classifier=a: not of the form <module>:<function>",
    "margin classifier=a:b dataset=cifar10 checkpoint=3": "checkpoint=3: goes with run=",
    "margin run=a/seed=0 checkpoint=lats": "checkpoint=lats: must be last, all, or a step",
    "margin run=a/seed=0 margin=deepfol": "margin=deepfol: no such margin, did you mean margin=deepfool?",
    "margin run=a splits=[tst]": "splits=[tst]: not one of train, test, did you mean test?",
    "margin run=a norms=[]": "norms=[]: must not be empty",
    "train arch.widths=[[1,2],[3]]": "arch.widths=[[1,2],[3]]: holds a list in a list; single values are wanted",
    "train moments.steps=[0,[1]]": "moments.steps=[0,[1]]: holds a list in a list",
    "margin run=a norms=[l2,l2]": "norms=[l2,l2]: names something twice",
    "train training.loss=hing": "training.loss=hing: not one of cross_entropy, hinge, squared_error",
    "train training.loss=hinge training.label_smoothing=0.1": "smoothing=0.1: goes with training.loss=cross_entropy",
    "train training.loss=squared_error training.loss_scaled=true": "loss_scaled=true: goes with training.loss=cross",
    "train probe.margin.beside=[]": "probe.margin.beside=[]: must not be empty",
    "train probe.margin.beside=[walk,walk]": "probe.margin.beside=[walk,walk]: names something twice",
    "train probe.margin.beside=[wlak]": "probe.margin.beside=[wlak]: not one of",
    "train margin=walk probe.margin.beside=[walk]": "beside=[walk]: walk measures these images already (margin=)",
    "margin run=a check=[deepfool]": "check=[deepfool]: deepfool measures these images already (margin=)",
    "margin run=a batch_size=0": "batch_size=0: must be at least 1",
    "margin run=a batch_size=many": "batch_size=many: must be a whole number or auto",
    "margin run=a num_tset=5": "num_tset: no such setting, did you mean num_test?",
    "deepdig": "run=null: give either run=<folder> or classifier=<module>:<function>",
    "svm run=a head=fc": "head=fc: goes with classifier=; a run brings its own",
    "regions classifier=a:b": "dataset=null: must be given with classifier=, as in dataset=mnist",
    "curvature classifier=a:b dataset=digits weights=[]": "weights=[]: must not be empty",
    "deepdig run=a pairs=[[1,1]]": "pairs=[[1,1]]: has one class twice in a pair",
    "deepdig run=a pairs=al": "pairs=al: must be all or a list of pairs, as in [[1,2],[4,9]]",
    "deepdig run=a methods=[rpsb]": "methods=[rpsb]: not one of deepdig, real_ae1, rpbs,",
    "train dataset=folde --help": "dataset=folde: no such dataset, did you mean dataset=folder?",
    "train training.epoch=3 --help": "training.epoch: no such setting, did you mean training.epochs?",
    "publish paper=li2018/mnist to=a": "paper=li2018/mnist: bdry publish takes a whole study",
    "figures papr=x": "papr: no such setting, did you mean paper?",
    "figures paper=mickisch": "paper=mickisch: no such paper, did you mean paper=mickisch2020?",
    "figures figure=margin_evolutoin runs=.": "runs=.: no run below it",
    "figures runs=nowhere": "runs=nowhere: no such folder",
    "figures runs=[nowhere/seed=0]": "runs=nowhere/seed=0: no such folder",
}


@pytest.mark.parametrize("line", CASES)
def test_mistakes_answer_in_a_line_before_torch(line, bdry_without_torch, tmp_path):
    done = bdry_without_torch(*line.split(), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert CASES[line] in done.stderr
    # Hydra announces a failing job of a sweep in a line of its own
    assert len(done.stderr.strip().splitlines()) <= 2
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "outputs" / "runs").exists()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", "usage: bdry <command>"),
        ("--help", "completion"),
        ("--version", "bdry 0."),
        ("train --help", "training.epochs=20"),
        ("train dataset=cifar10 --help", "dataset.root="),
        ("train adv=pgd --help", "radius of the ball; default"),
        ("train dataset=folder --help", "dataset.root= "),
        ("train arch=module --help", "arch.build= "),
        ("margin dataset=arrays --help", "dataset.file= "),
        ("margin run=outputs/runs/a/seed=0 --help", "checkpoint=last"),
        ("margin --help", "checkpoint=last"),
        ("margin dataset=mnist --help", "dataset.root="),
        ("figures --help", "paper=mickisch2020"),
        ("reproduce --help", "fawzi2017 | karimi2020 | li2018 | mickisch2020\n"),
        ("train --cfg job", "name: digits"),
        ("train --cfg job dataset=cifar10", "name: resnet18"),
        ("train --cfg job dataset=cifar10 arch=plaincnn", "name: plaincnn"),
        ("completion bash", "complete -o nospace -F _bdry_complete bdry"),
        ("completion zsh", "#compdef bdry"),
        ("completion fish", "complete -c bdry"),
    ],
)
def test_help_needs_no_torch(line, expected, bdry_without_torch, tmp_path):
    done = bdry_without_torch(*line.split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("bdry tr", {"train"}),
        ("bdry train dataset=fa", {"dataset=fashion_mnist"}),
        ("bdry train dataset=mnist adv=", {"adv=none", "adv=pgd"}),
        ("bdry train adv=pgd adv.ep", {"adv.eps="}),
        ("bdry ma", {"margin"}),
        ("bdry margin margin=deepf", {"margin=deepfool", "margin=deepfool_all"}),
        ("bdry completion z", {"zsh"}),
        ("bdry train --c", {"--cfg", "--config-dir"}),
        ("bdry nothing ", {""}),
    ],
)
def test_completion_offers_what_may_follow(line, expected, bdry_without_torch, tmp_path):
    done = bdry_without_torch("complete", line, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.strip("\n").splitlines() or [""]) == expected


# where the shell has no line to edit, what it would offer is printed
COMPLETING = {
    "bash": """
        bdry() { "$PYTHON" -m bdry "$@"; }
        eval "$(bdry completion bash)"
        COMP_LINE="bdry train dataset=fash"; COMP_POINT=${#COMP_LINE}
        COMP_WORDS=(bdry train dataset = fash); COMP_CWORD=4
        _bdry_complete
        printf 'dataset=%s\\n' "${COMPREPLY[@]}"
    """,
    "zsh": """
        bdry() { "$PYTHON" -m bdry "$@" }
        compdef() { }
        compadd() { print -l -- "${@[5,-1]}" }
        eval "$(bdry completion zsh)"
        words=(bdry train dataset=fash) CURRENT=3
        _bdry
    """,
    "fish": """
        function bdry; $PYTHON -m bdry $argv; end
        bdry completion fish | source
        complete -C "bdry train dataset=fash"
    """,
}


@pytest.mark.parametrize("shell", COMPLETING)
def test_it_completes_in_a_real_shell(shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    environment = {**os.environ, "PYTHON": sys.executable}
    command = [shell, "-c", COMPLETING[shell]]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "dataset=fashion_mnist", done.stderr

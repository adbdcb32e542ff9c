"""`bdry <command> key=value ...`: each command is a `hydra.main` function over `conf/<command>.yaml`."""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NoReturn, cast

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from .. import __version__
from ..commands import module_of
from ..conf import COMMANDS, HYDRA_VERSION_BASE, WHOLE_STUDIES, groups, typed
from ..errors import NO_MEMORY, NO_ROOM, BdryError, UsageError, did_you_mean, one_line, out_of_memory, reason
from ..leaving import said
from ..plugins import problems
from ..settings.options import conf_dir
from . import streams
from .completion import SHELLS, candidates, script
from .explain import explain
from .help import command_help, overview
from .memory import check_limit
from .plain import PLAIN, run_plain
from .sweep import attempt
from .workers import take_share

# settings that are paths, or a label, which may have any letter; and values of these that Hydra's grammar reads as they
# are meant: words that are no numbers, what is quoted, interpolations; of `runs` and in a sweep several values too
OWN_FILES = tuple(f"dataset.{name}" for name in ("root", "file", "labels_file", "test_file", "test_labels_file"))
PATHS = ("outputs", "published", "run", "runs", "to", "weights", "study", *OWN_FILES)
# of these, those that may be lists
LISTS = ("runs", "weights")
ONE_PATH = r"(?i:(?!(true|false|nan|inf|[\d_.e+-]*\d[\d_.e+-]*)$)[a-z0-9_./%@+*?:=-]*)|'.*'|\".*\"|.*\$\{.*"
SEVERAL_PATHS = ONE_PATH + r"|\[.*\]|[^'\"(]*,.*|(choice|glob|range|interval|shuffle|sort)\(.*\)"

# one name or list of names, in a sweep several; what Hydra computes
PROBE = r"(?!null\b|true\b|false\b)[A-Za-z_][\w.@/-]*"
ONE_PROBE = rf"\[\s*({PROBE}(\s*,\s*{PROBE})*)?\s*\]|{PROBE}"
PROBES = rf"({ONE_PROBE})(\s*,\s*({ONE_PROBE}))*|\w+\(.*\)|'.*'|\".*\"|.*\$\{{.*"

SWEEPING = ("-m", "--multirun")
# settings that make a sweep of a command line without these
SWEEPS = ("launch=joblib", "launch=slurm", "hydra.mode=MULTIRUN")
# of Hydra's own settings those that bdry leaves to act, and of these the ones of a sweep
ACTING = r"hydra/launcher|hydra\.(launcher|callbacks|searchpath|mode|verbose|job\.env_set|job\.env_copy)\b"
ACTING += r"|hydra\.(sweep\.dir|sweeper\.(max_batch_size|params))\b"
OF_SWEEPS = r"hydra\.sweep(er)?\."


def dispatch(argv: list[str] | None = None) -> int:
    """Runs one command line and returns its exit code.

    0 done, 1 failed, 2 usage or config, 3 some jobs of a sweep failed, 4 another process works on it, 75 stopped early
    by a signal. `bdry.cli.main` adds 130, interrupted.
    """
    argv = sys.argv[1:] if argv is None else argv
    streams.prepare()
    try:
        code = _dispatch(argv)
        streams.flush()
        return code
    except BdryError as error:
        return _complain(error)
    except OSError as error:
        with suppress(OSError):
            streams.flush()
        kind = UsageError if error.errno == errno.ENAMETOOLONG else BdryError
        return _complain(kind(reason(error)))
    except (RuntimeError, MemoryError, ImportError) as error:
        return _complain(_line_for(error))


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    command, rest = argv[0], argv[1:]
    for word in argv:
        if "\0" in word:
            raise UsageError(f"{one_line(word)}: holds a character that no path and no name may hold")
    if command != "complete":
        for problem in problems():
            print(f"bdry: {problem}", file=sys.stderr)
    if command == "--version":
        print(f"bdry {__version__}")
    elif command == "completion":
        if len(rest) != 1 or rest[0] not in SHELLS:
            raise UsageError(f"usage: bdry completion {'|'.join(SHELLS)}")
        print(script(rest[0]))
    elif command == "complete":
        print("\n".join(candidates(rest[0] if rest else "")))
    elif command in PLAIN:
        if not {"-h", "--help"} & {*rest}:
            check_limit(command)
        run_plain(command, rest)
    elif command not in COMMANDS:
        commands = [*COMMANDS, *PLAIN]
        hint = did_you_mean(command, commands, "bdry ")
        raise UsageError(f"{command}: no such command{hint} (commands: {', '.join(commands)})")
    elif "-h" in rest or "--help" in rest:
        words = [_escaped(_renamed(command, word), sweep=False) for word in rest if "=" in word]
        with _explained(command, words):
            print(command_help(command, words))
    else:
        _run_hydra(command, rest)
    return 0


def _run_hydra(command: str, rest: list[str]) -> None:
    # makes hydra.main raise instead of printing and exiting, so that `explain` can answer in a line
    os.environ["HYDRA_FULL_ERROR"] = "1"
    # Hydra's parser takes the settings in one piece; -m may stand among them
    rest.sort(key=lambda word: word not in SWEEPING)
    rest = [_renamed(command, word) for word in rest]
    sweep = any(word in (*SWEEPING, *SWEEPS) for word in rest)
    rest = [_escaped(word, sweep) for word in rest]
    _check_paper(command, rest)
    _check_choices(command, rest)
    _check_hydra(rest, sweep)
    sys.argv = [f"bdry {command}", *rest]
    run = hydra.main(config_path=str(conf_dir()), config_name=command, **HYDRA_VERSION_BASE)(job)
    package = _check_flags(rest)
    try:
        with _explained(command, rest):
            run()
    except SystemExit as left:
        # Hydra's own, which has said that there is no such package
        raise SystemExit(2 if package and left.code == 1 else left.code) from None
    except OSError as error:
        kind = BdryError if error.errno in NO_ROOM else UsageError
        raise kind(reason(error)) from None
    except TypeError as error:
        # Hydra looks for an interpolation in every element of a choice that is a list
        if "is not iterable" not in str(error):
            raise
        raise UsageError(f"a choice such as dataset=mnist must be a name ({error})") from None
    except AssertionError as error:
        # OmegaConf's, of a setting that is added below a list or a null
        if "Unexpected type for root" not in str(error):
            raise
        added = next((word for word in rest if word.startswith("+")), "+")
        raise UsageError(f"{added}: has no settings of its own to which one could be added") from None
    except (ValueError, RuntimeError) as error:
        # what Hydra and submitit raise for a user's mistake; anything else is a bug and keeps its traceback
        if str(error).startswith("Config group override"):
            raise UsageError(f"a choice such as dataset=mnist must be a name: {error}") from None
        if "srun" in str(error):
            raise UsageError("launch=slurm: no SLURM here (srun is not on the PATH)") from None
        if "Exceeds the limit" in str(error):
            raise UsageError("a number has more digits than Python reads") from None
        if str(error).startswith("Expecting one subcommand"):
            raise UsageError("--shell-completion: bdry completion bash|zsh|fish prints the script") from None
        if "--resolve" in str(error):
            raise UsageError("--resolve: goes with --cfg, as in --cfg job --resolve") from None
        if str(error).startswith("Only one of --run"):
            raise UsageError("--cfg, --info and --multirun exclude each other: give one of them") from None
        raise


@contextmanager
def _explained(command: str, words: list[str]) -> Iterator[None]:
    """Raises `UsageError` for what Hydra and OmegaConf find wrong with the words."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise UsageError(explain(error, command, words)) from None


def _renamed(command: str, word: str) -> str:
    """launch= as reproduce has it: there it is a plain key, while Hydra takes launch= for its own launcher."""
    return word.replace("launch=", "launcher=", 1) if command == "reproduce" and word.startswith("launch=") else word


def _escaped(word: str, sweep: bool) -> str:
    """A path such as run=outputs/runs/x/seed=0 as Hydra's grammar wants it: a second = escaped, odd letters quoted."""
    key, assigns, value = word.partition("=")
    if word.startswith("-") or not assigns:
        return word
    if key in PATHS and not re.fullmatch(SEVERAL_PATHS if sweep or key in LISTS else ONE_PATH, value):
        # within quotes a backslash is one, but before a quote, where it is doubled
        return f"{key}='" + re.sub(r"(\\*)('|$)", lambda at: at[1] * 2 + ("\\'" if at[2] else ""), value) + "'"
    if set(value) & set("'\"(\\"):
        return word
    return key + assigns + value.replace("=", "\\=")


def _check_paper(command: str, rest: list[str]) -> None:
    """Raises `UsageError` for a preset of one run where a whole study is meant."""
    if command not in WHOLE_STUDIES:
        return
    for word in rest:
        study, _, part = word.removeprefix("paper=").partition("/")
        if word.startswith("paper=") and (part or study == "none"):
            studies = ", ".join(groups(command)["paper"])
            raise UsageError(f"{word}: bdry {command} takes a whole study (choices: {studies})")


def _check_choices(command: str, rest: list[str]) -> None:
    """Raises `UsageError` for a choice that is no name, and for what is no list of probes."""
    for word in (word for word in rest if not word.startswith("-")):
        key, assigns, value = word.partition("=")
        group = key.lstrip("+")
        if "@" in key:
            raise UsageError(f"{word}: no setting's name has a @")
        if group == "probe" and assigns:
            if not re.fullmatch(PROBES, value):
                raise UsageError(f"{word}: must be a list of probes, as in probe=[margin]")
            # a sweep has several lists
            for names in (re.split(r"\s*,\s*", chosen.strip()) for chosen in re.findall(r"\[(.*?)\]", value)):
                if len({*names}) < len(names):
                    raise UsageError(f"{word}: names something twice")
        elif assigns and re.match(r"\[|\{|(null)?$", value):
            options = groups(command).get(group)
            if options is not None or "/" in group:
                listed = f" (choices: {', '.join(options)})" if options else ""
                raise UsageError(f"{word}: a choice is one name; with -m several, a job each{listed}")


def _check_hydra(rest: list[str], sweep: bool) -> None:
    """Raises `UsageError` for a setting of Hydra's own that would do nothing without a word."""
    for word in (word for word in rest if not word.startswith("-")):
        key, _, value = word.partition("=")
        name = key.lstrip("+~")
        if not re.match(r"hydra\b", name):
            continue
        if not re.match(ACTING, name):
            raise UsageError(f"{word}: no setting of Hydra that bdry leaves to it, as hydra.launcher.<name> is")
        if re.match(OF_SWEEPS, name) and not sweep:
            raise UsageError(f"{word}: a sweep's; goes with -m")
        if name == "hydra.verbose" and value not in ("true", "false"):
            raise UsageError(f"{word}: must be true or false")
        if name == "hydra.searchpath":
            for place in re.split(r"\s*,\s*", value.strip("[]' \"")):
                folder, package = Path(place.removeprefix("file://")).expanduser(), place.removeprefix("pkg://")
                if package != place and not _is_package(package):
                    raise UsageError(f"{word}: there is no package {package}")
                if package == place and not folder.is_dir():
                    raise UsageError(f"{word}: there is no folder {folder}")


def _is_package(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _check_flags(rest: list[str]) -> str:
    """The package that --cfg is to show; raises `UsageError` where Hydra's own parser would print its usage."""

    def refuse(message: str) -> NoReturn:
        if message.startswith("unrecognized arguments") and "=" in message and "--" not in message:
            raise UsageError(f"{message} (other flags than -m stand before or behind all settings)")
        raise UsageError(f"{message} (bdry <command> --help lists the flags)")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    flags = parser.parse_args(rest)
    if flags.experimental_rerun:
        raise UsageError("--experimental-rerun: no flag of bdry, as it runs what a file says; bdry rerun <run> goes on")
    if flags.package and not flags.cfg:
        raise UsageError("--package: goes with --cfg, as in --cfg job --package training")
    return flags.package or ""


def job(config: DictConfig) -> None:
    """One job of any command, in this process or a launcher's worker."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        attempt(partial(_run_task, config))
        return
    try:
        _run_task(config)
    except (BdryError, OSError) as raised:
        error = raised if isinstance(raised, BdryError) else BdryError(reason(raised))
        # Hydra adds a line of its own to every Exception of a job, but lets SystemExit pass
        raise SystemExit(_complain(error)) from None
    except (RuntimeError, MemoryError, ImportError) as error:
        raise SystemExit(_complain(_line_for(error))) from None


def _line_for(error: RuntimeError | MemoryError | ImportError) -> BdryError:
    """The error of ours for no memory, or for ~ and a user who is not there; any other is a bug and raised again."""
    if out_of_memory(error):
        # of a library that could not be loaded the reason stands below its advice
        said = [line for line in str(error).splitlines() if any(words in line.lower() for words in NO_MEMORY)]
        return BdryError(f"not enough memory here ({one_line(said[0] if said else error)[:100]})")
    if "home directory" not in str(error):
        raise error
    return UsageError("~: there is no such home directory; a name that begins with ~ is written ./~")


def _run_task(config: DictConfig) -> object:
    """Takes the worker's share of the machine, checks the config, then loads the task and runs it; what it returns."""
    hydra_config = HydraConfig.get()
    if hydra_config.runtime.choices["hydra/launcher"] == "joblib":
        take_share(config, cast(DictConfig, hydra_config))
    # before the import, which loads torch
    checked = typed(config)
    check_limit(str(hydra_config.job.config_name))
    if sys.stdout.isatty() and hydra_config.mode == RunMode.RUN:
        print(f"bdry {hydra_config.job.config_name}: starting", flush=True)
    with said():
        return importlib.import_module(module_of(str(hydra_config.job.config_name))).run(checked)


def _complain(error: BdryError) -> int:
    print(f"bdry: {one_line(error)}", file=sys.stderr)
    return error.exit_code

"""`bdry completion bash|zsh|fish`: each script asks `bdry complete "<line>"`, so that there is one engine."""

from __future__ import annotations

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.bash_completion import BashCompletion
from hydra._internal.utils import create_config_search_path

from ..conf import COMMANDS
from ..settings.options import conf_dir
from .plain import PLAIN

BASH = """\
_bdry_complete() {
    local line="${COMP_LINE:0:$COMP_POINT}" word
    COMPREPLY=()
    while IFS= read -r word; do
        [ -n "$word" ] && COMPREPLY+=("$word")
    done < <("${COMP_WORDS[0]}" complete "$line" 2>/dev/null)
    [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == *[=./] ]] && compopt -o nospace
    # '=' is a word break of readline's: offer what follows it
    if [[ "${COMP_WORDBREAKS}" == *"="* && "${line##* }" == *"="* ]]; then
        COMPREPLY=("${COMPREPLY[@]#*=}")
    fi
}
complete -o nospace -F _bdry_complete bdry"""

ZSH = """\
#compdef bdry
_bdry() {
    local -a found
    found=("${(@f)$(${words[1]} complete "${(j: :)words[1,CURRENT]}" 2>/dev/null)}")
    compadd -Q -S '' -- $found
}
compdef _bdry bdry"""

FISH = """\
function __bdry_complete
    bdry complete (commandline -cp) 2>/dev/null
end
complete -c bdry -f -a '(__bdry_complete)'"""

SHELLS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def script(shell: str) -> str:
    """The completion script of `shell`, to be sourced by it."""
    return SHELLS[shell]


def candidates(line: str) -> list[str]:
    """What may stand at the end of `line` (a whole command line, `bdry` first)."""
    words = line.split(" ")[1:]
    if len(words) <= 1:
        typed = words[0] if words else ""
        return [name for name in (*COMMANDS, *PLAIN, "completion") if name.startswith(typed)]
    command, *rest = words
    if command == "completion":
        return [shell for shell in SHELLS if shell.startswith(rest[-1])]
    if command not in COMMANDS:
        return []
    flags = [flag for flag in ("--help", "--multirun", "--cfg", "--config-dir") if flag.startswith(rest[-1])]
    if rest[-1].startswith("-"):
        return flags
    loader = ConfigLoaderImpl(create_config_search_path(str(conf_dir())))
    assignments = [word for word in rest[:-1] if not word.startswith("-")]
    found = BashCompletion(loader)._query(config_name=command, line=" ".join([*assignments, rest[-1]]))
    return [word for word in found if word[-1] in "=." or "=" in word]

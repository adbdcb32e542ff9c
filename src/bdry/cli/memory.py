"""A shell's limit on memory (`ulimit -v`): with too little, OpenBLAS waits for ever for its buffer, without a word."""

from __future__ import annotations

from ..errors import BdryError
from ..session.cores import num_cores

# in KiB, as `ulimit -v` counts: for numpy and pandas (measured: 210,000 is enough, 160,000 is not); for scipy and
# matplotlib too; for torch and scikit-learn too; for the threads of a core
TABLES, FIGURES, NETWORKS, CORE = 260_000, 500_000, 1_000_000, 20_000
# commands that load no torch
NEEDED = dict.fromkeys(("runs", "show", "compare", "rerun", "export"), TABLES)
NEEDED |= dict.fromkeys(("figures", "report", "publish"), FIGURES)


def check_limit(command: str) -> None:
    """Raises `BdryError` where the process may not have what the libraries of `bdry <command>` need to be loaded."""
    try:
        import resource
    except ImportError:
        # a system without such limits
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    needed = NEEDED.get(command, NETWORKS) + CORE * num_cores()
    if limit != resource.RLIM_INFINITY and limit < needed * 1024:
        raise BdryError(
            f"not enough memory here (ulimit -v is {limit // 1024}; bdry {command} needs {needed} at least)"
        )

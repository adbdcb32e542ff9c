"""`python -m bdry`, the same as `bdry`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())

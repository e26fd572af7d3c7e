"""`python -m d3gan` is `d3gan`; `torchrun -m d3gan train ...` starts here."""

import sys

from d3gan.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

"""`python -m hounsfield`: the same commands as `hounsfield`."""

import sys

from hounsfield.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

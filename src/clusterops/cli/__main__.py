# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m clusterops.cli``."""

import sys

from clusterops.cli import main

if __name__ == "__main__":
    sys.exit(main())

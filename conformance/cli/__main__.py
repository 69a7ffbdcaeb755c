"""``python -m conformance.cli`` is the command ``refnet-conformance``."""

import sys

from conformance.cli import main

sys.exit(main())

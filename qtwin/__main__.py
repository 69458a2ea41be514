"""``python -m qtwin``."""

import sys

from qtwin.cli import main

sys.exit(main())

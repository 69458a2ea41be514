"""``python -m qtwin``."""

import sys

try:
    from qtwin.cli import main

    code = main()
except KeyboardInterrupt:  # before or after `qtwin.cli.dispatch` sees to signals itself
    code = 130
sys.exit(code)

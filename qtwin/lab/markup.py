"""The one place where text becomes HTML. Read without importing JAX.

Whatever stands in a page and is not a number that was made here goes through `escaped`: in text and in attributes,
which all stand in quotes.
"""

from __future__ import annotations

import html


def escaped(text: object) -> str:
    """``text`` as it may stand in HTML, between tags or in a quoted attribute."""
    return html.escape(str(text), quote=True)

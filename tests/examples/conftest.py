"""The example's steps are not part of the distribution: its folder is made importable for these tests."""

from __future__ import annotations

import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "wheelhouse"
if str(EXAMPLE) not in sys.path:
    sys.path.insert(0, str(EXAMPLE))

"""Writes docs/osc.md from the address table: python docs/make_osc.py, in the project's environment."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from plugin_bridge.osc_docs import page

(HERE / "osc.md").write_text(page(), "utf-8")

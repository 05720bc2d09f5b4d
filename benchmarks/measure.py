"""What the benchmarks share: a line about the machine, quantiles, results as JSON beside this file."""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).resolve().parent / "results"


def machine() -> dict[str, Any]:
    """Where a figure comes from."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    return {
        "processor": model,
        "n_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def spread(values: list[float]) -> dict[str, float]:
    """Median, 90th percentile and extremes."""
    p = {"p50": 50, "p90": 90, "min": 0, "max": 100}
    return {name: round(float(np.percentile(values, share)), 3) for name, share in p.items()}


def write(name: str, result: dict[str, Any], about: dict[str, Any]) -> None:
    """Writes results/NAME.json and prints it."""
    when = datetime.now(UTC).date().isoformat()
    text = json.dumps({"benchmark": name, "date": when, "machine": about, **result}, indent=1)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n", "utf-8")
    print(text, file=sys.stdout)


def resident_mb(pid: int) -> float:
    """Resident memory of a process (Linux)."""
    kb = next(line.split()[1] for line in _lines(f"/proc/{pid}/status") if line.startswith("VmRSS"))
    return round(int(kb) / 1024, 1)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []

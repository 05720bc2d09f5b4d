"""How long does it take to learn anew, as each mark has it, where a thousand one-shots were marked?

    python benchmarks/marks.py [--n-marks 1000] [--rounds 30]

Times are the processor's own: a machine with other work does not change them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # a press has the DAW beside it

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from benchmarks.measure import machine, spread, write
from index.catalogue import Catalogue, model_id
from index.marks import read_choices
from index.taste import learn

N_KEYS, DIM = 20_000, 256
N_BESIDE = 9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n-marks", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    about = machine()
    rng = np.random.default_rng(0)
    keys = rng.standard_normal((N_KEYS, DIM)).astype("<f4")
    names = [number.to_bytes(16, "big") for number in range(N_KEYS)]
    marked = rng.choice(N_KEYS, arguments.n_marks, replace=False)
    beside = [b"".join(names[at] for at in rng.choice(N_KEYS, N_BESIDE, replace=False)) for _ in marked]
    times_ms: dict[str, list[float]] = {"read": [], "learn": [], "both": []}
    with tempfile.TemporaryDirectory() as folder:
        catalogue = Catalogue(Path(folder))
        with catalogue.change() as db:
            model = model_id(db, "model")
            db.executemany(
                "INSERT INTO vectors (model, content, vector) VALUES (?, ?, ?)",
                ((model, name, key.tobytes()) for name, key in zip(names, keys, strict=True)),
            )
            db.executemany(
                "INSERT INTO marks (content, what, at, beside) VALUES (?, 'like', 0, ?)",
                ((names[at], others) for at, others in zip(marked, beside, strict=True)),
            )
        for _ in range(arguments.rounds):
            began = time.process_time()
            with catalogue.reading() as db:
                choices = read_choices(db, "model")
            read = time.process_time()
            learn(choices, "model")
            learned = time.process_time()
            for name, seconds in (
                ("read", read - began),
                ("learn", learned - read),
                ("both", learned - began),
            ):
                times_ms[name].append(1000 * seconds)
        catalogue.close()
    write(
        "marks",
        {
            "n_marks": arguments.n_marks,
            "n_learned": len(choices),
            "dim": DIM,
            "processor_ms": {name: spread(values) for name, values in times_ms.items()},
        },
        about,
    )


if __name__ == "__main__":
    main()

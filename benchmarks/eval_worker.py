"""Times ``DeepPot.eval`` in the environment of either package: eval_worker.py MODULE MODEL FRAMES.npz"""

import importlib
import json
import sys
import time

import numpy as np

module, model, frames = sys.argv[1:]
DeepPot = importlib.import_module(f"{module}.infer").DeepPot
data = np.load(frames)
start = time.perf_counter()
potential = DeepPot(model)
load = time.perf_counter() - start
potential.eval(data["coord"][:20], data["box"][:20], data["types"])
start = time.perf_counter()
energy, force, _ = potential.eval(data["coord"], data["box"], data["types"])
seconds = time.perf_counter() - start
report = getattr(potential, "runtime_report", str)
print(
    "RESULT "
    + json.dumps(
        {
            "seconds": seconds,
            "load": load,
            "energy": float(np.sum(energy)),
            "force": float(np.sum(np.square(force))),
            "report": str(report()),
        }
    )
)

"""Resident memory of a fit on memory-mapped scans, by the size of the cohort.

Each fit runs in a process of its own, for one epoch at the default batch size, on scans of noise in
one .npy file. Crops and network are small, so the scans take most of the memory. Anonymous memory
belongs to the process; the system can drop memory that is mapped from files.

    python benchmarks/memory_growth.py 2 8        # GB of scans; needs twice that on the disk
"""

import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from sk_brainmae import BrainMAETransformer

FRAMES, REGIONS = 500, 100
MODEL = {"window_size": 15, "crop_length": 60, "embedding_dim": 16, "n_layers": 1}
KINDS = {"VmRSS": "resident", "RssAnon": "anonymous", "RssFile": "mapped"}


def write_scans(path: Path, gigabytes: float) -> None:
    """Write a cohort of float32 scans in blocks."""
    n_scans = round(gigabytes * 1e9 / (4 * FRAMES * REGIONS))
    shape = (n_scans, FRAMES, REGIONS)
    scans = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    rng = np.random.default_rng(0)
    for i in range(0, n_scans, 100):
        block = scans[i : i + 100]
        block[:] = rng.standard_normal(block.shape, dtype=np.float32)
    scans.flush()


def memory_now() -> dict[str, float]:
    """Return the gigabytes in use by this process, by kind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return {name: int(values[kind].split()[0]) / 1e6 for kind, name in KINDS.items()}


def fit_and_print(path: str) -> None:
    """Fit on mapped scans; print the peak of each kind of memory, the start and the seconds."""
    scans = np.load(path, mmap_mode="r")
    peak = before = memory_now()
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = {name: max(peak[name], now) for name, now in memory_now().items()}

    watcher = threading.Thread(target=watch)
    watcher.start()
    begun = time.perf_counter()
    BrainMAETransformer(**MODEL, max_epochs=1, random_state=0).fit(scans)
    seconds = time.perf_counter() - begun
    done.set()
    watcher.join()
    print(*peak.values(), before["resident"], seconds)


def main() -> None:
    """Print a table with one row for each size of cohort."""
    rows = []
    for gigabytes in map(float, sys.argv[1:] or ["2"]):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "scans.npy")
            write_scans(path, gigabytes)
            command = [sys.executable, __file__, "--fit", str(path)]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            rows.append([gigabytes, *map(float, output.split())])
    columns = ["scans", *KINDS.values(), "before the fit", "seconds"]
    print("Peak memory in GB")
    print(pd.DataFrame(rows, columns=columns).round(2).to_string(index=False))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if sys.argv[1:2] == ["--fit"]:
        fit_and_print(sys.argv[2])
    else:
        main()

"What the benchmarks share: alternating runs, medians with their spread, and the machine in the output."
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch

RESULTS = Path(__file__).parent/'results'


def processor():
    "The name of the processor."
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(':')[1].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor()


def machine():
    "Versions and processor, as columns of a results file."
    versions = {p: version(p) for p in ('torch', 'fastai', 'pandas', 'numpy')}
    return dict(python=platform.python_version(), cpu=processor(), cores=os.cpu_count(),
                threads=torch.get_num_threads(), **versions)


def alternate(contenders, n_runs=5, warm_up=True):
    """What each contender returns, or its seconds where it returns None, `{name: [value, ...]}`.

    One run of each in turn, `n_runs` times, after one that is not counted."""
    if warm_up:
        for f in contenders.values(): f()
    values = {name: [] for name in contenders}
    for _ in range(n_runs):
        for name, f in contenders.items():
            start = time.perf_counter()
            value = f()
            values[name].append(time.perf_counter() - start if value is None else value)
    return values


def spread(seconds):
    "Median and range of one contender's seconds, as columns."
    return dict(median_s=np.median(seconds), min_s=min(seconds), max_s=max(seconds))


def report(seconds, baseline, path):
    """Prints and writes medians, ranges, and how many times faster than `baseline` each contender is.

    The factor is median against median; there is none for a contender whose median is infinite."""
    base = np.median(seconds[baseline])
    def faster(s): return base/np.median(s) if np.isfinite(np.median(s)) else None
    rows = [dict(name=n, **spread(s), runs=len(s), times_faster=faster(s)) for n, s in seconds.items()]
    return write(pd.DataFrame(rows), path)


def write(table, path):
    "Prints a table with the machine under it and writes both to the file `path`."
    print(table.to_string(index=False, float_format=lambda v: f'{v:.4g}'))
    info = machine()
    print(', '.join(f'{k} {v}' for k, v in info.items()))
    path.parent.mkdir(exist_ok=True)
    table.assign(**info).to_csv(path, index=False)
    return table

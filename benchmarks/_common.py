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


def machine():
    "Versions and processor, as columns of a results file."
    info = Path('/proc/cpuinfo')
    cpu = next((line.split(':')[1].strip() for line in info.open() if line.startswith('model name')), '') if info.exists() else ''
    return dict(python=platform.python_version(), cpu=cpu or platform.processor(), cores=os.cpu_count(), threads=torch.get_num_threads(),
                **{p: version(p) for p in ('torch', 'fastai', 'pandas', 'numpy')})


def alternate(contenders, n_runs=5, warm_up=True):
    "What each contender returns, `{name: [value, ...]}`: one run of each in turn, `n_runs` times, after one that is not counted. Seconds where it returns None."
    if warm_up:
        for f in contenders.values(): f()
    values = {name: [] for name in contenders}
    for _ in range(n_runs):
        for name, f in contenders.items():
            start = time.perf_counter()
            value = f()
            values[name].append(time.perf_counter() - start if value is None else value)
    return values


def report(seconds, baseline, file):
    "Prints and writes medians, ranges, and how many times faster than `baseline` each contender is, median against median."
    rows = [dict(name=name, median_s=np.median(s), min_s=min(s), max_s=max(s), runs=len(s),
                 times_faster=np.median(seconds[baseline])/np.median(s) if np.isfinite(np.median(s)) else None) for name, s in seconds.items()]
    return write(pd.DataFrame(rows), file)


def write(table, file):
    "Prints a table with the machine under it and writes both to `results/file`."
    print(table.to_string(index=False, float_format=lambda v: f'{v:.4g}'))
    info = machine()
    print(', '.join(f'{k} {v}' for k, v in info.items()))
    RESULTS.mkdir(exist_ok=True)
    table.assign(**info).to_csv(RESULTS/file, index=False)
    return table

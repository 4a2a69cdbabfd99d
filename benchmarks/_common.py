"""What the benchmarks share:
alternating runs, medians with their spread, processes of their own, and the machine in the output."""
import os
import platform
import re
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch

RESULTS = Path(__file__).parent/'results'


def processor():
    "The name of the processor."
    info = Path('/proc/cpuinfo')
    names = re.findall(r'model name\s*: (.*)', info.read_text()) if info.exists() else []
    return names[0] if names else platform.processor()


def machine():
    "Versions and processor, as columns of a results file."
    return dict(python=platform.python_version(), cpu=processor(), cores=os.cpu_count(),
                threads=torch.get_num_threads(),
                **{p: version(p) for p in ('torch', 'fastai', 'pandas', 'numpy')})


def timed(f, *args, **kwargs):
    "A contender that calls `f` with these arguments and returns the seconds that it takes."
    def run():
        start = time.perf_counter()
        f(*args, **kwargs)
        return time.perf_counter() - start
    return run


def alternate(contenders, n_runs, warm_up=True):
    """The seconds of each contender, `{name: [seconds, ...]}`; a contender is a function that returns its seconds.
    One run of each in turn, `n_runs` times, after one that is not counted."""
    if warm_up:
        for f in contenders.values(): f()
    seconds = {name: [] for name in contenders}
    for _ in range(n_runs):
        for name, f in contenders.items(): seconds[name].append(f())
    return seconds


def spread(seconds, count='runs'):
    "A row for each contender: name, median, range and number of its seconds."
    return pd.DataFrame([{'name': n, 'median_s': np.median(s), 'min_s': min(s), 'max_s': max(s), count: len(s)} for n,
                         s in seconds.items()])


def report(seconds, baseline, path):
    """Prints and writes medians, ranges, and how many times faster than `baseline` each contender is.
    The factor is median against median; there is none for a contender whose median is infinite."""
    table, base = spread(seconds), np.median(seconds[baseline])
    write(table.assign(times_faster=base/table.median_s.where(np.isfinite(table.median_s))), path)


def write(table, path):
    "Prints a table with the machine under it and writes both to the file `path`."
    print(table.to_string(index=False, float_format=lambda v: f'{v:.4g}'))
    info = machine()
    print(', '.join(f'{k} {v}' for k, v in info.items()))
    path.parent.mkdir(exist_ok=True)
    table.assign(**info).to_csv(path, index=False)


def in_a_process(f, *args, env=None):
    "What `f` returns in a fresh process with more environment variables `env`."
    with patch.dict(os.environ, env or {}), ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:
        return pool.submit(f, *args).result()


def peak_gib():
    """The largest memory of this process so far, in GiB.
    (`getrusage` would count what the parent process had before this one started.)"""
    return int(re.search(r'VmHWM:\s*(\d+)', Path('/proc/self/status').read_text())[1])/2**20

"What the benchmarks share: alternating runs, medians with their spread, and the machine in the output."
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
    cpu = next((line.split(':')[1].strip() for line in open('/proc/cpuinfo') if line.startswith('model name')), '') if Path('/proc/cpuinfo').exists() else ''
    import os
    return dict(python=platform.python_version(), cpu=cpu or platform.processor(), cores=os.cpu_count(), threads=torch.get_num_threads(),
                **{p: version(p) for p in ('torch', 'fastai', 'pandas', 'numpy')})


def alternate(contenders, n_runs=5):
    "Seconds of each contender, `{name: [seconds, ...]}`: one run of each in turn, `n_runs` times, after one that is not counted."
    for f in contenders.values(): f()
    seconds = {name: [] for name in contenders}
    for _ in range(n_runs):
        for name, f in contenders.items():
            start = time.perf_counter()
            f()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def report(seconds, baseline, file):
    "Prints and writes medians, ranges, and the ratio of each contender's median to that of `baseline`."
    rows = [dict(name=name, median_s=np.median(s), min_s=min(s), max_s=max(s), runs=len(s), times_faster=np.median(seconds[baseline])/np.median(s))
            for name, s in seconds.items()]
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format=lambda v: f'{v:.4g}'))
    info = machine()
    print(', '.join(f'{k} {v}' for k, v in info.items()))
    RESULTS.mkdir(exist_ok=True)
    table.assign(**info).to_csv(RESULTS/file, index=False)

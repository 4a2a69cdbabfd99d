"Eight seeds in one stack against one run, for each model and batch size."
import time

import numpy as np
import pandas as pd
import torch
from _common import alternate, write

from movielens_ce.comparison import MODELS
from movielens_ce.data import load_ml100k, random_split, rating_dls
from movielens_ce.training import fit_one_cycle


def main(n_runs):
    ratings, rows = load_ml100k().ratings, []
    for name in ('dot', 'dot_ce', 'nn_ce'):
        for bs in (64, 512):
            dls = rating_dls(ratings, random_split(0), target=MODELS[name].target, bs=bs, device='cpu')
            def fit(seeds):
                models = [MODELS[name].build(dls) for _ in seeds]
                start = time.perf_counter()
                fit_one_cycle(models if len(seeds) > 1 else models[0], dls, 1, 5e-3, wd=0.1, seed=list(seeds) if len(seeds) > 1 else seeds[0], progress=False)
                return time.perf_counter() - start
            s = alternate({'one': lambda: fit([0]), 'eight': lambda: fit(range(8))}, n_runs)
            rows.append(dict(model=name, bs=bs, one_s=np.median(s['one']), eight_s=np.median(s['eight']), ratio=np.median(s['eight'])/np.median(s['one']),
                             one_min=min(s['one']), one_max=max(s['one']), eight_min=min(s['eight']), eight_max=max(s['eight']), runs=n_runs))
    write(pd.DataFrame(rows), 'stack.csv')

"Eight seeds in one stack against one run, for each model and batch size."
import time

import numpy as np
import pandas as pd

from benchmarks._common import RESULTS, alternate, write
from movielens_ce.data import load_ml100k, random_split, rating_dls
from movielens_ce.registry import MODELS
from movielens_ce.training import fit_one_cycle


def fit(name, dls, seeds):
    "Seconds of an epoch for all seeds in one stack; for one seed, of the model by itself."
    models, seeds = [MODELS[name].build(dls) for _ in seeds], list(seeds)
    if len(seeds) == 1: models, seeds = models[0], seeds[0]
    start = time.perf_counter()
    fit_one_cycle(models, dls, 1, 5e-3, wd=0.1, seed=seeds, progress=False)
    return time.perf_counter() - start


def row(name, bs, ratings, n_runs):
    "One model and batch size, as a line of the results."
    dls = rating_dls(ratings, random_split(0, ratings), target=MODELS[name].target, bs=bs, device='cpu')
    s = alternate({'one': lambda: fit(name, dls, [0]), 'eight': lambda: fit(name, dls, range(8))}, n_runs)
    one, eight = np.median(s['one']), np.median(s['eight'])
    ends = {f'{k}_{end.__name__}': end(s[k]) for k in ('one', 'eight') for end in (min, max)}
    return dict(model=name, bs=bs, one_s=one, eight_s=eight, ratio=eight/one, **ends, runs=n_runs)


def main(n_runs):
    ratings = load_ml100k().ratings
    rows = [row(name, bs, ratings, n_runs) for name in ('dot', 'dot_ce', 'nn_ce') for bs in (64, 512)]
    write(pd.DataFrame(rows), RESULTS/'stack.csv')

"""Seconds to fit and RMSE on u1 to u5: Surprise, LensKit, myFM and this package, on the same rows in the same run.

Needs the extra [bench]."""
import os
import time

import numpy as np
import pandas as pd
import torch

from benchmarks._common import RESULTS, spread, write
from benchmarks.other_packages import lenskit_model, myfm_model, surprise_model
from movielens_ce.data import fold_split, load_ml100k, rating_dls
from movielens_ce.fitted import outputs
from movielens_ce.metrics import rmse
from movielens_ce.models import DotProductBias
from movielens_ce.training import fit_one_cycle


def dot_model(bs, lr, n_epoch, wd, n_factors=50):
    "The chapter's model with `fit_one_cycle` on all cores; encoding the ids is counted."
    def run(train, test):
        torch.set_num_threads(os.cpu_count())            # a peer may have taken them from torch
        ratings = pd.concat([train, test], ignore_index=True)
        start = time.perf_counter()
        splits = np.arange(len(train)), np.arange(len(train), len(ratings))
        dls = rating_dls(ratings, splits, bs=bs, device='cpu')
        torch.manual_seed(0)
        model = DotProductBias.from_dls(dls, n_factors)
        fit_one_cycle(model, dls, n_epoch, lr, wd=wd, seed=0, progress=False)
        return time.perf_counter() - start, outputs(model, dls.valid)[0]
    return run


def contenders(n_runs):
    "Name -> (model, how many times it is fitted to each fold)."
    from surprise import SVD, SVDpp
    return {
        'LensKit BiasedMF (ALS)': (lenskit_model(), n_runs),
        'dot product, bs 64, 5 epochs': (dot_model(64, 5e-3, 5, .1), 1),
        'dot product, bs 2048, 4 epochs': (dot_model(2048, 1e-2, 4, .2), n_runs),
        'dot product, 10 factors, bs 2048, 3 epochs': (dot_model(2048, 2e-2, 3, .2, 10), n_runs),
        'Surprise SVD': (surprise_model(lambda: SVD(random_state=0)), 1),
        'Surprise SVD++': (surprise_model(lambda: SVDpp(random_state=0)), 1),
        'myFM regression, rank 10': (myfm_model('MyFMRegressor', False, 0), 1),
    }


def timed(models, folds, n_runs):
    "(seconds, RMSE of the first turn), `{name: [value, ...]}` each; `folds` are frames (train, test)."
    seconds, errors = {n: [] for n in models}, {n: [] for n in models}
    for turn in range(n_runs):
        for train, test in folds:
            for name, (run, turns) in models.items():
                if turn >= turns: continue
                s, pred = run(train, test)
                seconds[name].append(s)
                if not turn: errors[name].append(rmse(pred, test.rating.to_numpy(float)))
    return seconds, errors


def main(n_runs):
    ratings = load_ml100k().ratings
    folds = [tuple(ratings.iloc[rows] for rows in fold_split(k, ratings)) for k in range(1, 6)]
    models = contenders(n_runs)
    for name, (run, _) in models.items():
        if name.startswith(('LensKit', 'dot')): run(*folds[0])               # warm-up of compiled parts
    seconds, errors = timed(models, folds, n_runs)
    rows = [dict(name=n, rmse=np.mean(errors[n]), rmse_sd=np.std(errors[n], ddof=1), **spread(s), fits=len(s))
            for n, s in seconds.items()]
    write(pd.DataFrame(rows), RESULTS/'peers.csv')

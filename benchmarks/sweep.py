"""A whole comparison's training: 8 models × 5 folds × 5 seeds × 5 epochs.

The seeds of a fold are one stack; there is a process for each core."""
import time

import joblib
import pandas as pd
import torch

from benchmarks._common import RESULTS, write
from movielens_ce.data import fold_split, load_ml100k, rating_dls
from movielens_ce.evaluation import predict, score
from movielens_ce.fitted import outputs
from movielens_ce.metrics import rmse
from movielens_ce.registry import MODELS
from movielens_ce.training import fit_one_cycle

NAMES = ('dot', 'dot_ce', 'dot_softmax', 'dot_ordinal', 'nn', 'nn_line', 'nn_ce', 'nn_ordinal')
SEEDS = range(5)


def built(entry, dls, seed):
    "A model as it starts."
    torch.manual_seed(seed)
    return entry.build(dls)


def error(entry, model, dls):
    "The RMSE on the test rows."
    if entry.target == 'rating': return rmse(*outputs(model, dls.valid))
    return score(predict(model, dls.valid))['rmse']


def train(name, fold):
    "Seconds and the seeds' mean RMSE for one model on one fold."
    torch.set_num_threads(1)
    start, entry = time.perf_counter(), MODELS[name]
    ratings = load_ml100k().ratings
    dls = rating_dls(ratings, fold_split(fold, ratings), target=entry.target, bs=2048, device='cpu')
    models = [built(entry, dls, s) for s in SEEDS]
    fit_one_cycle(models, dls, 5, 0.01, wd=0.1, loss_func=entry.loss, seed=list(SEEDS), progress=False)
    seconds = time.perf_counter() - start
    rmse_of_seeds = [error(entry, m, dls) for m in models]
    return dict(model=name, fold=fold, seconds=seconds, rmse=sum(rmse_of_seeds)/len(rmse_of_seeds))


def main(n_runs):
    "One sweep; its 40 stacks are its repetitions."
    start = time.perf_counter()
    runs = joblib.Parallel(n_jobs=-1)(joblib.delayed(train)(n, f) for n in NAMES for f in range(1, 6))
    total = time.perf_counter() - start
    columns = dict(stacks=('seconds', 'size'), median_s=('seconds', 'median'), max_s=('seconds', 'max'),
                   rmse=('rmse', 'mean'))
    table = pd.DataFrame(runs).groupby('model', sort=False).agg(**columns).reset_index()
    wall = pd.DataFrame([dict(model='all, wall', stacks=len(runs), median_s=total, max_s=total)])
    write(pd.concat([table, wall]), RESULTS/'sweep.csv')

"A whole comparison's training: 8 models × 5 folds × 5 seeds × 5 epochs, the seeds of a fold in one stack, a process for each core."
import time

import joblib
import pandas as pd
import torch

from _common import write
from movielens_ce.comparison import MODELS
from movielens_ce.data import fold_split, load_ml100k, rating_dls
from movielens_ce.evaluation import outputs, predict, score
from movielens_ce.metrics import rmse
from movielens_ce.training import fit_one_cycle

NAMES = ('dot', 'dot_ce', 'dot_softmax', 'dot_ordinal', 'nn', 'nn_line', 'nn_ce', 'nn_ordinal')
SEEDS = range(5)


def train(name, fold):
    "Seconds and the seeds' RMSE for one model on one fold."
    torch.set_num_threads(1)
    start = time.perf_counter()
    dls = rating_dls(load_ml100k().ratings, fold_split(fold), target=MODELS[name].target, bs=2048, device='cpu')
    models = []
    for s in SEEDS:
        torch.manual_seed(s)
        models.append(MODELS[name].build(dls))
    fit_one_cycle(models, dls, 5, 0.01, wd=0.1, loss_func=MODELS[name].loss, seed=list(SEEDS), progress=False)
    seconds = time.perf_counter() - start
    error = [rmse(*outputs(m, dls.valid)) if MODELS[name].target == 'rating' else score(predict(m, dls.valid))['rmse'] for m in models]
    return dict(model=name, fold=fold, seconds=seconds, rmse=sum(error)/len(error))


def main(n_runs):
    "One sweep; its 40 stacks are its repetitions."
    start = time.perf_counter()
    rows = pd.DataFrame(joblib.Parallel(n_jobs=-1)(joblib.delayed(train)(n, f) for n in NAMES for f in range(1, 6)))
    total = time.perf_counter() - start
    table = rows.groupby('model', sort=False).agg(stacks=('seconds', 'size'), median_s=('seconds', 'median'), max_s=('seconds', 'max'), rmse=('rmse', 'mean')).reset_index()
    write(pd.concat([table, pd.DataFrame([dict(model='all, wall', stacks=len(rows), median_s=total, max_s=total)])]), 'sweep.csv')

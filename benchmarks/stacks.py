"Many models at once: seeds in a stack, and all the training of a comparison."
import time
from dataclasses import replace

import joblib
import numpy as np
import pandas as pd

from benchmarks._common import RESULTS, alternate, write
from movielens_ce.compare.entries import MODELS
from movielens_ce.compare.fit import one_thread, train
from movielens_ce.data.movielens import load_ml100k
from movielens_ce.data.splits import fold_split, random_split
from movielens_ce.scoring.metrics import rmse
from movielens_ce.scoring.predictions import outputs


def stack_row(name, bs, ratings, n_runs):
    "An epoch of eight seeds in a stack beside one of a seed by itself, for an entry and a batch size."
    entry, splits = replace(MODELS[name], bs=bs, n_epoch=1), random_split(0, ratings)
    def seconds(n_seeds):
        return train(entry, ratings, splits, range(n_seeds), stack=n_seeds > 1)[0].history.seconds.iloc[-1]
    s = alternate({'one': lambda: seconds(1), 'eight': lambda: seconds(8)}, n_runs)
    one, eight = np.median(s['one']), np.median(s['eight'])
    ends = {f'{k}_{end.__name__}': end(s[k]) for k in ('one', 'eight') for end in (min, max)}
    return dict(model=name, bs=bs, one_s=one, eight_s=eight, ratio=eight/one, **ends, runs=n_runs)


def stack(n_runs):
    "An epoch of eight seeds in one stack against one seed, for each model and batch size."
    ratings = load_ml100k().ratings
    rows = [stack_row(name, bs, ratings, n_runs) for name in ('dot', 'dot_ce', 'nn_ce') for bs in (64, 512)]
    write(pd.DataFrame(rows), RESULTS/'stack.csv')


SMALL = 'dot', 'dot_ce', 'dot_softmax', 'dot_ordinal', 'nn', 'nn_line', 'nn_ce', 'nn_ordinal'


@one_thread()
def one_stack(name, fold):
    "Seconds and mean RMSE of five seeds of an entry on a fold, trained at once."
    start, ratings = time.perf_counter(), load_ml100k().ratings
    fits = train(MODELS[name], ratings, fold_split(fold, ratings), range(5), stack=True)
    seconds = time.perf_counter() - start
    return dict(model=name, fold=fold, seconds=seconds,
                rmse=np.mean([rmse(*outputs(f.rating_model, f.dls.valid)) for f in fits]))


def sweep(n_runs):
    """A whole comparison's training: 8 entries × 5 folds × 5 seeds, with the settings of the entries.
    The seeds of a fold are one stack; there is a process for each core. There is one sweep; its 40 stacks are its
    repetitions."""
    start = time.perf_counter()
    runs = joblib.Parallel(n_jobs=-1)(joblib.delayed(one_stack)(n, f) for n in SMALL for f in range(1, 6))
    total = time.perf_counter() - start
    columns = dict(stacks=('seconds', 'size'), median_s=('seconds', 'median'), max_s=('seconds', 'max'),
                   rmse=('rmse', 'mean'))
    table = pd.DataFrame(runs).groupby('model', sort=False).agg(**columns).reset_index()
    wall = pd.DataFrame([dict(model='all, wall', stacks=len(runs), median_s=total, max_s=total)])
    write(pd.concat([table, wall]), RESULTS/'sweep.csv')

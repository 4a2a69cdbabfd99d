"""*Outside MovieLens*: Douban and Flixster with the split of Monti, Bronstein and Bresson (2017), which graph
networks are compared on.

OUT/monti must have `douban/training_test_dataset.mat` and `flixster/training_test_dataset.mat`, as in the folder
`raw_data` of the public repository
muhanzhang/IGMC; they are not part of this one. Needs [bench].

tuning-other.csv 24 trials of each model, in answer/results: the first trial with the settings of MovieLens-100K; a
                 fifth of the training rows is held out, and the trial
                 with the best RMSE on it is taken. A model whose head is fitted afterwards has the settings of the
                 same model without it
other_data.csv   test scores, with the settings of MovieLens-100K and with those of the search
"""
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from answer.tables import RESULTS, scores_of
from movielens_ce.compare.entries import MODELS
from movielens_ce.compare.fit import fit, one_thread
from movielens_ce.compare.runs import add_rows, read_rows
from movielens_ce.compare.tune import best_entry, tune
from movielens_ce.data.splits import train_valid_split

TABLE, TRIALS, N_TRIALS = RESULTS/'other_data.csv', RESULTS.parent.parent/'answer/results/tuning-other.csv', 24
# a model -> whose search it uses
SEARCHED = dict(dot='dot', dot_fitted='dot', dot_ordinal='dot_ordinal', implicit='implicit', implicit_fitted='implicit',
                ordinal_ids='ordinal_ids')
ONE = {name: replace(MODELS[name], n_members=1, context=None) for name in SEARCHED}
MANY = dict(implicit=8, ordinal_ids=8)                                # these with the first seed alone


def read(folder, name):
    "(ratings, (training rows, test rows))."
    import h5py
    with h5py.File(Path(folder)/name/'training_test_dataset.mat') as file:
        given, train, test = (np.array(file[k]).T for k in ('M', 'Otraining', 'Otest'))
    user, item = np.nonzero(given*((train > 0) | (test > 0)))
    tested = test[user, item] > 0
    return pd.DataFrame(dict(user=user, item=item, rating=given[user, item])), (np.flatnonzero(~tested),
                                                                                np.flatnonzero(tested))


def entries(data, ratings, train):
    "Yields (settings, model, entry): as on MovieLens-100K, and as searched on the training rows."
    def with_members(of): return of | {f'{m}, {n} members': replace(of[m], n_members=n) for m, n in MANY.items()}
    yield from (('MovieLens-100K', m, e) for m, e in with_members(ONE).items())
    trials = {m: tune(ONE[m], ratings, train_valid_split(train, 0.2, seed=0), N_TRIALS, criteria=('rmse',),
                      trace=TRIALS, key=dict(data=data, search=m),
                      say=lambda row: print(*row.values(), flush=True)) for m in dict.fromkeys(SEARCHED.values())}
    yield from (('searched', m, e) for m, e in with_members({m: best_entry(e, trials[SEARCHED[m]]) for m,
                                                             e in ONE.items()}).items())


def main(out, jobs):
    for data in ('douban', 'flixster'):
        ratings, splits = read(f'{out}/monti', data)
        with one_thread():
            for settings, model, entry in entries(data, ratings, splits[0]):
                for seed in (0,) if entry.n_members > 1 else (0, 1, 2):
                    key, rows = dict(data=data, model=model, settings=settings,
                                     seed=seed), read_rows(TABLE, 'data', 'model', 'settings', 'seed')
                    if np.logical_and.reduce([rows[c] == v for c, v in key.items()]).any(): continue
                    fitted, = fit(entry, ratings, splits, (seed,))
                    add_rows(TABLE, key | dict(n_test=len(splits[1]), **scores_of(fitted.predict()),
                                               seconds=round(fitted.seconds, 1)))
                    print(*key.values(), flush=True)

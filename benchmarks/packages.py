"Fits beside other packages on the same rows in the same run. Needs the extra [bench]."
import os
import time
from dataclasses import replace
from functools import partial

import pandas as pd
import torch

from answer.packages import biased_mf, myfm_regression, myfm_told, surprise, svd
from benchmarks._common import RESULTS, spread, write
from movielens_ce.compare.entries import MODELS
from movielens_ce.compare.fit import fit, one_thread, train
from movielens_ce.data.loaders import rating_dls
from movielens_ce.data.movielens import load_ml100k
from movielens_ce.data.splits import fold_split
from movielens_ce.scoring.metrics import rmse
from movielens_ce.scoring.predictions import outputs, score

METRICS = ['rmse', 'mae', 'accuracy', 'nll']


def dot_model(bs, lr, n_epoch, wd, n_factors=50):
    "The chapter's model on all cores."
    entry = replace(MODELS['dot'], bs=bs, lr=lr, n_epoch=n_epoch, wd=wd, options=dict(n_factors=n_factors))
    def run(ratings, splits):
        torch.set_num_threads(os.cpu_count())            # a peer may have taken them from torch
        fitted, = train(entry, ratings, splits)
        return fitted.seconds, dict(rmse=rmse(*outputs(fitted.model, fitted.dls.valid)))
    return run


def peer(model):
    "A model of ratings of `answer.packages`."
    def run(ratings, splits):
        rows, test = (ratings.iloc[s] for s in splits)
        seconds, pred = model(rows, test)
        return seconds, dict(rmse=rmse(pred, test.rating.to_numpy(float)))
    return run


def fits(models, folds, ratings, n_runs):
    """Fits all models to each fold in turn. Returns (seconds `{name: [...]}`, scores `{name: frame}`, one row a fold).
    `models` are `{name: ((ratings, splits) -> (seconds, scores), greatest number of turns)}`."""
    seconds, scores = {n: [] for n in models}, {n: [] for n in models}
    for turn in range(n_runs):
        for splits in folds:
            for name, (run, turns) in models.items():
                if turn >= turns: continue
                s, scored = run(ratings, splits)
                seconds[name].append(s)
                if not turn: scores[name].append(scored)
    return seconds, {n: pd.DataFrame(s) for n, s in scores.items()}


def peers(n_runs):
    """Seconds to fit and RMSE on u1 to u5: Surprise, LensKit, myFM and this package.
    The seconds of this package include encoding the ids."""
    from surprise import SVDpp
    models = {
        'LensKit BiasedMF (ALS)': (peer(biased_mf()), n_runs),
        'dot product, bs 64, 5 epochs': (dot_model(64, 5e-3, 5, .1), 1),
        'dot product, bs 2048, 4 epochs': (dot_model(2048, 1e-2, 4, .2), n_runs),
        'dot product, 10 factors, bs 2048, 3 epochs': (dot_model(2048, 2e-2, 3, .2, 10), n_runs),
        'Surprise SVD': (peer(svd()), 1),
        'Surprise SVD++': (peer(surprise(partial(SVDpp, random_state=0))), 1),
        'myFM regression, rank 10': (peer(myfm_regression()), 1),
    }
    ratings = load_ml100k().ratings
    folds = [fold_split(k, ratings) for k in range(1, 6)]
    for name, (run, _) in models.items():
        if name.startswith(('LensKit', 'dot')): run(ratings, folds[0])               # warm-up of compiled parts
    seconds, scores = fits(models, folds, ratings, n_runs)
    errors = [s.rmse for s in scores.values()]
    write(spread(seconds, 'fits').assign(rmse=[e.mean() for e in errors], rmse_sd=[e.std() for e in errors]),
          RESULTS/'peers.csv')


def ordinal(ratings, splits):
    "The answer's model."
    fitted, = fit(MODELS['ordinal'], ratings, splits)
    return fitted.seconds, fitted.score()


def probit(ratings, splits):
    "myFM's ordered probit, told ids and sets by our loaders, which are counted."
    start = time.perf_counter()
    dls = rating_dls(ratings, splits, target='class', device='cpu')
    loaders_s = time.perf_counter() - start
    seconds, pred = myfm_told(dls)
    return loaders_s + seconds, score(pred)


@one_thread()
def winner(n_runs):
    """Seconds to fit u1 and the scores: `ordinal`, all members, against myFM's ordered probit with the same implicit
    sets.
    One thread each, in turn."""
    models = {f'ordinal, {MODELS["ordinal"].n_members} members': (ordinal, n_runs),
              'myFM ordered probit with implicit sets, rank 10, 300 iterations': (probit, n_runs)}
    ratings = load_ml100k().ratings
    seconds, scores = fits(models, [fold_split(1, ratings)], ratings, n_runs)
    write(spread(seconds, 'fits').join(pd.concat(scores.values(), ignore_index=True)[METRICS]), RESULTS/'winner.csv')

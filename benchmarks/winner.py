"""Seconds to fit u1 and the scores: `ordinal`, all members, against myFM's ordered probit with the same implicit sets.

One thread each, in turn. Needs the extra [bench]."""
import contextlib
import io

import pandas as pd
import torch

from benchmarks._common import RESULTS, spread, write
from benchmarks.other_packages import myfm_model
from movielens_ce.comparison import fit_entry
from movielens_ce.data import RatingScale, fold_split, load_ml100k
from movielens_ce.evaluation import Predictions, predict, score
from movielens_ce.registry import MODELS

METRICS = ('rmse', 'mae', 'accuracy', 'nll')


def contenders(ratings, splits):
    "Name -> `() -> (seconds, predictions)`."
    train, test = (ratings.iloc[rows] for rows in splits)
    scale, y = RatingScale.from_ratings(ratings.rating), test.rating.to_numpy(float)
    def ordinal():
        model, dls, _, seconds = fit_entry(MODELS['ordinal'], ratings, splits)
        return seconds, predict(model, dls.valid)
    def myfm():
        with contextlib.redirect_stderr(io.StringIO()):
            seconds, probs = myfm_model('MyFMOrderedProbit', True, 0)(train, test)
        return seconds, Predictions(probs/probs.sum(1, keepdims=True), y, scale)
    return {f'ordinal, {MODELS["ordinal"].n_members} members': ordinal,
            'myFM ordered probit with implicit sets, rank 10, 300 iterations': myfm}


def main(n_runs):
    torch.set_num_threads(1)
    ratings = load_ml100k().ratings
    models = contenders(ratings, fold_split(1, ratings))
    seconds, scores = {n: [] for n in models}, {}
    for _ in range(n_runs):
        for name, f in models.items():
            s, pred = f()
            seconds[name].append(s)
            scores[name] = score(pred)
    rows = [dict(name=n, **spread(s), fits=len(s), **{m: scores[n][m] for m in METRICS})
            for n, s in seconds.items()]
    write(pd.DataFrame(rows), RESULTS/'winner.csv')

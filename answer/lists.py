"""The library's page *Ranking*: how good the lists of each searched model are, and those of two baselines. u1 to u5,
one seed.

ranking.csv has a row for each fold, model and order of its list. The metrics of `movielens_ce.use.ranking` are means
            over users.

by          the order: 'mean' is the expected rating, 'top' the probability of the highest one
low, high   the 95 % interval of nDCG over users, mean ± 1.96 standard errors
difference  nDCG less that of the popular items on the same users, with difference_low and difference_high
rated_ndcg  nDCG among the items of the user's test ratings alone
rmse        of the test ratings, in rating units. A model with time knows here when a rating was given. A list
            has no time, so for a list it ranks as if the time were unknown
"""
import numpy as np
import pandas as pd

from answer.plan import FOLDS
from answer.tables import write
from movielens_ce.compare.entries import MODELS
from movielens_ce.compare.fit import one_thread, train
from movielens_ce.data.loaders import rating_dls
from movielens_ce.data.movielens import load_ml100k
from movielens_ce.data.splits import make_fold
from movielens_ce.scoring.metrics import METRICS
from movielens_ce.scoring.predictions import predict
from movielens_ce.use.ranking import mean_rating, most_popular, rank_users

SEARCHED = tuple(m for m, e in MODELS.items() if e.source == 'searched')


def interval(values):
    "Mean over users and the ends of its 95 % interval."
    mean, half = values.mean(), 1.96*values.std(ddof=1)/np.sqrt(len(values))
    return mean, mean - half, mean + half


def trained(ratings, splits, names):
    "Yields (name, model, its loaders), the baselines first."
    dls = rating_dls(ratings, splits, device='cpu')
    yield 'popularity', most_popular(dls), dls
    yield 'mean_rating', mean_rating(dls), dls
    for name in names:
        fitted, = train(MODELS[name], ratings, splits)
        yield name, fitted.model, fitted.dls


def rows(ratings, fold, names=SEARCHED, n=10):
    "Yields a row for each model and order of its list."
    splits = make_fold(fold, ratings)
    test, popular = ratings.iloc[splits[1]], None
    for name, model, dls in trained(ratings, splits, names):
        error = np.nan if name == 'popularity' else METRICS['rmse'].of(predict(model, dls.valid,
                                                                               None if dls.target == 'class' else 1.))
        for by in ('mean', 'top') if dls.target == 'class' else ('mean',):
            users, rated = rank_users(model, dls, test, n, by), rank_users(model, dls, test, n, by,
                                                                           candidates='rated')[f'ndcg@{n}'].mean()
            ndcg = users[f'ndcg@{n}']
            popular = ndcg if popular is None else popular
            (_, low, high), (less, less_low, less_high) = interval(ndcg), interval(ndcg - popular)
            yield dict(model=name, by=by, fold=fold, seed=0, users=len(users), **users.mean(), low=low, high=high,
                       difference=less,
                       difference_low=less_low, difference_high=less_high, **{f'rated_ndcg@{n}': rated}, rmse=error)


def main(out, jobs):
    ratings = load_ml100k().ratings
    with one_thread(): write([('ranking', pd.DataFrame([row for fold in FOLDS for row in rows(ratings, fold)]))])

"""How good the lists of each searched model are, and those of two baselines. From the repository's root:

    python -m answer.ranking                    u1 to u5, one seed: seven minutes and more
    python -m answer.ranking OUT.csv --folds 1  other folds, to another file

One row for each fold, model and order of its list. The metrics of `movielens_ce.ranking` are means over users.

by          the order: 'mean' is the expected rating, 'top' the probability of the highest one
low, high   the 95 % interval of nDCG over users, mean ± 1.96 standard errors
difference  nDCG less that of the popular items on the same users, with difference_low and difference_high
rated_ndcg  nDCG among the items of the user's test ratings alone
rmse        of the test ratings, in rating units. A model with time knows here when a rating was given. A list
            has no time, so for a list it ranks as if the time were unknown
"""
import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from movielens_ce.comparison import fit_entry, make_fold
from movielens_ce.data import load_ml100k, rating_dls
from movielens_ce.evaluation import predict
from movielens_ce.metrics import METRICS
from movielens_ce.ranking import mean_rating, popularity, rank_users
from movielens_ce.registry import MODELS

OUT = Path(__file__).parent.parent/'nbs'/'results'/'ranking.csv'
SEARCHED = tuple(m for m, e in MODELS.items() if e.source == 'searched')
BASELINES = {'popularity': popularity, 'mean_rating': mean_rating}


def interval(values):
    "Mean over users and the ends of its 95 % interval."
    mean, half = values.mean(), 1.96*values.std(ddof=1)/np.sqrt(len(values))
    return mean, mean - half, mean + half


def rmse(model, dls):
    "RMSE of a model's expected ratings for the test rows of its loaders, in rating units."
    return METRICS['rmse'].of(predict(model, dls.valid, None if dls.target == 'class' else 1.))


def trained(models, ratings, splits, seed):
    "Yields (name, model, its loaders, its RMSE), the baselines first."
    dls = rating_dls(ratings, splits, device='cpu')
    for name, make in BASELINES.items():
        model = make(dls)
        yield name, model, dls, rmse(model, dls) if name == 'mean_rating' else np.nan
    for name in models:
        model, dls, *_ = fit_entry(MODELS[name], ratings, splits, seed)
        yield name, model, dls, rmse(model, dls)


def rows(ratings, models=SEARCHED, folds=(1,), seed=0, n=10):
    "Yields a row for each fold, model and order of its list."
    for fold in folds:
        splits = make_fold(fold, ratings)
        test, popular = ratings.iloc[splits[1]], None
        for name, model, dls, error in trained(models, ratings, splits, seed):
            for by in ('mean', 'top') if dls.target == 'class' else ('mean',):
                users = rank_users(model, dls, test, n, by)
                rated = rank_users(model, dls, test, n, by, candidates='rated')[f'ndcg@{n}'].mean()
                ndcg = users[f'ndcg@{n}']
                popular = ndcg if popular is None else popular
                (_, low, high), (less, less_low, less_high) = interval(ndcg), interval(ndcg - popular)
                yield dict(model=name, by=by, fold=fold, seed=seed, users=len(users), **users.mean(),
                           low=low, high=high, difference=less, difference_low=less_low,
                           difference_high=less_high, **{f'rated_ndcg@{n}': rated}, rmse=error)


def write(table, path):
    "Writes a table, numbers to six decimals, so that `path` is never half a file."
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.part')
    table.round(6).to_csv(part, index=False)
    os.replace(part, path)
    print(f'{path.name}: {len(table)} rows')


def main(out, ratings, folds):
    torch.set_num_threads(1)
    found = []
    for row in rows(ratings, folds=folds):
        found.append(row)
        print(f"  {row['fold']} {row['model']:12} {row['by']:5} nDCG@10 {row['ndcg@10']:.3f}", flush=True)
    write(pd.DataFrame(found), out)


if __name__ == '__main__':
    parser = argparse.ArgumentParser('python -m answer.ranking', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', metavar='OUT.csv', nargs='?', type=Path, default=OUT,
                        help='the file to write; nbs/results/ranking.csv where there is none')
    parser.add_argument('--folds', default='1,2,3,4,5',
                        help='names of folds with commas, such as 1,2 or ua; 1,2,3,4,5 where there are none')
    args = parser.parse_args()
    ratings, folds = load_ml100k().ratings, args.folds.split(',')
    try: [make_fold(fold, ratings) for fold in folds]
    except ValueError as e: parser.error(e)
    main(args.out, ratings, folds)

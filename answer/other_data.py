"""Outside MovieLens: Douban and Flixster with the split of Monti, Bronstein and Bresson (2017), which graph networks are compared on.

    python -m answer.other_data FOLDER

FOLDER has `douban/training_test_dataset.mat` and `flixster/training_test_dataset.mat`, as in the folder `raw_data` of the public repository
muhanzhang/IGMC; they are not part of this one. Needs h5py. The settings are those of MovieLens-100K, untouched: nothing was searched on these data. Each row is
added to nbs/results/other_data.csv as soon as it is there, and a row that is there is not made again."""
import argparse
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch

from movielens_ce.comparison import fit_entry, fit_head
from movielens_ce.data import RatingScale
from movielens_ce.evaluation import predict, score
from movielens_ce.registry import MODELS
from movielens_ce.runs import atomic_write

RESULTS = Path(__file__).parent.parent/'nbs/results/other_data.csv'
SETS = ('douban', 'flixster')
ONE = {name: replace(MODELS[name], n_members=1, context=None) for name in ('dot', 'dot_fitted', 'dot_ordinal', 'implicit', 'implicit_fitted', 'ordinal_ids')}
ROWS = ONE | {f'{name}, 8 members': replace(ONE[name], n_members=8) for name in ('implicit', 'ordinal_ids')}


def read(folder, name):
    "(ratings, (training rows, test rows))."
    with h5py.File(Path(folder)/name/'training_test_dataset.mat') as file:
        given, train, test = (np.array(file[k]).T for k in ('M', 'Otraining', 'Otest'))
    user, item = np.nonzero(given*((train > 0) | (test > 0)))
    ratings = pd.DataFrame(dict(user=user, item=item, rating=given[user, item]))
    tested = test[user, item] > 0
    return ratings, (np.flatnonzero(~tested), np.flatnonzero(tested))


def done(): return pd.read_csv(RESULTS) if RESULTS.exists() else pd.DataFrame(columns=['data', 'model', 'seed'])


def main(folder, seeds):
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    for name in SETS:
        ratings, splits = read(folder, name)
        scale = RatingScale.from_ratings(ratings.rating)
        strangers = (~ratings.iloc[splits[1]].user.isin(ratings.user.iloc[splits[0]])).mean()
        print(name, len(ratings), 'ratings', scale.n_classes, 'levels', f'{strangers:.1%} of the test rows have a new user', flush=True)
        for model, entry in ROWS.items():
            for seed in seeds:
                rows = done()
                if ((rows.data == name) & (rows.model == model) & (rows.seed == seed)).any(): continue
                trained, dls, _, seconds = fit_entry(entry, ratings, splits, seed, scale)
                head, _ = fit_head(entry, ratings, splits[0], dls, seed)
                got = score(predict(trained, dls.valid, head))
                row = dict(data=name, model=model, seed=seed, n_test=len(splits[1])) | {m: round(got[m], 5) for m in ('rmse', 'mae', 'accuracy', 'nll')}
                row |= dict(seconds=round(seconds, 1))
                print(*row.values(), flush=True)
                atomic_write(RESULTS, lambda tmp: pd.concat([o for o in (rows, pd.DataFrame([row])) if len(o)]).to_csv(tmp, index=False))


if __name__ == '__main__':
    parser = argparse.ArgumentParser('python -m answer.other_data', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', metavar='FOLDER', help='where douban/ and flixster/ are')
    parser.add_argument('--seeds', type=lambda s: [int(o) for o in s.split(',')], default=[0, 1, 2], help='random seeds with commas between them (default 0,1,2)')
    args = parser.parse_args()
    main(args.folder, args.seeds)

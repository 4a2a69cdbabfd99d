"One pass over 80,000 ratings in batches of 64: fastai's loaders against `rating_dls`, alternating in one run.\n\n    python benchmarks/loader.py"
import warnings

import torch
from _common import alternate, report
from fastai.collab import CollabDataLoaders

from movielens_ce.data import load_ml100k, random_split, rating_dls

if __name__ == '__main__':
    warnings.filterwarnings('ignore', message='The given NumPy array is not writable')
    ratings = load_ml100k().ratings[['user', 'item', 'rating']]
    theirs = CollabDataLoaders.from_df(ratings, valid_pct=0.2, seed=0, bs=64, device=torch.device('cpu'))
    ours = rating_dls(ratings, random_split(0), bs=64, device='cpu')

    def full_pass(dl, n=0):
        for *_, y in dl: n += len(y)
        return n

    print(f'rows that arrive: fastai {full_pass(theirs.train):,} (with repetitions, and none in a last short batch), rating_dls {full_pass(ours.train):,}')
    report(alternate({'fastai CollabDataLoaders': lambda: full_pass(theirs.train), 'rating_dls': lambda: full_pass(ours.train)}),
           'fastai CollabDataLoaders', 'loader.csv')

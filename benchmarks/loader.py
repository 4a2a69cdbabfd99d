"One pass over 80,000 ratings in batches of 64: fastai's loader against `rating_dls`."
import torch
from fastai.collab import CollabDataLoaders

from benchmarks._common import RESULTS, alternate, report
from movielens_ce.data import load_ml100k, random_split, rating_dls


def main(n_runs):
    ratings = load_ml100k().ratings[['user', 'item', 'rating']]
    theirs = CollabDataLoaders.from_df(ratings, valid_pct=0.2, seed=0, bs=64, device=torch.device('cpu'))
    ours = rating_dls(ratings, random_split(0, ratings), bs=64, device='cpu')

    def full_pass(dl):
        for _ in dl: pass

    passes = {'fastai CollabDataLoaders': lambda: full_pass(theirs.train),
              'rating_dls': lambda: full_pass(ours.train)}
    report(alternate(passes, n_runs), 'fastai CollabDataLoaders', RESULTS/'loader.csv')

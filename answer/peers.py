"""myFM's ordered probit on equal terms: told the same sets, columns and times as our models, from the same loaders. Rank and iterations as in its
documentation for MovieLens-100K. Needs the extra [bench].

    python -m answer.peers                         on u1
    python -m answer.peers --folds 1,2,3,4,5       on u1-u5

Each run is added to nbs/results/peers.csv as soon as it is there, and a run that is there is not made again."""
import argparse
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from answer.plan import KNOWLEDGE
from benchmarks.other_packages import myfm_told
from movielens_ce.comparison import make_fold
from movielens_ce.context import TimeContext
from movielens_ce.data import RatingScale, load_ml100k, rating_dls
from movielens_ce.evaluation import Predictions, score
from movielens_ce.runs import atomic_write

RESULTS = Path(__file__).parent.parent/'nbs/results/peers.csv'
KNOWS = [k for k in KNOWLEDGE if k != 'ids']


def loaders(ml, fold, knows, scale):
    look = {'before': 'before', 'up_to': 'up_to', 'both': 'both'}.get(knows)
    features = {} if knows == 'sets' else dict(user_features=ml.users, item_features=ml.items[['year', 'genres']])
    return rating_dls(ml.ratings, make_fold(fold, ml.ratings), target='class', scale=scale, device='cpu', context=look and partial(TimeContext, look=look), **features)


def main(folds):
    torch.set_num_threads(1)
    ml = load_ml100k()
    scale = RatingScale.from_ratings(ml.ratings.rating)
    for fold in folds:
        for knows in KNOWS:
            rows = pd.read_csv(RESULTS, dtype=dict(fold=str)) if RESULTS.exists() else pd.DataFrame(columns=['knows', 'fold'])
            if ((rows.knows == knows) & (rows.fold == fold)).any(): continue
            dls = loaders(ml, fold, knows, scale)
            seconds, probs = myfm_told(dls, 0)
            got = score(Predictions(probs/probs.sum(1, keepdims=True), scale.to_rating(dls.valid_ds.tensors[-1].numpy()), scale))
            row = dict(model='myFM ordered probit', knows=knows, fold=fold) | {m: round(got[m], 5) for m in ('rmse', 'mae', 'accuracy', 'nll')} | dict(seconds=round(seconds, 1))
            print(*row.values(), flush=True)
            atomic_write(RESULTS, lambda tmp: pd.concat([o for o in (rows, pd.DataFrame([row])) if len(o)]).to_csv(tmp, index=False))


if __name__ == '__main__':
    parser = argparse.ArgumentParser('python -m answer.peers', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--folds', default='1', help='names of folds with commas between them (default 1)')
    main(parser.parse_args().folds.split(','))

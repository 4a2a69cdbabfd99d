"""What columns of users and items are worth: age, gender and occupation; year and genres. Each split makes people new on
purpose: of a tenth of the users the training rows have nothing, of a tenth 1 to 5 ratings, of a tenth 6 to 19, of a tenth
of the films nothing. The rest of their ratings is the test set, with a tenth of all the others; ratings of a new film by one of
these users are left out. Then the split by time, and u1-u5 as they are.
Writes nbs/results/features.csv; `--splits` and `--models` make less of it, on the screen only."""
import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from movielens_ce.comparison import fit_entry, make_fold
from movielens_ce.data import RatingScale, hold_out, load_ml100k
from movielens_ce.evaluation import Predictions, predict, score
from movielens_ce.fitted import fit_gaussian
from movielens_ce.registry import MODELS, known_models
from movielens_ce.runs import atomic_write

RESULTS = Path(__file__).parent.parent/'nbs/results/features.csv'
SHOWN = 'dot', 'nn', 'ordinal_ids'
SPLITS = [f'new:{k}' for k in range(5)] + ['time'] + list('12345')
GIVEN = {'no ratings': (0, 0), '1 to 5': (1, 5), '6 to 19': (6, 19)}


def made_new(seed, ratings):
    "A split that makes some users and films new, and the group of each test row."
    rng = np.random.default_rng(seed)
    users, films = (rng.permutation(ratings[c].unique()) for c in ('user', 'item'))
    tenths = np.array_split(users, 10)[:len(GIVEN)]
    shuffled = rng.permutation(len(ratings))
    nth = ratings.iloc[shuffled].groupby('user').cumcount().reindex(ratings.index)     # a random order of each user's ratings
    group = pd.Series(np.where(rng.random(len(ratings)) < 0.1, 'other users', ''), ratings.index)
    for (name, (low, high)), some in zip(GIVEN.items(), tenths):
        kept = pd.Series(rng.integers(low, high + 1, len(some)), some)
        mine = ratings.user.isin(some)
        group[mine] = np.where(nth[mine] < ratings.user[mine].map(kept), '', name)
    cold = ratings['item'].isin(films[:len(films)//10])
    group[cold] = np.where(ratings.user[cold].isin(np.concatenate(tenths)), 'left out', 'films without ratings')
    test = ~group.isin(['', 'left out'])
    return (np.flatnonzero(group == ''), np.flatnonzero(test)), group[test].to_numpy()


def split_of(name, ratings):
    if name.startswith('new:'): return made_new(int(name[4:]), ratings)
    splits = make_fold(name, ratings)
    if name != 'time': return splits, np.full(len(splits[1]), 'all')
    train, test = (ratings.iloc[rows] for rows in splits)
    return splits, np.where(test.user.isin(train.user), 'known users', 'no ratings')


def some_of(pred, at):
    return Predictions(pred.probs[at], pred.y[at], pred.scale, pred.width, None if pred.rating is None else pred.rating[at])


def lines(name, split, ml, options, seed=0):
    "Scores by group of test rows, without and with features."
    entry, scale = MODELS[name], RatingScale.from_ratings(ml.ratings.rating)
    splits, group = split_of(split, ml.ratings)
    for told, features in options.items():
        model, dls, _, seconds = fit_entry(entry, ml.ratings, splits, seed, scale, **features)
        head = None
        if entry.target == 'rating':
            twin, held, *_ = fit_entry(entry, ml.ratings, hold_out(splits[0], 0.1, seed), seed, scale, **features)
            head = fit_gaussian(twin, held.valid)
        pred = predict(model, dls.valid, head)
        for rows in dict.fromkeys(group):
            got = score(some_of(pred, group == rows))
            yield dict(split=split, model=name, told=told, rows=rows, n=int((group == rows).sum()),
                       **{m: got[m] for m in ('rmse', 'accuracy', 'nll')}, seconds=seconds)


def main(splits, names):
    known_models(names)
    torch.set_num_threads(1)
    ml, found = load_ml100k(), []
    users, items = dict(user_features=ml.users), dict(item_features=ml.items[['year', 'genres']])
    for split in splits:
        for name in names:
            options = {'nothing': {}, 'users': users, 'items': items, 'both': users | items}
            if name != 'ordinal_ids': options = {o: options[o] for o in ('nothing', 'both')}
            for line in lines(name, split, ml, options):
                found.append(line)
                print(*(round(v, 4) if isinstance(v, float) else v for v in line.values()), flush=True)
    if list(splits) == SPLITS and tuple(names) == SHOWN:
        atomic_write(RESULTS, lambda tmp: pd.DataFrame(found).round(5).to_csv(tmp, index=False))


if __name__ == '__main__':
    parser = argparse.ArgumentParser('python -m answer.features', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--splits', default=','.join(SPLITS), help='names of splits with commas between them')
    parser.add_argument('--models', default=','.join(SHOWN), help='models with commas between them')
    args = parser.parse_args()
    main(args.splits.split(','), tuple(args.models.split(',')))

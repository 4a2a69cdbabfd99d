"""How far MovieLens-100K can be pushed: what was tried beyond `MODELS`, and what all of it together gives.

    python -m answer.limits                 the trials, on training rows of u1 alone: nbs/results/limits_tried.csv
    python -m answer.limits --best          the blend of BLEND on u1-u5: nbs/results/limits.csv
    python -m answer.limits --best --folds 1,2

Each row goes to its file as soon as it is there, and a row that is there is not made again. One core: half an hour for the trials, as long for the rest.

Every model here knows the columns of users and items (age, gender, occupation; year, genres). The trials are scored on the 16,000 rows that the search held out,
with two seeds each, apart and averaged; `time` stands for both sides in time. The members of BLEND were chosen by these rows; they have the settings of `MODELS` and no search of their own.
"""
import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from answer.kept import add, rows_in
from answer.search import rows_of
from movielens_ce.comparison import fit_entry, fit_head, make_fold
from movielens_ce.context import TimeContext
from movielens_ce.data import RatingScale, load_ml100k
from movielens_ce.evaluation import Predictions, predict, score
from movielens_ce.models import OrdinalMF
from movielens_ce.registry import MODELS
from movielens_ce.scores import SetEmbedding

TRIED, BEST = (Path(__file__).parent.parent/f'nbs/results/{name}.csv' for name in ('limits_tried', 'limits'))
SEEDS, METRICS = (0, 1), ('rmse', 'mae', 'accuracy', 'nll')
DAY = 86_400


class RatedSets(SetEmbedding):
    """Sets whose members also have a second vector, weighted by how the owner's rating deviates. The rating of the member that is left out does not take part
    (asymmetric factors, Koren, 2008)."""
    stackable = False
    def __init__(self, sets, pairs, deviation):
        super().__init__(pairs, *sets.shape, sets.weight.shape[1])
        self.rated = nn.Parameter(torch.randn_like(sets.weight)*0.01)
        key, at = torch.unique(pairs[:, 0]*sets.shape[1] + pairs[:, 1], return_inverse=True)
        self.register_buffer('deviation', torch.zeros(len(key)).index_copy(0, at, deviation))

    def forward(self, owner, member, has):
        (rows, ends), _ = self._bags()
        sums = F.embedding_bag(rows, self.rated, ends, mode='sum', include_last_offset=True, per_sample_weights=self.deviation)
        at = torch.searchsorted(self.key, owner*self.shape[1] + member).clamp(max=len(self.key) - 1)
        others = sums[owner] - self.rated[member]*(self.deviation[at]*has)[:, None]
        size = (ends.diff()[owner] - has.int()).clamp(min=1)
        return super().forward(owner, member, has) + others*size.rsqrt()[:, None]


def with_rated_sets(dls, **options):
    "`OrdinalMF` with `RatedSets` of users. A rating deviates from the mean of its item, shrunk by 5 ratings; the user's own mean would give the rating away."
    model, pairs, y = OrdinalMF.from_dls(dls, **options), dls.train_ds.tensors[0], dls.train_ds.tensors[-1].flatten().float()
    deviation, items = y - y.mean(), pairs[:, 1]
    bias = torch.zeros(dls.n_items).index_add(0, items, deviation)/(torch.bincount(items, minlength=dls.n_items) + 5)
    model.score.items_of_user = RatedSets(model.score.items_of_user, pairs, deviation - bias[items])
    return model


def residuals(u, i, r, n_users, n_items):
    "Returns two matrices: the ratings without their mean and the biases of items and users, 0 where there is none; and 1 where there is a rating."
    left, rated = np.zeros((n_users, n_items)), np.zeros((n_users, n_items))
    r = r - r.mean()
    for at, n, shrink in ((i, n_items, 10), (u, n_users, 5)):
        r = r - (np.bincount(at, r, n)/(np.bincount(at, minlength=n) + shrink))[at]
    left[u, i], rated[u, i] = r, 1.
    return left, rated


def of_neighbours(left, rated, rows, columns, k=50, shrink=100):
    "For each pair the mean residual of the `k` columns most alike that the row has, weighted by their shrunken cosine."
    common, squares = rated.T @ rated, (left**2).T @ rated
    alike = (left.T @ left/np.sqrt(squares*squares.T + 1e-9)*common/(common + shrink)).clip(0)
    np.fill_diagonal(alike, 0)
    out = np.zeros(len(rows))
    for row in np.unique(rows):
        mine, has = np.flatnonzero(rows == row), np.flatnonzero(rated[row])
        weight = alike[np.ix_(columns[mine], has)]
        top = np.argsort(-weight, axis=1)[:, :k]
        weight = np.take_along_axis(weight, top, 1)
        out[mine] = (weight*left[row][has][top]).sum(1)/(weight.sum(1) + 1)
    return out


class Neighbours:
    "The residuals of alike items and of alike users as a context. Training rows get them from the other rows: in twenty parts, each from the other nineteen."
    names = 'alike items', 'alike users'
    def __init__(self, train, *_, n_parts=20, seed=0):
        self.ids = [pd.Index(train[c].unique()) for c in ('user', 'item')]
        self.rows, self.rating = self._at(train), train.rating.to_numpy(float)
        part = np.random.default_rng(seed).integers(n_parts, size=len(train))
        self.own = pd.Series({p: n for n, p in enumerate(zip(*self.rows))})
        self.apart = np.zeros((len(train), 2))
        for k in range(n_parts): self.apart[part == k] = self._of(part != k, *(r[part == k] for r in self.rows))

    def _at(self, frame): return [ids.get_indexer(frame[c]) for ids, c in zip(self.ids, ('user', 'item'))]

    def _of(self, some, users, items):
        left, rated = residuals(*(r[some] for r in self.rows), self.rating[some], *map(len, self.ids))
        return np.stack([of_neighbours(left, rated, users, items), of_neighbours(left.T, rated.T, items, users)], 1)

    def __call__(self, frame):
        users, items = self._at(frame)
        out, at = np.zeros((len(frame), 2)), self.own.reindex(list(zip(users, items))).to_numpy(float)
        new = np.isnan(at) & (users >= 0) & (items >= 0)
        out[~np.isnan(at)] = self.apart[at[~np.isnan(at)].astype(int)]
        out[new] = self._of(slice(None), users[new], items[new])
        return (5*out).astype(np.float32)


class Together:
    "Several contexts as one."
    def __init__(self, *contexts): self.contexts = contexts

    @property
    def names(self): return [n for c in self.contexts for n in c.names]

    def __call__(self, frame): return np.concatenate([c(frame) for c in self.contexts], 1)


def times_of_both(train, *columns):
    "The user's other ratings around the same time, and the item's, days and weeks away."
    return Together(TimeContext(train, *columns), TimeContext(train, user='item', item='user', scales=(DAY, 7*DAY, 30*DAY), shrink=5.))


def entries(neighbours):
    "Name of a kind of member -> entry. `neighbours` makes the context of alike items and users."
    own = replace(MODELS['ordinal_ids'], n_members=1)
    wide = replace(own, options=dict(n_factors=128, dropout=.4))
    return dict(
        ordinal = own, wide = wide,
        rated = replace(own, build=with_rated_sets, wd_of=own.wd_of | dict(rated=4.)),
        neighbours = replace(own, context=neighbours),
        neighbours_wide = replace(wide, context=neighbours),
        squared_error = replace(MODELS['implicit_fitted'], context=None, n_members=1),
        levels = MODELS['dot_softmax'],
        network = MODELS['nn_ordinal'])


BLEND = dict(wide=2, rated=2, neighbours=1, neighbours_wide=1, squared_error=1, levels=1)          # kinds and numbers of members


def columns(): return dict(user_features=load_ml100k().users, item_features=load_ml100k().items[['year', 'genres']])


def run(entry, ratings, splits, seed):
    "(predictions, seconds with the fit of a head)"
    model, dls, _, seconds = fit_entry(entry, ratings, splits, seed, RatingScale.from_ratings(ratings.rating), **columns())
    head, spent = fit_head(entry, ratings, splits[0], dls, seed, **columns())
    return predict(model, dls.valid, head), seconds + spent


def average(preds):
    "The mean of probabilities, as one prediction."
    return Predictions(np.mean([p.probs for p in preds], 0), preds[0].y, preds[0].scale)


def add_run(path, pred, seconds, **row):
    "Adds the row of a run to a table and prints it."
    got = score(pred)
    row = row | dict(n_test=len(pred)) | {m: round(got[m], 5) for m in METRICS} | dict(seconds=round(seconds, 1))
    print(*row.values(), flush=True)
    add(path, row)


def once(context):
    "A context that is made once for the same training rows."
    made = {}
    def make(train, *rest):
        key = len(train), int(train.index[0]), int(train.index[-1])
        if key not in made: made[key] = context(train, *rest)
        return made[key]
    return make


def tried():
    "Trials on held-out training rows."
    ratings, splits = rows_of('100k')
    kinds, kept, there = entries(once(Neighbours)), {}, set(rows_in(TRIED, 'what').what)
    kinds |= {'time': replace(kinds['ordinal'], context=TimeContext), 'time, items too': replace(kinds['ordinal'], context=times_of_both)}
    for name, entry in kinds.items():
        if name in there and (name not in BLEND or 'blend' in there): continue
        runs = [run(entry, ratings, splits, seed) for seed in SEEDS]
        kept[name] = [p for p, _ in runs]
        if name in there: continue
        for seed, (pred, seconds) in zip(SEEDS, runs): add_run(TRIED, pred, seconds, what=name, members=1, seed=seed)
        add_run(TRIED, average(kept[name]), sum(s for _, s in runs), what=name, members=2, seed=SEEDS[0])
    if 'blend' not in there:
        together = [p for name, n in BLEND.items() for p in kept[name][:n]]
        add_run(TRIED, average(together), 0., what='blend', members=len(together), seed=SEEDS[0])


def best(folds):
    "The blend on test rows."
    ratings = load_ml100k().ratings
    for fold in folds:
        if (rows_in(BEST, 'fold').fold == fold).any(): continue
        splits, start, kinds = make_fold(fold, ratings), time.perf_counter(), entries(once(Neighbours))
        preds = [run(kinds[name], ratings, splits, seed)[0] for name, n in BLEND.items() for seed in range(n)]
        add_run(BEST, average(preds), time.perf_counter() - start, what='no time', fold=fold, members=len(preds))


if __name__ == '__main__':
    parser = argparse.ArgumentParser('python -m answer.limits', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--best', action='store_true', help='the blend on the test folds instead of the trials')
    parser.add_argument('--folds', default='1,2,3,4,5', help='folds of --best')
    args = parser.parse_args()
    torch.set_num_threads(1)
    best(args.folds.split(',')) if args.best else tried()

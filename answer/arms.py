"""The arms of answer/plan.py, run: every score and loss with the settings that the search of its fold found (answer/nested.py), its heads trained
with it or fitted afterwards, on each fold with three seeds. Then what is known, added piece by piece, and the models of likelihood with the settings that NLL
chooses instead of RMSE.

    python -m answer.arms OUT                      u1-u5, and the two splits by time, on one core
    python -m answer.arms OUT --jobs 2 --folds 1,2 two processes, some of the folds

Each run is kept in OUT/runs, and the same command goes on from where it was stopped. `python -m answer.inference OUT` makes the tables of them.

The seeds of a model are trained at once as a stack, and each has its own weights, batches and dropout. Out-of-fold predictions are those of five
more trainings of each seed, each without a fifth of the training rows. Nothing here is averaged over members.
"""
import argparse
import time
from dataclasses import replace
from functools import partial

import joblib
import numpy as np
import pandas as pd
import torch
from torch import nn

from answer.nested import settings
from answer.plan import FOLDS, HEADS, KNOWLEDGE, LOSSES, OTHER_SPLITS, SCORES, SEEDS, Arm
from movielens_ce import __version__
from movielens_ce.comparison import make_fold
from movielens_ce.context import TimeContext
from movielens_ce.data import RatingScale, load_ml100k, rating_dls
from movielens_ce.evaluation import predict, score
from movielens_ce.fitted import Gaussian, HeldOut, fit_cuts, fit_user_widths, held_out
from movielens_ce.heads import CumulativeLogit, level_shares
from movielens_ce.registry import definition
from movielens_ce.runs import Run, fingerprint, load_run, prepare_out, run_path, save_run
from movielens_ce.training import fit_one_cycle

N_PARTS = 5
MOVED_BY = dict(cuts=(), user_cuts=('user',), both_cuts=('user', 'item'))
MORE = [k for k in KNOWLEDGE if k not in ('ids', 'sets')]                          # `ids` and `sets` are arms themselves
BY_NLL = 'nll'                                                                  # known to an arm whose settings were chosen by NLL, not by RMSE
LOOK = dict(before='before', up_to='up_to', both='both')


class Mean(nn.Module):
    "A model of classes as a model of ratings: the mean of its probabilities."
    def __init__(self, model, scale):
        super().__init__()
        self.inner, self.levels = model, torch.tensor(scale.values, dtype=torch.float32)

    def forward(self, *batch): return self.inner(*batch).softmax(1) @ self.levels


def name_of(arm):
    "The name of an arm's runs, such as `dot-mse-both_cuts-after`."
    return '-'.join([arm.score, arm.loss, arm.head, arm.fitted] + [arm.knows]*(arm.knows in (*MORE, BY_NLL)))


def other_cuts(dls, build, moved_by, **options):
    "The model of `build`, its cuts moved by others."
    model = build(dls, **options)
    model.head = CumulativeLogit(level_shares(dls), *(n if o in moved_by else 0 for o, n in (('user', dls.n_users), ('item', dls.n_items))))
    return model


def train(entry, ratings, splits, scale, seeds=SEEDS, **features):
    "(a model for each seed, their loaders, seconds)."
    start = time.perf_counter()
    dls = rating_dls(ratings, splits, target=entry.target, bs=entry.bs, scale=scale, device='cpu', context=entry.context, **features)
    models = []
    for s in seeds:
        torch.manual_seed(s)
        models.append(entry.make(dls))
    fit_one_cycle(models, dls, entry.n_epoch, entry.lr, wd=entry.wd, wd_of=entry.wd_of, loss_func=entry.loss, seed=list(seeds), valid_every=entry.n_epoch,
                  progress=False)
    return models, dls, time.perf_counter() - start


def points_of(model, entry, scale): return model if entry.target == 'rating' else Mean(model, scale)


def out_of_fold(entry, ratings, rows, dls, seeds=SEEDS):
    "A `HeldOut` of all training rows for each seed."
    order, found = np.random.default_rng(0).permutation(rows), [[] for _ in seeds]
    for part in np.array_split(order, N_PARTS):
        models, part_dls, _ = train(entry, ratings, (np.setdiff1d(rows, part), part), dls.scale, seeds)
        for parts, model in zip(found, models): parts.append(held_out(points_of(model, entry, dls.scale), part_dls.valid))
    x_cat, y = dls.train_ds.of(ratings.iloc[order]).tensors[0].numpy(), ratings.rating.to_numpy(float)[order]
    def join(what): return np.concatenate(what)
    return [HeldOut(join([h.points for h in parts]), x_cat, y, tuple(map(join, zip(*(h.hidden for h in parts))))) for parts in found]


def fit_head(head, held, dls):
    if head == 'width': return held.gaussian(dls.scale)
    if head == 'user_width': return fit_user_widths(held, dls.scale, dls.n_users)
    return fit_cuts(held, dls.scale, (dls.n_users, dls.n_items), MOVED_BY[head])


def digest(entry, arm, seeds=SEEDS): return definition(entry.definition, str(arm), seeds, N_PARTS, fit_cuts, fit_user_widths, Gaussian, TimeContext)


class Task:
    "The arms of one score and loss on one fold, or one piece of knowledge. `entry` None: with the settings that the search of the fold found."
    def __init__(self, fold, score, loss, knows='', entry=None, seeds=SEEDS):
        self.fold, self.score, self.loss, self.knows, self.seeds = fold, score, loss, knows, seeds
        self.entry = entry or settings(fold, score, loss, 'nll' if knows == BY_NLL else 'rmse')
        if knows in LOOK: self.entry = replace(self.entry, context=partial(TimeContext, look=LOOK[knows]))

    def arms(self):
        if self.knows: return [Arm(self.score, self.loss, 'both_cuts', 'trained', self.knows)]
        trained = [Arm(self.score, self.loss, head, 'trained') for head in MOVED_BY] if self.loss == 'ce' else []
        return trained + [Arm(self.score, self.loss, head, 'after') for head in HEADS]

    def kept(self, out, data):
        def ok(arm, seed):
            path = run_path(out, name_of(arm), self.fold, seed)
            if not path.exists(): return False
            run = load_run(path)
            return run.definition == digest(self.entry, arm, self.seeds) and run.data == data
        return all(ok(a, s) for a in self.arms() for s in self.seeds)

    def run(self, out, ml):
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        ratings, scale = ml.ratings, RatingScale.from_ratings(ml.ratings.rating)
        splits, data = make_fold(self.fold, ratings), fingerprint(ratings)
        features = dict(user_features=ml.users, item_features=ml.items[['year', 'genres']]) if self.knows in MORE else {}
        def keep(arm, seed, pred, seconds):
            row = dict(model=name_of(arm), fold=self.fold, seed=seed, n_test=len(pred), **score(pred), train_seconds=seconds, **self.entry.settings,
                       version=__version__)
            save_run(Run(row, pred, pd.DataFrame(), splits[1], data, digest(self.entry, arm, self.seeds)), out)
        models, dls, seconds = train(self.entry, ratings, splits, scale, self.seeds, **features)
        for arm in self.arms():
            if arm.fitted == 'after': continue
            if arm.head == 'both_cuts': fitted, spent = models, seconds
            else:
                build = partial(other_cuts, build=self.entry.build, moved_by=MOVED_BY[arm.head])
                fitted, _, spent = train(replace(self.entry, build=build), ratings, splits, scale, self.seeds)
            for seed, model in zip(self.seeds, fitted): keep(arm, seed, predict(model, dls.valid), spent/len(self.seeds))
        if self.knows: return
        start = time.perf_counter()
        held = out_of_fold(self.entry, ratings, splits[0], dls, self.seeds)
        spent = seconds + time.perf_counter() - start
        for seed, model, h in zip(self.seeds, models, held):
            for arm in (a for a in self.arms() if a.fitted == 'after'):
                start = time.perf_counter()
                head = fit_head(arm.head, h, dls)
                keep(arm, seed, predict(points_of(model, self.entry, scale), dls.valid, head), spent/len(self.seeds) + time.perf_counter() - start)
        print(self.fold, self.score, self.loss, f'{spent:.0f} s', flush=True)


def main(out, folds, jobs):
    prepare_out(out)
    ml = load_ml100k()
    data = fingerprint(ml.ratings)
    tasks = [Task(f, s, l) for f in folds for s in SCORES for l in LOSSES]
    tasks += [Task(f, 'sets', 'ce', k) for f in folds for k in MORE] + [Task(f, s, 'ce', BY_NLL) for f in folds for s in SCORES]
    joblib.Parallel(n_jobs=jobs)(joblib.delayed(t.run)(out, ml) for t in tasks if not t.kept(out, data))


if __name__ == '__main__':
    parser = argparse.ArgumentParser('python -m answer.arms', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', metavar='OUT', help='the folder that keeps the runs')
    parser.add_argument('--folds', default=','.join((*FOLDS, *OTHER_SPLITS)), help='names of folds with commas between them (default: all)')
    parser.add_argument('--jobs', type=int, default=1, help='processes (default 1)')
    args = parser.parse_args()
    main(args.out, args.folds.split(','), args.jobs)

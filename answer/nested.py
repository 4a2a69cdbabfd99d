"""The settings of the arms of answer/plan.py, searched for each fold within its own training rows, so that no test row of a fold has a part in
them.

    python -m answer.nested                    u1-u5 and the two splits by time, all scores and losses, 16 trials each, on one core;
                                               on u1-u5 also the other outputs of the dot product (answer/outputs.py)
    python -m answer.nested --jobs 2           on two

Four fifths of a fold's training rows train a trial, one fifth scores it: a random one on u1-u5, the latest one where the split is by time, so that held-out
rows have strangers where test rows have them. Both losses are searched for the same two criteria at once, the RMSE
of the predicted mean and the negative log-likelihood (a score that is trained by squared error gets the Gaussian that suits the scored rows
best). `settings` takes the best trial by one of them: RMSE, unless it is told otherwise. The first trial of each has the book's settings, with
larger batches where there are sets. Each trial goes to answer/results/nested.csv as soon as it is there, and the same command goes on from
where it was stopped.
"""
import argparse
import json
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import optuna
import torch

from answer.kept import add, rows_in
from answer.plan import FOLDS, LOSSES, N_TRIALS, OTHER_SPLITS, SCORES
from answer.search import BOOK, SIZES, resume, suggest, with_best
from movielens_ce.comparison import fit_entry, make_fold
from movielens_ce.data import hold_out, load_ml100k, time_split, user_time_split
from movielens_ce.evaluation import predict
from movielens_ce.fitted import Gaussian, outputs
from movielens_ce.metrics import nll, rmse
from movielens_ce.registry import MODELS

RESULTS = Path(__file__).parent/'results/nested.csv'
ENTRIES = {
    ('dot', 'mse'): MODELS['dot'], ('dot', 'ce'): MODELS['dot_ordinal'],
    ('nn', 'mse'): MODELS['nn'], ('nn', 'ce'): MODELS['nn_ordinal'],
    ('sets', 'mse'): replace(MODELS['implicit'], context=None), ('sets', 'ce'): MODELS['ordinal_ids'],
    ('time', 'mse'): MODELS['implicit'], ('time', 'ce'): MODELS['ordinal'],
}
OUTPUTS = dict(softmax='dot_softmax', hl_gauss='dot_hl_gauss', rps='dot_rps', line='dot_ce', ordered_line='dot_ce_ordered')      # other outputs of the dot product
ENTRIES |= {('dot', output): MODELS[name] for output, name in OUTPUTS.items()}
CRITERIA = 'rmse', 'nll'
SPLITS = (*FOLDS, *OTHER_SPLITS)
WORST = 10.                                                 # what a trial that diverges counts as


def one(score, loss): return replace(ENTRIES[score, loss], n_members=1)


def first_trial(score): return BOOK | (dict(bs=2048, n_factors=64, dropout=0.) if score in ('sets', 'time') else {})


def values(entry, ratings, splits):
    "(RMSE of the mean, negative log-likelihood) on the rows held out, and seconds to fit."
    try: model, dls, _, seconds = fit_entry(entry, ratings, splits, seed=0)
    except FloatingPointError: return WORST, WORST, 0.
    if entry.target == 'rating':
        points, y = outputs(model, dls.valid)
        return rmse(points, y), nll(Gaussian.fit(points, y, dls.scale).probs(points), y, dls.scale), seconds
    pred = predict(model, dls.valid)
    return rmse(pred.point('mean'), pred.y), nll(pred.probs, pred.y, pred.scale), seconds


def of(fold, score, loss):
    "The trials of one search."
    rows = rows_in(RESULTS, 'fold', 'score', 'loss')
    return rows[(rows.fold == fold) & (rows.score == score) & (rows.loss == loss)]


def settings(fold, score, loss, criterion='rmse'):
    "The entry of a score and a loss with the best settings that the search of this fold found."
    found = of(fold, score, loss)
    if len(found) < N_TRIALS: raise ValueError(f'{len(found)} of {N_TRIALS} trials of {score}, {loss} on fold {fold}: run python -m answer.nested')
    return with_best(one(score, loss), found, criterion)


def inner(fold, ratings):
    "The training rows of a fold, split in the way of the fold."
    train = make_fold(fold, ratings)[0]
    if fold in FOLDS: return hold_out(train, 0.2, seed=0)
    by_time = {'user-time': user_time_split, 'time': time_split}[fold]
    return tuple(train[part] for part in by_time(ratings.iloc[train]))


def search(fold, score, loss, n_trials, ratings):
    "Tries settings until `n_trials` are in the results file."
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)                                  # a high weight decay leaves weights that are slow and say nothing
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    entry, before = one(score, loss), of(fold, score, loss)
    splits = inner(fold, ratings)
    sampler = optuna.samplers.TPESampler(seed=100*(SPLITS.index(fold) + 1) + len(before), n_startup_trials=n_trials//2)
    study = optuna.create_study(sampler=sampler, directions=['minimize', 'minimize'])
    resume(study, before, lambda trial: suggest(trial, entry, SIZES['100k']), lambda row: [row.rmse, row.nll])
    if not len(before): study.enqueue_trial(first_trial(score))
    def objective(trial):
        tried = suggest(trial, entry, SIZES['100k'])
        *found, seconds = values(replace(entry, **tried), ratings, splits)
        as_text = {k: json.dumps(s) if isinstance(s, dict) else s for k, s in tried.items()}
        row = dict(fold=fold, score=score, loss=loss, trial=trial.number, **dict(zip(CRITERIA, np.round(found, 5))), seconds=round(seconds, 1),
                   **as_text, params=json.dumps(trial.params))
        print(*list(row.values())[:-1], flush=True)
        add(RESULTS, row)
        return found
    study.optimize(objective, n_trials=n_trials - len(before))


def main(folds, jobs):
    ratings = load_ml100k().ratings
    tasks = [(f, s, l) for f in folds for s in SCORES for l in LOSSES] + [(f, 'dot', o) for f in folds if f in FOLDS for o in OUTPUTS]
    tasks = [t for t in tasks if len(of(*t)) < N_TRIALS]
    joblib.Parallel(n_jobs=jobs)(joblib.delayed(search)(*t, N_TRIALS, ratings) for t in tasks)


if __name__ == '__main__':
    parser = argparse.ArgumentParser('python -m answer.nested', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--folds', default=','.join(SPLITS), help='names of folds with commas between them (default: all)')
    parser.add_argument('--jobs', type=int, default=1, help='processes (default 1)')
    args = parser.parse_args()
    main(args.folds.split(','), args.jobs)

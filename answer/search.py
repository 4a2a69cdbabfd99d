"""The settings in `MODELS`: each model searched with the same budget on training rows held out for it. Results go to benchmarks/results/tuning.csv.

    python benchmarks/tune.py                    all models, 16 trials each
    python benchmarks/tune.py dot nn_ce          some of them
    python benchmarks/tune.py --trials 40        another budget

The search sees the training rows of u1 alone: 64,000 to train on, 16,000 to score, no test row of u1. What it minimises is what the model says it is good at: the negative
log-likelihood of a model of classes, the RMSE of a model of ratings. Ensembles are searched as a single member. A model whose trials are all in the results file is not searched again.
The first trial of each model is what somebody has used for it (FIRST): an earlier attempt's settings for `nn_ce`, the book's for all others but the three with implicit sets (SETS). For those it is what was found by hand
for `ordinal` on the same held-out rows while the model was designed, so that they have had more than the others' budget; and their batches are never small, because each step sums over all sets.
"""
import argparse
import json
import warnings
from dataclasses import replace
from pathlib import Path

import optuna
import pandas as pd
import torch

from _common import RESULTS
from movielens_ce.comparison import MODELS, fit_entry
from movielens_ce.data import fold_split, hold_out, load_ml100k
from movielens_ce.evaluation import outputs, predict, score
from movielens_ce.metrics import rmse

TUNED = [m for m in MODELS if not m.startswith(('book_', 'fastai_'))]
FILE = RESULTS/'tuning.csv'
SETS = ('implicit', 'ordinal_ids', 'ordinal')
SIZES = ({m: ('n_factors', [32, 64, 96]) for m in SETS} | {m: ('n_act', [50, 100, 200]) for m in TUNED if m.startswith('nn')}
         | {m: ('n_factors', [10, 20, 50]) for m in ('dot_softmax', 'dot_hl_gauss', 'dot_rps')})
BOOK = dict(lr=5e-3, wd=0.1, wd_levels=0.1, n_epoch=5, bs=64, n_factors=50, n_act=100)
FIRST = {m: dict(lr=0.01, wd=2., wd_levels=0.3, n_epoch=20, bs=2048, n_factors=64, dropout=0.3) for m in SETS} | {'nn_ce': BOOK | dict(lr=1.2e-3, wd=0.01)}


def round2(x): return float(f'{x:.2g}')


def suggest(trial, name):
    "Settings for one trial: learning rate, weight decays, epochs, batch size, size of the model, and dropout where the model has it."
    wd = round2(trial.suggest_float('wd', 0.01, 4, log=True))
    size, sizes = SIZES.get(name, ('n_factors', [10, 20, 50, 100]))
    options = {size: trial.suggest_categorical(size, sizes)}
    if 'ordinal' in name:
        wd = {'': wd, 'levels': round2(trial.suggest_float('wd_levels', 0.05, 2, log=True)), 'user_bias': 0., 'item_bias': 0.}
    if name == 'implicit': wd = {'': wd, 'user_bias': 0., 'item_bias': 0.}
    if name in SETS: options['dropout'] = round2(trial.suggest_float('dropout', 0, 0.6))
    return dict(lr=round2(trial.suggest_float('lr', 1e-3, 0.05, log=True)), wd=wd, n_epoch=trial.suggest_int('n_epoch', 3, 20, log=True),
                bs=trial.suggest_categorical('bs', [512, 1024, 2048] if name in SETS else [64, 512, 2048]), options=options)


def value(entry, ratings, splits):
    "What the search minimises, on the held-out rows."
    model, dls, _, seconds = fit_entry(entry, ratings, splits, seed=0)
    if entry.target == 'rating': return rmse(*outputs(model, dls.valid)), seconds
    return score(predict(model, dls.valid))['nll'], seconds


def search(name, n_trials, ratings, splits, keep):
    "Runs the trials of one model; `keep(row)` after each."
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=8), direction='minimize')
    study.enqueue_trial(FIRST.get(name, BOOK))
    def objective(trial):
        settings = suggest(trial, name)
        entry = replace(MODELS[name], n_members=1, **settings)
        try: v, seconds = value(entry, ratings, splits)
        except FloatingPointError: v, seconds = float('inf'), 0.
        keep(dict(model=name, trial=trial.number, value=v, seconds=round(seconds, 1),
                  **{k: json.dumps(s) if isinstance(s, dict) else s for k, s in settings.items()}))
        return v if v < float('inf') else 10.
    study.optimize(objective, n_trials=n_trials)


def main(names, n_trials):
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ratings = load_ml100k().ratings
    splits = hold_out(fold_split(1, len(ratings))[0], 0.2, seed=0)
    for name in names:
        done = pd.read_csv(FILE) if FILE.exists() else pd.DataFrame(columns=['model'])
        if (done.model == name).sum() >= n_trials: continue
        rows = []
        def keep(row):
            rows.append(row)
            print(' '.join(f'{k}={v:.4g}' if isinstance(v, float) else f'{k}={v}' for k, v in row.items()), flush=True)
        search(name, n_trials, ratings, splits, keep)
        done = pd.read_csv(FILE) if FILE.exists() else pd.DataFrame(columns=['model'])
        everything = pd.concat([d for d in (done[done.model != name], pd.DataFrame(rows)) if len(d)])
        part = FILE.with_suffix('.part')
        everything.to_csv(part, index=False)
        part.replace(FILE)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', metavar='MODEL', help=f'some of {", ".join(TUNED)}')
    parser.add_argument('--trials', type=int, default=16)
    args = parser.parse_args()
    if unknown := set(args.names) - set(TUNED): parser.error(f'unknown model {", ".join(sorted(unknown))}: use {", ".join(TUNED)}')
    main(args.names or TUNED, args.trials)

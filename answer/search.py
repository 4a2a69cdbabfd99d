"""The settings in `MODELS`: each model searched with the same budget on training rows held out for it.

    python -m answer.search                    all models, 16 trials each
    python -m answer.search dot nn_ce          some of them
    python -m answer.search --trials 40        another budget

Results go to answer/results/tuning.csv. A model whose trials are all there is not searched again.

The search sees the training rows of u1 alone: 64,000 to train on, 16,000 to score, no test row of u1. It minimises
the negative log-likelihood of a model of classes, and the RMSE of a model of ratings. Ensembles are searched as a
single member.

The first trial of each model is what somebody has used for it (`first_trial`): an earlier attempt's settings for
`nn_ce`, the book's for all others but the three with implicit sets (SETS). For those it is what was found by hand
for `ordinal` on the same held-out rows while the model was designed, so that they have had more than the others'
budget. Their batches are never small, because each step sums over all sets.
"""
import argparse
import json
from dataclasses import replace
from pathlib import Path

import optuna
import pandas as pd
import torch

from movielens_ce.comparison import fit_entry
from movielens_ce.data import fold_split, hold_out, load_ml100k
from movielens_ce.evaluation import predict, score
from movielens_ce.fitted import outputs
from movielens_ce.metrics import rmse
from movielens_ce.registry import MODELS

FILE = Path(__file__).parent/'results'/'tuning.csv'
TUNED = [m for m, e in MODELS.items() if e.source == 'searched']
SETS = [m for m, e in MODELS.items() if e.score == 'implicit']
BOOK = dict(lr=5e-3, wd=0.1, wd_head=0.1, n_epoch=5, bs=64, n_factors=50, n_act=100)
BY_HAND = dict(lr=0.01, wd=2., wd_head=0.3, n_epoch=20, bs=2048, n_factors=64, dropout=0.3)
ATTEMPT = BOOK | dict(lr=1.2e-3, wd=0.01)


def first_trial(name):
    "What somebody has used for the model."
    return BY_HAND if name in SETS else ATTEMPT if name == 'nn_ce' else BOOK


def round2(x): return float(f'{x:.2g}')


def sizes(entry):
    "(the option that is the model's size, what is tried for it)."
    if entry.score == 'implicit': return 'n_factors', [32, 64, 96]
    if entry.score == 'nn': return 'n_act', [50, 100, 200]
    return 'n_factors', [10, 20, 50] if entry.head == 'levels' else [10, 20, 50, 100]


def suggest_wd_of(trial, entry):
    "Weight decay of parts of the model: searched for the cuts of a cumulative head, 0 for the biases beside them."
    cumulative, implicit = entry.head == 'cumulative', entry.score == 'implicit'
    head = dict(head=round2(trial.suggest_float('wd_head', 0.05, 2, log=True))) if cumulative else {}
    biases = dict(user_bias=0., item_bias=0.) if (cumulative or implicit) and entry.score != 'nn' else {}
    return head | biases


def suggest(trial, entry):
    "Settings for one trial. The order of the suggestions is part of the search: the sampler draws one after the other."
    implicit = entry.score == 'implicit'
    wd = round2(trial.suggest_float('wd', 0.01, 4, log=True))
    size, tried = sizes(entry)
    options = {size: trial.suggest_categorical(size, tried)}
    wd_of = suggest_wd_of(trial, entry)
    if implicit: options['dropout'] = round2(trial.suggest_float('dropout', 0, 0.6))
    lr = round2(trial.suggest_float('lr', 1e-3, 0.05, log=True))
    n_epoch = trial.suggest_int('n_epoch', 3, 20, log=True)
    bs = trial.suggest_categorical('bs', [512, 1024, 2048] if implicit else [64, 512, 2048])
    return dict(lr=lr, wd=wd, wd_of=wd_of, n_epoch=n_epoch, bs=bs, options=options)


def value(entry, ratings, splits):
    "(what the search minimises, on the held-out rows; seconds to fit). Infinite where training diverges."
    try:
        model, dls, _, seconds = fit_entry(entry, ratings, splits, seed=0)
        if entry.target == 'rating': return rmse(*outputs(model, dls.valid)), seconds
        return score(predict(model, dls.valid))['nll'], seconds
    except FloatingPointError: return float('inf'), 0.


def search(name, n_trials, ratings, splits, say=print):
    "The trials of one model, as lines of the results file."
    sampler, rows = optuna.samplers.TPESampler(seed=0, n_startup_trials=8), []
    study = optuna.create_study(sampler=sampler, direction='minimize')
    study.enqueue_trial(first_trial(name))
    def objective(trial):
        settings = suggest(trial, MODELS[name])
        v, seconds = value(replace(MODELS[name], n_members=1, **settings), ratings, splits)
        as_text = {k: json.dumps(s) if isinstance(s, dict) else s for k, s in settings.items()}
        rows.append(dict(model=name, trial=trial.number, value=v, seconds=round(seconds, 1), **as_text))
        say(*(f'{k}={s:.4g}' if isinstance(s, float) else f'{k}={s}' for k, s in rows[-1].items()), flush=True)
        return v if v < float('inf') else 10.
    study.optimize(objective, n_trials=n_trials)
    return rows


def done(): return pd.read_csv(FILE) if FILE.exists() else pd.DataFrame(columns=['model'])


def write(name, rows):
    "Puts the trials of a model in the place of those that the results file has."
    before = done()
    part = FILE.with_suffix('.part')
    pd.concat([d for d in (before[before.model != name], pd.DataFrame(rows)) if len(d)]).to_csv(part, index=False)
    part.replace(FILE)


def main(names, n_trials):
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ratings = load_ml100k().ratings
    splits = hold_out(fold_split(1, ratings)[0], 0.2, seed=0)
    for name in names:
        if (done().model == name).sum() < n_trials: write(name, search(name, n_trials, ratings, splits))


if __name__ == '__main__':
    parser = argparse.ArgumentParser('python -m answer.search', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', metavar='MODEL', help=f'some of {", ".join(TUNED)}')
    parser.add_argument('--trials', type=int, default=16, help='trials of each model (default 16)')
    args = parser.parse_args()
    if unknown := set(args.names) - set(TUNED):
        parser.error(f'unknown model {", ".join(sorted(unknown))}: use {", ".join(TUNED)}')
    main(args.names or TUNED, args.trials)

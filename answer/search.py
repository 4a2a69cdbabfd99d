"""The settings in `MODELS`: each model searched with the same budget on training rows held out for it.

    python -m answer.search                    all models, 16 trials each
    python -m answer.search dot nn_ce          some of them
    python -m answer.search --trials 40        another budget
    python -m answer.search --data 1m          the settings for a million ratings, `LARGE`, 8 trials each
    python -m answer.search --data 1m-near     a closer look at `ordinal_ids` on a million ratings, 6 trials

Each trial goes to answer/results/tuning.csv, or to tuning-1m.csv, as soon as it is there. The same command goes on from
where it was stopped, and a model whose trials are all there is not searched again.

The search sees training rows alone. On MovieLens-100K these are the 80,000 of u1: 64,000 to train on, 16,000 to score. On
MovieLens-1M they are the 900,000 of a random split, of which a tenth is scored. It minimises the negative
log-likelihood of a model of classes, and the RMSE of a model of ratings. Ensembles are searched as a single member.

The first trial of each model is what somebody has used for it (`first_trial`): an earlier attempt's settings for
`nn_ce`, the book's for all others but the three with implicit sets (SETS). For those it is what was found by hand
for `ordinal` on the same held-out rows while the model was designed, so that they have had more than the others'
budget. Their batches are never small, because each step sums over all sets.

`1m-near` is not part of the comparison of losses, which has equal budgets, but asks how low the errors of the best model can go (`python -m answer.million --closer`).
Its ranges (NEAR) were drawn around the best trial of `1m` after a dozen settings tried by hand on the same held-out rows.
"""
import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import optuna
import torch

from answer.kept import add, rows_in
from movielens_ce.comparison import fit_entry, make_fold
from movielens_ce.data import fold_split, hold_out, load_ml100k
from movielens_ce.evaluation import predict, score
from movielens_ce.fitted import outputs
from movielens_ce.metrics import rmse
from movielens_ce.movielens import load_movielens
from movielens_ce.registry import MODELS

RESULTS = Path(__file__).parent/'results'
LONGER = dict(implicit_ids=replace(MODELS['implicit'], context=None), dot_ordinal_more=MODELS['dot_ordinal'], implicit_more=MODELS['implicit'])    # 24 trials, for answer/million_arms.py
ENTRIES = MODELS | LONGER | dict(ordinal_ids_near=MODELS['ordinal_ids'])
SETS = [m for m, e in ENTRIES.items() if e.score == 'implicit']
BOOK = dict(lr=5e-3, wd=0.1, wd_head=0.1, n_epoch=5, bs=64, n_factors=50, n_act=100)
BY_HAND = dict(lr=0.01, wd=2., wd_head=0.3, n_epoch=20, bs=2048, n_factors=64, dropout=0.3)
ATTEMPT = BOOK | dict(lr=1.2e-3, wd=0.01)
RANGES = dict(wd=(0.01, 4), wd_head=(0.05, 2), dropout=(0, 0.6), lr=(1e-3, 0.05), n_epoch=(3, 20))
NEAR = dict(wd=(0.6, 1.4), wd_head=(0.06, 0.3), dropout=(0.1, 0.45), lr=(0.006, 0.02), n_epoch=(12, 20))
BOOK_1M, BY_HAND_1M = BOOK | dict(bs=512), dict(lr=0.012, wd=0.7, wd_head=0.13, n_epoch=16, bs=8192, n_factors=128, dropout=0.17)


@dataclass(frozen=True)
class Size:
    "What a search on a data set of some size tries."
    models: list # Keys of `MODELS`
    file: Path # Where the trials go
    n_trials: int # For each model
    n_factors: dict # Score -> lengths of its factors
    bs: dict # Score -> batch sizes
    first: Callable # Name of a model -> what somebody has used for it, the first trial
    ranges: dict = field(default_factory=lambda: RANGES) # Setting -> its smallest and largest value


def first_trial(name): return BY_HAND if name in SETS else ATTEMPT if name == 'nn_ce' else BOOK


SIZES = {
    '100k': Size([m for m, e in MODELS.items() if e.source == 'searched'], RESULTS/'tuning.csv', 16,
                 dict(implicit=[32, 64, 96], dot=[10, 20, 50, 100], nn=[50, 100, 200]),
                 dict(implicit=[512, 1024, 2048], dot=[64, 512, 2048], nn=[64, 512, 2048]), first_trial),
    '1m': Size(['dot', 'dot_ordinal', 'implicit', 'ordinal_ids', 'nn', 'nn_ordinal', *LONGER], RESULTS/'tuning-1m.csv', 8,
               dict(implicit=[64, 128], dot=[50, 100, 200], nn=[50, 100, 200]),
               dict(implicit=[8192, 16384], dot=[512, 2048, 8192], nn=[512, 2048, 8192]),
               lambda name: BY_HAND_1M if name in SETS else BOOK_1M),
    '1m-near': Size(['ordinal_ids_near'], RESULTS/'tuning-1m.csv', 6, dict(implicit=[128, 256]), dict(implicit=[4096, 8192]),
                    lambda name: BY_HAND_1M | dict(wd=0.9), NEAR),
}


def round2(x): return float(f'{x:.2g}')


def sizes(entry, size):
    "(the option that is the model's size, what is tried for it)."
    if entry.head == 'levels' and entry.score == 'dot': return 'n_factors', [10, 20, 50]
    return 'n_act' if entry.score == 'nn' else 'n_factors', size.n_factors[entry.score]


def suggest_wd_of(trial, entry, ranges):
    "Weight decay of parts of the model: searched for the cuts of a cumulative head, 0 for the biases beside them."
    cumulative, implicit = entry.head == 'cumulative', entry.score == 'implicit'
    head = dict(head=round2(trial.suggest_float('wd_head', *ranges['wd_head'], log=True))) if cumulative else {}
    biases = dict(user_bias=0., item_bias=0.) if (cumulative or implicit) and entry.score != 'nn' else {}
    return head | biases


def suggest(trial, entry, of):
    "Settings for one trial. The order of the suggestions is part of the search: the sampler draws one after the other."
    implicit = entry.score == 'implicit'
    wd = round2(trial.suggest_float('wd', *of.ranges['wd'], log=True))
    size, tried = sizes(entry, of)
    options = {size: trial.suggest_categorical(size, tried)}
    wd_of = suggest_wd_of(trial, entry, of.ranges)
    if implicit: options['dropout'] = round2(trial.suggest_float('dropout', *of.ranges['dropout']))
    lr = round2(trial.suggest_float('lr', *of.ranges['lr'], log=True))
    n_epoch = trial.suggest_int('n_epoch', *of.ranges['n_epoch'], log=True)
    bs = trial.suggest_categorical('bs', of.bs[entry.score])
    return dict(lr=lr, wd=wd, wd_of=wd_of, n_epoch=n_epoch, bs=bs, options=options)


def value(entry, ratings, splits, seed=0):
    "(what the search minimises, on the held-out rows; seconds to fit). Infinite where training diverges."
    try:
        model, dls, _, seconds = fit_entry(entry, ratings, splits, seed)
        if entry.target == 'rating': return rmse(*outputs(model, dls.valid)), seconds
        return score(predict(model, dls.valid))['nll'], seconds
    except FloatingPointError: return float('inf'), 0.


def resume(study, before, suggest, values):
    "Gives a study the trials that are there: `suggest` is called for their distributions, `values` for what is minimised."
    for row in before.itertuples():
        params = json.loads(row.params)
        fixed = optuna.trial.FixedTrial(params)
        suggest(fixed)
        study.add_trial(optuna.trial.create_trial(params=params, distributions=fixed.distributions, values=values(row)))


def search(name, size, n_trials, ratings, splits, say=print):
    "Tries settings until `n_trials` of a model are in the results file."
    before = done(size, name)
    sampler = optuna.samplers.TPESampler(seed=len(before), n_startup_trials=max(4, n_trials//2))
    study = optuna.create_study(sampler=sampler, direction='minimize')
    resume(study, before, lambda trial: suggest(trial, ENTRIES[name], size), lambda row: [min(row.value, 10.)])
    if not len(before): study.enqueue_trial(size.first(name))
    def objective(trial):
        settings = suggest(trial, ENTRIES[name], size)
        v, seconds = value(replace(ENTRIES[name], n_members=1, **settings), ratings, splits)
        as_text = {k: json.dumps(s) if isinstance(s, dict) else s for k, s in settings.items()}
        row = dict(model=name, trial=trial.number, value=v, seconds=round(seconds, 1), **as_text, params=json.dumps(trial.params))
        say(*(f'{k}={s:.4g}' if isinstance(s, float) else f'{k}={s}' for k, s in row.items()), flush=True)
        add(size.file, row)
        return min(v, 10.)
    study.optimize(objective, n_trials=n_trials - len(before))


def with_best(entry, trials, by='value'):
    "An entry with the settings of the best of some trials."
    best = trials.loc[trials[by].idxmin()]
    return replace(entry, lr=best.lr, wd=best.wd, wd_of=json.loads(best.wd_of), n_epoch=int(best.n_epoch), bs=int(best.bs), options=json.loads(best.options))


def done(size, name):
    "The trials of a model that the results file has."
    rows = rows_in(size.file, 'model')
    return rows[rows.model == name]


def rows_of(data):
    "(ratings, the training rows of a split in two)."
    if data == '100k':
        ratings = load_ml100k().ratings
        return ratings, hold_out(fold_split(1, ratings)[0], 0.2, seed=0)
    ratings = load_movielens('1m').ratings
    return ratings, hold_out(make_fold('random:0:0.1', ratings)[0], 0.1, seed=0)


def main(data, names, n_trials):
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    size, (ratings, splits) = SIZES[data], rows_of(data)
    for name in names or size.models:
        if len(done(size, name)) < (n_trials or size.n_trials): search(name, size, n_trials or size.n_trials, ratings, splits)


if __name__ == '__main__':
    parser = argparse.ArgumentParser('python -m answer.search', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', metavar='MODEL', help='some of the models (default: all)')
    parser.add_argument('--data', choices=SIZES, default='100k', help='the data set (default 100k)')
    parser.add_argument('--trials', type=int, help='trials of each model (default 16; of 1m 8)')
    args = parser.parse_args()
    models = SIZES[args.data].models
    if unknown := set(args.names) - set(models):
        parser.error(f'unknown model {", ".join(sorted(unknown))}: use {", ".join(models)}')
    main(args.data, args.names, args.trials)

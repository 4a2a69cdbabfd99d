"""Outside MovieLens: Douban and Flixster with the split of Monti, Bronstein and Bresson (2017), which graph networks are compared on.

    python -m answer.other_data FOLDER             the settings of MovieLens-100K, untouched
    python -m answer.other_data FOLDER --search    searches settings on each data set's training rows, and uses these

FOLDER has `douban/training_test_dataset.mat` and `flixster/training_test_dataset.mat`, as in the folder `raw_data` of the public repository
muhanzhang/IGMC; they are not part of this one. Needs the extra [bench].

A search has 24 trials of each model: optuna's TPE on what `answer.search` tries, the first trial with the settings of MovieLens-100K. A fifth of the training rows is
held out, and the trial with the best RMSE on it is taken. A model whose head is fitted afterwards has the settings of the same model without it. Trials go to
answer/results/tuning-other.csv, test scores to nbs/results/other_data.csv, each as soon as it is there; what is there is not made again."""
import argparse
import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import optuna
import pandas as pd
import torch

from answer.nested import values
from answer.kept import add, rows_in
from answer.search import SIZES, resume, suggest, with_best
from movielens_ce.comparison import fit_entry, fit_head
from movielens_ce.data import RatingScale, hold_out
from movielens_ce.evaluation import predict, score
from movielens_ce.registry import MODELS

ROOT = Path(__file__).parent
RESULTS, TRIALS, N_TRIALS = ROOT.parent/'nbs/results/other_data.csv', ROOT/'results/tuning-other.csv', 24
SETS = ('douban', 'flixster')
ONE = {name: replace(MODELS[name], n_members=1, context=None) for name in ('dot', 'dot_fitted', 'dot_ordinal', 'implicit', 'implicit_fitted', 'ordinal_ids')}
MANY = dict(implicit=8, ordinal_ids=8)                                # these with the first seed alone
SEARCHED = dict(dot='dot', dot_fitted='dot', dot_ordinal='dot_ordinal', implicit='implicit', implicit_fitted='implicit', ordinal_ids='ordinal_ids')     # a model -> whose search it uses


def read(folder, name):
    "(ratings, (training rows, test rows))."
    with h5py.File(Path(folder)/name/'training_test_dataset.mat') as file:
        given, train, test = (np.array(file[k]).T for k in ('M', 'Otraining', 'Otest'))
    user, item = np.nonzero(given*((train > 0) | (test > 0)))
    ratings = pd.DataFrame(dict(user=user, item=item, rating=given[user, item]))
    tested = test[user, item] > 0
    return ratings, (np.flatnonzero(~tested), np.flatnonzero(tested))


def add_and_print(path, row):
    print(*row.values(), flush=True)
    add(path, row)


def trials(data, name):
    "The trials of a model on a data set."
    rows = rows_in(TRIALS, 'data', 'model')
    return rows[(rows.data == data) & (rows.model == name)]


def as_suggested(entry):
    "The settings of an entry, named as `suggest` names them."
    of_head = dict(wd_head=entry.wd_of['head']) if 'head' in entry.wd_of else {}
    return dict(wd=entry.wd, lr=entry.lr, n_epoch=entry.n_epoch, bs=entry.bs, **of_head, **entry.options)


def search(data, name, ratings, splits):
    "Tries settings of a model on held-out training rows. A search that was stopped begins again with what it has found."
    before, entry, rows = trials(data, name), ONE[name], hold_out(splits[0], 0.2, seed=0)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=len(before), n_startup_trials=N_TRIALS//2), direction='minimize')
    resume(study, before, lambda trial: suggest(trial, entry, SIZES['100k']), lambda row: [row.rmse])
    if not len(before): study.enqueue_trial(as_suggested(entry))
    def objective(trial):
        tried = suggest(trial, entry, SIZES['100k'])
        rmse, nll, seconds = values(replace(entry, **tried), ratings, rows)
        as_text = {k: json.dumps(s) if isinstance(s, dict) else s for k, s in tried.items()}
        add_and_print(TRIALS, dict(data=data, model=name, trial=trial.number, rmse=round(rmse, 5), nll=round(nll, 5), seconds=round(seconds, 1), **as_text, params=json.dumps(trial.params)))
        return rmse
    study.optimize(objective, n_trials=N_TRIALS - len(before))


def main(folder, seeds, searched):
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for name in SETS:
        ratings, splits = read(folder, name)
        scale = RatingScale.from_ratings(ratings.rating)
        strangers = (~ratings.iloc[splits[1]].user.isin(ratings.user.iloc[splits[0]])).mean()
        print(name, len(ratings), 'ratings', scale.n_classes, 'levels', f'{strangers:.1%} of the test rows have a new user', flush=True)
        for model in dict.fromkeys(SEARCHED.values()) if searched else (): search(name, model, ratings, splits)
        entries = {model: with_best(entry, trials(name, SEARCHED[model]), 'rmse') if searched else entry for model, entry in ONE.items()}
        entries |= {f'{model}, {n} members': replace(entries[model], n_members=n) for model, n in MANY.items()}
        settings = 'searched' if searched else 'MovieLens-100K'
        for model, entry in entries.items():
            for seed in seeds[:1] if entry.n_members > 1 else seeds:
                rows = rows_in(RESULTS, 'data', 'model', 'settings', 'seed')
                if ((rows.data == name) & (rows.model == model) & (rows.settings == settings) & (rows.seed == seed)).any(): continue
                trained, dls, _, seconds = fit_entry(entry, ratings, splits, seed, scale)
                head, _ = fit_head(entry, ratings, splits[0], dls, seed)
                got = score(predict(trained, dls.valid, head))
                add_and_print(RESULTS, dict(data=name, model=model, settings=settings, seed=seed, n_test=len(splits[1])) | {m: round(got[m], 5) for m in ('rmse', 'mae', 'accuracy', 'nll')}
                    | dict(seconds=round(seconds, 1)))


if __name__ == '__main__':
    parser = argparse.ArgumentParser('python -m answer.other_data', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', metavar='FOLDER', help='where douban/ and flixster/ are')
    parser.add_argument('--seeds', type=lambda s: [int(o) for o in s.split(',')], default=[0, 1, 2], help='random seeds with commas between them (default 0,1,2)')
    parser.add_argument('--search', action='store_true', help='search settings on the training rows of each data set, and use these')
    args = parser.parse_args()
    main(args.folder, args.seeds, args.search)

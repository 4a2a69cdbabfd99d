"The settings of the registry are those that the search found."
import json
from pathlib import Path

import pandas as pd
import pytest

from movielens_ce.registry import LARGE, MODELS, entry_of

RESULTS = Path(__file__).parent.parent/'answer/results'
TRACE, TRACE_1M = pd.read_csv(RESULTS/'tuning.csv'), pd.read_csv(RESULTS/'tuning-1m.csv')
SEARCHED = [m for m, e in MODELS.items() if e.source == 'searched']


def settings_of(trial):
    "The settings of a trial, as an `Entry` has them."
    return dict(lr=trial.lr, wd=trial.wd, wd_of=json.loads(trial.wd_of), n_epoch=trial.n_epoch, bs=trial.bs,
                options=json.loads(trial.options))


def assert_best(entry, trials):
    best = settings_of(trials.loc[trials.value.idxmin()])
    assert {k: getattr(entry, k) for k in best} == best


@pytest.mark.parametrize('name', SEARCHED)
def test_settings_are_the_best_trial(name): assert_best(MODELS[name], TRACE[TRACE.model == name])


@pytest.mark.parametrize('name', LARGE)
def test_settings_for_large_data_sets_are_the_best_trial(name):
    searched = 'ordinal_ids' if name == 'ordinal' else name                     # they share their settings, as on MovieLens-100K
    assert_best(entry_of(name, 1_000_000), TRACE_1M[TRACE_1M.model == searched])


@pytest.mark.parametrize('trace, names', [(TRACE, SEARCHED), (TRACE_1M, LARGE.keys() - {'ordinal'})], ids=['100k', '1m'])
def test_every_searched_model_had_the_same_budget(trace, names):
    trials = trace.groupby('model').size()
    assert set(trials.index) == set(names) and trials.nunique() == 1

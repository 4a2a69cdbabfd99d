"The settings of the registry are those that the search found."
import json
from pathlib import Path

import pandas as pd
import pytest

from answer import plan
from movielens_ce.compare.entries import LARGE, MODELS, SEARCHED_ON, entry_of

RESULTS = Path(__file__).parent.parent/'answer/results'
TRACE, TRACE_1M = pd.read_csv(RESULTS/'tuning.csv'), pd.read_csv(RESULTS/'tuning-1m.csv')
# a model -> whose settings it has
SHARED = dict(dot_fitted='dot', nn_fitted='nn', implicit_fitted='implicit', dot_ce_ordered='dot_ce')
SHARED_1M = SHARED | dict(ordinal='ordinal_ids')
SEARCHED = [m for m, e in MODELS.items() if e.source == 'searched']


def settings_of(trial):
    "The settings of a trial, as an `Entry` has them."
    return dict(lr=trial.lr, wd=trial.wd, wd_of=json.loads(trial.wd_of), n_epoch=trial.n_epoch, bs=trial.bs,
                options=json.loads(trial.options))


def assert_best(entry, trials):
    best = settings_of(trials.loc[trials['rmse' if entry.target == 'rating' else 'nll'].idxmin()])
    assert {k: getattr(entry, k) for k in best} == best


@pytest.mark.parametrize('name', SEARCHED)
def test_settings_are_the_best_trial(name): assert_best(MODELS[name], TRACE[TRACE.search == name])


@pytest.mark.parametrize('name', LARGE)
def test_settings_for_large_data_sets_are_the_best_trial(name):
    assert_best(entry_of(name, SEARCHED_ON), TRACE_1M[TRACE_1M.search == SHARED_1M.get(name, name)])


@pytest.mark.parametrize('name', [m for m, e in MODELS.items() if e.source == 'shared'])
def test_shared_settings_are_those_of_a_searched_model(name):
    for n_ratings in (0, SEARCHED_ON):
        assert entry_of(name, n_ratings).settings == entry_of(SHARED[name], n_ratings).settings


# no entries of the registry, with more trials: the page of a million ratings says so
OF_ARMS = ['implicit_ids', 'dot_ordinal_more', 'implicit_more', 'ordinal_ids_near']


@pytest.mark.parametrize('trace, names', [(TRACE, SEARCHED), (TRACE_1M[~TRACE_1M.search.isin(OF_ARMS)],
                                                              LARGE.keys() - SHARED_1M.keys())], ids=['100k', '1m'])
def test_every_searched_model_had_the_same_budget(trace, names):
    trials = trace.groupby('search').size()
    assert set(trials.index) == set(names) and trials.nunique() == 1


def test_every_search_of_the_plan_is_kept_and_its_entries_have_a_space():
    trials = pd.read_csv(RESULTS/'nested.csv', dtype=dict(fold=str))
    kept = trials.groupby(['fold', 'search']).size()
    assert set(kept) == {plan.N_TRIALS}
    for entries, folds in ((plan.ENTRIES, (*plan.FOLDS, *plan.OTHER_SPLITS)), (plan.OTHERS, plan.FOLDS)):
        assert {(f, e.search) for e in entries.values() for f in folds} <= set(kept.index)
    assert all(e.space and set(settings_names(e)) == set(e.space) for e in plan.EVERY.values() if e.search)


def settings_names(entry): return json.loads(TRIAL_OF[entry.search])


TRIAL_OF = pd.read_csv(RESULTS/'nested.csv').drop_duplicates('search').set_index('search').params

"The settings of the registry are those that the search found."
import json
from pathlib import Path

import pandas as pd
import pytest

from movielens_ce.registry import MODELS

TRACE = pd.read_csv(Path(__file__).parent.parent/'answer/results/tuning.csv')
SEARCHED = [m for m, e in MODELS.items() if e.source == 'searched']


def settings_of(trial):
    "The settings of a trial, as an `Entry` has them."
    return dict(lr=trial.lr, wd=trial.wd, wd_of=json.loads(trial.wd_of), n_epoch=trial.n_epoch, bs=trial.bs,
                options=json.loads(trial.options))


@pytest.mark.parametrize('name', SEARCHED)
def test_settings_are_the_best_trial(name):
    trials = TRACE[TRACE.model == name]
    best = settings_of(trials.loc[trials.value.idxmin()])
    assert {k: getattr(MODELS[name], k) for k in best} == best


def test_every_searched_model_had_the_same_budget():
    trials = TRACE.groupby('model').size()
    assert set(trials.index) == set(SEARCHED) and trials.nunique() == 1

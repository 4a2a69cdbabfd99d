"The settings of the registry are those that the search found."
import json
from pathlib import Path

import pandas as pd
import pytest

from movielens_ce.registry import MODELS

TRACE = pd.read_csv(Path(__file__).parent.parent/'benchmarks/results/tuning.csv')


@pytest.mark.parametrize('name', [m for m in MODELS if not m.startswith(('book_', 'fastai_'))])
def test_settings_are_the_best_trial(name):
    trials = TRACE[TRACE.model == name]
    assert len(trials) == TRACE.groupby('model').size().iloc[0]                  # the same budget for all
    best, settings = trials.loc[trials.value.idxmin()], MODELS[name].settings
    wd = json.loads(str(best.wd))
    assert (settings['lr'], settings['n_epoch'], settings['bs']) == (best.lr, best.n_epoch, best.bs)
    assert json.loads(str(settings['wd'])) == wd and json.loads(settings['options']) == json.loads(best.options)

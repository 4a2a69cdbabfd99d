"A device without 64-bit floats, such as Apple's MPS: what is computed in float64 leaves the device first."
import sys
import weakref

import numpy as np
import pandas as pd
import pytest
import torch

# they give Learner its no_bar and its fit_one_cycle
from fastai.callback import progress, schedule  # noqa: F401
from fastai.learner import Learner

from movielens_ce.compare.entries import MODELS
from movielens_ce.data.loaders import rating_dls
from movielens_ce.data.splits import random_split
from movielens_ce.scoring import metrics
from movielens_ce.scoring.posthoc import fit_gaussian
from movielens_ce.scoring.predictions import as_metric, predict, score
from movielens_ce.training.loop import fit_one_cycle
from movielens_ce.use.recommender import Recommender, train_on_all
from movielens_ce.use.storage import load_model


@pytest.fixture(autouse=True)
def no_float64(monkeypatch):
    "In the package, `.double()` is allowed only for a tensor that `.cpu()` returned."
    left, cpu, double = {}, torch.Tensor.cpu, torch.Tensor.double

    def leave(self, *args, **kwargs):
        moved = cpu(self, *args, **kwargs).clone()
        left[id(moved)] = weakref.ref(moved)
        return moved

    def widen(self, *args, **kwargs):
        was = left.get(id(self))
        if 'movielens_ce' in sys._getframe(1).f_globals['__name__'] and not (was and was() is self):
            raise TypeError("the device doesn't support float64")
        return double(self, *args, **kwargs)
    monkeypatch.setattr(torch.Tensor, 'cpu', leave)
    monkeypatch.setattr(torch.Tensor, 'double', widen)


@pytest.mark.parametrize('name', ['dot', 'dot_softmax', 'dot_ordinal', 'nn', 'implicit', 'ordinal'])
def test_from_training_to_lists(name, made_up):
    entry = MODELS[name]
    dls = rating_dls(made_up, random_split(0, made_up), target=entry.target, context=entry.context, bs=64, device='cpu',
                     user_features=pd.DataFrame(dict(age=[20, 30, 40]), index=[100, 101, 999]) if name == 'dot'
                     else None)
    torch.manual_seed(0)
    model = entry.make(dls)
    fit_one_cycle(model, dls, n_epoch=1, lr_max=.02, loss_func=entry.loss_func, seed=0, progress=False)
    head = fit_gaussian(model, dls.valid) if entry.target == 'rating' else None
    assert np.isfinite(list(score(predict(model, dls.valid, head)).values())).all()
    learn = Learner(dls, model, metrics=[as_metric(metrics.rmse)])
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(1, .01)
    rec = Recommender(model, dls, head)
    assert len(rec.top_n(3)) == 3*len(rec.users) and len(rec.similar_items(1000, 3)) == 3
    assert np.isfinite(rec.fold_in({1000: 5, 1001: 1}).top_n(3).score).all()
    if name in ('dot_ordinal', 'implicit', 'ordinal'): assert np.isfinite(rec.why(100, 1000, timestamp=5).share.sum())


@pytest.mark.parametrize('name', ['dot_fitted', 'ordinal'])
def test_fitted_heads_and_saved_models(name, made_up, tmp_path):
    rec = train_on_all(name, made_up, n_epoch=1)
    rec.save(tmp_path/'m')
    np.testing.assert_array_equal(load_model(tmp_path/'m').predictions(made_up).probs, rec.predictions(made_up).probs)
    assert len(rec.top_n(2, by='top')) == 60

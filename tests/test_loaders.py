"rating_dls as fastai's loaders: what a Learner asks of them."
import numpy as np
import pytest
import torch
from fastai.tabular.all import CrossEntropyLossFlat, Learner, MSELossFlat, accuracy
from hypothesis import given, settings
from hypothesis import strategies as st

from movielens_ce.data.loaders import RatingDL, rating_dls
from movielens_ce.data.scale import RatingScale
from movielens_ce.data.splits import random_split
from movielens_ce.models.models import CollabNN, DotProductBias


@pytest.fixture
def dls(made_up): return rating_dls(made_up, random_split(0, 600), target='class', bs=32, device='cpu')


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 300), bs=st.integers(1, 70), seed=st.integers(0, 99))
def test_every_row_exactly_once(made_up, n, bs, seed):
    ds = rating_dls(made_up, random_split(0, 600), device='cpu').train_ds.of(made_up.head(n))
    ds = ds.like(ds.x_cat, torch.arange(n)[:, None])
    torch.manual_seed(seed)
    batches = [y for _, y in RatingDL(ds, bs=bs, shuffle=True, device='cpu')]
    assert len(batches) == len(RatingDL(ds, bs=bs, shuffle=True))
    assert sorted(torch.cat(batches).flatten().tolist()) == list(range(n))


def test_learner_trains_and_predicts_in_order(dls, made_up):
    learn = Learner(dls, CollabNN.from_dls(dls, n_act=8), loss_func=CrossEntropyLossFlat(), metrics=accuracy)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(2, 1e-2)
        preds, targs = learn.get_preds()
        _, _, decoded = learn.get_preds(with_decoded=True)
        shuffled = learn.get_preds(dl=dls.train)[1]
    assert preds.shape == (120, 10) and torch.allclose(preds.sum(1), torch.ones(120), atol=1e-5)
    assert targs.equal(dls.valid_ds.tensors[1]) and decoded.shape == (120,)
    # get_preds puts a shuffled loader back in order
    assert shuffled.equal(dls.train_ds.tensors[1])


def test_lr_find(dls):
    learn = Learner(dls, CollabNN.from_dls(dls, n_act=8), loss_func=CrossEntropyLossFlat())
    with learn.no_bar(), learn.no_logging(): found = learn.lr_find(num_it=20, show_plot=False)
    assert 0 < found.valley < 10


def test_drop_last_and_new(dls):
    dl = dls.train.new(drop_last=True, bs=50)
    assert [len(y) for _, y in dl] == [50]*9 and len(dl) == 9
    assert dls.valid.new(bs=7).one_batch()[0].shape == (7, 2)


def test_show_batch_and_vocabulary(dls, capsys):
    dls.show_batch(max_n=3)
    assert dls.vocab == [.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5] and dls.c == 10
    assert dls.classes['user'][0] == '#na#' and dls.n_users == len(dls.classes['user'])


def test_same_batches_as_plain_slicing(made_up):
    dls = rating_dls(made_up, (np.arange(500), np.arange(500, 600)), bs=64, device='cpu')
    torch.manual_seed(3)
    x, y = next(iter(dls.train))
    torch.manual_seed(3)
    rows = torch.randperm(500)[:64].numpy()
    assert (y.flatten().numpy() == made_up.rating.to_numpy(np.float32)[rows]).all()
    assert [dls.classes['user'][i] for i in x[:, 0]] == made_up.user.iloc[rows].tolist()


def test_regression_learner(made_up):
    dls = rating_dls(made_up, device='cpu')
    learn = Learner(dls, DotProductBias.from_dls(dls, 4), loss_func=MSELossFlat())
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(1, 1e-2)
    assert dls.c == 1 and np.isfinite(learn.recorder.values[-1]).all()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-20, 20), min_size=2, max_size=12, unique=True), st.sampled_from([1, .5, .1, 10]))
def test_scale_round_trip(values, step):
    ratings = np.array(sorted(values))*step
    scale = RatingScale.from_ratings(ratings, max_levels=500)
    np.testing.assert_allclose(scale.to_rating(scale.to_class(ratings)), ratings, atol=1e-6)
    assert list(scale.to_class(scale.levels)) == list(range(scale.n_classes))

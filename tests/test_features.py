"""Columns of users and items as a part of every model:
what they add for ids without ratings, and that nothing else breaks."""
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from movielens_ce.compare.entries import MODELS
from movielens_ce.compare.fit import train
from movielens_ce.data.features import Features
from movielens_ce.data.ids import vocabulary
from movielens_ce.data.loaders import rating_dls
from movielens_ce.data.scale import RatingScale
from movielens_ce.scoring.gaussian import Gaussian
from movielens_ce.scoring.metrics import rmse
from movielens_ce.scoring.predictions import predict
from movielens_ce.training.loop import fit_one_cycle
from movielens_ce.training.losses import LOSSES
from movielens_ce.training.newcomers import fit_unknown
from movielens_ce.training.stack import fit_stack
from movielens_ce.use import foldin
from movielens_ce.use.recommend import top_n
from movielens_ce.use.recommender import train_on_all
from movielens_ce.use.storage import load_model

LOOP = [m for m, e in MODELS.items() if e.trainer == 'loop']
every_entry = pytest.mark.parametrize('name', LOOP)
STARS = RatingScale((1, 2, 3, 4, 5))


@pytest.fixture(scope='module')
def town():
    "Ratings that depend on who one is (`job`) and on what it is (`kind`), and the columns of everybody and everything."
    rng = np.random.default_rng(0)
    users = pd.DataFrame(dict(job=rng.choice(['baker', 'clown'], 60), age=rng.integers(20, 70, 60)),
                         index=range(100, 160))
    items = pd.DataFrame(dict(kinds=[['sweet'], ['sad', 'old']]*20, year=rng.integers(1950, 2000, 40)),
                         index=range(1, 41))
    pairs = pd.MultiIndex.from_product([users.index, items.index], names=['user', 'item']).to_frame(index=False)
    pairs = pairs.sample(1600, random_state=0).reset_index(drop=True)
    likes = (users.job[pairs.user] == 'baker').to_numpy() == (items.kinds[pairs['item']].str.len() == 1).to_numpy()
    ratings = pairs.assign(rating=np.clip(np.where(likes, 4, 2) + rng.integers(-1, 2, len(pairs)), 1, 5),
                           timestamp=np.arange(len(pairs)))
    new = ratings.user.isin(users.index[:8]).to_numpy() | ratings['item'].isin(items.index[:4]).to_numpy()
    return ratings, (np.flatnonzero(~new), np.flatnonzero(new)), dict(user_features=users, item_features=items)


def loaders(town, entry, told=True, **kwargs):
    ratings, splits, features = town
    return rating_dls(ratings, splits, target=entry.target, bs=64, scale=STARS, device='cpu',
                      **features if told else {}, **kwargs)


@pytest.fixture
def built(name, town):
    dls = loaders(town, MODELS[name])
    torch.manual_seed(0)
    return MODELS[name].make(dls), dls


@every_entry
def test_every_row_and_value_gets_gradients(built):
    model, dls = built
    x, *_, y = dls.one_batch()
    model.train()
    LOSSES[dls.target](model(x), y).backward()
    grads = {n: p.grad for n, p in model.named_parameters() if n.endswith('.values')}
    assert {n.split('.')[-2] for n in grads} >= {'user_factors', 'item_factors'}
    assert all(g is not None and g.abs().sum() > 0 for g in grads.values())


@every_entry
def test_a_batch_of_one_is_a_row_of_a_batch(built):
    model, dls = built
    x = dls.train_ds.tensors[0][:9]
    model.eval()
    torch.testing.assert_close(torch.cat([model(x[i:i+1]) for i in range(9)]), model(x))


@every_entry
def test_unrated_pairs_are_what_the_model_says_of_pairs_in_no_set(built):
    model, dls = built
    # a user or an item that has no training rating
    x = dls.valid_ds.tensors[0]
    model.eval()
    torch.testing.assert_close(model.unrated()(x), model(x), atol=1e-5, rtol=1e-5)


@every_entry
def test_fitting_the_unknown_changes_no_known_pair(built):
    model, dls = built
    x = dls.train_ds.tensors[0]
    model.eval()
    before, strange = model(x), model(dls.valid_ds.tensors[0])
    fit_unknown(model, dls)
    assert torch.equal(model(x), before)
    assert not torch.equal(model(dls.valid_ds.tensors[0]), strange)


@pytest.mark.slow(3)
@pytest.mark.parametrize('name', ['dot', 'dot_ordinal', 'nn', 'ordinal_ids'])
def test_ids_without_ratings_are_predicted_better_when_something_is_known_of_them(name, town):
    entry, errors = replace(MODELS[name], n_epoch=12, bs=32, n_members=1), {}
    for told in (False, True):
        fitted, = train(entry, *town[:2], scale=STARS, **town[2] if told else {})
        pred = predict(fitted.model, fitted.dls.valid, 1. if entry.target == 'rating' else None)
        errors[told] = rmse(pred.point(), pred.y)
    assert errors[True] < errors[False] - .1, errors


def test_members_of_a_stack_are_what_they_are_alone(town):
    entry = MODELS['dot_ordinal']
    dls = loaders(town, entry)
    def made(seed):
        torch.manual_seed(seed)
        return entry.make(dls)
    alone, stack = [made(0), made(1)], [made(0), made(1)]
    fit = dict(n_epoch=2, lr_max=.01, unknown=False, progress=False)
    for seed, m in enumerate(alone): fit_one_cycle(m, dls, seed=seed, **fit)
    fit_stack(stack, [dls]*2, seeds=[0, 1], **fit)
    x = dls.valid_ds.tensors[0]
    for a, b in zip(alone, stack): torch.testing.assert_close(a(x), b(x), atol=1e-5, rtol=1e-4)


@every_entry
def test_lists_hold_what_each_pair_is_predicted(built):
    model, dls = built
    best = top_n(model, dls, n=3, users=[100, 130])
    assert set(best.user) == {100, 130}                                      # 100 has no training rating
    mean = predict(model, dls.test_dl(best[['user', 'item']]),
                   Gaussian(1., STARS) if dls.target == 'rating' else None).point()
    np.testing.assert_allclose(best.score, mean, atol=1e-4)
    everything = pd.DataFrame(dict(user=100, item=range(1, 41)))
    assert best.score[0] >= predict(model, dls.test_dl(everything),
                                    1. if dls.target == 'rating' else None).point().max() - 1e-4


@pytest.mark.slow(1)
@every_entry
def test_a_saved_model_keeps_its_features(name, town, tmp_path):
    ratings, splits, features = town
    rec = train_on_all(name, ratings.iloc[splits[0]], n_epoch=1, scale=STARS, **features)
    rec.save(tmp_path/'m')
    again = load_model(tmp_path/'m')
    pairs = pd.DataFrame(dict(user=[100, 130, -1], item=[20, 1, 2]))
    pd.testing.assert_frame_equal(again.predict(pairs), rec.predict(pairs), check_exact=True)
    pd.testing.assert_frame_equal(again.top_n(5), rec.top_n(5), check_exact=True)
    for a, b in zip(again.dls.features, rec.dls.features):
        assert a.names == b.names and torch.equal(a.at, b.at) and torch.equal(a.weight, b.weight)
    assert again.fold_in({20: 5, 21: 1}).top_n(2).user.tolist() == ['new', 'new']


def test_widths_for_the_unknown_hold_for_ids_that_only_have_features(town):
    dls = loaders(town, MODELS['dot'])
    model = MODELS['dot'].make(dls)
    head = Gaussian(.5, STARS, (1., 2., 3.))
    ratings, (train, test), features = town
    pairs = pd.DataFrame(dict(user=[130, 100, 130, 100], item=[20, 20, 1, 1]))
    assert not {100, 1} & {*ratings.user.iloc[train], *ratings['item'].iloc[train]}
    pred = predict(model, dls.test_dl(pairs), head)
    for probs, point, width in zip(pred.probs, pred.point(), (.5, 1., 2., 3.)):
        np.testing.assert_allclose(probs, Gaussian(width, STARS).probs([point])[0], atol=1e-6)


def test_fold_in_takes_the_spread_of_whole_rows(town):
    dls = loaders(town, MODELS['dot'])
    model = MODELS['dot'].make(dls)
    with torch.no_grad(): model.score.user_factors.values.mul_(100)
    rows = torch.cat([model.score.user_factors.weight, model.score.user_bias.weight], 1)[1:].detach().double()
    spread = foldin._prior(model, shrink=0)[1].double()
    torch.testing.assert_close(spread @ spread.T, torch.cov(rows.T), atol=1e-5, rtol=1e-3)


def test_the_unknown_id_has_no_features(town):
    users = pd.DataFrame(dict(job=['baker', 'clown']), index=['#na#', 'Ann'])
    assert Features.of(users, vocabulary(['Ann', '#na#'])).weight[0].sum() == 0


def test_ids_may_be_a_column_and_text_lists_are_split(town):
    ratings, splits, features = town
    users = features['user_features'].rename_axis('user').reset_index()
    items = features['item_features'].assign(kinds=lambda f: f.kinds.str.join('|'))
    dls = rating_dls(ratings, splits, user_features=users, item_features=items, device='cpu')
    plain = loaders(town, MODELS['dot'])
    for a, b in zip(dls.features, plain.features): assert a.names == b.names and torch.equal(a.weight, b.weight)
    assert dls.classes['user'] == plain.classes['user'] and dls.n_users == 61


def test_without_features_nothing_changes(town):
    dls = loaders(town, MODELS['dot'], told=False)
    assert dls.features == (None, None) and dls.train_ds.trained is None and dls.n_users == 53


@pytest.mark.parametrize('users, words', [
    ([1, 2], 'must be a data frame, not list'),
    (pd.DataFrame(dict(job=['a', 'b']), index=[7, 7]), 'features of 7 come twice'),
    (pd.DataFrame(dict(job=[None, None]), index=[7, 8]), 'there are no features'),
    (pd.DataFrame(index=[7, 8]), 'there are no features')])
def test_features_that_cannot_be_used_are_refused(town, users, words):
    with pytest.raises(ValueError, match=words): rating_dls(*town[:2], user_features=users, device='cpu')

"Metrics of lists: against loops and bounds, and every model of the comparison on made-up ratings."
import math

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import quick
from hypothesis import given
from hypothesis import strategies as st

from answer.lists import rows
from movielens_ce.compare.entries import MODELS
from movielens_ce.data.loaders import rating_dls
from movielens_ce.data.splits import random_split
from movielens_ce.use.ranking import (
    ItemBaseline,
    hit_rate,
    mean_rating,
    most_popular,
    ndcg,
    precision,
    rank_scores,
    rank_users,
    rankings,
    recall,
    relevant_items,
)
from movielens_ce.use.recommend import top_n

QUICK = quick(MODELS)
METRICS = dict(hit_rate=hit_rate, precision=precision, recall=recall, ndcg=ndcg)
items = st.integers(0, 12)
users = st.lists(st.tuples(st.lists(items, unique=True, max_size=13), st.sets(items, min_size=1)), min_size=1,
                 max_size=6)


def by_loop(ranked, relevant, n):
    "The four metrics as their definitions say it, user by user and place by place."
    found = {name: [] for name in METRICS}
    for top, wanted in zip(ranked, relevant):
        places = [k for k, item in enumerate(top[:n], 1) if item in wanted]
        best = sum(1/math.log2(k + 1) for k in range(1, min(n, len(wanted)) + 1))
        found['hit_rate'].append(bool(places))
        found['precision'].append(len(places)/n)
        found['recall'].append(len(places)/len(wanted))
        found['ndcg'].append(sum(1/math.log2(k + 1) for k in places)/best)
    return {name: sum(values)/len(values) for name, values in found.items()}


@given(users, st.integers(1, 15))
def test_agree_with_a_loop_and_stay_within_bounds(users, n):
    ranked, relevant = zip(*users)
    found = {name: f(ranked, relevant, n) for name, f in METRICS.items()}
    assert found == pytest.approx(by_loop(ranked, relevant, n))
    assert all(0 <= value <= 1 + 1e-12 for value in found.values())
    assert found['hit_rate'] >= max(found['precision'], found['recall']) - 1e-12
    assert found['hit_rate'] >= found['ndcg'] - 1e-12


@given(st.lists(st.tuples(st.lists(items, unique=True), items), min_size=1, max_size=6), st.integers(1, 15))
def test_with_one_relevant_item_recall_is_the_hit_rate(users, n):
    ranked, relevant = [u[0] for u in users], [{u[1]} for u in users]
    assert recall(ranked, relevant, n) == pytest.approx(hit_rate(ranked, relevant, n))
    assert precision(ranked, relevant, n) == pytest.approx(hit_rate(ranked, relevant, n)/n)


@given(users, st.integers(1, 14))
def test_a_longer_list_has_no_fewer_hits(users, n):
    ranked, relevant = zip(*users)
    for f in (hit_rate, recall): assert f(ranked, relevant, n + 1) >= f(ranked, relevant, n) - 1e-12


@given(users, st.integers(1, 15))
def test_relevant_items_first_are_perfect(users, n):
    relevant = [u[1] for u in users]
    ranked = [[*wanted, *(set(range(13)) - wanted)] for wanted in relevant]
    assert ndcg(ranked, relevant, n) == pytest.approx(1) and hit_rate(ranked, relevant, n) == 1
    assert recall(ranked, relevant, 13) == 1


class Oracle(torch.nn.Module):
    "Knows the test ratings: 1 for a pair of theirs, 0 for any other."
    def __init__(self, x): super().__init__(); self.known = {tuple(o) for o in x.tolist()}
    def forward(self, x_cat, x_cont=None): return torch.tensor([float(tuple(o) in self.known) for o in x_cat.tolist()])


@pytest.fixture(scope='module')
def loaders(made_up):
    splits = random_split(0, made_up)
    return rating_dls(made_up, splits, device='cpu'), made_up.iloc[splits[1]], made_up.iloc[splits[0]]


def test_a_perfect_model_gets_1(loaders):
    dls, test, _ = loaders
    liked = test[test.rating >= 4]
    assert set(liked['item']) <= set(dls.classes['item'])
    scores = rank_scores(Oracle(dls.test_dl(liked).dataset.tensors[0]), dls, test, n=30)
    assert {name: scores[f'{name}@30'] for name in ('hit_rate', 'recall',
                                                    'ndcg')} == pytest.approx(dict(hit_rate=1, recall=1, ndcg=1))


@pytest.mark.parametrize('name', QUICK)
# lists of 60 among 40 items are shorter than n
@pytest.mark.parametrize('n', [1, 5, 60])
def test_every_model_agrees_with_a_loop(name, n, made_up):
    splits = random_split(0, made_up)
    torch.manual_seed(0)
    dls = rating_dls(made_up, splits, target=QUICK[name].target, device='cpu')
    model, test, train = QUICK[name].make(dls), made_up.iloc[splits[1]], made_up.iloc[splits[0]]
    liked = {u: set(g['item'][g.rating >= 4]) for u, g in test.groupby('user') if (g.rating >= 4).any()}
    lists = {u: g['item'].tolist() for u, g in top_n(model, dls, n).groupby('user')}
    for u, found in lists.items(): assert not set(found) & set(train['item'][train.user == u])
    want = by_loop([lists[u] for u in liked], liked.values(), n)
    scores = rank_scores(model, dls, test, n)
    assert list(scores) == list(rankings(n))
    assert scores == pytest.approx({f'{m}@{n}': want[m] for m in METRICS})


@pytest.mark.parametrize('name', ['dot', 'dot_ce', 'nn_ordinal', 'implicit'])
def test_the_rated_items_alone_agree_with_a_loop(name, made_up):
    splits = random_split(0, made_up)
    torch.manual_seed(0)
    dls = rating_dls(made_up, splits, target=MODELS[name].target, device='cpu')
    model, test = MODELS[name].make(dls), made_up.iloc[splits[1]]
    liked = {u: set(g['item'][g.rating >= 4]) for u, g in test.groupby('user') if (g.rating >= 4).any()}
    every = top_n(model, dls, 1000)
    lists = [[i for i in every['item'][every.user == u] if i in set(test['item'][test.user == u])] for u in liked]
    twice = pd.concat([test, test])                                            # a pair that is there twice counts once
    for rows_of in (test, twice):
        scores = rank_scores(model, dls, rows_of, 3, candidates='rated')
        assert scores == pytest.approx({f'{m}@3': v for m, v in by_loop(lists, liked.values(), 3).items()})


def test_ids_may_be_text_under_other_names(made_up):
    splits = random_split(0, made_up)
    named = made_up.assign(who='u' + made_up.user.astype(str), what='i' + made_up['item'].astype(str),
                           stars=made_up.rating)
    dls = rating_dls(named[['who', 'what', 'stars']], splits, user='who', item='what', rating='stars', device='cpu')
    plain = rating_dls(made_up, splits, device='cpu')
    for make in (most_popular, mean_rating):
        assert rank_scores(make(dls), dls, named.iloc[splits[1]]) == rank_scores(make(plain), plain,
                                                                                 made_up.iloc[splits[1]])


def test_test_rows_may_have_their_ids_as_text(loaders):
    "Else no item of a list would be relevant, and every metric 0."
    dls, test, _ = loaders
    model = most_popular(dls)
    for candidates in ('all', 'rated'):
        want, text = (rank_users(model, dls, t, n=5, candidates=candidates)
                      for t in (test, test.astype(dict(user=str, item=str))))
        assert want.to_numpy().max() > 0
        pd.testing.assert_frame_equal(text, want)


def test_strangers_and_unknown_items(loaders):
    dls, test, _ = loaders
    user = test.user[test.rating >= 4].iloc[0]
    more = pd.DataFrame(dict(user=[9, user], item=[1000, 9], rating=[5., 5.]))
    before, after = (relevant_items(dls, t) for t in (test, pd.concat([test, more])))
    assert list(before.index) == list(after.index) and after[user] == before[user] | {9}
    one = ItemBaseline(np.arange(dls.n_items))
    lost = rank_users(one, dls, pd.concat([test, more]), 60).loc[user]
    recall_before = rank_users(one, dls, test, 60).loc[user, 'recall@60']
    assert lost['recall@60'] == pytest.approx(recall_before*len(before[user])/len(after[user]))


def test_who_has_rated_everything_has_no_list():
    rated = [('ann', i, 5) for i in 'abc'] + [('bob', 'a', 1), ('ann', 'd', 5), ('bob', 'b', 5)]
    ratings = pd.DataFrame(rated, columns=['user', 'item', 'rating'])
    dls = rating_dls(ratings, (np.arange(4), np.arange(4, 6)), device='cpu')
    assert rank_users(most_popular(dls), dls, ratings[4:])['hit_rate@10'].to_dict() == dict(ann=0, bob=1)


def test_the_model_keeps_its_mode(loaders):
    dls, test, _ = loaders
    model = MODELS['dot'].make(dls).train()
    rank_scores(model, dls, test)
    assert model.training


def test_the_table_of_lists_on_made_up_ratings(made_up):
    table = pd.DataFrame(rows(made_up, 'random:0', names=('dot_ce',), n=5))
    assert table.model.tolist() == ['popularity', 'mean_rating', 'dot_ce', 'dot_ce']
    assert table.by.tolist()[2:] == ['mean', 'top']
    assert table.loc[0, ['difference', 'difference_low', 'difference_high']].eq(0).all()
    assert table.rmse.isna().tolist() == [True, False, False, False]
    assert (table.low <= table['ndcg@5']).all() and (table['ndcg@5'] <= table.high).all()
    assert np.allclose(table.difference, table['ndcg@5'] - table.loc[0, 'ndcg@5'])

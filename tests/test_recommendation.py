"Lists for users: every model of the comparison, against a loop; what is refused; how much memory it takes."
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import quick
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from movielens_ce.compare.entries import MODELS
from movielens_ce.data.loaders import rating_dls
from movielens_ce.data.splits import random_split
from movielens_ce.models.models import DotProductBias
from movielens_ce.models.sets import SetEmbedding
from movielens_ce.use.recommend import factors, top_n

QUICK = quick(MODELS)
every_model = pytest.mark.parametrize('name', QUICK)
every_trained = pytest.mark.parametrize('name', [m for m, e in QUICK.items() if e.trainer != 'posterior'])


def made(name, ratings, **kwargs):
    "The model called `name`, its weights large enough that scores differ, and its loaders."
    torch.manual_seed(0)
    dls = rating_dls(ratings, random_split(0, ratings), target=QUICK[name].target, bs=16, device='cpu', **kwargs)
    model = QUICK[name].make(dls)
    with torch.no_grad():
        for p in model.parameters(): p.add_(torch.randn_like(p)*.3)
    return model, dls


@torch.no_grad()
def scores(model, dls, user):
    "Expected rating of every item for `user`, by `forward`: a series by item id."
    x = dls.test_dl(pd.DataFrame(dict(user=user, item=list(dls.classes['item'][1:])))).dataset.tensors[0]
    out = model.eval()(x)
    if dls.target == 'class': out = out.softmax(1) @ torch.tensor(dls.scale.levels)
    return pd.Series(out.reshape(-1).numpy(), list(dls.classes['item'][1:]))


@every_model
def test_agrees_with_a_loop(name, made_up):
    model, dls = made(name, made_up)
    train = made_up.iloc[random_split(0, made_up)[0]]
    lists = top_n(model, dls, 5)
    assert lists.groupby('user').size().eq(5).all() and lists.user.nunique() == 30
    for user, mine in lists.groupby('user'):
        left = scores(model, dls, user).drop(train['item'][train.user == user])
        best = left.sort_values(ascending=False)[:5]
        np.testing.assert_allclose(mine.score, best, rtol=1e-5)
        np.testing.assert_allclose(mine.score, left[mine['item']], rtol=1e-5)
        assert mine['rank'].tolist() == [1, 2, 3, 4, 5] and mine['item'].is_unique


@every_model
def test_seen_items_can_stay(name, made_up):
    model, dls = made(name, made_up)
    lists = top_n(model, dls, 1000, users=[110, 105], exclude_seen=False)
    assert list(lists.user.unique()) == [110, 105]                          # in the order asked for
    assert (lists.groupby('user')['item'].nunique() == dls.n_items - 1).all()   # every item there is, and no unknown
    # rated pairs are in sets: their scores are the model's own
    for user, mine in lists.groupby('user'):
        np.testing.assert_allclose(mine.score, scores(model, dls, user)[mine['item']], rtol=1e-5)


@every_model
def test_users_and_chunks_change_nothing(name, made_up):
    model, dls = made(name, made_up)
    whole = top_n(model, dls, 4)
    for chunk in (1, 7, 30):
        part = top_n(model, dls, 4, users=list(dls.classes['user'][1:]), chunk=chunk)
        assert (part[['user', 'rank']] == whole[['user', 'rank']]).all(axis=None)
        np.testing.assert_allclose(part.score, whole.score, rtol=1e-5)


class LargestTensor(TorchDispatchMode):
    "Notes the most elements of any tensor that an operation makes anew."
    def __init__(self, model, dls):
        super().__init__()
        self.most, self.own = 0, {t.untyped_storage().data_ptr()
                                  for t in [*model.parameters(), *model.buffers(), *dls.train_ds.tensors]}
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        new = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor) and t.layout == torch.strided and t.numel()
               and t.untyped_storage().data_ptr() not in self.own]
        self.most = max([self.most, *(t.numel() for t in new)])
        return out


@every_trained
@pytest.mark.parametrize('chunk', (8, 40))
def test_memory_is_bounded_by_the_chunk(name, chunk):
    rng = np.random.default_rng(0)
    n_users, n_items = 60, 150
    pairs = rng.permutation(n_users*n_items)[:1500]
    ratings = pd.DataFrame(dict(user=pairs//n_items, item=pairs%n_items, rating=rng.integers(1, 6, 1500)))
    model, dls = made(name, ratings, full_vocab=True)
    with LargestTensor(model, dls) as seen: top_n(model, dls, 10, chunk=chunk)
    # they sum over the training pairs, once a batch: a table of their owners
    sets = [m for m in model.modules() if isinstance(m, SetEmbedding)]
    own = max([2*len(m.key) for m in sets] + [m.shape[0]*m.weight.shape[-1] for m in sets], default=0)
    # a table of one sample, and the rows of the first two pairs in all samples
    if hasattr(model, 'samples'):
        own = max(model.items[0].numel(), 2*model.users[:, 0].numel())
    assert 0 < seen.most <= max(chunk*dls.n_items, own)


def test_works_through_a_learner(made_up):
    from fastai.learner import Learner
    model, dls = made('dot', made_up)
    pd.testing.assert_frame_equal(top_n(Learner(dls, model, loss_func=torch.nn.MSELoss()), dls, 3),
                                  top_n(model, dls, 3))


def test_titles_and_names_as_ids(made_up):
    named = made_up.assign(user='u' + made_up.user.astype(str), title='Film ' + made_up['item'].astype(str))
    dls = rating_dls(named, random_split(0, 600), item='title', device='cpu')
    model = DotProductBias.from_dls(dls, 4)
    lists, (users, items) = top_n(model, dls, 2), factors(model, dls)
    assert list(lists.columns) == ['user', 'item', 'rank', 'score'] and items.index.name == 'title'
    assert set(lists['item']) <= set(items.index) and set(lists.user) == set(users.index)


def test_factors_make_the_scores(made_up):
    model, dls = made('dot', made_up)
    users, items = factors(model, dls)
    f = [c for c in users if c != 'bias']
    score = users[f].to_numpy() @ items[f].to_numpy().T + users.bias.to_numpy()[:, None] + items.bias.to_numpy()
    got = top_n(model, dls, 1, exclude_seen=False)
    assert list(got['item']) == list(items.index[score.argmax(1)])


@pytest.mark.parametrize('kwargs, says', [(dict(users=[100, 999, -1]), 'unknown user 999, -1'),
                                          (dict(users='999'), 'unknown user 999'),
                                          (dict(users='0100'), 'unknown user 0100'), (dict(n=0), 'n must be'),
                                          (dict(n=-3), 'n must be'), (dict(chunk=0), 'chunk must be'),
                                          (dict(by='rank'), "'mean' or 'top'")])
def test_mistakes_get_a_line(kwargs, says, made_up):
    model, dls = made('dot', made_up)
    with pytest.raises(ValueError, match=says) as e: top_n(model, dls, **kwargs)
    assert '\n' not in str(e.value)


def test_users_may_be_written_as_text(made_up):
    dls = rating_dls(made_up, random_split(0, made_up), bs=16, device='cpu')
    model = DotProductBias.from_dls(dls, 3)
    want = top_n(model, dls, 4, users=[103, 100])
    for users in (['103', '100'], [103., 100.], [103, '100', 103], pd.Series(['103', '100'], index=[7, 3])):
        pd.testing.assert_frame_equal(top_n(model, dls, 4, users=users), want)
    pd.testing.assert_frame_equal(top_n(model, dls, 4, users='100'), top_n(model, dls, 4, users=100))


def test_no_users_is_no_mistake(made_up):
    model, dls = made('dot', made_up)
    assert list(top_n(model, dls, users=[]).columns) == ['user', 'item', 'rank', 'score']
    assert not len(top_n(model, dls, users=[]))


def test_models_without_factors(made_up):
    _, dls = made('dot', made_up)
    with pytest.raises(ValueError, match='no tables of user and item factors'): factors(torch.nn.Linear(2, 1), dls)
    with pytest.raises(ValueError, match='3 user rows'): factors(DotProductBias(3, 4, 2), dls)


def test_real_ratings(ml):
    "On MovieLens an untrained model recommends 50 items to all 943 users, none of them seen."
    splits = random_split(0, ml.ratings)
    dls = rating_dls(ml.ratings, splits, device='cpu')
    lists = top_n(DotProductBias.from_dls(dls), dls)
    assert len(lists) == 943*50
    train = ml.ratings.iloc[splits[0]]
    assert not len(lists.merge(train, on=['user', 'item']))

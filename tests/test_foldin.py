"New users of every model: what fold-in finds, what it leaves alone, and what it refuses."
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from movielens_ce.compare.entries import MODELS
from movielens_ce.data.loaders import rating_dls
from movielens_ce.data.splits import random_split
from movielens_ce.models.models import DotProductBias, Ensemble
from movielens_ce.scoring.predictions import predict
from movielens_ce.training.loop import fit_one_cycle
from movielens_ce.training.losses import LOSSES
from movielens_ce.use.foldin import fold_in, new_user_dls
from movielens_ce.use.recommend import top_n

OURS = [m for m, e in MODELS.items() if e.trainer == 'loop']
every_model = pytest.mark.parametrize('name', OURS)


def trained(name, ratings, n_epoch=4):
    entry = MODELS[name]
    torch.manual_seed(0)
    dls = rating_dls(ratings, random_split(0, ratings), target=entry.target, bs=16, device='cpu', context=entry.context)
    model = entry.make(dls)
    fit_one_cycle(model, dls, n_epoch, .02, loss_func=entry.loss_func, seed=0, progress=False)
    return model, dls


def mean_of(model, dls, frame):
    return predict(model, dls.test_dl(frame), 1. if dls.target == 'rating' else None).point()


@pytest.mark.parametrize('name', ['dot', 'ordinal'])
def test_a_model_of_one_user_takes_another(name, made_up):
    "The spread of the trained users is not known: a new user stays near the unknown one."
    one = made_up[made_up.user == made_up.user[0]].reset_index(drop=True)
    model, dls = trained(name, one, 1)
    items = list(dls.classes['item'][1:])
    new, new_dls = fold_in(model, dls, {items[0]: dls.scale.high})
    points = mean_of(new, new_dls, pd.DataFrame(dict(user=['new', 'nobody'], item=items[1])))
    assert np.isfinite(points).all() and abs(points[0] - points[1]) < .1


@every_model
def test_a_new_user_is_folded_in_and_nothing_else_changes(name, made_up):
    model, dls = trained(name, made_up)
    before = {n: t.clone() for n, t in model.state_dict().items()}
    items = list(dls.classes['item'][1:])
    liked, disliked = ({i: r for i in items[:12]} for r in (5., 1.))
    means = {}
    for what, ratings in dict(liked=liked, disliked=disliked).items():
        new, new_dls = fold_in(model, dls, ratings)
        means[what] = mean_of(new, new_dls, pd.DataFrame(dict(user='new', item=items[12:]))).mean()
        unknown = pd.DataFrame(dict(user='nobody', item=items))
        np.testing.assert_array_equal(mean_of(new, new_dls, unknown),
                                      mean_of(new, new_dls, unknown.assign(user='somebody')))
        lists = top_n(new, new_dls, 5)
        assert not set(lists['item']) & set(items[:12]) and lists.user.eq('new').all()
    # its random line of logits learns next to nothing
    if name != 'book_dot_ce': assert means['disliked'] < means['liked']
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())


@pytest.mark.parametrize('name', [m for m in OURS if MODELS[m].loss_func])
def test_a_new_user_is_found_with_the_loss_of_the_model(name, made_up):
    model, dls = trained(name, made_up)
    rated, own = {i: 5. for i in list(dls.classes['item'][1:])[:12]}, MODELS[name].loss_func
    losses = []
    for loss_func in (own, None):
        new, new_dls = fold_in(model, dls, rated, loss_func=loss_func)
        with torch.no_grad(): losses.append((own(new(new_dls.train_ds.x_cat), new_dls.train_ds.y)).item())
    assert losses[0] != losses[1]
    same = fold_in(model, dls, rated, loss_func=LOSSES['class'])[0]
    standard = fold_in(model, dls, rated)[0]
    assert torch.equal(same.score.user_factors.weight, standard.score.user_factors.weight)


@every_model
def test_somebody_who_has_rated_nothing_known_is_unknown(name, made_up):
    model, dls = trained(name, made_up, 1)
    with pytest.warns(UserWarning, match='does not know 1 of 2 items'):
        new, new_dls = fold_in(model, dls, pd.DataFrame(dict(user=['new', 'other'],
                                                             item=['no such film', dls.classes['item'][1]], rating=3.)))
    pairs = pd.DataFrame(dict(user=['new', 'nobody'], item=list(dls.classes['item'][1:3])))
    same = pairs.assign(user=-1)
    # a stranger has no other ratings: a context of 0
    if dls.cont_names: same['timestamp'] = 0
    np.testing.assert_allclose(mean_of(new, new_dls, pairs), mean_of(model, dls, same), atol=1e-5)


@pytest.mark.parametrize('name', ['dot', 'ordinal_ids'])
def test_items_count_in_whatever_form_their_ids_are_written(name, made_up):
    """Whole numbers, text, numbers with a point; and a dict, a Series or a frame.
    What the model does not know is refused, and not ignored."""
    model, dls = trained(name, made_up)
    mine = {1000: 5., 1003: 1., 1007: 4.}
    pairs = pd.DataFrame(dict(user='new', item=list(dls.classes['item'][1:])))
    want = mean_of(*fold_in(model, dls, mine, width=1. if name == 'dot' else None), pairs)
    text = {str(i): r for i, r in mine.items()}
    for form in (text, pd.Series(mine), {float(i): r for i, r in mine.items()},
                  pd.DataFrame(dict(user='new', item=[*text], rating=[*mine.values()]))):
        np.testing.assert_array_equal(mean_of(*fold_in(model, dls, form, width=1. if name == 'dot' else None), pairs),
                                      want)
    for strange in ({777: 5.}, {'x': 5., '01000': 1.}, {None: 3., 'y': 2.}):
        with pytest.raises(ValueError, match='knows none of these items|missing'): fold_in(model, dls, strange)
    with pytest.raises(ValueError, match='repeat'): fold_in(model, dls, {1000: 5., '1000': 4.})


@pytest.mark.parametrize('name', ['dot', 'ordinal_ids'])
def test_people_do_not_touch_each_other(name, made_up):
    model, dls = trained(name, made_up)
    people = made_up[made_up.user < 106].assign(user=lambda f: 'u' + f.user.astype(str))
    together, all_dls = fold_in(model, dls, people, width=1.)
    for user, mine in people.groupby('user'):
        alone, alone_dls = fold_in(model, dls, mine, width=1.)
        pairs = pd.DataFrame(dict(user=user, item=list(dls.classes['item'][1:])))
        np.testing.assert_allclose(mean_of(together, all_dls, pairs), mean_of(alone, alone_dls, pairs), atol=1e-4)


def test_members_are_folded_in_one_by_one(made_up):
    (a, dls), (b, _) = trained('dot', made_up), trained('dot', made_up, 2)
    both, new_dls = fold_in(Ensemble([a, b], 'rating'), dls, {1000: 5.}, width=1.)
    pairs = pd.DataFrame(dict(user='new', item=[1001, 1002]))
    each = [mean_of(*fold_in(m, dls, {1000: 5.}, width=1.), pairs) for m in (a, b)]
    np.testing.assert_allclose(mean_of(both, new_dls, pairs), np.mean(each, axis=0), atol=1e-6)


@pytest.mark.parametrize('ratings, says', [
    ({1000: 7.}, 'not on the scale'), ({1000: float('nan')}, 'missing'),
    ({1000: 'good'}, "'good' is not a finite number"), ({}, 'no ratings'),
    (pd.DataFrame(dict(user=[1, 1], item=[1000, 1000], rating=[3., 4.])), 'repeat'),
    (pd.DataFrame(dict(user=[1], item=[1000])), "no column 'rating'")])
def test_ratings_that_cannot_be_used(ratings, says, made_up):
    dls = rating_dls(made_up, random_split(0, made_up), device='cpu')
    with pytest.raises(ValueError, match=says) as e: fold_in(DotProductBias.from_dls(dls, 4), dls, ratings)
    assert '\n' not in str(e.value)


ids = st.one_of(st.integers(-2**63, 2**63 - 1), st.text(max_size=8))


@pytest.mark.filterwarnings('ignore:the model does not know')
@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(ids, st.one_of(st.integers(1000, 1040), ids), st.sampled_from([.5, 3., 5.])), min_size=1,
                max_size=12, unique_by=lambda o: (o[0], o[1])))
def test_any_ids(rows):
    frame = pd.DataFrame(rows, columns=['user', 'item', 'rating']).astype(dict(user=object, item=object))
    rng = np.random.default_rng(0)
    base = pd.DataFrame(dict(user=rng.integers(0, 20, 200), item=rng.integers(1000, 1040, 200),
                             rating=rng.integers(1, 11, 200)/2)).drop_duplicates(['user', 'item'], ignore_index=True)
    dls = rating_dls(base, device='cpu')
    torch.manual_seed(0)
    model, known = DotProductBias.from_dls(dls, 2), set(map(str, dls.classes['item'][1:]))
    if not set(map(str, frame['item'])) & known:
        with pytest.raises(ValueError, match='knows none of these items'): fold_in(model, dls, frame, width=1.)
        return
    try: new, new_dls = fold_in(model, dls, frame, width=1.)
    except ValueError as e:
        assert 'repeat' in str(e)                                                  # 1000 and '1000'
        return
    assert len(new_dls.classes['user']) - 1 == len(set(frame.user)) == new_user_dls(frame, dls).n_users - 1
    assert np.isfinite(mean_of(new, new_dls, frame)).all()

"fit_one_cycle on every model of the package: alone, in stacks, interrupted, on a GPU."
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from movielens_ce.compare.entries import MODELS
from movielens_ce.data.loaders import rating_dls
from movielens_ce.data.splits import random_split
from movielens_ce.models.models import Ensemble
from movielens_ce.models.parts import id_tables
from movielens_ce.scoring.predictions import predict
from movielens_ce.training.loop import fit_one_cycle
from movielens_ce.training.losses import LOSSES
from movielens_ce.training.newcomers import fit_unknown
from movielens_ce.training.stack import fit_stack

OURS = [m for m, e in MODELS.items() if e.trainer == 'loop']


def loaders(made_up, name, device='cpu', seed=0):
    return rating_dls(made_up, random_split(seed, made_up), target=MODELS[name].target, bs=16, device=device,
                      full_vocab=True)


def build(name, dls, seed):
    "A member of the model called `name`, without dropout: a stack and a single run draw different masks."
    torch.manual_seed(seed)
    model = MODELS[name].make(dls)
    for m in model.modules():
        if isinstance(m, nn.Dropout): m.p = 0.
    return model


def difference(a, b):
    return max(float((p.cpu() - q.cpu()).detach().abs().max()) for p, q in zip(a.parameters(), b.parameters()))


@pytest.mark.parametrize('name', OURS)
def test_stack_of_seeds_and_folds_equals_single_runs(name, made_up):
    first = loaders(made_up, name)
    # sets are those of one fold
    folds = [first, first, first if MODELS[name].inputs != 'ids' else loaders(made_up, name, seed=5)]
    alone, stack = ([build(name, d, s) for s, d in enumerate(folds)] for _ in range(2))
    one = [fit_one_cycle(m, d, 2, 1e-2, wd=.1, seed=s, unknown=False, progress=False) for s,
           (m, d) in enumerate(zip(alone, folds))]
    many = fit_stack(stack, folds, 2, 1e-2, wd=.1, seeds=[0, 1, 2], unknown=False, progress=False)
    for s in range(3):
        # after 2 epochs at a high rate; other weights differ by tenths
        assert difference(alone[s], stack[s]) < 5e-5
        np.testing.assert_allclose(many[many.member == s][['train_loss', 'valid_loss']],
                                   one[s][['train_loss', 'valid_loss']], atol=1e-5)


def test_stack_refuses_sets_of_different_folds(made_up):
    folds = [loaders(made_up, 'ordinal', seed=s) for s in (0, 5)]
    with pytest.raises(ValueError, match='same SetEmbedding'):
        fit_stack([build('ordinal', d, 0) for d in folds], folds, 1, 1e-2)


def test_weight_decay_by_name(made_up):
    dls = loaders(made_up, 'dot')
    model = build('dot', dls, 0)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    with pytest.raises(ValueError, match='wd_of names users'): fit_one_cycle(model, dls, 1, 1e-2, wd_of={'users': .1})
    # nothing but decay
    fit_one_cycle(model, dls, 1, 1e-2, wd=30., wd_of=dict(score=0., user_factors=30.), loss_func=lambda out,
                  y: 0*out.sum(), seed=0, unknown=False, progress=False)
    shrunk = {n.removesuffix('.weight'): bool((p.detach().abs() < before[n].abs()).any()) for n,
              p in model.named_parameters()}
    # the innermost name counts
    assert shrunk == {'score.user_factors': True, 'score.item_factors': False, 'score.user_bias': False,
                      'score.item_bias': False}


def test_stack_refuses_layers_that_it_cannot_hold(made_up):
    dls = loaders(made_up, 'nn')

    class Normed(nn.Module):
        def __init__(self): super().__init__(); self.emb, self.norm = nn.Embedding(dls.n_users, 1), nn.BatchNorm1d(1)
        def forward(self, x): return self.norm(self.emb(x[:, 0]))
    with pytest.raises(ValueError, match='not BatchNorm1d'): fit_stack([Normed(), Normed()], [dls]*2, 1, 1e-3)
    other = rating_dls(made_up.head(300), random_split(0, 300), bs=16, device='cpu')
    with pytest.raises(ValueError, match='same number of training rows'):
        fit_stack([build('nn', dls, 0), build('nn', dls, 1)], [dls, other], 1, 1e-3)


def test_stack_keeps_frozen_layers_and_refuses_tied_ones(made_up):
    dls = loaders(made_up, 'dot')
    stack = [build('dot', dls, s) for s in range(2)]
    for m in stack: m.score.item_factors.requires_grad_(False)
    before = [m.score.item_factors.weight.clone() for m in stack]
    fit_stack(stack, [dls]*2, 1, 1e-2, wd=.1, seeds=[0, 1], progress=False)
    assert all(torch.equal(m.score.item_factors.weight, w) for m, w in zip(stack, before))
    tied = [build('dot', dls, s) for s in range(2)]
    for m in tied: m.score.item_bias = m.score.user_bias
    with pytest.raises(ValueError, match='one layer in two places'): fit_stack(tied, [dls]*2, 1, 1e-2)


def test_tuple_batches_of_tabular_loaders(made_up):
    "Batches of three, as TabularDataLoaders make them, train as well."
    from fastai.tabular.all import Categorify, CategoryBlock, TabularDataLoaders
    dls = TabularDataLoaders.from_df(made_up[['user', 'item', 'rating']], procs=[Categorify],
                                     cat_names=['user', 'item'], y_names=['rating'],
                                     y_block=CategoryBlock, valid_idx=list(range(100)), bs=16,
                                     device=torch.device('cpu'))
    from movielens_ce.models.models import DotProductBiasCE
    from movielens_ce.training.losses import cross_entropy
    model = DotProductBiasCE(len(dls.classes['user']), len(dls.classes['item']), 4, len(dls.vocab))
    with pytest.raises(ValueError, match='not of rating_dls'): fit_one_cycle(model, dls, 3, 1e-2)
    losses = fit_one_cycle(model, dls, 3, 1e-2, loss_func=lambda out, y: cross_entropy(out, y.long()), progress=False)
    assert losses.valid_loss.iloc[-1] < np.log(len(dls.vocab))


def test_progress_bar_changes_nothing(made_up, capsys):
    dls = loaders(made_up, 'dot')
    a, b = build('dot', dls, 0), build('dot', dls, 0)
    fit_one_cycle(a, dls, 2, 1e-2, seed=0, progress=True)
    fit_one_cycle(b, dls, 2, 1e-2, seed=0, progress=False)
    assert difference(a, b) == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('name', OURS)
def test_cuda_reaches_the_same_loss(name, made_up):
    losses = [fit_one_cycle(build(name, d, 0).to(d.device), d, 3, 1e-2, seed=0, progress=False).valid_loss.iloc[-1]
              for d in (loaders(made_up, name, device) for device in ('cpu', 'cuda'))]
    assert abs(losses[0] - losses[1]) < .02


def hidden_loss(model, dls, loss_func=None):
    "The loss on every training row with its user hidden, with its item hidden, and with both hidden, row by row."
    def loss(*columns):
        hidden = dls.train_ds.hide(*columns)
        return (loss_func or LOSSES[dls.target])(model.eval()(hidden.x_cat), hidden.y)
    return loss(0) + loss(1) + loss(0, 1)


def slopes_of_row_0(model, dls):
    "The largest slope of that loss in any number of a table's row 0."
    tables = [t.own.weight for t in id_tables(model)]
    return max(float(g[0].abs().max()) for g in torch.autograd.grad(hidden_loss(model, dls), tables))


@pytest.mark.parametrize('name', [m for m in OURS if MODELS[m].source == 'searched'])
def test_the_unknown_rows_are_fitted_and_nothing_else_changes(name, made_up):
    dls = loaders(made_up, name)
    with_rows, without = build(name, dls, 0), build(name, dls, 0)
    train = partial(fit_one_cycle, dls=dls, n_epoch=2, lr_max=1e-2, seed=0, progress=False)
    train(with_rows)
    train(without, unknown=False)
    known = torch.cartesian_prod(torch.arange(1, 5), torch.arange(1, 5))
    assert torch.equal(with_rows(known), without(known))
    before = {n: t.clone() for n, t in with_rows.state_dict().items()}
    fit_unknown(with_rows, dls)
    changed = {n for n, t in with_rows.state_dict().items() if not torch.equal(t[1:], before[n][1:])}
    assert not changed                                                               # row 0 alone may move
    with torch.no_grad(): assert hidden_loss(with_rows, dls) < hidden_loss(without, dls)
    fit_unknown(with_rows, dls, n_steps=1000)
    steep, flat = (slopes_of_row_0(m, dls) for m in (without, with_rows))
    # no other row 0 nearby has a smaller loss
    assert flat < .01 < .03 < steep


@pytest.mark.parametrize('name', [m for m in OURS if MODELS[m].loss_func])
def test_a_model_with_its_own_loss_has_unknown_rows_for_this_loss(name, made_up):
    dls, own = loaders(made_up, name), MODELS[name].loss_func
    by_its_loss, by_standard = build(name, dls, 0), build(name, dls, 0)
    train = partial(fit_one_cycle, dls=dls, n_epoch=2, lr_max=1e-2, loss_func=own, seed=0, progress=False)
    train(by_its_loss)
    train(by_standard, unknown=False)
    fit_unknown(by_standard, dls)
    known = torch.cartesian_prod(torch.arange(1, 5), torch.arange(1, 5))
    assert torch.equal(by_its_loss(known), by_standard(known))
    with torch.no_grad():
        assert hidden_loss(by_its_loss, dls, own) < hidden_loss(by_standard, dls, own)
        assert hidden_loss(by_its_loss, dls) > hidden_loss(by_standard, dls)


def test_a_stack_fits_the_unknown_rows_for_the_loss_of_its_members(made_up):
    dls, own = loaders(made_up, 'dot_rps'), MODELS['dot_rps'].loss_func
    alone, stack = ([build('dot_rps', dls, s) for s in range(2)] for _ in range(2))
    settings = dict(n_epoch=2, lr_max=1e-2, loss_func=own, progress=False)
    for s, m in enumerate(alone): fit_one_cycle(m, dls, seed=s, **settings)
    fit_stack(stack, [dls]*2, seeds=range(2), **settings)
    for a, b in zip(alone, stack):
        with torch.no_grad(): assert abs(hidden_loss(a, dls, own) - hidden_loss(b, dls, own)) < 1e-4


def test_frozen_rows_stay(made_up):
    dls = loaders(made_up, 'dot')
    model = build('dot', dls, 0)
    model.score.user_bias.requires_grad_(False)
    before = model.score.user_bias.weight.clone(), model.score.item_bias.weight.clone()
    fit_unknown(model, dls)
    assert torch.equal(model.score.user_bias.weight, before[0])
    assert not torch.equal(model.score.item_bias.weight, before[1])


def test_an_ensemble_of_trained_members_predicts_without_dropout(made_up):
    dls = loaders(made_up, 'ordinal_ids')
    members = [MODELS['ordinal_ids'].make(dls) for _ in range(2)]
    assert Ensemble(members).training
    fit_stack(members, [dls]*2, 1, 1e-2, seeds=[0, 1], progress=False)
    both = Ensemble(members, 'class')
    first = predict(both, dls.valid).probs
    assert not both.training and (predict(both, dls.valid).probs == first).all()

"The sampler of the posterior: its parts equal closed forms, its whole passes Geweke's test, and broken versions fail."
import json

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sps
import torch
from safetensors.torch import load, save

from movielens_ce.data.context import TimeContext
from movielens_ce.data.loaders import rating_dls
from movielens_ce.scoring.predictions import predict, score
from movielens_ce.training import posterior as module
from movielens_ce.training.likelihoods import GaussianLikelihood, OrdinalLikelihood
from movielens_ce.training.mixing import diagnostics
from movielens_ce.training.posterior import Chain, Posterior, Prior, draw_precision, draw_weights, fit_posterior
from movielens_ce.use.recommend import top_n
from movielens_ce.use.recommender import Recommender
from movielens_ce.use.storage import load_model

F64 = torch.float64


def loaders(ratings, **settings):
    "Loaders of classes, with a column for users and one for items, of which the last id has no ratings."
    users = pd.DataFrame(dict(age=np.arange(100, 131) % 7), index=np.arange(100, 131))
    items = pd.DataFrame(dict(kind=list('abcd')*10 + ['a']), index=np.arange(1000, 1041))
    told = dict(user_features=users, item_features=items) | settings
    return rating_dls(ratings, target='class', device='cpu', **told)


@pytest.fixture(scope='module')
def dls(made_up): return loaders(made_up, context=TimeContext)


@pytest.fixture(scope='module')
def posterior(dls): return fit_posterior(dls, n_factors=3, n_steps=240, burn=100, every=5, n_chains=2)


def log_posterior(chain, theta):
    "The log-density of `theta` given the precisions and weights, written down plainly."
    users, items, raw, weights = chain.split(theta)
    r, k = chain.ratings, chain.n_factors
    a, b = users[r.user], items[r.item]
    value = (a[:, :k]*b[:, :k]).sum(1) + a[:, k] + b[:, k] + chain.context @ weights
    raw = raw + a[:, k+1:] + b[:, k+1:] if a.shape[1] > k + 1 else raw.expand(len(r), -1)
    if isinstance(chain.likelihood, GaussianLikelihood):
        log_p = torch.distributions.Normal(value, raw[:, 0].exp()).log_prob(chain.observed)
    else:
        y = chain.observed[0].sum(1).long() + chain.observed[1].sum(1).long() + (chain.observed[3] > 0)
        log_p = chain.likelihood.log_probs(value, raw).gather(1, y[:, None])[:, 0]
    return log_p.sum() - ((theta - chain.center)**2*chain.precision).sum()/2


@pytest.mark.parametrize('likelihood', [OrdinalLikelihood, GaussianLikelihood])
@pytest.mark.parametrize('offsets', [True, False])
def test_the_gradient_is_that_of_autograd(dls, likelihood, offsets):
    chain = Chain.from_dls(dls, 3, likelihood=likelihood.from_dls(dls), offsets=offsets, dtype=F64)
    for _ in range(3): chain.step(.1, 1.)
    chain.draw()
    chain.theta += .1*chain.noise(chain.theta.shape)
    chain.set_likelihood()
    theta = chain.theta.clone().requires_grad_()
    by_torch, = torch.autograd.grad(log_posterior(chain, theta), theta)
    ours = chain.pull - (chain.theta - chain.center)*chain.precision
    torch.testing.assert_close(ours, by_torch, rtol=1e-9, atol=1e-9)


def test_the_weights_have_the_mean_and_covariance_of_the_closed_form():
    rng, n, m = np.random.default_rng(0), 12, 5
    f = sps.random_array((n, m), density=.5, rng=rng)
    f, ft = (module.from_scipy(o, torch.zeros(0, dtype=F64)) for o in (f, f.T))
    dense, z = f.to_dense(), torch.from_numpy(rng.normal(size=(n, 1)))
    lam, omega = torch.tensor([3.], dtype=F64), torch.full((m, 1), 2., dtype=F64)
    def draw(e1, e2): return draw_weights(f, ft, (dense**2).sum(0)[:, None], z, lam, omega, (e1, e2), tol=1e-12)
    none = torch.zeros(n, 1, dtype=F64), torch.zeros(m, 1, dtype=F64)
    precision = 3*dense.T @ dense + 2*torch.eye(m, dtype=F64)
    mean = draw(*none)
    torch.testing.assert_close(mean, torch.linalg.solve(precision, 3*dense.T @ z))
    unit = [torch.eye(k, dtype=F64).split(1, 1) for k in (n, m)]                # the draw is linear in its noise
    moved = [draw(e, none[1]) - mean for e in unit[0]] + [draw(none[0], e) - mean for e in unit[1]]
    root = torch.cat(moved, 1)
    torch.testing.assert_close(root @ root.T, torch.linalg.inv(precision))


def test_precisions_have_the_moments_of_the_gamma():
    drawn = draw_precision(np.random.default_rng(0), 6, torch.full((100_000,), 3., dtype=F64), shape=1., rate=.5)
    shape, rate = 1 + 6/2, .5 + 3/2
    assert abs(drawn.mean() - shape/rate) < .02 and abs(drawn.var() - shape/rate**2) < .03


class Joint:
    """A tiny model whose parameters and ratings can be drawn from their joint distribution, alone or by turns of the
    sampler."""
    def __init__(self):
        pairs = [(u, i) for u in range(8) for i in range(6)]
        frame = pd.DataFrame(pairs, columns=['user', 'item']).assign(rating=np.arange(len(pairs)) % 3 + 1.)
        dls = rating_dls(frame, (np.arange(len(pairs)), [0]), target='class', device='cpu')
        self.chain = c = Chain.from_dls(dls, 1, dtype=F64)
        for p in c.priors: p.omega[0] = 4.
        for part in c.split(c.precision)[2:]: part[:] = 4.
        for part in c.split(c.center)[2:]: part[:] = 0.
        c.information[:] = 4.

    def draw(self):
        "Draws all parameters from their prior, then the ratings."
        c = self.chain
        for p in c.priors:
            p.lam = torch.from_numpy(c.rng.gamma(1., 1/.1, len(p.lam)))
            p.omega[1] = torch.from_numpy(c.rng.gamma(1., 1/.05, len(p.lam)))
            omega = p.omega.repeat_interleave(torch.tensor(p.sizes), 0)
            p.w = c.noise(omega.shape)/omega.sqrt()
            p.mean = p.f @ p.w
        c.set_prior()
        c.theta = c.center + c.noise(c.center.shape)/c.precision.sqrt()
        self.rate()

    def rate(self):
        "Draws the ratings given the parameters."
        c = self.chain
        users, items, raw, weights = c.split(c.theta)
        a, b = users[c.ratings.user], items[c.ratings.item]
        value = a[:, 0]*b[:, 0] + a[:, 1] + b[:, 1] + weights[0]
        probs = c.likelihood.log_probs(value, raw + a[:, 2:] + b[:, 2:]).exp()
        self.y = torch.multinomial(probs, 1, generator=c.generator)[:, 0]
        c.observed = c.likelihood.observe(self.y, F64)
        c.set_likelihood()

    def move(self):
        "Moves the parameters by the sampler."
        for _ in range(3):
            for _ in range(4): self.chain.step(.25, .5)
            self.chain.draw()

    def numbers(self):
        "Bounded functions of parameters and ratings."
        c = self.chain
        users, items, raw, weights = c.split(c.theta)
        own = [f for p, z in zip(c.priors, (users, items)) for f in
               (p.lam.log().clamp(-2, 6).mean(), p.omega[1].log().clamp(-2, 6).mean(), p.w.abs().clamp(max=2).mean(),
                z[:, 0].abs().clamp(max=2).mean(), z[:, 2].tanh().mean(), z[:, 2].abs().clamp(max=2).mean())]
        a, b = users[c.ratings.user], items[c.ratings.item]
        value, gap = a[:, 0]*b[:, 0] + a[:, 1] + b[:, 1] + weights[0], a[:, 2] + b[:, 2] + raw[0]
        fits = [(value.clamp(-4, 4)*(self.y - 1)).mean(), (gap.clamp(-4, 4)*((self.y == 1)*1. - .2)).mean()]
        return torch.stack([*own, raw.tanh().mean(), raw.abs().mean(), weights[0], weights[0]**2, *fits]).numpy()


def drift(n):
    """The mean change of each number by the sampler, in standard errors, over `n` draws from the joint distribution.
    The sampler leaves the joint distribution of parameters and ratings as it is, so no mean may change (Geweke,
    2004)."""
    joint, changes = Joint(), []
    for _ in range(n):
        joint.draw()
        before = joint.numbers()
        joint.move()
        changes.append(joint.numbers() - before)
    changes = np.array(changes)
    return np.abs(changes.mean(0))/(changes.std(0)/np.sqrt(n))


def without_raw(gradient):
    "The gradient without the derivatives by the raw parameters."
    def broken(self, score, raw, observed):
        log_p, d_score, d_raw = gradient(self, score, raw, observed)
        return log_p, d_score, 0*d_raw
    return broken


def half_score(gradient):
    "The gradient with half of the derivatives by the score."
    def broken(self, score, raw, observed):
        log_p, d_score, d_raw = gradient(self, score, raw, observed)
        return log_p, d_score/2, d_raw
    return broken


def wrong_rate(draw):
    "The draw of a precision with the whole sum of squares in its rate, not half of it."
    return lambda rng, n, squares, *args, **kwargs: draw(rng, n, 2*squares, *args, **kwargs)


@pytest.mark.slow(10)
def test_the_sampler_leaves_the_joint_distribution_as_it_is(): assert drift(400).max() < 4


@pytest.mark.slow(10)
@pytest.mark.parametrize('place, name, broken', [
    (OrdinalLikelihood, 'gradient', without_raw), (OrdinalLikelihood, 'gradient', half_score),
    (module, 'draw_precision', wrong_rate)])
def test_a_broken_sampler_does_not(monkeypatch, place, name, broken):
    monkeypatch.setattr(place, name, broken(getattr(place, name)))
    assert drift(400).max() > 6


def test_unknown_ids_are_draws_from_the_population():
    n = 2000
    ones, kinds = sps.csr_array(np.ones((4, 1), np.float32)), sps.csr_array(np.float32([[0, 0], [1, 0], [0, 1],
                                                                                        [0, 1]]))
    # row 0 is unknown, row 3 has a column alone
    prior = Prior([ones, kinds], np.array([1, 2]), torch.full((1,), .5))
    prior.w = torch.tensor([[1.], [2.], [5.]])
    tables = torch.stack([prior.table(torch.zeros(2, 1)) for _ in range(n)])[..., 0]
    stranger, told = tables[:, 0], tables[:, 3]
    assert (tables[:, 1:3] == 0).all()                                               # ids with ratings are as they are
    assert abs(told.mean() - 6) < .05 and abs(told.std() - .5) < .02                 # 1 + 5, and the noise of a row
    assert abs(stranger.mean() - 4.5) < .1 and abs(stranger.var() - (.25 + 1.5**2)) < .1       # 1 + 2 or 1 + 5


@pytest.fixture(scope='module')
def noisy():
    "Loaders of 800 ratings of 40 users and 30 items on three levels, by biases and chance."
    rng = np.random.default_rng(0)
    u, i = rng.permutation([(u, i) for u in range(40) for i in range(30)])[:800].T
    score = rng.normal(size=40)[u] + rng.normal(size=30)[i] + rng.logistic(size=800)
    frame = pd.DataFrame(dict(user=u, item=i, rating=np.digitize(score, [-1, 1]) + 1.))
    return rating_dls(frame, target='class', device='cpu')


@pytest.mark.slow(5)
def test_two_chains_agree(noisy):
    model = fit_posterior(noisy, n_factors=1, n_steps=2000, burn=300, every=4, n_chains=2)
    table = diagnostics(model, noisy.valid)
    settled = table.drop(['dot_sd', 'precision'])                # of the factor, which these ratings do not need
    assert settled.r_hat.max() < 1.15 and settled.ess.min() > 20
    one, two = model.samples(noisy.train_ds.x_cat).exp().chunk(2)
    one, two = (o.mean(0) @ torch.arange(3.) for o in (one, two))
    assert (one - two).abs().mean() < .1*one.std() and not torch.equal(one, two)


def test_chains_that_have_not_mixed_are_told(dls):
    short = fit_posterior(dls, n_factors=3, n_steps=40, burn=0, every=2, n_chains=2)
    with pytest.warns(UserWarning, match='have not mixed'): diagnostics(short)


def test_seeds(made_up):
    dls = loaders(made_up)
    def drawn(seed, **settings):
        return fit_posterior(dls, n_factors=2, n_steps=50, burn=40, every=2, seed=seed, **settings).state_dict()
    one, again, other = drawn(0, n_chains=2), drawn(0, n_chains=2, n_workers=2), drawn(1, n_chains=2)
    assert all(torch.equal(t, again[k]) for k, t in one.items())
    assert all(not torch.equal(t, other[k]) for k, t in one.items())
    n = len(one['users'])//2
    assert not torch.equal(one['users'][:n], one['users'][n:])


def test_it_predicts_like_any_model_of_classes(dls, posterior):
    x, c = dls.train_ds.x_cat, dls.train_ds.x_cont
    out = posterior(x, c)
    assert out.shape == (len(x), dls.c) and out.dtype == torch.float32
    torch.testing.assert_close(out.log_softmax(1), out, atol=1e-5, rtol=0)
    torch.testing.assert_close(posterior(x[:7], c[:7]), out[:7])
    assert posterior(x[:1], c[:1]).shape == (1, dls.c) and posterior(x[:0], c[:0]).shape == (0, dls.c)
    assert posterior(torch.zeros(3, 2, dtype=torch.int64)).isfinite().all()
    shares = np.bincount(dls.train_ds.y.flatten(), minlength=dls.c)/len(x)
    constant = -(shares*np.log(np.clip(shares, 1e-9, 1))).sum()
    assert score(predict(posterior, dls.train))['nll'] < constant


def test_it_can_be_saved(dls, posterior):
    x, c = dls.valid_ds.x_cat, dls.valid_ds.x_cont
    again = Posterior.from_config(**json.loads(json.dumps(posterior.config())))
    again.load_state_dict(load(save(posterior.state_dict())))
    assert torch.equal(again(x, c), posterior(x, c)) and not again.training


class Pairs(torch.nn.Module):
    "The same predictions without any other method."
    def __init__(self, model):
        super().__init__()
        self.inner = model

    def forward(self, x_cat, x_cont=None): return self.inner(x_cat, x_cont)


@pytest.mark.parametrize('by', ['mean', 'top'])
def test_lists_are_those_of_the_pairs(dls, posterior, by):
    fast, slow = (top_n(m, dls, 60, by=by, exclude_seen=False) for m in (posterior, Pairs(posterior)))
    assert fast.user.equals(slow.user)
    both = fast.merge(slow, on=['user', 'item'])
    assert len(both) == len(fast)
    np.testing.assert_allclose(both.score_x, both.score_y, atol=1e-5)


def test_similar_items(dls, posterior):
    own = posterior.item_vectors()
    assert own.shape == (28, dls.n_items, 3)
    similar = Recommender(posterior, dls).similar_items(1000, 50, min_ratings=0).set_index('item').similarity
    assert len(similar) == dls.n_items - 2
    plain = torch.cosine_similarity(own[:, 1:], own[:, 1:2], dim=-1).mean(0)[1:]
    np.testing.assert_allclose(similar.sort_index(), plain, atol=1e-5)


def test_similar_items_of_a_model_of_ones_own(dls, posterior):
    class Own(Pairs):
        def item_vectors(self): return torch.arange(2.*dls.n_items).view(-1, 2) - dls.n_items
    similar = Recommender(Own(posterior), dls).similar_items(1000, 50, min_ratings=0).set_index('item').similarity
    own = Own(posterior).item_vectors()[1:]
    np.testing.assert_allclose(similar.sort_index(), torch.cosine_similarity(own, own[:1])[1:], atol=1e-5)
    with pytest.raises(ValueError, match='Pairs has no tables'): Recommender(Pairs(posterior), dls).similar_items(1000)


def test_two_kinds_of_uncertainty(dls, posterior, made_up):
    told = Recommender(posterior, dls).predict(made_up)
    p, levels = told.filter(like='p_').to_numpy(), dls.scale.levels
    total = p @ np.square(levels) - (p @ levels)**2
    np.testing.assert_allclose(told.sd_model**2 + told.sd_noise**2, total, atol=1e-4)
    one = Posterior(posterior.likelihood, *(t[:1] for t in posterior.state_dict().values()), posterior.n_factors)
    assert (Recommender(one, dls).predict(made_up).sd_model == 0).all()
    assert 'sd_model' not in Recommender(Pairs(posterior), dls).predict(made_up)


def test_new_rows_have_the_posterior_of_the_closed_form():
    "With a Gaussian likelihood and no offsets, the row of a new user is Gaussian in each sample."
    gen, (s, n, d) = torch.Generator().manual_seed(0), (3000, 7, 3)
    def normal(*shape): return torch.randn(shape, generator=gen)
    users, items, raw, weights = normal(s, 1, d), normal(s, n, d), .3*normal(s, 1), 3 + normal(s, 1)
    center, spread, sets = normal(s, d), normal(s, d).exp(), normal(s, n, d)
    model = Posterior(GaussianLikelihood((1, 2, 3, 4, 5)), users, items, raw, weights, center, spread, sets, 2)
    x, y = torch.tensor([[2, 1], [1, 5], [2, 3], [2, 4]]), torch.tensor([0, 4, 2, 3])
    new = model.fold_in(x, y, 4, seed=1)
    assert torch.equal(new.users[:, [0, 3]], users.expand(-1, 2, -1))                # nobody, and nothing rated
    for u in (1, 2):
        rated = x[x[:, 0] == u, 1]
        a = torch.cat([items[:, rated, :2], torch.ones(s, len(rated), 1)], 2)
        mean = center + sets[:, rated].sum(1)/len(rated)**.5
        precision = torch.diag_embed(spread**-2) + a.mT @ a/raw.exp()[..., None]**2
        left = 1. + y[x[:, 0] == u] - items[:, rated, 2] - weights - (a @ mean[..., None])[..., 0]
        mean = mean + torch.linalg.solve(precision, (a.mT @ (left/raw.exp()**2)[..., None])[..., 0])
        root = torch.linalg.cholesky(precision)
        z = (root.mT @ (new.users[:, u] - mean)[..., None])[..., 0]
        assert z.mean(0).abs().max() < .1 and (z.T @ z/s - torch.eye(d)).abs().max() < .1


@pytest.mark.parametrize('settings', [dict(sets=False), dict(offsets=False, likelihood='gaussian'), {}])
def test_new_users(dls, made_up, tmp_path, settings):
    rec = Recommender(fit_posterior(dls, 3, n_steps=120, burn=60, **settings), dls)
    items, before = rec.items, {k: t.clone() for k, t in rec.model.state_dict().items()}
    given = {what: {i: r for i in items[:12]} for what, r in dict(liked=5., disliked=1.).items()}
    means = {what: rec.fold_in(g).predict(pd.DataFrame(dict(user='new', item=items[12:]))) for what, g in given.items()}
    assert means['liked'].rating.mean() > means['disliked'].rating.mean() + .5
    frame = pd.concat([pd.DataFrame(dict(user=u, item=[*g], rating=[*g.values()])) for u, g in given.items()])
    both = rec.fold_in(pd.concat([frame, pd.DataFrame(dict(user=['c'], item=items[0], rating=3.))]))
    together = both.predict(pd.DataFrame(dict(user='liked', item=items[12:])))
    np.testing.assert_allclose(together.rating, means['liked'].rating, atol=.01)     # users do not affect each other
    assert set(both.top_n(3).user) == {'liked', 'disliked', 'c'}
    nobody = pd.DataFrame(dict(user='nobody', item=items))
    np.testing.assert_array_equal(both.predict(nobody).rating, rec.predict(nobody).rating)
    both.save(tmp_path/'m')
    pd.testing.assert_frame_equal(load_model(tmp_path/'m').predict(made_up), both.predict(made_up))
    assert all(torch.equal(t, before[k]) for k, t in rec.model.state_dict().items())


def test_a_gaussian_likelihood(dls):
    model = fit_posterior(dls, 3, n_steps=150, burn=80, likelihood='gaussian', offsets=False)
    assert model.users.shape[2] == 4 and model.raw.shape[1] == 1
    assert score(predict(model, dls.train))['rmse'] < np.std(dls.scale.to_rating(dls.train_ds.y.numpy()))


def test_ratings_cannot_be_the_target(made_up):
    with pytest.raises(ValueError, match="target='class'"): fit_posterior(rating_dls(made_up, device='cpu'))

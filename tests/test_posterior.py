"The sampler of the posterior is correct: its parts equal closed forms, its whole passes Geweke's test, and broken versions fail it."
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
from movielens_ce.training.posterior import (Chain, GaussianLikelihood, OrdinalLikelihood, Posterior, Prior, diagnostics,
                                             draw_precision, draw_weights, fit_posterior, mixing)

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
    dense, z, lam, omega = f.to_dense(), torch.from_numpy(rng.normal(size=(n, 1))), torch.tensor([3.], dtype=F64), torch.full((m, 1), 2., dtype=F64)
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
    "A tiny model whose parameters and ratings can be drawn from their joint distribution, alone or by turns of the sampler."
    def __init__(self):
        pairs = [(u, i) for u in range(5) for i in range(4) if (u + i) % 5]
        frame = pd.DataFrame(pairs, columns=['user', 'item']).assign(rating=np.arange(len(pairs)) % 3 + 1.)
        dls = rating_dls(frame, (np.arange(len(pairs)), [0]), target='class', device='cpu')
        self.chain = c = Chain.from_dls(dls, 1, dtype=F64)
        for p in c.priors: p.omega[0] = 4.
        for part in c.split(c.precision)[2:]: part[:] = 4.
        for part in c.split(c.center)[2:]: part[:] = 0.
        c.information[:] = 1.

    def prior(self):
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

    def turn(self, n_steps=3):
        "Moves the parameters by the sampler, then draws the ratings."
        for _ in range(n_steps): self.chain.step(.25, .5)
        self.chain.draw()
        self.rate()

    def numbers(self):
        "Bounded functions of parameters and ratings."
        c = self.chain
        users, items, raw, weights = c.split(c.theta)
        own = [f for p, z in zip(c.priors, (users, items)) for f in
               (p.lam.log().clamp(-2, 6).mean(), p.omega[1].log().clamp(-2, 6).mean(), p.w.abs().clamp(max=2).mean(),
                z[:, 0].abs().clamp(max=2).mean(), z[:, 2].tanh().mean(), z[:, 2].abs().clamp(max=2).mean())]
        levels = [(self.y == k).double().mean() for k in (0, 1)]
        return torch.stack([*own, raw.tanh().mean(), raw.abs().mean(), weights[0], weights[0]**2, *levels]).numpy()


def geweke(n):
    "The largest difference, in standard errors, between means under the joint distribution and under the sampler (Geweke, 2004)."
    joint, alone, turns = Joint(), [], []
    for _ in range(n):
        joint.prior()
        alone.append(joint.numbers())
    for _ in range(n):
        joint.turn()
        turns.append(joint.numbers())
    alone, turns = np.array(alone), np.array(turns)
    sizes = np.array([mixing(o[None])[1] for o in turns.T])
    return np.abs((alone.mean(0) - turns.mean(0))/np.sqrt(alone.var(0)/n + turns.var(0)/sizes)).max()

"What a fastai user does with our loaders: train, show, predict, interpret; and what a mistake is told."
import numpy as np
import pytest
import torch

# they give Learner its no_bar and its fit_one_cycle
from fastai.callback import progress, schedule  # noqa: F401
from fastai.interpret import ClassificationInterpretation, Interpretation
from fastai.learner import Learner

from movielens_ce.compare.experiment import iter_runs
from movielens_ce.data import loaders
from movielens_ce.data.context import TimeContext
from movielens_ce.data.loaders import rating_dls
from movielens_ce.data.splits import random_split
from movielens_ce.models.models import CollabNN, DotProductBias, OrdinalMF
from movielens_ce.scoring import predictions
from movielens_ce.scoring.calibration import expected_calibration_error
from movielens_ce.scoring.intervals import row_losses
from movielens_ce.scoring.metrics import accuracy, rmse
from movielens_ce.scoring.predictions import as_metric

KINDS = dict(rating=('rating', DotProductBias, None), classes=('class', CollabNN, None),
             context=('class', OrdinalMF, TimeContext))


@pytest.fixture(params=KINDS)
def learn(request, made_up):
    "A Learner after an epoch; it was given no loss."
    target, model, context = KINDS[request.param]
    dls = rating_dls(made_up, random_split(0, made_up), target=target, context=context, bs=32, device='cpu')
    torch.manual_seed(0)
    learn = Learner(dls, model.from_dls(dls))
    with learn.no_logging(), learn.no_bar(): learn.fit_one_cycle(1, 5e-3)
    with learn.no_bar(): yield learn


@pytest.fixture
def shown(monkeypatch):
    "The frames that are shown."
    frames = []
    monkeypatch.setattr(loaders, 'display_df', frames.append)
    return frames


def test_loss_follows_the_targets(learn):
    targets = learn.dls.valid_ds.tensors[-1]
    preds, _, losses = learn.get_preds(with_loss=True)
    if learn.dls.target == 'class': want = -preds[torch.arange(len(preds)), targets[:, 0]].log()
    else: want = (preds - targets)[:, 0]**2
    torch.testing.assert_close(losses.flatten(), want, atol=1e-4, rtol=1e-4)


def test_show_results(learn, shown, made_up):
    learn.show_results(max_n=4, shuffle=False)
    frame, = shown
    assert list(frame.columns) == ['user', 'item', 'rating', 'predicted'] and len(frame) == 4
    rated = made_up.iloc[random_split(0, made_up)[1]].head(4)
    np.testing.assert_array_equal(frame.user, rated.user)
    np.testing.assert_allclose(frame.rating.astype(float), rated.rating)
    out = learn.model(*learn.dls.valid.one_batch()[:-1])[:4].detach()
    want = out[:, 0] if learn.dls.target == 'rating' else learn.dls.scale.to_rating(out.argmax(1))
    # shown with four decimals
    np.testing.assert_allclose(frame.predicted.astype(float), want, atol=1e-4)


def test_predict_a_row(learn, made_up):
    row = made_up.iloc[3]
    rating, decoded, out = learn.predict(row)
    with torch.no_grad(): raw = learn.model(*learn.dls.test_dl(made_up.iloc[[3]]).one_batch()[:-1])[0]
    if learn.dls.target == 'rating': assert rating == pytest.approx(raw.item(), abs=1e-5)
    else: assert rating == learn.dls.scale.to_rating(raw.argmax()) and out.sum() == pytest.approx(1, abs=1e-5)
    assert learn.predict(dict(row))[0] == rating
    inputs = learn.predict(row, with_input=True)[0]
    assert (inputs if isinstance(inputs, dict) else inputs[0]) == dict(user=row.user, item=row['item'])


def test_pairs_without_ratings_are_not_scored(learn, shown, made_up):
    "A loss or a metric against ratings that nobody gave would look like a result."
    pairs = learn.dls.test_dl(made_up[['user', 'item']])
    preds, targets = learn.get_preds(dl=pairs)
    assert len(preds) == len(made_up) and targets is None
    learn.metrics = [as_metric(rmse)]
    assert learn.validate(dl=pairs) == [None, None] and min(learn.validate(dl=learn.dls.test_dl(made_up))) > 0
    learn.show_results(dl=pairs, max_n=3, shuffle=False)
    assert list(shown[0].columns) == ['user', 'item', 'predicted']
    pairs.show_batch()
    assert list(shown[1].columns) == ['user', 'item']
    pred = predictions.predict(learn, pairs, 1. if learn.dls.target == 'rating' else None)
    assert np.isnan(pred.y).all()
    for of_unknown in (predictions.score, row_losses, expected_calibration_error):
        with pytest.raises(ValueError, match='finite|not on the scale'): of_unknown(pred)


def test_predict_whatever_a_row_is_called(learn, made_up):
    one = made_up[['user', 'item', 'rating']].iloc[[3]]
    user, item, rating = one.iloc[0]
    rows = [one, one.iloc[0], dict(one.iloc[0]), next(one.itertuples()), next(one.itertuples(index=False)),
            (user, item), [user, item], (user, item, rating),
            np.array([user, item]), dict(user=str(int(user)), item=str(int(item))), learn.dls.test_dl(one).dataset[0]]
    said = [learn.predict(row)[0] for row in rows]
    assert said == pytest.approx([said[0]]*len(rows))
    with_context = learn.dls.valid_ds[5]
    frame = learn.dls.valid_ds.decode(*learn.dls.valid_ds.tensors)
    assert learn.predict(with_context)[0] == pytest.approx(learn.dls.scale.to_rating(0)*0
                                                           + learn.predict(with_context[:learn.dls.valid_ds.n_inp])[0])
    assert learn.predict(with_context, with_input=True)[0] is not None and len(frame) == len(learn.dls.valid_ds)
    for row in (dict(user=3), one[['user']], one[['user']].iloc[0], dict(film=3, user=3)):
        with pytest.raises(ValueError, match="no column 'item'"): learn.predict(row)
    for row in (3.5, 'text', (3,), (1, 2, 3, 4), None):
        with pytest.raises(ValueError, match='a row to predict is a row of a frame, a dict, or a tuple'):
            learn.predict(row)


def test_interpretation(learn, shown):
    interp = Interpretation.from_learner(learn)
    losses, rows = interp.top_losses(3)
    interp.plot_top_losses(3)
    interp.show_results([5, 2])
    top, two = shown
    np.testing.assert_allclose(top.loss, losses.flatten(), atol=1e-4)
    ids = learn.dls.valid_ds.decode(*learn.dls.valid_ds.tensors)
    np.testing.assert_array_equal(top.user, ids.user[rows.flatten().tolist()])
    np.testing.assert_array_equal(two.user, ids.user[[5, 2]])
    # where it is most wrong
    assert (abs(top.predicted.astype(float) - top.rating.astype(float)) >= .5).all()


def test_confusion_matrix(learn):
    if learn.dls.target == 'rating': pytest.skip('a regression model has no classes')
    interp = ClassificationInterpretation.from_learner(learn)
    counts, dls = interp.confusion_matrix(), learn.dls
    with torch.no_grad(): best = torch.cat([learn.model(*b[:-1]).argmax(1) for b in dls.valid])
    true = dls.valid_ds.tensors[-1][:, 0]
    assert counts.sum() == len(true) and counts[int(true[0])].sum() == (true == true[0]).sum()
    assert np.trace(counts) == (best == true).sum()
    # ratings, not classes
    assert {r for a, b, _ in interp.most_confused(1) for r in (a, b)} <= set(dls.scale.levels)


@pytest.mark.parametrize('target, model, says', [('class', DotProductBias, 'targets are classes of 10 levels'),
                                                 ('rating', CollabNN, 'targets are ratings')])
def test_a_model_for_other_targets_is_told_so(made_up, target, model, says):
    dls, other = (rating_dls(made_up, random_split(0, made_up), target=t, bs=32, device='cpu')
                  for t in (target, dict(rating='class').get(target, 'rating')))
    learn = Learner(dls, model.from_dls(other))
    with learn.no_logging(), learn.no_bar(), pytest.raises(ValueError, match=says): learn.fit(1)


def test_a_metric_without_as_metric_is_told_so(made_up):
    dls = rating_dls(made_up, random_split(0, made_up), bs=32, device='cpu')
    learn = Learner(dls, DotProductBias.from_dls(dls), metrics=rmse)
    with learn.no_logging(), learn.no_bar(), pytest.raises(ValueError, match=r'metrics=as_metric\(rmse\)'): learn.fit(1)
    assert accuracy(torch.tensor([1., 2]), [1, 3]) == .5                     # vectors are fine


@pytest.mark.parametrize('device, says', [('cuda', 'needs a GPU'), ('tpu9', 'unknown device')])
def test_a_device_that_is_not_there(made_up, device, says):
    if device == 'cuda' and torch.cuda.is_available(): pytest.skip('there is a GPU')
    with pytest.raises(ValueError, match=says): rating_dls(made_up, random_split(0, made_up), device=device)


@pytest.mark.parametrize('name', ['fastai_dot', 'fastai_nn'])
def test_ids_that_are_text_train_fastais_models_as_numbers_do(name, made_up):
    "fastai gives text of test rows rows of a table, too: the rows would not be ours."
    # users of test rows without training rows
    made_up = made_up.sort_values('user', ignore_index=True)
    text = made_up.assign(**{c: made_up[c].map('{:05}'.format) for c in ('user', 'item')})
    a, b = (next(iter_runs(ratings, [name], n_epoch=1))[0].pred.probs for ratings in (made_up, text))
    np.testing.assert_array_equal(a, b)


def test_loaders_of_fastai_in_our_loop(made_up):
    from fastai.collab import CollabDataLoaders

    from movielens_ce.training.loop import fit_one_cycle
    dls = CollabDataLoaders.from_df(made_up[['user', 'item', 'rating']], bs=32)
    model = DotProductBias(len(dls.classes['user']), len(dls.classes['item']), 4)
    with pytest.raises(ValueError, match='not of rating_dls'): fit_one_cycle(model, dls, 1, 1e-2)


@pytest.mark.filterwarnings("ignore:load_learner")
def test_an_exported_learner_predicts(learn, made_up, tmp_path):
    from fastai.learner import load_learner
    learn.path = tmp_path
    learn.export()
    loaded = load_learner(tmp_path/'export.pkl')
    with loaded.no_bar(): assert loaded.predict(made_up.iloc[3])[0] == learn.predict(made_up.iloc[3])[0]

"""Models of other packages, each as `(train, test) -> (seconds to fit, ratings or probabilities)`, and their recommenders.

Needs the extra [bench]."""
import time

import numpy as np
import pandas as pd
import scipy.sparse as sp


def surprise_model(make):
    "A model of Surprise; its predictions are clipped to the scale, as Surprise does by default."
    from surprise import Dataset, Reader
    def run(train, test):
        data = Dataset.load_from_df(train[['user', 'item', 'rating']], Reader(rating_scale=(1, 5)))
        data = data.build_full_trainset()
        start = time.perf_counter()
        model = make()
        model.fit(data)
        seconds = time.perf_counter() - start
        return seconds, np.array([model.predict(u, i).est for u, i in zip(test.user, test['item'])])
    return run


def lenskit_data(train):
    "Ratings as LensKit's data set."
    from lenskit.data import from_interactions_df
    names = dict(user='user_id', item='item_id')
    return from_interactions_df(train.rename(columns=names)[['user_id', 'item_id', 'rating']])


def lenskit_pipeline(make, train, seed=0):
    "(a trained pipeline that predicts with a scorer of LensKit, seconds to train it)."
    from lenskit.pipeline import predict_pipeline
    from lenskit.training import TrainingOptions
    data = lenskit_data(train)
    start = time.perf_counter()
    pipe = predict_pipeline(make())
    pipe.train(data, TrainingOptions(rng=seed))
    return pipe, time.perf_counter() - start


def lenskit_ratings(pipe, train, test):
    "What a pipeline of LensKit predicts for the rows of `test`; the mean rating of the training rows where it predicts nothing."
    from lenskit import predict
    pred = pd.Series(np.nan, index=np.arange(len(test)))
    for user, rows in test.reset_index(drop=True).groupby('user'):
        pred[rows.index] = predict(pipe, int(user), rows['item'].to_numpy()).scores()
    return pred.fillna(train.rating.mean()).to_numpy()


def lenskit_predictions(make, train, test, seed=0):
    "Predictions of a scorer of LensKit."
    return lenskit_ratings(lenskit_pipeline(make, train, seed)[0], train, test)


def lenskit_model():
    "LensKit's BiasedMF by alternating least squares, 50 features."
    from lenskit.als import BiasedMFScorer
    def run(train, test):
        pipe, seconds = lenskit_pipeline(lambda: BiasedMFScorer(features=50), train)
        return seconds, lenskit_ratings(pipe, train, test)
    return run


def one_hot(codes, n):
    "A row for each code with a 1 in its column; an empty row for the code −1."
    known = codes >= 0
    return sp.csr_matrix((np.ones(known.sum()), (np.flatnonzero(known), codes[known])), shape=(len(codes), n))


def scaled_rows(sets):
    "The rows of a 0/1 matrix times 1/√(ones in the row)."
    size = np.asarray(sets.sum(1)).ravel()
    return sp.diags(1/np.sqrt(np.maximum(size, 1))) @ sets


def ids_alone(train):
    "(what myFM knows of a frame's rows: user and item; sizes of the groups of columns)."
    index = {c: pd.Index(np.unique(train[c])) for c in ('user', 'item')}
    def features(frame):
        return dict(X=sp.hstack([one_hot(i.get_indexer(frame[c]), len(i)) for c, i in index.items()]).tocsr())
    return features, [len(i) for i in index.values()]


def ids_and_sets(train):
    "The same with the items that the user rated and the users who rated the item, in the training rows."
    import myfm
    users, items = index = [pd.Index(np.unique(train[c])) for c in ('user', 'item')]
    codes = users.get_indexer(train.user), items.get_indexer(train['item'])
    rated = sp.csr_matrix((np.ones(len(train)), codes))
    sets = [scaled_rows(rated), scaled_rows(rated.T.tocsr())]
    def block(ids, index, sets):
        distinct, at = np.unique(ids, return_inverse=True)
        own = one_hot(index.get_indexer(distinct), len(index))
        return myfm.RelationBlock(at, sp.hstack([own, own @ sets]).tocsr())
    def features(frame):
        return dict(X=None, X_rel=[block(frame[c], *o) for c, *o in zip(('user', 'item'), index, sets)])
    return features, [len(users), len(items), len(items), len(users)]


def myfm_model(kind, implicit, seed, n_iter=300):
    "`MyFMRegressor` or `MyFMOrderedProbit` of myFM, rank 10; `implicit`: with the sets of `ids_and_sets`."
    import myfm
    classes = kind == 'MyFMOrderedProbit'
    def run(train, test):
        start = time.perf_counter()
        features, sizes = (ids_and_sets if implicit else ids_alone)(train)
        target = train.rating.to_numpy(int) - 1 if classes else train.rating.to_numpy(float)
        model = getattr(myfm, kind)(rank=10, random_seed=seed)
        model.fit(y=target, n_iter=n_iter, group_shapes=sizes, **features(train))
        seconds = time.perf_counter() - start
        predict = model.predict_proba if classes else model.predict
        return seconds, predict(**features(test))
    return run


def as_told(dls):
    "What myFM is told of the rows of our loaders: ids, sets of the training rows, columns and context, as far as the loaders have them; and the sizes of the groups."
    import myfm
    train, n = dls.train_ds, (dls.n_users, dls.n_items)
    user, item = train.tensors[0].numpy().T
    rated = sp.csr_matrix((np.ones(len(user)), (user, item)), shape=n)
    tables, sizes = [], []
    for k, sets in enumerate((scaled_rows(rated), scaled_rows(rated.T.tocsr()))):
        parts = [sp.diags((np.arange(n[k]) > 0).astype(float)), sets] + [sp.csr_matrix(f.weight.numpy()) for f in train.features[k:k + 1] if f]
        tables.append(sp.hstack(parts).tocsr())
        sizes += [p.shape[1] for p in parts]
    def features(ds):
        x, *context, _ = ds.tensors
        blocks = [myfm.RelationBlock(x[:, k].numpy(), table) for k, table in enumerate(tables)]
        return dict(X=sp.csr_matrix(context[0].numpy()) if context else None, X_rel=blocks)
    return features, [len(dls.cont_names)]*bool(dls.cont_names) + sizes


def myfm_told(dls, seed, n_iter=300, rank=10):
    "(seconds, probabilities for the validation rows) of myFM's ordered probit, which is told what our loaders know. `dls` have classes as targets."
    import myfm
    start = time.perf_counter()
    features, sizes = as_told(dls)
    model = myfm.MyFMOrderedProbit(rank=rank, random_seed=seed)
    model.fit(y=dls.train_ds.tensors[-1].numpy().reshape(-1).astype(int), n_iter=n_iter, group_shapes=sizes, **features(dls.train_ds))
    return time.perf_counter() - start, model.predict_proba(**features(dls.valid_ds))


def implicit_lists(train, n, n_threads=None, n_factors=50):
    """implicit's alternating least squares on the ratings: (`() -> lists`, `lists -> frame of user and item`).

    `n_threads` None: all that it takes by itself."""
    from implicit.als import AlternatingLeastSquares
    users, items = (pd.Index(np.unique(train[c])) for c in ('user', 'item'))
    at = users.get_indexer(train.user), items.get_indexer(train['item'])
    rated = sp.csr_matrix((train.rating.to_numpy(np.float32), at))
    model = AlternatingLeastSquares(n_factors, num_threads=n_threads or 0, random_state=0)
    model.fit(rated, show_progress=False)
    everybody = np.arange(len(users))
    def lists(): return model.recommend(everybody, rated, N=n, filter_already_liked_items=True)
    def pairs(best): return pd.DataFrame(dict(user=users.repeat(n), item=items[best[0].ravel()]))
    return lists, pairs


def lenskit_lists(train, n, n_threads=None, n_features=50):
    """LensKit's BiasedMF in its pipeline for lists: (`() -> lists`, `lists -> frame of user and item`).

    `n_threads` None: the processes that it takes by itself."""
    from lenskit import batch
    from lenskit.als import BiasedMFScorer
    from lenskit.pipeline import topn_pipeline
    pipe = topn_pipeline(BiasedMFScorer(features=n_features), n=n)
    pipe.train(lenskit_data(train))
    everybody = np.unique(train.user)
    def lists(): return batch.recommend(pipe, everybody, n=n, n_jobs=n_threads)
    def pairs(best): return best.to_df().rename(columns=dict(user_id='user', item_id='item'))[['user', 'item']]
    return lists, pairs

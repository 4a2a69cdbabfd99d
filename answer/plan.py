"""The plan of the answer's second edition: what is run, what is compared and what counts as a difference. It was committed before the runs that
it governs. The scripts that analyse them import it, and the study *The plan* shows it."""
from dataclasses import dataclass

SMALLEST = dict(rmse=.002, accuracy=.005, nll=.01)          # the smallest differences that matter, in the metrics' own units
FOLDS = tuple('12345')                                      # u1-u5; the planned comparisons are made on these
OTHER_SPLITS = ('user-time', 'time')                        # the last fifth of each user; one date for all
SEEDS = (0, 1, 2)
N_TRIALS = 16                                               # of each score and loss, on training rows; for the planned comparisons within each fold
DRAWS, LEVEL = 100_000, .05                                 # bootstrap over users and items, with folds and seeds; family-wise error by Holm

SCORES = dict(dot='dot product', nn='network', sets='dot product with implicit sets', time='the same with time on both sides')
LOSSES = dict(mse='squared error', ce='likelihood')
HEADS = dict(width='Gaussian, one width', user_width='Gaussian, a width for each user', cuts='cumulative logit, shared cuts',
             user_cuts='cumulative logit, cuts of users', both_cuts='cumulative logit, cuts of users and items')
FITTED = dict(trained='with the score', after='afterwards, on out-of-fold predictions of the training rows')


@dataclass(frozen=True)
class Arm:
    "A score, the loss that it is trained with, a head, and when the head is fitted."
    score: str # A key of `SCORES`
    loss: str # A key of `LOSSES`
    head: str # A key of `HEADS`
    fitted: str # A key of `FITTED`
    knows: str = '' # What else it knows, see `KNOWLEDGE`

    def __str__(self): return ' · '.join(o for o in (self.score, self.loss, self.head, self.fitted, self.knows) if o)


def arms():
    """All arms of loss × head × score. A score that is trained by squared error has no head in training, so that its heads come
    afterwards. A score that is trained by likelihood has a cumulative logit in training; afterwards its heads are fitted to the mean that it predicts."""
    for score in SCORES:
        yield from (Arm(score, 'mse', head, 'after') for head in HEADS)
        yield from (Arm(score, 'ce', head, 'trained') for head in HEADS if head.endswith('cuts'))
        yield from (Arm(score, 'ce', head, 'after') for head in HEADS)


# what is added, one after the other, to `sets` trained by likelihood with cuts of users and items
KNOWLEDGE = dict(ids='ids alone (dot product)', sets='and implicit sets', columns='and columns: age, gender, occupation; year, genres',
                 before='and earlier ratings of the same user', up_to='and those of the same second', both='and later ones')


@dataclass(frozen=True)
class Comparison:
    "A planned comparison: `b` minus `a` on the same rows."
    name: str # What is called what
    question: str # What it answers
    a: Arm
    b: Arm
    metric: str # The metric that decides
    expected: str # What the sketches led us to expect, before the runs


def _knows(what): return Arm('dot' if what == 'ids' else 'sets', 'ce', 'both_cuts', 'trained', what)


def _loss(score, expected):
    a, b = Arm(score, 'mse', 'both_cuts', 'after'), Arm(score, 'ce', 'both_cuts', 'after')
    return Comparison(f'loss, {score}', 'Does the loss matter where score and head are the same?', a, b, 'nll', expected)


COMPARISONS = (
    _loss('dot', 'less than .01 either way'),
    _loss('nn', 'less than .01 either way'),
    _loss('sets', 'less than .01 either way'),
    _loss('time', 'less than .01 either way'),
    Comparison('head, dot', 'What does the head give, the score and its loss being the same?', Arm('dot', 'mse', 'width', 'after'), Arm('dot', 'mse', 'both_cuts', 'after'), 'nll', '-.05'),
    Comparison('head, sets', 'What does the head give, the score and its loss being the same?', Arm('sets', 'mse', 'width', 'after'), Arm('sets', 'mse', 'both_cuts', 'after'), 'nll', '-.05'),
    Comparison('shape', 'How much of it is the shape alone?', Arm('dot', 'mse', 'width', 'after'), Arm('dot', 'mse', 'cuts', 'after'), 'nll', '-.02'),
    Comparison('people', 'How much of it is that people use the levels differently?', Arm('dot', 'mse', 'cuts', 'after'), Arm('dot', 'mse', 'user_cuts', 'after'), 'nll', '-.025'),
    Comparison('when', 'Is a head that is fitted afterwards as good as one that is trained with the score?', Arm('dot', 'ce', 'both_cuts', 'trained'), Arm('dot', 'ce', 'both_cuts', 'after'), 'nll', 'less than .01 either way'),
    Comparison('sets', 'What do implicit sets add?', _knows('ids'), _knows('sets'), 'rmse', '-.025'),
    Comparison('columns', 'What do columns add to them?', _knows('sets'), _knows('columns'), 'rmse', '-.005'),
    Comparison('earlier ratings', 'What do earlier ratings add, as a system could use them?', _knows('columns'), _knows('before'), 'rmse', '-.003'),
)

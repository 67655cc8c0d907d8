"""Catalogue of adversarial/discrete_text_generation. Every "must reject" line of B-T3c has an entry.

"Hard output not exactly one-hot" is built as `hard + soft - soft.detach()`, since the usual order of the three terms,
`hard - soft.detach() + soft`, is exact (erratum in section 2); it is among the alternatives.
"""

from grader.catalogue import Alternative, WrongAnswer

CLAMPED = "u.clamp(limits.tiny, 1 - limits.eps)"
NOISE = f"noise = -torch.log(-torch.log({CLAMPED}))"
SOFT = "soft = torch.softmax((logits + noise) / tau, dim=-1)"
ONE_HOT = "one_hot = torch.zeros_like(soft).scatter(-1, soft.argmax(dim=-1, keepdim=True), 1.0)"
RESULT = "return one_hot + (soft - soft.detach())"
EMBED = "return y @ embedding_weight"
RANGE = "if not ((u >= 0) & (u <= 1)).all():"
TEMPERATURE = "if not tau > 0:"
SHAPE = "if u.shape != logits.shape:"
TABLE = "if embedding_weight.dim() != 2 or len(embedding_weight) != y.shape[-1]:"

PLACES = "test_a_distribution_over_the_tokens_at_every_place"
DRAWING = "test_gumbel_noise_does_the_drawing"
TEMPERED = "test_temperature_acts_on_logits_and_noise_together"
WHOLE = "test_hard_samples_are_exactly_one_hot"
GRADIENT = "test_hard_samples_have_the_gradient_of_soft_ones"
EMBEDDED = "test_soft_embedding_adds_up_the_rows_of_the_table"
ENDS = "test_the_ends_of_u_and_large_logits_stay_finite"
REFUSED = "test_bad_arguments_are_refused"

wrong_answers = [
    WrongAnswer(
        id="plain-softmax",  # the published generator
        title="the plain softmax of the logits taken for the text",
        explanation=(
            "Your soft sample is the same whatever u is: nothing was drawn. That is the distribution of the next "
            "token, not a token, and no real text looks like it. Where does u enter?"
        ),
        caught_by=DRAWING,
        swap=((SOFT, "soft = torch.softmax(logits / tau, dim=-1)"),),
    ),
    WrongAnswer(
        id="argmax-without-gradient",
        title="the largest entry taken, and the gradient lost",
        explanation=(
            "The hard sample has the right values, but no gradient reaches the logits: a choice has no slope. The "
            "generator would never learn anything. What could you add that changes no value and has a history?"
        ),
        caught_by=GRADIENT,
        swap=((RESULT, "return one_hot"),),
    ),
    WrongAnswer(
        id="noise-not-cooled",
        title="the temperature divides the logits alone",
        explanation=(
            "Logits and noise are two parts of one score. If only the logits are cooled, a small temperature makes the "
            "noise irrelevant, so the frequencies of the tokens depend on it. What exactly does tau divide?"
        ),
        caught_by=TEMPERED,
        swap=((SOFT, "soft = torch.softmax(logits / tau + noise, dim=-1)"),),
    ),
    WrongAnswer(
        id="one-logarithm",
        title="noise with a single logarithm",
        explanation=(
            "One of the two logarithms of the noise is missing, so it is not Gumbel noise, and the frequencies of the "
            "winners are not those of the softmax. Count the winners of many draws."
        ),
        caught_by=DRAWING,
        swap=((NOISE, f"noise = -torch.log({CLAMPED})"),),
    ),
    WrongAnswer(
        id="not-exactly-one-hot",
        title="zeros and ones that are off by a rounding error",
        explanation=(
            "Your hard sample is one-hot up to the last digit only: the soft sample was added to the ones and zeros "
            "before its copy was taken away, and the sum was rounded in between. In which order do the two cancel "
            "exactly?"
        ),
        caught_by=WHOLE,
        swap=((RESULT, "return one_hot + soft - soft.detach()"),),
    ),
    WrongAnswer(
        id="not-clamped",
        title="the logarithm of 0",
        explanation=(
            "Where u is exactly 0 or 1, one of the two logarithms meets a 0, and the infinite noise turns values or "
            "gradients into NaN. One such draw is enough to spoil a training run. Where could u be kept away from its "
            "ends?"
        ),
        caught_by=ENDS,
        swap=((CLAMPED, "u"),),
    ),
    WrongAnswer(
        id="clamped-by-too-little",
        title="a margin that is too small for the precision",
        explanation=(
            "You keep u away from its ends, but by a step that vanishes in one of the precisions: the largest allowed "
            "number is still rounded to 1, or the smallest to 0. What is the smallest step that the dtype of u knows "
            "below 1?"
        ),
        caught_by=ENDS,
        swap=((CLAMPED, "u.clamp(1e-10, 1 - 1e-10)"),),
    ),
    WrongAnswer(
        id="constants-that-vanish-in-half-precision",
        title="small constants inside the logarithms that vanish in half precision",
        explanation=(
            "A tiny number added inside a logarithm helps in float32 and float64. In float16 it is rounded to 0, "
            "and the logarithm of 0 is back. What is the smallest number that the dtype at hand can hold?"
        ),
        caught_by=ENDS,
        swap=((NOISE, "noise = -torch.log(-torch.log(u + 1e-20) + 1e-20)"),),
    ),
    WrongAnswer(
        id="only-0-moved",
        title="only one end of u guarded",
        explanation=(
            "Two logarithms stand behind each other, and each has its own bad argument: the inner one fails where u is "
            "0, the outer one where u is 1. You take care of the first only."
        ),
        caught_by=ENDS,
        swap=((CLAMPED, "u.clamp(min=limits.tiny)"),),
    ),
    WrongAnswer(
        id="infinite-noise-set-to-0",
        title="infinite noise replaced by 0",
        explanation=(
            "Replacing an infinite noise by 0 makes the luckiest draw, and the unluckiest one, an ordinary one. A "
            "u of 1 should behave like a u slightly below 1."
        ),
        caught_by=ENDS,
        swap=(
            (
                NOISE,
                "noise = (-torch.log(-torch.log(u))).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)",
            ),
        ),
    ),
    WrongAnswer(
        id="exponentials-without-maximum",
        title="exponentials that overflow",
        explanation=(
            "Infinity divided by infinity, or 0 by 0: the exponential of a large score is too large for a float, "
            "and of a very negative one it is 0. The softmax does not change when the same number is taken from "
            "all scores first."
        ),
        caught_by=ENDS,
        swap=(
            (
                SOFT,
                "weights = torch.exp((logits + noise) / tau)\n    soft = weights / weights.sum(dim=-1, keepdim=True)",
            ),
        ),
    ),
    WrongAnswer(
        id="noise-of-its-own",
        title="noise drawn inside, u not used",
        explanation=(
            "Two calls with the same u give different samples. The caller draws u, so that a run can be repeated and a "
            "sample explained; the function itself leaves nothing to chance."
        ),
        caught_by=DRAWING,
        swap=((CLAMPED, "torch.rand_like(u).clamp(limits.tiny, 1 - limits.eps)"),),
    ),
    WrongAnswer(
        id="noise-subtracted",
        title="the sign of the noise turned round",
        explanation=(
            "You subtract the noise, or one of its two minus signs is missing. The Gumbel distribution is lopsided, so "
            "its mirror image draws other frequencies. Does a u near 1 make a token win or lose?"
        ),
        caught_by=DRAWING,
        swap=((NOISE, f"noise = torch.log(-torch.log({CLAMPED}))"),),
    ),
    WrongAnswer(
        id="probabilities-instead-of-logits",
        title="noise added to probabilities",
        explanation=(
            "The noise is added to numbers between 0 and 1, where it drowns every difference between the tokens. It "
            "belongs to the scores before any softmax, or to the logarithms of the probabilities."
        ),
        caught_by=DRAWING,
        swap=((SOFT, "soft = torch.softmax((torch.softmax(logits, dim=-1) + noise) / tau, dim=-1)"),),
    ),
    WrongAnswer(
        id="uniform-noise",
        title="u itself added as the noise",
        explanation=(
            "The uniform numbers are added as they are. They are the raw material: two logarithms turn them into noise "
            "of the shape that makes the winners right."
        ),
        caught_by=DRAWING,
        swap=((NOISE, f"noise = {CLAMPED}"),),
    ),
    WrongAnswer(
        id="normal-noise",
        title="bell-shaped noise",
        explanation=(
            "You made a normal distribution out of u. With it the winners' frequencies are not the softmax of the "
            "logits; only one distribution of noise does that exactly."
        ),
        caught_by=DRAWING,
        swap=((NOISE, f"noise = torch.special.ndtri({CLAMPED}.float()).to(u.dtype)"),),
    ),
    WrongAnswer(
        id="clamped-too-far",
        title="a margin so wide that it changes ordinary draws",
        explanation=(
            "u is moved although it is far enough from its ends: the lucky and unlucky draws become alike. "
            "Numbers from 0.01 to 0.99 should be used as they are."
        ),
        caught_by=DRAWING,
        swap=((CLAMPED, "u.clamp(0.05, 0.95)"),),
    ),
    WrongAnswer(
        id="multiplied-by-tau",
        title="multiplied by the temperature instead of divided",
        explanation=(
            "A small temperature should sharpen the sample; yours smooths it. Try a very small tau: what should the "
            "sample look like?"
        ),
        caught_by=TEMPERED,
        swap=((SOFT, "soft = torch.softmax((logits + noise) * tau, dim=-1)"),),
    ),
    WrongAnswer(
        id="tau-ignored",
        title="a temperature without effect",
        explanation="The sample is the same for every temperature. Where does tau enter?",
        caught_by=TEMPERED,
        swap=((SOFT, "soft = torch.softmax(logits + noise, dim=-1)"),),
    ),
    WrongAnswer(
        id="logits-not-cooled",
        title="the temperature divides the noise alone",
        explanation=(
            "A small temperature makes the noise of your sample huge against the logits, and what the generator has "
            "learned no longer counts. What exactly does tau divide?"
        ),
        caught_by=TEMPERED,
        swap=((SOFT, "soft = torch.softmax(logits + noise / tau, dim=-1)"),),
    ),
    WrongAnswer(
        id="cooled-after-the-softmax",
        title="the temperature applied to a sample that has been through a softmax already",
        explanation=(
            "Dividing probabilities by tau and applying a second softmax gives a nearly uniform mixture, with tau "
            "= 1 as well. One softmax is enough, and the temperature acts on the scores inside it."
        ),
        caught_by=DRAWING,
        swap=((SOFT, "soft = torch.softmax(torch.softmax(logits + noise, dim=-1) / tau, dim=-1)"),),
    ),
    WrongAnswer(
        id="hard-ignored",
        title="soft samples whatever `hard` says",
        explanation=(
            "With `hard=True` you still return a mixture of tokens. A discriminator that has seen whole tokens "
            "will know it at a glance."
        ),
        caught_by=WHOLE,
        swap=((RESULT, "return soft"),),
    ),
    WrongAnswer(
        id="soft-not-taken-away",
        title="the soft sample left inside the hard one",
        explanation=(
            "The gradient is right, but the values are the one-hot vector plus the soft sample. What you add for its "
            "gradient has to be 0 as a number."
        ),
        caught_by=WHOLE,
        swap=((RESULT, "return one_hot + soft"),),
    ),
    WrongAnswer(
        id="largest-logit",
        title="the token with the best logit instead of the one that was drawn",
        explanation=(
            "Your hard sample is at the largest logit, so that every draw gives the same text. The token that wins is "
            "the largest of the sample, noise included."
        ),
        caught_by=WHOLE,
        swap=((ONE_HOT, ONE_HOT.replace("soft.argmax", "logits.argmax")),),
    ),
    WrongAnswer(
        id="one-token-for-the-whole-text",
        title="one winner among all places together",
        explanation=(
            "The largest entry is looked for in the whole tensor, so all places but one stay empty. Every place "
            "needs a token of its own: along which axis do the tokens lie?"
        ),
        caught_by=WHOLE,
        swap=((ONE_HOT, "one_hot = (soft == soft.max()).to(soft.dtype)"),),
    ),
    WrongAnswer(
        id="all-of-several-largest",
        title="a 1 at every one of several equal entries",
        explanation=(
            "Where two tokens share the largest entry, comparing with the maximum marks both, and the hard sample has "
            "two ones. It happens more often than one would think: in low precision, many numbers round to the same."
        ),
        caught_by=WHOLE,
        swap=((ONE_HOT, "one_hot = (soft == soft.amax(dim=-1, keepdim=True)).to(soft.dtype)"),),
    ),
    WrongAnswer(
        id="gradient-turned-round",
        title="a hard sample whose gradient has the opposite sign",
        explanation=(
            "The values are right, but of the soft sample and its copy without a history you subtract the wrong "
            "one. The generator would walk uphill. Which of the two should carry a plus sign?"
        ),
        caught_by=GRADIENT,
        swap=((RESULT, "return one_hot + (soft.detach() - soft)"),),
    ),
    WrongAnswer(
        id="gradient-of-the-plain-softmax",
        title="the gradient of the softmax without noise",
        explanation=(
            "The hard sample is the one that was drawn, but its gradient is that of a softmax that never saw the "
            "noise. Hard and soft samples should share one gradient."
        ),
        caught_by=GRADIENT,
        swap=(
            (
                RESULT,
                "plain = torch.softmax(logits / tau, dim=-1)\n    return one_hot + (plain - plain.detach())",
            ),
        ),
    ),
    WrongAnswer(
        id="gradient-of-the-logits",
        title="the gradient passed straight to the logits",
        explanation=(
            "The gradient of your hard sample skips the softmax and the temperature: it reaches the logits as it "
            "arrived. That is a straight-through estimator too, but not the one asked for, which has the gradient "
            "of the soft sample."
        ),
        caught_by=GRADIENT,
        swap=((RESULT, "return one_hot + (logits - logits.detach())"),),
    ),
    WrongAnswer(
        id="soft-sample-detached",
        title="a history that is cut off again",
        explanation=(
            "Something with a history is built, but the result has none: a `detach`, a `no_grad` or a copy "
            "through plain numbers cuts it off. No gradient reaches the logits, hard or soft."
        ),
        caught_by=GRADIENT,
        swap=((SOFT, "soft = torch.softmax((logits.detach() + noise) / tau, dim=-1)"),),
    ),
    WrongAnswer(
        id="softmax-over-the-places",
        title="a softmax along the wrong axis",
        explanation=(
            "Your numbers do not sum to 1 over the tokens of a place. The tokens lie along the last axis, however many "
            "axes there are; an axis counted from the front is another one as soon as there is a batch."
        ),
        caught_by=PLACES,
        swap=((SOFT, "soft = torch.softmax((logits + noise) / tau, dim=min(1, logits.dim() - 1))"),),
    ),
    WrongAnswer(
        id="always-float32",
        title="the result in another precision than the logits",
        explanation=(
            "The dtype of the result does not follow the logits: somewhere you convert, or a one-hot vector is "
            "made in a dtype of its own. Mixed precision breaks on it further down."
        ),
        caught_by=PLACES,
        swap=(
            ("        return soft\n", "        return soft.float()\n"),
            (RESULT, "return (one_hot + (soft - soft.detach())).float()"),
        ),
    ),
    WrongAnswer(
        id="noise-changed-in-place",
        title="the caller's u overwritten",
        explanation=(
            "After the call u holds other numbers than before. A function whose name ends with an underscore works in "
            "place; the caller may want to use the same draw again, for the hard and the soft sample."
        ),
        caught_by=PLACES,
        swap=((CLAMPED, "u.clamp_(limits.tiny, 1 - limits.eps)"),),
    ),
    WrongAnswer(
        id="looked-up",
        title="the row of the largest entry looked up",
        explanation=(
            "Only the largest entry of the sample counts, so a soft sample is embedded like a hard one, and no "
            "gradient flows back to it: an index has no slope."
        ),
        caught_by=EMBEDDED,
        swap=((EMBED, "return embedding_weight[y.argmax(dim=-1)]"),),
    ),
    WrongAnswer(
        id="only-the-largest-weight",
        title="only the row of the largest entry, times its weight",
        explanation=(
            "Only one token of the sample contributes to the embedding. A soft sample is a mixture: all rows "
            "count, each with its weight."
        ),
        caught_by=EMBEDDED,
        swap=((EMBED, "return y.amax(dim=-1, keepdim=True) * embedding_weight[y.argmax(dim=-1)]"),),
    ),
    WrongAnswer(
        id="mean-over-the-tokens",
        title="divided by the number of tokens",
        explanation=(
            "You take the mean over the vocabulary. The weights of a sample sum to 1 already, so that a one-hot sample "
            "should give back its row as it is."
        ),
        caught_by=EMBEDDED,
        swap=((EMBED, "return y @ embedding_weight / len(embedding_weight)"),),
    ),
    WrongAnswer(
        id="softmax-once-more",
        title="a second softmax before embedding",
        explanation=(
            "The sample is a distribution already. Another softmax flattens it, and a one-hot sample no longer "
            "gives its own row."
        ),
        caught_by=EMBEDDED,
        swap=((EMBED, "return torch.softmax(y, dim=-1) @ embedding_weight"),),
    ),
    WrongAnswer(
        id="table-detached",
        title="no gradient for the embedding table",
        explanation=(
            "The values are right, and the gradient reaches the sample but not the table. Whether the table learns is "
            "the caller's decision."
        ),
        caught_by=EMBEDDED,
        swap=((EMBED, "return y @ embedding_weight.detach()"),),
    ),
    WrongAnswer(
        id="temperature-not-checked",
        title="a temperature of 0, below 0 or NaN accepted",
        explanation=(
            "A temperature of 0 divides by 0, a negative one prefers the worst token, and NaN spoils everything "
            "without a word. At least one of them gets through."
        ),
        caught_by=REFUSED,
        swap=((TEMPERATURE, "if tau < 0:"),),
    ),
    WrongAnswer(
        id="broadcast",
        title="noise shared between places",
        explanation=(
            "A u of a smaller shape is stretched to fit. Places then share their luck and are no longer drawn "
            "independently; the caller should hear about it."
        ),
        caught_by=REFUSED,
        swap=((SHAPE, "if u.shape[-1] != logits.shape[-1]:"),),
    ),
    WrongAnswer(
        id="range-not-checked",
        title="u outside [0, 1] accepted",
        explanation=(
            "A number outside [0, 1] is quietly moved inside or becomes NaN. It usually means that normal instead of "
            "uniform numbers were passed."
        ),
        caught_by=REFUSED,
        swap=((RANGE, "if u.isnan().any():"),),
    ),
    WrongAnswer(
        id="nan-slips-through",
        title="NaN accepted in u",
        explanation=(
            "NaN is neither below 0 nor above 1, so a search for numbers outside the range does not find it. Ask the "
            "other way round: are all numbers inside?"
        ),
        caught_by=REFUSED,
        swap=((RANGE, "if (u < 0).any() or (u > 1).any():"),),
    ),
    WrongAnswer(
        id="table-not-checked",
        title="the table's shape not looked at",
        explanation=(
            "A table that does not fit is used all the same, or fails with an error of the library that says nothing "
            "about tables. One row for each token, two axes: check before you multiply."
        ),
        caught_by=REFUSED,
        swap=((TABLE, "if embedding_weight.dim() < 2:"),),
    ),
]

alternatives = [
    Alternative(
        id="race-of-exponentials",
        title="competing exponential clocks in log space, straight-through by where",
        code="""
def gumbel_softmax(logits, tau, u, hard=False):
    if tau != tau or tau <= 0:
        raise ValueError("tau")
    if tuple(u.shape) != tuple(logits.shape):
        raise ValueError("shape of u")
    if torch.isnan(u).any() or torch.any(u < 0) or torch.any(u > 1):
        raise ValueError("u outside [0, 1]")
    eps = torch.finfo(logits.dtype).eps
    waiting = -torch.log(torch.where(u < eps, torch.full_like(u, eps), torch.where(u > 1 - eps, 1 - eps, u)))
    scores = (logits - waiting.log()).div(tau)
    y = (scores - scores.logsumexp(-1, keepdim=True)).exp()
    if hard:
        chosen = torch.arange(y.shape[-1]) == y.argmax(-1, keepdim=True)
        history = y - y.detach()
        y = torch.where(chosen, 1 + history, history)
    return y


def soft_embed(y, embedding_weight):
    if embedding_weight.ndim != 2 or embedding_weight.shape[0] != y.shape[-1]:
        raise ValueError("table")
    return torch.einsum("...v,vd->...d", y, embedding_weight)
""",
    ),
    Alternative(
        id="noise-clamped-and-own-backward",
        title="the noise clamped instead of u, F.one_hot, a function with a backward of its own",
        code="""
import torch.nn.functional as F


class StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, soft):
        return F.one_hot(soft.argmax(dim=-1), soft.shape[-1]).to(soft.dtype)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def gumbel_softmax(logits, tau, u, hard=False):
    if not (float(tau) > 0.0):
        raise ValueError("tau must be positive")
    if u.dim() != logits.dim() or any(a != b for a, b in zip(u.shape, logits.shape)):
        raise ValueError("u must have the shape of logits")
    if not bool(torch.logical_and(u.ge(0), u.le(1)).all()):
        raise ValueError("u must be in [0, 1]")
    noise = torch.clamp(u.log().neg().log().neg(), -30.0, 30.0)
    soft = F.softmax(torch.add(logits, noise) / tau, dim=-1)
    return StraightThrough.apply(soft) if hard else soft


def soft_embed(y, embedding_weight):
    if embedding_weight.dim() != 2:
        raise ValueError("the table must be 2-D")
    if embedding_weight.size(0) != y.size(-1):
        raise ValueError("one row for each token, please")
    return F.linear(y, embedding_weight.t())
""",
    ),
    Alternative(
        id="place-by-place",
        title="a loop over places, maximum subtracted by hand, the usual order of the three terms",
        code="""
def gumbel_softmax(logits, tau, u, hard=False):
    if not tau > 0 or u.shape != logits.shape or not (0 <= u.min() <= u.max() <= 1):
        raise ValueError("bad argument")
    tokens = logits.shape[-1]
    margin = 1e-6 if logits.dtype in (torch.float32, torch.float64) else torch.finfo(logits.dtype).eps
    places = []
    for row, numbers in zip(logits.reshape(-1, tokens), u.reshape(-1, tokens)):
        numbers = torch.clamp(numbers, min=margin, max=1 - margin)
        score = (row - torch.log(-torch.log(numbers))) / tau
        weight = torch.exp(score - score.max().detach())
        soft = weight / weight.sum()
        if hard:
            whole = torch.zeros(tokens, dtype=soft.dtype)
            whole[int(soft.argmax())] = 1
            soft = whole - soft.detach() + soft
        places.append(soft)
    return torch.stack(places).reshape(logits.shape)


def soft_embed(y, embedding_weight):
    if len(embedding_weight.shape) != 2 or embedding_weight.shape[0] != y.shape[-1]:
        raise ValueError("bad table")
    return sum(y[..., token, None] * embedding_weight[token] for token in range(len(embedding_weight)))
""",
    ),
    Alternative(
        id="small-constants-inside-the-logarithms",
        title="computed in float64 with a small constant added inside both logarithms, then cast back",
        code="""
def gumbel_softmax(logits, tau, u, hard=False):
    if not tau > 0 or u.shape != logits.shape or not ((0 <= u) & (u <= 1)).all():
        raise ValueError("bad argument")
    u = u.to(torch.float64)
    noise = -torch.log(-torch.log(u + 1e-20) + 1e-20)
    soft = torch.softmax((logits.to(torch.float64) + noise) / tau, dim=-1).to(logits.dtype)
    if hard:
        with torch.no_grad():
            whole = torch.zeros_like(soft)
            whole.scatter_(-1, soft.max(dim=-1, keepdim=True).indices, 1)
            rest = whole - soft
        return soft + rest
    return soft
""",
    ),
]

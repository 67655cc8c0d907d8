"""Wrong and differently written answers to losses/uncertainty_weighting.

Every line under "Reject" of E-K1 has an entry. The published text answers the question with one task loss, so nothing of
it can be run; adding the terms as they are is what follows from it, and comes first.
"""

from grader.catalogue import Alternative, WrongAnswer

TERMS = "terms = torch.exp(-self.log_var) * losses + self.log_var"
WEIGHTS = "return torch.exp(-self.log_var.detach())"
STACK = "losses = torch.stack([*losses]) if losses else self.log_var[:0]"

wrong_answers = [
    WrongAnswer(
        id="plain-sum",
        title="the losses added as they are",
        explanation=(
            "Your total is the plain sum of the losses, whatever `log_var` holds: the term with the largest unit decides "
            "what the model learns. Where does each loss meet its own variance?"
        ),
        caught_by="test_first_totals",
        swap=((TERMS, "terms = 2 * losses + 0 * self.log_var"),),
    ),
    WrongAnswer(
        id="published-claims",
        title="the loss of the task taken for the whole design",
        explanation=(
            "One of the claims follows the usual advice, cross-entropy for classes and squared error for numbers. "
            "Count the terms in the total loss of a model that aligns, captions and classifies."
        ),
        caught_by="test_claims",
        swap=(("task_loss_settles_it=False", "task_loss_settles_it=True"),),
    ),
    WrongAnswer(
        id="no-price-for-small-weights",
        title="weighted losses without the log-variances added",
        explanation=(
            "Your total only falls when `log_var` grows, so training sends every weight to zero and the model stops "
            "learning. What must become more expensive when a variance grows?"
        ),
        caught_by="test_log_var_comes_to_rest",
        swap=((TERMS, "terms = torch.exp(-self.log_var) * losses"),),
    ),
    WrongAnswer(
        id="half-forgotten",
        title="the factor ½ left out",
        explanation=(
            "Your total is twice what it should be, and so is every gradient: the best weights are the same, but the "
            "loss of the model counts twice as much against anything that is added to it. Which number stands in front "
            "of the bracket?"
        ),
        caught_by="test_total",
        swap=(("return terms.sum() / 2", "return terms.sum()"),),
    ),
    WrongAnswer(
        id="mean-over-terms",
        title="the terms averaged instead of summed",
        explanation=(
            "Your total is divided by the number of terms, so adding a term weakens the gradients of all others. The "
            "task asks for a sum."
        ),
        caught_by="test_total",
        swap=(("return terms.sum() / 2", "return terms.mean() / 2"),),
    ),
    WrongAnswer(
        id="log-sigma",
        title="log_var taken for the logarithm of the standard deviation",
        explanation=(
            "You divide by exp(2s) and add s, which is right for s = ln σ. Here s = ln σ², as the name log_var says: "
            "what is exp(s) then, and how much is ln σ in terms of s?"
        ),
        caught_by="test_total",
        swap=((TERMS, "terms = torch.exp(-2 * self.log_var) * losses + 2 * self.log_var"),),
    ),
    WrongAnswer(
        id="exp-of-plus-s",
        title="losses multiplied by the variance instead of divided by it",
        explanation=(
            "With `log_var` at zero everything looks right; away from it your noisy terms count more instead of less. "
            "A Gaussian with a large variance forgives large errors: on which side of the fraction does it stand?"
        ),
        caught_by="test_total",
        swap=((TERMS, "terms = torch.exp(self.log_var) * losses + self.log_var"),),
    ),
    WrongAnswer(
        id="exp-of-plus-s-throughout",
        title="the variance used as weight, in the total and in weights()",
        explanation=(
            "With `log_var` at zero everything looks right; away from it the sign of s is the wrong way round, and "
            "noisy terms count more instead of less. A Gaussian with a large variance forgives large errors: on which "
            "side of the fraction does the variance stand?"
        ),
        caught_by="test_total",
        swap=(
            (TERMS, "terms = torch.exp(self.log_var) * losses + self.log_var"),
            (WEIGHTS, "return torch.exp(self.log_var.detach())"),
        ),
    ),
    WrongAnswer(
        id="log-var-clamped",
        title="log_var clamped to a range",
        explanation=(
            "Outside your range the total no longer follows `log_var`, and the gradient on it is 0, so an entry that "
            "gets there never comes back. The task sets no limits."
        ),
        caught_by="test_total",
        swap=(
            (
                TERMS,
                "log_var = self.log_var.clamp(-10, 10)\n        terms = torch.exp(-log_var) * losses + log_var",
            ),
        ),
    ),
    WrongAnswer(
        id="softmax-weights",
        title="weights made by a softmax over the terms",
        explanation=(
            "Your weights compete with each other, so that a weight depends on the other terms' variances. Here each "
            "term has its own variance; nothing makes the weights sum to a constant."
        ),
        caught_by="test_total",
        swap=(
            (TERMS, "terms = len(losses) * torch.softmax(-self.log_var, dim=0) * losses + self.log_var"),
            (WEIGHTS, "return len(self.log_var) * torch.softmax(-self.log_var.detach(), dim=0)"),
        ),
    ),
    WrongAnswer(
        id="weights-follow-the-loss",
        title="weights in proportion to the losses",
        explanation=(
            "Your total gives the largest loss the largest weight, as if a large number meant an important term. It "
            "may only have another unit. The weights are to come from `log_var`."
        ),
        caught_by="test_total",
        swap=((TERMS, "terms = losses.detach() / losses.detach().sum() * losses + self.log_var"),),
    ),
    WrongAnswer(
        id="s-not-halved",
        title="the factor ½ on the losses only",
        explanation=(
            "The price of a large variance is twice what it should be, so each weighted term comes to rest at 2 "
            "instead of 1. Which part of the bracket does the ½ belong to?"
        ),
        caught_by="test_total",
        swap=((TERMS, "terms = torch.exp(-self.log_var) * losses + 2 * self.log_var"),),
    ),
    WrongAnswer(
        id="losses-detached",
        title="losses cut off from the model",
        explanation=(
            "The total is right, but the model behind the losses gets no gradient: you weigh numbers and no longer the "
            "outputs of a model. Look for `detach`, `item`, `no_grad` or `.data` on the way from the losses."
        ),
        caught_by="test_gradients",
        swap=((TERMS, "terms = torch.exp(-self.log_var) * losses.detach() + self.log_var"),),
    ),
    WrongAnswer(
        id="torch-tensor-of-the-list",
        title="a list of losses rebuilt with torch.tensor",
        explanation=(
            "With a tensor of losses all is well, with a list the model gets no gradient: building a new tensor from "
            "numbers leaves the graph behind. Which function joins tensors and keeps it?"
        ),
        caught_by="test_gradients",
        swap=((STACK, "losses = torch.tensor([loss.item() for loss in losses], dtype=self.log_var.dtype)"),),
    ),
    WrongAnswer(
        id="detached-weights-in-the-total",
        title="the detached weights used in the total",
        explanation=(
            "The total is right, but `log_var` only feels the term that pushes it down, and never its loss. `weights()` "
            "is for the log; inside the total the factor has to stay in the graph."
        ),
        caught_by="test_gradients",
        swap=((TERMS, "terms = self.weights() * losses + self.log_var"),),
    ),
    WrongAnswer(
        id="not-a-parameter",
        title="log_var as a plain tensor that no optimiser finds",
        explanation=(
            "`module.parameters()` does not list `log_var`, so it keeps its zeros for ever, and it does not move to "
            "another device with the module. What makes an attribute a parameter?"
        ),
        caught_by="test_parameter_and_weights",
        swap=(("nn.Parameter(torch.zeros(n_terms))", "torch.zeros(n_terms, requires_grad=True)"),),
    ),
    WrongAnswer(
        id="weights-once",
        title="weights() computed once and kept",
        explanation=(
            "`weights()` still shows the values of the beginning after `log_var` has changed. It has to be worked out "
            "from the parameter each time it is asked for."
        ),
        caught_by="test_parameter_and_weights",
        swap=((WEIGHTS, "return torch.ones_like(self.log_var.detach())"),),
    ),
    WrongAnswer(
        id="weights-in-the-graph",
        title="weights() returned with its gradient",
        explanation=(
            "What `weights()` returns is meant for a log. With its gradient, every logged value keeps a graph alive, "
            "and using it in a loss would train `log_var` by accident. How does a tensor leave the graph?"
        ),
        caught_by="test_parameter_and_weights",
        swap=((WEIGHTS, "return torch.exp(-self.log_var)"),),
    ),
    WrongAnswer(
        id="weights-overwrite-the-parameter",
        title="weights() computed in place, in the memory of log_var",
        explanation=(
            "The first answer is right, but it was written over `log_var`, so the next total and the next weights are "
            "not. Functions whose names end in an underscore change their tensor, also through `data` or `detach()`."
        ),
        caught_by="test_parameter_and_weights",
        swap=((WEIGHTS, "return self.log_var.detach().neg_().exp_()"),),
    ),
    WrongAnswer(
        id="broadcasts-one-loss",
        title="one loss spread over all terms",
        explanation=(
            "A single loss, or a column of losses, is broadcast against `log_var` and gives a number without any "
            "error. Compare the shape of the losses with that of the parameter before you multiply."
        ),
        caught_by="test_number_of_terms",
        swap=(("if losses.shape != self.log_var.shape:", "if losses.dim() > 2:"),),
    ),
    WrongAnswer(
        id="zero-refused",
        title="a loss of 0 refused",
        explanation=(
            "A loss of 0 is allowed: a hinge or a contrastive term with a margin reaches it, and so does a term that "
            "has nothing to say about a batch. Look at the comparison."
        ),
        caught_by="test_values_of_losses",
        swap=(("(losses < 0).any()", "(losses <= 0).any()"),),
    ),
    WrongAnswer(
        id="negative-and-nan-accepted",
        title="the values of the losses not looked at",
        explanation=(
            "A negative loss has no best variance: its weight grows without end. And a NaN makes the parameters NaN "
            "for good. Both have to be refused before they are weighed."
        ),
        caught_by="test_values_of_losses",
        swap=(("if not losses.isfinite().all() or (losses < 0).any():", "if False:"),),
    ),
    WrongAnswer(
        id="nan-and-infinity-accepted",
        title="NaN and infinity let through",
        explanation=(
            "Losses below zero are refused, but `loss < 0` is False for NaN and for infinity, and one of them makes "
            "the parameters NaN for good. Ask whether the losses are finite as well."
        ),
        caught_by="test_values_of_losses",
        swap=(("if not losses.isfinite().all() or (losses < 0).any():", "if (losses < 0).any():"),),
    ),
]

alternatives = [
    Alternative(
        id="term-by-term",
        title="a running total over the terms, losses kept in a list",
        code="""
import math


class UncertaintyWeighting(nn.Module):
    def __init__(self, n_terms):
        if not n_terms >= 1:
            raise ValueError("at least one term")
        super().__init__()
        self.n_terms = n_terms
        self.register_parameter("log_var", nn.Parameter(torch.full((n_terms,), 0.0)))

    def forward(self, losses):
        if isinstance(losses, torch.Tensor):
            if losses.ndim != 1:
                raise ValueError("one axis expected")
            losses = list(losses.unbind(0))
        if len(losses) != self.n_terms:
            raise ValueError("number of losses")
        total = 0
        for loss, s in zip(losses, self.log_var):
            if not 0 <= loss.item() < math.inf:
                raise ValueError("bad loss")
            total = total + 0.5 * (loss / s.exp() + s)
        return total

    @torch.no_grad()
    def weights(self):
        return 1 / self.log_var.exp()
""",
    ),
    Alternative(
        id="dot-product",
        title="precisions as a vector, joined by dot and cat",
        code="""
class UncertaintyWeighting(nn.Module):
    def __init__(self, n_terms):
        super().__init__()
        if n_terms <= 0:
            raise ValueError(n_terms)
        self.log_var = nn.Parameter(torch.empty(n_terms))
        nn.init.zeros_(self.log_var)

    def forward(self, losses):
        n_terms = self.log_var.numel()
        if torch.is_tensor(losses):
            if list(losses.shape) != [n_terms]:
                raise ValueError(losses.shape)
        elif len(losses) != n_terms:
            raise ValueError(len(losses))
        else:
            losses = torch.cat([loss.reshape(1) for loss in losses])
        with torch.no_grad():
            if torch.isnan(losses).any() or losses.min() < 0 or losses.max() == float("inf"):
                raise ValueError(losses)
        precision = (-self.log_var).exp()
        return 0.5 * torch.dot(precision, losses) + 0.5 * self.log_var.sum()

    def weights(self):
        return (-self.log_var).exp().detach().clone()
""",
    ),
    Alternative(
        id="standard-deviation",
        title="Kendall's form with sigma: L / (2 sigma²) + ln sigma",
        code="""
import math


def _checked(losses, count):
    values = losses if isinstance(losses, Tensor) else [*losses]
    if isinstance(values, Tensor) and values.dim() != 1 or len(values) != count:
        raise ValueError("count")
    if any(not math.isfinite(value) or value < 0 for value in map(float, [v.detach() for v in values])):
        raise ValueError("value")
    return values


class UncertaintyWeighting(nn.Module):
    def __init__(self, n_terms):
        super().__init__()
        if n_terms < 1:
            raise ValueError("n_terms")
        self.log_var = nn.Parameter(torch.zeros(n_terms), requires_grad=True)

    def forward(self, losses):
        sigma = torch.exp(self.log_var / 2)
        parts = [
            loss / (2 * deviation**2) + deviation.log()
            for loss, deviation in zip(_checked(losses, len(sigma)), sigma)
        ]
        return torch.stack(parts).sum()

    def weights(self):
        return self.log_var.detach().neg().exp()
""",
    ),
]

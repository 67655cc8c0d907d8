"""Catalogue of adversarial/gan_losses. Every "must reject" line of B-T3a has an entry."""

from grader.catalogue import Alternative, WrongAnswer

REAL = "real = real_label * F.softplus(-real_logits) + (1 - real_label) * F.softplus(real_logits)"
FAKE = "fake = F.softplus(fake_logits)  #"
MEANS = "return real.mean() + fake.mean()"
NON_SATURATING = "return F.softplus(-fake_logits).mean()  # mean of -log D"
SATURATING = "return -F.softplus(fake_logits).mean()  # mean of log(1 - D)"
EMPTY_D = "if real_logits.numel() == 0 or fake_logits.numel() == 0:"
EMPTY_G = 'if fake_logits.numel() == 0:\n        raise ValueError("there must be at least one fake logit")'
LABEL = "if not 0 < real_label <= 1:"
UNKNOWN = "raise ValueError(f\"kind must be 'non_saturating' or 'saturating', not {kind!r}\")"

wrong_answers = [
    WrongAnswer(
        id="log-of-probabilities",  # the published loss
        title="the logarithm of probabilities that round to 0 or 1",
        explanation=(
            "The losses are infinite or NaN as soon as the discriminator is sure: its probability has been rounded to 0 "
            "or 1 before the logarithm sees it. In float32 that happens at a logit of about 17. Simplify the logarithm of the "
            "sigmoid on paper first."
        ),
        caught_by="test_values_of_saturated_logits",
        swap=(
            (
                REAL,
                "p = torch.sigmoid(real_logits)\n"
                "    real = -real_label * torch.log(p) - (1 - real_label) * torch.log(1 - p)",
            ),
            (FAKE, "fake = -torch.log(1 - torch.sigmoid(fake_logits))  #"),
            (NON_SATURATING, "return -torch.log(torch.sigmoid(fake_logits)).mean()"),
            (SATURATING, "return torch.log(1 - torch.sigmoid(fake_logits)).mean()"),
        ),
    ),
    WrongAnswer(
        id="labels-swapped",
        title="the targets of real samples and fakes exchanged",
        explanation=(
            "Your loss becomes small when real samples are called fake and fakes real. Which of your two terms falls "
            "when the logit of a real sample rises?"
        ),
        caught_by="test_discriminator_loss_is_the_sum_of_two_means",
        swap=(
            (REAL, "real = real_label * F.softplus(real_logits) + (1 - real_label) * F.softplus(-real_logits)"),
            (FAKE, "fake = F.softplus(-fake_logits)  #"),
        ),
    ),
    WrongAnswer(
        id="sum-instead-of-mean",
        title="sums over the samples instead of means",
        explanation=(
            "The loss grows with the number of samples, and with it the step of the optimiser: a rate tuned for one "
            "batch size is wrong for the next. Feed the same samples in twice and compare."
        ),
        caught_by="test_discriminator_loss_is_the_sum_of_two_means",
        swap=(
            (MEANS, "return real.sum() + fake.sum()"),
            (NON_SATURATING, "return F.softplus(-fake_logits).sum()"),
            (SATURATING, "return -F.softplus(fake_logits).sum()"),
        ),
    ),
    WrongAnswer(
        id="fakes-smoothed",
        title="the targets of the fakes smoothed too",
        explanation=(
            "With a `real_label` of 0.9 your fakes have the target 0.1: the discriminator is told that a tenth of the "
            "rubbish is real, and the generator is rewarded for staying where it is. Which term may know about "
            "`real_label`?"
        ),
        caught_by="test_only_the_target_of_the_real_samples_is_smoothed",
        swap=((FAKE, "fake = real_label * F.softplus(fake_logits) + (1 - real_label) * F.softplus(-fake_logits)  #"),),
    ),
    WrongAnswer(
        id="saturating-with-the-wrong-sign",
        title="the saturating loss with the opposite sign",
        explanation=(
            "Minimised, this loss makes the generator's fakes easier to recognise. log(1 - D) is never positive. Raise "
            "the logit of a fake by hand and look whether your number falls."
        ),
        caught_by="test_generator_loss_of_both_kinds",
        swap=((SATURATING, "return F.softplus(fake_logits).mean()"),),
    ),
    WrongAnswer(
        id="clamped-probabilities",
        title="probabilities kept away from 0 and 1 by a small number",
        explanation=(
            "The values are finite now, and the gradient is 0 wherever the limit is reached: the worst fakes, and the "
            "most confident mistakes of the discriminator, teach nothing. That is infinity hidden, not removed. Look for "
            "a form without a probability in it."
        ),
        caught_by="test_gradient_of_the_generator_loss",
        swap=(
            (
                REAL,
                "p = torch.sigmoid(real_logits).clamp(1e-7, 1 - 1e-7)\n"
                "    real = -real_label * torch.log(p) - (1 - real_label) * torch.log(1 - p)",
            ),
            (FAKE, "fake = -torch.log(1 - torch.sigmoid(fake_logits).clamp(1e-7, 1 - 1e-7))  #"),
            (NON_SATURATING, "return -torch.log(torch.sigmoid(fake_logits).clamp(1e-7, 1 - 1e-7)).mean()"),
            (SATURATING, "return torch.log(1 - torch.sigmoid(fake_logits).clamp(1e-7, 1 - 1e-7)).mean()"),
        ),
    ),
    WrongAnswer(
        id="probability-loss",  # the published code's BCELoss
        title="the library's cross-entropy of probabilities",
        explanation=(
            "The library's loss of probabilities cuts the logarithm off at -100, so that nothing is infinite. A logit of "
            "10000 on the wrong side then costs 100, and its gradient is gone. The logits know more than the "
            "probabilities do."
        ),
        caught_by="test_values_of_saturated_logits",
        swap=(
            (
                REAL,
                "real = F.binary_cross_entropy(torch.sigmoid(real_logits), torch.full_like(real_logits, real_label))",
            ),
            (FAKE, "fake = F.binary_cross_entropy(torch.sigmoid(fake_logits), torch.zeros_like(fake_logits))  #"),
            (
                NON_SATURATING,
                "return F.binary_cross_entropy(torch.sigmoid(fake_logits), torch.ones_like(fake_logits))",
            ),
            (
                SATURATING,
                "return -F.binary_cross_entropy(torch.sigmoid(fake_logits), torch.zeros_like(fake_logits))",
            ),
        ),
    ),
    WrongAnswer(
        id="overflow",
        title="exponentials of large logits",
        explanation=(
            "The probability is gone from your formula, which is the right idea, but exp overflows above about 709 in "
            "float64 and 88 in float32, and the loss becomes infinite. For large x, what is log(1 + exp(x)) "
            "approximately? Take that part out first."
        ),
        caught_by="test_values_of_saturated_logits",
        swap=(
            (
                REAL,
                "real = real_label * torch.log1p(torch.exp(-real_logits)) + (1 - real_label) * torch.log1p(torch.exp(real_logits))",
            ),
            (FAKE, "fake = torch.log1p(torch.exp(fake_logits))  #"),
            (NON_SATURATING, "return torch.log1p(torch.exp(-fake_logits)).mean()"),
            (SATURATING, "return -torch.log1p(torch.exp(fake_logits)).mean()"),
        ),
    ),
    WrongAnswer(
        id="nan-gradients",
        title="NaN gradients behind values that are right",
        explanation=(
            "The values are right, and at large logits the gradients are NaN. `torch.where` chooses between two results "
            "but sends a gradient of 0 back through the one it did not choose, and 0 times infinity is NaN. Make sure "
            "that the branch which is not chosen stays finite too."
        ),
        caught_by="test_gradient_of_the_discriminator_loss",
        code="""
def _ramp(x):
    return torch.where(x > 30, x, torch.log1p(torch.exp(x)))


def d_loss(real_logits, fake_logits, real_label=1.0):
    if real_logits.numel() == 0 or fake_logits.numel() == 0 or not 0 < real_label <= 1:
        raise ValueError("bad input")
    real = real_label * _ramp(-real_logits) + (1 - real_label) * _ramp(real_logits)
    return real.mean() + _ramp(fake_logits).mean()


def g_loss(fake_logits, kind):
    if fake_logits.numel() == 0 or kind not in ("saturating", "non_saturating"):
        raise ValueError("bad input")
    return -_ramp(fake_logits).mean() if kind == "saturating" else _ramp(-fake_logits).mean()
""",
    ),
    WrongAnswer(
        id="one-mean-over-all",
        title="one mean over real samples and fakes together",
        explanation=(
            "Real samples and fakes are averaged in one go. That is half of the sum of the two means when there are as "
            "many of one as of the other, and something else when there are not. Average each kind by itself."
        ),
        caught_by="test_discriminator_loss_is_the_sum_of_two_means",
        swap=((MEANS, "return torch.cat([real.flatten(), fake.flatten()]).mean()"),),
    ),
    WrongAnswer(
        id="halved",
        title="the average of the two parts instead of their sum",
        explanation=(
            "Your loss of the discriminator is half of what is asked for. Some programs halve it, to slow the "
            "discriminator down; here, as in the paper, the two means are added."
        ),
        caught_by="test_discriminator_loss_is_the_sum_of_two_means",
        swap=((MEANS, "return (real.mean() + fake.mean()) / 2"),),
    ),
    WrongAnswer(
        id="sigmoid-twice",
        title="the sigmoid applied twice",
        explanation=(
            "The logits go through a sigmoid and then into a loss that expects logits, so D lies between 0.5 and 0.73 "
            "whatever the discriminator says. Which of your functions contains a sigmoid already?"
        ),
        caught_by="test_discriminator_loss_is_the_sum_of_two_means",
        swap=(
            (
                "    # -log D = softplus(-logit)",
                "    real_logits, fake_logits = real_logits.sigmoid(), fake_logits.sigmoid()\n    # -log D = softplus(-logit)",
            ),
            (NON_SATURATING, "return F.softplus(-fake_logits.sigmoid()).mean()"),
            (SATURATING, "return -F.softplus(fake_logits.sigmoid()).mean()"),
        ),
    ),
    WrongAnswer(
        id="half-a-cross-entropy",
        title="the second term of the smoothed target left out",
        explanation=(
            "A target of 0.9 makes your loss 0.9 times as large, and no more: the discriminator can still drive it to 0 "
            "by being ever more certain. A cross-entropy with a soft target has a second term, which pays for certainty. "
            "Where is its minimum, by the logit, in yours?"
        ),
        caught_by="test_only_the_target_of_the_real_samples_is_smoothed",
        swap=((REAL, "real = real_label * F.softplus(-real_logits)"),),
    ),
    WrongAnswer(
        id="label-ignored",
        title="`real_label` has no influence on the loss",
        explanation=(
            "Every `real_label` gives the loss of 1.0. Follow the argument through your function: where does it enter "
            "the formula?"
        ),
        caught_by="test_only_the_target_of_the_real_samples_is_smoothed",
        swap=((REAL, "real = F.softplus(-real_logits)"),),
    ),
    WrongAnswer(
        id="generator-helps-the-discriminator",
        title="the generator trained with the target 0",
        explanation=(
            "Your non-saturating loss falls when the discriminator recognises the fakes: the generator is given the "
            "discriminator's own target for them. What does the generator want D to say about its fakes?"
        ),
        caught_by="test_generator_loss_of_both_kinds",
        swap=((NON_SATURATING, "return F.softplus(fake_logits).mean()"),),
    ),
    WrongAnswer(
        id="kinds-exchanged",
        title="the two losses of the generator exchanged",
        explanation=(
            "Each kind returns the other one's loss. Saturating means: flat where D is close to 0, so that bad fakes "
            "get almost no gradient. Which of the two formulas is flat there?"
        ),
        caught_by="test_generator_loss_of_both_kinds",
        swap=(
            (NON_SATURATING, "return -F.softplus(fake_logits).mean()"),
            (SATURATING, "return F.softplus(-fake_logits).mean()"),
        ),
    ),
    WrongAnswer(
        id="number-instead-of-tensor",
        title="results that are cut off from the logits",
        explanation=(
            "The numbers are right, and no gradient can flow back from them. `item()`, `detach()`, `torch.tensor(…)` "
            "around a result and `torch.no_grad()` all cut the graph; a loss has to stay connected with the logits."
        ),
        caught_by="test_one_differentiable_number_in_the_dtype_of_the_logits",
        swap=(
            (MEANS, "return (real.mean() + fake.mean()).detach()"),
            (NON_SATURATING, "return F.softplus(-fake_logits).mean().detach()"),
            (SATURATING, "return -F.softplus(fake_logits).mean().detach()"),
        ),
    ),
    WrongAnswer(
        id="always-float32",
        title="everything computed in float32",
        explanation=(
            "The result is float32 whatever came in, so half of the digits of a float64 input are lost. Look for "
            "`.float()` and for tensors made without a dtype."
        ),
        caught_by="test_one_differentiable_number_in_the_dtype_of_the_logits",
        swap=(
            (MEANS, "return real.float().mean() + fake.float().mean()"),
            (NON_SATURATING, "return F.softplus(-fake_logits.float()).mean()"),
            (SATURATING, "return -F.softplus(fake_logits.float()).mean()"),
        ),
    ),
    WrongAnswer(
        id="changed-in-place",
        title="the caller's logits changed in place",
        explanation=(
            "After the call the logits that were handed in hold other numbers. Functions whose name ends in an "
            "underscore, and `*=`, write into the tensor that the caller still holds. Which of your lines does that?"
        ),
        caught_by="test_one_differentiable_number_in_the_dtype_of_the_logits",
        swap=(
            (
                NON_SATURATING,
                "return F.softplus(fake_logits.neg_() if not fake_logits.requires_grad else -fake_logits).mean()",
            ),
        ),
    ),
    WrongAnswer(
        id="ready-made",
        title="the library's own cross-entropy of logits",
        explanation=(
            "The numbers are right, and the work is done by the ready-made loss that this exercise is about. Write -log D "
            "as a function of the logit yourself; it takes one line."
        ),
        caught_by="test_one_differentiable_number_in_the_dtype_of_the_logits",
        swap=((FAKE, "fake = F.binary_cross_entropy_with_logits(fake_logits, torch.zeros_like(fake_logits))  #"),),
    ),
    WrongAnswer(
        id="empty-is-nan",
        title="NaN for a batch without samples",
        explanation=(
            "The mean over nothing is 0/0, and one NaN in a loss reaches every weight. Ask for the number of elements "
            "before you average."
        ),
        caught_by="test_bad_input_is_refused",
        swap=((EMPTY_D, "if False:"), (EMPTY_G, "pass")),
    ),
    WrongAnswer(
        id="any-label-accepted",
        title="targets outside (0, 1] accepted",
        explanation=(
            "A target above 1 makes a loss without a minimum, which falls for ever; 0 turns real samples into fakes. "
            "Look at `real_label` before you use it."
        ),
        caught_by="test_bad_input_is_refused",
        swap=((LABEL, "if real_label != real_label:"),),
    ),
    WrongAnswer(
        id="nan-label-accepted",
        title="a target of NaN accepted",
        explanation=(
            "Every comparison with NaN is false, so `label <= 0 or label > 1` lets it pass. Ask for what a good target "
            "is, and refuse everything else."
        ),
        caught_by="test_bad_input_is_refused",
        swap=((LABEL, "if real_label <= 0 or real_label > 1:"),),
    ),
    WrongAnswer(
        id="unknown-kind-accepted",
        title="an unknown kind treated as one of the two",
        explanation=(
            "Whatever is not the first kind is taken for the second, so a typing error trains with the wrong loss and "
            "nobody notices. Ask for both names, and refuse the rest."
        ),
        caught_by="test_bad_input_is_refused",
        swap=((UNKNOWN, "return -F.softplus(fake_logits).mean()"),),
    ),
]

alternatives = [
    Alternative(
        id="logsigmoid",
        title="with the logarithm of the sigmoid, and 1 - D written as the sigmoid of the negative logit",
        code="""
def d_loss(real_logits, fake_logits, real_label=1.0):
    for logits in (real_logits, fake_logits):
        if not logits.nelement():
            raise ValueError("no logits")
    if math.isnan(real_label) or real_label <= 0.0 or real_label > 1.0:
        raise ValueError("real_label must be in (0, 1]")
    log_d, log_not_d = F.logsigmoid(real_logits), F.logsigmoid(-real_logits)
    on_real = torch.lerp(log_not_d, log_d, real_label)
    return -(on_real.mean() + F.logsigmoid(-fake_logits).mean())


def g_loss(fake_logits, kind):
    if fake_logits.nelement() == 0:
        raise ValueError("no logits")
    losses = {
        "saturating": lambda: F.logsigmoid(-fake_logits).mean(),
        "non_saturating": lambda: -F.logsigmoid(fake_logits).mean(),
    }
    if kind not in losses:
        raise ValueError("unknown kind")
    return losses[kind]()


import math
""",
    ),
    Alternative(
        id="maximum-and-log1p",
        title="the larger part taken out of the exponential by hand, and the label as one subtraction",
        code="""
def _cross_entropy(logits, target):
    larger = torch.maximum(logits, torch.zeros_like(logits))  # its slope at 0 is 1/2, that of relu would be 0
    losses = larger - logits * target + torch.log1p(torch.exp(-torch.abs(logits)))
    return losses.sum() / losses.numel()


def d_loss(real_logits, fake_logits, real_label=1.0):
    if 0 in (torch.numel(real_logits), torch.numel(fake_logits)):
        raise ValueError("no logits")
    if not (real_label > 0 and real_label <= 1):
        raise ValueError("real_label must be in (0, 1]")
    return _cross_entropy(real_logits, real_label) + _cross_entropy(fake_logits, 0)


def g_loss(fake_logits, kind):
    if min(fake_logits.shape, default=1) == 0 or kind not in {"saturating", "non_saturating"}:
        raise ValueError("bad input")
    if kind == "saturating":
        return _cross_entropy(fake_logits, 0) * -1
    return _cross_entropy(fake_logits, 1)
""",
    ),
    Alternative(
        id="logaddexp",
        title="with logaddexp, one logit at a time",
        code="""
def _log_one_plus_exp(x):
    return torch.logaddexp(x, torch.zeros_like(x))


def d_loss(real_logits, fake_logits, real_label=1.0):
    real_logits, fake_logits = real_logits.reshape(-1), fake_logits.reshape(-1)
    if len(real_logits) == 0 or len(fake_logits) == 0:
        raise ValueError("no logits")
    if not (0.0 < real_label <= 1.0):
        raise ValueError("real_label must be in (0, 1]")
    loss = 0.0
    for logit in real_logits:
        one = real_label * _log_one_plus_exp(-logit)
        if real_label < 1:
            one = one + (1.0 - real_label) * _log_one_plus_exp(logit)
        loss = loss + one / len(real_logits)
    for logit in fake_logits:
        loss = loss + _log_one_plus_exp(logit) / len(fake_logits)
    return loss


def g_loss(fake_logits, kind):
    if kind not in ("saturating", "non_saturating"):
        raise ValueError("unknown kind")
    sign = 1 if kind == "saturating" else -1
    logits = fake_logits.flatten()
    if logits.shape == (0,):
        raise ValueError("no logits")
    return -sign * sum(_log_one_plus_exp(sign * logit) for logit in logits) / len(logits)
""",
    ),
]

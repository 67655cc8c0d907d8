"""Catalogue of adversarial/gan_step. Every "must reject" line of B-T3b has an entry.

The published loop has one optimiser over both networks; with the two of this exercise that is one backward pass of both
losses before both step. "Gradients not cleared" and "D updated twice or G updated before D" have two entries each. A G loss taken before D's
update and sent backward after it is no entry: torch refuses it with an error of its own.
"""

from grader.catalogue import Alternative, WrongAnswer

BATCHES = "if len(real) != len(z_d):"
EMPTY = "if len(real) == 0 or len(z_g) == 0:"
SHARED = "if of_g & of_d:"
FAKES = "    with torch.no_grad():\n        fakes = G(z_d)  # (batch, ...)\n"
LOGITS = "real_logits, fake_logits = D(real), D(fakes)"
ON_REAL = "d_loss = F.binary_cross_entropy_with_logits(real_logits, torch.ones_like(real_logits))"
ON_FAKE = "d_loss = d_loss + F.binary_cross_entropy_with_logits(fake_logits, torch.zeros_like(fake_logits))"
D_FINITE = "if not d_loss.isfinite():"
D_STEP = "    opt_d.zero_grad()\n    d_loss.backward()\n    opt_d.step()\n"
ANSWER = "logits = D(G(z_g))"
G_LOSS = "g_loss = F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))"
G_FINITE = "if not g_loss.isfinite():"
G_BACKWARD = (
    "g_loss.backward(inputs=[parameter for parameter in G.parameters() if parameter.requires_grad])  # nothing into D"
)
G_STEP = f"    opt_g.zero_grad()\n    {G_BACKWARD}\n    opt_g.step()\n"
D_REAL, D_FAKE = "torch.sigmoid(real_logits).mean().item()", "torch.sigmoid(fake_logits).mean().item()"

wrong_answers = [
    WrongAnswer(
        id="published",
        title="both losses sent backward together, before one update of everything",
        explanation=(
            "The gradients of both losses meet in the same `.grad`. On the fakes the losses want opposite things, so in "
            "the generator the two gradients cancel, and the discriminator is pushed both ways. Each network needs a "
            "backward pass of its own loss, and a step of its own, one after the other."
        ),
        caught_by="test_the_discriminator_makes_its_own_step",
        swap=(
            (FAKES, "    fakes = G(z_d)\n"),
            (D_STEP, ""),
            (ANSWER, "logits = fake_logits"),
            (
                G_STEP,
                "    opt_d.zero_grad()\n    opt_g.zero_grad()\n    (d_loss + g_loss).backward()\n"
                "    opt_d.step()\n    opt_g.step()\n",
            ),
        ),
    ),
    WrongAnswer(
        id="fakes-not-detached",
        title="fakes that are still connected with G in D's step",
        explanation=(
            "The backward pass of `d_loss` runs on through the fakes into G, which costs time and memory and leaves the "
            "wrong gradient there. Clearing it later hides that. For D the fakes are data like the real samples: make "
            "them without a graph, or cut them off."
        ),
        caught_by="test_who_is_called_with_what",
        swap=((FAKES, "    fakes = G(z_d)\n"),),
    ),
    WrongAnswer(
        id="discriminator-polluted",
        title="the gradient of G's loss left behind in D",
        explanation=(
            "Both networks come out right, but D's `.grad` now holds the sum of two gradients: its own, and that of the "
            "loss of G, which has come through D on its way. Whoever reads the gradients afterwards, to clip or to log "
            "them, or forgets to clear them, gets the wrong ones. Which leaves may the second backward pass fill?"
        ),
        caught_by="test_the_generator_leaves_nothing_behind_in_the_discriminator",
        swap=((G_BACKWARD, "g_loss.backward()"),),
    ),
    WrongAnswer(
        id="generator-with-target-0",
        title="the generator trained with the target 0",
        explanation=(
            "Your G learns to make fakes that D recognises: it is given D's own target for them. What does G want D to "
            "say about its fakes?"
        ),
        caught_by="test_the_generator_answers_the_discriminator_of_that_moment",
        swap=((G_LOSS, G_LOSS.replace("ones_like", "zeros_like")),),
    ),
    WrongAnswer(
        id="saturating-generator",
        title="the saturating loss for the generator",
        explanation=(
            "Your G minimises log(1 - D), which points the right way and is almost flat where D recognises the fakes: "
            "in the beginning G hardly moves. Asked for is the loss that is steep there."
        ),
        caught_by="test_the_generator_answers_the_discriminator_of_that_moment",
        swap=((G_LOSS, G_LOSS.replace("= F.", "= -F.").replace("ones_like", "zeros_like")),),
    ),
    WrongAnswer(
        id="discriminator-not-cleared",
        title="old gradients in D's step",
        explanation=(
            "`backward()` adds to what is in `.grad`. What lies there from the last step, or from anybody else, pushes "
            "D once more. Call your function twice, and look at D's gradient before the second backward pass."
        ),
        caught_by="test_nothing_from_before_counts",
        swap=(("    opt_d.zero_grad()\n", ""),),
    ),
    WrongAnswer(
        id="generator-not-cleared",
        title="old gradients in G's step",
        explanation=(
            "`backward()` adds to what is in `.grad`. What lies there from the last step, or from D's loss, pushes G "
            "once more. Call your function twice, and look at G's gradient before the second backward pass."
        ),
        caught_by="test_nothing_from_before_counts",
        swap=(("    opt_g.zero_grad()\n", ""),),
    ),
    WrongAnswer(
        id="discriminator-twice",
        title="D updated twice in one call",
        explanation=(
            "`opt_d` steps a second time: the first time with the gradient of its own loss, the second time with what "
            "is in `.grad` after G's backward pass. Which optimisers may step in the step of G?"
        ),
        caught_by="test_the_discriminator_makes_its_own_step",
        swap=(("    opt_g.step()\n", "    opt_g.step()\n    opt_d.step()\n"),),
    ),
    WrongAnswer(
        id="generator-first",
        title="G updated before D",
        explanation=(
            "Your G moves first, so D learns from the fakes of another G, and G answers a D that is out of date. Either "
            "order makes a game; the one asked for is D first."
        ),
        caught_by="test_the_discriminator_makes_its_own_step",
        swap=(
            ("    # D learns: target 1", "    update_generator()\n    # D learns: target 1"),
            ("    # G learns: target 1 for its fakes, judged by the updated D\n", ""),
            (f"    {ANSWER}\n", ""),
            (f"    {G_LOSS}\n", ""),
            (f"    {G_FINITE}\n", ""),
            ('        raise RuntimeError(f"the loss of the generator is {g_loss.item()}")\n', ""),
            (G_STEP, ""),
            (
                "    of_g = {id",
                "    def update_generator():\n"
                "        nonlocal g_loss\n"
                "        logits = D(G(z_g))\n"
                "        g_loss = F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))\n"
                "        if not g_loss.isfinite():\n"
                '            raise RuntimeError("not finite")\n'
                "        opt_g.zero_grad()\n"
                "        g_loss.backward(inputs=[p for p in G.parameters() if p.requires_grad])\n"
                "        opt_g.step()\n"
                "\n"
                "    g_loss = None\n"
                "    of_g = {id",
            ),
        ),
    ),
    WrongAnswer(
        id="old-discriminator",
        title="G taught by the D from before its update",
        explanation=(
            "The gradient of G is worked out before `opt_d` steps, so G answers a D that no longer exists when it moves. "
            "In which order do the two backward passes and the two steps come in your code?"
        ),
        caught_by="test_the_generator_answers_the_discriminator_of_that_moment",
        swap=(
            (D_STEP, "    opt_d.zero_grad()\n    d_loss.backward()\n"),
            ("    opt_g.step()\n", "    opt_d.step()\n    opt_g.step()\n"),
        ),
    ),
    WrongAnswer(
        id="same-noise",
        title="G's fakes made from the noise of D's step",
        explanation=(
            "`z_g` has no influence on your step: G is taught with the noise that D has already seen. Fresh noise is "
            "asked for. Which argument is never used?"
        ),
        caught_by="test_who_is_called_with_what",
        swap=((ANSWER, "logits = D(G(z_d))"),),
    ),
    WrongAnswer(
        id="fakes-reused",
        title="one batch of fakes for both steps",
        explanation=(
            "G is called once, and its fakes serve both steps, detached for D and whole for G. That saves a pass and is "
            "common; here, as in the paper, G's step has noise of its own."
        ),
        caught_by="test_who_is_called_with_what",
        swap=(
            (FAKES, "    whole = G(z_d)\n    fakes = whole.detach()\n"),
            (ANSWER, "logits = D(whole)"),
        ),
    ),
    WrongAnswer(
        id="joined-batch",
        title="real samples and fakes shown to D in one batch",
        explanation=(
            "D sees real samples and fakes joined. With batch normalisation the statistics then come from the mixture, "
            "and the answer to a real sample depends on the fakes beside it. Show D one kind at a time."
        ),
        caught_by="test_who_is_called_with_what",
        swap=((LOGITS, "real_logits, fake_logits = D(torch.cat([real, fakes])).split(len(real))"),),
    ),
    WrongAnswer(
        id="modes-switched",
        title="training and evaluation modes switched",
        explanation=(
            "Your step calls `train()` or `eval()`. The caller may keep parts of a network in evaluation mode, frozen "
            "batch normalisation for instance, and after your call they are not. A step needs neither of the two."
        ),
        caught_by="test_who_is_called_with_what",
        swap=(("    # D learns: target 1", "    G.train()\n    D.train()\n    # D learns: target 1"),),
    ),
    WrongAnswer(
        id="targets-swapped",
        title="D trained to call fakes real and real samples fake",
        explanation=(
            "D moves the wrong way: the targets of its two terms are exchanged. Which of them should fall when the logit "
            "of a real sample rises?"
        ),
        caught_by="test_the_discriminator_makes_its_own_step",
        swap=(
            (ON_REAL, ON_REAL.replace("ones_like", "zeros_like")),
            (ON_FAKE, ON_FAKE.replace("zeros_like", "ones_like")),
        ),
    ),
    WrongAnswer(
        id="discriminator-loss-summed",
        title="D's loss summed over the samples",
        explanation=(
            "D's loss and its step grow with the number of logits. Asked for is a mean over the real ones plus a mean "
            "over the fake ones."
        ),
        caught_by="test_the_discriminator_makes_its_own_step",
        swap=(
            (ON_REAL, ON_REAL[:-1] + ', reduction="sum")'),
            (ON_FAKE, ON_FAKE[:-1] + ', reduction="sum")'),
        ),
    ),
    WrongAnswer(
        id="generator-not-stepped",
        title="G never moves",
        explanation=(
            "G gets a gradient and does not step, or steps before it has one. Follow `opt_g` through your function: "
            "clear, backward, step."
        ),
        caught_by="test_the_generator_answers_the_discriminator_of_that_moment",
        swap=(("    opt_g.step()\n", ""),),
    ),
    WrongAnswer(
        id="sigmoid-of-the-mean",
        title="the probability of the mean logit instead of the mean probability",
        explanation=(
            "`d_real` and `d_fake` are computed from the mean of the logits. The sigmoid is curved, so that is another "
            "number: with the logits 0 and 10 the two are 0.99 and 0.75. Which comes first, the sigmoid or the mean?"
        ),
        caught_by="test_report",
        swap=(
            (D_REAL, "torch.sigmoid(real_logits.mean()).item()"),
            (D_FAKE, "torch.sigmoid(fake_logits.mean()).item()"),
        ),
    ),
    WrongAnswer(
        id="reported-after-the-update",
        title="probabilities reported after D's update",
        explanation=(
            "`d_real` and `d_fake` come from the D that has already learned from these very samples, so they look better "
            "than they were. Keep the numbers from the pass that the loss was computed from."
        ),
        caught_by="test_report",
        swap=(
            (
                "    # G learns: target 1",
                "    with torch.no_grad():\n        after = D(real), D(fakes)\n    # G learns: target 1",
            ),
            (D_REAL, "torch.sigmoid(after[0]).mean().item()"),
            (D_FAKE, "torch.sigmoid(after[1]).mean().item()"),
        ),
    ),
    WrongAnswer(
        id="tensors-reported",
        title="tensors instead of numbers in the dictionary",
        explanation=(
            "A loss that is kept as a tensor keeps its whole graph in memory, for as long as somebody keeps the "
            "dictionary. A log of ten thousand steps fills the GPU that way. Turn the four values into Python numbers."
        ),
        caught_by="test_report",
        swap=(('"d_loss": d_loss.item()', '"d_loss": d_loss'), ('"g_loss": g_loss.item()', '"g_loss": g_loss')),
    ),
    WrongAnswer(
        id="loss-of-probabilities",
        title="the cross-entropy of probabilities instead of logits",
        explanation=(
            "The logits become probabilities first, and a probability that rounds to 0 or 1 has lost the rest: the "
            "library then cuts the loss off at 100, and the gradient is gone. There is a cross-entropy that takes the "
            "logits as they are."
        ),
        caught_by="test_report",
        swap=(
            (
                ON_REAL,
                "d_loss = F.binary_cross_entropy(real_logits.sigmoid(), torch.ones_like(real_logits))",
            ),
            (
                ON_FAKE,
                "d_loss = d_loss + F.binary_cross_entropy(fake_logits.sigmoid(), torch.zeros_like(fake_logits))",
            ),
            (G_LOSS, "g_loss = F.binary_cross_entropy(logits.sigmoid(), torch.ones_like(logits))"),
        ),
    ),
    WrongAnswer(
        id="discriminator-left-frozen",
        title="D frozen for G's step, and never released",
        explanation=(
            "After your call the parameters of D no longer require a gradient, so in the next call D learns nothing any "
            "more, or the backward pass fails. What you switch off for a moment has to be switched on again."
        ),
        caught_by="test_the_generator_leaves_nothing_behind_in_the_discriminator",
        swap=((f"    {ANSWER}\n", f"    D.requires_grad_(False)\n    {ANSWER}\n"),),
    ),
    WrongAnswer(
        id="everything-unfrozen",
        title="all parameters of D trainable after the call",
        explanation=(
            "D is frozen for G's step and then released as a whole, together with the parameters that the caller had "
            "frozen before. Remember each parameter's own flag, and bring that back."
        ),
        caught_by="test_the_generator_leaves_nothing_behind_in_the_discriminator",
        swap=(
            (f"    {ANSWER}\n", f"    D.requires_grad_(False)\n    {ANSWER}\n"),
            (G_STEP, f"{G_STEP}    D.requires_grad_(True)\n"),
        ),
    ),
    WrongAnswer(
        id="batches-not-compared",
        title="different numbers of real samples and fakes accepted",
        explanation=(
            "`real` and `z_d` with different numbers of samples go through. The two means hide it, and the cause, a last "
            "batch that is too short, stays hidden too. Compare the two before anything else."
        ),
        caught_by="test_bad_input_changes_nothing",
        swap=((BATCHES, "if False:"),),
    ),
    WrongAnswer(
        id="empty-accepted",
        title="empty batches not refused at the start",
        explanation=(
            "A mean over no sample is 0/0. An empty batch should raise ValueError before a network is called, for `z_g` "
            "as well, whose number of samples is free."
        ),
        caught_by="test_bad_input_changes_nothing",
        swap=((EMPTY, "if False:"),),
    ),
    WrongAnswer(
        id="sharing-not-noticed",
        title="optimisers that share parameters accepted",
        explanation=(
            "One optimiser for both networks, or a weight that sits in both optimisers, goes through: that weight is "
            "then moved by both losses. Look at the parameters that the two optimisers hold."
        ),
        caught_by="test_bad_input_changes_nothing",
        swap=((SHARED, "if False:"),),
    ),
    WrongAnswer(
        id="only-the-same-optimiser",
        title="only one and the same optimiser is refused, not a shared parameter",
        explanation=(
            "Two different optimisers can still hold the same parameter, in any of their groups. Compare the parameters "
            "themselves, not the optimisers."
        ),
        caught_by="test_bad_input_changes_nothing",
        swap=((SHARED, "if opt_g is opt_d:"),),
    ),
    WrongAnswer(
        id="checked-too-late",
        title="bad input noticed after D has been updated",
        explanation=(
            "The error comes, but D has been called or has moved by then, and a caller who goes on after it trains with "
            "a half-done step. Look at all arguments before the first pass."
        ),
        caught_by="test_bad_input_changes_nothing",
        swap=(
            (EMPTY, "if len(real) == 0:"),
            (
                f"    {ANSWER}\n",
                f'    if len(z_g) == 0:\n        raise ValueError("z_g is empty")\n    {ANSWER}\n',
            ),
        ),
    ),
    WrongAnswer(
        id="loss-not-looked-at",
        title="steps made with losses that are not finite",
        explanation=(
            "One NaN in a loss makes every weight that it reaches NaN, and no later batch repairs that. Look at the loss "
            "before you send it backward."
        ),
        caught_by="test_a_loss_that_is_not_finite_stops_the_step",
        swap=((D_FINITE, "if False:"), (G_FINITE, "if False:")),
    ),
    WrongAnswer(
        id="generator-loss-not-looked-at",
        title="G's loss not looked at before its step",
        explanation=(
            "D's loss is watched and G's is not: noise with a NaN in it spoils every weight of G. The two losses need "
            "the same look."
        ),
        caught_by="test_a_loss_that_is_not_finite_stops_the_step",
        swap=((G_FINITE, "if False:"),),
    ),
    WrongAnswer(
        id="only-nan-noticed",
        title="an infinite loss accepted",
        explanation=(
            "You ask whether the loss is NaN. An infinite one passes, and its gradient makes the weights NaN one step "
            "later. Ask for the good case: finite."
        ),
        caught_by="test_a_loss_that_is_not_finite_stops_the_step",
        swap=((D_FINITE, "if d_loss.isnan():"), (G_FINITE, "if g_loss.isnan():")),
    ),
    WrongAnswer(
        id="looked-at-after-the-step",
        title="losses looked at after the optimiser has stepped",
        explanation=(
            "The error is raised, but by then the bad gradient is in the weights. Between the loss and the step there "
            "is a moment to look at it."
        ),
        caught_by="test_a_loss_that_is_not_finite_stops_the_step",
        swap=(
            (D_STEP, ""),
            (f"    {D_FINITE}\n", f"{D_STEP}    {D_FINITE}\n"),
            (G_STEP, ""),
            (f"    {G_FINITE}\n", f"{G_STEP}    {G_FINITE}\n"),
        ),
    ),
]

alternatives = [
    Alternative(
        id="flags-switched-off",
        title="D's flags switched off for G's step and restored in a finally, losses with softplus",
        code="""
def gan_step(G, D, real, opt_g, opt_d, z_d, z_g):
    if real.shape[0] != z_d.shape[0] or not real.shape[0] or not z_g.shape[0]:
        raise ValueError("batches")
    for group in opt_g.param_groups:
        for p in group["params"]:
            if any(p is q for other in opt_d.param_groups for q in other["params"]):
                raise ValueError("shared")
    report = {}
    D.zero_grad()
    fakes = G(z_d).detach()
    on_fakes, on_real = D(fakes), D(real)
    loss = F.softplus(-on_real).mean() + F.softplus(on_fakes).mean()
    report["d_loss"] = loss.item()
    if report["d_loss"] != report["d_loss"] or abs(report["d_loss"]) == float("inf"):
        raise RuntimeError("d_loss")
    report["d_real"] = on_real.sigmoid().mean().item()
    report["d_fake"] = on_fakes.sigmoid().mean().item()
    loss.backward()
    opt_d.step()
    flags = {p: p.requires_grad for p in D.parameters()}
    try:
        for p in D.parameters():
            p.requires_grad = False
        G.zero_grad()
        loss = F.softplus(-D(G(z_g))).mean()
        report["g_loss"] = loss.item()
        if not torch.isfinite(loss):
            raise RuntimeError("g_loss")
        loss.backward()
        opt_g.step()
    finally:
        for p, flag in flags.items():
            p.requires_grad = flag
    return report
""",
    ),
    Alternative(
        id="gradients-as-values",
        title="with torch.autograd.grad, and both batches of fakes made first",
        code="""
def _update(optimiser, network, loss):
    trainable = [p for p in network.parameters() if p.requires_grad]
    optimiser.zero_grad(set_to_none=False)
    for p, gradient in zip(trainable, torch.autograd.grad(loss, trainable)):
        p.grad = gradient
    optimiser.step()


def gan_step(G, D, real, opt_g, opt_d, z_d, z_g):
    n, m = real.size(0), z_d.size(0)
    if n != m:
        raise ValueError("batches differ")
    if 0 in (n, z_g.size(0)):
        raise ValueError("empty")
    seen = set()
    for optimiser in (opt_g, opt_d):
        mine = {p.data_ptr() for group in optimiser.param_groups for p in group["params"]}
        if not seen.isdisjoint(mine):
            raise ValueError("shared")
        seen = seen | mine
    criterion = nn.BCEWithLogitsLoss()
    fresh, old = G(z_g), G(z_d).detach()
    logits = [D(samples) for samples in (old, real)]
    losses = [criterion(s, torch.full_like(s, float(target))) for target, s in enumerate(logits)]
    d_loss = sum(losses)
    if not torch.isfinite(d_loss).item():
        raise RuntimeError("d_loss")
    _update(opt_d, D, d_loss)
    answer = D(fresh)
    g_loss = criterion(answer, torch.full_like(answer, 1.0))
    if not torch.isfinite(g_loss).item():
        raise RuntimeError("g_loss")
    _update(opt_g, G, g_loss)
    d_fake, d_real = (torch.sigmoid(s).detach().mean() for s in logits)
    return dict(d_loss=float(d_loss.detach()), g_loss=float(g_loss.detach()), d_real=float(d_real), d_fake=float(d_fake))
""",
    ),
    Alternative(
        id="cleared-afterwards",
        title="D's gradients thrown away after G's step, losses with logsigmoid",
        code="""
import math


def gan_step(G, D, real, opt_g, opt_d, z_d, z_g):
    if len(z_g) < 1 or len(real) < 1 or len(z_d) != len(real):
        raise ValueError("batches")
    owned = [id(p) for o in (opt_g, opt_d) for g in o.param_groups for p in g["params"]]
    if len(owned) != len(set(owned)):
        raise ValueError("shared")

    def finite(loss):
        value = loss.item()
        if not math.isfinite(value):
            raise RuntimeError("not finite")
        return value

    opt_g.zero_grad()
    opt_d.zero_grad()
    real_logits = D(real)
    with torch.no_grad():
        fake = G(z_d)
    fake_logits = D(fake)
    loss_real = -F.logsigmoid(real_logits).mean()
    loss_fake = -F.logsigmoid(-fake_logits).mean()
    d_loss = finite(loss_real + loss_fake)
    loss_real.backward()
    loss_fake.backward()
    opt_d.step()
    opt_d.zero_grad()
    loss = -torch.mean(F.logsigmoid(D(G(z_g))))
    g_loss = finite(loss)
    loss.backward()
    opt_g.step()
    for p in D.parameters():
        p.grad = None
    with torch.no_grad():
        probabilities = [1 / (1 + torch.exp(-logits)) for logits in (real_logits, fake_logits)]
        d_real, d_fake = [p.sum().item() / p.numel() for p in probabilities]
    return {"d_real": d_real, "d_fake": d_fake, "d_loss": d_loss, "g_loss": g_loss}
""",
    ),
]

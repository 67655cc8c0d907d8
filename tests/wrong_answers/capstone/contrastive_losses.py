"""Catalogue of capstone/contrastive_losses.

Every mistake of the milestone's list has an entry. "Gradient flows through the sampling" cannot be told from a correct
answer, since what is asked for are row numbers, which carry no gradient; whoever returns weights is `weights-instead-of-
rows`. "Log(sigmoid) overflowing" is two entries, one for each loss that has a sigmoid.
"""

from grader.catalogue import Alternative, WrongAnswer

LOGITS = "test_logits_are_scaled_cosines_in_full_precision"
CHOICE = "test_images_choose_texts_and_texts_choose_images"
SIGMOID = "test_every_pair_is_a_question_of_its_own"
NEGATIVES = "test_negatives_show_another_concept"
CHANCES = "test_chances_are_the_softmax_of_the_similarity"
MATCHING = "test_three_questions_for_each_pair"
EXTREME = "test_extreme_logits_and_gradients"
REFUSED = "test_batches_that_make_no_sense_are_refused"

SCALED = "return log_scale.exp() * cosine"
DTYPE = "dtype = torch.promote_types(image.dtype, torch.float32)  # half precision becomes float32, the others stay"
COSINE = "cosine = image.to(dtype) @ text.to(dtype).T  # (images, texts)"
AUTOCAST = "with torch.autocast(image.device.type, enabled=False):\n        cosine"
SHARES = "same = (concepts[:, None] == concepts).to(logits.dtype)  # (batch, batch)"
TARGET = "target = same / same.sum(dim=1, keepdim=True)"
BOTH = "return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2"
LABEL = "label = torch.where(concepts[:, None] == concepts, 1.0, -1.0)  # (images, texts)"
QUESTIONS = "return -F.logsigmoid(label * logits).sum() / len(image)"
CANDIDATES = "candidates = similarity.detach().float().masked_fill(same, -torch.inf)  # (images, texts)"
DRAW_TEXTS = "wrong_texts = torch.multinomial(candidates.softmax(dim=1), 1, generator=generator)  # (images, 1)"
DRAW_IMAGES = "wrong_images = torch.multinomial(candidates.T.softmax(dim=1), 1, generator=generator)  # (texts, 1)"
ROWS = "return wrong_texts.squeeze(1), wrong_images.squeeze(1)"
ONE_CONCEPT = """if same.all():  # a row without any other concept: then all rows are like that
        raise ValueError("the batch shows one concept only, so there is no wrong text to draw")
"""
FALSE_NEGATIVE = """        if (concepts[wrong] == concepts).any():
            raise ValueError("a wrong row shows the same concept")
"""
IMAGES = "images = torch.cat([image, image, image[wrong_images]])  # (3 * batch, width)"
TEXTS = "texts = torch.cat([text, text[wrong_texts], text])  # (3 * batch, width)"
IN_FLOAT32 = "logits = logits.to(torch.promote_types(logits.dtype, torch.float32))"
MATCH = "return F.binary_cross_entropy_with_logits(logits, labels)"

wrong_answers = [
    WrongAnswer(
        id="labels-from-row-numbers",
        title="the softmax loss taking its labels from row numbers",
        explanation=(
            "A second drawing of the same concept is a negative in your loss: it pushes a rocket away from the name "
            "'rocket' because that name belongs to another row. `concepts` has no effect. Which places of a row are "
            "right answers?"
        ),
        caught_by=CHOICE,
        swap=((SHARES, "same = torch.eye(len(logits), dtype=logits.dtype)"),),
    ),
    WrongAnswer(
        id="duplicates-left-out",
        title="other places of the row's concept taken out of the softmax",
        explanation=(
            "You keep a concept's other places from being negatives by removing them from the row. Then nothing pulls "
            "a drawing towards them either. They are right answers, and share the target."
        ),
        caught_by=CHOICE,
        swap=(
            (
                TARGET,
                "logits = logits.masked_fill((same - torch.eye(len(same))).bool(), -1e4)\n"
                "    target = torch.eye(len(same), dtype=logits.dtype)",
            ),
        ),
    ),
    WrongAnswer(
        id="target-not-shared",
        title="a full target of 1 for every place of the concept",
        explanation=(
            "The target of a row is a distribution and sums to 1. Yours sums to the number of places, so that a concept "
            "that stands in the batch three times counts three times as much. What share is left for each?"
        ),
        caught_by=CHOICE,
        swap=((TARGET, "target = same"),),
    ),
    WrongAnswer(
        id="one-direction",
        title="only images choose among texts",
        explanation=(
            "Your loss asks which name belongs to each drawing, but never which drawing belongs to each name. Where "
            "in the table of logits does a text find its candidates?"
        ),
        caught_by=CHOICE,
        swap=((BOTH, "return F.cross_entropy(logits, target)"),),
    ),
    WrongAnswer(
        id="directions-summed",
        title="the two directions added up",
        explanation=(
            "Your softmax loss is twice as large as asked for: the sum of both directions. Gradients are then twice as "
            "large as well, next to the other losses and to weight decay. What is the mean of the two?"
        ),
        caught_by=CHOICE,
        swap=((BOTH, BOTH.removesuffix(" / 2")),),
    ),
    WrongAnswer(
        id="softmax-twice",
        title="a softmax in front of a cross-entropy that takes logits",
        explanation=(
            "`F.cross_entropy` takes the softmax itself. Given probabilities, it squeezes them into another softmax, "
            "in which no choice can be sure: the loss has a floor far above 0 and the gradients almost vanish."
        ),
        caught_by=CHOICE,
        swap=(
            (
                BOTH,
                "return (F.cross_entropy(logits.softmax(1), target) + F.cross_entropy(logits.T.softmax(1), target)) / 2",
            ),
        ),
    ),
    WrongAnswer(
        id="sum-over-the-rows",
        title="the softmax loss summed over the rows",
        explanation=(
            "Your loss grows with the batch, so that the step depends on how many pairs fit into it. Each direction "
            "is a mean over its rows."
        ),
        caught_by=CHOICE,
        swap=((BOTH, BOTH.replace(", target)", ", target, reduction='sum')")),),
    ),
    WrongAnswer(
        id="scale-without-exp",
        title="log_scale itself used as the scale",
        explanation=(
            "What is learned is the logarithm of the scale, so that no step can make the scale negative. Your logits "
            "are as if a scale of 14 were one of 2.6."
        ),
        caught_by=LOGITS,
        swap=((SCALED, "return log_scale * cosine"),),
    ),
    WrongAnswer(
        id="scale-divides",
        title="cosines multiplied by the temperature",
        explanation=(
            "exp(`log_scale`) is 1 / temperature. A temperature divides and a scale multiplies; with yours the softmax "
            "becomes flatter where it should become sharper."
        ),
        caught_by=LOGITS,
        swap=((SCALED, "return cosine / log_scale.exp()"),),
    ),
    WrongAnswer(
        id="texts-in-rows",
        title="a table of logits with a row for each text",
        explanation=(
            "The losses cannot tell, since they look at both directions, but whoever reads your table does: row i "
            "should say how image i likes each text. Which of the two comes first in your product?"
        ),
        caught_by=LOGITS,
        swap=((SCALED, "return log_scale.exp() * cosine.T"),),
    ),
    WrongAnswer(
        id="always-float32",
        title="everything cut to float32, float64 too",
        explanation=(
            "float64 embeddings come back as float32 logits. Only half precision has to be turned into float32; what "
            "is more precise stays as it is."
        ),
        caught_by=LOGITS,
        swap=((DTYPE, "dtype = torch.float32"),),
    ),
    WrongAnswer(
        id="half-precision-products",
        title="products in half precision, turned into float32 afterwards",
        explanation=(
            "The dtype of your logits is right and their digits are not: the cosines were rounded before the scale "
            "made their error large. Turn the embeddings into float32 before they are multiplied."
        ),
        caught_by=LOGITS,
        swap=((COSINE, "cosine = (image @ text.T).to(dtype)"),),
    ),
    WrongAnswer(
        id="autocast-left-on",
        title="a product in bfloat16 inside the caller's autocast",
        explanation=(
            "On its own your table is exact. Inside `torch.autocast` the product runs in bfloat16 although you cast to "
            "float32, and at a scale of 100 the logits are off by a quarter. The statement names what keeps it off."
        ),
        caught_by=LOGITS,
        swap=((AUTOCAST, "if True:\n        cosine"),),
    ),
    WrongAnswer(
        id="sigmoid-labels-from-row-numbers",
        title="the sigmoid loss saying yes on the diagonal only",
        explanation=(
            "Two drawings of one concept get the label −1 with each other's names, although both names are right. "
            "Where does the label come from?"
        ),
        caught_by=SIGMOID,
        swap=((LABEL, "label = 2 * torch.eye(len(logits), dtype=logits.dtype) - 1"),),
    ),
    WrongAnswer(
        id="sigmoid-mean-over-pairs",
        title="the sigmoid loss averaged over all pairs",
        explanation=(
            "Your loss is too small by a factor of the batch size. Most of the batch² pairs are easy negatives, and a "
            "mean over all of them makes the step shrink as the batch grows. How many rows are there?"
        ),
        caught_by=SIGMOID,
        swap=((QUESTIONS, "return -F.logsigmoid(label * logits).mean()"),),
    ),
    WrongAnswer(
        id="sigmoid-diagonal-only",
        title="the sigmoid loss of the diagonal alone",
        explanation=(
            "Only the pairs (i, i) enter your sigmoid loss, so nothing keeps different concepts apart. There are "
            "batch² questions, and for most of them the answer is no."
        ),
        caught_by=SIGMOID,
        swap=((QUESTIONS, "return -F.logsigmoid(label * logits).diagonal().sum() / len(image)"),),
    ),
    WrongAnswer(
        id="sigmoid-sign-turned",
        title="labels with the sign turned",
        explanation=(
            "Your sigmoid loss is small when pairs of one concept are far apart and the others close. Training would "
            "do just that. What does −log σ do to a large logit, and which pairs should have one?"
        ),
        caught_by=SIGMOID,
        swap=((LABEL, "label = torch.where(concepts[:, None] == concepts, -1.0, 1.0)"),),
    ),
    WrongAnswer(
        id="sigmoid-labels-0-and-1",
        title="labels 0 and 1 where the sign of the logit is meant",
        explanation=(
            "A pair of different concepts has its logit multiplied by 0, so it costs ln 2 whatever the embeddings are, "
            "and nothing is pushed apart. Which factor turns 'how likely is yes' into 'how likely is no'?"
        ),
        caught_by=SIGMOID,
        swap=((LABEL, "label = torch.where(concepts[:, None] == concepts, 1.0, 0.0)"),),
    ),
    WrongAnswer(
        id="bias-inside-the-scale",
        title="the bias added before the scale",
        explanation=(
            "Your logits are scale · (cosine + bias). As the scale grows the bias grows with it, and a bias of −10 "
            "becomes one of −1000. It is added to the scaled cosine."
        ),
        caught_by=SIGMOID,
        swap=(
            (
                "logits = pair_logits(image, text, log_scale) + bias  # (images, texts)",
                "logits = pair_logits(image, text, log_scale) + log_scale.exp() * bias",
            ),
        ),
    ),
    WrongAnswer(
        id="positives-not-masked",
        title="negatives that may be the true partner",
        explanation=(
            "A row can draw its own partner, and since that is usually the most similar candidate it mostly does. The "
            "matching loss then learns that a true pair is none. Who may not be drawn?"
        ),
        caught_by=NEGATIVES,
        swap=((CANDIDATES, "candidates = similarity.detach().float()"),),
    ),
    WrongAnswer(
        id="only-the-diagonal-masked",
        title="negatives that may be another place of the same concept",
        explanation=(
            "Row i cannot draw row i, but it can draw another row that shows the same concept: a second drawing of "
            "the rocket, for the name 'rocket'. That is a false negative, and the hardest of all."
        ),
        caught_by=NEGATIVES,
        swap=((CANDIDATES, "candidates = similarity.detach().float().clone().fill_diagonal_(-torch.inf)"),),
    ),
    WrongAnswer(
        id="masked-with-zero",
        title="a similarity of 0 for candidates that may not be drawn",
        explanation=(
            "exp(0) is 1, not 0: a candidate with the similarity 0 is drawn whenever the others are negative. Which "
            "similarity has an exponential of 0?"
        ),
        caught_by=NEGATIVES,
        swap=((CANDIDATES, "candidates = similarity.detach().float().masked_fill(same, 0.0)"),),
    ),
    WrongAnswer(
        id="masked-after-the-softmax",
        title="the own concept taken out after the softmax",
        explanation=(
            "As long as all similarities are close, this gives the same chances. But a trained model puts the true "
            "partner far above everything else: its softmax is 1, all others are rounded to 0, and nothing is left to "
            "draw from. Take it out before."
        ),
        caught_by=NEGATIVES,
        swap=(
            (CANDIDATES, "candidates = similarity.detach().float()"),
            (DRAW_TEXTS, DRAW_TEXTS.replace("softmax(dim=1)", "softmax(dim=1).masked_fill(same, 0)")),
            (DRAW_IMAGES, DRAW_IMAGES.replace("softmax(dim=1)", "softmax(dim=1).masked_fill(same, 0)")),
        ),
    ),
    WrongAnswer(
        id="converse-from-the-rows",
        title="wrong images drawn from the rows instead of the columns",
        explanation=(
            "Row j of the table says how image j likes the texts. What text j thinks of the images stands in another "
            "place of the same table."
        ),
        caught_by=NEGATIVES,
        swap=((DRAW_IMAGES, DRAW_IMAGES.replace("candidates.T", "candidates")),),
    ),
    WrongAnswer(
        id="images-and-texts-exchanged",
        title="wrong images returned first, or rows and columns exchanged",
        explanation=(
            "What you call a wrong text of image i is drawn from column i. A row of the similarity belongs to an "
            "image: along which axis are its candidates, and which of your two results comes first?"
        ),
        caught_by=NEGATIVES,
        swap=((ROWS, "return wrong_images.squeeze(1), wrong_texts.squeeze(1)"),),
    ),
    WrongAnswer(
        id="least-similar",
        title="the least similar candidates drawn most often",
        explanation=(
            "Your negatives are the easiest ones: a rocket is compared with a cat again and again. Which sign do the "
            "similarities have in your softmax?"
        ),
        caught_by=NEGATIVES,
        swap=((CANDIDATES, "candidates = (-similarity.detach().float()).masked_fill(same, -torch.inf)"),),
    ),
    WrongAnswer(
        id="weights-instead-of-rows",
        title="weights of all candidates in place of a row number",
        explanation=(
            "You return a number for every candidate, `(batch, batch)`. Asked for is which row was drawn, one whole "
            "number for each pair: the matching loss picks a real text with it, not a mixture of texts."
        ),
        caught_by=NEGATIVES,
        swap=((ROWS, "return candidates.softmax(dim=1), candidates.T.softmax(dim=1)"),),
    ),
    WrongAnswer(
        id="similarity-masked-in-place",
        title="minus infinity written into the caller's similarities",
        explanation=(
            "The rows you draw are right, but afterwards the caller's table holds minus infinity for every true pair: "
            "an operation with a trailing underscore wrote into the tensor that was handed in. `detach` does not copy."
        ),
        caught_by=NEGATIVES,
        swap=((CANDIDATES, "candidates = similarity.detach().masked_fill_(same, -torch.inf).float()"),),
    ),
    WrongAnswer(
        id="global-generator",
        title="rows drawn from PyTorch's global generator",
        explanation=(
            "The generator that is given has no effect: your negatives depend on whatever else drew random numbers "
            "before, and a run cannot be repeated or resumed."
        ),
        caught_by=NEGATIVES,
        swap=(
            (DRAW_TEXTS, DRAW_TEXTS.replace(", generator=generator", "")),
            (DRAW_IMAGES, DRAW_IMAGES.replace(", generator=generator", "")),
        ),
    ),
    WrongAnswer(
        id="seed-of-its-own",
        title="the same rows in every call with one generator",
        explanation=(
            "A second call with the same generator draws what the first one drew: the generator was copied or seeded "
            "anew inside, so that a whole run of training sees one set of negatives. Let it go on from call to call."
        ),
        caught_by=NEGATIVES,
        swap=((CANDIDATES, f"{CANDIDATES}\n    generator = torch.Generator().manual_seed(generator.initial_seed())"),),
    ),
    WrongAnswer(
        id="hardest-only",
        title="the hardest candidate taken every time",
        explanation=(
            "Your negatives are not drawn: it is the largest similarity every time. If one of them is a mislabelled "
            "pair it is met in every epoch, and all other candidates never are. The chance is a softmax."
        ),
        caught_by=CHANCES,
        swap=((ROWS, "return candidates.argmax(dim=1), candidates.argmax(dim=0)"),),
    ),
    WrongAnswer(
        id="uniform",
        title="all candidates of other concepts equally likely",
        explanation=(
            "Your negatives are right but not hard: the similarity has no say in which of them is drawn, or almost "
            "none. Most of a batch is easy to tell apart, and teaches nothing."
        ),
        caught_by=CHANCES,
        swap=(
            (
                CANDIDATES,
                "candidates = torch.zeros_like(similarity, dtype=torch.float32).masked_fill(same, -torch.inf)",
            ),
        ),
    ),
    WrongAnswer(
        id="softmax-of-softmax",
        title="a softmax of a softmax as chances",
        explanation=(
            "Your chances are almost equal: after the first softmax all numbers lie between 0 and 1, and a second one "
            "of those tells them hardly apart."
        ),
        caught_by=CHANCES,
        swap=(
            (
                CANDIDATES,
                "candidates = similarity.detach().float().masked_fill(same, -torch.inf)\n"
                "    candidates = candidates.softmax(dim=1).masked_fill(same, -torch.inf)",
            ),
        ),
    ),
    WrongAnswer(
        id="columns-of-the-row-softmax",
        title="wrong images drawn from the columns of a softmax over the rows",
        explanation=(
            "A text's chances come from its own column: softmax over the images. Yours are read off the columns of a "
            "table whose rows were made to sum to 1 first, so an image that likes many texts is drawn too rarely."
        ),
        caught_by=CHANCES,
        swap=(
            (DRAW_IMAGES, DRAW_IMAGES.replace("candidates.T.softmax(dim=1)", "candidates.softmax(dim=1).T + 1e-30")),
        ),
    ),
    WrongAnswer(
        id="one-draw-for-all-rows",
        title="one random number shared by all rows",
        explanation=(
            "All rows use the same draw, so rows that see the same similarities get the same negative. Each row needs "
            "a draw of its own."
        ),
        caught_by=CHANCES,
        swap=(
            (
                DRAW_TEXTS,
                "point = torch.rand(1, generator=generator).clamp(1e-6, 1 - 1e-6)\n"
                "    sums, other_sums = candidates.softmax(dim=1).cumsum(1), candidates.T.softmax(dim=1).cumsum(1)\n"
                "    wrong_texts = (sums < point).sum(dim=1, keepdim=True).clamp(max=batch - 1)",
            ),
            (DRAW_IMAGES, "wrong_images = (other_sums < point).sum(dim=1, keepdim=True).clamp(max=batch - 1)"),
        ),
    ),
    WrongAnswer(
        id="chance-proportional-to-similarity",
        title="chances proportional to the similarity instead of its exponential",
        explanation=(
            "You divide the similarities by their sum. A candidate two units closer should be exp(2) times as likely, "
            "and negative similarities need a chance too: what does a softmax do first?"
        ),
        caught_by=CHANCES,
        swap=(
            (
                CANDIDATES,
                "candidates = similarity.detach().double().clamp(min=1e-30).masked_fill(same, 0.0).log()",
            ),
        ),
    ),
    WrongAnswer(
        id="true-pairs-only",
        title="true pairs alone asked about",
        explanation=(
            "Your matching loss asks about the true pairs only, and a matcher that always says yes is perfect. What "
            "are the wrong texts and the wrong images for?"
        ),
        caught_by=MATCHING,
        swap=((MATCH, "return F.binary_cross_entropy_with_logits(logits[: len(image)], labels[: len(image)])"),),
    ),
    WrongAnswer(
        id="probabilities-as-logits",
        title="a sigmoid in front of a loss that takes logits",
        explanation=(
            "The matcher returns logits, and so does the loss expect them. After a sigmoid of your own all 'logits' "
            "lie between 0 and 1: a wrong pair can never be denied, and the loss cannot fall below about 0.3."
        ),
        caught_by=MATCHING,
        swap=((MATCH, "return F.binary_cross_entropy_with_logits(logits.sigmoid(), labels)"),),
    ),
    WrongAnswer(
        id="matching-summed",
        title="the matching loss summed, or divided by the batch only",
        explanation=(
            "Three questions are asked for each pair, and the loss is the mean over all of them. Yours is larger by "
            "the number of questions that you did not divide by."
        ),
        caught_by=MATCHING,
        swap=((MATCH, "return F.binary_cross_entropy_with_logits(logits, labels, reduction='sum') / len(image)"),),
    ),
    WrongAnswer(
        id="negatives-weigh-as-much-as-positives",
        title="the mean of the true pairs averaged with the mean of the wrong ones",
        explanation=(
            "You give the true pairs half of the weight, although they are a third of the questions. That can be a "
            "good idea, but it is another loss: asked for is one mean over all 3 · batch pairs."
        ),
        caught_by=MATCHING,
        swap=(
            (
                MATCH,
                "costs = F.binary_cross_entropy_with_logits(logits, labels, reduction='none')\n"
                "    return (costs[labels == 1].mean() + costs[labels == 0].mean()) / 2",
            ),
        ),
    ),
    WrongAnswer(
        id="wrong-images-left-out",
        title="only wrong texts, no wrong images",
        explanation=(
            "Your matcher meets every drawing with a wrong name, but no name with a wrong drawing. It could then judge "
            "by the name alone whether a pair is likely. Which of your arguments has no effect?"
        ),
        caught_by=MATCHING,
        swap=(
            (IMAGES, "images = torch.cat([image, image])"),
            (TEXTS, "texts = torch.cat([text, text[wrong_texts]])"),
        ),
    ),
    WrongAnswer(
        id="wrong-rows-exchanged",
        title="wrong_texts used to pick images, and wrong_images to pick texts",
        explanation=(
            "`wrong_texts[i]` is the row of a text that image i is compared with. You pick an image with it. All pairs "
            "you ask about are wrong ones, as they should be, but not the hard ones that were drawn."
        ),
        caught_by=MATCHING,
        swap=(
            (IMAGES, "images = torch.cat([image, image, image[wrong_texts]])"),
            (TEXTS, "texts = torch.cat([text, text[wrong_images], text])"),
        ),
    ),
    WrongAnswer(
        id="labels-turned",
        title="the label 1 for wrong pairs and 0 for true ones",
        explanation=(
            "Your matching loss is small for a matcher that denies all true pairs and agrees to the wrong ones. Which "
            "part of what you ask about are the true pairs, and what is their label?"
        ),
        caught_by=MATCHING,
        swap=((MATCH, "return F.binary_cross_entropy_with_logits(logits, 1 - labels)"),),
    ),
    WrongAnswer(
        id="matching-in-half-precision",
        title="the matching loss computed in the matcher's half precision",
        explanation=(
            "With a matcher in bfloat16 your loss has two or three digits, and small improvements vanish in the "
            "rounding of the mean. Turn the logits into float32 before you compute with them."
        ),
        caught_by=MATCHING,
        swap=((IN_FLOAT32, ""),),
    ),
    WrongAnswer(
        id="log-of-softmax",
        title="the logarithm taken of a finished softmax",
        explanation=(
            "When the true partner is the worst candidate at a scale of 100, your loss is infinite or NaN: its "
            "softmax has been rounded to 0 before the logarithm. Softmax and logarithm belong in one step."
        ),
        caught_by=EXTREME,
        swap=(
            (
                BOTH,
                "rows, columns = logits.softmax(dim=1).log(), logits.T.softmax(dim=1).log()\n"
                "    return -((target * rows).sum() + (target * columns).sum()) / (2 * len(image))",
            ),
        ),
    ),
    WrongAnswer(
        id="log-of-sigmoid",
        title="the logarithm taken of a finished sigmoid",
        explanation=(
            "A pair that is confidently wrong makes your sigmoid loss infinite: its sigmoid has been rounded to 0 "
            "before the logarithm. Sigmoid and logarithm belong in one step."
        ),
        caught_by=EXTREME,
        swap=((QUESTIONS, "return -torch.sigmoid(label * logits).log().sum() / len(image)"),),
    ),
    WrongAnswer(
        id="log-of-matching-sigmoid",
        title="the matching loss computed from probabilities",
        explanation=(
            "A sigmoid and then a cross-entropy of probabilities: for moderate logits that is the same, but a "
            "confidently wrong pair has a probability that is rounded to 0, and its cost is cut off (PyTorch stops at "
            "100) or infinite. There is a loss that takes the logits."
        ),
        caught_by=EXTREME,
        swap=((MATCH, "return F.binary_cross_entropy(logits.sigmoid(), labels)"),),
    ),
    WrongAnswer(
        id="scale-detached",
        title="the learned scale cut off from its gradient",
        explanation=(
            "The values are right, but `log_scale` gets no gradient and will never be learned. Turning a tensor into a "
            "Python number, or detaching it, ends the graph there."
        ),
        caught_by=EXTREME,
        swap=((SCALED, "return log_scale.exp().item() * cosine"),),
    ),
    WrongAnswer(
        id="matching-detached",
        title="embeddings detached in front of the matcher",
        explanation=(
            "The matcher learns, but the towers do not: your matching loss does not reach the embeddings. Only the row "
            "numbers of the negatives are without a gradient."
        ),
        caught_by=EXTREME,
        swap=(
            (
                "logits = matcher(images, texts)  # (3 * batch,)",
                "logits = matcher(images.detach() + 0 * images, texts.detach() + 0 * texts)",
            ),
        ),
    ),
    WrongAnswer(
        id="one-concept-only-goes-through",
        title="a batch of one concept that goes through",
        explanation=(
            "Where no text shows another concept there is nothing to draw, and your function draws all the same: the "
            "true partner, under the name of a negative. Say so with an error instead."
        ),
        caught_by=REFUSED,
        swap=((ONE_CONCEPT, "if same.all():\n        same = torch.zeros_like(same)\n"),),
    ),
    WrongAnswer(
        id="false-negatives-accepted",
        title="wrong rows that are right accepted by the matching loss",
        explanation=(
            "A row of `wrong_texts` that shows the right concept gets the label 0 in your loss, without a word. The "
            "`concepts` are there to find out."
        ),
        caught_by=REFUSED,
        swap=((FALSE_NEGATIVE, ""),),
    ),
    WrongAnswer(
        id="shapes-unchecked",
        title="a sigmoid loss for tensors that do not fit together",
        explanation=(
            "One image and four texts, or one concept for four pairs, go through without a complaint, because a small "
            "tensor is stretched to the larger one. `require_pairs` finds out."
        ),
        caught_by=REFUSED,
        swap=(
            (
                "require_pairs(image, text, concepts)\n    logits = pair_logits(image, text, log_scale) + bias",
                "logits = pair_logits(image, text, log_scale) + bias",
            ),
        ),
    ),
    WrongAnswer(
        id="nan-similarity-accepted",
        title="similarities that are no numbers turned into others",
        explanation=(
            "A NaN among the similarities means that the towers have broken, and your function goes on drawing. Such a "
            "run costs hours before anybody notices; stop it here."
        ),
        caught_by=REFUSED,
        swap=(
            (
                'if not similarity.isfinite().all():\n        raise ValueError("a similarity is not finite")',
                "similarity = similarity.nan_to_num(0.0, 60.0, -60.0)",
            ),
        ),
    ),
]

alternatives = [
    Alternative(
        id="pair-by-pair",
        title="loops over rows, logsumexp and softplus, one question at a time",
        code="""
def _value_dtype(tensor):
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def pair_logits(image, text, log_scale):
    image, text = image.to(_value_dtype(image)), text.to(_value_dtype(text))
    return torch.stack([(row * text).sum(dim=-1) for row in image]) * torch.exp(log_scale)


def _mean_choice(table, ids):
    costs = []
    for i, row in enumerate(table):
        right = [j for j, other in enumerate(ids) if other == ids[i]]
        costs.append(row.logsumexp(0) - row[right].mean())
    return torch.stack(costs).mean()


def symmetric_info_nce(image, text, log_scale, concepts):
    require_pairs(image, text, concepts)
    table, ids = pair_logits(image, text, log_scale), concepts.tolist()
    return 0.5 * _mean_choice(table, ids) + 0.5 * _mean_choice(table.T, ids)


def sigmoid_loss(image, text, log_scale, bias, concepts):
    require_pairs(image, text, concepts)
    table, ids = pair_logits(image, text, log_scale) + bias, concepts.tolist()
    total = 0
    for i, row in enumerate(table):
        for j, logit in enumerate(row):
            total = total + F.softplus(-logit if ids[i] == ids[j] else logit)
    return total / len(ids)


def _draw(row, ids, own, generator):
    others = [j for j, other in enumerate(ids) if other != own]
    if not others:
        raise ValueError("no other concept")
    chances = torch.softmax(row[others].detach().double(), 0)
    return others[int(torch.multinomial(chances, 1, generator=generator))]


def hard_negatives(similarity, concepts, generator):
    ids = concepts.tolist()
    if tuple(similarity.shape) != (len(ids), len(ids)) or not torch.isfinite(similarity).all() or not ids:
        raise ValueError("similarity")
    texts = [_draw(similarity[i], ids, ids[i], generator) for i in range(len(ids))]
    images = [_draw(similarity[:, j], ids, ids[j], generator) for j in range(len(ids))]
    return torch.tensor(texts), torch.tensor(images)


def matching_loss(matcher, image, text, concepts, wrong_texts, wrong_images):
    require_pairs(image, text, concepts)
    if wrong_texts.shape != concepts.shape or wrong_images.shape != concepts.shape:
        raise ValueError("wrong rows")
    for wrong in (wrong_texts, wrong_images):
        if any(concepts[int(j)] == concepts[i] for i, j in enumerate(wrong)):
            raise ValueError("false negative")
    costs = []
    for i in range(len(image)):
        yes = matcher(image[i : i + 1], text[i : i + 1])
        no = matcher(image[[i, int(wrong_images[i])]], text[[int(wrong_texts[i]), i]])
        yes, no = yes.to(_value_dtype(yes)), no.to(_value_dtype(no))
        costs += [F.softplus(-yes).sum(), F.softplus(no).sum()]
    return torch.stack(costs).sum() / (3 * len(image))
""",
    ),
    Alternative(
        id="gumbel-and-log-softmax",
        title="log-softmax with picked places, Gumbel noise for the draws, three calls of the matcher",
        code="""
@torch.autocast("cpu", enabled=False)
def pair_logits(image, text, log_scale):
    if image.dtype in (torch.float16, torch.bfloat16):
        image, text = image.float(), text.float()
    return torch.einsum("iw,tw->it", image, text).mul(log_scale.exp())


def symmetric_info_nce(image, text, log_scale, concepts):
    require_pairs(image, text, concepts)
    logits = pair_logits(image, text, log_scale)
    same = concepts.unsqueeze(0) == concepts.unsqueeze(1)
    share = same.double() / same.double().sum(0)
    halves = [-(F.log_softmax(logits, dim) * share.to(logits)).sum(dim).mean() for dim in (0, 1)]
    return sum(halves) / 2


def sigmoid_loss(image, text, log_scale, bias, concepts):
    require_pairs(image, text, concepts)
    logits = pair_logits(image, text, log_scale) + bias
    labels = (concepts.unsqueeze(0) == concepts.unsqueeze(1)).to(logits)
    return F.binary_cross_entropy_with_logits(logits, labels, reduction="none").sum(1).mean()


def hard_negatives(similarity, concepts, generator):
    n = concepts.numel()
    if similarity.ndim != 2 or similarity.size(0) != n or similarity.size(1) != n:
        raise ValueError("shape")
    if torch.isnan(similarity).any() or torch.isinf(similarity).any():
        raise ValueError("not finite")
    other = concepts.unsqueeze(0) != concepts.unsqueeze(1)
    if not other.any(1).all() or n == 0:
        raise ValueError("nothing to draw")
    with torch.no_grad():
        noise = -torch.empty(2, n, n, dtype=torch.float64).exponential_(generator=generator).log()
        scores = similarity.double() + noise
        scores = torch.where(other, scores, -torch.inf)
        return scores[0].argmax(1), scores[1].argmax(0)


def matching_loss(matcher, image, text, concepts, wrong_texts, wrong_images):
    require_pairs(image, text, concepts)
    for wrong in (wrong_images, wrong_texts):
        if list(wrong.shape) != [len(concepts)] or bool(torch.any(concepts[wrong] == concepts)):
            raise ValueError("wrong rows")
    answers = [matcher(image, text), matcher(image, text[wrong_texts]), matcher(image[wrong_images], text)]
    answers = [a if a.dtype == torch.float64 else a.float() for a in answers]
    signs = (1, -1, -1)
    return -sum(F.logsigmoid(sign * a).mean() for sign, a in zip(signs, answers)) / 3
""",
    ),
    Alternative(
        id="inverse-distribution",
        title="unit vectors normalised again, cumulative sums for the draws, a list as a pair of results",
        code="""
def pair_logits(image, text, log_scale):
    kind = torch.result_type(torch.zeros(1, dtype=torch.float32), image[:1])
    with torch.amp.autocast(device_type=image.device.type, enabled=False):
        left, right = F.normalize(image.to(kind), dim=1), F.normalize(text.to(kind), dim=1)
        return torch.mm(left * log_scale.exp(), right.t())


def symmetric_info_nce(image, text, log_scale, concepts):
    require_pairs(image, text, concepts)
    logits = pair_logits(image, text, log_scale)
    same = torch.eq(concepts.view(-1, 1), concepts.view(1, -1))
    places = same.sum(dim=1)
    total = 0.0
    for table in (logits, logits.t()):
        chosen = torch.where(same, table, torch.zeros_like(table)).sum(dim=1) / places
        total = total + (torch.logsumexp(table, dim=1) - chosen).mean()
    return total * 0.5


def sigmoid_loss(image, text, log_scale, bias, concepts):
    require_pairs(image, text, concepts)
    logits = pair_logits(image, text, log_scale) + bias
    same = torch.eq(concepts.view(-1, 1), concepts.view(1, -1))
    return (F.softplus(-logits[same]).sum() + F.softplus(logits[~same]).sum()) / image.shape[0]


def hard_negatives(similarity, concepts, generator):
    if similarity.shape != (concepts.shape[0],) * 2:
        raise ValueError("shape")
    table = similarity.detach().to(torch.float64)
    if bool((table.abs() < float("inf")).logical_not().any()):
        raise ValueError("not finite")
    drawn = []
    for rows in (table, table.t()):
        wrong = []
        for i, row in enumerate(rows):
            others = (concepts != concepts[i]).nonzero().flatten()
            if not len(others):
                raise ValueError("nothing to draw")
            weights = torch.exp(row[others] - row[others].max())
            sums = torch.cumsum(weights, 0)
            point = torch.rand((), dtype=torch.float64, generator=generator) * sums[-1]
            wrong.append(others[min(int(torch.searchsorted(sums, point, right=True)), len(others) - 1)])
        if not wrong:
            raise ValueError("empty")
        drawn.append(torch.stack(wrong))
    return drawn


def matching_loss(matcher, image, text, concepts, wrong_texts, wrong_images):
    require_pairs(image, text, concepts)
    n = len(image)
    if wrong_texts.shape != (n,) or wrong_images.shape != (n,):
        raise ValueError("wrong rows")
    if (concepts[wrong_texts] == concepts).any() or (concepts[wrong_images] == concepts).any():
        raise ValueError("false negative")
    rows = torch.arange(n)
    logits = matcher(image[torch.cat([rows, wrong_images, rows])], text[torch.cat([wrong_texts, rows, rows])])
    labels = torch.cat([torch.zeros(2 * n), torch.ones(n)])
    if logits.dtype != torch.float64:
        logits = logits.float()
    return F.binary_cross_entropy_with_logits(logits, labels.to(logits))
""",
    ),
]

equivalent_mutants = {
    "True -> False in `target = same": "Equal concepts make a symmetric table, so dividing rows or columns is the same.",
}

"""Catalogue of attention/cross_modal.

The published function has a space in its name and does not compile; `published-gate` is what it does once renamed. For
3-D inputs it runs only where text tokens, image tokens and width agree, as they do in the visible example. The two gates
after it are what people write who have the weights.
"""

from grader.catalogue import Alternative, WrongAnswer

SCORES = "scores = tf.matmul(text / math.sqrt(text.shape[2]), image, transpose_b=True)"
SOFTMAX = "weights = tf.nn.softmax(tf.where(visible, scores, -math.inf), axis=-1)"
EMPTY = "weights = tf.where(visible, weights, 0.0)"
CONTEXT = "context = tf.matmul(weights, image)"

wrong_answers = [
    WrongAnswer(
        id="published-gate",
        title="the similarities are used as a gate between text and image",
        explanation=(
            "Your result is a · text + (1 - a) · image, number by number, with the matrix of similarities as a. That "
            "needs all sizes to agree, and even then number (i, j) of a says how well text token i fits image token "
            "j, not how much of feature j to keep. What is missing is a sum over the image tokens: which operation "
            "makes a weighted sum for every row of weights at once?"
        ),
        caught_by="test_text_tokens_of_zero_take_the_average_of_the_image",
        code="""
def cross_modal_attention(text, image, image_mask=None):
    weights = tf.matmul(text, image, transpose_b=True)
    weights = tf.nn.softmax(weights, axis=1)
    return weights * text + (1 - weights) * image, weights
""",
    ),
    WrongAnswer(
        id="weights-as-gate",
        title="the weights are multiplied with the image tokens number by number",
        explanation=(
            "Your weights are right, but `weights * image` takes weight (i, j) for coordinate j of image token i. That "
            "runs only where the sizes agree by chance; elsewhere TensorFlow complains about incompatible shapes. "
            "Weight (i, j) says how much of image token j, with all its coordinates, goes to text token i. Which "
            "operation adds the image tokens up, one sum for every row of weights?"
        ),
        caught_by="test_text_tokens_of_zero_take_the_average_of_the_image",
        swap=((CONTEXT, "context = weights * image"),),
    ),
    WrongAnswer(
        id="scores-as-gate",
        title="the scores themselves are multiplied with the image tokens, and the weights are left unused",
        explanation=(
            "Number by number, your scores scale the coordinates of the image: no weight enters the context, and no "
            "image token is averaged. That runs only where the sizes agree by chance. What are the weights for, and "
            "which operation makes one weighted sum of image tokens for every row of them?"
        ),
        caught_by="test_text_tokens_of_zero_take_the_average_of_the_image",
        swap=((CONTEXT, "context = scores * image"),),
    ),
    WrongAnswer(
        id="softmax-over-text",
        title="softmax over the text tokens instead of the image tokens",
        explanation=(
            "The weights of one image token sum to 1, those of one text token do not: the text tokens compete for the "
            "image. It is the other way round, each text token shares its attention among the image tokens. Look at "
            "the axis that the softmax runs over."
        ),
        caught_by="test_text_tokens_of_zero_take_the_average_of_the_image",
        swap=((SOFTMAX, SOFTMAX.replace("axis=-1", "axis=1")),),
    ),
    WrongAnswer(
        id="values-from-text",
        title="the text is averaged instead of the image",
        explanation=(
            "The weights say how much of each image token to take, and you apply them to the text: nothing of the "
            "image arrives in the context. With as many text tokens as image tokens no shape gives that away. Whose "
            "tokens does the last axis of the weights count?"
        ),
        caught_by="test_text_tokens_of_zero_take_the_average_of_the_image",
        swap=((CONTEXT, CONTEXT.replace("image", "text")),),
    ),
    WrongAnswer(
        id="unscaled",
        title="no scaling of the scores",
        explanation=(
            "The dot products go into the softmax as they are. Their spread grows with the width, so in a wide model "
            "every text token would see a single image token, and gradients would vanish. Work out the variance of "
            "the dot product of two vectors with independent entries of variance 1, and undo its growth."
        ),
        caught_by="test_scores_are_scaled_dot_products_within_a_sample",
        swap=(("text / math.sqrt(text.shape[2])", "text"),),
    ),
    WrongAnswer(
        id="scaled-by-width",
        title="scores divided by the width itself, without the square root",
        explanation=(
            "The variance of a dot product grows with the width, and you divided by that width. What has to come back "
            "to 1 is the standard deviation of the scores: compare how the two depend on the width."
        ),
        caught_by="test_scores_are_scaled_dot_products_within_a_sample",
        swap=(("text / math.sqrt(text.shape[2])", "text / text.shape[2]"),),
    ),
    WrongAnswer(
        id="scaled-by-token-count",
        title="scores divided by the square root of the number of image tokens",
        explanation=(
            "The scale is taken from the wrong axis: it counts the image tokens. How many products are added up for "
            "one score? That number makes the scores spread, and its square root is what to divide by."
        ),
        caught_by="test_scores_are_scaled_dot_products_within_a_sample",
        swap=(("text / math.sqrt(text.shape[2])", "text / math.sqrt(image.shape[1])"),),
    ),
    WrongAnswer(
        id="samples-mixed",
        title="text tokens are compared with the images of all samples",
        explanation=(
            "Your scores add up over the whole batch, so the same caption gets another context when other samples are "
            "next to it. Attention is between tokens of one sample. Check that the batch axis is the same letter, or "
            "the same axis, in both operands."
        ),
        caught_by="test_scores_are_scaled_dot_products_within_a_sample",
        swap=((SCORES, 'scores = tf.einsum("bqd,ckd->bqk", text / math.sqrt(text.shape[2]), image)'),),
    ),
    WrongAnswer(
        # with renormalisation it would be right, unless a masked score exceeds all others by far
        id="mask-after-softmax",
        title="mask applied after the softmax",
        explanation=(
            "Masked tokens have weight 0, but the other weights no longer sum to 1: the softmax had already given the "
            "masked tokens their share, and it is lost. Which scores would make the softmax itself give weight 0?"
        ),
        caught_by="test_masking_an_image_token_equals_leaving_it_out",
        swap=((SOFTMAX, "weights = tf.nn.softmax(scores, axis=-1)"),),
    ),
    WrongAnswer(
        id="mask-inverted",
        title="True in the mask taken for 'hidden'",
        explanation=(
            "The tokens that should be hidden get all the weight. Both conventions are in use (PyTorch's "
            "`key_padding_mask` marks the padding); here True marks a real token."
        ),
        caught_by="test_masking_an_image_token_equals_leaving_it_out",
        swap=(("visible = image_mask[", "visible = ~image_mask["),),
    ),
    WrongAnswer(
        id="mask-multiplied-into-scores",
        title="scores multiplied by the mask",
        explanation=(
            "The score of a masked token becomes 0, and 0 is an ordinary score: exp(0) is 1, so the token takes part "
            "in the softmax, often with more weight than tokens whose score is negative. Which score has an "
            "exponential of 0?"
        ),
        caught_by="test_masking_an_image_token_equals_leaving_it_out",
        swap=((SOFTMAX, "weights = tf.nn.softmax(scores * tf.cast(visible, scores.dtype), axis=-1)"), (EMPTY, "")),
    ),
    WrongAnswer(
        id="uniform-without-tokens",
        title="a sample without image tokens averages all the masked ones",
        explanation=(
            "A large negative number instead of minus infinity avoids NaN, but when all scores of a row are equally "
            "low the softmax is uniform: the text reads exactly what it should not see. Keras's own Attention layer "
            "does that too. Compare what your weights say there with the mask."
        ),
        caught_by="test_a_sample_without_image_tokens_attends_to_nothing",
        swap=((SOFTMAX, SOFTMAX.replace("-math.inf", "-1e9")), (EMPTY, "")),
    ),
    WrongAnswer(
        id="nan-without-tokens",
        title="NaN for a sample without image tokens",
        explanation=(
            "All scores of that sample are minus infinity, and the softmax becomes 0/0. One such sample spoils the "
            "loss of the whole batch. Decide what attending to nothing should give, and put that in where no token is "
            "visible."
        ),
        caught_by="test_a_sample_without_image_tokens_attends_to_nothing",
        swap=((EMPTY, ""),),
    ),
    WrongAnswer(
        id="overflow",
        title="exponentials taken without subtracting the maximum",
        explanation=(
            "Large scores give inf/inf or 0/0, because exp overflows above 88 in float32. What happens to a softmax "
            "when you subtract the same number from all scores of a row, and which number would make the largest "
            "exponential 1?"
        ),
        caught_by="test_scores_of_ten_thousand_stay_finite",
        swap=(
            (
                SOFTMAX,
                "weights = tf.exp(tf.where(visible, scores, -math.inf))\n"
                "    weights = tf.math.divide_no_nan(weights, tf.reduce_sum(weights, axis=-1, keepdims=True))",
            ),
        ),
    ),
    WrongAnswer(
        id="small-fill",
        title="hidden scores are set to -10000, which is not low enough",
        explanation=(
            "Your masked tokens have the score -10000, and scores of that size occur: the masked token then takes part "
            "of the weight, and the visible ones no longer sum to 1. Which number lies below every score?"
        ),
        caught_by="test_scores_of_ten_thousand_stay_finite",
        swap=((SOFTMAX, SOFTMAX.replace("-math.inf", "-1e4")),),
    ),
    WrongAnswer(
        id="small-bias",
        title="10000 is taken off the hidden scores, which is not enough",
        explanation=(
            "A hidden token whose own score is large keeps a large one after -10000: in the softmax it takes the weight "
            "of the tokens that may be seen. With half precision this constant is common, since a larger one does not "
            "fit there. What would hide a token whatever its score was, *replacing* a number or adding to it?"
        ),
        caught_by="test_scores_of_ten_thousand_stay_finite",
        swap=((SOFTMAX, "weights = tf.nn.softmax(scores - 1e4 * tf.cast(~visible, scores.dtype), axis=-1)"),),
    ),
    WrongAnswer(
        id="one-image-for-all",
        title="one image is accepted for a whole batch of texts",
        explanation=(
            "Two texts and one image go through without a word: a matrix product broadcasts a batch of 1. In training "
            "that hides a mistake in the data pipeline, every caption would see the same picture. Which sizes does "
            "your function compare?"
        ),
        caught_by="test_inputs_that_do_not_fit_are_refused",
        swap=(
            (
                "if text.shape[0] != image.shape[0] or text.shape[2] != image.shape[2]:",
                "if text.shape[2] != image.shape[2]:",
            ),
        ),
    ),
    WrongAnswer(
        id="one-mask-for-all",
        title="a mask for one sample is accepted for a whole batch",
        explanation=(
            "A mask of shape (1, image tokens) is broadcast, so every sample is padded like the first one, without a "
            "word. You compare the number of tokens; which other size of the mask can be wrong?"
        ),
        caught_by="test_inputs_that_do_not_fit_are_refused",
        swap=(
            (
                "if image_mask.shape != image.shape[:2]:",
                "if image_mask.ndim != 2 or image_mask.shape[1] != image.shape[1]:",
            ),
        ),
    ),
    WrongAnswer(
        id="shapes-left-to-tensorflow",
        title="shapes that do not fit are left to TensorFlow",
        explanation=(
            "The call fails somewhere inside with InvalidArgumentError, or not at all when broadcasting makes the "
            "shapes fit. Asked for is ValueError. Compare ranks and sizes at the top of the function."
        ),
        caught_by="test_inputs_that_do_not_fit_are_refused",
        swap=(
            ("if text.ndim != 3 or image.ndim != 3:", "if False:"),
            ("if text.shape[0] != image.shape[0] or text.shape[2] != image.shape[2]:", "if False:"),
            ("tf.fill(image.shape[:2], True)", "tf.fill(image.shape[:-1], True)"),
            ("if image_mask.shape != image.shape[:2]:", "if False:"),
            ("text / math.sqrt(text.shape[2])", "text / math.sqrt(text.shape[-1])"),
        ),
    ),
    WrongAnswer(
        id="empty-image-accepted",
        title="an image of 0 tokens is accepted",
        explanation=(
            "An image without any token gives a context of 0 and no error. An empty tensor is a fault in the data, "
            "unlike padding that a mask declares: it should be heard of. Which size do you not look at?"
        ),
        caught_by="test_inputs_that_do_not_fit_are_refused",
        swap=(("if image.shape[1] == 0:", "if False:"),),
    ),
    WrongAnswer(
        id="nan-gradients",
        title="NaN gradients behind a result that looks right",
        explanation=(
            "The results are right, but as soon as one sample has no image token the gradients are NaN. Replacing the "
            "NaN after the softmax repairs the forward pass only; on the way back it is multiplied in again. Make sure "
            "that nothing flows back from there, for example by *replacing* the hidden scores instead of adding minus "
            "infinity to them."
        ),
        caught_by="test_gradients_reach_text_and_image",
        swap=(
            (SOFTMAX, "weights = tf.nn.softmax(scores + tf.where(visible, tf.zeros_like(scores), -math.inf), axis=-1)"),
            (EMPTY, "weights = tf.where(tf.math.is_nan(weights), tf.zeros_like(weights), weights)"),
        ),
    ),
    WrongAnswer(
        id="computed-in-numpy",
        title="the work is done in NumPy, where no gradient can follow",
        explanation=(
            "The numbers are right, but they were computed outside TensorFlow, so the tape has nothing to go back "
            "through and training would not move the layers below. Keep every step between the inputs and the context "
            "a TensorFlow operation; the shapes may be read in Python."
        ),
        caught_by="test_gradients_reach_text_and_image",
        swap=((CONTEXT, "context = tf.constant(weights.numpy() @ image.numpy())"),),
    ),
    WrongAnswer(
        id="float32-results",
        title="everything is computed in float32",
        explanation=(
            "float64 inputs come back as float32: half of their digits are lost, and the next float64 operation refuses "
            "the result. A cast to a fixed dtype, or a float32 constant, does that. Which dtype should a constant "
            "have?"
        ),
        caught_by="test_context_and_weights_have_the_announced_shapes_and_dtypes",
        swap=((SCORES, f"text, image = tf.cast(text, tf.float32), tf.cast(image, tf.float32)\n    {SCORES}"),),
    ),
    WrongAnswer(
        id="ready-made",
        title="the library's own attention layer",
        explanation=(
            "The work is done by a ready-made attention layer, and this exercise asks for the operation itself. The "
            "layer hides two matrix products and what is between them: what does each of the two multiply, and what has "
            "to happen to the result of the first?"
        ),
        caught_by="test_context_and_weights_have_the_announced_shapes_and_dtypes",
        swap=(
            (
                CONTEXT,
                "context = tf.keras.layers.Attention()([text / math.sqrt(text.shape[2]), image], mask=[None, image_mask])",
            ),
        ),
    ),
]

alternatives = [
    Alternative(
        id="softmax-by-hand",
        title="einsum; maximum, exponentials and sum written out, with a divisor that is never 0",
        code="""
def cross_modal_attention(text, image, image_mask=None):
    if len(text.shape) != 3 or len(image.shape) != 3:
        raise ValueError("3-D inputs expected")
    b, q, d = text.shape
    if image.shape[0] != b or image.shape[2] != d or image.shape[1] == 0:
        raise ValueError("shapes do not fit")
    if text.dtype not in (tf.float16, tf.float32, tf.float64) or image.dtype != text.dtype:
        raise ValueError("floating features expected")
    if image_mask is None:
        keep = tf.ones((b, 1, image.shape[1]), text.dtype)
    elif image_mask.dtype is not tf.bool or tuple(image_mask.shape) != (b, image.shape[1]):
        raise ValueError("bad mask")
    else:
        keep = tf.cast(image_mask, text.dtype)[:, None]
    scores = tf.einsum("bqd,bkd->bqk", text, image) * d**-0.5
    lowest = tf.fill(tf.shape(scores), scores.dtype.min)
    scores = tf.where(keep > 0, scores, lowest)
    scores = scores - tf.stop_gradient(tf.reduce_max(scores, axis=2, keepdims=True))
    exponentials = tf.exp(scores) * keep
    weights = tf.math.divide_no_nan(exponentials, tf.reduce_sum(exponentials, axis=2, keepdims=True))
    return tf.einsum("bqk,bkd->bqd", weights, image), weights
""",
    ),
    Alternative(
        id="one-sample-at-a-time",
        title="a loop over samples that drops the padding instead of masking it",
        code="""
def cross_modal_attention(text, image, image_mask=None):
    for tokens in (text, image):
        if not tokens.dtype.is_floating:
            raise TypeError("floating features expected")
        if tokens.shape.rank != 3:
            raise ValueError("3-D features expected")
    if len(text) != len(image) or text.shape[-1] != image.shape[-1] or not image.shape[1]:
        raise ValueError("shapes do not fit")
    if image_mask is not None:
        if image_mask.dtype != tf.bool:
            raise TypeError("boolean mask expected")
        if image_mask.shape != image.shape[:2]:
            raise ValueError("mask does not fit")
    contexts, all_weights = [], []
    for b in range(text.shape[0]):
        seen = list(range(image.shape[1])) if image_mask is None else [
            j for j in range(image.shape[1]) if bool(image_mask[b, j])
        ]
        weights = tf.zeros((text.shape[1], image.shape[1]), text.dtype)
        if seen:
            tokens = tf.gather(image[b], seen)
            scores = text[b] @ tf.transpose(tokens) / tf.sqrt(tf.cast(text.shape[2], text.dtype))
            shares = tf.nn.softmax(scores)
            weights = tf.transpose(tf.scatter_nd([[j] for j in seen], tf.transpose(shares), weights.shape[::-1]))
        contexts.append(weights @ image[b])
        all_weights.append(weights)
    return tf.stack(contexts), tf.stack(all_weights)
""",
    ),
    Alternative(
        id="image-tokens-first",
        title="scores laid out (image tokens, text tokens), softmax over that axis in keras.ops, transposed at the end",
        code="""
import keras


def cross_modal_attention(text, image, image_mask=None):
    ops = keras.ops
    if ops.ndim(text) != 3 or ops.ndim(image) != 3:
        raise ValueError("3-D features expected")
    if "float" not in str(keras.backend.standardize_dtype(text.dtype)) or not image.dtype.is_floating:
        raise TypeError("floating features expected")
    if (text.shape[0], text.shape[2]) != (image.shape[0], image.shape[2]) or image.shape[1] < 1:
        raise ValueError("shapes do not fit")
    scores = ops.matmul(image, ops.transpose(text, (0, 2, 1))) / math.sqrt(text.shape[2])
    any_token = None
    if image_mask is not None:
        if keras.backend.standardize_dtype(image_mask.dtype) != "bool":
            raise ValueError("boolean mask expected")
        if ops.shape(image_mask) != ops.shape(image)[:2]:
            raise ValueError("mask does not fit")
        any_token = ops.any(image_mask, axis=1)[:, None, None]
        # a sample without tokens sees them all, and is multiplied by 0 afterwards
        visible = ops.logical_or(image_mask[:, :, None], ops.logical_not(any_token))
        scores = scores + ops.where(visible, ops.zeros_like(scores), ops.cast(-math.inf, scores.dtype))
    weights = ops.softmax(scores, axis=1)
    if any_token is not None:
        weights = weights * ops.cast(any_token, weights.dtype)
    weights = ops.transpose(weights, (0, 2, 1))
    return ops.matmul(weights, image), weights
""",
    ),
]

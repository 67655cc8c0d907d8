"""Catalogue of architectures/encoder_decoder_fusion.

The published function is `published-dense-stack`; `additive-dense-stack` is the same with layers that are kept.
"Not even a bias" for a sample without text cannot be told from a bias of the feed-forward network while the inside of
the layer is free, so no entry is about that.
"""

from grader.catalogue import Alternative, WrongAnswer

ENCODER = "found = self.encoder_attention(normed, normed, attention_mask=visible, training=training)"
DECODER = "self.decoder_norm(tokens), memory, attention_mask=visible, training=training, return_attention_scores=True"
EMPTY = "        found = tf.where(tf.reduce_any(visible, axis=-1, keepdims=True), found, 0.0)\n"
RESIDUAL = "tokens = tokens + self.drop(found, training=training)"
RETURN = "return (output, scores) if return_attention_scores else output"
OUTPUT = "output = tokens[:, 0] if single else tokens"
RANKS = "if text.ndim not in (2, 3) or image.ndim not in (2, 3):"
BATCH = "if text.shape[0] != image.shape[0]:"
MASK_SHAPE = "if text_mask.shape != text.shape[:2]:"

ADDITIVE = """
    def call(self, text, image, text_mask=None, training=None, return_attention_scores=False):
        image_shape = image.shape
        text = text[:, None] if text.ndim == 2 else text
        image = image[:, None] if image.ndim == 2 else image
        layers = {layers}
        text_code = layers[1](layers[0](text))
        image_code = layers[3](layers[2](image))
        output = tf.reduce_mean(text_code, axis=1, keepdims=True) + image_code
        output = tf.reshape(output, (*image_shape[:-1], self.hidden_size))
        scores = tf.ones((image.shape[0], self.num_heads, image.shape[1], text.shape[1])) / text.shape[1]
        return (output, scores) if return_attention_scores else output
"""

wrong_answers = [
    WrongAnswer(
        id="published-dense-stack",
        title="dense layers that every call creates anew",
        explanation=(
            "Each call makes new layers with new random weights: the same input gives another output every time, the "
            "layer has no variables, and nothing can ever be trained. Create what is to be learned once, in "
            "`__init__` or `build`, and only use it in `call`."
        ),
        caught_by="test_the_layer_keeps_its_variables_and_settings",
        code="""
class EncoderDecoderFusion(keras.layers.Layer):
    def __init__(self, hidden_size, num_heads=1, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.hidden_size, self.num_heads, self.dropout = hidden_size, num_heads, dropout

    def get_config(self):
        own = {"hidden_size": self.hidden_size, "num_heads": self.num_heads, "dropout": self.dropout}
        return {**super().get_config(), **own}
"""
        + ADDITIVE.format(layers='[keras.layers.Dense(self.hidden_size, activation="relu") for _ in range(4)]'),
    ),
    WrongAnswer(
        id="additive-dense-stack",
        title="f(text) + g(image), without any attention",
        explanation=(
            "Text and image meet in a sum at the end, so what a caption contributes is the same number for every image. "
            "Nothing in the layer can say 'this word fits this patch'. A decoder asks: its queries come from one "
            "input, the keys and values from the other. Where would such a product of both stand in your layer?"
        ),
        caught_by="test_text_and_image_interact",
        code="""
class EncoderDecoderFusion(keras.layers.Layer):
    def __init__(self, hidden_size, num_heads=1, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.hidden_size, self.num_heads, self.dropout = hidden_size, num_heads, dropout
        self.stack = [keras.layers.Dense(hidden_size, activation=activation) for activation in ("relu", None) * 2]

    def get_config(self):
        own = {"hidden_size": self.hidden_size, "num_heads": self.num_heads, "dropout": self.dropout}
        return {**super().get_config(), **own}
"""
        + ADDITIVE.format(layers="self.stack"),
    ),
    WrongAnswer(
        id="decoder-attends-to-itself",
        title="the decoder attends to the image instead of the memory",
        explanation=(
            "Another caption gives the same output: keys and values of your decoder come from the image tokens "
            "themselves, and the memory is never read. Who is asked in cross-attention?"
        ),
        caught_by="test_text_and_image_interact",
        swap=((DECODER, DECODER.replace("memory, attention_mask=visible", "tokens")), (EMPTY, "")),
    ),
    WrongAnswer(
        id="relu-at-the-end",
        title="a ReLU at the end",
        explanation=(
            "No output is below 0: the last activation cuts off half of the space. A ReLU belongs inside a network, "
            "between two linear layers. What is the last thing your layer does?"
        ),
        caught_by="test_text_and_image_interact",
        swap=((OUTPUT, "tokens = tf.nn.relu(tokens)\n        " + OUTPUT),),
    ),
    WrongAnswer(
        id="roles-swapped",
        title="the text asks and the image is the memory",
        explanation=(
            "Your output has a row for each text token. That is a useful layer too, but here the image tokens are to "
            "be enriched: which of the two gives the queries, and which the keys and values?"
        ),
        caught_by="test_output_and_scores_have_the_announced_shapes",
        swap=(
            (
                "found, scores = self.decoder_attention(\n            " + DECODER + "\n        )",
                "tokens, memory = memory, tokens\n"
                "        found, scores = self.decoder_attention(\n"
                "            self.decoder_norm(tokens), memory, training=training, return_attention_scores=True\n"
                "        )",
            ),
            (EMPTY, ""),
        ),
    ),
    WrongAnswer(
        id="text-pooled",
        title="the text is averaged into one vector before the decoder asks",
        explanation=(
            "Your memory is a single vector, so each image token gives it the score 1 and finds the same. A softmax "
            "over one key selects nothing. Keep all the text tokens in the memory."
        ),
        caught_by="test_output_and_scores_have_the_announced_shapes",
        swap=(
            (
                DECODER,
                "self.decoder_norm(tokens), tf.reduce_mean(memory, axis=1, keepdims=True), "
                "training=training, return_attention_scores=True",
            ),
        ),
    ),
    WrongAnswer(
        id="heads-averaged",
        title="the scores are averaged over the heads",
        explanation=(
            "Your scores have no axis of heads any more. Heads look at different things, and their average hides what "
            "each of them does; asked for are all of them."
        ),
        caught_by="test_output_and_scores_have_the_announced_shapes",
        swap=((RETURN, RETURN.replace("(output, scores)", "(output, tf.reduce_mean(scores, axis=1))")),),
    ),
    WrongAnswer(
        id="config-without-heads",
        title="the configuration leaves out the number of heads",
        explanation=(
            "A layer that is made from your configuration has the default number of heads. A saved model would come "
            "back as another one. Compare the keys of `get_config()` with the arguments of the constructor."
        ),
        caught_by="test_the_layer_keeps_its_variables_and_settings",
        swap=((', "num_heads": self.num_heads', ""),),
    ),
    WrongAnswer(
        id="dropout-always",
        title="dropout outside of training as well",
        explanation=(
            "Two calls with the same input differ although nobody is training: the predictions of the finished model "
            "would be random. Hand on `training` as it came, instead of a fixed value."
        ),
        caught_by="test_the_layer_keeps_its_variables_and_settings",
        swap=((RESIDUAL, RESIDUAL.replace("training=training", "training=True")),),
    ),
    WrongAnswer(
        id="unused-variables",
        title="part of the layer is created and never used",
        explanation=(
            "Some variables have no gradient: they were created, but the result does not depend on them. Here it is "
            "the feed-forward network, whose result is computed and dropped. Follow every value to the output."
        ),
        caught_by="test_the_layer_keeps_its_variables_and_settings",
        swap=(("tokens = tokens + self.drop(self.contract(wide), training=training)", "self.contract(wide)"),),
    ),
    WrongAnswer(
        id="uniform-scores",
        title="every image token reads the average of the memory",
        explanation=(
            "All image tokens have the same scores, one over the number of text tokens: the memory is averaged, and "
            "the image is never compared with it. The layer normalisation behind it can make that look like an "
            "interaction. Where do the queries of your decoder come from?"
        ),
        caught_by="test_every_image_token_has_its_own_attention_to_a_memory",
        swap=((DECODER, DECODER.replace("self.decoder_norm(tokens)", "tf.zeros_like(tokens)")),),
    ),
    WrongAnswer(
        id="no-encoder",
        title="the text is projected, but its tokens do not attend to each other",
        explanation=(
            "Replacing one word changes nothing in what the memory holds of the others, so 'not' cannot reach 'good' "
            "in 'not good'. A projection works on each token by itself. Which operation lets tokens see each other?"
        ),
        caught_by="test_every_image_token_has_its_own_attention_to_a_memory",
        swap=((ENCODER, "found = normed"),),
    ),
    WrongAnswer(
        id="scores-before-softmax",
        title="the scores are returned before the softmax",
        explanation=(
            "Your scores do not sum to 1 and may be negative: they are the logits. They say who is preferred, not how "
            "much is taken. At which step do they become shares?"
        ),
        caught_by="test_every_image_token_has_its_own_attention_to_a_memory",
        swap=((RETURN, RETURN.replace("(output, scores)", "(output, tf.math.log(scores))")),),
    ),
    WrongAnswer(
        id="positions-added",
        title="positional codes are added to the text",
        explanation=(
            "The same words in another order give another output. Positions are useful for real sentences; here the "
            "text encoder before this layer is meant to have put them in already. What do you add to the tokens that "
            "depends on their place?"
        ),
        caught_by="test_order_and_company_have_no_influence",
        swap=(
            (
                "memory = self.text_projection(text)",
                "places = tf.range(1.0, text.shape[1] + 1.0)[:, tf.newaxis] * tf.range(1.0, self.hidden_size + 1.0)\n"
                "        memory = self.text_projection(text) + tf.sin(places)",
            ),
        ),
    ),
    WrongAnswer(
        id="samples-mixed",
        title="normalisation over the batch",
        explanation=(
            "A sample gives another output in another batch. Something takes statistics over the samples; layer "
            "normalisation works within one token. Over which axes do your means run?"
        ),
        caught_by="test_order_and_company_have_no_influence",
        swap=(
            (
                "normed = self.encoder_norm(memory)",
                "normed = self.encoder_norm(memory - tf.reduce_mean(memory, axis=0, keepdims=True))",
            ),
        ),
    ),
    WrongAnswer(
        id="mask-ignored",
        title="the text mask is ignored",
        explanation=(
            "Padding takes part like any word: the same caption gives another result when it is padded further. The "
            "mask has to reach both attentions."
        ),
        caught_by="test_a_masked_text_token_is_as_good_as_absent",
        swap=(("visible = text_mask[:, tf.newaxis, :]", "visible = tf.ones_like(text_mask)[:, tf.newaxis, :]"),),
    ),
    WrongAnswer(
        id="mask-in-the-decoder-only",
        title="the mask reaches the decoder but not the encoder",
        explanation=(
            "The image tokens do not see the padding, but the words have seen it before: in the encoder they attended "
            "to it, and took something of it into the memory. Who else attends to text tokens in your layer?"
        ),
        caught_by="test_a_masked_text_token_is_as_good_as_absent",
        swap=((ENCODER, ENCODER.replace("attention_mask=visible, ", "")),),
    ),
    WrongAnswer(
        id="mask-in-the-encoder-only",
        title="the mask reaches the encoder but not the decoder",
        explanation=(
            "The words do not attend to the padding, but the padding has its own place in the memory, and the image "
            "tokens attend to it. Which of your attentions does not know the mask?"
        ),
        caught_by="test_a_masked_text_token_is_as_good_as_absent",
        swap=((DECODER, DECODER.replace("attention_mask=visible, ", "")),),
    ),
    WrongAnswer(
        id="mask-inverted",
        title="True in the mask taken for 'hidden'",
        explanation=(
            "The tokens that should be hidden are the only ones that are seen. Both conventions are in use (PyTorch's "
            "`key_padding_mask` marks the padding); here, as in Keras, True marks what may be attended to."
        ),
        caught_by="test_a_masked_text_token_is_as_good_as_absent",
        swap=(("visible = text_mask[:, tf.newaxis, :]", "visible = ~text_mask[:, tf.newaxis, :]"),),
    ),
    WrongAnswer(
        id="empty-text-leaks",
        title="masked text has an influence where all of it is masked",
        explanation=(
            "A sample without any visible text gives another output when the hidden text changes. A softmax that adds "
            "a large negative number to every score is uniform again, so the attention averages what it should not "
            "see; Keras's default call does that. Set what was found to 0 where no token is visible."
        ),
        caught_by="test_a_sample_without_text_keeps_its_image",
        swap=(
            (
                EMPTY,
                "        found = self.decoder_attention(\n"
                "            self.decoder_norm(tokens), memory, attention_mask=visible, training=training\n"
                "        )\n",
            ),
        ),
    ),
    WrongAnswer(
        id="no-residual",
        title="what was found replaces the image token",
        explanation=(
            "Without text, every image gives the same output: your decoder keeps only what it found in the memory and "
            "drops the image token that asked. A residual connection keeps both. Where does the image go after it "
            "has made the queries?"
        ),
        caught_by="test_a_sample_without_text_keeps_its_image",
        swap=((RESIDUAL, "tokens = self.drop(found, training=training)"),),
    ),
    WrongAnswer(
        id="nan-without-text",
        title="NaN for a sample without text",
        explanation=(
            "Where all scores are minus infinity, the softmax is 0/0, and one such sample spoils the loss of the whole "
            "batch. Decide what finding nothing should give, and put that in where no token is visible."
        ),
        caught_by="test_a_sample_without_text_keeps_its_image",
        swap=(
            (
                EMPTY,
                "        nothing = tf.where(tf.reduce_any(visible, axis=-1, keepdims=True), 0.0, float('nan'))\n"
                "        found, scores = found + nothing, scores + nothing[:, tf.newaxis]\n",
            ),
        ),
    ),
    WrongAnswer(
        id="heads-that-do-not-divide",
        title="a hidden size that the heads do not divide is accepted",
        explanation=(
            "6 columns cannot be shared by 4 heads. With a rounded-down width each head gets one column and two are "
            "missing, without a word. Refuse it in the constructor, where the mistake is made."
        ),
        caught_by="test_arguments_and_shapes_that_do_not_fit_are_refused",
        swap=((" or hidden_size % num_heads != 0", ""),),
    ),
    WrongAnswer(
        id="shapes-left-to-tensorflow",
        title="shapes that do not fit are left to TensorFlow",
        explanation=(
            "The call fails somewhere inside with InvalidArgumentError, or not at all when broadcasting makes the "
            "shapes fit: one text then serves for all images. Asked for is ValueError. Compare ranks, batch sizes and "
            "the mask at the top of the call."
        ),
        caught_by="test_arguments_and_shapes_that_do_not_fit_are_refused",
        swap=((RANKS, "if False:"), (BATCH, "if False:"), (MASK_SHAPE, "if False:")),
    ),
]

alternatives = [
    Alternative(
        id="attention-by-hand",
        title="heads written out with einsum, normalisation after the sums, ReLU network",
        code="""
class Heads(keras.layers.Layer):
    def __init__(self, size, heads, rate):
        super().__init__()
        self.size, self.heads = size, heads
        self.q, self.k, self.v, self.o = (keras.layers.Dense(size) for _ in range(4))
        self.drop = keras.layers.Dropout(rate)

    def split(self, x):
        return tf.reshape(x, (x.shape[0], x.shape[1], self.heads, self.size // self.heads))

    def call(self, query, memory, keep, training=None):
        q, k, v = self.split(self.q(query)), self.split(self.k(memory)), self.split(self.v(memory))
        scores = tf.einsum("bqhw,bkhw->bhqk", q, k) / (self.size // self.heads) ** 0.5
        keep = tf.cast(keep, scores.dtype)[:, None, None, :]
        scores = scores - 1e9 * (1 - keep)
        exponentials = tf.exp(scores - tf.stop_gradient(tf.reduce_max(scores, axis=-1, keepdims=True))) * keep
        weights = tf.math.divide_no_nan(exponentials, tf.reduce_sum(exponentials, axis=-1, keepdims=True))
        mixed = tf.einsum("bhqk,bkhw->bqhw", self.drop(weights, training=training), v)
        some = tf.reduce_max(keep, axis=-1)
        return self.o(tf.reshape(mixed, (*query.shape[:2], self.size))) * some, weights


class EncoderDecoderFusion(keras.layers.Layer):
    def __init__(self, hidden_size, num_heads=1, dropout=0.0, **kwargs):
        if hidden_size <= 0 or num_heads <= 0 or hidden_size % num_heads:
            raise ValueError("sizes")
        if dropout < 0 or dropout >= 1:
            raise ValueError("dropout")
        super().__init__(**kwargs)
        self.settings = {"hidden_size": hidden_size, "num_heads": num_heads, "dropout": dropout}
        self.read_text, self.read_image = keras.layers.Dense(hidden_size), keras.layers.Dense(hidden_size)
        self.encoder, self.decoder = Heads(hidden_size, num_heads, dropout), Heads(hidden_size, num_heads, dropout)
        self.norms = [keras.layers.LayerNormalization() for _ in range(3)]
        self.network = [keras.layers.Dense(2 * hidden_size, activation="relu"), keras.layers.Dense(hidden_size)]

    def get_config(self):
        config = super().get_config()
        config.update(self.settings)
        return config

    def call(self, text, image, text_mask=None, training=None, return_attention_scores=False):
        ranks = len(text.shape), len(image.shape)
        if not set(ranks) <= {2, 3} or len(text) != len(image):
            raise ValueError("shapes")
        if ranks[0] == 2:
            text = tf.expand_dims(text, 1)
        if ranks[1] == 2:
            image = tf.expand_dims(image, 1)
        if text_mask is None:
            text_mask = tf.fill(text.shape[:2], True)
        elif text_mask.dtype is not tf.bool or tuple(text_mask.shape) != tuple(text.shape[:2]):
            raise ValueError("mask")
        memory = self.read_text(text)
        memory = self.norms[0](memory + self.encoder(memory, memory, text_mask, training=training)[0])
        tokens = self.read_image(image)
        found, weights = self.decoder(tokens, memory, text_mask, training=training)
        tokens = self.norms[1](tokens + found)
        tokens = self.norms[2](tokens + self.network[1](self.network[0](tokens)))
        if ranks[1] == 2:
            tokens = tf.squeeze(tokens, 1)
        return (tokens, weights) if return_attention_scores else tokens
""",
    ),
    Alternative(
        id="image-tokens-attend-too",
        title="built in `build`; the image attends to itself first; empty samples see everything and are multiplied by 0",
        code="""
class EncoderDecoderFusion(keras.Layer):
    def __init__(self, hidden_size, num_heads=1, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        if not (hidden_size > 0 and num_heads > 0 and hidden_size % num_heads == 0 and 0.0 <= dropout < 1.0):
            raise ValueError("settings")
        self.hidden_size = hidden_size
        self.num_heads = num_heads
        self.dropout = dropout

    def build(self, text_shape, image_shape, text_mask_shape=None):
        for shape in (text_shape, image_shape):
            if len(shape) not in (2, 3):
                raise ValueError("rank")

        def attention():
            return keras.layers.MultiHeadAttention(
                num_heads=self.num_heads, key_dim=self.hidden_size // self.num_heads, dropout=self.dropout
            )

        self.project = [keras.layers.Dense(self.hidden_size), keras.layers.Dense(self.hidden_size)]
        self.text_self, self.image_self, self.cross = attention(), attention(), attention()
        self.norms = [keras.layers.LayerNormalization() for _ in range(4)]
        self.network = keras.Sequential(
            [
                keras.layers.Dense(3 * self.hidden_size, activation="swish"),
                keras.layers.Dropout(self.dropout),
                keras.layers.Dense(self.hidden_size),
            ]
        )

    def get_config(self):
        config = super().get_config()
        for name in ("hidden_size", "num_heads", "dropout"):
            config[name] = getattr(self, name)
        return config

    def call(self, text, image, text_mask=None, training=None, return_attention_scores=False):
        ops = keras.ops
        if image.ndim not in (2, 3) or text.ndim not in (2, 3) or text.shape[0] != image.shape[0]:
            raise ValueError("shapes")
        squeeze = image.ndim == 2
        text = ops.expand_dims(text, 1) if text.ndim == 2 else text
        image = ops.expand_dims(image, 1) if squeeze else image
        mask, some = None, 1.0
        if text_mask is not None:
            if keras.backend.standardize_dtype(text_mask.dtype) != "bool":
                raise TypeError("mask")
            if tuple(text_mask.shape) != tuple(text.shape[:2]):
                raise ValueError("mask")
            any_text = ops.any(text_mask, axis=1, keepdims=True)
            mask = ops.logical_or(text_mask, ops.logical_not(any_text))[:, None, :]
            some = ops.cast(any_text, "float32")[:, None]
        memory = self.project[0](text)
        memory = self.norms[0](memory + self.text_self(memory, memory, attention_mask=mask))
        tokens = self.project[1](image)
        tokens = self.norms[1](tokens + self.image_self(tokens, tokens))
        found, scores = self.cross(tokens, memory, attention_mask=mask, return_attention_scores=True)
        tokens = self.norms[2](tokens + found * some)
        tokens = self.norms[3](tokens + self.network(tokens))
        output = ops.squeeze(tokens, axis=1) if squeeze else tokens
        if not return_attention_scores:
            return output
        return output, scores * (some if text_mask is None else some[:, None])
""",
    ),
    Alternative(
        id="one-sample-at-a-time",
        title="a loop over samples that drops the padding instead of masking it, one block of columns a head",
        code="""
class EncoderDecoderFusion(keras.layers.Layer):
    def __init__(self, hidden_size, num_heads=1, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        if min(hidden_size, num_heads) < 1 or hidden_size % num_heads or not 0 <= dropout < 1:
            raise ValueError("settings")
        self.hidden_size, self.num_heads, self.dropout = hidden_size, num_heads, dropout
        self.linear = {
            name: keras.layers.Dense(hidden_size)
            for name in ("text", "image", "eq", "ek", "ev", "eo", "dq", "dk", "dv", "do", "out")
        }
        self.wide = keras.layers.Dense(4 * hidden_size, activation="gelu")
        self.norm = {name: keras.layers.LayerNormalization() for name in ("memory", "query", "network")}
        self.rate = keras.layers.Dropout(dropout)

    def get_config(self):
        return super().get_config() | {
            "hidden_size": self.hidden_size, "num_heads": self.num_heads, "dropout": self.dropout
        }

    def attend(self, side, query, memory):
        projected = [self.linear[side + letter](x) for letter, x in zip("qkv", (query, memory, memory))]
        parts, maps = [], []
        for q, k, v in zip(*(tf.split(x, self.num_heads, axis=-1) for x in projected)):
            maps.append(tf.nn.softmax(tf.matmul(q, k, transpose_b=True) / q.shape[-1] ** 0.5))
            parts.append(tf.matmul(maps[-1], v))
        return self.linear[side + "o"](tf.concat(parts, axis=-1)), tf.stack(maps, axis=1)

    def call(self, text, image, text_mask=None, training=None, return_attention_scores=False):
        for x in (text, image):
            if x.shape.rank < 2 or x.shape.rank > 3:
                raise ValueError("rank")
        if text.shape[0] != image.shape[0]:
            raise ValueError("batch")
        flat = image.shape.rank == 2
        text = text[:, None] if text.shape.rank == 2 else text
        image = image[:, None] if flat else image
        if text_mask is not None and (text_mask.dtype != tf.bool or text_mask.shape != text.shape[:2]):
            raise ValueError("mask")
        outputs, all_scores = [], []
        for b in range(text.shape[0]):
            seen = [t for t in range(text.shape[1]) if text_mask is None or bool(text_mask[b, t])]
            tokens = self.linear["image"](image[b : b + 1])
            scores = tf.zeros((1, self.num_heads, image.shape[1], text.shape[1]))
            if seen:
                words = self.linear["text"](tf.gather(text[b : b + 1], seen, axis=1))
                memory = self.norm["memory"](words + self.rate(self.attend("e", words, words)[0], training=training))
                found, shares = self.attend("d", self.norm["query"](tokens), memory)
                tokens = tokens + self.rate(found, training=training)
                scores = tf.matmul(shares, tf.one_hot(seen, text.shape[1]))
            hidden = self.wide(self.norm["network"](tokens))
            outputs.append(tokens + self.rate(self.linear["out"](hidden), training=training))
            all_scores.append(scores)
        output = tf.concat(outputs, axis=0)
        output = output[:, 0] if flat else output
        return (output, tf.concat(all_scores, axis=0)) if return_attention_scores else output
""",
    ),
]

SIGN = "The sign of what is added can be undone by the sign of the free weights that made it."

equivalent_mutants = {
    "4 -> 5 in `self.expand": "The width of the feed-forward network is free.",
    "0 -> 1 in `text_mask = tf.ones_like(text[:, :, 0], tf.bool)": "Only the shape of that slice is used.",
    "Add -> Sub in `memory = self.memory_norm(": SIGN,
    "Add -> Sub in `tokens = tokens + self.drop(found": SIGN,
    "Add -> Sub in `tokens = tokens + self.drop(self.contract": SIGN,
    "0.0 -> 0.5 in `found = tf.where(": (
        "A constant added to image tokens without text cannot be told from biases while the inside of the layer is free."
    ),
}

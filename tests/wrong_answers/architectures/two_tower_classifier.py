"""Catalogue of architectures/two_tower_classifier.

The published program does not run (undefined names, then shapes that do not fit). The first four entries are what is
left of it once each error has been repaired in the nearest way.
"""

from grader.catalogue import Alternative, WrongAnswer

MASKED = "self.embedding(text).masked_fill(padding[:, :, None], 0)"
MEAN = "text_vector = tokens.sum(dim=1) / real.clamp(min=1)"
CAT = "torch.cat([image_vector, text_vector], dim=1)"

wrong_answers = [
    WrongAnswer(
        id="class-scores-as-features",
        title="class scores of the pretrained network taken for its features",
        explanation=(
            "Your encoder still ends in `fc`, so what it returns are scores for the classes of another task: most of what "
            "the network saw is gone. The features are what goes *into* that layer. What should stand in its place, and "
            "how wide is its input?"
        ),
        caught_by="test_strip_head",
        swap=(
            ("    encoder.fc = nn.Identity()\n", ""),
            ("return encoder, head.in_features", "return encoder, head.out_features"),
        ),
    ),
    WrongAnswer(
        id="layers-in-a-sequential",
        title="the network's layers put into an nn.Sequential, without its forward",
        explanation=(
            "`nn.Sequential(*list(cnn.children())[:-1])` calls the layers one after the other. What `forward` does between "
            "them, such as flattening, a residual connection or a function, is lost, and an encoder without `fc` is no copy "
            "of the network. How can one layer of a copy be replaced, so that `forward` stays?"
        ),
        caught_by="test_strip_head",
        swap=(
            (
                "    encoder = copy.deepcopy(cnn)\n    encoder.fc = nn.Identity()\n",
                "    encoder = nn.Sequential(*list(copy.deepcopy(cnn).children())[:-1])\n",
            ),
        ),
    ),
    WrongAnswer(
        id="width-of-the-scores",
        title="the number of class scores returned as the number of features",
        explanation=(
            "Your encoder is right; the width beside it is the one of what comes *out* of `fc`. A classifier built with it "
            "does not fit the features. Which of the two numbers of an nn.Linear says what goes in?"
        ),
        caught_by="test_strip_head",
        swap=(("return encoder, head.in_features", "return encoder, head.out_features"),),
    ),
    WrongAnswer(
        id="concatenated-twice",
        title="features concatenated twice, to fill a layer that is twice too wide",
        explanation=(
            "Your shared layer takes in every feature twice. The function can be the same, but the layer has twice as many "
            "weights as it needs. When a width does not fit, count what is concatenated, rather than concatenating more."
        ),
        caught_by="test_layers",
        swap=(
            ("nn.Linear(image_dim + embed_dim, hidden)", "nn.Linear(2 * (image_dim + embed_dim), hidden)"),
            (CAT, "torch.cat([image_vector, text_vector, image_vector, text_vector], dim=1)"),
        ),
    ),
    WrongAnswer(
        id="no-relu",
        title="no activation between the shared layer and the classifier",
        explanation=(
            "Two linear layers in a row are one linear layer: the logits become a sum of something from the image and "
            "something from the text, and 'these words with that picture' cannot be learned. What is missing between them?"
        ),
        caught_by="test_logits",
        swap=(("self.dropout(F.relu(self.fc1(joined)))", "self.dropout(self.fc1(joined))"),),
    ),
    WrongAnswer(
        id="plain-mean-of-the-row",
        title="the mean over the whole row, padding and its embedding included",
        explanation=(
            "You average all embeddings of the row, so the padding's own vector is mixed into every short text, the more, the "
            "longer the longest text of the batch is. Which tokens are real, and how many are there in each row?"
        ),
        caught_by="test_padding_and_order_of_the_tokens",
        swap=((MEAN, "text_vector = self.embedding(text).mean(dim=1)"),),
    ),
    WrongAnswer(
        id="padding-averaged-in",
        title="padding left out of the sum, but counted in the number of tokens",
        explanation=(
            "You divide by the length of the row, padding included, so a short text's vector shrinks with the longest text "
            "of its batch. Which tokens are real, and how many are there in each row?"
        ),
        caught_by="test_padding_and_order_of_the_tokens",
        swap=((MEAN, "text_vector = tokens.mean(dim=1)"),),
    ),
    WrongAnswer(
        id="flattened",
        title="word vectors put side by side, for one length of text only",
        explanation=(
            "You flatten `(batch, length, embed_dim)`, so the width of `fc1` depends on the length of the text: a longer "
            "batch does not fit, and a word has another meaning at every position. Which operation makes one vector of "
            "any number of them?"
        ),
        caught_by="test_padding_and_order_of_the_tokens",
        swap=(
            ("nn.Linear(image_dim + embed_dim, hidden)", "nn.LazyLinear(hidden)"),
            (MEAN, "text_vector = tokens.flatten(1)"),
        ),
    ),
    WrongAnswer(
        id="softmax-in-forward",
        title="softmax at the end of forward",
        explanation=(
            "You return probabilities. The cross-entropy loss applies its own softmax, and a second one flattens the "
            "gradients: with three classes the loss cannot fall below 0.55. Return the scores as they are."
        ),
        caught_by="test_logits",
        swap=(
            (
                "return self.fc2(self.dropout(F.relu(self.fc1(joined))))",
                "return self.fc2(self.dropout(F.relu(self.fc1(joined)))).softmax(dim=1)",
            ),
        ),
    ),
    WrongAnswer(
        id="original-changed",
        title="the head taken off the original network",
        explanation=(
            "`strip_head` changes the network that it was given: whoever still uses it as a classifier now gets features "
            "without a warning. Work on a copy."
        ),
        caught_by="test_strip_head",
        swap=(("encoder = copy.deepcopy(cnn)", "encoder = cnn"),),
    ),
    WrongAnswer(
        id="shallow-copy",
        title="a shallow copy, which shares its layers with the original",
        explanation=(
            "`copy.copy` makes a new object around the same dictionary of sub-modules, so replacing `fc` in the copy "
            "replaces it in the original too. How deep does the copy have to go?"
        ),
        caught_by="test_strip_head",
        swap=(("copy.deepcopy(cnn)", "copy.copy(cnn)"),),
    ),
    WrongAnswer(
        id="padding-trusted-to-be-zero",
        title="padding left in the sum because its embedding is believed to be 0",
        explanation=(
            "`padding_idx` sets the embedding of the padding to 0 once, when the layer is made. Weights that are loaded or "
            "initialised later can hold anything there, and then padding counts in your sum. Decide by the ids."
        ),
        caught_by="test_padding_and_order_of_the_tokens",
        swap=((MASKED, "self.embedding(text)"),),
    ),
    WrongAnswer(
        id="padding-taken-to-be-last",
        title="padding taken to stand at the end of the row",
        explanation=(
            "You count the real tokens of a row and then keep that many from its front. Tokenisers also pad on the left, and "
            "then you keep padding and lose words. Ask of every single place whether it is padding."
        ),
        caught_by="test_padding_and_order_of_the_tokens",
        swap=(
            (
                "        padding = text == self.pad_id  # (batch, length)\n",
                "        length = (text != self.pad_id).sum(dim=1, keepdim=True)  # (batch, 1)\n"
                "        padding = torch.arange(text.shape[1]) >= length  # (batch, length)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="zero-is-always-padding",
        title="padding taken to have the id 0, whatever pad_id says",
        explanation=(
            "Your mask compares with 0. In many vocabularies 0 is an ordinary token and padding has another id, such as 1 "
            "or the end-of-text token. Where does the caller say which one it is?"
        ),
        caught_by="test_padding_and_order_of_the_tokens",
        swap=(("padding = text == self.pad_id", "padding = text == 0"),),
    ),
    WrongAnswer(
        id="empty-text-is-nan",
        title="0/0 for a text of padding only",
        explanation=(
            "A text without real tokens divides 0 by 0, and one NaN in a batch makes the loss NaN for all of it. What "
            "should the denominator be at least?"
        ),
        caught_by="test_padding_and_order_of_the_tokens",
        swap=((MEAN, "text_vector = tokens.sum(dim=1) / real"),),
    ),
    WrongAnswer(
        id="text-before-image",
        title="the text's vector in front of the image's features",
        explanation=(
            "Trained from scratch, your model is as good as any. With given weights it is not: the columns of `fc1` that "
            "belong to the image meet the text. The task says which comes first."
        ),
        caught_by="test_logits",
        swap=((CAT, "torch.cat([text_vector, image_vector], dim=1)"),),
    ),
    WrongAnswer(
        id="encoder-cut-off",
        title="no gradient reaches the image encoder",
        explanation=(
            "The image's features are computed without a record for the backward pass, so the encoder never learns. "
            "Freezing it can be a good decision, but it is the caller's, by `requires_grad`. Look for `no_grad` or `detach`."
        ),
        caught_by="test_gradients",
        swap=(("image_vector = self.image_encoder(image)", "image_vector = self.image_encoder(image).detach()"),),
    ),
    WrongAnswer(
        id="dropout-always-on",
        title="dropout in evaluation mode too",
        explanation=(
            "The function `F.dropout` does not know whether the model is training unless it is told, and drops units by "
            "default: your predictions are noisy. The layer `nn.Dropout` knows; or pass `self.training` on."
        ),
        caught_by="test_dropout",
        swap=(("self.dropout(F.relu(self.fc1(joined)))", "F.dropout(F.relu(self.fc1(joined)), self.dropout.p)"),),
    ),
    WrongAnswer(
        id="dropout-before-fc1",
        title="dropout on what goes into fc1 instead of the hidden units",
        explanation=(
            "You set features of the image and of the text to 0, before the shared layer, and none of its hidden units. "
            "That is another kind of noise than asked for. Between which two layers does dropout stand in the task?"
        ),
        caught_by="test_dropout",
        swap=(
            ("self.fc2(self.dropout(F.relu(self.fc1(joined))))", "self.fc2(F.relu(self.fc1(self.dropout(joined))))"),
        ),
    ),
    WrongAnswer(
        id="dropout-on-the-logits",
        title="dropout on the logits, after fc2",
        explanation=(
            "What you set to 0 at random are class scores, so in training the loss sees a class without its score, and its "
            "gradient is wrong for every class. Dropout belongs where many units say similar things: on the hidden units, "
            "before the last layer."
        ),
        caught_by="test_dropout",
        swap=(
            ("self.fc2(self.dropout(F.relu(self.fc1(joined))))", "self.dropout(self.fc2(F.relu(self.fc1(joined))))"),
        ),
    ),
    WrongAnswer(
        id="one-mask-for-the-batch",
        title="one dropout mask for the whole batch",
        explanation=(
            "Every sample of your batch loses the same hidden units, so a step trains a single smaller network instead of as "
            "many as there are samples, and gradients become noisier. Draw for each unit of each sample on its own: look at "
            "the shape of what you draw."
        ),
        caught_by="test_dropout",
        swap=(
            (
                "return self.fc2(self.dropout(F.relu(self.fc1(joined))))",
                "units = F.relu(self.fc1(joined))\n"
                "        return self.fc2(units * self.dropout(torch.ones_like(units[:1])))",
            ),
        ),
    ),
    WrongAnswer(
        id="ids-unchecked",
        title="token ids outside the vocabulary not refused",
        explanation=(
            "An id that the embedding does not have ends in an error deep inside the framework, and on an accelerator in a "
            "crash that names another line. Compare the ids with the vocabulary first and say what is wrong."
        ),
        caught_by="test_bad_input",
        swap=(("if ((text < 0) | (text >= self.vocab_size)).any():", "if text is None:"),),
    ),
    WrongAnswer(
        id="shapes-unchecked",
        title="the encoder's result not compared with what was announced",
        explanation=(
            "When the encoder returns another shape than `(batch, image_dim)`, the error comes from a matrix product further "
            "down and does not mention the encoder. Compare its result with the batch and with `image_dim`."
        ),
        caught_by="test_bad_input",
        swap=(("if image_vector.shape != (len(text), self.image_dim):", "if image_vector is None:"),),
    ),
]

alternatives = [
    Alternative(
        id="embedding-bag",
        title="nn.EmbeddingBag, which leaves its padding index out of the mean, with sparse gradients",
        code="""
def strip_head(cnn):
    if not hasattr(cnn, "fc") or not isinstance(cnn.fc, nn.Linear):
        raise TypeError("no linear fc")
    width = cnn.fc.weight.shape[1]
    features = copy.deepcopy(cnn)
    setattr(features, "fc", nn.Identity())
    return features, width


class MultimodalClassifier(nn.Module):
    def __init__(self, image_encoder, image_dim, vocab_size, embed_dim, hidden, n_classes, pad_id=0, dropout=0.0):
        super().__init__()
        self.image_encoder = image_encoder
        self.embedding = nn.EmbeddingBag(vocab_size, embed_dim, mode="mean", padding_idx=pad_id, sparse=True)
        self.fc1 = nn.Linear(image_dim + embed_dim, hidden)
        self.fc2 = nn.Linear(hidden, n_classes)
        self.p = dropout

    def forward(self, image, text):
        if text.dtype != torch.int64:
            raise ValueError("text must be int64")
        if text.ndim != 2 or text.size(1) < 1:
            raise ValueError("text must be (batch, length)")
        if len(text) and not 0 <= text.min() <= text.max() < self.embedding.num_embeddings:
            raise ValueError("unknown token")
        features = self.image_encoder(image)
        expected = (text.size(0), self.fc1.in_features - self.embedding.embedding_dim)
        if tuple(features.shape) != expected:
            raise ValueError("features")
        hidden = torch.relu(self.fc1(torch.hstack((features, self.embedding(text)))))
        return self.fc2(F.dropout(hidden, self.p, training=self.training))
""",
    ),
    Alternative(
        id="text-by-text",
        title="a loop over texts that drops the padding; the head as nn.Sequential",
        code="""
class MultimodalClassifier(nn.Module):
    def __init__(self, image_encoder, image_dim, vocab_size, embed_dim, hidden, n_classes, pad_id=0, dropout=0.0):
        super().__init__()
        self.sizes = image_dim, vocab_size
        self.pad_id = pad_id
        self.image_encoder = image_encoder
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        self.fc1 = nn.Linear(image_dim + embed_dim, hidden)
        self.fc2 = nn.Linear(hidden, n_classes)
        self.between = nn.Sequential(nn.Dropout(dropout), nn.ReLU())  # the order of these two makes no difference

    def forward(self, image, text):
        if text.dtype.is_floating_point or text.dim() != 2:
            raise ValueError("text")
        if len(image) != len(text):
            raise ValueError("batch sizes")
        image_dim, vocab_size = self.sizes
        features = self.image_encoder(image)
        if features.dim() != 2 or features.shape[0] != len(text) or features.shape[1] != image_dim:
            raise ValueError("features")
        rows = []
        for vector, ids in zip(features, text):
            if not ids.numel() or int(ids.min()) < 0 or int(ids.max()) >= vocab_size:
                raise ValueError("ids")
            ids = ids[ids != self.pad_id]
            words = self.embedding.weight[ids].mean(dim=0) if len(ids) else torch.zeros_like(self.embedding.weight[0])
            rows.append(torch.cat([vector, words]))
        return self.fc2(self.between(self.fc1(torch.stack(rows))))
""",
    ),
    Alternative(
        id="matrix-product",
        title="the mean as a product with normalised weights, fc1 in two parts, all of it in an nn.Sequential",
        code="""
def strip_head(cnn):
    try:
        head = cnn.fc
    except AttributeError:
        raise TypeError("the network has no fc") from None
    if not isinstance(head, nn.Linear):
        raise TypeError("fc is not linear")
    twin = copy.deepcopy(cnn)
    del twin.fc
    twin.add_module("fc", nn.Identity())
    return twin, head.in_features


class MultimodalClassifier(nn.Module):
    def __init__(self, image_encoder, image_dim, vocab_size, embed_dim, hidden, n_classes, pad_id=0, dropout=0.0):
        super().__init__()
        self.image_encoder, self.pad_id, self.image_dim = image_encoder, pad_id, image_dim
        self.embedding = nn.Embedding(vocab_size, embed_dim, pad_id)
        first, last = nn.Linear(image_dim + embed_dim, hidden), nn.Linear(hidden, n_classes)
        self.mlp = nn.Sequential(first, nn.ReLU(), nn.Dropout(p=dropout), last)
        self.fc1, self.fc2 = self.mlp[0], self.mlp[3]  # a second name for the same layers

    def forward(self, image, text):
        if torch.is_floating_point(text):
            raise TypeError("text")
        if len(text.shape) != 2 or 0 in text.shape:
            raise ValueError("text")
        known = torch.arange(len(self.embedding.weight))
        if not torch.isin(text, known).all():
            raise ValueError("ids")
        features = self.image_encoder(image)
        if features.shape != torch.Size([text.shape[0], self.image_dim]):
            raise ValueError("features")
        weights = text.ne(self.pad_id).to(self.embedding.weight.dtype)
        weights = weights / weights.sum(dim=1, keepdim=True).clamp_min(1.0)
        words = torch.einsum("bl,ble->be", weights, self.embedding(text))
        from_image, from_text = self.fc1.weight.split([self.image_dim, words.shape[1]], dim=1)
        hidden = features @ from_image.T + words @ from_text.T + self.fc1.bias
        return self.mlp[1:](hidden)
""",
    ),
]

# %% [markdown]
# # A two-tower classifier
#
# A *tower* is an encoder that sees one modality only. One tower turns the image into a vector, another one the text, a
# shared layer joins them and a classifier decides: this is about the smallest multimodal model there is. Published
# versions of it tend to fail in the same places. Class scores of a pretrained network are taken for features, a
# sequence of word vectors meets one vector of the image, padding is averaged in, and two linear layers follow each
# other with nothing in between, so that they are one.
#
# ## Your task (about 30 minutes)
#
# **1. `strip_head(cnn)`** returns `(encoder, width)`. Image classifiers such as ResNets end in a linear layer `fc`,
# which turns features into class scores. `encoder` is a **copy** of `cnn`, an object of the same class, in which `fc`
# is an `nn.Identity`; `width` is the number of features that `fc` took in.
#
# - The `forward` of `cnn` may do more than call its layers one after the other. The copy does the same, up to `fc`.
# - `cnn` stays as it is, and the copy shares no parameters and no buffers with it.
# - `TypeError` if `cnn` has no attribute `fc`, or if that is not an `nn.Linear`.
#
# **2. `MultimodalClassifier`**, a module whose `forward(image, text)` returns logits:
#
# ```python
# MultimodalClassifier(image_encoder, image_dim, vocab_size, embed_dim, hidden, n_classes, pad_id=0, dropout=0.0)
# ```
#
# | tensor | shape | |
# |---|---|---|
# | `image` | `(batch, 3, height, width)` | goes to `image_encoder`, which returns `(batch, image_dim)` |
# | `text` | `(batch, length)`, `int64` | token ids from 0 to `vocab_size - 1`; `pad_id` marks padding |
# | logits | `(batch, n_classes)` | in the dtype of the parameters, which `image` has too; no softmax |
#
# | attribute | |
# |---|---|
# | `image_encoder` | the module that was given; it is trained along |
# | `embedding` | the word vectors; `embedding.weight` is `(vocab_size, embed_dim)` |
# | `fc1` | linear, with bias, `image_dim + embed_dim` → `hidden` |
# | `fc2` | linear, with bias, `hidden` → `n_classes` |
#
# These hold all parameters of the module. (Another attribute may refer to the same layers once more, such as an
# `nn.Sequential` of them.) `pad_id` is one of the ids from 0 to `vocab_size - 1`.
#
# - The text's vector is the mean of the embeddings of its **real** tokens, wherever in the row they stand. A text of
#   padding only has the vector 0. Padding has no influence, whatever its row of `embedding.weight` holds (the checks
#   fill it with random numbers), and the gradient of this row is 0.
# - The image's features come first, the text's vector second: `fc1`, ReLU, dropout, `fc2`.
# - `dropout` is the probability with which a hidden unit is set to 0 in training mode, each unit of each sample
#   independently of all others; the others are divided by 1 − `dropout` there. Nothing but hidden units is dropped. In
#   evaluation mode nothing is dropped and nothing rescaled.
# - Gradients reach the image encoder, the embeddings of the real tokens and both linear layers.
# - `ValueError` when the encoder's result is not `(batch, image_dim)`, when `image` and `text` differ in batch size,
#   when `text` is not 2-D or has length 0, and for an id below 0 or from `vocab_size` on. A text of floating-point
#   numbers: `TypeError` or `ValueError`, as you like.
#
# `image` and `text` stay as they are. Nothing is forbidden.
#
# ## Worked example
#
# `pad_id` is 0, the embedding of token 7 is (1, 3), that of token 3 is (5, 1), and the encoder makes (4) of the image.
# The text `[7, 3, 0, 0]` has the vector (3, 2), the mean of two, not of four; `fc1` takes in (4, 3, 2). For the text
# `[0, 0, 0, 0]` it takes in (4, 0, 0).

# %%
import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn


# %% tags=["solution"]
def strip_head(cnn: nn.Module) -> tuple[nn.Module, int]:
    """Return a copy of an image classifier without its last layer `fc`, and the number of its features.

    The copy maps images to features (batch, width); cnn itself is not changed. Raises TypeError if cnn.fc is not an
    nn.Linear.
    """
    ### BEGIN SOLUTION
    head = getattr(cnn, "fc", None)
    if not isinstance(head, nn.Linear):
        raise TypeError(f"expected a model with a linear layer fc, found {type(head).__name__}")
    encoder = copy.deepcopy(cnn)
    encoder.fc = nn.Identity()
    return encoder, head.in_features
    ### END SOLUTION


# %% tags=["solution"]
class MultimodalClassifier(nn.Module):
    """A classifier on image features and the mean word vector, side by side (Baltrušaitis, Ahuja & Morency 2019).

    Attributes: image_encoder (images -> (batch, image_dim)), embedding (vocab_size, embed_dim), fc1 (image_dim +
    embed_dim -> hidden), fc2 (hidden -> n_classes). Dropout between them (Srivastava et al. 2014).
    """

    def __init__(
        self,
        image_encoder: nn.Module,
        image_dim: int,
        vocab_size: int,
        embed_dim: int,
        hidden: int,
        n_classes: int,
        pad_id: int = 0,
        dropout: float = 0.0,
    ) -> None:
        ### BEGIN SOLUTION
        super().__init__()
        self.image_dim, self.vocab_size, self.pad_id = image_dim, vocab_size, pad_id
        self.image_encoder = image_encoder
        self.embedding = nn.Embedding(vocab_size, embed_dim, padding_idx=pad_id)
        self.fc1 = nn.Linear(image_dim + embed_dim, hidden)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(hidden, n_classes)
        ### END SOLUTION

    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        """Return logits (batch, n_classes) for image (batch, 3, height, width) and text (batch, length) int64.

        Raises ValueError for shapes that do not fit, for a text of length 0 and for ids outside the vocabulary,
        TypeError or ValueError for a text of floating-point numbers.
        """
        ### BEGIN SOLUTION
        if text.is_floating_point():
            raise TypeError(f"text must hold token ids, not {text.dtype}")
        if text.dim() != 2 or text.shape[1] == 0:
            raise ValueError(f"expected a text (batch, length) with at least one token, got {tuple(text.shape)}")
        if ((text < 0) | (text >= self.vocab_size)).any():
            raise ValueError(f"token ids must be from 0 to {self.vocab_size - 1}")

        image_vector = self.image_encoder(image)  # (batch, image_dim)
        if image_vector.shape != (len(text), self.image_dim):
            raise ValueError(f"expected image features {(len(text), self.image_dim)}, got {tuple(image_vector.shape)}")

        # mean of the embeddings of the real tokens; a text of padding only divides 0 by 1
        padding = text == self.pad_id  # (batch, length)
        tokens = self.embedding(text).masked_fill(padding[:, :, None], 0)  # (batch, length, embed_dim)
        real = (~padding).sum(dim=1, keepdim=True)  # (batch, 1)
        text_vector = tokens.sum(dim=1) / real.clamp(min=1)  # (batch, embed_dim)

        joined = torch.cat([image_vector, text_vector], dim=1)  # (batch, image_dim + embed_dim)
        return self.fc2(self.dropout(F.relu(self.fc1(joined))))
        ### END SOLUTION


# %% [markdown]
# ## Try it
#
# The encoder here passes the three numbers of a 1 × 1 image on. The second text is padding only.

# %% tags=["visible-checks", "active-ipynb"]
# model = MultimodalClassifier(nn.Flatten(), image_dim=3, vocab_size=5, embed_dim=1, hidden=1, n_classes=2)
# for parameter, value in [
#     (model.embedding.weight, [[9.0], [1.0], [2.0], [4.0], [8.0]]),
#     (model.fc1.weight, [[1.0, 2.0, 3.0, 10.0]]), (model.fc1.bias, [0.0]),
#     (model.fc2.weight, [[1.0], [-2.0]]), (model.fc2.bias, [0.5, 0.0]),
# ]:
#     parameter.data = torch.tensor(value)
# image = torch.tensor([[1.0, 2.0, 3.0], [-1.0, -1.0, -1.0]]).reshape(2, 3, 1, 1)
# logits = model(image, torch.tensor([[2, 4, 0], [0, 0, 0]]))
# torch.testing.assert_close(logits, torch.tensor([[64.5, -128.0], [0.5, 0.0]]))
#
# class Cnn(nn.Module):
#     def __init__(self):
#         super().__init__()
#         self.fc = nn.Linear(4, 10)
#
#     def forward(self, image):
#         return self.fc(image.flatten(2).mean(dim=2).repeat(1, 2)[:, :4])
#
#
# cnn = Cnn()
# encoder, width = strip_head(cnn)
# assert width == 4, "fc takes in 4 features"
# assert encoder is not cnn, "a copy"
# assert isinstance(encoder, Cnn) and isinstance(encoder.fc, nn.Identity), "a copy of cnn in which fc is an nn.Identity"
# assert encoder(torch.ones(2, 3, 5, 5)).shape == (2, 4), "the encoder returns the 4 features"
# assert cnn(torch.ones(2, 3, 5, 5)).shape == (2, 10), "the original still returns its 10 class scores"

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Padding a text further, or shuffling its tokens, must not change its logits by more than rounding. And a text of
# padding only must give finite numbers. What does your division do there?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# The two towers have to end in the same kind of thing: one vector for each sample. The image encoder does once its last
# layer is gone; the text has an axis too many, and a mean over it that counts real tokens only takes care of that and
# of texts of any length. A module is a tree of objects: an assignment to an attribute of the tree changes it for
# everybody who holds it, and a shallow copy still holds the same branches.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# `strip_head`: look at `fc`, refuse what is not linear, copy deeply, replace in the copy. `forward`: check the text,
# encode the image, check the result. Find the padding, embed, fill the padding's vectors with 0, add up, divide by the
# number of real tokens but at least by 1. Put image and text side by side; linear, ReLU, dropout, linear. `__init__`
# begins with `super().__init__()`: before that, a module cannot hold others.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# tokens = self.embedding(text).masked_fill((text == self.pad_id)[:, :, None], 0)  # (batch, length, embed_dim)
# ```
#
# </details>
#
# ## References
#
# - Tadas Baltrušaitis, Chaitanya Ahuja, Louis-Philippe Morency (2019), Multimodal Machine Learning: A Survey and
#   Taxonomy.
# - Nitish Srivastava, Geoffrey Hinton, Alex Krizhevsky, Ilya Sutskever, Ruslan Salakhutdinov (2014), Dropout: A Simple
#   Way to Prevent Neural Networks from Overfitting.
# - Alec Radford, Jong Wook Kim, Chris Hallacy, et al. (2021), Learning Transferable Visual Models From Natural Language
#   Supervision: today one would start from two towers trained like these.

# %% [markdown]
# # Image tokens in a language model
#
# Most vision-language models you will fine-tune are language models that were taught to read pictures. A vision encoder
# and a small connector turn an image into a few hundred vectors, and these take the seats that placeholder tokens keep
# free in the prompt. If they land one seat off, or in another sample, nothing crashes: the model answers questions
# about somebody else's picture. Here you answer the interview question in your own words, judge eight claims about it,
# and write the step that seats the image.
#
# Plan about 40 minutes: 15 for the answer, 5 for the claims, 20 for the code.

# %%
import torch
from torch import Tensor

# %% [markdown]
# ## The question
#
# *"What is a large multimodal model? What makes it multimodal, how does an image get into a language model, and what
# can such a model put out?"*
#
# Answer in the next cell as you would say it aloud, in ten to fifteen sentences. The answer is worth 4 points and is
# read by a person, one point for each of these:
#
# - *definition*: what makes a model multimodal, with an example of something that does not deserve the name;
# - *families*: at least three ways to build such a model, each with the name of one and what it can do;
# - *the way of the image*: from pixels to the seats in the prompt, and on what, and in which stages, is then trained;
# - *the rest*: what can come out, what "large" means, and what a shared space of images and texts can do and cannot.

# %% [markdown] tags=["answer"]
# **Model answer.** "A large multimodal model is *one* model that maps two or more modalities into a shared
# representation, or lets them attend to each other, and that is trained on paired or interleaved data. Accepting
# several file types is not enough: three classifiers behind one web page do that as well. A modality is a channel of
# sensing or of representation, not a file format.
#
# I tell four families apart. Dual encoders such as CLIP and SigLIP have one tower for each modality and a shared
# space; they retrieve and classify without task labels, but generate nothing. Cross-attention models such as Flamingo,
# and BLIP-2 with its Q-Former, let learned queries or text tokens look at image features. Projector models such as
# LLaVA and the Qwen-VL series put image features into the token sequence. Early-fusion models such as Chameleon turn
# images into discrete tokens of one vocabulary.
#
# In a projector model a vision encoder makes patch features; a connector, for example a two-layer MLP, a merger of
# neighbouring patches or a resampler, brings them to the width of the language model; and they replace the embeddings
# of placeholder tokens. Position information has to follow: Qwen2-VL counts time, height and width separately, Qwen3-VL
# interleaves these and feeds in features of several levels. Training often begins with contrastive alignment of the
# encoder, then the connector and later the language model learn next-token prediction on the text of the answer only;
# image, prompt and padding positions are left out of the loss. Instruction tuning and preference tuning follow.
#
# Input and output modalities are independent: CLIP puts out similarities and most vision-language models put out text;
# producing images takes a decoder of its own, a diffusion model for instance, or image tokens. 'Large' is relative:
# today billions of parameters in the language model, a few hundred million to some billions in the vision tower. A
# shared space allows zero-shot classification, which compares an image with the average of normalised prompt
# embeddings of each class; still, image and text embeddings stay in separate regions of it, the modality gap."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, definition: one model, a joint or aligned representation or mutual attention, paired data; a counterexample
#   that only accepts several types, or modality told apart from file format. The five challenges of the taxonomy of
#   Baltrušaitis et al. (representation, translation, alignment, fusion, co-learning) are welcome here.
# - 1 point, families: at least three of dual encoder, cross-attention, projector, early fusion, each with an example
#   and with what it can do.
# - 1 point, the way of the image: encoder, connector to the width of the language model, placeholders replaced;
#   next-token loss on text only, and one more stage (contrastive, instruction or preference tuning). Positions in two
#   or three dimensions are welcome here.
# - 1 point, the rest: output modalities are a separate property; "large" is relative; zero-shot use of a shared space,
#   or the gap that remains in it.
#
# **References of the model answer**
#
# - Jean-Baptiste Alayrac, Jeff Donahue, Pauline Luc, et al. (2022). *Flamingo: a Visual Language Model for Few-Shot
#   Learning.*
# - Jinze Bai, Shuai Bai, Shusheng Yang, et al. (2023). *Qwen-VL: A Versatile Vision-Language Model for Understanding,
#   Localization, Text Reading, and Beyond.*
# - Shuai Bai, Yuxuan Cai, Ruizhe Chen, et al. (2025). *Qwen3-VL Technical Report.*
# - Tadas Baltrušaitis, Chaitanya Ahuja, Louis-Philippe Morency (2019). *Multimodal Machine Learning: A Survey and
#   Taxonomy.*
# - Chameleon Team (2024). *Chameleon: Mixed-Modal Early-Fusion Foundation Models.*
# - Junnan Li, Dongxu Li, Silvio Savarese, Steven Hoi (2023). *BLIP-2: Bootstrapping Language-Image Pre-training with
#   Frozen Image Encoders and Large Language Models.*
# - Weixin Liang, Yuhui Zhang, Yongchan Kwon, Serena Yeung, James Y. Zou (2022). *Mind the Gap: Understanding the
#   Modality Gap in Multi-modal Contrastive Representation Learning.*
# - Alec Radford, Jong Wook Kim, Chris Hallacy, et al. (2021). *Learning Transferable Visual Models From Natural
#   Language Supervision.*
# - Peng Wang, Shuai Bai, Sinan Tan, et al. (2024). *Qwen2-VL: Enhancing Vision-Language Model's Perception of the World
#   at Any Resolution.*
# - Xiaohua Zhai, Basil Mustafa, Alexander Kolesnikov, Lucas Beyer (2023). *Sigmoid Loss for Language Image
#   Pre-Training.*

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`. Some of them are often published as definitions. CLIP, LLaVA and Flamingo are
# three well-known families of models. All of them must be right for the 3 points, so guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `accepting_is_enough` | A network is multimodal as soon as it accepts several data types; nothing need be joint. |
# | `input_implies_output` | A model that understands images can generate images too: that is what multimodal means. |
# | `clip_only_scores` | CLIP can say which of five captions fits a photo best, but cannot write a sixth one. |
# | `format_is_modality` | The same photo stored as PNG and as JPEG counts as two modalities. |
# | `connector_learns_first` | In LLaVA's first training stage, vision encoder and language model are frozen. |
# | `loss_on_image_seats` | LLaVA's next-token loss is taken at the image positions as well as at the answer's. |
# | `resampler_fixes_count` | Flamingo's resampler makes the same number of visual tokens from few or many features. |
# | `no_gap_after_training` | Contrastive training mixes image and text embeddings until no gap separates them. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "accepting_is_enough",
        "input_implies_output",
        "clip_only_scores",
        "format_is_modality",
        "connector_learns_first",
        "loss_on_image_seats",
        "resampler_fixes_count",
        "no_gap_after_training",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # Three unconnected classifiers accept several types too. The modalities must share a representation or interact.
    accepting_is_enough=False,
    # What goes in and what comes out are chosen separately; most vision-language models put out text only.
    input_implies_output=False,
    # Two encoders and a similarity, and no decoder (Radford et al., 2021): it scores the captions it is given.
    clip_only_scores=True,
    # Both decode to the same kind of signal. A modality is a channel of sensing or representation.
    format_is_modality=False,
    # Only the connector, a linear layer, learns there; the language model joins in the second (Liu et al., 2023).
    connector_learns_first=True,
    # There is no next text token to predict at an image patch; only the tokens of the answer are learned from.
    loss_on_image_seats=False,
    # A fixed set of learned queries attends to the features, one output for each query (Alayrac et al., 2022).
    resampler_fixes_count=True,
    # The two stay in separate cones that exist already at initialisation (Liang et al., 2022).
    no_gap_after_training=False,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# Write `merge_multimodal_embeddings(input_ids, token_embeds, image_embeds, image_token_id)`.
#
# | argument | shape | meaning |
# |---|---|---|
# | `input_ids` | `(batch, length)`, int64 or int32 | token ids; some of them are the placeholder |
# | `token_embeds` | `(batch, length, width)`, floating | the embeddings of these ids; always of three dimensions |
# | `image_embeds` | `(images, patches, width)` or `(rows, width)`, floating | what the connector made of all images |
# | `image_token_id` | `int`, any, also 0 or negative | the id that marks the seat of one image row |
#
# It returns the merged embeddings, `(batch, length, width)`, in the dtype and on the device of `token_embeds`.
#
# - The first seat takes the first row of `image_embeds`, the second seat the second row, and so on. Seats are counted
#   through the batch: all those of sample 0 from left to right, then those of sample 1. Samples may have different
#   numbers of seats, or none. Rows are counted image by image, the patches of each in their order.
# - At a seat the result is the image row alone; the embedding of the placeholder plays no part, not even if it is NaN.
#   Everywhere else the result is the token embedding, unchanged to the last bit.
# - `image_embeds` may come in another floating dtype, float32 or bfloat16 for example; it is converted.
# - The inputs stay as they are, and the result shares no memory with them. This also holds if there is no seat: with an
#   empty `image_embeds`, of shape `(0, width)` or `(0, patches, width)`, the result is a copy of `token_embeds`.
# - Gradients flow to the image rows and to the token embeddings outside the seats. `token_embeds` may require a
#   gradient itself, or be frozen while `image_embeds` requires one.
# - `ValueError` when the number of seats differs from the number of rows (either way), when the two widths differ, when
#   `image_embeds` has neither two nor three dimensions, or when `input_ids` is not of shape `(batch, length)`, the
#   first two dimensions of `token_embeds`. Ids of a floating dtype: `TypeError` or `ValueError`, as you like.
#
# Everything in PyTorch is allowed, loops included.
#
# **Worked example.** Width 2, the placeholder is 7:
#
# | | seats and tokens |
# |---|---|
# | `input_ids` | `[[7, 1, 2], [1, 7, 7]]` |
# | `token_embeds` | `[[[.1, .1], [.2, .2], [.3, .3]], [[.4, .4], [.5, .5], [.6, .6]]]` |
# | `image_embeds` | `[[10, 11], [20, 21], [30, 31]]` |
# | result | `[[[10, 11], [.2, .2], [.3, .3]], [[.4, .4], [20, 21], [30, 31]]]` |


# %% tags=["solution"]
def merge_multimodal_embeddings(
    input_ids: Tensor, token_embeds: Tensor, image_embeds: Tensor, image_token_id: int
) -> Tensor:
    """Replace the embeddings of placeholder tokens by image features (as in LLaVA, Liu et al. 2023).

    input_ids (batch, length): integers. token_embeds (batch, length, width): floating.
    image_embeds (images, patches, width) or (rows, width): floating. image_token_id: the id of the placeholder.

    Returns a new tensor (batch, length, width) in the dtype and on the device of token_embeds: image rows at the
    placeholders, in the order sample by sample and from left to right; token embeddings everywhere else.
    Raises ValueError for shapes that do not fit together or another number of rows than of placeholders, TypeError for
    ids that are not integers.
    """
    ### BEGIN SOLUTION
    if torch.is_floating_point(input_ids):
        raise TypeError(f"ids must be integers, not {input_ids.dtype}")
    if input_ids.shape != token_embeds.shape[:2]:
        raise ValueError(f"ids {tuple(input_ids.shape)} do not fit token embeddings {tuple(token_embeds.shape)}")
    if image_embeds.ndim not in (2, 3):
        raise ValueError(f"image embeddings must have 2 or 3 dimensions, not {image_embeds.ndim}")
    if image_embeds.shape[-1] != token_embeds.shape[-1]:
        raise ValueError(f"image rows are {image_embeds.shape[-1]} wide, token embeddings {token_embeds.shape[-1]}")

    rows = image_embeds.flatten(end_dim=-2)  # (rows, width)
    is_seat = input_ids == image_token_id  # (batch, length)
    if is_seat.sum() != len(rows):
        raise ValueError(f"{int(is_seat.sum())} placeholders for {len(rows)} image rows")

    # a boolean index visits the seats in row-major order: sample by sample, from left to right
    merged = token_embeds.clone()
    merged[is_seat] = rows.to(merged)  # (seats, width), in the dtype and on the device of the token embeddings
    return merged
    ### END SOLUTION


# %% [markdown]
# **Try it.** Three samples: one row for the first, none for the second, three for the last.

# %% tags=["visible-checks", "active-ipynb"]
# ids = torch.tensor([[3, 9, 4, 5], [3, 4, 5, 6], [9, 9, 3, 9]])
# tokens = torch.arange(24.0).reshape(3, 4, 2) / 100
# image = torch.tensor([[[1.0, -1.0], [2.0, -2.0]], [[3.0, -3.0], [4.0, -4.0]]])  # 2 images of 2 patches
#
# merged = merge_multimodal_embeddings(ids, tokens, image, image_token_id=9)
# assert merged.shape == (3, 4, 2), f"the shape is {tuple(merged.shape)}; the length of the sequence stays 4"
# expected = tokens.tolist()
# expected[0][1] = [1.0, -1.0]
# expected[2][0], expected[2][1], expected[2][3] = [2.0, -2.0], [3.0, -3.0], [4.0, -4.0]
# torch.testing.assert_close(merged, torch.tensor(expected), rtol=0, atol=0)
# assert torch.equal(tokens, torch.arange(24.0).reshape(3, 4, 2) / 100), "token_embeds was changed"

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Write the numbers 0, 1, 2, ... on the seats of a batch whose samples have 1, 0 and 3 of them. Does your code walk
# through them in this order, and would it notice if a number were left over, or a seat?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Replacing keeps the length of the sequence, so nothing else about the prompt has to change: mask, positions and labels
# still fit. A boolean mask of shape (batch, length) selects its `True` positions in row-major order, which is the order
# asked for. Writing into a copy is recorded by autograd, including where the copied values came from.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Check dtype and shapes. Flatten the images to one list of rows. Compare the ids with the placeholder to get a mask,
# and count it against the rows yourself: several ready-made functions do not. Copy the token embeddings, write the
# rows, in the right dtype, where the mask is true, and return the copy.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# merged[is_seat] = rows.to(merged.dtype)  # is_seat (batch, length), rows (seats, width)
# ```
#
# </details>

# %% [markdown]
# ## References
#
# - Haotian Liu, Chunyuan Li, Qingyang Wu, Yong Jae Lee (2023). *Visual Instruction Tuning.* The model called LLaVA.
#
# The works behind the model answer are listed there, in the solution: their titles would answer the question.

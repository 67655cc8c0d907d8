# %% [markdown]
# # What attention costs
#
# Attention is often praised for "spending computation where it matters". It does nothing of the kind: every query is
# compared with every key before anybody knows which keys matter. Whoever plans a vision-language model, where one image
# may bring more tokens than the whole conversation, has to be able to work out that price on the back of an envelope.
# Here you answer the interview question in your own words, judge eight claims about it, and write the envelope as code.
#
# Plan about 25 minutes: 10 for the answer, 5 for the claims, 10 for the code.

# %%
import operator
from typing import SupportsIndex

# %% [markdown]
# ## The question
#
# *"Explain the attention mechanism in a multimodal model: what does it do there, and what does it do to the cost of
# computation?"*
#
# Answer in the next cell as you would say it aloud, in ten to fifteen sentences. The answer is worth 4 points and is
# read by a person, one point for each of these:
#
# 1. the mechanism and its kinds;
# 2. what it costs and what it does not;
# 3. how people really save computation;
# 4. its role between modalities and what its weights do not tell.

# %% [markdown] tags=["answer"]
# **Model answer.** "Each query, say a word, takes dot products with all keys, say image patches; these are divided by
# the square root of the key width, a softmax over the keys turns them into weights, and the output is the average of
# the values with these weights: softmax(QKᵀ/√d)V. In self-attention queries and keys come from one sequence, in
# cross-attention from two; several heads do it side by side on slices of the width; masks set scores to minus infinity.
#
# Dense attention saves nothing. All query-key pairs are computed before a single weight is known, so the cost grows
# with queries times keys times the widths of key and value, whatever the weights turn out to be. The number of heads
# does not change it, because each head is narrower by the same factor. A matrix of weights takes memory of queries
# times keys for every head, unless it is computed in tiles. Joint self-attention over text and image costs as much as
# attention within each plus cross-attention in both directions.
#
# Savings come from other ideas. FlashAttention computes the same result in tiles and moves less memory. Sparse and
# linear variants change the function. Latent bottlenecks, as in Perceiver or in the bottleneck tokens for fusion, let a
# few tokens read many; token merging makes the sequence shorter; grouped-query attention shrinks the cache of keys and
# values in generation. Spending computation by content is what mixture-of-experts layers do, not attention weights.
#
# Between modalities its role is alignment by content: a word finds its region, without anyone having labelled the pair,
# and with any number of regions. Permuting the tokens of self-attention permutes the outputs and nothing more, so
# position has to be added, in two dimensions for images. I use weights to look for mistakes, not as explanations: other
# weights can give the same output, and whether they count as an explanation is disputed."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, mechanism: the formula with its softmax over keys and its scaling; self- and cross-attention told apart;
#   heads or masks.
# - 1 point, cost: proportional to queries × keys × width and independent of the weights; quadratic for one sequence;
#   memory or the heads that change nothing. An answer that says attention saves computation gets nothing here.
# - 1 point, savings: at least two of IO-aware exact kernels, sparse or linear variants, latent bottlenecks, token
#   merging, grouped-query caches, mixture of experts, each with what it really saves.
# - 1 point, role and limits: alignment of words and regions for any number of tokens; positions are needed because of
#   permutation equivariance; weights are not by themselves explanations.
#
# **References of the model answer**
#
# - Joshua Ainslie, James Lee-Thorp, Michiel de Jong, Yury Zemlyanskiy, Federico Lebrón, Sumit Sanghai (2023). *GQA:
#   Training Generalized Multi-Query Transformer Models from Multi-Head Checkpoints.*
# - Daniel Bolya, Cheng-Yang Fu, Xiaoliang Dai, Peizhao Zhang, Christoph Feichtenhofer, Judy Hoffman (2023). *Token
#   Merging: Your ViT But Faster.*
# - Tri Dao, Daniel Y. Fu, Stefano Ermon, Atri Rudra, Christopher Ré (2022). *FlashAttention: Fast and Memory-Efficient
#   Exact Attention with IO-Awareness.*
# - Andrew Jaegle, Felix Gimeno, Andy Brock, Oriol Vinyals, Andrew Zisserman, João Carreira (2021). *Perceiver: General
#   Perception with Iterative Attention.*
# - Sarthak Jain, Byron C. Wallace (2019). *Attention is not Explanation.*
# - Arsha Nagrani, Shan Yang, Anurag Arnab, Aren Jansen, Cordelia Schmid, Chen Sun (2021). *Attention Bottlenecks for
#   Multimodal Fusion.*
# - Sarah Wiegreffe, Yuval Pinter (2019). *Attention is not not Explanation.*

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`. "Cost" means multiplications and additions of dense soft attention, without its
# projections. Some of the claims are published as advantages of attention. The *cache* keeps the keys and values of
# earlier tokens while a text is being generated. All of them must be right for the 3 points, so guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `small_weights_save` | Attention lowers the cost of a model, since hardly any is spent on keys of small weight. |
# | `masked_keys_are_free` | With a mask that hides half of the keys, a plain dense implementation does half the work. |
# | `twice_is_fourfold` | Twice as many text tokens and image tokens make joint attention cost 4 times as much. |
# | `more_heads_cost_more` | At the same model width, 16 heads cost twice as much as 8. |
# | `flash_drops_weights` | FlashAttention is fast because it leaves out weights that are close to zero. |
# | `order_needs_positions` | Permuting the tokens only permutes self-attention's outputs (no mask, no positions). |
# | `weights_prove_causes` | A weight of 0.9 on an image region proves that this region caused the answer. |
# | `grouping_shrinks_cache` | Sharing keys among query heads shrinks the cache, not the number of dot products. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "small_weights_save",
        "masked_keys_are_free",
        "twice_is_fourfold",
        "more_heads_cost_more",
        "flash_drops_weights",
        "order_needs_positions",
        "weights_prove_causes",
        "grouping_shrinks_cache",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # A weight is known only after its dot product was computed, and it multiplies a value even when it is tiny.
    small_weights_save=False,
    # The dense product computes all scores; the mask overwrites some of them. Only kernels that skip blocks save.
    masked_keys_are_free=False,
    # The joint sequence is twice as long, and every token of it meets every other: 2 times 2.
    twice_is_fourfold=True,
    # Twice the heads, each half as wide: the same sum of products.
    more_heads_cost_more=False,
    # It is exact; it works in tiles, so that the matrix of weights never travels to slow memory (Dao et al., 2022).
    flash_drops_weights=False,
    # A softmax average does not depend on the order of the keys, and each output belongs to its query. (A causal mask
    # does know the order.)
    order_needs_positions=True,
    # Other weights can give the same prediction (Jain and Wallace, 2019); what that means for weights as explanations
    # is disputed (Wiegreffe and Pinter, 2019). Neither says that a weight is a proof of causation.
    weights_prove_causes=False,
    # Fewer heads of keys and values are stored; each query head still meets every key (Ainslie et al., 2023).
    grouping_shrinks_cache=True,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# The unit is the MAC, one multiplication together with the addition of its product to a sum. A dot product of two
# vectors with `d` entries is `d` MACs (libraries that count FLOPs count 2 for each). Write two functions that count the
# MACs of the two matrix products in dense attention: the scores, and the weighted sums of the values. Projections,
# scaling and softmax are not counted. No mask is involved.
#
# ### `attention_macs(n_query, n_key, d_model, d_value=None, num_heads=1) -> int`
#
# | argument | meaning |
# |---|---|
# | `n_query`, `n_key` | number of queries; number of keys, which is also the number of values |
# | `d_model` | width of queries and keys, all heads together |
# | `d_value` | width of the values, all heads together; `None` means `d_model` |
# | `num_heads` | every head works on `d_model / num_heads` columns of the keys, `d_value / num_heads` of the values |
#
# ### `fusion_macs(n_text, n_image, d_model, mode, n_latent=None) -> int`
#
# Values are as wide as keys, `d_model`, and there is one head.
#
# | `mode` | what is counted |
# |---|---|
# | `"joint"` | self-attention over text and image tokens in one sequence |
# | `"cross"` | text tokens attend to the image tokens, and image tokens attend to the text tokens; nothing else |
# | `"resampler"` | `n_latent` latents (learned queries) read the image, then self-attention over text and latents |
#
# ### Rules
#
# - The result is a Python `int`, exact however large it is.
# - Sizes (all arguments but `mode`) are integers of at least 1. Python's `int` and NumPy's integers are accepted.
#   `TypeError` for a size that is a `bool`, a `float` (also 4.0) or a string; `ValueError` for one below 1. The
#   function `whole_number` below does this for one size; it is given, and you need not use it.
# - `ValueError` when `num_heads` does not divide `d_model`, or does not divide the width of the values; when `mode` is
#   none of the three; when `n_latent` is missing in the mode `"resampler"`, or is given in another one (an
#   `n_latent` of 0 is given, too).
# - Sizes are checked before anything is divided. Apart from that, where a call breaks several rules, the exception of
#   any of them will do.
# - Nothing is forbidden, and plain Python is all you need.
#
# ### A worked example
#
# 4 queries, 6 keys of width 10 and values of width 3: 4 · 6 = 24 scores of 10 MACs each make 240. Each of the 4 outputs
# adds up 6 values of width 3, 72 in all. Together 312, whatever the weights are.
#
# Text of 2 tokens and an image of 10, width 4, so 8 MACs for each pair: joint 12 · 12 · 8 = 1152; cross
# (2 · 10 + 10 · 2) · 8 = 320; a resampler with 3 latents (3 · 10 + 5 · 5) · 8 = 440.


# %%
def whole_number(name: str, size: SupportsIndex) -> int:
    """`size` as a Python int. (This one is given.)

    Raises TypeError unless it is an integer (NumPy's are, booleans are not), ValueError if it is below 1.
    """
    if isinstance(size, bool):
        raise TypeError(f"{name} must be an integer, not a bool")
    number = operator.index(size)  # raises TypeError for floats and texts
    if number < 1:
        raise ValueError(f"{name} must be at least 1, not {number}")
    return number


# %% tags=["solution"]
def attention_macs(n_query: int, n_key: int, d_model: int, d_value: int | None = None, num_heads: int = 1) -> int:
    """MACs of dense attention's two matrix products, scores and weighted sums (Vaswani et al. 2017).

    n_query queries and n_key keys of width d_model, n_key values of width d_value (d_model if None); both widths are
    those of all num_heads heads together.

    Raises TypeError for a size that is no integer, ValueError for one below 1 and for a width that the number of heads
    does not divide.
    """
    ### BEGIN SOLUTION
    n_query, n_key = whole_number("n_query", n_query), whole_number("n_key", n_key)
    d_model, num_heads = whole_number("d_model", d_model), whole_number("num_heads", num_heads)
    d_value = d_model if d_value is None else whole_number("d_value", d_value)
    if d_model % num_heads or d_value % num_heads:
        raise ValueError(f"{num_heads} heads do not divide the widths {d_model} and {d_value}")

    # scores: a dot product of width d_model for each query and key
    # outputs: a multiple of a value, of width d_value, for each query and key
    # with h heads: h times as many of each, all narrower by the factor h
    return n_query * n_key * (d_model + d_value)
    ### END SOLUTION


# %% tags=["solution"]
def fusion_macs(n_text: int, n_image: int, d_model: int, mode: str, n_latent: int | None = None) -> int:
    """MACs of the attention that joins n_text text tokens and n_image image tokens of width d_model, in one layer.

    mode: "joint" (self-attention over both), "cross" (attention from each to the other) or "resampler" (n_latent
    latents read the image, then self-attention over text and latents; compare Jaegle et al. 2021, Perceiver).

    Raises TypeError for a size that is no integer, ValueError for one below 1, for an unknown mode, and for an n_latent
    that is missing in mode "resampler" or given in another one.
    """
    ### BEGIN SOLUTION
    if mode not in ("joint", "cross", "resampler"):
        raise ValueError(f"unknown mode {mode!r}")
    if (n_latent is None) == (mode == "resampler"):
        raise ValueError("n_latent belongs to the mode 'resampler', and only there")
    n_text, n_image = whole_number("n_text", n_text), whole_number("n_image", n_image)

    if mode == "joint":
        n_tokens = n_text + n_image
        return attention_macs(n_tokens, n_tokens, d_model)
    if mode == "cross":
        return attention_macs(n_text, n_image, d_model) + attention_macs(n_image, n_text, d_model)
    n_latent = whole_number("n_latent", n_latent)
    n_tokens = n_text + n_latent
    return attention_macs(n_latent, n_image, d_model) + attention_macs(n_tokens, n_tokens, d_model)
    ### END SOLUTION


# %% tags=["visible-checks", "active-ipynb"]
# assert attention_macs(3, 2, 5) == 60, attention_macs(3, 2, 5)
# assert attention_macs(3, 2, 4, d_value=6, num_heads=2) == 60, attention_macs(3, 2, 4, d_value=6, num_heads=2)
# assert fusion_macs(3, 7, 5, "joint") == 1000, fusion_macs(3, 7, 5, "joint")  # 3 words, 7 patches, width 5
# assert fusion_macs(3, 7, 5, "cross") == 420, fusion_macs(3, 7, 5, "cross")
# assert fusion_macs(3, 7, 5, "resampler", n_latent=1) == 230, fusion_macs(3, 7, 5, "resampler", n_latent=1)

# %% [markdown]
# Where is the joint attention of a chat about one image spent? Look at the shares of the pairs as the image grows, and
# at the price of the other two modes.

# %% tags=["active-ipynb"]
# print("200 text tokens, width 1024, in million MACs")
# for n_image in (144, 576, 2304):
#     joint, cross = (fusion_macs(200, n_image, 1024, mode) for mode in ("joint", "cross"))
#     latent = fusion_macs(200, n_image, 1024, "resampler", n_latent=64)
#     words, patches = attention_macs(200, 200, 1024), attention_macs(n_image, n_image, 1024)
#     print(f"image of {n_image:4} tokens: joint {joint / 1e6:5.0f} (text-text {words / joint:3.0%}, "
#           f"text-image both ways {cross / joint:3.0%}, image-image {patches / joint:3.0%}), "
#           f"cross {cross / 1e6:4.0f}, resampler {latent / 1e6:3.0f}")

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# At what moment does an implementation learn that a weight is small? How much has it computed by then, and what does it
# still compute afterwards?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Count pairs. Each pair of a query and a key costs one dot product, as long as the key is wide, and one multiple of a
# value, as long as the value is wide. All that a way of fusing two modalities decides is which pairs there are.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Check the sizes, then multiply: pairs times the two widths together. Heads cut the widths and multiply the products,
# so they only have to be checked. For fusion write down who attends to whom: one list of all tokens with itself; two
# lists, each with the other; or latents with the image, and then a shorter list of all tokens with itself.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# macs = n_query * n_key * (d_model + d_value)  # pairs, times what one pair costs
# ```
#
# </details>

# %% [markdown]
# ## References
#
# - Ashish Vaswani, Noam Shazeer, Niki Parmar, et al. (2017). *Attention is All you Need.*
#
# The works behind the interview answer are listed with the model answer.

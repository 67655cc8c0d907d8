# %% [markdown]
# # Aligning two streams by their timestamps
#
# A video frame every 40 milliseconds, a transcript with a time for each word, a sensor with a clock of its own: before
# anything can be fused, each word needs *its* frame. Joining by row number works until the first frame is dropped, and
# from there on every pair is wrong, without an error. Here you write the join that the first step of most multimodal
# pipelines needs, and say what it cannot repair: a caption that was never about the picture.
#
# Plan about 35 minutes: 12 for the answer, 5 for the claims, 18 for the code.

# %%
import numpy as np
from numpy.typing import ArrayLike

# %% [markdown]
# ## The question
#
# *"Your image and text data do not match each other everywhere. How do you deal with that before and during
# fine-tuning?"*
#
# Answer in the next cell as you would say it aloud, in ten to fifteen sentences. The answer is worth 4 points and is
# read by a person, one point for each of these:
#
# - *kinds*: the different ways in which an image and a text can fail to match;
# - *time*: how two streams are brought together, and which mistakes that leaves unnoticed;
# - *meaning*: how wrong or noisy pairs are found, and repaired or removed;
# - *training*: what a loss or a model can do about pairs that do not match, and what it cannot.

# %% [markdown] tags=["answer"]
# **Model answer.** "First I ask which **kind** of mismatch it is. Temporal: two streams with clocks of their own.
# Spatial: the sentence speaks of a region, not of the whole picture. Semantic: the caption is wrong, noisy or partial.
# Structural: a modality is missing, or one image has many texts and one text many images. The remedies differ, and
# timestamps exist for the first kind only; photos with captions have none.
#
# For **time** I bring everything to one clock: estimate the offset, and the drift too if the recording is long, for
# example from an event that is visible in both. Then I join each word to the nearest frame within a tolerance, or by
# overlap where both sides are intervals. What finds no partner is marked as missing and not forced onto a neighbour. A
# wrong offset does not show in the distances: with regular frames everything still finds a close partner, a wrong one,
# so I look at samples and at the share that is unmatched.
#
# For **meaning** I score pairs with a pretrained dual encoder and drop the worst, and remove duplicates (DataComp,
# Gadre et al. 2023); a model may also write new captions and filter both kinds (BLIP, Li et al. 2022), or describe the
# image in more detail. A filter has errors on both sides: it loses rare but correct pairs, so I choose the threshold by
# a downstream metric and read what was dropped.
#
# In **training**, contrastive pretraining aligns the two encoders, with a softmax over the batch (van den Oord et al.
# 2018; Radford et al. 2021) or pairwise sigmoids (Zhai et al. 2023). Hard negatives sharpen it, soft targets forgive
# false negatives, which are other samples of the batch that fit as well, and robust losses limit what a wrong pair can
# do. For a missing modality I use masks, a learned 'absent' embedding and modality dropout. Attention or a second task
# comes after alignment: a fusion layer computes something from a wrong pair, it does not make the pair right."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, kinds: at least three of temporal, spatial, semantic, structural, each with an example; timestamps help
#   with the first only.
# - 1 point, time: one clock with an offset (drift is welcome), nearest neighbour within a tolerance or overlap of
#   intervals, unmatched samples kept apart; a wrong offset still finds partners.
# - 1 point, meaning: filtering by the similarity of a pretrained model, and one of re-captioning, deduplication, manual
#   samples; that a filter also loses correct pairs.
# - 1 point, training: a contrastive loss and one of hard negatives, soft targets, robust losses, masks for missing
#   modalities; fusion or a second task does not correct pairs.
#
# An answer that aligns timestamps, fuses with attention and adds tasks, without saying which mismatch each is for,
# earns at most one point.
#
# **References of the model answer**
#
# - Samir Yitzhak Gadre, Gabriel Ilharco, Alex Fang, et al. (2023). DataComp: In search of the next generation of
#   multimodal datasets.
# - Junnan Li, Dongxu Li, Caiming Xiong, Steven C. H. Hoi (2022). BLIP: Bootstrapping Language-Image Pre-training for
#   Unified Vision-Language Understanding and Generation.
# - Aaron van den Oord, Yazhe Li, Oriol Vinyals (2018). Representation Learning with Contrastive Predictive Coding.
# - Alec Radford, Jong Wook Kim, Chris Hallacy, et al. (2021). Learning Transferable Visual Models From Natural Language
#   Supervision.
# - Xiaohua Zhai, Basil Mustafa, Alexander Kolesnikov, Lucas Beyer (2023). Sigmoid Loss for Language Image Pre-Training.

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`; some of them are often published wrongly. CLIP turns an image and a text into a
# vector each, and its similarity is the cosine of the two; in a *contrastive* batch each text has to find its own image
# among all of them (`losses/contrastive`). All of them must be right for the 3 points, so guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `timestamps_for_photos` | In a set of photos with captions, comparing timestamps reveals the wrong captions. |
# | `attention_repairs_pairs` | Cross-attention between an image and a caption of another image corrects the pair. |
# | `second_task_repairs_pairs` | Training on a second task corrects captions that do not describe their image. |
# | `filter_loses_nothing` | Keeping the pairs with the highest CLIP similarity loses none of the correct pairs. |
# | `offset_goes_unnoticed` | With clocks a minute apart, two regular hour-long streams still yield close partners. |
# | `drift_is_no_offset` | One constant offset cannot correct a clock that runs one part in a thousand too fast. |
# | `batch_has_false_negatives` | In a contrastive batch, another image that also fits a caption counts as a negative. |
# | `tolerance_only_adds` | Raising the tolerance of a nearest-neighbour join never turns a match into a non-match. |

# %% tags=["claims"]
claims = dict.fromkeys(  # None = no answer; set each to True or False
    [
        "timestamps_for_photos",
        "attention_repairs_pairs",
        "second_task_repairs_pairs",
        "filter_loses_nothing",
        "offset_goes_unnoticed",
        "drift_is_no_offset",
        "batch_has_false_negatives",
        "tolerance_only_adds",
    ]
)
### BEGIN SOLUTION
claims.update(
    # Such captions carry no time, and a wrong one may have been written the same minute. That mismatch is semantic.
    timestamps_for_photos=False,
    # It computes features from both, related or not; what the pair says stays wrong, and the model learns from it.
    attention_repairs_pairs=False,
    # The data stay as they are. Another task may help the encoders, but the wrong pairs remain in the loss.
    second_task_repairs_pairs=False,
    # Rare or abstract captions score low although they are correct, so every threshold loses some.
    filter_loses_nothing=False,
    # A wrong one, but never farther than half an interval where the streams overlap: the distances look fine.
    offset_goes_unnoticed=True,
    # The error grows with time, 3.6 seconds in an hour: the correction needs a slope as well.
    drift_is_no_offset=True,
    # The standard targets are the diagonal; everything else is pushed away, fitting or not.
    batch_has_false_negatives=True,
    # The nearest reference is the same with any tolerance; the tolerance decides only whether it is close enough.
    tolerance_only_adds=True,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# **One idea:** in a sorted list the nearest element is one of two neighbours, the last one before and the first one
# after, and a binary search finds both.
#
# ### `align_nearest(query_t, ref_t, tolerance, offset=0.0) -> (N,) int64`
#
# - `query_t` `(N,)` and `ref_t` `(M,)` are lists or arrays of times, of any integer or float type. `ref_t` is sorted in
#   ascending order and may contain a time several times; `query_t` need not be sorted.
# - `offset` corrects the references' clock: reference `j` happened at `ref_t[j] + offset` on the clock of the queries.
# - Element `i` of the result is the position in `ref_t` of the reference that is nearest to `query_t[i]`, or -1 if even
#   that one is farther away than `tolerance`. A distance of exactly `tolerance` is close enough. One reference may be
#   nearest to many queries.
# - If two references are equally far away, the earlier one counts; of equal times, the first.
# - Everything is computed in `float64`, whatever the type of the input. (The checks contain no two distances that
#   differ by rounding alone.)
# - 100 000 queries and as many references take well under a second. A table of all pairs does not fit into memory.
#
# ### Rules
#
# - Without references every query gets -1; without queries the result is empty, of shape `(0,)`.
# - **`ValueError`** for: `query_t` or `ref_t` that is not one-dimensional, or holds NaN or an infinite number; `ref_t`
#   that is not ascending; a `tolerance` that is negative or NaN; an `offset` that is NaN or infinite. A `tolerance` of
#   0 or of infinity is fine.
# - Leave the arguments unchanged. **Not allowed:** `pandas`.
#
# ### A worked example
#
# References at 0, 0.5, 2 and 3, tolerance 0.5:
#
# | query | nearest | distance | result | nearest with `offset=1.0` | distance | result |
# |---|---|---|---|---|---|---|
# | 2.5 | 2 and 3 | 0.5 | 2 (the earlier) | 3 (was 2) | 0.5 | 2 |
# | 0.125 | 0 | 0.125 | 0 | 1 (was 0) | 0.875 | -1 |
# | 9 | 3 | 6 | -1 | 4 (was 3) | 5 | -1 |
# | 1 | 0.5 | 0.5 | 1 | 1 (was 0) | 0 | 0 |


# %% tags=["solution"]
def align_nearest(query_t: ArrayLike, ref_t: ArrayLike, tolerance: float, offset: float = 0.0) -> np.ndarray:
    """Position of the reference that is nearest in time to each query.

    Args:
        query_t: times of the queries, (N,), in any order.
        ref_t: times of the references, (M,), ascending, on their own clock.
        tolerance: largest distance that still counts as a match, 0 or more.
        offset: what has to be added to ref_t to read it on the clock of the queries.

    Returns:
        int64 array (N,): positions in ref_t, -1 where no reference is within the tolerance. The earlier of two
        references at the same distance, the first of equal times.

    Raises:
        ValueError: times not one-dimensional or not finite, ref_t not ascending, a tolerance that is negative or NaN,
            an offset that is not finite.

    Known as an as-of join to the nearest time; temporal alignment in the taxonomy of Baltrušaitis et al. 2019.
    """
    ### BEGIN SOLUTION
    query, times = np.asarray(query_t, dtype=np.float64), np.asarray(ref_t, dtype=np.float64)
    if query.ndim != 1 or times.ndim != 1:
        raise ValueError(f"times must be (N,) and (M,), not {query.shape} and {times.shape}")
    if not (np.isfinite(query).all() and np.isfinite(times).all() and np.isfinite(offset)):
        raise ValueError("times and offset must be finite")
    if (times[1:] < times[:-1]).any():
        raise ValueError("the references must be in ascending order")
    if not tolerance >= 0:  # NaN fails as well
        raise ValueError(f"the tolerance must be 0 or more, not {tolerance}")
    if times.size == 0:
        return np.full(query.shape, -1, dtype=np.int64)
    times = times + offset  # on the clock of the queries

    # the two neighbours: the first reference at or after each query, and the one before it
    after = np.searchsorted(times, query)  # (queries,), 0 ... references
    before = np.maximum(after - 1, 0)
    after = np.minimum(after, times.size - 1)
    gap_before, gap_after = np.abs(query - times[before]), np.abs(query - times[after])

    # the nearer one, the earlier in a tie; of equal times the first, which is where the search arrives
    nearest = np.where(gap_before <= gap_after, before, after)
    nearest = np.searchsorted(times, times[nearest])
    return np.where(np.minimum(gap_before, gap_after) <= tolerance, nearest, -1)  # (queries,)
    ### END SOLUTION


# %% tags=["visible-checks", "active-ipynb"]
# refs = [1.0, 1.5, 4.0, 4.0, 6.0]
# queries = [5.0, 0.25, 1.375, 8.0, 4.25, 2.25]
# found = align_nearest(queries, refs, tolerance=1.0)
# assert found.dtype == np.int64 and found.tolist() == [2, 0, 1, -1, 2, 1], found
# found = align_nearest(queries, refs, tolerance=1.0, offset=0.5)
# assert found.tolist() == [2, -1, 0, -1, 2, 1], found

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Two references, at 1 and 2, and a query at 1.9: which place would it take if you inserted it into the sorted list, and
# which element is nearest? And for queries before the first or after the last reference, how many neighbours are there?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Binary search gives the place at which a value would be inserted into a sorted array: everything left of it is
# smaller, nothing from there on is. So the nearest element is just left of the place or at it. Searching for a value
# that is in the array arrives at its first copy.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Convert to float64, check, add the offset to the references. Search the place of every query. Make two arrays of
# positions, one for each neighbour, kept inside the list at both ends. Compute both distances, take the nearer with the
# earlier winning a tie, go to the first of equal times, and put -1 where the distance is too large.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# place = np.searchsorted(times, query)  # the first reference at or after each query
# ```
# </details>

# %% [markdown]
# ## Going further
#
# Where both sides are intervals, such as subtitles and shots, their overlap is a better criterion than the distance of
# two points. And a drifting clock needs a slope: estimate offset and rate from a few events that both streams saw.
#
# ## References
#
# - Tadas Baltrušaitis, Chaitanya Ahuja, Louis-Philippe Morency (2019). Multimodal Machine Learning: A Survey and
#   Taxonomy. Alignment is one of its five challenges.
#
# The works behind the interview answer are listed with the model answer.

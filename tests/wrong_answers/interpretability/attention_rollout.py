"""Wrong and differently written answers to interpretability/attention_rollout.

Every "must reject" line of B-Q10b has an entry; line 3, sum or mean over the layers, has two. The published answer to
B-Q10 has no code for attention. The factor of a half may be missing: (A + I) divided by its row sums is the same.
"""

from grader.catalogue import Alternative, WrongAnswer

PRODUCT = "        rollout = mixing @ rollout  # (batch, tokens, tokens)"
MEAN = "mixing = attention.mean(dim=1)  # (batch, tokens, tokens)"
RESIDUAL = """        if add_residual:
            mixing = 0.5 * mixing + 0.5 * identity
"""
NORMALISE = "        mixing = mixing / mixing.sum(dim=2, keepdim=True)\n"
ZEROS = """        if (mixing == 0).all(dim=2).any():
            raise ValueError("a token attends to nothing")
"""
RETURN = "    return rollout\n"
FINITE = "if not torch.isfinite(attention).all() or (attention < 0).any():"
SHAPES = """        if attention.shape != shape:
            raise ValueError(f"layers of shapes {tuple(shape)} and {tuple(attention.shape)} do not fit together")
"""
EMPTY = """    if len(attentions) == 0:
        raise ValueError("there is no layer to follow")
"""

wrong_answers = [
    WrongAnswer(
        id="last-layer-only",
        title="the attention of the last layer only",
        explanation=(
            "The last layer looks at vectors that all layers below it have mixed already. Your map says where they "
            "stand, not what they are made of. What became of the other layers?"
        ),
        caught_by="test_later_layers_are_multiplied_from_the_left",
        swap=((PRODUCT, "        rollout = mixing"),),
    ),
    WrongAnswer(
        id="reversed-product",
        title="the layers multiplied in the reverse order",
        explanation=(
            "Matrix products depend on the order. Yours lets the first layer look at what the last one has left. One "
            "layer, or several equal ones, do not show it. Which tokens does row i of the second layer average?"
        ),
        caught_by="test_later_layers_are_multiplied_from_the_left",
        swap=((PRODUCT, "        rollout = rollout @ mixing"),),
    ),
    WrongAnswer(
        id="mean-over-layers",
        title="the mean of all layers",
        explanation=(
            "An average of the layers follows no path: what token 3 took from token 1 in the first layer cannot reach "
            "token 0 through token 3 in the second. The layers act one after the other."
        ),
        caught_by="test_later_layers_are_multiplied_from_the_left",
        swap=(
            (PRODUCT, "        rollout = mixing + (rollout if attention is not attentions[0] else 0)"),
            (RETURN, "    return rollout / len(attentions)\n"),
        ),
    ),
    WrongAnswer(
        id="sum-over-layers",
        title="the sum of all layers",
        explanation=(
            "A sum of the layers follows no path through several of them, and its rows sum to the number of layers. "
            "The layers act one after the other: which operation describes that?"
        ),
        caught_by="test_later_layers_are_multiplied_from_the_left",
        swap=((PRODUCT, "        rollout = mixing + (rollout if attention is not attentions[0] else 0)"),),
    ),
    WrongAnswer(
        id="entry-by-entry",
        title="the layers multiplied entry by entry",
        explanation=(
            "With `*` the path from token 1 to token 0 has to be taken in every layer again, and what goes through a "
            "third token is lost. The step from one layer to the next adds up all tokens in between."
        ),
        caught_by="test_later_layers_are_multiplied_from_the_left",
        swap=(
            ("rollout = identity.repeat(shape[0], 1, 1)", "rollout = torch.ones_like(identity).repeat(shape[0], 1, 1)"),
            (PRODUCT, "        rollout = mixing * rollout"),
        ),
    ),
    WrongAnswer(
        id="heads-rolled-out-separately",
        title="each head followed through the layers by itself",
        explanation=(
            "You multiply head 0 with head 0 of the other layers, head 1 with head 1, and fuse the results. But heads "
            "of different layers have nothing to do with each other: what one head writes, all heads of the next layer "
            "read. When do the heads have to be fused?"
        ),
        caught_by="test_later_layers_are_multiplied_from_the_left",
        code="""
_rollout_of_fused_heads = attention_rollout


def attention_rollout(attentions, add_residual=True, head_fusion="mean"):
    fused = _rollout_of_fused_heads(attentions, add_residual, head_fusion)
    if len(attentions) == 1:
        return fused
    heads = range(attentions[0].shape[1])
    single = [_rollout_of_fused_heads([a[:, h : h + 1] for a in attentions], add_residual) for h in heads]
    stacked = torch.stack(single, dim=1)
    fuse = {"mean": torch.mean, "max": torch.amax, "min": torch.amin}[head_fusion]
    result = fuse(stacked, dim=1)
    return result / result.sum(dim=-1, keepdim=True)
""",
    ),
    WrongAnswer(
        id="first-layer-left-out",
        title="the first layer left out",
        explanation=(
            "Your product begins with the second layer. Look at what it starts from and at where the loop begins: one "
            "of the two has to contain the first layer, and not both."
        ),
        caught_by="test_later_layers_are_multiplied_from_the_left",
        swap=(
            (
                PRODUCT,
                "        rollout = mixing @ rollout if len(attentions) == 1 or attention is not attentions[0] else rollout",
            ),
        ),
    ),
    WrongAnswer(
        id="no-residual",
        title="no residual connection, whatever add_residual says",
        explanation=(
            "A token passes every layer on its own as well, beside what it attends to. Without that share the rollout "
            "spreads out much too fast. Look at what `add_residual=True` changes in your code, and at its default."
        ),
        caught_by="test_the_residual_is_half_of_a_layer",
        swap=((RESIDUAL, ""),),
    ),
    WrongAnswer(
        id="little-residual",
        title="residual and attention in other shares than half and half",
        explanation=(
            "The residual connection is counted with another weight than the attention. Rollout takes both for equally "
            "strong: half and half."
        ),
        caught_by="test_the_residual_is_half_of_a_layer",
        swap=(("mixing = 0.5 * mixing + 0.5 * identity", "mixing = 0.9 * mixing + 0.1 * identity"),),
    ),
    WrongAnswer(
        id="residual-once",
        title="the residual added once, to the product",
        explanation=(
            "You mix the finished product with the identity. Every layer has a residual connection of its own, so the "
            "share of a token that has looked at nobody halves with each layer."
        ),
        caught_by="test_looking_at_oneself_at_everybody_and_only_back",
        swap=((RESIDUAL, ""), (RETURN, "    return 0.5 * rollout + 0.5 * identity if add_residual else rollout\n")),
    ),
    WrongAnswer(
        id="residual-always",
        title="the residual added although add_residual is False",
        explanation=(
            "One layer without residual should come back as it is, and yours has something added on its diagonal. See "
            "where the setting is read."
        ),
        caught_by="test_one_layer_without_residual_is_that_layer",
        swap=(("        if add_residual:\n", "        if True:\n"),),
    ),
    WrongAnswer(
        id="softmax-again",
        title="a softmax taken of the attention weights",
        explanation=(
            "The weights have been through a softmax in the model. A second one takes numbers between 0 and 1 for "
            "scores and flattens every row: zeros become positive, and large weights shrink."
        ),
        caught_by="test_one_layer_without_residual_is_that_layer",
        swap=((MEAN, "mixing = attention.mean(dim=1).softmax(dim=-1)"),),
    ),
    WrongAnswer(
        id="columns-normalised",
        title="columns divided by their sum in place of rows",
        explanation=(
            "Row i says what token i takes, so the shares in a row sum to 1. In your result the columns do. Along which "
            "axis do you add up?"
        ),
        caught_by="test_one_layer_without_residual_is_that_layer",
        swap=((NORMALISE, NORMALISE.replace("dim=2", "dim=1")),),
    ),
    WrongAnswer(
        id="transposed",
        title="rows and columns of the result exchanged",
        explanation=(
            "In your result the columns belong to the tokens after the last layer and the rows to the input tokens. "
            "It is asked for the other way round, as in the attention itself."
        ),
        caught_by="test_one_layer_without_residual_is_that_layer",
        swap=((RETURN, "    return rollout.transpose(1, 2)\n"),),
    ),
    WrongAnswer(
        id="always-the-mean",
        title="the mean of the heads, whatever head_fusion says",
        explanation=(
            'With `head_fusion="max"` or `"min"` your result is that of `"mean"`. See where the setting is read.'
        ),
        caught_by="test_heads_are_fused_and_rows_divided_by_their_sum",
        swap=(
            ("mixing = attention.amax(dim=1)", "mixing = attention.mean(dim=1)"),
            ("mixing = attention.amin(dim=1)", "mixing = attention.mean(dim=1)"),
        ),
    ),
    WrongAnswer(
        id="not-normalised",
        title="rows that are not divided by their sum",
        explanation=(
            "The largest of several heads, entry by entry, gives rows that sum to more than 1, the smallest rows that "
            "sum to less, and every layer makes it worse. With the mean of tidy rows nobody sees it."
        ),
        caught_by="test_heads_are_fused_and_rows_divided_by_their_sum",
        swap=((NORMALISE, ""),),
    ),
    WrongAnswer(
        id="normalised-before-the-residual",
        title="rows divided by their sum before the residual is added",
        explanation=(
            "The three steps have an order. If the row sums are not 1 after the heads are fused, dividing first and "
            "adding the identity then gives the attention another share than the other way round."
        ),
        caught_by="test_heads_are_fused_and_rows_divided_by_their_sum",
        swap=((RESIDUAL + NORMALISE, NORMALISE + RESIDUAL),),
    ),
    WrongAnswer(
        id="normalised-at-the-end",
        title="rows divided by their sum once, after all layers",
        explanation=(
            "Your rows sum to 1 in the end, but inside the product tokens with large row sums have counted more than "
            "others. Every layer has to be put in order before it is multiplied."
        ),
        caught_by="test_heads_are_fused_and_rows_divided_by_their_sum",
        swap=((NORMALISE, ""), (RETURN, "    return rollout / rollout.sum(dim=2, keepdim=True)\n")),
    ),
    WrongAnswer(
        id="fused-over-the-batch",
        title="the samples fused in place of the heads",
        explanation=(
            "The first axis of each tensor is the batch, and you take the mean over it: the samples are mixed, and "
            "there is a matrix for each head. Which axis holds the heads?"
        ),
        caught_by="test_one_matrix_for_each_sample_and_the_arguments_stay",
        swap=(
            ("rollout = identity.repeat(shape[0], 1, 1)", "rollout = identity"),
            (MEAN, "mixing = attention.mean(dim=0)"),
            ("mixing = attention.amax(dim=1)", "mixing = attention.amax(dim=0)"),
            ("mixing = attention.amin(dim=1)", "mixing = attention.amin(dim=0)"),
        ),
    ),
    WrongAnswer(
        id="identity-in-float32",
        title="a result in float32 for attention of lower precision",
        explanation=(
            "`torch.eye` makes float32 unless it is told otherwise, and together with bfloat16 the result becomes "
            "float32. It is asked for in the dtype of the attention."
        ),
        caught_by="test_one_matrix_for_each_sample_and_the_arguments_stay",
        swap=(
            ("torch.eye(shape[3]).to(attentions[0])", "torch.eye(shape[3])"),
            (
                PRODUCT,
                "        rollout = mixing.to(torch.promote_types(mixing.dtype, torch.float32)) @ rollout.to(torch.promote_types(mixing.dtype, torch.float32))",
            ),
        ),
    ),
    WrongAnswer(
        id="layers-taken-from-the-list",
        title="a layer taken out of the caller's list",
        explanation=(
            "After your call the list is shorter than before: `pop` takes the layer out of the caller's own list, so "
            "that a second call sees another model. Reading an item leaves the list as it is."
        ),
        caught_by="test_one_matrix_for_each_sample_and_the_arguments_stay",
        swap=((RETURN, "    if isinstance(attentions, list):\n        attentions.pop(0)\n" + RETURN),),
    ),
    WrongAnswer(
        id="normalised-in-place",
        title="the caller's attention changed in place",
        explanation=(
            "After your call the tensors that were handed in have other values: an in-place operation such as `/=` "
            "writes into them. Which of your lines changes a tensor instead of making a new one?"
        ),
        caught_by="test_one_matrix_for_each_sample_and_the_arguments_stay",
        swap=(
            (
                "        # one matrix for all heads\n",
                "        attention /= attention.sum(dim=-1, keepdim=True).clamp(min=1e-30)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="one-layer-handed-back",
        title="the caller's own tensor handed back for a single layer",
        explanation=(
            "For one layer your result is a view of the tensor that was handed in: whoever writes into the result "
            "changes the attention. Nothing has to be computed there, but it still has to be a tensor of its own."
        ),
        caught_by="test_one_matrix_for_each_sample_and_the_arguments_stay",
        swap=(
            (
                RETURN,
                "    if len(attentions) == 1 and shape[1] == 1 and not add_residual:\n"
                "        return attentions[0][:, 0]\n" + RETURN,
            ),
        ),
    ),
    WrongAnswer(
        id="no-layer-is-the-identity",
        title="the identity, or nothing, returned for an empty list",
        explanation=(
            "Without a layer there is no attention to follow, and nobody knows how many tokens there are. An empty list "
            "is usually a model that was not asked for its attention; the caller has to hear of it."
        ),
        caught_by="test_what_is_no_attention_is_refused",
        swap=((EMPTY, "    if len(attentions) == 0:\n        return torch.eye(1)[None]\n"),),
    ),
    WrongAnswer(
        id="unknown-fusion-is-mean",
        title="an unknown head_fusion taken for one of the three",
        explanation=(
            'A fusion that does not exist, "median" for example, is accepted and something else is computed. An `else` '
            "without a check in front catches more than it is meant for."
        ),
        caught_by="test_what_is_no_attention_is_refused",
        swap=(
            (
                '    if head_fusion not in ("mean", "max", "min"):\n',
                '    head_fusion = head_fusion if head_fusion in ("max", "min") else "mean"\n    if not head_fusion:\n',
            ),
        ),
    ),
    WrongAnswer(
        id="negative-entries-accepted",
        title="negative entries accepted",
        explanation=(
            "Attention weights come from a softmax and are never negative. Negative entries are scores from before it, "
            "or weights of something else, and the shares that come out mean nothing."
        ),
        caught_by="test_what_is_no_attention_is_refused",
        swap=((FINITE, "if not torch.isfinite(attention).all():"),),
    ),
    WrongAnswer(
        id="nan-accepted",
        title="NaN accepted",
        explanation=(
            "`attention < 0` is False for NaN, so NaN passes that test and fills whole rows of the result. Softmax over "
            "a fully masked row is where it usually comes from."
        ),
        caught_by="test_what_is_no_attention_is_refused",
        swap=((FINITE, "if torch.isinf(attention).any() or (attention < 0).any():"),),
    ),
    WrongAnswer(
        id="infinity-accepted",
        title="infinite entries accepted",
        explanation=(
            "Infinity is neither NaN nor negative and passes your tests. Divided by a row sum that is infinite as well, "
            "it becomes NaN."
        ),
        caught_by="test_what_is_no_attention_is_refused",
        swap=((FINITE, "if torch.isnan(attention).any() or (attention < 0).any():"),),
    ),
    WrongAnswer(
        id="row-of-zeros-divided",
        title="a row of zeros divided by its sum",
        explanation=(
            "A token can have nothing left once the heads are fused, when their smallest values are all 0. Its row sum "
            "is 0, and 0/0 is NaN, in this row and in all that look at it. Such a row is to be refused."
        ),
        caught_by="test_what_is_no_attention_is_refused",
        swap=((ZEROS, ""),),
    ),
    WrongAnswer(
        id="row-of-zeros-behind-the-residual",
        title="a row of zeros hidden by the residual",
        explanation=(
            "Once the identity is added, a token that attends to nothing looks like one that attends to itself, and "
            "your test finds nothing. The rule is about the fused heads."
        ),
        caught_by="test_what_is_no_attention_is_refused",
        swap=((ZEROS + "\n", "\n"), (RESIDUAL, RESIDUAL + ZEROS)),
    ),
    WrongAnswer(
        id="shapes-stretched",
        title="layers of other batch sizes or numbers of heads accepted",
        explanation=(
            "A layer with one sample is stretched over the batch of the others, or layers with different numbers of "
            "heads go through because the heads vanish anyway. Such layers do not come from one pass of one model."
        ),
        caught_by="test_what_is_no_attention_is_refused",
        swap=((SHAPES, '        if attention.shape[2:] != shape[2:]:\n            raise ValueError("tokens")\n'),),
    ),
]

alternatives = [
    Alternative(
        id="from-the-top",
        title="all layers stacked, and multiplied from the last one downwards",
        code="""
def attention_rollout(attentions, add_residual=True, head_fusion="mean"):
    fuse = {"mean": torch.mean, "max": torch.amax, "min": torch.amin}.get(head_fusion)
    if fuse is None:
        raise ValueError("head_fusion")
    if not attentions or any(a.dim() != 4 or a.size(2) != a.size(3) for a in attentions):
        raise ValueError("attentions")
    if len({tuple(a.shape) for a in attentions}) > 1:
        raise ValueError("shapes")
    stack = torch.stack(list(attentions))
    if not bool(((stack >= 0) & (stack < float("inf"))).all()):
        raise ValueError("entries")
    fused = fuse(stack, dim=2)
    if bool((fused.amax(dim=-1) == 0).any()):
        raise ValueError("row of zeros")
    if add_residual:
        fused = fused + torch.eye(fused.shape[-1], dtype=fused.dtype)
    fused = fused / fused.sum(-1, keepdim=True)
    result = fused[-1]
    for layer in range(len(fused) - 2, -1, -1):
        result = torch.einsum("bij,bjk->bik", result, fused[layer])
    return result
""",
    ),
    Alternative(
        id="numpy",
        title="NumPy in float64, one sample at a time, with multi_dot",
        code="""
import numpy as np


def attention_rollout(attentions, add_residual=True, head_fusion="mean"):
    if head_fusion not in {"mean", "max", "min"} or len(attentions) < 1:
        raise ValueError("arguments")
    first = attentions[0]
    arrays = [layer.detach().double().numpy() for layer in attentions]
    for array in arrays:
        if array.ndim != 4 or array.shape != arrays[0].shape or array.shape[-1] != array.shape[-2]:
            raise ValueError("shape")
        if not np.isfinite(array).all() or array.min() < 0:
            raise ValueError("entry")
    samples = []
    for sample in range(first.shape[0]):
        chain = []
        for array in arrays:
            matrix = getattr(np, head_fusion)(array[sample], axis=0)
            if (matrix.sum(axis=1) == 0).any():
                raise ValueError("zeros")
            if add_residual:
                matrix = (matrix + np.identity(len(matrix))) / 2
            chain.insert(0, matrix / matrix.sum(axis=1, keepdims=True))
        samples.append(np.linalg.multi_dot(chain) if len(chain) > 1 else chain[0])
    return torch.tensor(np.array(samples)).to(first.dtype)
""",
    ),
    Alternative(
        id="recursive",
        title="the last layer applied to the rollout of those below, rows normalised with functional.normalize",
        code="""
import torch.nn.functional as F


def one_layer(layer, add_residual, head_fusion):
    if layer.ndim != 4:
        raise ValueError("dimensions")
    if not (layer.isfinite() & (layer >= 0)).all():
        raise ValueError("values")
    if head_fusion == "mean":
        matrix = layer.sum(1) / layer.shape[1]
    elif head_fusion == "max":
        matrix = layer.max(dim=1).values
    elif head_fusion == "min":
        matrix = layer.min(dim=1)[0]
    else:
        raise ValueError(head_fusion)
    if matrix.shape[1] != matrix.shape[2] or (matrix.count_nonzero(dim=-1) == 0).any():
        raise ValueError("rows")
    if add_residual:
        matrix = matrix.clone()
        row_sums_change = torch.ones_like(matrix.diagonal(dim1=1, dim2=2))
        matrix.diagonal(dim1=1, dim2=2).add_(row_sums_change)
    return F.normalize(matrix, p=1, dim=-1)


def attention_rollout(attentions, add_residual=True, head_fusion="mean"):
    if len(attentions) == 0:
        raise ValueError("no layers")
    *below, last = attentions
    top = one_layer(last, add_residual, head_fusion)
    if not below:
        return top
    if below[-1].shape != last.shape:
        raise ValueError("layers differ")
    return torch.bmm(top, attention_rollout(below, add_residual, head_fusion))
""",
    ),
]

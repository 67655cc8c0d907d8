"""Wrong and differently written answers to architectures/image_tokens.

Every "must reject" line of B-Q1a has an entry; line 5 has two, "surplus-dropped" and "missing-repeated". The published
answer to B-Q1 and the published definition of C-S2.1 have no code: they are wrong claims.
"""

from grader.catalogue import Alternative, WrongAnswer

COUNT = """    if is_seat.sum() != len(rows):
        raise ValueError(f"{int(is_seat.sum())} placeholders for {len(rows)} image rows")
"""
WIDTH = """    if image_embeds.shape[-1] != token_embeds.shape[-1]:
        raise ValueError(f"image rows are {image_embeds.shape[-1]} wide, token embeddings {token_embeds.shape[-1]}")
"""
IDS = """    if input_ids.shape != token_embeds.shape[:2]:
        raise ValueError(f"ids {tuple(input_ids.shape)} do not fit token embeddings {tuple(token_embeds.shape)}")
"""
WRITE = "    merged = token_embeds.clone()\n    merged[is_seat] = rows.to(merged)"

wrong_answers = [
    WrongAnswer(
        id="published-claims",
        title="any network that accepts several data types taken for a multimodal model",
        explanation=(
            "One of the claims is the definition that is published most often. Hold it against three classifiers, one "
            "each for text, images and sound, that share nothing but a web page: would you call them one multimodal "
            "model? What is missing?"
        ),
        caught_by="test_claims",
        swap=(("accepting_is_enough=False", "accepting_is_enough=True"),),
    ),
    WrongAnswer(
        id="generates-what-it-reads",
        title="understanding images taken to include generating them",
        explanation=(
            "One of the claims draws a conclusion from what goes into a model to what comes out of it. Think of models "
            "that you know by name, and ask of each what its last layer produces."
        ),
        caught_by="test_claims",
        swap=(("input_implies_output=False", "input_implies_output=True"),),
    ),
    WrongAnswer(
        id="prepended",
        title="the image put in front of the prompt while the placeholders stay",
        explanation=(
            "Your sequences come out longer than they went in. The placeholders keep the seats of the image free, so "
            "that masks, positions and labels still fit: an image row takes the place of a placeholder."
        ),
        caught_by="test_the_result_looks_like_the_token_embeddings",
        swap=(
            (
                WRITE,
                "    batch, _, width = token_embeds.shape\n"
                "    images = rows.to(token_embeds).reshape(batch, -1, width)\n"
                "    merged = torch.cat([images, token_embeds], dim=1)",
            ),
        ),
    ),
    WrongAnswer(
        id="added",
        title="image rows added to the placeholder's embedding",
        explanation=(
            "What arrives on a seat is the image row plus the embedding of the placeholder, so that every patch is "
            "shifted by the same vector, one that changes when the embedding table is trained. The rule says that the "
            "placeholder plays no part."
        ),
        caught_by="test_rows_are_seated_sample_by_sample",
        swap=(("merged[is_seat] = rows.to(merged)", "merged[is_seat] += rows.to(merged)"),),
    ),
    WrongAnswer(
        id="multiplied-by-a-mask",
        title="the placeholder's embedding multiplied by 0 before the image row is added",
        explanation=(
            "As long as the placeholder's embedding is finite, your result is right. But 0 times NaN, or times infinity, "
            "is NaN, so an untrained or overflowed placeholder reaches the result after all. Write the row onto its seat "
            "instead of adding it to what a product leaves there."
        ),
        caught_by="test_rows_are_seated_sample_by_sample",
        swap=(
            (
                WRITE,
                "    merged = token_embeds * ~is_seat[..., None]\n"
                "    images = torch.zeros_like(token_embeds)\n"
                "    images[is_seat] = rows.to(merged)\n"
                "    merged = merged + images",
            ),
        ),
    ),
    WrongAnswer(
        id="patches-before-images",
        title="rows counted patch by patch: first the first patch of every image",
        explanation=(
            "Every row finds a seat, but neighbouring seats hold patches of different images. Flattening (images, "
            "patches, width) as it is keeps the patches of an image together: have two dimensions changed places before?"
        ),
        caught_by="test_rows_are_seated_sample_by_sample",
        swap=(
            (
                "    rows = image_embeds.flatten(end_dim=-2)",
                "    rows = image_embeds.transpose(0, -2).flatten(end_dim=-2) if image_embeds.ndim == 3 else image_embeds",
            ),
        ),
    ),
    WrongAnswer(
        id="column-major",
        title="seats counted position by position instead of sample by sample",
        explanation=(
            "All rows find a seat, but rows of one sample's image sit in another sample. Your code visits position 0 "
            "of every sample, then position 1. Which of the two dimensions has to be the inner one?"
        ),
        caught_by="test_rows_are_seated_sample_by_sample",
        swap=(
            (
                "merged[is_seat] = rows.to(merged)",
                "merged.transpose(0, 1)[is_seat.transpose(0, 1)] = rows.to(merged)",
            ),
        ),
    ),
    WrongAnswer(
        id="every-sample-starts-over",
        title="every sample takes its rows from the first one on",
        explanation=(
            "The first sample with an image is right; the next one gets the same rows again. The rows are one list "
            "for the whole batch: where does sample 1 have to go on reading?"
        ),
        caught_by="test_rows_are_seated_sample_by_sample",
        swap=(
            (
                "    merged[is_seat] = rows.to(merged)",
                "    for sample, seats in zip(merged, is_seat):\n"
                "        sample[seats] = rows[: seats.sum()].to(merged)",
            ),
        ),
    ),
    WrongAnswer(
        id="written-in-place",
        title="image rows written into token_embeds itself",
        explanation=(
            "The caller's token embeddings are changed. If they are a view of an embedding table, the table is damaged; "
            "if they require a gradient, PyTorch refuses. Where do you make the tensor that you write into?"
        ),
        caught_by="test_the_result_looks_like_the_token_embeddings",
        swap=(("merged = token_embeds.clone()", "merged = token_embeds"),),
    ),
    WrongAnswer(
        id="surplus-dropped",
        title="surplus image rows dropped without a word",
        explanation=(
            "More rows than seats go through, and the last ones are lost: a part of some picture never reaches the "
            "model. Some ready-made functions take as many rows as they need and do not count. Count yourself."
        ),
        caught_by="test_what_does_not_fit_is_refused",
        swap=(
            (COUNT, ""),
            (
                "merged[is_seat] = rows.to(merged)",
                "merged = merged.masked_scatter(is_seat[..., None], rows.to(merged))",
            ),
        ),
    ),
    WrongAnswer(
        id="missing-repeated",
        title="too few image rows used several times",
        explanation=(
            "When there are more seats than rows, your code begins with the first row again or spreads one row over all "
            "seats. Two samples then share a picture. Such a call is a mistake of the caller's, and the caller has to "
            "hear of it."
        ),
        caught_by="test_what_does_not_fit_is_refused",
        swap=(
            (COUNT, "    rows = rows.repeat(-(-int(is_seat.sum()) // max(len(rows), 1)), 1)[: int(is_seat.sum())]\n"),
        ),
    ),
    WrongAnswer(
        id="numbers-counted-instead-of-rows",
        title="the count of numbers checked, not the width of the rows",
        explanation=(
            "Four rows of width 2 hold as many numbers as two rows of width 4, and your code lets them pass: each seat "
            "then gets two half features glued together. Check the width by itself, before you count."
        ),
        caught_by="test_what_does_not_fit_is_refused",
        swap=(
            (WIDTH, ""),
            (
                COUNT,
                "    if is_seat.sum() * token_embeds.shape[-1] != rows.numel():\n"
                '        raise ValueError("image features do not fit")\n',
            ),
            (
                "merged[is_seat] = rows.to(merged)",
                "merged = merged.masked_scatter(is_seat[..., None], rows.to(merged))",
            ),
        ),
    ),
    WrongAnswer(
        id="ids-broadcast",
        title="ids of another shape stretched to fit",
        explanation=(
            "Ids of one sample are accepted for a batch of two, and the same seats are used in both. That is how a "
            "forgotten batch dimension stays unnoticed. Compare the shapes before you compare the ids."
        ),
        caught_by="test_what_does_not_fit_is_refused",
        swap=(
            (IDS, ""),
            (
                "merged[is_seat] = rows.to(merged)",
                "merged = merged.masked_scatter(is_seat[..., None], rows.to(merged))",
            ),
        ),
    ),
    WrongAnswer(
        id="dtype-of-the-image",
        title="the result in the wider of the two dtypes",
        explanation=(
            "Token embeddings in bfloat16 and an image in float32 give float32: the language model behind then meets a "
            "dtype that it does not have. Convert the image rows first; the token embeddings decide."
        ),
        caught_by="test_the_result_looks_like_the_token_embeddings",
        swap=(
            (
                WRITE,
                "    merged = token_embeds.to(torch.promote_types(token_embeds.dtype, rows.dtype)).clone()\n"
                "    merged[is_seat] = rows.to(merged)",
            ),
        ),
    ),
    WrongAnswer(
        id="input-handed-back",
        title="token_embeds itself returned when there is no image",
        explanation=(
            "Without a seat your result is the caller's own tensor, with seats it is a new one. Whoever writes into the "
            "result then changes the token embeddings, but for text-only batches alone, which is hard to find."
        ),
        caught_by="test_without_seats_the_result_is_a_copy",
        swap=(
            ("    merged = token_embeds.clone()", "    merged = token_embeds.clone() if len(rows) else token_embeds"),
        ),
    ),
    WrongAnswer(
        id="detached",
        title="image rows detached",
        explanation=(
            "The values are right, but no gradient reaches `image_embeds`: the connector would never learn, and the "
            "loss would still fall a little because other parts do. Look for `detach`, `no_grad`, `.data` or a tensor "
            "made anew from numbers."
        ),
        caught_by="test_gradients_reach_the_image_and_the_other_tokens",
        swap=(("rows.to(merged)", "rows.detach().to(merged)"),),
    ),
    WrongAnswer(
        id="token-embeds-detached",
        title="token embeddings detached",
        explanation=(
            "The values are right, and the image rows learn; but `token_embeds` gets no gradient, so that neither the "
            "embedding table nor anything in front of it is trained. A copy need not be cut off from what it copies."
        ),
        caught_by="test_gradients_reach_the_image_and_the_other_tokens",
        swap=(("merged = token_embeds.clone()", "merged = token_embeds.detach().clone()"),),
    ),
    WrongAnswer(
        id="projector-cut-off",
        title="gradients recorded only when the token embeddings require one",
        explanation=(
            "When `token_embeds` is frozen, as in the first stage of training a connector, your result does not depend "
            "on anything for autograd, although `image_embeds` requires a gradient. Look at which of the two inputs "
            "decides whether the copy is recorded."
        ),
        caught_by="test_gradients_reach_the_image_and_the_other_tokens",
        swap=(
            (
                WRITE,
                "    with torch.set_grad_enabled(token_embeds.requires_grad):\n"
                "        merged = token_embeds.clone()\n"
                "        merged[is_seat] = rows.to(merged)",
            ),
        ),
    ),
]

alternatives = [
    Alternative(
        id="masked-scatter",
        title="masked_scatter after counting",
        code="""
def merge_multimodal_embeddings(input_ids, token_embeds, image_embeds, image_token_id):
    batch, length, width = token_embeds.shape
    if input_ids.dtype not in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8):
        raise ValueError("ids must be integers")
    if tuple(input_ids.shape) != (batch, length):
        raise ValueError("ids and token embeddings")
    if image_embeds.dim() < 2 or image_embeds.dim() > 3 or image_embeds.size(-1) != width:
        raise ValueError("image embeddings")
    mask = input_ids.eq(image_token_id)
    if torch.count_nonzero(mask) * width != image_embeds.numel():
        raise ValueError("count")
    source = image_embeds.to(device=token_embeds.device, dtype=token_embeds.dtype)
    return token_embeds.masked_scatter(mask.unsqueeze(-1).expand_as(token_embeds), source)
""",
    ),
    Alternative(
        id="loops",
        title="two loops over samples and positions",
        code="""
def merge_multimodal_embeddings(input_ids, token_embeds, image_embeds, image_token_id):
    if "int" not in str(input_ids.dtype):
        raise ValueError("ids")
    if list(input_ids.shape) != list(token_embeds.shape)[:-1]:
        raise ValueError("shapes")
    if image_embeds.ndim == 3:
        rows = [row for image in image_embeds for row in image]
    elif image_embeds.ndim == 2:
        rows = list(image_embeds)
    else:
        raise ValueError("dimensions")
    if image_embeds.shape[-1] != token_embeds.shape[-1]:
        raise ValueError("width")
    samples, used = [], 0
    for ids, tokens in zip(input_ids.tolist(), token_embeds):
        sequence = []
        for number, token in zip(ids, tokens):
            if number == image_token_id:
                if used == len(rows):
                    raise ValueError("too few rows")
                token = rows[used].to(token.device, token.dtype)
                used += 1
            sequence.append(token)
        samples.append(torch.stack(sequence))
    if used < len(rows):
        raise ValueError("too many rows")
    return torch.stack(samples)
""",
    ),
    Alternative(
        id="gather",
        title="one table of tokens and rows, read with computed indices",
        code="""
def merge_multimodal_embeddings(input_ids, token_embeds, image_embeds, image_token_id):
    if torch.is_floating_point(input_ids):
        raise TypeError("ids")
    if input_ids.ndim != 2 or input_ids.shape != token_embeds.shape[:-1]:
        raise ValueError("shapes")
    if image_embeds.ndim not in {2, 3} or image_embeds.shape[-1] != token_embeds.shape[-1]:
        raise ValueError("image")
    width = token_embeds.shape[-1]
    rows = image_embeds.reshape(-1, width).type_as(token_embeds)
    seats = (input_ids == image_token_id).flatten()
    if seats.sum().item() != rows.shape[0]:
        raise ValueError("count")
    table = torch.cat((token_embeds.reshape(-1, width), rows))
    index = torch.where(seats, len(seats) + seats.long().cumsum(0) - 1, torch.arange(len(seats)))
    return table[index].reshape(token_embeds.shape)
""",
    ),
    Alternative(
        id="index-put",
        title="positions from nonzero, written with index_put",
        code="""
def merge_multimodal_embeddings(input_ids, token_embeds, image_embeds, image_token_id):
    positions = torch.nonzero(input_ids == image_token_id, as_tuple=True)
    fits = (
        not input_ids.dtype.is_floating_point
        and input_ids.shape == token_embeds.shape[:2]
        and image_embeds.ndim in (2, 3)
        and image_embeds.shape[-1] == token_embeds.shape[-1]
        and image_embeds.shape[:-1].numel() == len(positions[0])
    )
    if not fits:
        raise ValueError("these inputs do not fit together")
    rows = image_embeds.reshape(-1, token_embeds.shape[-1]).to(token_embeds.dtype)
    return token_embeds.index_put(positions, rows)
""",
    ),
]

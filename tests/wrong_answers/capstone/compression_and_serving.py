"""Wrong answers and differently written correct solutions of capstone/compression_and_serving.

Not catalogued: a key compared with `==`. The answers are the same, and the few nanoseconds by which the time depends on
the number of right letters drown in everything else that a check could measure. The lesson says so.
"""

from grader.catalogue import Alternative, WrongAnswer

INTEGERS = "test_weights_become_integers"
PRUNE = "test_the_smallest_weights_go"
PARITY = "test_parity_report"
SEARCH = "test_a_search_is_answered"
KEYS = "test_only_holders_of_a_key_get_in"
REFUSED = "test_what_is_refused_and_what_fails"
PLACES = "test_places_are_limited_and_given_back"
METRICS = "test_health_and_metrics"

# The statements of the reference that several entries replace.
SCALE = "scale = np.abs(weight).max(axis=1, keepdims=True) / 127  # (out, 1)"
LEVELS = "levels = np.clip(np.rint(weight / scale), -127, 127).astype(np.int8)  # (out, in)"
SMALLEST = 'smallest = np.argsort(magnitudes, kind="stable")[: round(fraction * magnitudes.size)]  # (pruned,)'
COMPARABLE = "    comparable = expected.shape == got.shape and expected.ndim == 2 and expected.size > 0\n"
FINITE = "if not comparable or not np.isfinite([expected, got]).all():"
DIFFERENCE = "max_difference = float(np.abs(expected - got).max())"
PASSED = "passed = max_difference <= tolerance and same_top >= agreement"
ROUTE = '@app.post("/v1/search", dependencies=[fastapi.Depends(has_key)])'
COUNT = '        if request.method == "POST" and request.url.path == "/v1/search":\n'
DECODING = """        try:
            drawing = decode(body)
        except Exception:
            raise fastapi.HTTPException(422, "the body is not a drawing") from None
"""
SEARCHING = """        except Exception:  # a real service writes it into its log
            raise fastapi.HTTPException(500, "the search failed") from None
"""
BODY = "        body = await read(request)\n"
PLACE = """        if not places.acquire(blocking=False):
            raise fastapi.HTTPException(429, "too many requests at work", headers={"Retry-After": "1"})
"""
WORK = """        try:
            pairs = await asyncio.to_thread(find, body)  # both functions block, so not in the event loop's thread
        finally:
            places.release()
"""
STREAM = """        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > max_bytes:
                raise fastapi.HTTPException(413, f"more than {max_bytes} bytes")
        return body
"""

wrong_answers = [
    # ----------------------------------------------------------------------------------------------- int8 weights
    WrongAnswer(
        id="one-scale-for-all",
        title="one scale for the whole matrix",
        explanation=(
            "All rows share a scale, that of the largest weight anywhere. A row that is small beside it comes back as "
            "zeros or as a handful of values. Which axis holds what makes one output?"
        ),
        caught_by=INTEGERS,
        swap=((SCALE, "scale = np.full((len(weight), 1), np.abs(weight).max() / 127, dtype=np.float32)"),),
    ),
    WrongAnswer(
        id="signed-maximum",
        title="the largest weight of a row instead of its largest magnitude",
        explanation=(
            "A row whose extreme weight is negative gets too small a scale (or a negative one), and its large weights "
            "are cut off. Size has no sign here."
        ),
        caught_by=INTEGERS,
        swap=((SCALE, SCALE.replace("np.abs(weight)", "weight")),),
    ),
    WrongAnswer(
        id="level-minus-128",
        title="128 levels on the negative side",
        explanation=(
            "int8 reaches from -128 to 127, and the scale is made for 128 levels. Then the largest positive weight has "
            "no level of its own. The task divides so that both ends are alike, and leaves -128 unused."
        ),
        caught_by=INTEGERS,
        swap=((SCALE, SCALE.replace("/ 127", "/ 128")), (LEVELS, LEVELS.replace("-127, 127", "-128, 127"))),
    ),
    WrongAnswer(
        id="truncated",
        title="levels cut off towards zero instead of rounded",
        explanation=(
            "The change to the integer type drops everything behind the point, so that a weight may be off by a whole "
            "level, and always towards 0. What has to happen before the change of type?"
        ),
        caught_by=INTEGERS,
        swap=((LEVELS, LEVELS.replace("np.rint(weight / scale)", "weight / scale")),),
    ),
    WrongAnswer(
        id="halves-away-from-zero",
        title="halves rounded away from zero",
        explanation=(
            "0.5 becomes 1 and 2.5 becomes 3. The task sends a half to the even neighbour, as NumPy's own rounding "
            "does, so that halves do not all push in one direction."
        ),
        caught_by=INTEGERS,
        swap=(
            (
                LEVELS,
                LEVELS.replace(
                    "np.rint(weight / scale)", "np.copysign(np.floor(np.abs(weight / scale) + 0.5), weight)"
                ),
            ),
        ),
    ),
    WrongAnswer(
        id="zero-row-divided",
        title="a row of zeros divided by its scale of zero",
        explanation=(
            "The largest magnitude of a row of zeros is 0, and so is its scale; dividing by it gives NaN, and what "
            "becomes of NaN in an integer is anybody's guess. The scale of such a row is agreed upon."
        ),
        caught_by=INTEGERS,
        swap=(("    scale[scale == 0] = 1\n", ""),),
    ),
    WrongAnswer(
        id="scale-in-float16",
        title="the scale of float16 weights computed in float16",
        explanation=(
            "For float16 weights the division happens in float16, where numbers below 0.00006 have few digits left. "
            "The levels are only as good as the scale. When is it early enough to change to float32?"
        ),
        caught_by=INTEGERS,
        swap=(
            ("    weight = np.asarray(weight, dtype=np.float32)\n", "    weight = np.asarray(weight)\n"),
            (
                "    return levels, scale\n",
                "    return levels, scale.astype(np.float32)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="wraps-around",
        title="levels beyond 127 that come out with the other sign",
        explanation=(
            "In a row just above the underflow the scale is a badly rounded number, and a quotient may lie far beyond "
            "127. The change to int8 does not stop there; it goes on counting from the other end."
        ),
        caught_by=INTEGERS,
        swap=((LEVELS, "levels = np.rint(weight / scale).astype(np.int16).astype(np.int8)"),),
    ),
    WrongAnswer(
        id="quantised-in-place",
        title="the caller's weights divided by the scale",
        explanation=(
            "After the call the float32 weights of the caller are no longer what they were: np.asarray makes no copy of "
            "an array that has the right dtype already, and an operation in place writes into it."
        ),
        caught_by=INTEGERS,
        swap=((LEVELS, f"weight /= scale\n    {LEVELS.replace('weight / scale', 'weight')}"),),
    ),
    WrongAnswer(
        id="scale-in-float64",
        title="scales in float64",
        explanation=(
            "The scales are float64, so they take twice the memory, and everything that is multiplied by them becomes "
            "float64 as well. The task names the dtype of both results."
        ),
        caught_by=INTEGERS,
        swap=(
            ("    return levels, scale\n", "    return levels, scale.astype(np.float64)\n"),
            (
                "return levels.astype(np.float32) * scale  # (out, in)",
                "return (levels.astype(np.float32) * scale).astype(np.float32)",
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------------------- pruning
    WrongAnswer(
        id="each-matrix-by-itself",
        title="the same share pruned in every matrix",
        explanation=(
            "Every matrix loses its share, however large its weights are. The task asks for one ranking of all entries, "
            "so that a matrix of small weights gives more than one of large ones."
        ),
        caught_by=PRUNE,
        code="""
def prune(weights, fraction):
    if not 0 <= fraction < 1:
        raise ValueError(fraction)
    pruned = {}
    for name, weight in weights.items():
        flat = weight.ravel().copy()
        flat[np.argsort(np.abs(flat), kind="stable")[: round(fraction * flat.size)]] = 0
        pruned[name] = flat.reshape(weight.shape)
    return pruned
""",
    ),
    WrongAnswer(
        id="the-largest-go",
        title="the largest weights pruned",
        explanation=(
            "What is left are the smallest weights. A mask can mean that an entry is kept or that it goes, and a sort "
            "begins at one end; one of the two is the wrong way round."
        ),
        caught_by=PRUNE,
        swap=((SMALLEST, SMALLEST.replace("argsort(magnitudes", "argsort(-magnitudes")),),
    ),
    WrongAnswer(
        id="signs-ranked",
        title="weights ranked with their signs",
        explanation=(
            "The most negative weights go first, although they are among the largest. The ranking is by absolute value."
        ),
        caught_by=PRUNE,
        swap=(("[np.abs(weight).ravel() for weight in", "[weight.ravel() for weight in"),),
    ),
    WrongAnswer(
        id="ties-all-go",
        title="everything up to a threshold pruned, ties included",
        explanation=(
            "All entries as small as the last one that has to go are pruned with it, so that more go than were asked "
            "for. A threshold cannot tell equals apart; positions in a ranking can."
        ),
        caught_by=PRUNE,
        swap=(
            (
                "    keep[smallest] = False\n",
                "    if smallest.size:\n        keep = magnitudes > magnitudes[smallest].max()\n",
            ),
        ),
    ),
    WrongAnswer(
        id="last-of-equals",
        title="of equal magnitudes the last ones pruned",
        explanation=(
            "The number is right, but among equals those at the end go first. Look at what reversing a sort does to "
            "the order of equal entries."
        ),
        caught_by=PRUNE,
        swap=(
            (
                SMALLEST,
                'smallest = np.argsort(-magnitudes, kind="stable")[::-1][: round(fraction * magnitudes.size)]',
            ),
        ),
    ),
    WrongAnswer(
        id="count-rounded-down",
        title="the number of pruned entries rounded down",
        explanation=(
            "int() cuts off what is behind the point, so that now and then one entry too few goes. The task names the "
            "function that turns the product into a number."
        ),
        caught_by=PRUNE,
        swap=((SMALLEST, SMALLEST.replace("round(fraction", "int(fraction")),),
    ),
    WrongAnswer(
        id="pruned-in-place",
        title="the caller's own arrays pruned",
        explanation=(
            "The dictionary is new, its arrays are those of the caller, and the zeros were written into them. Whoever "
            "wants to compare with the original afterwards compares the copy with itself."
        ),
        caught_by=PRUNE,
        swap=(
            (
                "        pruned[name] = np.where(mask, weight, np.float32(0))\n",
                "        weight[~mask] = 0\n        pruned[name] = weight\n",
            ),
        ),
    ),
    WrongAnswer(
        id="zeros-not-ranked",
        title="zeros that are there already left out of the ranking",
        explanation=(
            "The share is taken of the weights that are not 0 yet, so that more zeros come out than were asked for, and "
            "pruning twice prunes twice. A weight that is 0 is ranked like any other, as one of the smallest."
        ),
        caught_by=PRUNE,
        swap=(
            (
                SMALLEST,
                SMALLEST.replace(
                    "round(fraction * magnitudes.size)",
                    "round(fraction * np.count_nonzero(magnitudes)) + int((magnitudes == 0).sum())",
                ),
            ),
        ),
    ),
    WrongAnswer(
        id="shapes-lost",
        title="matrices cut out of the long array in the wrong shape",
        explanation=(
            "The entries are right, but a matrix comes back as one row. What was flattened has to get its shape again."
        ),
        caught_by=PRUNE,
        swap=(
            (
                "np.where(mask, weight, np.float32(0))",
                "np.where(mask, weight, np.float32(0)).reshape(1, -1)",
            ),
        ),
    ),
    WrongAnswer(
        id="fractions-unchecked",
        title="fractions of 1 and more, or NaN, let through",
        explanation=(
            "A fraction outside of 0 ≤ fraction < 1 is not refused, and somebody who meant 30 % by 30 gets a model "
            "without weights. Mind that NaN is neither below nor above anything."
        ),
        caught_by=PRUNE,
        swap=(
            (
                "    if not 0 <= fraction < 1:  # written so that NaN is refused too\n",
                "    fraction = min(fraction, 1.0) if fraction == fraction else 0.0\n    if fraction < 0:\n",
            ),
        ),
    ),
    # -------------------------------------------------------------------------------------------------- parity
    WrongAnswer(
        id="nan-passes",
        title="NaN and infinities taken for equal",
        explanation=(
            "A copy that computes NaN passes, since NaN is not larger than any tolerance, or since differences that are "
            "no numbers were replaced or left out. Nothing that is not finite can have been compared."
        ),
        caught_by=PARITY,
        swap=(
            (FINITE, "if not comparable:"),
            (DIFFERENCE, "max_difference = float(np.nan_to_num(np.abs(expected - got), posinf=0.0).max())"),
        ),
    ),
    WrongAnswer(
        id="means-compared",
        title="the mean difference in place of the largest",
        explanation=(
            "One score that is far off disappears among many that are right. The report is about the worst case."
        ),
        caught_by=PARITY,
        swap=((DIFFERENCE, DIFFERENCE.replace(".max()", ".mean()")),),
    ),
    WrongAnswer(
        id="shapes-broadcast",
        title="scores of different shapes compared after broadcasting",
        explanation=(
            "NumPy stretches an axis of length 1, so that one row is compared with many. Scores of other shapes belong "
            "to other questions, and do not pass."
        ),
        caught_by=PARITY,
        swap=(
            (
                COMPARABLE,
                "    try:\n        expected, got = np.broadcast_arrays(expected, got)\n    except ValueError:\n"
                '        return {"max_difference": math.inf, "same_top": 0.0, "passed": False}\n'
                "    comparable = expected.ndim == 2 and expected.size > 0\n",
            ),
        ),
    ),
    WrongAnswer(
        id="differences-signed",
        title="differences with their signs",
        explanation=(
            "Only scores that are too small count, those that are too large do not. Swap the arguments: the result "
            "must stay the same."
        ),
        caught_by=PARITY,
        swap=((DIFFERENCE, "max_difference = float((expected - got).max())"),),
    ),
    WrongAnswer(
        id="favourites-by-column",
        title="the best query of each candidate compared instead of the best candidate of each query",
        explanation=(
            "The highest score is looked for along the queries. Each row is one query: along which axis do its "
            "candidates lie?"
        ),
        caught_by=PARITY,
        swap=(("expected.argmax(axis=1) == got.argmax(axis=1)", "expected.argmax(axis=0) == got.argmax(axis=0)"),),
    ),
    WrongAnswer(
        id="exactly-at-the-limit-fails",
        title="a difference of exactly the tolerance, or a share of exactly the agreement, refused",
        explanation="The difference may be at most the tolerance, and the share has to be at least the agreement.",
        caught_by=PARITY,
        swap=((PASSED, "passed = max_difference < tolerance and same_top > agreement"),),
    ),
    WrongAnswer(
        id="either-is-enough",
        title="one of the two conditions enough to pass",
        explanation=(
            "Scores that are far off pass as long as the favourites agree, or the other way round. Both conditions have "
            "to hold."
        ),
        caught_by=PARITY,
        swap=((PASSED, PASSED.replace(" and ", " or ")),),
    ),
    WrongAnswer(
        id="narrow-differences",
        title="differences computed in the dtype of the scores",
        explanation=(
            "In uint8 or float16 a difference may not fit: 200 - 250 is 206 there, or a difference of two large numbers "
            "is infinite. Go to float64 before you subtract."
        ),
        caught_by=PARITY,
        swap=(
            (
                "np.asarray(expected, dtype=np.float64), np.asarray(got, dtype=np.float64)",
                "np.asarray(expected), np.asarray(got)",
            ),
            (FINITE, "if not comparable or not (np.isfinite(expected).all() and np.isfinite(got).all()):"),
        ),
    ),
    WrongAnswer(
        id="nothing-compared-passes",
        title="scores without any entry passed",
        explanation=(
            "Two arrays without an entry, or without the two axes, pass: nothing differs where nothing is. A test that "
            "looked at nothing must not be green."
        ),
        caught_by=PARITY,
        swap=(
            (
                COMPARABLE,
                "    if expected.shape == got.shape and expected.size == 0:\n"
                '        return {"max_difference": 0.0, "same_top": 1.0, "passed": True}\n' + COMPARABLE,
            ),
        ),
    ),
    WrongAnswer(
        id="passed-as-numpy-bool",
        title="a verdict that is NumPy's bool instead of Python's",
        explanation=(
            "`passed` is a numpy.bool, which looks like True and is not: `is True` fails, and JSON does not know it. "
            "The task promises a Python bool."
        ),
        caught_by=PARITY,
        swap=((PASSED, "passed = np.bool_(max_difference <= tolerance and same_top >= agreement)"),),
    ),
    # ------------------------------------------------------------------------------------------- a good request
    WrongAnswer(
        id="k-not-applied",
        title="all results given, whatever k is",
        explanation="Every answer holds the whole ranking. The client said how many results it wants, or meant five.",
        caught_by=SEARCH,
        swap=(("for name, score in pairs[:k]])", "for name, score in pairs])"),),
    ),
    WrongAnswer(
        id="results-as-pairs",
        title="results as lists of two values",
        explanation=(
            "Each result is a list of a name and a number, where an object with two keys is promised. Pairs are handy "
            "in Python, but a client in another language would have to guess which is which."
        ),
        caught_by=SEARCH,
        swap=(
            ("        results: list[Found]\n", "        results: list[tuple[str, float]]\n"),
            ("results=[Found(name=name, score=score) for name, score in pairs[:k]])", "results=pairs[:k])"),
        ),
    ),
    WrongAnswer(
        id="no-schema",
        title="an answer that the API's own description knows nothing of",
        explanation=(
            "The answers are right, but /openapi.json does not say what they look like, and so no client can be made "
            "from it. FastAPI describes what it is told as the endpoint's type of result, or as its response model."
        ),
        caught_by=SEARCH,
        swap=(
            ("fastapi.Query(ge=1, le=50)] = 5) -> Answer:", "fastapi.Query(ge=1, le=50)] = 5):"),
            (
                "        return Answer(version=version, results=",
                "        return fastapi.responses.JSONResponse(Answer(version=version, results=",
            ),
            ("for name, score in pairs[:k]])", "for name, score in pairs[:k]]).model_dump())"),
        ),
    ),
    WrongAnswer(
        id="version-left-out",
        title="an answer without the version of the weights",
        explanation=(
            "The answer lacks the version. Somebody who reports a strange result next week will be asked which weights "
            "it came from."
        ),
        caught_by=SEARCH,
        swap=(
            ("        version: str\n        results", "        results"),
            ("return Answer(version=version, results=", "return Answer(results="),
        ),
    ),
    WrongAnswer(
        id="only-the-first-key",
        title="one of several keys accepted and the others refused",
        explanation="Only one of the keys opens the service, though every client has its own. Compare with all of them.",
        caught_by=SEARCH,
        swap=(("key.encode()) for key in keys]", "key.encode()) for key in list(keys)[:1]]"),),
    ),
    WrongAnswer(
        id="body-as-text",
        title="the body turned into text before it is decoded",
        explanation=(
            "The bytes of an image are not text: what is not UTF-8 gets lost or replaced on the way to `decode`. The "
            "body goes there as it came."
        ),
        caught_by=SEARCH,
        swap=(("drawing = decode(body)", 'drawing = decode(body.decode("utf-8", "replace").encode())'),),
    ),
    # ----------------------------------------------------------------------------------------------------- keys
    WrongAnswer(
        id="key-in-the-query",
        title="a key in the address accepted",
        explanation=(
            "A key that stands in the query opens the service too. Addresses are written into logs, histories and "
            "proxies by everybody on the way; the key counts in its header only."
        ),
        caught_by=KEYS,
        swap=(
            (
                'async def has_key(x_api_key: Annotated[str, fastapi.Header()] = "") -> None:\n',
                'async def has_key(request: fastapi.Request, x_api_key: Annotated[str, fastapi.Header()] = "") -> None:\n'
                '        x_api_key = x_api_key or request.query_params.get("key", "")\n',
            ),
        ),
    ),
    WrongAnswer(
        id="missing-and-wrong-differ",
        title="another answer for a wrong key than for a missing one",
        explanation=(
            "Who sends a wrong key is told that it is wrong, who sends none that it is missing. Somebody who guesses "
            "learns from it that the header is the right one. One answer serves for both."
        ),
        caught_by=KEYS,
        swap=(
            (
                'raise fastapi.HTTPException(401, "a key is needed")',
                'raise fastapi.HTTPException(401, "wrong key" if x_api_key else "a key is needed")',
            ),
        ),
    ),
    WrongAnswer(
        id="beyond-ascii-crashes",
        title="a crash for a key with letters beyond ASCII",
        explanation=(
            "hmac.compare_digest refuses text with letters beyond ASCII with a TypeError, which becomes a 500. Such a "
            "key is wrong like any other. What does the function compare without complaint?"
        ),
        caught_by=KEYS,
        swap=(("hmac.compare_digest(x_api_key.encode(), key.encode())", "hmac.compare_digest(x_api_key, key)"),),
    ),
    WrongAnswer(
        id="prefix-of-a-key",
        title="a part of a key taken for the key",
        explanation=(
            "A beginning of a key, or text that contains one, is accepted. Then a key can be guessed letter by letter."
        ),
        caught_by=KEYS,
        swap=(
            (
                "hmac.compare_digest(x_api_key.encode(), key.encode())",
                'x_api_key != "" and (key.startswith(x_api_key) or x_api_key.startswith(key))',
            ),
        ),
    ),
    WrongAnswer(
        id="letter-case-ignored",
        title="capital and small letters of a key taken for the same",
        explanation=(
            "The name of a header has no case, its value has. A key in which case does not count is far easier to guess."
        ),
        caught_by=KEYS,
        swap=(
            (
                "hmac.compare_digest(x_api_key.encode(), key.encode())",
                "hmac.compare_digest(x_api_key.lower().encode(), key.lower().encode())",
            ),
        ),
    ),
    WrongAnswer(
        id="body-read-before-the-key",
        title="the body read before the key is looked at",
        explanation=(
            "A request without a right key is refused only when its whole body has come. A parameter of the endpoint "
            "that is the body is read by FastAPI before anything of yours runs; and a client without a key may fill "
            "your memory."
        ),
        caught_by=KEYS,
        swap=(
            (
                'async def has_key(x_api_key: Annotated[str, fastapi.Header()] = "") -> None:\n',
                'async def has_key(request: fastapi.Request, x_api_key: Annotated[str, fastapi.Header()] = "") -> None:\n'
                "        await request.body()\n",
            ),
        ),
    ),
    WrongAnswer(
        id="k-judged-before-the-key",
        title="the query judged before the key",
        explanation=(
            "A request without a key learns what is wrong with its k. The key comes first: before it is known who asks, "
            "nothing else is looked at."
        ),
        caught_by=KEYS,
        swap=(
            (ROUTE, '@app.post("/v1/search")'),
            (BODY, '        await has_key(request.headers.get("x-api-key", ""))\n' + BODY),
        ),
    ),
    WrongAnswer(
        id="crash-without-the-header",
        title="a crash when the header is missing",
        explanation=(
            "A request without the header fails inside of the comparison, and its client gets a 500. The commonest case "
            "of a wrong key is none at all."
        ),
        caught_by=KEYS,
        swap=(
            (
                'async def has_key(x_api_key: Annotated[str, fastapi.Header()] = "") -> None:',
                "async def has_key(x_api_key: Annotated[str | None, fastapi.Header()] = None) -> None:",
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------- refused and failed
    WrongAnswer(
        id="only-content-length",
        title="the size taken from what the client announces",
        explanation=(
            "Only the Content-Length is compared with the limit. A body in chunks comes without one, and may be as long "
            "as it likes. What is the only number that you can trust?"
        ),
        caught_by=REFUSED,
        swap=(
            (
                STREAM,
                '        if int(request.headers.get("content-length", "0")) > max_bytes:\n'
                '            raise fastapi.HTTPException(413, f"more than {max_bytes} bytes")\n'
                "        return await request.body()\n",
            ),
        ),
    ),
    WrongAnswer(
        id="body-read-whole",
        title="the limit looked at when the whole body has been read",
        explanation=(
            "The body is read to its end, and then found to be too large. By then it is in memory, and a body without "
            "an end is never found to be anything. Look at the size while the bytes come."
        ),
        caught_by=REFUSED,
        swap=(
            (
                STREAM,
                "        body = await request.body()\n        if len(body) > max_bytes:\n"
                '            raise fastapi.HTTPException(413, f"more than {max_bytes} bytes")\n        return body\n',
            ),
        ),
    ),
    WrongAnswer(
        id="limit-itself-refused",
        title="a body of exactly the largest size refused",
        explanation="A body of `max_bytes` bytes gets 413. Only one that has more is too large.",
        caught_by=REFUSED,
        swap=(("if len(body) > max_bytes:", "if len(body) >= max_bytes:"),),
    ),
    WrongAnswer(
        id="k-unchecked",
        title="k without limits",
        explanation=(
            "Any whole number is accepted as k. A million results cost as much as they are long, and a negative number "
            "cuts from the other end of the list."
        ),
        caught_by=REFUSED,
        swap=(("k: Annotated[int, fastapi.Query(ge=1, le=50)] = 5", "k: Annotated[int, fastapi.Query()] = 5"),),
    ),
    WrongAnswer(
        id="k-clipped",
        title="a k outside of its limits silently moved to the next limit",
        explanation=(
            "A k of 0 or 51 is answered as if it had been 1 or 50. The client does not learn that it got something else "
            "than it asked for."
        ),
        caught_by=REFUSED,
        swap=(
            ("k: Annotated[int, fastapi.Query(ge=1, le=50)] = 5", "k: Annotated[int, fastapi.Query()] = 5"),
            (BODY, "        k = min(max(k, 1), 50)\n" + BODY),
        ),
    ),
    WrongAnswer(
        id="k-off-by-one",
        title="a limit of k that is off by one",
        explanation="0 is accepted, or 51, or one of the limits themselves is refused. Both 1 and 50 are allowed.",
        caught_by=REFUSED,
        swap=(("fastapi.Query(ge=1, le=50)", "fastapi.Query(ge=0, le=51)"),),
    ),
    WrongAnswer(
        id="only-value-errors",
        title="only some kinds of exceptions of `decode` expected",
        explanation=(
            "ValueError becomes 422, everything else a 500. Pillow alone raises four kinds of exceptions for bytes that "
            "are no image, and some of them are not even related."
        ),
        caught_by=REFUSED,
        swap=((DECODING, DECODING.replace("except Exception:", "except ValueError:")),),
    ),
    WrongAnswer(
        id="no-drawing-is-a-500",
        title="500 for bytes that are no drawing",
        explanation=(
            "A body that cannot be decoded ends like a failure of the service. It is the client's mistake, and it must "
            "be able to tell: 5xx means try again, 4xx means do not."
        ),
        caught_by=REFUSED,
        swap=((DECODING, "        drawing = None\n"), ("return search(drawing)", "return search(decode(body))")),
    ),
    WrongAnswer(
        id="search-errors-are-422",
        title="422 for a search that failed",
        explanation=(
            "A drawing that is fine gets 422 when the search breaks, as if the client were to blame, and nobody is "
            "woken up. Decoding and searching fail for different reasons, so they need two guards."
        ),
        caught_by=REFUSED,
        swap=((SEARCHING, SEARCHING.replace("500,", "422,")),),
    ),
    WrongAnswer(
        id="exceptions-escape",
        title="exceptions of the search that nobody catches",
        explanation=(
            "What the search raises leaves the endpoint. The framework then answers 500 in plain text, without JSON, and "
            "code around the endpoint that waits for a status never sees one."
        ),
        caught_by=REFUSED,
        swap=((SEARCHING, "        except ZeroDivisionError:\n            raise\n"),),
    ),
    WrongAnswer(
        id="trace-in-the-answer",
        title="the trace of the exception in the answer",
        explanation=(
            "The client gets to read files, lines and messages of your code. Whoever attacks the service is grateful; "
            "it belongs into the log."
        ),
        caught_by=REFUSED,
        swap=(
            (
                SEARCHING,
                "        except Exception:\n            import traceback\n\n"
                "            raise fastapi.HTTPException(500, traceback.format_exc()) from None\n",
            ),
        ),
    ),
    WrongAnswer(
        id="message-in-the-answer",
        title="the message of the exception in the answer",
        explanation=(
            "What the exception says goes to the client: paths, keys, parts of other people's data. Say what happened "
            "in words of your own."
        ),
        caught_by=REFUSED,
        swap=(
            (
                DECODING,
                DECODING.replace("except Exception:", "except Exception as error:").replace(
                    '"the body is not a drawing"', "str(error)"
                ),
            ),
        ),
    ),
    # ---------------------------------------------------------------------------------------------------- places
    WrongAnswer(
        id="waits-for-a-place",
        title="requests that wait for a place instead of being refused",
        explanation=(
            "When all places are taken, a request waits until one is free. Under more load than the service can bear "
            "the queue only grows, and in the end everybody's client has given up. Say no at once."
        ),
        caught_by=PLACES,
        swap=((PLACE, "        await asyncio.to_thread(places.acquire)\n"),),
    ),
    WrongAnswer(
        id="place-lost-after-an-error",
        title="a place that is not given back when the search fails",
        explanation=(
            "After a search that failed its place stays taken, and after `concurrent` failures every request gets 429 "
            "until somebody restarts the service. What runs also when an exception passes through?"
        ),
        caught_by=PLACES,
        swap=(
            (WORK, "        pairs = await asyncio.to_thread(find, body)\n        places.release()\n"),
            (
                DECODING,
                DECODING.replace(
                    "            raise fastapi", "            places.release()\n            raise fastapi"
                ),
            ),
        ),
    ),
    WrongAnswer(
        id="place-lost-without-a-drawing",
        title="a place that is not given back when the body is no drawing",
        explanation=(
            "A body that is no drawing keeps its place for ever. Any client can send a few of them, and the service "
            "answers 429 from then on. Every way out has to pass the place where it is given back."
        ),
        caught_by=PLACES,
        swap=(
            (WORK, "        pairs = await asyncio.to_thread(find, body)\n        places.release()\n"),
            (
                SEARCHING,
                SEARCHING.replace(
                    "            raise fastapi", "            places.release()\n            raise fastapi"
                ),
            ),
        ),
    ),
    WrongAnswer(
        id="place-taken-before-the-key",
        title="a place needed even for being refused",
        explanation=(
            "While all places are taken, a request without a key gets 429 instead of 401: places are handed out before "
            "it is known who asks. Then strangers can keep the clients out."
        ),
        caught_by=PLACES,
        swap=(
            (
                "        started = clock()\n        response = await call_next(request)\n",
                "        started = clock()\n"
                '        limited = request.url.path == "/v1/search"\n'
                "        if limited and not places.acquire(blocking=False):\n"
                '            body = {"detail": "too many requests at work"}\n'
                '            response = fastapi.responses.JSONResponse(body, 429, headers={"Retry-After": "1"})\n'
                "        else:\n"
                "            try:\n"
                "                response = await call_next(request)\n"
                "            finally:\n"
                "                if limited:\n"
                "                    places.release()\n",
            ),
            (PLACE + WORK, "        pairs = await asyncio.to_thread(find, body)\n"),
        ),
    ),
    WrongAnswer(
        id="place-taken-before-the-body",
        title="a place taken while the body is still on its way",
        explanation=(
            "The place is taken before the body has come, so that a client who sends a byte a minute occupies it. Claim "
            "what is scarce as late as you can: when there is something to work on."
        ),
        caught_by=PLACES,
        swap=(
            (
                BODY + PLACE + WORK,
                PLACE + "        try:\n            body = await read(request)\n"
                "            pairs = await asyncio.to_thread(find, body)\n        finally:\n            places.release()\n",
            ),
        ),
    ),
    WrongAnswer(
        id="event-loop-blocked",
        title="an event loop that stands still during a search",
        explanation=(
            "decode and search are called in the thread of the event loop, and until they return nobody gets any "
            "answer, not even /health. Requests never meet, so no place is ever missing. Who else can do the work?"
        ),
        caught_by=PLACES,
        swap=(("pairs = await asyncio.to_thread(find, body)", "pairs = find(body)"),),
    ),
    WrongAnswer(
        id="no-retry-after",
        title="429 without a word on when to try again",
        explanation=(
            "The answer 429 lacks the header Retry-After (or it is no whole number of seconds), so that clients come "
            "back at once, all of them."
        ),
        caught_by=PLACES,
        swap=((', headers={"Retry-After": "1"})', ")"),),
    ),
    WrongAnswer(
        id="one-place-too-few",
        title="one request fewer at work than allowed",
        explanation="The last place is never given to anybody: `concurrent` requests may be at work at once, not fewer.",
        caught_by=PLACES,
        swap=(("places = threading.Semaphore(concurrent)", "places = threading.Semaphore(max(concurrent - 1, 1))"),),
    ),
    WrongAnswer(
        id="one-place-too-many",
        title="one request more at work than allowed",
        explanation=(
            "The request that finds `concurrent` others at work is let in as well. Compare the number of those at work "
            "with the limit before the new one is counted, or after; but not with one too many."
        ),
        caught_by=PLACES,
        swap=(("places = threading.Semaphore(concurrent)", "places = threading.Semaphore(concurrent + 1)"),),
    ),
    WrongAnswer(
        id="no-limit",
        title="any number of requests at work at once",
        explanation=(
            "Nobody is ever refused for want of a place. Threads and memory are used up by the first rush of requests, "
            "and then all of them fail, not only those too many."
        ),
        caught_by=PLACES,
        swap=(("places = threading.Semaphore(concurrent)", "places = threading.Semaphore(10**6)"),),
    ),
    WrongAnswer(
        id="places-shared",
        title="places shared by all applications",
        explanation=(
            "The places belong to the module instead of to the application, so that the load of one keeps out the "
            "clients of another. What belongs to one application is made inside of create_app."
        ),
        caught_by=PLACES,
        swap=(
            (
                "places = threading.Semaphore(concurrent)",
                "places = Places(concurrent)",
            ),
            (
                "def create_app(\n",
                "AT_WORK = []\n\n\nclass Places:\n    def __init__(self, limit):\n        self.limit = limit\n\n"
                "    def acquire(self, blocking):\n        if len(AT_WORK) >= self.limit:\n            return False\n"
                "        AT_WORK.append(self)\n        return True\n\n"
                "    def release(self):\n        AT_WORK.pop()\n\n\ndef create_app(\n",
            ),
        ),
    ),
    WrongAnswer(
        id="decoded-before-the-place",
        title="the body decoded before there is a place",
        explanation=(
            "Decoding an image is work, and it is done for requests that are refused a moment later. With all places "
            "taken, a body that is no drawing gets 422 instead of 429."
        ),
        caught_by=PLACES,
        swap=(
            (
                BODY,
                BODY + "        try:\n            drawing = await asyncio.to_thread(decode, body)\n"
                "        except Exception:\n"
                '            raise fastapi.HTTPException(422, "the body is not a drawing") from None\n',
            ),
            ("asyncio.to_thread(find, body)", "asyncio.to_thread(find, drawing)"),
            (DECODING, "        drawing = body\n"),
        ),
    ),
    # -------------------------------------------------------------------------------------- health and metrics
    WrongAnswer(
        id="only-successes-counted",
        title="metrics of the successes alone",
        explanation=(
            "Requests that were refused or failed are not counted, so that the graph is green while all clients get "
            "errors. Count where every answer passes, whatever its status is."
        ),
        caught_by=METRICS,
        swap=((COUNT, COUNT.replace('== "/v1/search":', '== "/v1/search" and response.status_code == 200:')),),
    ),
    WrongAnswer(
        id="every-route-counted",
        title="requests for health and metrics counted as well",
        explanation=(
            "Whoever looks after the service asks for its health every few seconds, and all of that is counted among "
            "the searches. Only `POST /v1/search` counts."
        ),
        caught_by=METRICS,
        swap=((COUNT, "        if True:\n"),),
    ),
    WrongAnswer(
        id="health-needs-a-key",
        title="a key asked for by the routes for health and metrics",
        explanation=(
            "What watches the service has no key, and takes a 401 for a sign that the process should be restarted. "
            "These routes give nothing away and cost nothing, so they need no key."
        ),
        caught_by=METRICS,
        swap=(('@app.get("/health")', '@app.get("/health", dependencies=[fastapi.Depends(has_key)])'),),
    ),
    WrongAnswer(
        id="health-says-ready",
        title="health and readiness taken for the same",
        explanation=(
            "While the model is not loaded, /health fails too. Whoever watches it restarts a process that was about to "
            "be ready, over and over. Alive and ready are two questions."
        ),
        caught_by=METRICS,
        swap=(
            (
                '        return {"status": "alive"}\n',
                '        if not ready():\n            raise fastapi.HTTPException(503, "not ready")\n'
                '        return {"status": "alive"}\n',
            ),
        ),
    ),
    WrongAnswer(
        id="ready-asked-once",
        title="readiness that is asked once and remembered",
        explanation=(
            "ready() is asked when the application is made, and its answer kept. A model that is loaded later, or lost, "
            "changes nothing then. Ask when you are asked."
        ),
        caught_by=METRICS,
        swap=(
            ("        if not ready():\n", "        if not was_ready:\n"),
            ("    app = FastAPI()\n", "    app = FastAPI()\n    was_ready = ready()\n"),
        ),
    ),
    WrongAnswer(
        id="metrics-of-all-applications",
        title="metrics shared by all applications",
        explanation=(
            "A second application begins with the numbers of the first. What is counted belongs to one application, and "
            "is made inside of create_app."
        ),
        caught_by=METRICS,
        swap=(
            (
                "    registry = prometheus_client.CollectorRegistry()  # of this application alone\n"
                '    answered = prometheus_client.Counter("search_requests", "POST /v1/search", ["status"], registry=registry)\n'
                '    seconds = prometheus_client.Histogram("search_seconds", "From request to answer", registry=registry)\n',
                "    registry, answered, seconds = REGISTRY, ANSWERED, SECONDS\n",
            ),
            (
                "def create_app(\n",
                "REGISTRY = prometheus_client.CollectorRegistry()\n"
                'ANSWERED = prometheus_client.Counter("search_requests", "requests", ["status"], registry=REGISTRY)\n'
                'SECONDS = prometheus_client.Histogram("search_seconds", "seconds", registry=REGISTRY)\n\n\n'
                "def create_app(\n",
            ),
        ),
    ),
    WrongAnswer(
        id="default-registry",
        title="a second application that cannot be made, since its metrics exist already",
        explanation=(
            "The metrics go into the registry of the whole process, which refuses a name that it knows. The first "
            "application is made, the second one is not. Give each a registry of its own."
        ),
        caught_by=METRICS,
        swap=(
            (
                "registry = prometheus_client.CollectorRegistry()  # of this application alone",
                "registry = prometheus_client.REGISTRY",
            ),
        ),
    ),
    WrongAnswer(
        id="metrics-redirected",
        title="/metrics that answers with a redirection",
        explanation=(
            "GET /metrics is answered by 307, to the same address with a slash at its end, as an application that is "
            "mounted there does it. The promise is 200 at that very address."
        ),
        caught_by=METRICS,
        swap=(
            (
                '    @app.get("/metrics")\n    async def metrics() -> fastapi.Response:\n',
                '    app.mount("/metrics", prometheus_client.make_asgi_app(registry))\n\n'
                "    async def metrics() -> fastapi.Response:\n",
            ),
        ),
    ),
    WrongAnswer(
        id="milliseconds",
        title="milliseconds under the name of seconds",
        explanation=(
            "The histogram holds a thousand times the seconds, which its name does not say, and nearly everything is in "
            "the last bucket. Prometheus' convention is plain seconds."
        ),
        caught_by=METRICS,
        swap=(("seconds.observe(clock() - started)", "seconds.observe(1000 * (clock() - started))"),),
    ),
    WrongAnswer(
        id="another-clock",
        title="time taken from the computer instead of from `clock`",
        explanation=(
            "The argument `clock` is not used, the time comes from the computer's own clock. A test brings a clock that "
            "it can turn."
        ),
        caught_by=METRICS,
        swap=(
            ("        started = clock()\n", "        started = time.perf_counter()\n"),
            ("seconds.observe(clock() - started)", "seconds.observe(time.perf_counter() - started)"),
        ),
    ),
    WrongAnswer(
        id="buckets-not-cumulative",
        title="buckets that count only what falls between two limits",
        explanation=(
            "Each bucket counts the requests between the limit before it and its own. In Prometheus' format a bucket "
            "counts everything up to its limit, so that the one of +Inf holds all."
        ),
        caught_by=METRICS,
        swap=(
            (
                "        return fastapi.Response(prometheus_client.generate_latest(registry), ",
                "        lines, before = [], 0.0\n"
                "        for line in prometheus_client.generate_latest(registry).decode().splitlines():\n"
                '            if line.startswith("search_seconds_bucket"):\n'
                '                start, _, value = line.rpartition(" ")\n'
                '                line, before = f"{start} {float(value) - before}", float(value)\n'
                "            lines.append(line)\n"
                '        return fastapi.Response("\\n".join([*lines, ""]), ',
            ),
        ),
    ),
    WrongAnswer(
        id="status-in-words",
        title="requests counted by success or error instead of by status",
        explanation=(
            "The label says whether a request went well, and not its status. Whether clients lack a key, send too much "
            "or come too often can no longer be told."
        ),
        caught_by=METRICS,
        swap=(
            (
                "answered.labels(response.status_code).inc()",
                'answered.labels("ok" if response.status_code < 400 else "error").inc()',
            ),
        ),
    ),
]

alternatives = [
    Alternative(
        id="by-hand",
        title="plain loops, everything in one endpoint, the metrics' text written by hand",
        code="""
import json
from concurrent.futures import ThreadPoolExecutor

from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route


def quantise(weight):
    if np.ndim(weight) != 2:
        raise ValueError("two axes")
    levels, scales = [], []
    for row in weight.astype("float32"):
        if not all(math.isfinite(value) for value in row):
            raise ValueError("not finite")
        scale = np.float32(max(abs(value) for value in row)) / np.float32(127)
        scale = scale if scale > 0 else np.float32(1)
        scales.append([scale])
        levels.append([max(-127, min(127, round(float(value / scale)))) for value in row])
    return np.array(levels, dtype="int8"), np.array(scales, dtype="float32")


def dequantise(levels, scale):
    return np.multiply(levels, scale, dtype=np.float32)


def prune(weights, fraction):
    if math.isnan(fraction) or fraction < 0 or fraction >= 1:
        raise ValueError(fraction)
    result = {name: weight.copy() for name, weight in weights.items()}
    places = [(abs(float(w[i, j])), name, i, j) for name, w in weights.items() for i, j in np.ndindex(w.shape)]
    places.sort(key=lambda place: place[0])
    for _, name, i, j in places[: round(len(places) * fraction)]:
        result[name][i, j] = 0
    return result


def parity(expected, got, *, tolerance=1e-3, agreement=1.0):
    bad = {"passed": False, "same_top": 0.0, "max_difference": float("inf")}
    if np.shape(expected) != np.shape(got) or np.ndim(got) != 2 or np.size(got) == 0:
        return bad
    worst, same, queries = 0.0, 0, 0
    for left, right in zip(np.asarray(expected).tolist(), np.asarray(got).tolist()):
        if not all(map(math.isfinite, left + right)):
            return bad
        worst = max([worst, *(abs(a - b) for a, b in zip(left, right))])
        same += left.index(max(left)) == right.index(max(right))
        queries += 1
    return {"max_difference": float(worst), "same_top": same / queries, "passed": worst <= tolerance and same / queries >= agreement}


BOUNDS = [0.1, 0.3125, 1.0]


class SearchHit(pydantic.BaseModel):
    name: str
    score: float


class SearchAnswer(pydantic.BaseModel):
    version: str
    results: list[SearchHit]


def create_app(search, *, decode, ready, keys, version, max_bytes, concurrent, clock=time.perf_counter):
    app = FastAPI()
    workers = ThreadPoolExecutor(concurrent)
    state = {"busy": 0, "sum": 0.0, "by_status": {}, "buckets": [0] * len(BOUNDS), "count": 0}

    async def judge(request):
        given = request.headers.get("X-API-Key", "").encode("latin-1")
        right = False
        for key in keys:
            right |= hmac.compare_digest(key.encode("ascii"), given)
        if not right:
            return JSONResponse({"error": "no"}, 401)
        try:
            k = int(request.query_params.get("k", "5"))
        except ValueError:
            k = 0
        if not 1 <= k <= 50:
            return JSONResponse({"error": "k"}, 422)
        chunks, size = [], 0
        async for chunk in request.stream():
            chunks.append(chunk)
            size += len(chunk)
            if size > max_bytes:
                return JSONResponse({"error": "too large"}, 413)
        if state["busy"] >= concurrent:
            return JSONResponse({"error": "busy"}, 429, headers={"retry-after": "3"})
        state["busy"] += 1
        loop = asyncio.get_running_loop()
        try:
            try:
                drawing = await loop.run_in_executor(workers, decode, b"".join(chunks))
            except Exception:
                return JSONResponse({"error": "no drawing"}, 422)
            try:
                found = await loop.run_in_executor(workers, search, drawing)
            except Exception:
                return JSONResponse({"error": "sorry"}, 500)
        finally:
            state["busy"] -= 1
        return JSONResponse({"results": [dict(zip(("name", "score"), pair)) for pair in found[:k]], "version": version})

    @app.post("/v1/search", response_model=SearchAnswer)
    async def endpoint(request: fastapi.Request):
        before = clock()
        response = await judge(request)
        took = clock() - before
        counts = state["by_status"]
        counts[response.status_code] = counts.get(response.status_code, 0) + 1
        state["sum"] += took
        state["count"] += 1
        for place, bound in enumerate(BOUNDS):
            state["buckets"][place] += took <= bound
        return response

    async def metrics(request):
        lines = [f'search_requests_total{{status="{status}"}} {count}' for status, count in state["by_status"].items()]
        for bound, count in [*zip(BOUNDS, state["buckets"]), ("+Inf", state["count"])]:
            lines.append(f'search_seconds_bucket{{le="{bound}"}} {count}')
        lines += [f"search_seconds_sum {state['sum']}", f"search_seconds_count {state['count']}"]
        return PlainTextResponse("\\n".join(lines) + "\\n")

    async def health(request):
        return PlainTextResponse("fine")

    async def readiness(request):
        return PlainTextResponse("", 200 if ready() else 503)

    app.router.routes += [Route("/metrics", metrics), Route("/health", health), Route("/ready", readiness)]
    return app
""",
    ),
    Alternative(
        id="dependencies-all-the-way",
        title="a router with dependencies for key, body, place and drawing, and a plain endpoint in FastAPI's threads",
        code="""
from collections.abc import AsyncIterator

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Security
from fastapi.security import APIKeyHeader
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Summary
from prometheus_client.core import HistogramMetricFamily
from starlette.concurrency import run_in_threadpool


def quantise(weight):
    if weight.ndim != 2 or not np.all(np.isfinite(weight)):
        raise ValueError("weight")
    wide = weight.astype(np.float32)
    largest = np.maximum(wide.max(axis=-1), -wide.min(axis=-1))[:, np.newaxis]
    scale = largest / np.float32(127)
    scale = np.where(scale > 0, scale, np.float32(1))
    return np.round(wide / scale).clip(-127, 127).astype(np.int8), scale


def dequantise(levels, scale):
    return np.einsum("oi,oj->oi", levels.astype(np.float32), scale)


def prune(weights, fraction):
    if not (fraction >= 0 and fraction < 1):
        raise ValueError("fraction")
    flat = np.concatenate([weight.flatten() for weight in weights.values()])
    ranks = np.lexsort((np.arange(flat.size), np.abs(flat)))
    flat[ranks[: round(fraction * flat.size)]] = 0
    ends = np.cumsum([weight.size for weight in weights.values()])[:-1]
    parts = np.split(flat, ends)
    return {name: part.reshape(weights[name].shape).copy() for name, part in zip(weights, parts)}


def parity(expected, got, *, tolerance=1e-3, agreement=1.0):
    expected, got = np.array(expected, float), np.array(got, float)
    report = {"max_difference": math.inf, "same_top": 0.0, "passed": False}
    if expected.ndim != 2 or expected.shape != got.shape or 0 in expected.shape:
        return report
    difference = np.max(abs(expected - got))
    if not math.isfinite(difference + expected.sum() + got.sum()):
        return report
    report["max_difference"] = difference.item()
    report["same_top"] = np.equal(*(np.argmax(scores, axis=-1) for scores in (expected, got))).mean().item()
    report["passed"] = bool(report["max_difference"] <= tolerance) and bool(report["same_top"] >= agreement)
    return report


class Item(pydantic.BaseModel):
    name: str
    score: float


class Results(pydantic.BaseModel):
    version: str
    results: list[Item]


class Metrics:
    # pure ASGI: the status is seen as it goes out
    def __init__(self, app, registry, clock):
        self.app, self.clock = app, clock
        self.requests = Counter("search_requests_total", "by status", ["status"], registry=registry)
        self.seconds = prometheus_client.Histogram("search_seconds", "s", buckets=(0.05, 0.5, 2), registry=registry)

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or (scope["method"], scope["path"]) != ("POST", "/v1/search"):
            return await self.app(scope, receive, send)
        started = self.clock()

        async def watch(message):
            if message["type"] == "http.response.start":
                self.requests.labels(status=str(message["status"])).inc()
                self.seconds.observe(self.clock() - started)
            await send(message)

        await self.app(scope, receive, watch)


def create_app(search, *, decode, ready, keys, version, max_bytes, concurrent, clock=time.perf_counter):
    router, header, registry = APIRouter(), APIKeyHeader(name="X-API-Key", auto_error=False), CollectorRegistry()
    allowed = [key.encode() for key in keys]
    at_work = set()

    async def client(key: str | None = Security(header)):
        if not any([hmac.compare_digest(one, (key or "").encode("utf-8")) for one in allowed]):
            raise HTTPException(status_code=401)

    async def number(_: None = Depends(client), k: int = Query(default=5, ge=1, le=50)) -> int:
        return k

    async def received(request: Request, _: int = Depends(number)) -> bytes:
        body = bytearray()
        async for part in request.stream():
            body.extend(part)
            if len(body) > max_bytes:
                raise HTTPException(status_code=413)
        return bytes(body)

    async def place(body: bytes = Depends(received)) -> AsyncIterator[None]:
        if len(at_work) == concurrent:
            raise HTTPException(status_code=429, headers={"Retry-After": "10"})
        token = object()
        at_work.add(token)
        try:
            yield
        finally:
            at_work.discard(token)

    async def drawn(_: None = Depends(place), body: bytes = Depends(received)):
        try:
            return [await run_in_threadpool(decode, body)]
        except Exception as error:
            raise HTTPException(status_code=422) from error

    @router.post("/v1/search")
    def find(k: int = Depends(number), drawing: list = Depends(drawn)) -> Results:
        try:
            ranked = search(*drawing)
        except Exception as error:
            raise HTTPException(status_code=500) from error
        return Results(version=version, results=[{"name": n, "score": s} for n, s in ranked][:k])

    @router.get("/health")
    def health():
        return True

    @router.get("/ready")
    def readiness(response: fastapi.Response):
        response.status_code = 200 if ready() else 503

    @router.get("/metrics")
    def metrics():
        return fastapi.Response(prometheus_client.generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = FastAPI()
    app.include_router(router)
    app.add_middleware(Metrics, registry=registry, clock=clock)
    return app
""",
    ),
    Alternative(
        id="exceptions-with-handlers",
        title="own exceptions with one handler, counts in a collector, AnyIO's limiter for the places",
        code="""
import anyio
import anyio.to_thread
from anyio import CapacityLimiter, WouldBlock
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily


def quantise(weight):
    if weight.ndim != 2 or np.isnan(weight).any() or np.isinf(weight).any():
        raise ValueError("a finite matrix is needed")
    wide = np.float32(weight)
    scale = np.linalg.norm(wide, ord=np.inf, axis=1, keepdims=True) / np.float32(127)
    scale += scale == 0
    levels = np.zeros(wide.shape, dtype=np.int8)
    quotients = np.around(np.divide(wide, scale))
    levels[:] = np.minimum(np.maximum(quotients, -127), 127)
    return levels, scale


def prune(weights, fraction):
    if not 0.0 <= fraction < 1.0:
        raise ValueError("fraction")
    total = sum(weight.size for weight in weights.values())
    number = round(fraction * total)
    result = {name: np.array(weight, order="C") for name, weight in weights.items()}
    if number:
        sizes = np.sort(np.concatenate([np.abs(weight).flatten() for weight in weights.values()]))
        threshold = sizes[number - 1]
        ties = number - int((sizes < threshold).sum())  # that many of those at the threshold go, the first ones
        for weight in result.values():
            magnitude = np.abs(weight)
            equal = np.flatnonzero(magnitude == threshold)[:ties]
            ties -= len(equal)
            weight[magnitude < threshold] = 0
            weight.reshape(-1)[equal] = 0
    return result


class Refusal(Exception):
    def __init__(self, status, **headers):
        self.status, self.headers = status, headers


class Entry(pydantic.BaseModel):
    name: str
    score: float


class Ranking(pydantic.BaseModel):
    version: str
    results: list[Entry]


class Tally:
    # a collector of its own: what happened, made into metrics when asked
    limits = (0.001, 0.25, 0.5, 1.0, 10.0)

    def __init__(self):
        self.times = []

    def collect(self):
        family = CounterMetricFamily("search_requests", "requests", labels=["status"])
        for status in {status for status, _ in self.times}:
            family.add_metric([str(status)], sum(found == status for found, _ in self.times))
        yield family
        values = [took for _, took in self.times]
        buckets = [(str(limit), sum(took <= limit for took in values)) for limit in self.limits]
        buckets.append(("+Inf", len(values)))
        yield HistogramMetricFamily("search_seconds", "seconds", buckets=buckets, sum_value=sum(values))


def create_app(search, *, decode, ready, keys, version, max_bytes, concurrent, clock=time.perf_counter):
    app = FastAPI(docs_url=None)
    tally, registry = Tally(), prometheus_client.CollectorRegistry()
    registry.register(tally)
    limiter = CapacityLimiter(concurrent)

    @app.exception_handler(Refusal)
    async def refuse(request, refusal):
        content = {"problem": refusal.status}
        return fastapi.responses.JSONResponse(content, status_code=refusal.status, headers=refusal.headers)

    @app.middleware("http")
    async def timed(request, call_next):
        if request.url.path != "/v1/search" or request.method != "POST":
            return await call_next(request)
        before = clock()
        response = await call_next(request)
        tally.times.append((response.status_code, clock() - before))
        return response

    def keep_to_the_rules(request):
        given = request.headers.get("x-api-key")
        if given is None or not sum(hmac.compare_digest(given.encode(), key.encode()) for key in keys):
            raise Refusal(401)
        k = request.query_params.get("k", "5")
        if not (k.isascii() and k.isdigit() and len(k) < 5 and 1 <= int(k) <= 50):
            raise Refusal(422)
        return int(k)

    def work(body):
        try:
            drawing = decode(body)
        except Exception:
            raise Refusal(422) from None
        try:
            return list(search(drawing))
        except Exception:
            raise Refusal(500) from None

    @app.post("/v1/search", response_model=Ranking)
    async def ranking(request: fastapi.Request):
        k = keep_to_the_rules(request)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > max_bytes:
                raise Refusal(413)
        token = object()
        try:
            limiter.acquire_on_behalf_of_nowait(token)
        except WouldBlock:
            raise Refusal(429, **{"Retry-After": "2"}) from None
        try:
            found = await anyio.to_thread.run_sync(work, body)
        finally:
            limiter.release_on_behalf_of(token)
        return {"version": version, "results": [{"name": name, "score": score} for name, score in found[:k]]}

    @app.get("/health", status_code=200)
    async def alive():
        return {}

    @app.get("/ready")
    async def is_ready():
        if ready():
            return {"ready": True}
        raise Refusal(503)

    @app.get("/metrics", response_class=fastapi.responses.PlainTextResponse)
    async def metrics():
        return prometheus_client.generate_latest(registry).decode()

    return app
""",
    ),
]

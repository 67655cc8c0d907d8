"""Wrong answers and differently written correct solutions of metrics/visual_question_answering."""

from grader.catalogue import Alternative, WrongAnswer

WORDS = "test_whole_words_are_looked_up"
PUNCTUATION = "test_punctuation_becomes_a_space_with_two_exceptions"
SCORES = "test_scores_average_over_leaving_one_annotator_out"
BOTH = "test_predictions_and_answers_are_both_normalised"
LAWS = "test_laws_of_normalisation_and_score"
BAD_INPUT = "test_bad_input_is_refused"
CLAIMS = "test_claims"

SCORE = "np.mean([min((sum(matches) - left_out) / 3, 1) for left_out in matches])"
MATCHES = "matches = [normalize_answer(answer) == normalize_answer(prediction) for answer in given]"
SPLIT = '"".join(characters).split()'
APPENDED = 'characters.append(" " if replaced else character)'

wrong_answers = [
    # The published answer has no code: it names three fields and says that models understand and generate all data.
    WrongAnswer(
        id="claims-as-published",
        title="the claims as the published answer has them",
        explanation=(
            "Some claims follow statements that are in print and wrong. Ask of each field whether its usual tasks need "
            "a second modality at all, and of a vision-language model you know what it returns."
        ),
        caught_by=CLAIMS,
        swap=(
            ("fields_are_tasks=False", "fields_are_tasks=True"),
            ("generates_everything=False", "generates_everything=True"),
        ),
    ),
    WrongAnswer(
        id="metrics-overrated",
        title="the claims credit a metric with more than it measures",
        explanation=(
            "Two claims take a metric for what one would like it to be. Work out the score of three matches of ten with "
            "each annotator left out once, and ask which inputs FID gets."
        ),
        caught_by=CLAIMS,
        swap=(("three_of_ten=False", "three_of_ten=True"), ("fid_sees_the_prompt=False", "fid_sees_the_prompt=True")),
    ),
    # ------------------------------------------------------------------------------------------- score
    WrongAnswer(
        id="majority-answer",
        title="exact match with the most frequent answer",
        explanation=(
            "Only the most frequent human answer counts, all or nothing. Where people disagree, several answers are "
            "acceptable, and some more than others: how many people gave the model's answer?"
        ),
        caught_by=SCORES,
        swap=(
            (
                f"scores.append({SCORE})",
                "normalised = [normalize_answer(answer) for answer in given]\n"
                "        top = max(normalised, key=normalised.count)\n"
                "        scores.append(float(normalize_answer(prediction) == top))",
            ),
        ),
    ),
    WrongAnswer(
        id="all-annotators-at-once",
        title="min(matches / 3, 1) over all annotators, nobody left out",
        explanation=(
            "This is the formula in the abstract of many descriptions: three matches of ten give 1. Averaged over "
            "leave-one-out subsets they give 0.9, because in three of the ten subsets only two matches are left."
        ),
        caught_by=SCORES,
        swap=((SCORE, "min(sum(matches) / 3, 1)"),),
    ),
    WrongAnswer(
        id="share-of-annotators",
        title="the share of annotators who gave the answer",
        explanation=(
            "The score is the fraction of matches, so an answer that half of the people gave gets 0.5, and no answer "
            "to an open question gets 1. Three other people are enough for full marks: where does the 3 come in?"
        ),
        caught_by=SCORES,
        swap=((SCORE, "np.mean(matches)"),),
    ),
    WrongAnswer(
        id="ten-annotators-assumed",
        title="0.3 for each match, up to 1, whatever the number of annotators",
        explanation=(
            "With ten annotators the average over leave-one-out subsets is min(0.3 · matches, 1), and you use that for "
            "any number. With four or twelve annotators it is another number: average over those who are there."
        ),
        caught_by=SCORES,
        swap=((SCORE, "min(0.3 * sum(matches), 1)"),),
    ),
    WrongAnswer(
        id="not-cut-at-one",
        title="matches divided by 3 without the limit of 1",
        explanation=(
            "With many matches the score exceeds 1, so an easy question outweighs others in the mean. Three matches "
            "among the others are full marks, more are not better."
        ),
        caught_by=SCORES,
        swap=((SCORE, "np.mean([(sum(matches) - left_out) / 3 for left_out in matches])"),),
    ),
    WrongAnswer(
        id="first-annotator-counts",
        title="only the first annotator ever left out",
        explanation=(
            "One subset is scored, that without the first annotator, so the score depends on the order of the answers. "
            "Each annotator is left out once, and the scores are averaged."
        ),
        caught_by=LAWS,
        swap=((SCORE, "min(sum(matches[1:]) / 3, 1)"),),
    ),
    WrongAnswer(
        id="nothing-normalised",
        title="raw strings compared",
        explanation=(
            "'Two.' and '2' count as different answers, so the score measures spelling. Predictions and answers should "
            "go through the normalisation before they are compared."
        ),
        caught_by=BOTH,
        swap=((MATCHES, "matches = [answer == prediction for answer in given]"),),
    ),
    WrongAnswer(
        id="only-predictions-normalised",
        title="predictions normalised, human answers not",
        explanation=(
            "The prediction is brought into the normal form and then compared with answers as people typed them. "
            "Whoever wrote 'A red bus' never matches any more. Normalise both sides."
        ),
        caught_by=BOTH,
        swap=((MATCHES, "matches = [answer == normalize_answer(prediction) for answer in given]"),),
    ),
    # ------------------------------------------------------------------------------------------- normalisation
    WrongAnswer(
        id="articles-cut-out-of-words",
        title="articles cut out of longer words",
        explanation=(
            "Articles are removed as pieces of text, so 'theatre' becomes 'atre' and 'banana' loses its vowels. Split "
            "into words first and compare whole words."
        ),
        caught_by=WORDS,
        swap=((SPLIT, '"".join(characters).replace("the", "").replace("an", "").split()'),),
    ),
    WrongAnswer(
        id="numbers-inside-words",
        title="number words replaced inside longer words",
        explanation=(
            "Number words are replaced as pieces of text, so 'often' becomes 'of10' and 'someone' 'some1'. Look up "
            "whole words after splitting."
        ),
        caught_by=WORDS,
        swap=(
            (
                "words = [digits.get(word, word) for word in " + SPLIT + "]",
                'text = "".join(characters)\n'
                "    for word, digit in digits.items():\n"
                "        text = text.replace(word, digit)\n"
                "    words = text.split()",
            ),
        ),
    ),
    WrongAnswer(
        id="split-at-single-spaces",
        title="split at every single space",
        explanation=(
            "split(' ') makes an empty word wherever two spaces meet and does not split at tabs or line ends, so spaces "
            "pile up in the result where punctuation was. What does split do without an argument?"
        ),
        caught_by=WORDS,
        swap=((SPLIT, '"".join(characters).split(" ")'),),
    ),
    WrongAnswer(
        id="articles-kept",
        title="articles kept",
        explanation=(
            "'the bus' and 'bus' are different answers for you. Annotators use articles as they like; the rules drop "
            "three words."
        ),
        caught_by=WORDS,
        swap=(('return " ".join(word for word in words if word not in ARTICLES)', 'return " ".join(words)'),),
    ),
    WrongAnswer(
        id="number-words-kept",
        title="number words kept as words",
        explanation=(
            "'two' and '2' are different answers for you, although counting questions are among the most frequent. The "
            "rules turn eleven words into digits."
        ),
        caught_by=WORDS,
        swap=(("[digits.get(word, word) for word in", "[word for word in"),),
    ),
    WrongAnswer(
        id="decimal-point-lost",
        title="the decimal point dropped, so that 1.5 becomes 15",
        explanation=(
            "A point between two digits is removed, and 1.5 becomes 15, which is another number and may match. It is "
            "one of the two exceptions: it stays."
        ),
        caught_by=PUNCTUATION,
        swap=((APPENDED, 'characters.append("" if decimal_point else " " if replaced else character)'),),
    ),
    WrongAnswer(
        id="punctuation-deleted",
        title="punctuation deleted instead of replaced by a space",
        explanation=(
            "'black/white' becomes one word, and '3,000' and '3000' the same. Punctuation often stands where a space "
            "could, so a space takes its place; splitting removes those that are too many."
        ),
        caught_by=PUNCTUATION,
        swap=((APPENDED, 'characters.append("" if replaced else character)'),),
    ),
    WrongAnswer(
        id="apostrophe-replaced",
        title="apostrophes inside words replaced by a space",
        explanation=(
            "'don't' becomes 'don t', and in another language an article goes with it. An apostrophe between two letters "
            "is the second exception."
        ),
        caught_by=PUNCTUATION,
        swap=(
            (
                "replaced = character in string.punctuation and not decimal_point and not apostrophe",
                "replaced = character in string.punctuation and not decimal_point",
            ),
        ),
    ),
    WrongAnswer(
        id="apostrophes-all-kept",
        title="every apostrophe kept",
        explanation=(
            'Quotation marks around a word and the apostrophe after a plural stay, so "\'cat\'" and "cat" differ. An '
            "apostrophe is kept only inside a word: what must be on both sides of it?"
        ),
        caught_by=PUNCTUATION,
        swap=((" and before.isalpha() and after.isalpha()", ""),),
    ),
    WrongAnswer(
        id="letters-and-digits-kept",
        title="all but letters and digits replaced, as a regular expression sees them",
        explanation=(
            "\\w counts the underscore among the letters, so it stays, and [^\\w\\s] takes away signs that are not in "
            "string.punctuation, such as the typographic apostrophe. The rules name the set of characters to replace."
        ),
        caught_by=PUNCTUATION,
        swap=(
            (
                "replaced = character in string.punctuation and",
                'replaced = not (character.isalnum() or character.isspace() or character == "_") and',
            ),
        ),
    ),
    WrongAnswer(
        id="words-before-punctuation",
        title="articles and numbers looked up before the punctuation is gone",
        explanation=(
            "With its comma or full stop still on it, 'two.' is not the word 'two', and 'A-team' hides an article. The "
            "rules have an order: punctuation first, then words."
        ),
        caught_by=PUNCTUATION,
        swap=(
            (
                "text = s.lower()",
                "digits = {word: str(number) for number, word in enumerate(NUMBERS)}\n"
                "    words = [digits.get(word, word) for word in s.lower().split() if word not in ARTICLES]\n"
                '    text = " ".join(words)',
            ),
            ("words = [digits.get(word, word) for word in " + SPLIT + "]", "words = " + SPLIT),
            ('return " ".join(word for word in words if word not in ARTICLES)', 'return " ".join(words)'),
        ),
    ),
    WrongAnswer(
        id="words-by-regular-expression",
        title="articles and numbers replaced at the word boundaries of a regular expression",
        explanation=(
            'For \\b a word also ends at an apostrophe or at a point, so "one\'s" becomes "1\'s". Here a word is what '
            "stands between spaces: split, and look up whole words."
        ),
        caught_by=PUNCTUATION,
        swap=(
            (
                "words = [digits.get(word, word) for word in " + SPLIT + "]",
                "import re\n\n"
                '    text = "".join(characters)\n'
                "    for word, digit in digits.items():\n"
                '        text = re.sub(rf"\\b{word}\\b", digit, text)\n'
                '    words = re.sub(r"\\b(a|an|the)\\b", " ", text).split()',
            ),
            ('return " ".join(word for word in words if word not in ARTICLES)', 'return " ".join(words)'),
        ),
    ),
    WrongAnswer(
        id="points-kept",
        title="a full stop after a number kept",
        explanation=(
            "A point after a digit stays even at the end of a sentence, so '5.' and '5' differ. A decimal point has a "
            "digit on both sides."
        ),
        caught_by=PUNCTUATION,
        swap=((" and before.isdigit() and after.isdigit()", " and before.isdigit()"),),
    ),
    WrongAnswer(
        id="pairs-of-digits-consumed",
        title="every second point lost in numbers such as 1.2.3",
        explanation=(
            "The search for digit, point, digit uses up the second digit, which is then missing as the first digit of "
            "the next point. Look at the neighbours without using them up (in a regular expression: with a lookahead)."
        ),
        caught_by=PUNCTUATION,
        swap=(
            ("text = s.lower()", 'import re\n\n    text = re.sub(r"(\\d)\\.(\\d)", "\\\\1\\0\\\\2", s.lower())'),
            ('decimal_point = character == "." and before.isdigit() and after.isdigit()', "decimal_point = False"),
            (SPLIT, '"".join(characters).replace("\\0", ".").split()'),
        ),
    ),
    # ------------------------------------------------------------------------------------------- bad input
    WrongAnswer(
        id="lengths-not-compared",
        title="surplus questions or predictions dropped without a word",
        explanation=(
            "zip stops at the shorter list, so a run that lost its last batch is scored as if nothing had happened. "
            "Compare the lengths first."
        ),
        caught_by=BAD_INPUT,
        swap=(("zip(predictions, answers, strict=True)", "zip(predictions, answers, strict=False)"),),
    ),
    WrongAnswer(
        id="single-annotator-accepted",
        title="a single annotator accepted",
        explanation=(
            "With one annotator nobody is left to compare with, so every answer scores 0, also the right one. The rules "
            "ask for two."
        ),
        caught_by=BAD_INPUT,
        swap=(("if len(given) < 2:", "if len(given) < 1:"),),
    ),
]

alternatives = [
    Alternative(
        id="regular-expressions",
        title="regular expressions with lookarounds, and the closed form of the average",
        code=r"""
def normalize_answer(s):
    import re

    kept = re.sub(r"(?<=\d)\.(?=\d)", "\0", s.lower())
    kept = re.sub(r"(?<=[^\W\d_])'(?=[^\W\d_])", "\1", kept)
    kept = re.sub("[" + re.escape(string.punctuation) + "]", " ", kept)
    kept = kept.replace("\0", ".").replace("\1", "'")
    words = []
    for word in kept.split():
        if word in NUMBERS:
            word = str(NUMBERS.index(word))
        if word not in {"a", "an", "the"}:
            words.append(word)
    return " ".join(words)


def vqa_accuracy(predictions, answers):
    if len(answers) != len(predictions):
        raise ValueError("lengths")
    scores = []
    for prediction, given in zip(predictions, answers):
        n = len(given)
        if n <= 1:
            raise ValueError("annotators")
        wanted = normalize_answer(prediction)
        m = [normalize_answer(answer) for answer in given].count(wanted)
        scores.append(((n - m) * min(m / 3, 1) + m * min(max(m - 1, 0) / 3, 1)) / n)
    return np.array(scores, dtype=np.float64)
""",
    ),
    Alternative(
        id="translation-table",
        title="a translation table for punctuation, explicit subsets by itertools.combinations",
        code="""
def normalize_answer(s):
    s = " " + s.lower() + " "
    keep = {
        i
        for i in range(1, len(s) - 1)
        if (s[i] == "." and s[i - 1].isdigit() and s[i + 1].isdigit())
        or (s[i] == "'" and s[i - 1].isalpha() and s[i + 1].isalpha())
    }
    table = str.maketrans({character: " " for character in string.punctuation})
    text = "".join(character if i in keep else character.translate(table) for i, character in enumerate(s))
    digits = dict(zip(NUMBERS, map(str, range(11))))
    return " ".join(digits[w] if w in digits else w for w in text.split() if w not in ARTICLES)


def vqa_accuracy(predictions, answers):
    from itertools import combinations

    if len(predictions) != len(answers) or any(len(given) < 2 for given in answers):
        raise ValueError("bad input")
    result = np.empty(len(predictions))
    for i in range(len(predictions)):
        target = normalize_answer(predictions[i])
        normalised = [normalize_answer(answer) for answer in answers[i]]
        subsets = list(combinations(normalised, len(normalised) - 1))
        result[i] = sum(min(subset.count(target), 3) for subset in subsets) / (3 * len(subsets))
    return result
""",
    ),
    Alternative(
        id="arrays-of-matches",
        title="a boolean array of matches for each question, a character loop with a padded string",
        code="""
def normalize_answer(s):
    text, out = s.lower(), ""
    for position in range(len(text)):
        c = text[position]
        if c in string.punctuation:
            inside = 0 < position < len(text) - 1
            left = text[position - 1] if inside else " "
            right = text[position + 1] if inside else " "
            if not ((c == "." and (left + right).isdigit()) or (c == "'" and (left + right).isalpha())):
                c = " "
        out += c
    normal = []
    for word in out.split():
        if word in ARTICLES:
            continue
        normal.append(str(NUMBERS.index(word)) if word in NUMBERS else word)
    return " ".join(normal)


def vqa_accuracy(predictions, answers):
    if len(predictions) - len(answers):
        raise ValueError("lengths")

    def score(prediction, given):
        if len(given) in (0, 1):
            raise ValueError("annotators")
        match = np.array([normalize_answer(answer) == normalize_answer(prediction) for answer in given])
        others = match.sum() - match  # (annotators,)
        return np.clip(others / 3, 0, 1).mean()

    return np.array(list(map(score, predictions, answers)), dtype=np.float64)
""",
    ),
]

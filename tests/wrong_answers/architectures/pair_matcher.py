"""Wrong and differently written answers to architectures/pair_matcher.

Every line under "Reject" of E-T3 has an entry. The published code does not run (there is no
`CLIPForSequenceClassification`); "image-only" is what its nearest relative computes, "loss-none" what a plain
`CLIPModel` does with labels.
"""

from grader.catalogue import Alternative, WrongAnswer

EMBEDDINGS = "text, image = outputs.text_embeds, outputs.image_embeds  # both (batch, width)"
BLOCKS = "features = torch.cat([text, image, (text - image).abs(), text * image], dim=1)"
HEAD = "self.head = nn.Linear(4 * clip.config.projection_dim, num_labels)"
LOSS = "loss = None if labels is None else F.cross_entropy(logits, labels)"
SHAPE = """            if labels.shape != (batch,):
                raise ValueError(f"labels must have the shape {(batch,)}, not {tuple(labels.shape)}")
"""

wrong_answers = [
    WrongAnswer(
        id="image-only",
        title="a classifier of images alone",
        explanation=(
            "Exchange the caption of a pair, and your logits stay the same. That is what the ready-made image "
            "classifier of CLIP does: it has no text tower. Which embeddings do your features come from?"
        ),
        caught_by="test_the_match_matters_and_not_text_and_image_alone",
        swap=((EMBEDDINGS, "text = image = outputs.image_embeds  # (batch, width)"),),
    ),
    WrongAnswer(
        id="loss-none",
        title="labels accepted and no loss returned",
        explanation=(
            "With labels your loss is still None, as it is with a plain `CLIPModel`, which swallows them. A training "
            "loop then fails at `loss.backward()`. The labels have to be compared with your logits."
        ),
        caught_by="test_the_loss_is_the_mean_cross_entropy",
        swap=((LOSS, "loss = None"),),
    ),
    WrongAnswer(
        id="concatenation-only",
        title="a linear head on the two embeddings side by side",
        explanation=(
            "Your logits are a score of the text plus a score of the image: if caption A with photo 1 and caption B "
            "with photo 2 both rank high, then so does one of the crossed pairs. No training changes that. The head "
            "needs features that are computed from both embeddings."
        ),
        caught_by="test_the_match_matters_and_not_text_and_image_alone",
        swap=((BLOCKS, "features = torch.cat([text, image], dim=1)"), (HEAD, HEAD.replace("4 *", "2 *"))),
    ),
    WrongAnswer(
        id="similarity-matrix",
        title="CLIP's similarities within the batch used as class logits",
        explanation=(
            "`logits_per_image` compares every image with every text of the batch; its columns are texts, not classes. "
            "Your answer for a pair therefore depends on what else is in the batch, and has another shape for another "
            "batch size."
        ),
        caught_by="test_every_pair_is_judged_by_itself",
        swap=(
            (
                "logits = self.head(self.dropout(features))",
                "logits = outputs.logits_per_image[:, : self.head.out_features]",
            ),
        ),
    ),
    WrongAnswer(
        id="not-normalised",
        title="projected embeddings used without normalisation",
        explanation=(
            "Your embeddings still have the lengths that the projection gave them, about 2 to 4 in a new model. "
            "`get_text_features` and `get_image_features` project but do not normalise. Difference and product then "
            "mix how similar the two are with how long they are."
        ),
        caught_by="test_logits_are_those_of_the_four_blocks",
        swap=(
            (
                EMBEDDINGS,
                "text = self.clip.get_text_features(input_ids=input_ids, attention_mask=attention_mask).pooler_output\n"
                "        image = self.clip.get_image_features(pixel_values=pixel_values).pooler_output",
            ),
        ),
    ),
    WrongAnswer(
        id="signed-difference",
        title="the difference without its absolute value",
        explanation=(
            "u − v is a linear function of blocks the head has already, so it adds nothing. What tells how far apart the "
            "two are does not depend on which of them is larger."
        ),
        caught_by="test_logits_are_those_of_the_four_blocks",
        swap=(("(text - image).abs()", "text - image"),),
    ),
    WrongAnswer(
        id="mask-not-passed-on",
        title="the attention mask not handed to the text tower",
        explanation=(
            "Tokens that the mask hides still change your logits. With padding on the right this stays unnoticed, since "
            "CLIP's text tower looks only backwards; with any other mask it does not. Which of your inputs is never used?"
        ),
        caught_by="test_logits_are_those_of_the_four_blocks",
        swap=(
            (
                "        outputs = self.clip(input_ids=input_ids, attention_mask=attention_mask,",
                "        outputs = self.clip(input_ids=input_ids,",
            ),
        ),
    ),
    WrongAnswer(
        id="detached",
        title="embeddings detached from the towers",
        explanation=(
            "Only the head gets a gradient, so that neither tower can be fine-tuned, whatever the optimiser is given. "
            "Look for `detach` or `no_grad` between CLIP and the head."
        ),
        caught_by="test_gradients_reach_the_head_and_both_towers",
        swap=((EMBEDDINGS, "text, image = outputs.text_embeds.detach(), outputs.image_embeds.detach()"),),
    ),
    WrongAnswer(
        id="softmax-twice",
        title="the cross-entropy of probabilities",
        explanation=(
            "`F.cross_entropy` takes logits and applies the softmax itself. Given probabilities it applies a second "
            "one: the loss cannot come near 0 any more, and the gradients fade."
        ),
        caught_by="test_the_loss_is_the_mean_cross_entropy",
        swap=((LOSS, LOSS.replace("(logits, labels)", "(logits.softmax(dim=1), labels)")),),
    ),
    WrongAnswer(
        id="labels-reshaped",
        title="labels of another shape flattened",
        explanation=(
            "Labels of shape (batch, 1) pass, because they are flattened or broadcast. A data set that delivers a "
            "leading axis too many has a fault that shows up elsewhere; the contract asks for a ValueError."
        ),
        caught_by="test_batches_and_labels_that_do_not_fit_are_refused",
        swap=((SHAPE, "            labels = labels.reshape(-1).expand(batch)\n"),),
    ),
    WrongAnswer(
        id="ignored-label",
        title="the label -100 skipped",
        explanation=(
            "`F.cross_entropy` leaves out targets of -100. That is made for padding in language models; here it would "
            "quietly drop pairs, and a batch of such labels gives NaN. Only classes are labels."
        ),
        caught_by="test_batches_and_labels_that_do_not_fit_are_refused",
        swap=(("((labels < 0) |", "((labels < 0) & (labels != -100) |"),),
    ),
    WrongAnswer(
        id="one-image-for-all",
        title="a single image stretched over all texts",
        explanation=(
            "Three texts and one image give three answers: broadcasting pairs the image with all of them. A forgotten "
            "batch dimension stays hidden that way. Compare the batch sizes first."
        ),
        caught_by="test_batches_and_labels_that_do_not_fit_are_refused",
        swap=(
            (" or len(pixel_values) != batch:", " or len(pixel_values) not in (1, batch):"),
            (EMBEDDINGS, "text, image = outputs.text_embeds, outputs.image_embeds.expand_as(outputs.text_embeds)"),
        ),
    ),
    WrongAnswer(
        id="dropout-at-inference",
        title="features dropped in evaluation mode too",
        explanation=(
            "Two calls in evaluation mode give different logits. Dropout written as a function has to be told the mode "
            "of the module; written as a module it knows."
        ),
        caught_by="test_dropout_acts_on_the_features_in_training_only",
        swap=(("self.dropout(features)", "F.dropout(features, self.dropout.p)"),),
    ),
    WrongAnswer(
        id="encoder-copied",
        title="a copy of the encoder trained instead of the encoder",
        explanation=(
            "Your module owns a second model. What is trained is the copy, and whoever saves or evaluates the model that "
            "was handed in gets the old weights. Keep the object itself."
        ),
        caught_by="test_the_module_holds_the_encoder_and_one_head",
        swap=(
            (
                "self.clip = clip\n",
                "self.clip = CLIPModel(clip.config)\n        self.clip.load_state_dict(clip.state_dict())\n",
            ),
        ),
    ),
]

alternatives = [
    Alternative(
        id="features-methods",
        title="CLIP's feature methods, F.normalize and a loss of its own",
        code="""
class PairClassifier(nn.Module):
    def __init__(self, clip, num_labels=2, dropout=0.0):
        super().__init__()
        if num_labels <= 1:
            raise ValueError("num_labels")
        self.num_labels, self.p = num_labels, dropout
        self.clip = clip
        self.head = nn.Linear(clip.text_projection.out_features * 4, num_labels)

    def forward(self, input_ids, attention_mask, pixel_values, labels=None):
        sizes = {input_ids.shape[0], attention_mask.shape[0], pixel_values.shape[0]}
        if len(sizes) > 1:
            raise ValueError("batch sizes")
        u = F.normalize(self.clip.get_text_features(input_ids, attention_mask=attention_mask).pooler_output, dim=-1)
        v = F.normalize(self.clip.get_image_features(pixel_values).pooler_output, dim=-1)
        blocks = torch.stack([u, v, torch.abs(u - v), torch.mul(u, v)], dim=1)
        logits = self.head(F.dropout(blocks.flatten(1), self.p, training=self.training))
        if labels is None:
            return dict(loss=None, logits=logits)
        if labels.dtype not in (torch.int64, torch.int32):
            raise ValueError("dtype of the labels")
        if labels.dim() != 1 or len(labels) != len(logits):
            raise ValueError("shape of the labels")
        if labels.min() < 0 or labels.max() > self.num_labels - 1:
            raise ValueError("range of the labels")
        log_probabilities = logits.log_softmax(dim=-1)
        loss = -log_probabilities.gather(1, labels[:, None].long()).mean()
        return dict(logits=logits, loss=loss)
""",
    ),
    Alternative(
        id="towers",
        title="both towers called by hand, pair by pair",
        code="""
class PairClassifier(nn.Module):
    def __init__(self, clip, num_labels=2, dropout=0.0):
        if num_labels < 2:
            raise ValueError("num_labels")
        super().__init__()
        self.head = nn.Linear(sum([clip.config.projection_dim] * 4), num_labels)
        self.drop = nn.Dropout(p=dropout)
        self.clip = clip

    def embed(self, input_ids, attention_mask, pixel_values):
        text = self.clip.text_projection(self.clip.text_model(input_ids, attention_mask).pooler_output)
        image = self.clip.visual_projection(self.clip.vision_model(pixel_values).pooler_output)
        return text / text.norm(dim=-1, keepdim=True), image / image.norm(dim=-1, keepdim=True)

    def forward(self, input_ids, attention_mask, pixel_values, labels=None):
        for other in (attention_mask, pixel_values) + (() if labels is None else (labels,)):
            if other.ndim == 0 or other.shape[0] != input_ids.shape[0]:
                raise ValueError("batch")
        rows = []
        for ids, mask, pixels in zip(input_ids, attention_mask, pixel_values):
            u, v = self.embed(ids[None], mask[None], pixels[None])
            rows.append(torch.hstack([u, v, torch.maximum(u - v, v - u), u * v]))
        logits = self.head(self.drop(torch.vstack(rows)))
        loss = None
        if labels is not None:
            if labels.ndim != 1:
                raise ValueError("labels")
            classes = range(len(self.head.bias))
            if labels.dtype.is_floating_point:
                raise TypeError("labels")
            if any(label not in classes for label in labels.tolist()):
                raise ValueError("labels")
            loss = nn.CrossEntropyLoss()(logits, labels)
        return {"logits": logits, "loss": loss}
""",
    ),
    Alternative(
        id="parts-of-the-head",
        title="features in a method, checks in another",
        code="""
class PairClassifier(nn.Module):
    def __init__(self, clip, num_labels=2, dropout=0.0):
        super().__init__()
        if not num_labels >= 2:
            raise ValueError(num_labels)
        self.clip, self.dropout = clip, torch.nn.Dropout(dropout)
        self.head = torch.nn.Linear(clip.visual_projection.weight.shape[0] * 4, num_labels, bias=True)

    def features(self, outputs):
        u, v = outputs["text_embeds"], outputs["image_embeds"]
        features = u.new_empty(len(u), 4, u.shape[1])
        features[:, 0], features[:, 1] = u, v
        features[:, 2], features[:, 3] = (u - v).pow(2).sqrt() if not u.requires_grad else (u - v).abs(), u * v
        return features.reshape(len(u), -1)

    def refuse(self, labels, batch):
        if labels.dtype != torch.int64:
            raise TypeError("labels")
        if list(labels.shape) != [batch]:
            raise ValueError("labels")
        if not torch.isin(labels, torch.arange(self.head.out_features)).all():
            raise ValueError("labels")

    def forward(self, input_ids, attention_mask, pixel_values, labels=None):
        batch = input_ids.size(0)
        if [attention_mask.size(0), pixel_values.size(0)] != [batch, batch]:
            raise ValueError("batch")
        result = {"loss": None}
        if labels is not None:
            self.refuse(labels, batch)
        encoded = self.clip(input_ids, pixel_values, attention_mask)
        result["logits"] = self.head(self.dropout(self.features(encoded)))
        if labels is not None:
            picked = result["logits"][torch.arange(batch), labels]
            result["loss"] = (result["logits"].logsumexp(dim=1) - picked).mean()
        return result
""",
    ),
]

"""Hands in all six exercises, all of them right, with written answers of their own."""

from notebook_maker import Notebook


def hand_in(student: str) -> list[Notebook]:
    return [
        scaled_dot_product(student),
        cross_attention(student),
        classification(student),
        exponential_decay(student),
        shapley_values(student),
        early_stopping(student),
    ]


def scaled_dot_product(student: str) -> Notebook:
    notebook = Notebook(student, "attention/scaled_dot_product")
    notebook.write(
        "scaled_dot_product_attention",
        """
        width = key.shape[-1]
        if query.shape[-1] != width:
            raise ValueError(f"query width {query.shape[-1]} is not key width {width}")
        if value.shape[-2] != key.shape[-2]:
            raise ValueError("every key needs one value")

        factor = width**-0.5 if scale is None else scale
        scores = torch.matmul(query, key.transpose(-1, -2)) * factor  # (..., queries, keys)

        # True = this key is out of reach for this query
        blocked = torch.zeros_like(scores, dtype=torch.bool)
        if causal:
            blocked = torch.ones_like(blocked).triu(diagonal=1)
        if mask is not None:
            if mask.dtype != torch.bool:
                raise TypeError("mask must be boolean")
            try:
                blocked = blocked | ~torch.broadcast_to(mask, scores.shape)
            except RuntimeError:
                raise ValueError(f"mask of shape {tuple(mask.shape)} does not fit {tuple(scores.shape)}") from None

        # a row that is blocked as a whole comes out of the softmax as NaN; the second masked_fill makes it 0
        weights = scores.masked_fill(blocked, float("-inf")).softmax(dim=-1).masked_fill(blocked, 0.0)
        return weights @ value, weights
        """,
    )
    notebook.scratch(
        "visible-checks",
        """
        %matplotlib inline
        import matplotlib.pyplot as plt

        torch.manual_seed(0)
        out, w = scaled_dot_product_attention(torch.randn(5, 8), torch.randn(7, 8), torch.randn(7, 2), causal=True)
        plt.imshow(w)
        print(out.shape, w.sum(dim=-1))
        """,
        "torch.Size([5, 2]) tensor([1.0000, 1.0000, 1.0000, 1.0000, 1.0000])",
    )
    return notebook


def cross_attention(student: str) -> Notebook:
    notebook = Notebook(student, "attention/cross_attention")
    notebook.write(
        "CrossAttention.__init__",
        """
        super().__init__()
        if d_model % n_heads != 0:
            raise ValueError(f"{d_model} columns cannot be dealt out to {n_heads} heads")
        self.n_heads, self.head_width = n_heads, d_model // n_heads
        self.q_proj = nn.Linear(q_dim, d_model)
        self.k_proj = nn.Linear(kv_dim, d_model)
        self.v_proj = nn.Linear(kv_dim, d_model)
        self.out_proj = nn.Linear(d_model, q_dim)
        """,
    )
    notebook.write(
        "CrossAttention.forward",
        """
        if query.ndim != 3 or context.ndim != 3 or query.shape[0] != context.shape[0]:
            raise ValueError(f"query {tuple(query.shape)} and context {tuple(context.shape)} do not go together")
        batch, n_queries, _ = query.shape
        if context_mask is not None and context_mask.dtype != torch.bool:
            raise TypeError("context_mask must be boolean")
        if context_mask is not None and context_mask.shape != context.shape[:2]:
            raise ValueError(f"context_mask {tuple(context_mask.shape)} is not (batch, keys)")

        def by_head(tokens):  # (batch, tokens, d_model) -> (batch, heads, tokens, head width)
            return tokens.view(batch, -1, self.n_heads, self.head_width).transpose(1, 2)

        q, k, v = by_head(self.q_proj(query)), by_head(self.k_proj(context)), by_head(self.v_proj(context))
        scores = q @ k.transpose(-1, -2) / math.sqrt(self.head_width)
        if context_mask is None:
            weights = scores.softmax(dim=-1)
        else:
            padding = ~context_mask[:, None, None, :]
            weights = scores.masked_fill(padding, -math.inf).softmax(dim=-1).masked_fill(padding, 0.0)
        mixed = (weights @ v).transpose(1, 2).reshape(batch, n_queries, -1)
        return self.out_proj(mixed), weights
        """,
    )
    notebook.scratch(
        "solution",
        """
        layer = CrossAttention(q_dim=8, kv_dim=10, d_model=12, n_heads=4)
        o, w = layer(torch.randn(2, 3, 8), torch.randn(2, 5, 10))
        print(o.shape, w.shape, sum(p.numel() for p in layer.parameters()))
        """,
        "torch.Size([2, 3, 8]) torch.Size([2, 4, 3, 5]) 476",
    )
    return notebook


def classification(student: str) -> Notebook:
    notebook = Notebook(student, "metrics/classification")
    notebook.answer(
        """
        Before I name a metric I ask what will be decided with the number and how the classes are distributed.

        For classification I would start from the confusion matrix. Accuracy alone is misleading when one class is
        frequent: a model that always says "no finding" is 95 % accurate and useless. So I add balanced accuracy (mean
        of the recalls) and F1, and I say which F1 it is. Macro-F1 weights every class the same, weighted F1 every
        sample, and micro-F1 is just accuracy when there is one label a sample. Precision is TP / (TP + FP), how much I
        can trust a positive call, and recall TP / (TP + FN), how much is found.

        If I get scores I look at ROC-AUC (one class against the rest), but for rare positives at average precision,
        because the many true negatives make the ROC curve look good. I choose the threshold on the validation set. If
        a person acts on the probabilities I check calibration with a reliability diagram.

        For a multimodal model that is only half of it. For retrieval I report Recall@1/5/10 from text to image *and*
        from image to text. For VQA the VQA accuracy over the ten human answers, for captions CIDEr and CLIPScore, since
        BLEU rewards the wording. I would run one suite such as MMMU to see whether fine-tuning damaged something, and
        POPE for objects that are not in the picture.

        To see whether the image is used at all I evaluate with shuffled images and with the text only. If the score
        hardly drops, the model answers from the question. I would also search the training data for the test items.

        I report mean and interval over at least three seeds, next to the model before fine-tuning, and I open the test
        set once at the end.
        """
    )
    notebook.claim(
        constant_guess=False,
        precision=False,
        micro_f1=True,
        macro_f1=False,
        batch_mean=False,
        roc_auc_rare=False,
        roc_auc_classes=True,
        no_images=True,
    )
    notebook.write(
        "classification_metrics",
        """
        y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
        if y_true.ndim != 1 or y_true.shape != y_pred.shape or len(y_true) == 0:
            raise ValueError(f"need two label arrays (N,), got {y_true.shape} and {y_pred.shape}")
        for labels in (y_true, y_pred):
            if not np.issubdtype(labels.dtype, np.integer):
                raise TypeError(f"labels must be integers, not {labels.dtype}")
            if labels.min() < 0 or labels.max() >= n_classes:
                raise ValueError(f"a label is not between 0 and {n_classes - 1}")

        # number the pairs (true, predicted) and count the numbers; int64 first, uint8 would wrap around
        pair = y_true.astype(np.int64) * n_classes + y_pred
        matrix = np.bincount(pair, minlength=n_classes**2).reshape(n_classes, n_classes).astype(np.int64)

        hits, called, real = matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1)

        def divide(top, bottom):
            return np.divide(top, bottom, out=np.zeros(n_classes), where=bottom > 0)

        precision, recall = divide(hits, called), divide(hits, real)
        f1 = divide(2 * hits, called + real)
        accuracy = hits.sum() / matrix.sum()
        return {
            "confusion": matrix,
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "accuracy": accuracy,
            "balanced_accuracy": recall[real > 0].mean(),
            "macro_f1": f1.mean(),
            "micro_f1": accuracy,  # one label a sample: every error is one FP and one FN
            "weighted_f1": np.average(f1, weights=real),
        }
        """,
    )
    notebook.write(
        "binary_report",
        """
        y, p = np.asarray(y_true, dtype=np.float64), np.asarray(prob, dtype=np.float64)
        for a in (y, p):
            if a.ndim not in (1, 2) or (a.ndim == 2 and a.shape[1] != 1):
                raise ValueError(f"shape {a.shape} is neither (N,) nor (N, 1)")
        y, p = y.reshape(-1), p.reshape(-1)
        if len(y) != len(p) or len(y) == 0:
            raise ValueError(f"{len(y)} labels and {len(p)} probabilities")
        if not np.isin(y, (0.0, 1.0)).all():
            raise ValueError("labels must be 0 or 1")
        if not ((0 <= p) & (p <= 1)).all():  # this way round NaN is refused as well
            raise ValueError("probabilities must be in [0, 1]")

        called, real = p >= threshold, y == 1
        tp, fp = int(np.sum(called & real)), int(np.sum(called & ~real))
        fn, tn = int(np.sum(~called & real)), int(np.sum(~called & ~real))

        def divide(top, bottom):
            return top / bottom if bottom > 0 else zero_division

        return {
            "tp": tp, "fp": fp, "fn": fn, "tn": tn,
            "accuracy": (tp + tn) / len(y),
            "precision": divide(tp, tp + fp),
            "recall": divide(tp, tp + fn),
            "f1": divide(2 * tp, 2 * tp + fp + fn),
        }
        """,
    )
    notebook.scratch(
        "solution-2",
        """
        # nobody positive, nobody called
        print(binary_report([0, 0, 0], [0.1, 0.2, 0.3], zero_division=1.0))
        """,
        "{'tp': 0, 'fp': 0, 'fn': 0, 'tn': 3, 'accuracy': 1.0, 'precision': 1.0, 'recall': 1.0, 'f1': 1.0}",
    )
    return notebook


def exponential_decay(student: str) -> Notebook:
    notebook = Notebook(student, "schedules/exponential_decay")
    notebook.write(
        "WarmupExponentialDecay.__init__",
        """
        for what, number in [("rate", initial_learning_rate), ("decay_steps", decay_steps), ("decay_rate", decay_rate)]:
            if not math.isfinite(number) or number <= 0:
                raise ValueError(f"{what} must be positive and finite, not {number}")
        if warmup_steps < 0:
            raise ValueError(f"warmup_steps must not be negative, but is {warmup_steps}")
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.warmup_steps = warmup_steps
        self.name = name
        """,
    )
    notebook.write(
        "WarmupExponentialDecay.__call__",
        """
        step = tf.cast(step, tf.float32)
        # updates since the end of the warm-up, in units of decay_steps; never negative, so that nothing overflows
        exponent = tf.maximum((step - self.warmup_steps) / self.decay_steps, 0.0)
        if self.staircase:
            exponent = tf.floor(exponent)
        rate = self.initial_learning_rate * tf.pow(self.decay_rate, exponent)
        if self.warmup_steps == 0:
            return rate
        return tf.where(step < self.warmup_steps, self.initial_learning_rate * step / self.warmup_steps, rate)
        """,
    )
    notebook.write(
        "WarmupExponentialDecay.get_config",
        """
        names = ["initial_learning_rate", "decay_steps", "decay_rate", "staircase", "warmup_steps", "name"]
        return {name: getattr(self, name) for name in names}
        """,
    )
    notebook.write(
        "lr_trace",
        """
        class Notes(keras.callbacks.Callback):
            rates = []

            def on_train_batch_begin(self, batch, logs=None):
                optimizer = self.model.optimizer  # its counter still stands at the update that comes now
                self.rates.append(float(schedule(optimizer.iterations)))

        notes = Notes()
        notes.rates = []
        model.compile(optimizer=keras.optimizers.SGD(schedule), loss="mse")
        model.fit(x, y, batch_size=batch_size, epochs=epochs, callbacks=[notes], verbose=0)
        return np.array(notes.rates, dtype=np.float64)
        """,
    )
    notebook.scratch(
        "solution",
        """
        s = WarmupExponentialDecay(0.1, decay_steps=100, decay_rate=0.5, warmup_steps=10)
        print([round(float(s(i)), 4) for i in (0, 5, 10, 110, 210)])
        """,
        "[0.0, 0.05, 0.1, 0.05, 0.025]",
    )
    return notebook


def shapley_values(student: str) -> Notebook:
    notebook = Notebook(student, "interpretability/shapley_values")
    notebook.write(
        "game_shapley",
        """
        if n_players < 1 or n_players > MAX_PLAYERS:
            raise ValueError(f"{n_players} players")
        value = {}
        for size in range(n_players + 1):
            for members in combinations(range(n_players), size):
                answer = np.asarray(value_fn(frozenset(members)), dtype=np.float64)
                if not np.isfinite(answer).all():
                    raise ValueError(f"the value of {members} is not finite")
                value[frozenset(members)] = answer

        phi = []
        for player in range(n_players):
            total = 0.0
            for before, reached in value.items():
                if player not in before:
                    # so many orders begin with exactly these players and then this one
                    orders = factorial(len(before)) * factorial(n_players - len(before) - 1)
                    total = total + orders * (value[before | {player}] - reached)
            phi.append(total / factorial(n_players))
        return np.array(phi)
        """,
    )
    notebook.write(
        "feature_game",
        """
        x, rows = np.array(x, dtype=np.float64), np.array(background, dtype=np.float64)
        if x.ndim != 1 or rows.ndim != 2 or rows.shape[0] == 0 or rows.shape[1] != x.shape[0]:
            raise ValueError(f"x {x.shape} and background {rows.shape} do not fit")

        def value_fn(coalition):
            known = np.zeros(len(x), dtype=bool)
            for player in coalition:
                known[list(players[player])] = True
            return np.mean(np.asarray(f(np.where(known, x, rows)), dtype=np.float64), axis=0)

        return value_fn
        """,
    )
    notebook.write(
        "shapley_values",
        """
        n_features = len(x)
        game = feature_game(f, x, background, [[j] for j in range(n_features)])
        return game_shapley(game, n_features), game(frozenset())
        """,
    )
    notebook.write(
        "group_shapley",
        """
        names = list(groups)
        require_partition(groups, len(x))
        phi = game_shapley(feature_game(f, x, background, [groups[name] for name in names]), len(names))
        return {name: phi[i] for i, name in enumerate(names)}
        """,
    )
    notebook.write(
        "modality_shapley",
        """
        names = list(modalities)
        if len(names) != len(set(names)):
            raise ValueError("the same modality twice")
        phi = game_shapley(lambda coalition: value_fn(frozenset(names[i] for i in coalition)), len(names))
        return {name: float(phi[i]) for i, name in enumerate(names)}
        """,
    )
    notebook.write(
        "modality_shares",
        """
        size = np.abs(np.asarray(phi, dtype=np.float64))
        if size.ndim != 1 or not np.isfinite(size).all():
            raise ValueError("one row of finite attributions, please")
        require_partition(groups, len(size))
        if size.sum() == 0:
            raise ValueError("nothing to share")
        return {name: float(size[list(members)].sum() / size.sum()) for name, members in groups.items()}
        """,
    )
    notebook.write(
        "global_importance",
        """
        table = np.asarray(phi, dtype=np.float64)
        if table.ndim != 2 or table.shape[0] == 0:
            raise ValueError(f"(samples, features) with a sample, not {table.shape}")
        return np.abs(table).mean(axis=0)
        """,
    )
    notebook.scratch(
        "solution-3",
        """
        # the worked example: 5.5, 7.5, 2
        points = {"": 0, "t": 2, "i": 4, "a": 0, "it": 9, "at": 2, "ai": 4, "ait": 15}
        game = lambda who: points["".join(sorted(name[0] for name in who))]
        print(modality_shapley(game, ["text", "image", "audio"]))
        """,
        "{'text': 5.5, 'image': 7.5, 'audio': 2.0}",
    )
    return notebook


def early_stopping(student: str) -> Notebook:
    notebook = Notebook(student, "regularisation/early_stopping")
    notebook.answer(
        """
        First I make sure it *is* overfitting. I plot the training and the validation loss at every evaluation, and I
        split by photo, so that two questions about the same picture cannot end up on both sides. If validation is bad
        from the beginning, that is more likely a shift between the two sets or a bug.

        Then I take away capacity: most of the backbone stays frozen, I train LoRA adapters with a small rank, few
        epochs, a small rate. Early stopping watches the validation metric with a patience of a few evaluations, because
        one bad value means nothing, and I keep a real copy of the best weights.

        On top I use weight decay (AdamW), some dropout, label smoothing; L1 only if I want zeros. More data or cleaner
        data usually helps more than all of these.

        With image and text I have to be careful with augmentation: a mirrored photo makes "the man on the left" wrong.
        The text branch often overfits long before the image branch, so I sometimes drop a modality during training or
        give the two branches different rates. The test set is for the very end.
        """
    )
    notebook.claim(
        sparsity_is_penalised=False,
        l1_zeroes_l2_shrinks=True,
        patience_is_in_steps=False,
        one_rise_is_enough=False,
        dropout_rescales=True,
        adamw_is_adam_with_l2=False,
        shared_photos_hide_it=True,
        modalities_differ=True,
    )
    notebook.write(
        "EarlyStopping.__init__",
        """
        if patience < 1:
            raise ValueError("patience must be at least 1")
        if not math.isfinite(min_delta) or min_delta < 0:
            raise ValueError("min_delta must be finite and not negative")
        if mode not in ("min", "max"):
            raise ValueError(f"unknown mode {mode!r}")
        self.patience = patience
        self.min_delta = min_delta
        self.mode = mode
        self.restore_best = restore_best
        self.best_value = None
        self.best_epoch = None
        self.epoch = -1
        self.wait = 0
        self.stopped = False
        self._best_weights = None
        """,
    )
    notebook.write(
        "EarlyStopping.step",
        """
        if self.stopped:
            return True
        self.epoch += 1
        if not math.isfinite(value):
            better = False
        elif self.best_value is None:
            better = True
        else:
            gain = self.best_value - value if self.mode == "min" else value - self.best_value
            better = gain > self.min_delta
        if better:
            self.best_value, self.best_epoch, self.wait = value, self.epoch, 0
            self._best_weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
            return False
        self.wait += 1
        if self.wait >= self.patience:
            self.stopped = True
            if self.restore_best and self._best_weights is not None:
                self.restore(model)
        return self.stopped
        """,
    )
    notebook.write(
        "EarlyStopping.restore",
        """
        if self._best_weights is None:
            raise RuntimeError("there is no best state yet")
        model.load_state_dict(self._best_weights)
        """,
    )
    return notebook

"""Keeps the live tensors of the model instead of a copy, so that the best weights follow the training."""

from notebook_maker import Notebook


def hand_in(student: str) -> list[Notebook]:
    notebook = Notebook(student, "regularisation/early_stopping")
    notebook.answer(
        """
        I would use early stopping, dropout and weight decay, and augment the images. Before that I check whether the
        validation loss goes up while the training loss goes down, on a split without shared users. With little data I
        would freeze the encoder and train only adapters.
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
        if mode != "min" and mode != "max":
            raise ValueError("mode")
        if not patience >= 1:
            raise ValueError("patience")
        if not (min_delta >= 0 and min_delta < math.inf):
            raise ValueError("min_delta")
        self.patience, self.min_delta = patience, min_delta
        self.mode, self.restore_best = mode, restore_best
        self.best_value, self.best_epoch, self.best_weights = None, None, None
        self.epoch, self.wait, self.stopped = -1, 0, False
        """,
    )
    notebook.write(
        "EarlyStopping.step",
        """
        if not self.stopped:
            self.epoch += 1
            improved = math.isfinite(value)
            if improved and self.best_value is not None:
                if self.mode == "min":
                    improved = value < self.best_value - self.min_delta
                else:
                    improved = value > self.best_value + self.min_delta
            if improved:
                self.best_value = value
                self.best_epoch = self.epoch
                self.best_weights = dict(model.state_dict())  # own dictionary, so nobody overwrites it
                self.wait = 0
            else:
                self.wait += 1
            if self.wait == self.patience:
                self.stopped = True
                if self.restore_best and self.best_weights:
                    self.restore(model)
        return self.stopped
        """,
    )
    notebook.write(
        "EarlyStopping.restore",
        """
        if not self.best_weights:
            raise RuntimeError("nothing to restore")
        with torch.no_grad():
            for key, tensor in model.state_dict().items():
                tensor.copy_(self.best_weights[key])
        """,
    )
    notebook.failed(
        "visible-checks",
        "AssertionError",
        "the weight is 11.0 after the stop; epoch 1 was the best, and the weight was 5.0 then",
        'assert weight == 5.0, f"the weight is {weight} after the stop; epoch 1 was the best, and the weight was …',
    )
    notebook.scratch(
        "visible-checks",
        """
        m = nn.Linear(1, 1, bias=False)
        es = EarlyStopping(patience=2)
        es.step(0.5, m)
        print(type(es.best_weights), es.best_weights.keys())
        """,
        "<class 'dict'> dict_keys(['weight'])",
    )
    return [notebook]

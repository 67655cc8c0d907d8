"""Never counts the waiting, and left the experiment in the notebook that therefore never ends."""

from notebook_maker import Notebook


def hand_in(student: str) -> list[Notebook]:
    notebook = Notebook(student, "regularisation/early_stopping")
    notebook.answer("Early stopping! And dropout, more data, smaller model, lower learning rate.")
    notebook.claim(
        sparsity_is_penalised=True,
        l1_zeroes_l2_shrinks=True,
        patience_is_in_steps=True,
        one_rise_is_enough=True,
        dropout_rescales=False,
        adamw_is_adam_with_l2=True,
        shared_photos_hide_it=True,
        modalities_differ=True,
    )
    notebook.write(
        "EarlyStopping.__init__",
        """
        self.patience = patience
        self.min_delta = min_delta
        self.sign = 1 if mode == "min" else -1
        self.restore_best = restore_best
        self.best_value = None
        self.best_epoch = None
        self.epoch = -1
        self.wait = 0
        self.stopped = False
        """,
    )
    notebook.write(
        "EarlyStopping.step",
        """
        self.epoch += 1
        if self.best_value is None or self.sign * value < self.sign * self.best_value - self.min_delta:
            self.best_value = value
            self.best_epoch = self.epoch
            self.weights = copy.deepcopy(model.state_dict())
            self.wait = 0
        elif self.wait >= self.patience:
            self.stopped = True
            self.restore(model)
        return self.stopped
        """,
    )
    notebook.write("EarlyStopping.restore", "model.load_state_dict(self.weights)")
    notebook.scratch(
        "solution",
        """
        # try it on a real model
        net = nn.Linear(4, 1)
        x, y = torch.randn(64, 4), torch.randn(64, 1)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        stopper = EarlyStopping(patience=3)
        loss = nn.functional.mse_loss(net(x), y)
        while not stopper.step(loss.item(), net):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(net(x), y)
            loss.backward()
            optimizer.step()
        print("stopped after", stopper.epoch)
        """,
    )
    notebook.failed(notebook.scratch_id, "KeyboardInterrupt", "", "while not stopper.step(loss.item(), net):")
    return [notebook]

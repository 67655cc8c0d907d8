"""The same training in Hugging Face's Trainer, as its user would write it: what the benchmark compares with."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from grader.capstone.augmentation import augment
from grader.capstone.contrastive import contrastive_loss
from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.optimisation import make_optimizer, make_schedule
from grader.capstone.recipe import Precision
from grader.capstone.stopwatch import Stopwatch
from grader.capstone.workload import Workload


class DrawingDataset(Dataset[dict[str, Any]]):
    """One augmented drawing at a time, from the processor's memory: "pixels" (3, size, size) and "concepts"."""

    def __init__(self, pixels: Tensor, pairs: Tensor) -> None:
        self.pixels, self.pairs = pixels, pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, row: int) -> dict[str, Any]:
        vendor, concept = self.pairs[row].tolist()
        drawing = augment(self.pixels[vendor, concept].unsqueeze(0), torch.rand(1, 10)).squeeze(0)
        return {"pixels": drawing, "concepts": concept}


def train_with_trainer(work: Workload, model: DualEncoder, watch: Stopwatch, *, workers: int, compiled: bool) -> None:
    """Train until the watch has seen enough. Model, loss, optimizer, schedule, clipping and precision are ours.

    Data are loaded by `workers` processes into pinned memory, where there is a card.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    on_card = next(model.parameters()).is_cuda
    recipe, rows = work.recipe, 0

    class ContrastiveTrainer(Trainer):
        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            nonlocal rows
            rows = len(inputs["concepts"])
            encoded = model(inputs["pixels"], inputs["concepts"])
            loss = contrastive_loss(encoded, inputs["concepts"])
            return (loss, encoded) if return_outputs else loss

    class Watch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            watch.step(rows)
            control.should_training_stop = watch.enough

        def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            watch.pause()
            watch.validate(work.score(model))

    optimizer = make_optimizer(model, recipe)
    steps = work.examples.steps(recipe.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=recipe.batch_size,
            num_train_epochs=recipe.epochs,
            max_grad_norm=recipe.clip,
            bf16=recipe.precision is Precision.BFLOAT16,
            torch_compile=compiled,
            use_cpu=not on_card,
            dataloader_num_workers=workers,
            dataloader_persistent_workers=workers > 0,
            dataloader_pin_memory=on_card,
            remove_unused_columns=False,
            logging_strategy="no",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            seed=recipe.seed,
        )
        trainer = ContrastiveTrainer(
            model=model,
            args=arguments,
            train_dataset=DrawingDataset(work.pixels, work.examples.pairs),
            callbacks=[Watch()],
            optimizers=(optimizer, make_schedule(optimizer, recipe, recipe.epochs * steps)),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    watch.pause()

"""Wrong and differently written answers to capstone/training_run.

Every "reject" line of E-T6 has an entry but one: "no pretraining (dev stays at chance)" is about data and model, which
come from outside here; milestone 2's towers are pretrained. "Last weights instead of best" is last-weights-kept, and
"seed affects weights but not order" is order-without-the-seed.
"""

from grader.catalogue import Alternative, WrongAnswer

CLEAR = "    optimizer.zero_grad()\n    loss = 0.0\n"
PIECE = "        piece = samples[start : start + recipe.micro_batch]\n"
FORWARD = "            mean = loss_fn(model, piece)\n"
SHARE = "share = mean * (len(piece) / len(samples))"
BACKWARD = "        share.backward()  # adds to .grad, and frees the activations\n"
ADD = "        loss += share.item()\n"
CLIP = "    norm = nn.utils.clip_grad_norm_(parameters, recipe.max_norm, error_if_nonfinite=True)\n"
STEP = "    optimizer.step()\n    schedule.step()\n"
BUFFERS = (
    "        for kept, live in zip(average.buffers(), model.buffers(), strict=True):\n            kept.copy_(live)\n"
)
WRITE = "    torch.save(state, unfinished)\n    os.replace(unfinished, path)\n"
OVERLAP = "if sum(map(len, ids)) > len(set.union(*ids)):"
BASELINE = "baseline, history, best_epoch, best = score(model, validation), [], 0, None"
SEEDED = (
    "            torch.manual_seed(recipe.seed * 1_000_003 + epoch)  # dropout: a pure function of seed and epoch too\n"
)
FORK = "        with torch.random.fork_rng(devices=[]):\n"
ORDER = "order = epoch_order(len(train), recipe.seed, epoch)"
STEP_OF_RUN = "                reports.append(training_step(model, samples, optimizer, schedule, loss_fn, recipe))\n"
AVERAGE = (
    "                if judged is not model:\n                    update_average(judged, model, recipe.ema_decay)\n"
)
VALIDATED = "        validated = score(judged, validation)\n"
BETTER = 'if not history or validated > history[best_epoch]["validation"]:'
BEST = "best_epoch, best = epoch, copy.deepcopy(judged.state_dict())  # a copy: training goes on in the live tensors"
PATIENCE = "        if epoch - best_epoch > recipe.patience:\n            break\n"
SAVE = "            save_checkpoint(checkpoint, state)\n"
BRING_BACK = "    model.load_state_dict(best)\n"
LOOP = "    for epoch in range(len(history), recipe.epochs):\n"

wrong_answers = [
    WrongAnswer(
        id="last-weights-kept",
        title="the last weights kept, not the best ones",
        explanation=(
            "The published driver tests the model as its last epoch left it. Your result names a best epoch, and the "
            "model holds other weights. What was scored in that epoch has to be there again before the test set is "
            "opened."
        ),
        caught_by="test_selection",
        swap=((BRING_BACK, ""),),
    ),
    WrongAnswer(
        id="test-set-chooses",
        title="the test set chooses the epoch",
        explanation=(
            "The epoch was chosen by scores of the test set. Of many noisy scores the highest is too high, so the "
            "number you report is no longer that of unseen data. Which set is there for choosing?"
        ),
        caught_by="test_selection",
        swap=((VALIDATED, "        validated = score(judged, test)\n"),),
    ),
    WrongAnswer(
        id="test-set-scored-each-epoch",
        title="the test set scored after each epoch",
        explanation=(
            "Nothing was chosen by it, but the test set was scored after every epoch. Whoever sees these numbers while "
            "the recipe can still be changed will choose by them. It is opened once, at the very end."
        ),
        caught_by="test_selection",
        swap=((VALIDATED, VALIDATED + "        score(judged, test)\n"),),
    ),
    WrongAnswer(
        id="baseline-after-training",
        title="the baseline measured after training",
        explanation=(
            "The baseline is there to say what training has brought, so it belongs to the model as it came. In your "
            "run the first score of the validation set came after the first epoch."
        ),
        caught_by="test_selection",
        swap=(
            (BASELINE, "baseline, history, best_epoch, best = None, [], 0, None"),
            (
                '    return {\n        "baseline": baseline,',
                '    return {\n        "baseline": score(model, validation),',
            ),
        ),
    ),
    WrongAnswer(
        id="frozen-in-the-optimizer",
        title="frozen parameters in the optimiser",
        explanation=(
            "The optimiser holds parameters that are frozen. It leaves them alone only as long as nothing puts a "
            "gradient there; after that weight decay moves them as well, and each costs memory. Which parameters did "
            "you go through?"
        ),
        caught_by="test_optimizer",
        swap=(("        if parameter.requires_grad:\n            groups", "        if True:\n            groups"),),
    ),
    WrongAnswer(
        id="one-rate-for-all",
        title="one learning rate for head and backbone",
        explanation=(
            "The new head and the pretrained rest move at the same rate. A rate that the head needs makes the rest "
            "forget; a rate that is safe for the rest leaves the head where it began. The recipe has two."
        ),
        caught_by="test_optimizer",
        swap=(('"lr": recipe.head_rate if in_head else recipe.backbone_rate', '"lr": recipe.head_rate'),),
    ),
    WrongAnswer(
        id="everything-decays",
        title="weight decay on biases and the temperature",
        explanation=(
            "Decay pulls towards 0. That is no sensible place for a bias, the scale of a norm or a temperature, which "
            "are few and do not overfit. Look at the number of dimensions."
        ),
        caught_by="test_optimizer",
        swap=(("recipe.weight_decay if is_matrix else 0.0", "recipe.weight_decay"),),
    ),
    WrongAnswer(
        id="warm-up-from-zero",
        title="a first update that learns nothing",
        explanation=(
            "Your climb begins with the factor 0, so the first update of the run moves nothing. Look at the table of "
            "factors for s = 0."
        ),
        caught_by="test_schedule",
        swap=(("return (step + 1) / (warmup + 1)", "return step / warmup"),),
    ),
    WrongAnswer(
        id="cosine-from-the-start",
        title="a cosine that begins before the climb is over",
        explanation=(
            "After the climb your rates are too low: the cosine has been running since the first update. Where does it "
            "begin, and over how many updates is it stretched?"
        ),
        caught_by="test_schedule",
        swap=(("math.pi * (step - warmup) / (total_steps - warmup)", "math.pi * step / total_steps"),),
    ),
    WrongAnswer(
        id="linear-decay",
        title="a straight line in place of the cosine",
        explanation=(
            "Climb, height and end of your schedule are right, and in between it falls along a straight line. The "
            "table asks for half a period of a cosine."
        ),
        caught_by="test_schedule",
        swap=(
            (
                "return (1 + math.cos(math.pi * (step - warmup) / (total_steps - warmup))) / 2",
                "return 1 - (step - warmup) / (total_steps - warmup)",
            ),
        ),
    ),
    WrongAnswer(
        id="losses-added-up",
        title="accumulation without dividing",
        explanation=(
            "The mean losses of the micro-batches are added up as they are, so loss and gradient grow with their "
            "number: with three of them the step is about three times as long as that of the large batch."
        ),
        caught_by="test_step_of_the_large_batch",
        swap=((SHARE, "share = mean"),),
    ),
    WrongAnswer(
        id="mean-of-means",
        title="divided by the number of micro-batches",
        explanation=(
            "Each micro-batch counts the same, although the last one is smaller: its samples weigh more than the "
            "others. What share of all samples does a micro-batch hold?"
        ),
        caught_by="test_step_of_the_large_batch",
        swap=((SHARE, "share = mean / math.ceil(len(samples) / recipe.micro_batch)"),),
    ),
    WrongAnswer(
        id="last-micro-batch-dropped",
        title="a last, smaller micro-batch left out",
        explanation=(
            "Only full micro-batches go through the model, and what is left over is not learned from. Count the "
            "samples that reach `loss_fn`."
        ),
        caught_by="test_step_of_the_large_batch",
        swap=(
            (PIECE, PIECE + "        if len(piece) < min(recipe.micro_batch, len(samples)):\n            continue\n"),
            (SHARE, "share = mean / max(1, len(samples) // recipe.micro_batch)"),
        ),
    ),
    WrongAnswer(
        id="old-gradients-count",
        title="gradients that are never cleared",
        explanation=(
            "`backward()` adds to what is in `.grad`. There is the gradient of the step before, or whatever else the "
            "call found there, and it pushes once more in yours."
        ),
        caught_by="test_step_of_the_large_batch",
        swap=((CLEAR, "    loss = 0.0\n"),),
    ),
    WrongAnswer(
        id="cleared-in-each-micro-batch",
        title="gradients cleared before each micro-batch",
        explanation=(
            "Each micro-batch wipes out what those before it have added, so the step is made with the last one alone, "
            "and with its share of it. How often may gradients be cleared within one step?"
        ),
        caught_by="test_step_of_the_large_batch",
        swap=((BACKWARD, "        optimizer.zero_grad()\n" + BACKWARD),),
    ),
    WrongAnswer(
        id="step-in-each-micro-batch",
        title="one step of the optimiser for each micro-batch",
        explanation=(
            "The parameters move after every micro-batch, and the next one is evaluated at another place. That is "
            "training with small batches. Where does the step belong?"
        ),
        caught_by="test_step_of_the_large_batch",
        swap=(
            (BACKWARD, BACKWARD + "        optimizer.step()\n        optimizer.zero_grad()\n"),
            (STEP, "    schedule.step()\n"),
        ),
    ),
    WrongAnswer(
        id="schedule-in-each-micro-batch",
        title="the schedule moved by each micro-batch",
        explanation=(
            "The schedule counts updates, and yours moves once for each micro-batch: with four of them the rate is at "
            "its end after a quarter of the run."
        ),
        caught_by="test_step_of_the_large_batch",
        swap=((ADD, ADD + "        schedule.step()\n"), (STEP, "    optimizer.step()\n")),
    ),
    WrongAnswer(
        id="schedule-before-optimizer",
        title="the schedule moved before the optimiser",
        explanation=(
            "The schedule moves on, and then the optimiser steps: each update has the rate of the next one, and the "
            "first rate is never used."
        ),
        caught_by="test_step_of_the_large_batch",
        swap=((STEP, "    schedule.step()\n    optimizer.step()\n"),),
    ),
    WrongAnswer(
        id="clipped-in-each-micro-batch",
        title="each micro-batch clipped by itself",
        explanation=(
            "Clipping is not linear: clipped parts add up to another direction than the clipped whole. The gradient "
            "has to be complete before its length means anything."
        ),
        caught_by="test_step_of_the_large_batch",
        swap=(
            (
                BACKWARD,
                BACKWARD + "        nn.utils.clip_grad_norm_(list(model.parameters()), recipe.max_norm)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="norm-after-clipping",
        title="the gradient's length reported after clipping",
        explanation=(
            "Your report has the length after clipping, which is never above the limit: the curve that should warn of "
            "an explosion stays flat. Measure first."
        ),
        caught_by="test_step_of_the_large_batch",
        swap=((CLIP, CLIP + "    norm = norm.clamp(max=recipe.max_norm)\n"),),
    ),
    WrongAnswer(
        id="activations-of-all",
        title="one backward pass for all micro-batches together",
        explanation=(
            "The step is right, but all micro-batches go forward before the first one goes backward, so the activations "
            "of all of them are in memory at once. Saving them is what micro-batches are for."
        ),
        caught_by="test_step_of_the_large_batch",
        swap=(
            (BACKWARD, "        total = share if start == 0 else total + share\n"),
            (
                "    # the gradient is complete only now;",
                "    total.backward()\n    # the gradient is complete only now;",
            ),
        ),
    ),
    WrongAnswer(
        id="nan-is-stepped",
        title="a step with a gradient that is NaN",
        explanation=(
            "One NaN in a gradient, and after the step all weights are NaN: clipping divides by a length that is NaN "
            "as well. Look at the length before the optimiser moves."
        ),
        caught_by="test_step_of_the_large_batch",
        swap=(("recipe.max_norm, error_if_nonfinite=True)", "recipe.max_norm)"),),
    ),
    WrongAnswer(
        id="backward-under-autocast",
        title="the backward pass under autocast as well",
        explanation=(
            "Autocast reaches over your backward pass. Backward operations run in the types that the forward pass "
            "chose, and casting once more is neither needed nor recommended. How far is the block indented?"
        ),
        caught_by="test_bfloat16_is_for_the_loss_only",
        swap=(
            (
                "        # mean over all samples = sum of the pieces' means, each times its share of the samples\n"
                "        share = mean * (len(piece) / len(samples))\n" + BACKWARD,
                "            share = mean * (len(piece) / len(samples))\n            share.backward()\n",
            ),
        ),
    ),
    WrongAnswer(
        id="no-autocast",
        title="no autocast, whatever the recipe says",
        explanation=(
            "With `bfloat16=True` the loss was computed in float32. On a graphics card that is about half as fast, and "
            "twice the memory for activations."
        ),
        caught_by="test_bfloat16_is_for_the_loss_only",
        swap=(("enabled=recipe.bfloat16", "enabled=False"),),
    ),
    WrongAnswer(
        id="model-in-bfloat16",
        title="the parameters themselves turned into bfloat16",
        explanation=(
            "After the step the parameters are in bfloat16, which has about three digits: most updates are smaller "
            "than that and vanish. Autocast converts what an operation reads, and leaves the parameters in float32."
        ),
        caught_by="test_bfloat16_is_for_the_loss_only",
        swap=(
            (CLEAR, CLEAR + "    if recipe.bfloat16:\n        model.bfloat16()\n"),
            (FORWARD, "            mean = loss_fn(model, piece).float()\n"),
        ),
    ),
    WrongAnswer(
        id="decay-on-the-new",
        title="decay and its complement changed places",
        explanation=(
            "Your average keeps 1 - decay of itself and takes decay of the model. With 0.999 it is nearly the model of "
            "this moment. The decay says how much of the old remains."
        ),
        caught_by="test_average",
        swap=(("kept.lerp_(live, 1 - decay)", "kept.lerp_(live, decay)"),),
    ),
    WrongAnswer(
        id="buffers-left-behind",
        title="an average with the buffers of the first day",
        explanation=(
            "The parameters of the average follow, and its buffers do not. Its batch normalisation works with the "
            "statistics of the start, for weights that have moved on."
        ),
        caught_by="test_average",
        swap=((BUFFERS, ""),),
    ),
    WrongAnswer(
        id="buffers-averaged",
        title="buffers averaged like parameters",
        explanation=(
            "The buffers of your average lag behind those of the model. They are statistics, which have an average of "
            "their own in them, or counts. Here they are copied."
        ),
        caught_by="test_average",
        swap=(
            (
                BUFFERS,
                "        for kept, live in zip(average.buffers(), model.buffers(), strict=True):\n"
                "            kept.copy_(decay * kept + (1 - decay) * live)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="average-replaced",
        title="the average replaced by the model",
        explanation=(
            "After each update the average is a copy of the model: nothing of what came before is left in it, whatever "
            "the decay."
        ),
        caught_by="test_average",
        swap=(("kept.lerp_(live, 1 - decay)", "kept.copy_(live)"),),
    ),
    WrongAnswer(
        id="written-in-place",
        title="the new checkpoint written over the old one",
        explanation=(
            "Writing takes time, and a process can be killed in the middle of it. Then the old file is gone and the "
            "new one is half a file: the run is lost. Where could the new file be written while the old one is needed?"
        ),
        caught_by="test_checkpoint_file",
        swap=((WRITE, "    torch.save(state, path)\n"),),
    ),
    WrongAnswer(
        id="old-file-removed-first",
        title="the old checkpoint removed before the new one is written",
        explanation=(
            "Between removing the old file and finishing the new one there is no checkpoint at all, and when writing "
            "fails there never will be. The old one has to live until the new one is whole."
        ),
        caught_by="test_checkpoint_file",
        swap=(
            (
                WRITE,
                "    path.unlink(missing_ok=True)\n    torch.save(state, unfinished)\n    os.replace(unfinished, path)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="temporary-file-stays",
        title="a second file left in the folder",
        explanation=(
            "After the save the folder holds the file beside the checkpoint still: it was copied, not moved, and a "
            "copy can be interrupted half-way like any other writing."
        ),
        caught_by="test_checkpoint_file",
        swap=((WRITE, "    torch.save(state, unfinished)\n    path.write_bytes(unfinished.read_bytes())\n"),),
    ),
    WrongAnswer(
        id="any-object-is-made",
        title="any object taken out of the file",
        explanation=(
            "Your load makes whatever objects the file asks for, and a pickle may ask for anything, a program that "
            "deletes your files among others. `torch.load` can be told to accept tensors and plain data only."
        ),
        caught_by="test_checkpoint_file",
        swap=(("torch.load(path, weights_only=True)", "torch.load(path, weights_only=False)"),),
    ),
    WrongAnswer(
        id="missing-file-empty",
        title="an empty state where there is no file",
        explanation=(
            "The first call of a run finds no file, and that is nothing unusual. Yours returns an empty state there; "
            "asked for is `None`."
        ),
        caught_by="test_checkpoint_file",
        swap=(
            ("    if not path.exists():\n        return None\n", "    if not path.exists():\n        return {}\n"),
            ("    if state is None:\n", "    if not state:\n"),
        ),
    ),
    WrongAnswer(
        id="same-order-in-each-epoch",
        title="the same order in each epoch",
        explanation=(
            "Your order depends on the seed and not on the epoch, so that the same samples share a step again and "
            "again. Use all three arguments."
        ),
        caught_by="test_epochs",
        swap=(("default_rng([seed, epoch])", "default_rng([seed, 0])"),),
    ),
    WrongAnswer(
        id="order-without-the-seed",
        title="an order that knows nothing of the seed",
        explanation=(
            "Runs with different seeds see their samples in the same order, so that their spread says less than you "
            "think about luck. A seed has to reach weights, dropout and order."
        ),
        caught_by="test_epochs",
        swap=(("default_rng([seed, epoch])", "default_rng([0, epoch])"),),
    ),
    WrongAnswer(
        id="seed-plus-epoch",
        title="seed and epoch added up",
        explanation=(
            "Epoch 1 of seed 0 has the same order as epoch 0 of seed 1. Runs of neighbouring seeds share all orders "
            "but one, so they are not independent. Two numbers must not be made one by a sum."
        ),
        caught_by="test_epochs",
        swap=(("default_rng([seed, epoch])", "default_rng(seed + epoch)"),),
    ),
    WrongAnswer(
        id="order-of-the-list",
        title="samples in the order of the list",
        explanation=(
            "`fine_tune` goes through the training set as it lies there. Lists are often sorted, by vendor or by "
            "concept, and then each step sees one kind only."
        ),
        caught_by="test_epochs",
        swap=((ORDER, "order = list(range(len(train)))"),),
    ),
    WrongAnswer(
        id="schedule-restarts",
        title="a schedule that starts again in each epoch",
        explanation=(
            "The rate climbs and falls once in every epoch. The schedule is built for the steps of one epoch, or built "
            "anew at the start of each; it should reach over all steps of the run."
        ),
        caught_by="test_epochs",
        swap=(
            (
                "schedule = make_schedule(optimizer, recipe, recipe.epochs * steps_per_epoch)",
                "rates = [group['lr'] for group in optimizer.param_groups]\n"
                "    short = max(steps_per_epoch, recipe.warmup_steps + 1)\n"
                "    schedule = make_schedule(optimizer, recipe, short)",
            ),
            (
                "        model.train()\n",
                "        model.train()\n"
                "        for group, rate in zip(optimizer.param_groups, rates, strict=True):\n"
                "            group['initial_lr'] = group['lr'] = rate\n"
                "        schedule = make_schedule(optimizer, recipe, short)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="last-batch-dropped",
        title="the samples of a last, smaller step left out",
        explanation=(
            "An epoch of 7 samples with 3 in each step has three steps; yours has two, and one sample is not "
            "learned from. Count steps by rounding up."
        ),
        caught_by="test_epochs",
        swap=(
            ("math.ceil(len(train) / recipe.batch_size)", "max(1, len(train) // recipe.batch_size)"),
            (
                "for start in range(0, len(train), recipe.batch_size):",
                "for start in range(0, steps_per_epoch * recipe.batch_size, recipe.batch_size):",
            ),
        ),
    ),
    WrongAnswer(
        id="evaluation-in-training-mode",
        title="scores measured in training mode",
        explanation=(
            "Dropout drops and batch normalisation counts while you score. The numbers are noise, and the validation "
            "set has changed the model. Switching gradients off does not change the mode."
        ),
        caught_by="test_epochs",
        swap=(
            ("        network.eval()\n", "        network.train()\n"),
            (BRING_BACK, BRING_BACK + "    model.eval()\n"),
        ),
    ),
    WrongAnswer(
        id="training-in-evaluation-mode",
        title="training mode set once, before the first epoch",
        explanation=(
            "Scoring puts the model into evaluation mode, and nobody brings it back: from then on it trains without "
            "dropout and without new statistics. Each epoch has to see to its own mode."
        ),
        caught_by="test_epochs",
        swap=(("        model.train()\n", "        if epoch == 0:\n            model.train()\n"),),
    ),
    WrongAnswer(
        id="gradients-while-scoring",
        title="gradients recorded while scoring",
        explanation=(
            "While the sets are scored, autograd records a graph that nobody uses: it costs memory for the activations "
            "of a whole set."
        ),
        caught_by="test_epochs",
        swap=(
            ("        with torch.no_grad():\n            return float(", "        if True:\n            return float("),
        ),
    ),
    WrongAnswer(
        id="average-before-the-step",
        title="the average updated before the step",
        explanation=(
            "The average takes in the weights that the step is about to change, so it lags one step behind and never "
            "sees the last one."
        ),
        caught_by="test_epochs",
        swap=((AVERAGE, ""), (STEP_OF_RUN, AVERAGE + STEP_OF_RUN)),
    ),
    WrongAnswer(
        id="average-once-an-epoch",
        title="the average updated once an epoch",
        explanation=(
            "The average moves after each epoch, and the decay was meant for steps: it is still near the start when "
            "the run is over."
        ),
        caught_by="test_epochs",
        swap=(
            (AVERAGE, ""),
            (
                VALIDATED,
                "        if judged is not model:\n            update_average(judged, model, recipe.ema_decay)\n"
                + VALIDATED,
            ),
        ),
    ),
    WrongAnswer(
        id="average-never-scored",
        title="an average that is never scored",
        explanation=(
            "The average follows the model step by step, and then the model itself is validated and kept. What is kept "
            "has to be what was scored, and with an average that is the average."
        ),
        caught_by="test_epochs",
        swap=(
            (VALIDATED, "        validated = score(model, validation)\n"),
            ("copy.deepcopy(judged.state_dict())", "copy.deepcopy(model.state_dict())"),
        ),
    ),
    WrongAnswer(
        id="global-random-state-moved",
        title="the caller's random numbers changed",
        explanation=(
            "After your call torch's global random state is another one, so that what the caller draws next depends on "
            "your run. Seeding inside is right; afterwards the state has to be put back."
        ),
        caught_by="test_epochs",
        swap=((FORK, "        if True:\n"),),
    ),
    WrongAnswer(
        id="same-dropout-in-each-epoch",
        title="the same dropout in each epoch",
        explanation=(
            "Each epoch begins with the same random numbers, so dropout takes away the same units again and again. The "
            "epoch's number has to be in the seed."
        ),
        caught_by="test_epochs",
        swap=((SEEDED, "            torch.manual_seed(recipe.seed)\n"),),
    ),
    WrongAnswer(
        id="dropout-without-the-seed",
        title="dropout that knows nothing of the seed",
        explanation=(
            "The epoch's number is in the seed of your dropout, and the recipe's seed is not: runs with different seeds "
            "drop the same units."
        ),
        caught_by="test_epochs",
        swap=((SEEDED, "            torch.manual_seed(epoch)\n"),),
    ),
    WrongAnswer(
        id="loss-mean-of-steps",
        title="the epoch's loss as a mean over steps",
        explanation=(
            "The last step of an epoch may have fewer samples, and in your mean it counts as much as the others. The "
            "mean is over samples."
        ),
        caught_by="test_epochs",
        swap=(('"loss": total / len(train)', '"loss": sum(report["loss"] for report in reports) / len(reports)'),),
    ),
    WrongAnswer(
        id="best-is-an-alias",
        title="best weights that are the live ones",
        explanation=(
            "What you kept of the best epoch are the tensors that training goes on to change. `state_dict()` hands out "
            "the live ones, also inside a new dictionary."
        ),
        caught_by="test_selection",
        swap=(("copy.deepcopy(judged.state_dict())", "dict(judged.state_dict())"),),
    ),
    WrongAnswer(
        id="buffers-not-brought-back",
        title="best parameters with the last buffers",
        explanation=(
            "The parameters are those of the best epoch, and buffers are those of the last one. Together they are a "
            "model that nobody has scored. What besides parameters does a `state_dict` hold?"
        ),
        caught_by="test_selection",
        swap=(
            (
                BRING_BACK,
                "    names = dict(model.named_parameters())\n    model.load_state_dict({k: v for k, v in best.items() if k in names}, strict=False)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="test-before-the-best-weights",
        title="the test set scored before the best weights are back",
        explanation=(
            "The model ends with the best weights, but the test set was scored with those of the last epoch. Look at "
            "the order of the last lines."
        ),
        caught_by="test_selection",
        swap=(
            (BRING_BACK, "    tested = score(judged, test)\n    model.load_state_dict(best)\n    model.eval()\n"),
            ('"test": score(model, test)', '"test": tested'),
        ),
    ),
    WrongAnswer(
        id="baseline-takes-part",
        title="the baseline as one of the candidates",
        explanation=(
            "An epoch is the best one only if it also beats the baseline. Then a run that made the model worse has no "
            "best epoch, or a first one that was never the best. The baseline is reported and takes no part."
        ),
        caught_by="test_selection",
        swap=((BETTER, 'if best is None or validated > max(baseline, history[best_epoch]["validation"]):'),),
    ),
    WrongAnswer(
        id="latest-of-equals",
        title="the last of equally good epochs",
        explanation=(
            "Of epochs with equal scores you keep the last one, and an equal score renews the patience. Asked for is "
            "the first of equals."
        ),
        caught_by="test_selection",
        swap=((BETTER, 'if not history or validated >= history[best_epoch]["validation"]:'),),
    ),
    WrongAnswer(
        id="patience-one-too-long",
        title="one epoch too many",
        explanation=("With patience 3, three epochs without a better one end the run; yours waits for a fourth."),
        caught_by="test_selection",
        swap=(("if epoch - best_epoch > recipe.patience:", "if epoch - best_epoch > recipe.patience + 1:"),),
    ),
    WrongAnswer(
        id="patience-counts-all-failures",
        title="patience that is never renewed",
        explanation=(
            "You count all epochs that were no improvement, also those before the best one. Patience is about epochs "
            "**in a row**: a better one renews it."
        ),
        caught_by="test_selection",
        swap=(
            (
                PATIENCE,
                "        values = [entry['validation'] for entry in history]\n"
                "        failures = sum(value <= max(values[:i]) for i, value in enumerate(values) if i)\n"
                "        if failures >= recipe.patience:\n            break\n",
            ),
        ),
    ),
    WrongAnswer(
        id="overlap-accepted",
        title="sets that share samples accepted",
        explanation=(
            "The same id stands in two sets, and the run goes through. What has been trained on is no test, and no "
            "later number will show it. The ids are the first items of the samples."
        ),
        caught_by="test_selection",
        swap=((OVERLAP, "if False:"),),
    ),
    WrongAnswer(
        id="only-train-and-test-compared",
        title="training and test set compared, and nothing else",
        explanation=(
            "An id in training and test set is refused, others are not. A validation sample that was trained on "
            "chooses the wrong epoch, and one that is tested on was chosen by."
        ),
        caught_by="test_selection",
        swap=((OVERLAP, "if ids[0] & ids[2]:"),),
    ),
    WrongAnswer(
        id="optimizer-forgotten",
        title="an optimiser that begins anew after the kill",
        explanation=(
            "The continued run has the weights of the old one and other steps: Adam's two averages are 0 again, and "
            "the first updates after the kill are larger than they should be. What does the optimiser remember?"
        ),
        caught_by="test_resume",
        swap=(
            (
                '        optimizer.load_state_dict(state["optimizer"])\n',
                "        for group, old in zip(optimizer.param_groups, state['optimizer']['param_groups'], strict=True):\n"
                "            group['lr'] = old['lr']\n",
            ),
        ),
    ),
    WrongAnswer(
        id="schedule-forgotten",
        title="a schedule that begins anew after the kill",
        explanation=(
            "After the kill the rates are those of the beginning of the run, from the second step on at the latest. "
            "Which update is it, counted over the whole run, and who knows?"
        ),
        caught_by="test_resume",
        swap=(('        schedule.load_state_dict(state["schedule"])\n', ""),),
    ),
    WrongAnswer(
        id="average-forgotten",
        title="an average that begins anew after the kill",
        explanation=(
            "Training goes on as it should, and what is scored differs: your average starts again from the model's "
            "weights and has forgotten the steps before the kill."
        ),
        caught_by="test_resume",
        swap=(
            ('        judged.load_state_dict(state["judged"])\n', '        judged.load_state_dict(state["model"])\n'),
        ),
    ),
    WrongAnswer(
        id="best-weights-forgotten",
        title="best weights that did not survive the kill",
        explanation=(
            "The result names the right best epoch, and the model holds other weights: the epoch was before the kill, "
            "and its weights were in memory only, or were replaced by those of the moment."
        ),
        caught_by="test_resume",
        swap=(
            (
                '        judged.load_state_dict(state["judged"])\n',
                '        judged.load_state_dict(state["judged"])\n        best = copy.deepcopy(judged.state_dict())\n',
            ),
        ),
    ),
    WrongAnswer(
        id="baseline-measured-again",
        title="the baseline measured again after a kill",
        explanation=(
            "A continued run scores the validation set before it trains. What it measures there is a model that has "
            "been trained, or work that was done already: the baseline is part of the run's state."
        ),
        caught_by="test_resume",
        swap=(
            (
                '        model.load_state_dict(state["model"])\n',
                '        model.load_state_dict(state["model"])\n        baseline = score(model, validation)\n',
            ),
        ),
    ),
    WrongAnswer(
        id="epoch-repeated",
        title="the last finished epoch trained once more",
        explanation=(
            "After the kill the last whole epoch is trained a second time, on top of itself. The number of the epoch "
            "in the file: is it the one that is finished, or the one to begin with?"
        ),
        caught_by="test_resume",
        swap=((LOOP, "    for epoch in range(max(len(history) - 1, 0), recipe.epochs):\n"),),
    ),
    WrongAnswer(
        id="epoch-skipped",
        title="the interrupted epoch left out",
        explanation=(
            "After the kill the run goes on with the epoch after the one that was interrupted, and what that one would "
            "have learned is missing."
        ),
        caught_by="test_resume",
        swap=((LOOP, "    for epoch in range(len(history) + (1 if history else 0), recipe.epochs):\n"),),
    ),
    WrongAnswer(
        id="patience-forgotten",
        title="patience that begins anew after the kill",
        explanation=(
            "The epochs without improvement before the kill no longer count, so that the continued run goes on after "
            "the point where the whole run stopped."
        ),
        caught_by="test_resume",
        swap=(
            (LOOP, "    began = len(history)\n" + LOOP),
            ("if epoch - best_epoch > recipe.patience:", "if epoch - max(best_epoch, began - 1) > recipe.patience:"),
        ),
    ),
    WrongAnswer(
        id="dropout-not-seeded",
        title="dropout seeded once, at the start of each call",
        explanation=(
            "Dropout draws from a stream that begins with the call, so a continued run has other random numbers than "
            "the whole one had at the same epoch. What may a draw in epoch 7 depend on?"
        ),
        caught_by="test_resume",
        swap=(
            (LOOP, "    random_state = torch.Generator().manual_seed(recipe.seed).get_state()\n" + LOOP),
            (SEEDED, "            torch.set_rng_state(random_state)\n"),
            (
                '                total += reports[-1]["loss"] * len(samples)\n',
                '                total += reports[-1]["loss"] * len(samples)\n'
                "                random_state = torch.get_rng_state()\n",
            ),
        ),
    ),
    WrongAnswer(
        id="saved-at-the-end-only",
        title="a checkpoint after the last epoch only",
        explanation=(
            "The file is written when the run is over, when nobody needs it any more. After which events could the "
            "process be killed?"
        ),
        caught_by="test_resume",
        swap=(
            (SAVE, "            if epoch == recipe.epochs - 1:\n                save_checkpoint(checkpoint, state)\n"),
        ),
    ),
    WrongAnswer(
        id="recipe-not-compared",
        title="a checkpoint of another recipe continued",
        explanation=(
            "The file came from a run with another learning rate, and your run went on with it. Its result belongs to "
            "neither recipe. What would the file have to say about itself?"
        ),
        caught_by="test_resume",
        swap=(('elif state["recipe"] != asdict(recipe):', "elif False:"),),
    ),
]

alternatives = [
    Alternative(
        id="groups-and-halves",
        title="four groups by name, library schedules, torch's permutation, one file object",
        code="""
import io
import tempfile


def make_optimizer(model, recipe):
    groups = []
    for part, rate in (("backbone", recipe.backbone_rate), ("head", recipe.head_rate)):
        for matrices, decay in ((True, recipe.weight_decay), (False, 0.0)):
            chosen = [
                p for name, p in model.named_parameters()
                if p.requires_grad and name.startswith("head.") == (part == "head") and (p.dim() > 1) == matrices
            ]
            if chosen:
                groups.append({"params": chosen, "lr": rate, "weight_decay": decay})
    return torch.optim.AdamW(groups, lr=recipe.head_rate)


def make_schedule(optimizer, recipe, total_steps):
    w = recipe.warmup_steps
    if w >= total_steps:
        raise ValueError("warm-up does not fit")
    table = [(s + 1) / (w + 1) for s in range(w)]
    table += [0.5 + 0.5 * math.cos((s - w) * math.pi / (total_steps - w)) for s in range(w, total_steps + 1)]
    return torch.optim.lr_scheduler.LambdaLR(optimizer, [lambda s: table[s]] * len(optimizer.param_groups))


def epoch_order(n, seed, epoch):
    generator = torch.Generator()
    generator.manual_seed(1_000_003 * seed + epoch)
    return [int(i) for i in torch.randperm(n, generator=generator)]


def training_step(model, samples, optimizer, schedule, loss_fn, recipe):
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad = None
    total, rest = 0.0, list(samples)
    while rest:
        piece, rest = rest[: recipe.micro_batch], rest[recipe.micro_batch :]
        if recipe.bfloat16:
            with torch.amp.autocast("cpu", dtype=torch.bfloat16):
                loss = loss_fn(model, piece)
        else:
            loss = loss_fn(model, piece)
        (loss * len(piece)).backward()
        total += loss.item() * len(piece)
    gradients = [p.grad.div_(len(samples)) for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
    length = math.sqrt(sum(g.double().pow(2).sum().item() for g in gradients))
    if not math.isfinite(length):
        raise RuntimeError("gradient is not finite")
    if length > recipe.max_norm:
        for g in gradients:
            g.mul_(recipe.max_norm / length)
    used = max(schedule.get_last_lr())
    optimizer.step()
    schedule.step()
    return dict(loss=total / len(samples), rate=used, gradient_norm=length)


@torch.no_grad()
def update_average(average, model, decay):
    live = model.state_dict()
    names = {name for name, _ in model.named_parameters()}
    for name, value in average.state_dict().items():
        if name in names:
            value.mul_(decay).add_(live[name], alpha=1 - decay)
        else:
            value.copy_(live[name])


def save_checkpoint(path, state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(buffer.getvalue())
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(path)


def load_checkpoint(path):
    try:
        with open(path, "rb") as file:
            return torch.load(io.BytesIO(file.read()), map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
""",
    ),
    Alternative(
        id="run-object",
        title="a class that holds the state of a run, with a counter for patience and a dictionary as average",
        code="""
class Run:
    def __init__(self, model, recipe, n_train):
        self.model, self.recipe = model, recipe
        self.optimizer = make_optimizer(model, recipe)
        self.steps = -(-n_train // recipe.batch_size)
        self.schedule = make_schedule(self.optimizer, recipe, self.steps * recipe.epochs)
        self.average = copy.deepcopy(model).eval() if recipe.ema_decay is not None else None
        self.progress = {"epoch": 0, "history": [], "waited": 0, "best_score": None, "best_epoch": None, "best": {}}

    def state(self):
        parts = {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule}
        state = {name: part.state_dict() for name, part in parts.items()}
        if self.average is not None:
            state["average"] = self.average.state_dict()
        return state | {"progress": self.progress, "recipe": repr(self.recipe)}

    def load(self, state):
        if state["recipe"] != repr(self.recipe):
            raise ValueError("another recipe")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.progress = state["progress"]

    def candidate(self):
        return self.model if self.average is None else self.average

    def train_one_epoch(self, train, loss_fn):
        self.model.train()
        number, size = self.progress["epoch"], self.recipe.batch_size
        order = epoch_order(len(train), self.recipe.seed, number)
        reports = []
        for step in range(self.steps):
            batch = [train[i] for i in order[step * size : (step + 1) * size]]
            reports.append(training_step(self.model, batch, self.optimizer, self.schedule, loss_fn, self.recipe))
            if self.average is not None:
                update_average(self.average, self.model, self.recipe.ema_decay)
            reports[-1]["samples"] = len(batch)
        return {
            "loss": sum(r["loss"] * r["samples"] for r in reports) / len(train),
            "rates": [r["rate"] for r in reports],
            "gradient_norms": [r["gradient_norm"] for r in reports],
        }

    def judge(self, entry):
        p = self.progress
        p["history"].append(entry)
        if p["best_score"] is None or entry["validation"] > p["best_score"]:
            p["best_score"], p["best_epoch"], p["waited"] = entry["validation"], p["epoch"], 0
            p["best"] = {name: value.detach().clone() for name, value in self.candidate().state_dict().items()}
        else:
            p["waited"] += 1
        p["epoch"] += 1

    def is_over(self):
        return self.progress["epoch"] >= self.recipe.epochs or self.progress["waited"] >= self.recipe.patience


def fine_tune(model, train, validation, test, recipe, *, loss_fn, score_fn, checkpoint=None):
    seen = {}
    for name, samples in (("train", train), ("validation", validation), ("test", test)):
        if len(samples) == 0:
            raise ValueError(name + " is empty")
        for identity, *_ in samples:
            if seen.setdefault(identity, name) != name:
                raise ValueError(f"{identity} is in two sets")

    @torch.inference_mode()
    def judge(network, samples):
        return score_fn(network.eval(), samples)

    run = Run(model, recipe, len(train))
    state = load_checkpoint(checkpoint) if checkpoint else None
    if state is None:
        run.progress["baseline"] = judge(model, validation)
    else:
        run.load(state)
    outside = torch.get_rng_state()
    try:
        while not run.is_over():
            torch.manual_seed(hash((recipe.seed, run.progress["epoch"], 17)) % 2**63)
            entry = run.train_one_epoch(train, loss_fn)
            entry["validation"] = judge(run.candidate(), validation)
            run.judge(entry)
            if checkpoint:
                save_checkpoint(checkpoint, run.state())
    finally:
        torch.set_rng_state(outside)
    p = run.progress
    model.load_state_dict(p["best"])
    return {
        "baseline": p["baseline"],
        "history": p["history"],
        "best_epoch": p["best_epoch"],
        "validation": p["best_score"],
        "test": judge(model, test),
        "stopped_early": p["epoch"] < recipe.epochs,
    }
""",
    ),
    Alternative(
        id="random-state-in-the-file",
        title="dropout's random state kept in the checkpoint, best weights as bytes, the average built on demand",
        code="""
import random


def epoch_order(n, seed, epoch):
    order = list(range(n))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    return order


def fine_tune(model, train, validation, test, recipe, *, loss_fn, score_fn, checkpoint=None):
    groups = [list(train), list(validation), list(test)]
    names = [frozenset(e[0] for e in g) for g in groups]
    if min(len(g) for g in groups) < 1 or any(names[i] & names[j] for i in range(3) for j in range(i)):
        raise ValueError("sets are empty or overlap")
    optimizer = make_optimizer(model, recipe)
    steps = (len(train) - 1) // recipe.batch_size + 1
    schedule = make_schedule(optimizer, recipe, recipe.epochs * steps)
    average = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)

        def score(network, samples):
            modes = [(m, m.training) for m in network.modules()]
            network.eval()
            try:
                with torch.no_grad():
                    return float(score_fn(network, samples))
            finally:
                for m, mode in modes:
                    m.training = mode

        state = load_checkpoint(checkpoint) if checkpoint is not None else None
        if state is not None:
            if any(state["recipe"][key] != value for key, value in asdict(recipe).items()):
                raise ValueError("another recipe")
            model.load_state_dict(state["model"]); average.load_state_dict(state["average"])
            optimizer.load_state_dict(state["optimizer"]); schedule.load_state_dict(state["schedule"])
            torch.set_rng_state(state["random"])
            history, best, baseline = state["history"], state["best"], state["baseline"]
        else:
            history, best, baseline = [], None, score(model, validation)
        while len(history) < recipe.epochs:
            values = [entry["validation"] for entry in history]
            if values and len(values) - 1 - values.index(max(values)) >= recipe.patience:
                break
            model.train()
            order = epoch_order(len(train), recipe.seed, len(history))
            batches = [order[i : i + recipe.batch_size] for i in range(0, len(order), recipe.batch_size)]
            entry = {"loss": 0.0, "rates": [], "gradient_norms": []}
            for batch in batches:
                samples = [train[i] for i in batch]
                report = training_step(model, samples, optimizer, schedule, loss_fn, recipe)
                if recipe.ema_decay is not None:
                    update_average(average, model, recipe.ema_decay)
                entry["loss"] += report["loss"] * len(batch) / len(train)
                entry["rates"].append(report["rate"])
                entry["gradient_norms"].append(report["gradient_norm"])
            candidate = model if recipe.ema_decay is None else average
            entry["validation"] = score(candidate, validation)
            if not values or entry["validation"] > max(values):
                best = {name: value.clone() for name, value in candidate.state_dict().items()}
            history.append(entry)
            if checkpoint is not None:
                save_checkpoint(checkpoint, {
                    "recipe": asdict(recipe), "model": model.state_dict(), "average": average.state_dict(),
                    "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(),
                    "random": torch.get_rng_state(), "history": history, "best": best, "baseline": baseline,
                })
        values = [entry["validation"] for entry in history]
        model.load_state_dict(best)
        model.eval()
        return {
            "baseline": baseline, "history": history, "best_epoch": values.index(max(values)),
            "validation": max(values), "test": score(model, test), "stopped_early": len(values) != recipe.epochs,
        }
""",
    ),
]

FREE = "Any formula will do that makes another number of each pair of seed and epoch."
equivalent_mutants = {
    "Lt -> LtE in `if step < warmup:": "At step = warmup both branches give the factor 1.",
    "0 -> 1 in `baseline, history, best_epoch, best = score": "Epoch 0 is the best one so far whatever stood there.",
    "Add -> Sub in `torch.manual_seed(": FREE,
    "1000003 -> 1000004 in `torch.manual_seed(": FREE,
}

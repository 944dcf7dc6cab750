"""The hooks of the loop and what each is called with: the one table that is the contract."""

ALWAYS = ("model", "optimizer", "data_loader", "progress", "plan", "scores", "state", "run_dir")
IN_BATCH = (*ALWAYS, "batch")
IN_STEP = (*ALWAYS, "batches", "outcome")

#: Every hook, in the order of one pass, and the names that it is called with.
#:
#: model: The module in training. optimizer: None in a `Predictor`.
#: data_loader: What the steps come from. progress: Finished work, `Progress`.
#: plan: How long the run will be, `Plan`. scores: Named values, `Scores`.
#: state: Everything that a checkpoint holds, `TrainingState`.
#: run_dir: The run's folder, or None.
#: data_wait_s: Seconds that this step waited for its data.
#: batch, batches: The batch at hand, all batches of the step, on the device.
#: losses: Named losses of the batch. loss: Their sum, scalar.
#: preds: Predictions of the batch. outcome: What becomes of the step, `StepOutcome`.
#: error: What ended the run, or None.
HOOK_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "on_setup": ALWAYS,
    "on_loop_begin": ALWAYS,
    "on_epoch_begin": ALWAYS,
    "on_step_begin": (*ALWAYS, "data_wait_s"),
    "on_batch_begin": IN_BATCH,
    "on_backward_begin": (*IN_BATCH, "losses", "loss"),
    "on_backward_end": (*IN_BATCH, "losses", "loss"),
    "on_batch_end": (*IN_BATCH, "losses", "loss", "preds"),
    "on_optimizer_step_begin": IN_STEP,
    "on_step_end": IN_STEP,
    "on_epoch_end": ALWAYS,
    "on_loop_end": ALWAYS,
    "on_close": (*ALWAYS, "error"),
}

"""The training graph and the loop over batches."""

import contextlib
import gc
import json
import logging
import math
import signal
import sys
import threading
import time

from dptf.errors import UserError
from dptf.graph.freeze import variable_graph
from dptf.kernels import keep_memory
from dptf.nn.parameters import Parameters
from dptf.nn.table import is_compressed
from dptf.nn.tabulated import DEFAULT_SPACING
from dptf.ops import sel_overflow, tf
from dptf.parallel.world import Solo
from dptf.session import new_session
from dptf.train.checkpoint import CheckpointWriter, meta_graph
from dptf.train.ema import MovingAverage
from dptf.train.full_validation import FullValidation
from dptf.train.optimizer import make_optimizer, scaled_rate
from dptf.train.report import Lcurve, Progress, TensorBoard, Timer
from dptf.train.stream import Prefetcher, TaskStream

log = logging.getLogger(__name__)

#: Largest accepted interpolation error of tabulated nets, relative to the largest node value.
TABLE_TOLERANCE = 1e-11
_FINEST_SPACING = DEFAULT_SPACING / 64


def of_large_ops(branches):
    """Whether the graph is one of few large ops, which TensorFlow's rewriting gains nothing from."""
    return not any(b.model.descriptor.rewriting_gains for b in branches)


class Trainer:
    """Train one model, or several that share parts.

    Parameters
    ----------
    config : dict
        Normalised input with numbers in ``sel``.
    branches : list of Branch
    schedule : Schedule
    values : dict, optional
        Initial arrays by variable name (from a frozen model).
    world : Solo
        The ranks of the run.
    probs : list of float
        Probability of every branch.
    """

    def __init__(self, config, branches, schedule, values=None, world=None, probs=(1.0,)):
        self.config, self.branches, self.schedule = config, branches, schedule
        self.options, self.world = config["training"], world or Solo()
        self.step, self._values, self._report, self.best = 0, values, None, []
        self._resume = None  # state of the data from which the next step goes on
        self._grids_fit = False  # known to fit the nets
        self.stream = TaskStream([b.training for b in branches], probs, self.options.get("seed"))
        for branch in branches:
            branch.spacing = branch.choose_spacing(self.options.get("tabulated_embedding", "auto"))
        self._gpu = self.world.gpu()
        self._build()
        self.writer = CheckpointWriter(self.options["save_ckpt"], self.options["max_ckpt_keep"])
        self.writer.attach(self.graph, self._portable_meta())
        self.graph.finalize()

    def _build(self):
        self.graph = tf.Graph()
        with self.graph.as_default():
            lr = tf.placeholder(tf.float32, [], name="learning_rate")
            flag = tf.placeholder(tf.float64, [], name="stop_flag")
            params = Parameters(self._values)
            script = json.dumps(self.config, separators=(",", ":"))
            if len(self.branches) > 1:
                tf.constant(script, name="train_attr/training_script", dtype=tf.string)
                script = None
            # Whoever holds shared variables comes first: they start with its values.
            for branch in sorted(
                self.branches, key=lambda b: b.variable_name("descrpt_attr/") != f"{b.name}/descrpt_attr/"
            ):
                branch.build(params, lr, script)
            global_step = tf.train.get_or_create_global_step()
            self._step_value = tf.placeholder(tf.int64, [])
            self._set_step = tf.assign(global_step, self._step_value)
            factor = scaled_rate(self.config.get("learning_rate"), self.world.size)
            self.trainable = variables = tf.trainable_variables()
            if factor != 1:
                log.info("learning rate times %g on %d ranks (learning_rate/scale_by_worker)", factor, self.world.size)
            optimizer = make_optimizer(self.config, lr * factor, variables)
            updates = [optimizer.minimize(b, variables, global_step, self.world, flag) for b in self.branches]
            self._average = None
            if self.options.get("enable_ema"):
                self._average = MovingAverage(variables, self.options.get("ema_decay", 0.999))
                updates = [self._average.after(update) for update in updates]
            init = tf.global_variables_initializer()
            self.variables = tf.global_variables()
        # Nearly all work of a tabulated graph, and of one of large ops, is in ops that use all threads; a second op beside them would
        # take a core from them.
        large = of_large_ops(self.branches)
        fused = large or all(b.spacing is not None for b in self.branches)
        self.session = new_session(self.graph, self._gpu, inter_default=1 if fused else None, rewrite=not large)
        self.session.run(init)
        optimizer.initialise(self.session)
        self._train = []
        for branch, update in zip(self.branches, updates):
            branch.callables(self.session)
            self._train.append(optimizer.callable(self.session, branch, update, flag))
        self._updates, self._flag = updates, flag

    def restore(self, checkpoint, *, keep_step):
        """Take all variables from a checkpoint; with `keep_step` also the step and the data stream."""
        averaged = checkpoint.restore(self.session, self.graph, optional=MovingAverage.PREFIX)
        if not averaged:
            self.average_from_here()
        if not keep_step:
            self.session.run(self._set_step, {self._step_value: 0})
            return
        self.step = int(self.session.run(self.graph.get_tensor_by_name("global_step:0")))
        state = checkpoint.state()
        if state is None:
            log.warning("the checkpoint holds no state of the data stream: batches start anew")
            return
        self.best = [list(b) for b in state.get("best", [])]
        validation = state.get("validation")
        for branch, saved in zip(self.branches, validation if isinstance(validation, list) else [validation]):
            if branch.validation is not None and saved:
                branch.validation.set_state(saved)
        self.stream.set_state(state["training"])  # last: validation may draw from the same generator
        spacing = state.get("spacing")
        for branch, saved in zip(self.branches, spacing if isinstance(spacing, list) else [spacing]):
            if branch.spacing is not None and saved:
                branch.spacing = saved
        self._grids_fit = all(spacing if isinstance(spacing, list) else [spacing])

    def weights(self):
        """Trainable arrays by name."""
        return dict(zip([v.op.name for v in self.trainable], self.session.run(self.trainable)))

    def average_from_here(self):
        """Weights were put in from outside: running averages begin with them."""
        if self._average is not None:
            self._average.reset(self.session)

    def synchronise(self):
        """Give all ranks what rank 0 holds: variables, step, stream, grids; and prove it."""
        if self.world.size == 1:
            return
        values = self.session.run(self.variables) if self.world.chief else None
        spacings = [b.spacing for b in self.branches]
        values, self.step, state, spacings = self.world.broadcast((values, self.step, self.stream.state(), spacings))
        if not self.world.chief:
            for variable, value in zip(self.variables, values):
                variable.load(value, self.session)
            self.stream.set_state(state)
            for branch, spacing in zip(self.branches, spacings):
                if branch.spacing is not None and spacing is None:
                    self._rebuild(exact=branch)
                branch.spacing = spacing
        self.world.check_equal(self.session.run(self.variables), f"weights at step {self.step}")

    def _skip_validation(self):
        for branch in self.branches:
            branch.skip_validation()

    def _validation_states(self):
        return [b.validation.state() if b.validation is not None else None for b in self.branches]

    def _data_state(self):
        """Everything that decides which data are drawn from here on."""
        validation = self._validation_states()
        return {"training": self.stream.state(), "validation": validation if len(validation) > 1 else validation[0]}

    def state(self):
        """What a checkpoint holds beside the variables."""
        spacing = [b.spacing for b in self.branches]
        data = self._resume or self._data_state()
        return {**data, "spacing": spacing if len(spacing) > 1 else spacing[0], "best": self.best}

    @contextlib.contextmanager
    def averaged_weights(self):
        """The moving average in place of the weights, inside the block."""
        kept = self.session.run(self._average.variables)
        for variable, value in zip(self._average.variables, self.session.run(self._average.averages)):
            variable.load(value, self.session)
        try:
            yield
        finally:
            for variable, value in zip(self._average.variables, kept):
                variable.load(value, self.session)

    def present_weights(self):
        """The weights as they are."""
        return contextlib.nullcontext()

    def save(self):
        """Write a checkpoint (rank 0), after a look whether all ranks still agree."""
        if self.world.size > 1:
            self.world.check_equal(self.session.run(self.variables), f"weights at step {self.step}")
        if self.world.chief:
            self.writer.save(self.session, self.step, self.state())
            log.info("saved checkpoint %s", self.options["save_ckpt"])

    def _verify_table(self, branch, args):
        """Refine the grid when the nets have become too curved for it; give up on tables if that does not help."""
        if branch.check_table is None or branch.spacing is None:
            return
        tolerance = TABLE_TOLERANCE if branch.model.descriptor.precision == tf.float64 else 1e-5
        while (error := self._table_error(branch, args)) > tolerance:
            branch.spacing /= 2
            if branch.spacing < _FINEST_SPACING:
                log.warning(
                    "the embedding nets can no longer be tabulated (error %.1e): evaluating them exactly", error
                )
                self._rebuild(exact=branch)
                return
            log.info("embedding grid refined: spacing 1/%d (error was %.1e)", round(1 / branch.spacing), error)

    def _table_error(self, branch, args):
        return max(self.world.gather(float(branch.check_table(*args[:-1], branch.spacing))))

    def _portable_meta(self):
        """Meta graph of a single model without this package's training ops; None where there is no such graph."""
        (branch, *others), given = self.branches, self._values or {}
        if others or is_compressed(given) or self.config["model"].get("modifier"):
            return None
        return meta_graph(variable_graph(self.config, min_nbor_dist=branch.model.min_nbor_dist))

    def _rebuild(self, *, exact):
        """Build the graph anew, with one branch evaluated exactly."""
        kept = dict(zip([v.op.name for v in self.variables], self.session.run(self.variables)))
        self.session.close()
        exact.spacing = None
        self._build()
        for v in self.variables:
            v.load(kept[v.op.name], self.session)
        self.writer.attach(self.graph, self._portable_meta())
        self.graph.finalize()

    def run(self, *, append=False):
        """The loop. `append` continues an existing learning curve."""
        stop = self.options["numb_steps"]
        log.info("start training at lr %.2e (== %.2e), final lr will be %.2e",
                 self.schedule(self.step), self.schedule(self.step), self.schedule(stop))  # fmt: skip
        if self.step >= stop and append:
            log.info("the run had already reached step %d of %d: nothing to do", self.step, stop)
            return
        if stop == 0:
            self.save()
            return
        interrupted = []
        handlers = {s: signal.signal(s, lambda n, _: interrupted.append(n)) for s in _catchable()}
        # The graph is there to stay: the collector need not walk through its objects again and again. That of the checkpoints is not.
        gc.collect()
        gc.freeze()
        keep_memory()
        prefetch = Prefetcher(self.stream, self._data_state)
        self._report = _Report(self, prefetch, append) if self.world.chief else None
        try:
            self._loop(prefetch, interrupted)
        finally:
            prefetch.close()
            gc.unfreeze()
            if self._report:
                self._report.close()
            for s, h in handlers.items():
                signal.signal(s, h)
        self._overflow()
        if interrupted or self.step < stop:
            raise UserError(
                f"interrupted at step {self.step}; a checkpoint was written", None,
                f"continue with: dp train --restart {self.options['save_ckpt']} INPUT",
            )  # fmt: skip
        if self._report:
            self._report.timer.summary()

    def _loop(self, prefetch, interrupted):
        stop, disp, save = self.options["numb_steps"], self.options["disp_freq"], self.options["save_freq"]
        show = self.options.get("disp_training", True)
        first, stopping = self.step, False
        prefetch.request()
        pending, self._resume = prefetch.next()
        if not self._grids_fit:
            # A continued run keeps the grid it had; one without begins with one that fits its nets.
            self._verify_table(self.branches[pending[0]], self.branches[pending[0]].args(pending[1], self.schedule(0)))
        if show and self._report:
            self._report.first(*pending)
        elif show and first % disp == 0:
            self._skip_validation()
        while self.step < stop and not stopping:
            prefetch.request()
            index, batch = pending
            branch = self.branches[index]
            args = branch.args(batch, self.schedule(self.step))
            traced = self.step + 1 == stop and self.options.get("profiling") and self.world.chief
            begin = time.perf_counter()
            values = [*args, float(bool(interrupted))]
            loss, mean_loss, flags, *_ = self._traced_step(index, values) if traced else self._train[index](*values)
            busy = time.perf_counter() - begin
            self.step += 1
            if not math.isfinite(mean_loss):
                self._stop_at(loss, batch)
            stopping = flags > 0 or (self.world.size == 1 and bool(interrupted))
            pending, self._resume = prefetch.next()
            shown = show and self.step % disp == 0
            if self._report:
                self._report.after(index, batch, mean_loss, busy, shown)
            elif shown:
                self._skip_validation()
            if shown:
                self._verify_table(branch, args)
                self._overflow()
            if self._report and self._report.full and self._report.full.due(self.step):
                self._report.full.run()
            if save > 0 and self.step % save == 0 and self.step < stop:
                if self._report:
                    self._report.progress.clear()
                self.save()
        if self._report:
            self._report.progress.clear()
        if self.writer.saved_step != self.step and self.step > first:
            self.save()

    def _stop_at(self, loss, batch):
        """Name the data of a loss that is not finite; all ranks come here together."""
        seen = self.world.gather((float(loss), batch["system"]))
        value, system = next((s for s in seen if not math.isfinite(s[0])), seen[0])
        raise UserError(
            f"the loss is {value} at step {self.step}", f"system {system}",
            "look for wrong labels or overlapping atoms in it, or lower start_lr",
        )  # fmt: skip

    def _traced_step(self, index, values):
        from tensorflow.python.client import timeline

        meta, options = tf.RunMetadata(), tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
        feed = dict(zip([*self.branches[index].feed_list, self._flag], values))
        out = self.session.run(self._updates[index], feed, options=options, run_metadata=meta)
        with open(self.options.get("profiling_file", "timeline.json"), "w") as f:
            f.write(timeline.Timeline(meta.step_stats).generate_chrome_trace_format())
        return out

    def _overflow(self):
        lost = sum(self.world.gather(sel_overflow()))
        if lost:
            log.warning(
                "%d neighbors found no slot: sel is too small for the data, the farthest neighbors are cut off", lost
            )


class _Report:
    """What rank 0 shows and writes while the loop runs."""

    def __init__(self, trainer, prefetch, append):
        t, options = trainer, trainer.options
        self._t, self._prefetch = t, prefetch
        self._disp, self._stop = options["disp_freq"], options["numb_steps"]
        columns = [(f"{m}", b.label, b.validation is not None) for b in t.branches for m in b.loss.metric_names()]
        self._lcurve = Lcurve(options["disp_file"], columns, append, t.step)
        self._board = TensorBoard.make(options, t.graph)
        self._energies = any(metric == "rmse_f" for metric, *_ in columns)
        self.progress, self.timer = Progress(self._stop, sys.stderr), Timer(t.step)
        self._latest = {}
        self.full = FullValidation.make(t, append)

    def first(self, index, batch):
        """The row before the first step; validation draws of it do not count unless a whole run makes them too."""
        states = self._t._validation_states()
        self._display(index, batch)
        if self._energies:
            log.info(
                "these numbers, and %s: energies and virials in eV/atom, forces in eV/Å", self._t.options["disp_file"]
            )
        if self._t.step % self._disp:
            for branch, state in zip(self._t.branches, states):
                if state is not None:
                    branch.validation.set_state(state)

    def after(self, index, batch, loss, busy, shown):
        """The step is done."""
        t = self._t
        self.timer.update(busy)
        self._latest[index] = batch
        if shown:
            self._display(index, batch)
            self.timer.report(t.step, self._stop, self._prefetch, t.options.get("time_training", True))
        elif self._board is not None and self._board.due(t.step):
            self._board.scalars("train", {"loss": loss, "lr": t.schedule(t.step)}, t.step)
        self.progress.update(t.step, loss, self._prefetch.waited)

    def _display(self, index, batch):
        t = self._t
        lr = t.schedule(t.step)
        self._latest[index] = batch
        train, valid = {}, {}
        for i, branch in enumerate(t.branches):
            names = branch.loss.metric_names()
            seen = branch.train_metrics(self._latest[i], lr) if i in self._latest else dict.fromkeys(names, math.nan)
            if i in self._latest and not math.isfinite(seen["rmse"]):
                raise UserError(
                    f"the training error is {seen['rmse']} at step {t.step}", f"system {self._latest[i]['system']}",
                    "look for wrong labels or overlapping atoms in it, or lower start_lr",
                )  # fmt: skip
            train |= {k + branch.label: v for k, v in seen.items()}
            valid |= {k + branch.label: v for k, v in (branch.validation_metrics(lr) or {}).items()}
        self._lcurve.row(t.step, train, valid, lr)
        items = ", ".join(f"{k} = {v:8.2e}" for k, v in sorted(train.items()))
        log.info("Batch %7d: trn: %s, lr = %8.2e", t.step, items, lr)
        if valid:
            log.info("Batch %7d: val: %s", t.step, ", ".join(f"{k} = {v:8.2e}" for k, v in sorted(valid.items())))
        if self._board is not None:
            self._board.scalars("train", {**train, "lr": lr}, t.step)
            self._board.histograms(t.weights(), t.step)
            if valid:
                self._board.scalars("test", valid, t.step)

    def close(self):
        self._lcurve.close()
        if self.full:
            self.full.close()


def _catchable():
    """Signals that end a run with a checkpoint; handlers can only be set from the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return []
    return [signal.SIGINT, signal.SIGTERM]

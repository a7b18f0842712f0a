"""The training graph of one model and the loop over batches."""

import json
import logging
import math
import os
import queue
import signal
import sys
import threading
import time

import numpy as np

from dptf.env import threads
from dptf.errors import UserError
from dptf.nn.parameters import Parameters
from dptf.nn.tabulated import DEFAULT_SPACING
from dptf.ops import sel_overflow, tf
from dptf.train.checkpoint import CheckpointWriter
from dptf.train.report import Lcurve, Progress, TensorBoard

log = logging.getLogger(__name__)

#: Largest accepted interpolation error of tabulated nets, relative to the largest node value.
TABLE_TOLERANCE = 1e-11
_FINEST_SPACING = DEFAULT_SPACING / 16


def session_config():
    """Session options from the thread settings of the environment."""
    intra, inter = threads()
    return tf.ConfigProto(
        intra_op_parallelism_threads=intra, inter_op_parallelism_threads=inter, allow_soft_placement=True,
        gpu_options=tf.GPUOptions(allow_growth=True),
    )  # fmt: skip


class Prefetcher:
    """Draws batches in a thread; every batch comes with the state of the stream right after it."""

    def __init__(self, data, depth=2):
        self._data, self._queue, self._stop = data, queue.Queue(depth), threading.Event()
        self.waited = 0.0
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self):
        while not self._stop.is_set():
            try:
                item = (self._data.next_batch(), self._data.state(), None)
            except BaseException as err:  # handed to the training thread
                item = (None, None, err)
            while not self._stop.is_set():
                try:
                    self._queue.put(item, timeout=0.1)
                    break
                except queue.Full:
                    continue
            if item[2] is not None:
                return

    def next(self):
        """(batch, state of the stream after it)."""
        begin = time.perf_counter()
        batch, state, err = self._queue.get()
        self.waited += time.perf_counter() - begin
        if err is not None:
            raise err
        return batch, state

    def close(self):
        self._stop.set()
        self._thread.join()


class Trainer:
    """Train a model.

    Parameters
    ----------
    config : dict
        Normalised input with numbers in ``sel``.
    model : EnergyModel
    loss : EnergyLoss
    schedule : Schedule
    training, validation : DataSystems
        `validation` may be None.
    values : dict, optional
        Initial arrays by variable name (from a frozen model).
    """

    def __init__(self, config, model, loss, schedule, training, validation, values=None):
        self.config, self.model, self.loss, self.schedule = config, model, loss, schedule
        self.options, self.training, self.validation = config["training"], training, validation
        self.step, self._values = 0, values
        self.requirements = training.requirements
        atoms = np.array(training.natoms) * np.array(training.batch_sizes)
        self.spacing = self._choose_spacing(float(np.dot(atoms, training.probs)))
        self._build()
        self.writer = CheckpointWriter(self.options["save_ckpt"], self.options["max_ckpt_keep"])
        self.writer.attach(self.graph)
        self.graph.finalize()

    def _choose_spacing(self, atoms_per_batch):
        """Grid spacing of the tabulated embedding, or None to evaluate the nets in every slot."""
        wish = self.options.get("tabulated_embedding", "auto")
        d = self.model.descriptor
        if self.model.compressed:
            return None
        if wish is False or (wish == "auto" and not d.tabulation_pays(atoms_per_batch)):
            return None
        if not d.can_tabulate():
            raise UserError(
                f"activation '{d.activation}' or this precision cannot be tabulated", "training/tabulated_embedding",
                "set it to false or 'auto'",
            )  # fmt: skip
        if wish in (True, "auto"):
            return DEFAULT_SPACING
        return 1.0 / int(wish)

    def _build(self):
        opt = self.config.get("optimizer", {})
        self.graph = tf.Graph()
        with self.graph.as_default():
            inputs = self.model.placeholders()
            labels = self.loss.placeholders()
            self._spacing_in = tf.placeholder_with_default(
                tf.constant(self.spacing or 0.0, tf.float64), [], name="embedding_spacing"
            )
            tabulated = None if self.spacing is None else self._spacing_in
            self.model.constants(json.dumps(self.config, separators=(",", ":")))
            outputs = self.model.build(inputs, Parameters(self._values), tabulated=tabulated)
            lr = tf.placeholder(tf.float32, [], name="learning_rate")
            loss, self._metrics = self.loss.build(outputs, labels, inputs["natoms"], lr)
            global_step = tf.train.get_or_create_global_step()
            self._step_value = tf.placeholder(tf.int64, [])
            self._set_step = tf.assign(global_step, self._step_value)
            optimizer = tf.train.AdamOptimizer(lr, beta1=opt.get("adam_beta1", 0.9), beta2=opt.get("adam_beta2", 0.999))
            variables = tf.trainable_variables()
            if variables:
                grads = tf.gradients(loss, variables)
                max_norm = self.options.get("gradient_max_norm")
                if max_norm:
                    grads, _ = tf.clip_by_global_norm(grads, max_norm)
                pairs = [(g, v) for g, v in zip(grads, variables) if g is not None]
                # Variables are updated in place: none may change while a gradient still has to read it.
                pairs = list(zip(tf.tuple([g for g, _ in pairs]), [v for _, v in pairs]))
                train_op = optimizer.apply_gradients(pairs, global_step=global_step)
            else:
                raise UserError(
                    "every part of the model is frozen (trainable: false)", "model", "nothing can be trained"
                )
            self._table_error = self.model.descriptor.table_error if tabulated is not None else None
            init = tf.global_variables_initializer()
        # Only what a batch provides is fed: find flags and labels of terms without a prefactor do not exist here.
        self._feeds = {**{k: v for k, v in inputs.items()}, **labels}
        self._feeds["natoms_vec"] = self._feeds.pop("natoms")
        feed_list = [*self._feeds.values(), lr, self._spacing_in]
        self.session = tf.Session(graph=self.graph, config=session_config())
        self.session.run(init)
        self._train = self.session.make_callable([loss, train_op], feed_list=feed_list)
        self._train_traced = lambda args, **kw: self.session.run([loss, train_op], dict(zip(feed_list, args)), **kw)
        self._evaluate = self.session.make_callable(self._metrics, feed_list=feed_list)
        self._check_table = (
            self.session.make_callable(self._table_error, feed_list=feed_list)
            if self._table_error is not None
            else None
        )

    def _args(self, batch, step):
        flat = [np.ravel(batch[k]) if k in batch and batch[k].ndim else batch[k] for k in self._feeds]
        return [*flat, np.float32(self.schedule(step)), self.spacing or 0.0]

    def restore(self, checkpoint, *, keep_step):
        """Take all variables from a checkpoint; with `keep_step` also the step and the data stream."""
        checkpoint.restore(self.session, self.graph)
        if keep_step:
            self.step = int(self.session.run(self.graph.get_tensor_by_name("global_step:0")))
            state = checkpoint.state()
            if state is None:
                log.warning("the checkpoint holds no state of the data stream: batches start anew")
                return
            self.training.set_state(state["training"])
            if self.validation is not None and state.get("validation"):
                self.validation.set_state(state["validation"])
            if self.spacing is not None and state.get("spacing"):
                self.spacing = state["spacing"]
        else:
            self.session.run(self._set_step, {self._step_value: 0})

    def _state(self, training_state):
        validation = self.validation.state() if self.validation is not None else None
        return {"training": training_state, "validation": validation, "spacing": self.spacing}

    def _save(self, training_state):
        path = self.writer.save(self.session, self.step, self._state(training_state))
        log.info("saved checkpoint %s", self.options["save_ckpt"])
        return path

    def _validation_metrics(self):
        if self.validation is None:
            return None
        count = self.config["training"]["validation_data"].get("numb_btch", 1)
        sums, weights = None, 0.0
        for _ in range(count):
            batch = self.validation.next_batch()
            n = float(batch["natoms_vec"][0])
            values = np.array(list(self._evaluate(*self._args(batch, self.step)).values())) * n
            sums, weights = values if sums is None else sums + values, weights + n
        return dict(zip(self.loss.metric_names(), sums / weights))

    def _verify_table(self, args):
        """Refine the grid when the nets have become too curved for it; give up on tables if that does not help."""
        if self._check_table is None or self.spacing is None:
            return
        tolerance = TABLE_TOLERANCE if self.model.descriptor.precision == tf.float64 else 1e-5
        while (error := float(self._check_table(*args[:-1], self.spacing))) > tolerance:
            self.spacing /= 2
            if self.spacing < _FINEST_SPACING:
                log.warning(
                    "the embedding nets can no longer be tabulated (error %.1e): evaluating them exactly", error
                )
                self._rebuild_exact()
                return
            log.info("embedding grid refined: spacing 1/%d (error was %.1e)", round(1 / self.spacing), error)

    def _rebuild_exact(self):
        with self.graph.as_default():
            variables = tf.global_variables()
        kept = dict(zip([v.op.name for v in variables], self.session.run(variables)))
        self.session.close()
        self.spacing = None
        self._build()
        with self.graph.as_default():
            for v in tf.global_variables():
                v.load(kept[v.op.name], self.session)
        self.writer.attach(self.graph)
        self.graph.finalize()

    def run(self, *, append=False):
        """The loop. `append` continues an existing learning curve."""
        stop, disp, save = self.options["numb_steps"], self.options["disp_freq"], self.options["save_freq"]
        show = self.options.get("disp_training", True)
        log.info("start training at lr %.2e (== %.2e), final lr will be %.2e",
                 self.schedule(self.step), self.schedule(self.step), self.schedule(stop))  # fmt: skip
        if self.step >= stop and append:
            log.info("the run had already reached step %d of %d: nothing to do", self.step, stop)
            return
        if stop == 0:
            self._save(self.training.state())
            return
        lcurve = Lcurve(self.options["disp_file"], self.loss.metric_names(), self.validation is not None, append)
        board = TensorBoard.make(self.options, self.graph)
        progress = Progress(stop, sys.stderr)
        interrupted = []
        handlers = {s: signal.signal(s, lambda n, _: interrupted.append(n)) for s in _catchable()}
        prefetch = Prefetcher(self.training)
        first = self.step
        timer = _Timer(first)
        training_state = None
        try:
            batch, training_state = prefetch.next()
            pending = batch
            if show:
                self._display(lcurve, board, batch)
            while self.step < stop and not interrupted:
                batch = pending
                args = self._args(batch, self.step)
                last = self.step + 1 == stop
                traced = last and self.options.get("profiling")
                begin = time.perf_counter()
                loss = self._traced_step(args) if traced else self._train(*args)[0]
                timer.update(time.perf_counter() - begin)
                self.step += 1
                if not math.isfinite(loss):
                    raise UserError(
                        f"the loss is {loss} at step {self.step}", f"system {batch['system']}",
                        "look for wrong labels or overlapping atoms in it, or lower start_lr",
                    )  # fmt: skip
                consumed = training_state
                if self.step < stop:
                    pending, training_state = prefetch.next()
                shown = show and self.step % disp == 0
                if shown:
                    self._display(lcurve, board, batch)
                    timer.report(self.step, stop, disp, prefetch, self.options.get("time_training", True))
                    self._verify_table(args)
                    _report_overflow()
                elif board is not None and board.due(self.step):
                    board.scalars("train", {"loss": loss, "lr": self.schedule(self.step)}, self.step)
                progress.update(self.step, loss)
                if save > 0 and self.step % save == 0 and self.step < stop:
                    progress.clear()
                    self._save(consumed)
            progress.clear()
            if self.writer.saved_step != self.step and self.step > first:
                self._save(consumed)
        finally:
            prefetch.close()
            lcurve.close()
            for s, h in handlers.items():
                signal.signal(s, h)
        _report_overflow()
        if interrupted:
            raise UserError(
                f"interrupted at step {self.step}; a checkpoint was written", None,
                f"continue with: dp train --restart {self.options['save_ckpt']} INPUT",
            )  # fmt: skip
        timer.summary()

    def _traced_step(self, args):
        from tensorflow.python.client import timeline

        meta = tf.RunMetadata()
        options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
        loss = self._train_traced(args, options=options, run_metadata=meta)[0]
        with open(self.options.get("profiling_file", "timeline.json"), "w") as f:
            f.write(timeline.Timeline(meta.step_stats).generate_chrome_trace_format())
        return loss

    def _display(self, lcurve, board, batch):
        lr = self.schedule(self.step)
        train = {k: float(v) for k, v in self._evaluate(*self._args(batch, self.step)).items()}
        valid = self._validation_metrics()
        if not math.isfinite(train["rmse"]):
            raise UserError(
                f"the training error is {train['rmse']} at step {self.step}", f"system {batch['system']}",
                "look for wrong labels or overlapping atoms in it, or lower start_lr",
            )  # fmt: skip
        lcurve.row(self.step, train, valid, lr)
        items = ", ".join(f"{k} = {v:8.2e}" for k, v in sorted(train.items()))
        log.info("Batch %7d: trn: %s, lr = %8.2e", self.step, items, lr)
        if valid is not None:
            log.info("Batch %7d: val: %s", self.step, ", ".join(f"{k} = {v:8.2e}" for k, v in sorted(valid.items())))
        if board is not None:
            board.scalars("train", {**train, "lr": lr}, self.step)
            if valid is not None:
                board.scalars("test", valid, self.step)


def _catchable():
    """Signals that end a run with a checkpoint; handlers can only be set from the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return []
    return [signal.SIGINT, signal.SIGTERM]


def _report_overflow():
    lost = sel_overflow()
    if lost:
        log.warning(
            "%d neighbors found no slot: sel is too small for the data, the farthest neighbors are cut off", lost
        )


class _Timer:
    """Wall times for the log: per interval, and the average without the first interval."""

    def __init__(self, step):
        self.first = self.last_step = step
        self.begin = time.time()
        self.busy, self.intervals, self._data = 0.0, [], 0.0

    def update(self, seconds):
        self.busy += seconds

    def report(self, step, stop, disp, prefetch, wanted):
        now = time.time()
        wall, steps = now - self.begin, step - self.last_step
        share = 100.0 * (prefetch.waited - self._data) / max(wall, 1e-9)
        self.intervals.append((self.busy, steps))
        if wanted:
            left = int((stop - step) * wall / max(steps, 1))
            eta = f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"
            finish = time.strftime("%Y-%m-%d %H:%M", time.localtime(now + left))
            log.info(
                "Batch %7d: total wall time = %.2f s, eta = %s at %s, data wait %.1f %%", step, wall, eta, finish, share
            )
        self.begin, self.busy, self.last_step, self._data = now, 0.0, step, prefetch.waited

    def summary(self):
        rows = self.intervals[1:] or self.intervals
        steps = sum(n for _, n in rows)
        if steps:
            skipped = self.intervals[0][1] if len(self.intervals) > 1 else 0
            log.info(
                "average training time: %.4f s/batch (exclude first %d batches)",
                sum(b for b, _ in rows) / steps,
                skipped,
            )


def world_size():
    """Number of processes that a launcher started together."""
    for name in ("HOROVOD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 1

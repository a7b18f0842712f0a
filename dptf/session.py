"""TensorFlow sessions, all with the same options.

The pools of threads belong to the process and have the size that its first session asks for, so every session, however
short, has to be made here.
"""

from dptf.env import threads
from dptf.ops import tf


def session_config(gpu=None, inter_default=None, rewrite=True):
    """Options of a session: threads as the environment says, and one GPU by its index (None: TensorFlow chooses).

    A session with a default of its own for the threads between ops has them for itself; others share those of the first. Without
    `rewrite` the graph is run as it is built.
    """
    intra, inter = threads(inter_default)
    options = tf.GPUOptions(allow_growth=True, visible_device_list=None if gpu is None else str(gpu))
    config = tf.ConfigProto(
        intra_op_parallelism_threads=intra, inter_op_parallelism_threads=inter, allow_soft_placement=True,
        gpu_options=options, use_per_session_threads=inter_default is not None,
    )  # fmt: skip
    config.graph_options.rewrite_options.disable_meta_optimizer = not rewrite
    return config


def new_session(graph=None, gpu=None, inter_default=None, rewrite=True):
    """A session of a graph, the default graph if there is none; other arguments as `session_config` has them."""
    return tf.Session(graph=graph, config=session_config(gpu, inter_default, rewrite))

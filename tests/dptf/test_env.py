"""What importing TensorFlow brings along."""

import subprocess
import sys

PROGRAM = """
import sys
from dptf.ops import tf
assert "keras" not in sys.modules
import tensorflow
from tensorflow.keras import layers
assert tf.keras.layers.Dense is layers.Dense
assert tensorflow.optimizers.Adam.__module__.startswith("keras.")
"""


def test_keras_is_there_when_asked_for():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)

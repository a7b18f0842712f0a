"""Plain layers of the attention and message-passing descriptors: linear maps and layer normalisation."""

import math

import numpy as np

from dptf.nn.parameters import normal
from dptf.ops import tf


def linear(params, name, n_in, n_out, dtype, seeder, *, bias=True, trainable=True, step=3):
    """Weights of a linear map as (matrix, bias), bias None where there is none; the next map has seeds `step` further."""
    w = params.get(
        f"{name}/matrix", [n_in, n_out], normal(1.0 / math.sqrt(n_in + n_out), seed=seeder.layer(0)), dtype, trainable
    )
    b = params.get(f"{name}/bias", [n_out], normal(1.0, seed=seeder.layer(1)), dtype, trainable) if bias else None
    seeder.advance(step)
    return w, b


def apply_linear(x, layer):
    """``x W + b`` on the last axis of x."""
    w, b = layer
    n_in, n_out = (int(n) for n in w.shape)
    y = tf.matmul(tf.reshape(x, [-1, n_in]), w)
    if b is not None:
        y = tf.nn.bias_add(y, b)
    return tf.reshape(y, tf.concat([tf.shape(x)[:-1], [n_out]], 0)) if x.shape.ndims != 2 else y


def layer_norm(params, name, width, dtype, trainable=True):
    """Weights (gamma, beta) of a layer normalisation."""
    kind = dtype.as_numpy_dtype
    gamma = params.get(f"{name}/gamma", [width], np.ones(width, kind), dtype, trainable)
    beta = params.get(f"{name}/beta", [width], np.zeros(width, kind), dtype, trainable)
    return gamma, beta


def apply_layer_norm(x, weights, eps):
    """``(x - mean) / sqrt(var + eps) * gamma + beta`` over the last axis (biased variance)."""
    gamma, beta = weights
    x = x - tf.reduce_mean(x, axis=-1, keepdims=True)
    scale = tf.rsqrt(tf.reduce_mean(x * x, axis=-1, keepdims=True) + eps)
    return x * scale * gamma + beta


def unit(x, smallest):
    """x over its norm along the last axis; squared norms count as at least ``smallest``."""
    return x * tf.rsqrt(tf.maximum(tf.reduce_sum(x * x, axis=-1, keepdims=True), smallest))

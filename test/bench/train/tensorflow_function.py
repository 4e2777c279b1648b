"""Contender of bench/train.ts: the step in TensorFlow from Python, as one tf.function. Flat matrices and BiasAdd,
closed-form gradients of LayerNorm and GELU, ResourceApplyAdam, masked positions gathered before the head. bf16 casts
around matrix products; `xla` compiles the whole step."""

import os

from protocol import (
    BATCH_SIZE,
    BETAS,
    DROPOUT,
    EPSILON,
    INIT_STD,
    LAYER_NORM_EPSILON,
    LEARNING_RATE,
    MAX_GRAD_NORM,
    MAX_SEQ_LEN,
    NUM_MASKED,
    NUM_TOKENS,
    TASK,
    VOCAB_SIZE,
    WEIGHT_DECAY,
    masked_batch,
    serve,
)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import numpy as np
import tensorflow as tf

HIDDEN, NUM_HEADS, INNER = TASK["hiddenSize"], TASK["numHeads"], TASK["intermediateSize"]
HEAD_SIZE = HIDDEN // NUM_HEADS
PRODUCT_TYPE = tf.bfloat16 if TASK["precision"] == "bf16" else tf.float32
tf.config.threading.set_intra_op_parallelism_threads(TASK["numThreads"])
tf.config.threading.set_inter_op_parallelism_threads(TASK["numThreads"])
tf.random.set_seed(1)

parameters = {}


def declare(name, *shape, value=None):
    initial = tf.random.normal(shape, stddev=INIT_STD) if value is None else tf.fill(shape, float(value))
    parameters[name] = tf.Variable(initial, name=name)


def declare_dense(name, rows, columns):
    declare(f"{name}.weight", rows, columns)
    declare(f"{name}.bias", columns, value=0)


def declare_norm(name):
    declare(f"{name}.gain", HIDDEN, value=1)
    declare(f"{name}.bias", HIDDEN, value=0)


declare("words", VOCAB_SIZE, HIDDEN)
declare("positions", 512, HIDDEN)
declare("types", 2, HIDDEN)
declare_norm("norm")
for index in range(TASK["numLayers"]):
    declare_dense(f"{index}.qkv", HIDDEN, 3 * HIDDEN)
    declare_dense(f"{index}.attention_output", HIDDEN, HIDDEN)
    declare_norm(f"{index}.attention_norm")
    declare_dense(f"{index}.intermediate", HIDDEN, INNER)
    declare_dense(f"{index}.output", INNER, HIDDEN)
    declare_norm(f"{index}.norm")
declare_dense("transform", HIDDEN, HIDDEN)
declare_norm("head_norm")
declare("head_bias", VOCAB_SIZE, value=0)
moments = {name: [tf.Variable(tf.zeros_like(p)) for _ in range(2)] for name, p in parameters.items()}
num_updates = tf.Variable(0.0)


def product(a, b, bias=None, **transposed):
    result = tf.matmul(tf.cast(a, PRODUCT_TYPE), tf.cast(b, PRODUCT_TYPE), **transposed)
    if bias is not None:
        result = tf.nn.bias_add(result, tf.cast(bias, PRODUCT_TYPE))
    return tf.cast(result, tf.float32)


def dense(name, x):
    return product(x, parameters[f"{name}.weight"], parameters[f"{name}.bias"])


@tf.custom_gradient
def normalized(x, gain, bias):
    centered = x - tf.reduce_mean(x, 1, keepdims=True)
    scale = tf.math.rsqrt(tf.reduce_mean(tf.square(centered), 1, keepdims=True) + LAYER_NORM_EPSILON)
    unit = centered * scale

    def gradient(dy):
        weighted = dy * gain
        along = tf.reduce_mean(weighted * unit, 1, keepdims=True)
        dx = scale * (weighted - tf.reduce_mean(weighted, 1, keepdims=True) - unit * along)
        return dx, tf.reduce_sum(dy * unit, 0), tf.reduce_sum(dy, 0)

    return unit * gain + bias, gradient


def norm(name, x):
    return normalized(x, parameters[f"{name}.gain"], parameters[f"{name}.bias"])


@tf.custom_gradient
def gelu(x):
    share = 0.5 + 0.5 * tf.math.erf(x * 0.5**0.5)

    def gradient(dy):
        return dy * (share + x * tf.exp(tf.square(x) * -0.5) * (2 * np.pi) ** -0.5)

    return x * share, gradient


def dropout(x):
    return tf.nn.dropout(x, DROPOUT)


def attention(x):
    qkv = tf.reshape(x, [BATCH_SIZE, MAX_SEQ_LEN, 3, NUM_HEADS, HEAD_SIZE])
    query, key, value = tf.unstack(tf.transpose(qkv, [2, 0, 3, 1, 4]))
    probabilities = tf.nn.softmax(product(query * HEAD_SIZE**-0.5, key, transpose_b=True))
    context = product(dropout(probabilities), value)
    return tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [NUM_TOKENS, HIDDEN])


def loss_of(ids, masked, labels):
    embedded = tf.reshape(tf.gather(parameters["words"], ids), [BATCH_SIZE, MAX_SEQ_LEN, HIDDEN])
    embedded += parameters["positions"][:MAX_SEQ_LEN] + parameters["types"][0]
    x = dropout(norm("norm", tf.reshape(embedded, [NUM_TOKENS, HIDDEN])))
    for index in range(TASK["numLayers"]):
        context = attention(dense(f"{index}.qkv", x))
        x = norm(f"{index}.attention_norm", x + dropout(dense(f"{index}.attention_output", context)))
        inner = gelu(dense(f"{index}.intermediate", x))
        x = norm(f"{index}.norm", x + dropout(dense(f"{index}.output", inner)))
    head = norm("head_norm", gelu(dense("transform", tf.gather(x, masked))))
    logits = product(head, parameters["words"], parameters["head_bias"], transpose_b=True)
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def update(name, gradient, step_size, epsilon):
    parameter, (first, second) = parameters[name], moments[name]
    if len(parameter.shape) == 2:
        parameter.assign(parameter * (1 - LEARNING_RATE * WEIGHT_DECAY))
    tf.raw_ops.ResourceApplyAdam(
        var=parameter.handle,
        m=first.handle,
        v=second.handle,
        beta1_power=0.0,
        beta2_power=0.0,
        lr=step_size,
        beta1=BETAS[0],
        beta2=BETAS[1],
        epsilon=epsilon,
        grad=gradient,
    )


def train(ids, masked, labels):
    names = list(parameters)
    with tf.GradientTape() as tape:
        loss = loss_of(ids, masked, labels)
    gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, [parameters[n] for n in names])]
    scale = tf.minimum(1.0, MAX_GRAD_NORM / (tf.linalg.global_norm(gradients) + 1e-6))
    num_updates.assign_add(1.0)
    root = tf.sqrt(1 - BETAS[1] ** num_updates)
    step_size = LEARNING_RATE * root / (1 - BETAS[0] ** num_updates)
    for name, gradient in zip(names, gradients):
        update(name, gradient * scale, step_size, EPSILON * root)
    return loss


def indices(size):
    return tf.TensorSpec([size], tf.int32)


signature = [indices(NUM_TOKENS), indices(NUM_MASKED), indices(NUM_MASKED)]
compiled = tf.function(train, input_signature=signature, jit_compile=TASK["xla"])


def step(*arrays):
    return float(compiled(*(tf.constant(array, tf.int32) for array in arrays)))


serve(f"TensorFlow {tf.__version__}", masked_batch, step)

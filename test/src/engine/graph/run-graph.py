"""Runs a step's SavedModel in the TensorFlow of this Python: writes the variables, runs the step, prints its outputs.

usage: run-graph.py FOLDER, which holds saved_model.pb and call.json:
{"write": {"node", "feeds": {name: [shape, values]}}, "step": {"feeds": {name: [dtype, shape, values]}, "outputs": [name]}}
"""

import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

folder = sys.argv[1]
model = saved_model_pb2.SavedModel()
with open(os.path.join(folder, "saved_model.pb"), "rb") as file:
    model.ParseFromString(file.read())
with open(os.path.join(folder, "call.json")) as file:
    call = json.load(file)


def arrays(feeds):
    return {f"{name}:0": np.array(values, dtype).reshape(shape) for name, (dtype, shape, values) in feeds.items()}


graph = tf.Graph()
with graph.as_default():
    tf.import_graph_def(model.meta_graphs[0].graph_def, name="")
with tf.compat.v1.Session(graph=graph) as session:
    for write in call["writes"]:
        session.run(f"{write['node']}:0", arrays(write["feeds"]))
    outputs = [f"{name}:0" for name in call["outputs"]]
    values = [session.run(outputs, arrays(call["feeds"])) for _ in range(call["count"])]
print(json.dumps({"version": tf.__version__, "values": [[v.ravel().tolist() for v in run] for run in values]}))

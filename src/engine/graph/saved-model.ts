import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Attribute, DType, GraphNode } from './graph.ts';
import { wireShape } from './varying.ts';

/** The protocol buffers that tfjs-node carries along, as far as they are used here. */
export interface ProtocolBuffers {
  readonly AttrValue: new () => AttrValue;
  readonly GraphDef: new () => { addNode(node: unknown): void; setVersions(versions: unknown): void };
  readonly MetaGraphDef: (new () => {
    setMetaInfoDef(info: unknown): void;
    setGraphDef(graph: unknown): void;
  }) & { readonly MetaInfoDef: new () => { addTags(tag: string): void } };
  readonly NodeDef: new () => NodeDef;
  readonly SavedModel: new () => {
    setSavedModelSchemaVersion(version: number): void;
    addMetaGraphs(graph: unknown): void;
    serializeBinary(): Uint8Array;
  };
  readonly Tensor: new () => {
    setDtype(type: number): void;
    setTensorShape(shape: unknown): void;
    setTensorContent(bytes: Uint8Array): void;
  };
  readonly TensorShape: (new () => { addDim(dim: unknown): void }) & {
    readonly Dim: new () => { setSize(size: number): void };
  };
  readonly VersionDef: new () => { setProducer(version: number): void };
}

interface NodeDef {
  setName(name: string): void;
  setOp(op: string): void;
  addInput(input: string): void;
  getAttrMap(): { set(name: string, value: AttrValue): void };
}

interface AttrValue {
  setType(type: number): void;
  setShape(shape: unknown): void;
  setI(value: number): void;
  setB(value: boolean): void;
  setS(value: Uint8Array): void;
  setTensor(tensor: unknown): void;
}

/** tensorflow/core/framework/types.proto */
const typeNumbers: Readonly<Record<DType, number>> = {
  float32: 1,
  int32: 3,
  bool: 10,
  bfloat16: 14,
  float16: 19,
};

/** Version of GraphDef as TensorFlow 2.9 wrote it: that one and everything newer reads the graph. */
const PRODUCER = 1087;

/** Tag of the only graph. */
export const TAG = 'serve';

/** Writes a graph as a SavedModel into a temporary folder for as long as `use` runs. */
export function withSavedModel<T>(
  protocol: ProtocolBuffers,
  nodes: readonly GraphNode[],
  use: (folder: string) => T,
): T {
  const folder = mkdtempSync(join(tmpdir(), 'taco-graph-'));
  try {
    writeFileSync(join(folder, 'saved_model.pb'), serialize(protocol, nodes));
    return use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Bytes of a SavedModel that holds a graph and no variables. */
export function serialize(protocol: ProtocolBuffers, nodes: readonly GraphNode[]): Uint8Array {
  const graph = new protocol.GraphDef();
  for (const { name, op, inputs, attributes } of nodes) {
    const node = new protocol.NodeDef();
    node.setName(name);
    node.setOp(op);
    for (const input of inputs) node.addInput(input);
    const map = node.getAttrMap();
    for (const [key, attribute] of Object.entries(attributes)) map.set(key, attrValue(protocol, attribute));
    graph.addNode(node);
  }
  const versions = new protocol.VersionDef();
  versions.setProducer(PRODUCER);
  graph.setVersions(versions);
  const info = new protocol.MetaGraphDef.MetaInfoDef();
  info.addTags(TAG);
  const metaGraph = new protocol.MetaGraphDef();
  metaGraph.setMetaInfoDef(info);
  metaGraph.setGraphDef(graph);
  const model = new protocol.SavedModel();
  model.setSavedModelSchemaVersion(1);
  model.addMetaGraphs(metaGraph);
  return model.serializeBinary();
}

function attrValue(protocol: ProtocolBuffers, attribute: Attribute): AttrValue {
  const value = new protocol.AttrValue();
  if ('type' in attribute) value.setType(typeNumbers[attribute.type]);
  else if ('shape' in attribute) value.setShape(tensorShape(protocol, attribute.shape));
  else if ('int' in attribute) value.setI(attribute.int);
  else if ('bool' in attribute) value.setB(attribute.bool);
  else if ('text' in attribute) value.setS(new TextEncoder().encode(attribute.text));
  else {
    const { dtype, shape, values } = attribute.tensor;
    const tensor = new protocol.Tensor();
    tensor.setDtype(typeNumbers[dtype]);
    tensor.setTensorShape(tensorShape(protocol, shape));
    tensor.setTensorContent(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    value.setTensor(tensor);
  }
  return value;
}

function tensorShape(protocol: ProtocolBuffers, shape: readonly number[]): unknown {
  const message = new protocol.TensorShape();
  for (const size of wireShape(shape)) {
    const dim = new protocol.TensorShape.Dim();
    dim.setSize(size);
    message.addDim(dim);
  }
  return message;
}

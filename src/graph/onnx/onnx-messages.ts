/**
 * The messages of `onnx.proto` that we write, encoded field by field through protobuf's own wire
 * writer. Field numbers are those of the ONNX specification (onnx/onnx.proto, IR version 10).
 */
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { DType, TensorData } from "../../tensor-data.js";
import type { OnnxAttribute, OnnxBody } from "../operator.js";
import type { Shape } from "../shape.js";

/** `TensorProto.DataType` of each of our element types. */
export const onnxDataType: Readonly<Record<DType, number>> = {
  float32: 1,
  uint8: 2,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  bfloat16: 16,
};

/** Bytes of an initializer that stay in another file, relative to the model's folder. */
export type ExternalLocation = {
  readonly location: string;
  readonly byteOffset: number;
  readonly byteLength: number;
};

export type OnnxNode = {
  readonly opType: string;
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
};

export type OnnxInitializer = {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly content: Uint8Array | ExternalLocation;
};

export type OnnxValue = { readonly name: string; readonly dtype: DType; readonly shape: Shape };

export type OnnxModel = {
  readonly graphName: string;
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxInitializer[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
};

/** IR version, and the version of the standard operator set that every lowering is written for. */
const irVersion = 10;
const operatorSetVersion = 21;

/** Writes a nested message as field `field`. */
const message = (
  writer: BinaryWriter,
  field: number,
  write: (writer: BinaryWriter) => void,
): void => {
  writer.tag(field, WireType.LengthDelimited).fork();
  write(writer);
  writer.join();
};

const text = (writer: BinaryWriter, field: number, value: string): void => {
  writer.tag(field, WireType.LengthDelimited).string(value);
};

const integer = (writer: BinaryWriter, field: number, value: number): void => {
  writer.tag(field, WireType.Varint).int64(value);
};

const attributeTypes = { float: 1, int: 2, string: 3, body: 5, ints: 7 } as const;

const writeAttribute = (writer: BinaryWriter, name: string, attribute: OnnxAttribute): void => {
  text(writer, 1, name);
  if ("float" in attribute) {
    writer.tag(2, WireType.Bit32).float(attribute.float);
    integer(writer, 20, attributeTypes.float);
  } else if ("int" in attribute) {
    integer(writer, 3, attribute.int);
    integer(writer, 20, attributeTypes.int);
  } else if ("string" in attribute) {
    writer.tag(4, WireType.LengthDelimited).bytes(new TextEncoder().encode(attribute.string));
    integer(writer, 20, attributeTypes.string);
  } else if ("body" in attribute) {
    message(writer, 6, (graph) => writeBody(graph, name, attribute.body));
    integer(writer, 20, attributeTypes.body);
  } else {
    for (const value of attribute.ints) integer(writer, 8, value);
    integer(writer, 20, attributeTypes.ints);
  }
};

const writeNode = (writer: BinaryWriter, node: OnnxNode): void => {
  for (const name of node.inputs) text(writer, 1, name);
  for (const name of node.outputs) text(writer, 2, name);
  // Named after its first output, so that profiles and error messages point into the graph.
  text(writer, 3, `${node.opType}:${node.outputs[0]}`);
  text(writer, 4, node.opType);
  for (const [name, attribute] of Object.entries(node.attributes)) {
    message(writer, 5, (inner) => writeAttribute(inner, name, attribute));
  }
  if (node.domain !== "") text(writer, 7, node.domain);
};

/** A graph within an attribute. Its values have a type and no shape, which the runtime finds out. */
const writeBody = (writer: BinaryWriter, name: string, body: OnnxBody): void => {
  for (const { opType, inputs, output, attributes = {} } of body.nodes) {
    const node = { opType, inputs, outputs: [output], domain: "", attributes };
    message(writer, 1, (inner) => writeNode(inner, node));
  }
  text(writer, 2, name);
  const writeNamed = (field: number, value: string): void =>
    message(writer, field, (inner) => {
      text(inner, 1, value);
      message(inner, 2, (type) =>
        message(type, 1, (tensor) => integer(tensor, 1, onnxDataType.float32)),
      );
    });
  for (const value of body.inputs) writeNamed(11, value);
  for (const value of body.outputs) writeNamed(12, value);
};

const writeInitializer = (writer: BinaryWriter, initializer: OnnxInitializer): void => {
  for (const side of initializer.shape) integer(writer, 1, side);
  integer(writer, 2, onnxDataType[initializer.dtype]);
  text(writer, 8, initializer.name);
  const { content } = initializer;
  if (content instanceof Uint8Array) {
    writer.tag(9, WireType.LengthDelimited).bytes(content);
    return;
  }
  const entries = {
    location: content.location,
    offset: String(content.byteOffset),
    length: String(content.byteLength),
  };
  for (const [key, value] of Object.entries(entries)) {
    message(writer, 13, (entry) => {
      text(entry, 1, key);
      text(entry, 2, value);
    });
  }
  integer(writer, 14, 1); // data_location: EXTERNAL
};

const writeValue = (writer: BinaryWriter, value: OnnxValue): void => {
  text(writer, 1, value.name);
  message(writer, 2, (type) =>
    message(type, 1, (tensor) => {
      integer(tensor, 1, onnxDataType[value.dtype]);
      message(tensor, 2, (shape) => {
        for (const side of value.shape) {
          message(shape, 1, (dimension) => {
            if (typeof side === "number") integer(dimension, 1, side);
            else text(dimension, 2, String(side));
          });
        }
      });
    }),
  );
};

/** The bytes of an `.onnx` file. */
export const encodeOnnxModel = (model: OnnxModel): Uint8Array => {
  const writer = new BinaryWriter();
  integer(writer, 1, irVersion);
  text(writer, 2, "saccade");
  message(writer, 7, (graph) => {
    for (const node of model.nodes) message(graph, 1, (inner) => writeNode(inner, node));
    text(graph, 2, model.graphName);
    for (const initializer of model.initializers) {
      message(graph, 5, (inner) => writeInitializer(inner, initializer));
    }
    for (const value of model.inputs) message(graph, 11, (inner) => writeValue(inner, value));
    for (const value of model.outputs) message(graph, 12, (inner) => writeValue(inner, value));
  });
  for (const [domain, version] of [
    ["", operatorSetVersion],
    ["com.microsoft", 1],
  ] as const) {
    message(writer, 8, (operatorSet) => {
      if (domain !== "") text(operatorSet, 1, domain);
      integer(operatorSet, 2, version);
    });
  }
  return writer.finish();
};

/** The raw bytes of a tensor, little-endian as ONNX wants them. */
export const rawBytes = (tensor: TensorData): Uint8Array =>
  new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);

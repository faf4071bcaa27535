"""Makes the ONNX files that import.rs expects to be refused.

    pip install onnx numpy
    python make_wrong.py                                 # writes wrong/*.onnx
"""

import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FOLDER = pathlib.Path(__file__).parent / "wrong"


def save(name, nodes, constants, opset=17, shape=(1, 1, 4, 4)):
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2])
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "graph", [image], [logits], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    (FOLDER / f"{name}.onnx").write_bytes(model.SerializeToString())
    return model


def main():
    FOLDER.mkdir(exist_ok=True)
    node = helper.make_node
    dense = {"weight": np.ones((16, 2), np.float32)}
    flat = node("Flatten", ["image"], ["flat"], name="flatten")
    matmul = node("MatMul", ["flat", "weight"], ["logits"], name="dense")
    save("cyclic", [node("Add", ["flat", "logits"], ["sum"], name="sum"), flat,
                    node("MatMul", ["sum", "weight"], ["logits"], name="dense")], dense)
    save("undefined", [flat, node("MatMul", ["flat", "missing"], ["logits"], name="dense")], dense)
    save("operators", [node("Sigmoid", ["image"], ["a"], name="gate"), node("Resize", ["a"], ["b"], name="up"),
                       node("Sigmoid", ["b"], ["c"], name="gate2"), node("Flatten", ["c"], ["flat"]), matmul], dense)
    save("opset6", [flat, matmul], dense, opset=6)
    save("softmax_inside", [flat, node("Softmax", ["flat"], ["p"], name="inside"),
                            node("MatMul", ["p", "weight"], ["logits"], name="dense")], dense)
    save("dilated", [node("Conv", ["image", "kernel"], ["map"], name="conv", dilations=[2, 2]),
                     node("Flatten", ["map"], ["flat"]), matmul], {"kernel": np.ones((4, 1, 2, 2), np.float32), **dense})
    save("open", [flat, matmul], dense, shape=("n", 1, "h", "w"))
    model = save("external", [flat, matmul], dense)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in [("location", "external.data"), ("offset", "0"), ("length", "128")]:
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    (FOLDER / "external.onnx").write_bytes(model.SerializeToString())
    tensor.external_data[0].value = "../../../etc/passwd"
    (FOLDER / "outside.onnx").write_bytes(model.SerializeToString())


if __name__ == "__main__":
    main()

"""ONNX Runtime, forward only: `worker_onnxruntime.py FOLDER THREADS`; `... FOLDER export` writes the folder's model.onnx."""

import sys

import common


def export(folder):
    """The MNIST CNN with midge's weights as an ONNX graph, channels first, any batch."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = common.channels_first(common.safetensors(f"{folder}/model.safetensors"))
    nodes, x = [], "images"

    def add(kind, *parameters, **attributes):
        nonlocal x
        name = f"{kind}{len(nodes)}"
        nodes.append(helper.make_node(kind, [x, *parameters], [name], name, **attributes))
        x = name

    for layer in ("0", "3"):
        add("Conv", f"{layer}.weight", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        add("Relu")
        add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    add("Flatten")
    add("Gemm", "7.weight", "7.bias", transB=1)
    add("Relu")
    add("Gemm", "9.weight", "9.bias", transB=1)
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 1, 28, 28])
    logits = helper.make_tensor_value_info(x, TensorProto.FLOAT, ["batch", 10])
    tensors = [numpy_helper.from_array(tensor, name) for name, tensor in weights.items()]
    graph = helper.make_graph(nodes, "mnist", [images], [logits], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, f"{folder}/model.onnx")


def main(folder, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(f"{folder}/model.onnx", options, ["CPUExecutionProvider"])
    sets = common.safetensors(f"{folder}/inputs.safetensors")

    def run(request):
        images = sets[f"{request['set']}.images"].reshape(-1, 1, 28, 28)
        return common.in_batches(request, lambda i, j: ({"images": images[i:j]},), lambda x: session.run(None, x)[0])

    work = {"forward": ["all graph optimisations"]}
    common.serve({"name": "ONNX Runtime", "version": onnxruntime.__version__, "work": work}, run)


if __name__ == "__main__":
    if sys.argv[2] == "export":
        export(sys.argv[1])
    else:
        main(sys.argv[1], int(sys.argv[2]))

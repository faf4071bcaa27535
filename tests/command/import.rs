//! `midge import` as a user runs it, and model files that are none.

use std::path::Path;
use std::process::Stdio;

use midge_core::{Header, Model, Network};
use midge_trainer::tflite::{
    Activation, Conv2d, ElementType, Graph, Kind, Operator, Padding, Quantisation, Tensor, WeightsFormat, write,
};
use midge_trainer::weights::Weights;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::{error, midge, ok};

/// Writes a `state_dict` of these tensors, whose numbers count up from 0.
fn state(folder: &Path, tensors: &[(&str, &[usize])]) {
    let data = |shape: &[usize]| (0..shape.iter().product()).flat_map(|i: usize| (i as f32).to_le_bytes()).collect();
    let tensors: Vec<(&str, &[usize], Vec<u8>)> =
        tensors.iter().map(|(name, shape)| (*name, *shape, data(shape))).collect();
    let views =
        tensors.iter().map(|(name, shape, data)| (*name, TensorView::new(Dtype::F32, shape.to_vec(), data).unwrap()));
    std::fs::write(folder.join("state"), safetensors::serialize(views, None).unwrap()).unwrap();
}

/// A convolution and a linear layer of a `Sequential` with biases.
fn conv_and_linear<'a>(conv: &'a [usize], at: &'a str, linear: &'a [usize]) -> [(&'a str, &'a [usize]); 2] {
    [("0.weight", conv), (at, linear)]
}

/// The network that is imported, and what is said about it.
fn imported(folder: &Path, more: &[&str]) -> (String, String) {
    let text = ok(folder, &[&["import", "state", "--out", "m"], more].concat());
    let network = Weights::load(&folder.join("m")).unwrap().network.to_string();
    assert!(text.starts_with(&network), "{text}");
    (network, text)
}

fn refused(folder: &Path, more: &[&str]) -> String {
    let message = error(folder, &[&["import", "state", "--out", "none"], more].concat());
    assert!(message.starts_with("midge: state: ") && !message.contains("Some("), "{message}");
    assert!(!folder.join("none").exists(), "{message}");
    message
}

/// The architectures that a message offers.
fn offered(message: &str) -> Vec<String> {
    let lines = message.lines().filter_map(|line| line.trim().strip_prefix("--network \"")?.strip_suffix('"'));
    lines.map(|text| text.parse::<Network>().unwrap().to_string()).collect()
}

fn full(text: &str) -> String {
    text.parse::<Network>().unwrap().to_string()
}

#[test]
fn every_weight_comes_to_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    state(path, &[("0.weight", &[3, 2, 3, 3]), ("0.bias", &[3]), ("4.weight", &[5, 27]), ("4.bias", &[5])]);
    let (network, _) = imported(path, &["--size", "6x6"]);
    let text = "input(6,6,2) conv2d(filters=3,kernel=3) relu maxpool2d(pool=2) flatten dense(units=5)";
    assert_eq!(network, full(text));
    let weights = Weights::load(&path.join("m")).unwrap();
    // [out, in, row, column] to [row, column, in, out]: row 2, column 0, channel 1, filter 1.
    assert_eq!(weights.tensors[0][(2 * 3 * 2 + 1) * 3 + 1], (((2 + 1) * 3 + 2) * 3) as f32);
    // [units, channel, row, column] to [row, column, channel][units]: row 1, column 0, channel 2, unit 4.
    assert_eq!(weights.tensors[2][(3 * 3 + 2) * 5 + 4], (4 * 27 + 2 * 9 + 3) as f32);
    assert_eq!(weights.tensors[3].as_slice(), [0.0, 1.0, 2.0, 3.0, 4.0]);
    assert_eq!(imported(path, &["--network", text]).0, network);
    // Channels and classes are the file's where the words leave them open.
    let words = "conv 3 3x3, relu, maxpool 2, dense";
    assert_eq!(imported(path, &["--network", words, "--size", "6x6"]).0, network);
    let padded =
        full("input(6,6,2) conv2d(filters=3,kernel=3,padding=1) relu maxpool2d(pool=2) flatten dense(units=5)");
    let said = "input 6x6x2, conv 3 3x3 padding 1, relu, maxpool 2, dense 5";
    assert_eq!(imported(path, &["--network", said]).0, padded);
    assert!(refused(path, &["--network", words]).contains("expected input HxWxC first, or --size"));
    assert!(refused(path, &["--network", "conv 3 3x3, tanh", "--size", "6x6"]).contains("\"tanh\": expected conv"));
    // Two channels: nothing says how large the image is.
    let message = refused(path, &[]);
    assert!(message.contains("--size") && offered(&message).contains(&network), "{message}");
    assert!(refused(path, &["--size", "28x28"]).contains("27 inputs"));
    assert!(error(path, &["import", "m", "--out", "n", "--network", text]).contains("already"));
    assert!(error(path, &["import", "state", "--out", "n", "--network", text, "--size", "4x4"]).contains("--size"));
    assert!(error(path, &["import", "state", "--out", "n", "--size", "4x0"]).contains("4x0"));
}

#[test]
fn the_reading_that_fits_mnist_is_taken_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // PyTorch's default padding, none.
    state(path, &conv_and_linear(&[2, 1, 3, 3], "4.weight", &[10, 338]));
    let (network, text) = imported(path, &[]);
    let expected = "input(28,28,1) conv2d(filters=2,kernel=3,padding=valid,bias=false) relu maxpool2d(pool=2) flatten \
                    dense(units=10,bias=false)";
    assert_eq!(network, full(expected));
    for assumption in ["28x28", "padding=0", "ReLU and max pooling 2x2", "stride=1", "from 0 to 1", "--network"] {
        assert!(text.contains(assumption), "{assumption}: {text}");
    }
    let help = ok(path, &["import", "--help"]);
    assert!(help.split_whitespace().collect::<Vec<_>>().join(" ").contains("from 0 to 1, without mean"), "{help}");
    // A padding that keeps the size.
    state(path, &conv_and_linear(&[2, 1, 3, 3], "4.weight", &[10, 392]));
    assert_eq!(imported(path, &[]).0, full(&expected.replace(",padding=valid", "")));
    // LeNet-5: padding 2, then none.
    let lenet = [("0.weight", &[6, 1, 5, 5][..]), ("3.weight", &[16, 6, 5, 5]), ("7.weight", &[120, 400])];
    state(path, &lenet);
    assert!(imported(path, &[]).0.contains("kernel=5,stride=1,padding=same"));
    // The same weights on 32x32: no padding at all.
    let (network, _) = imported(path, &["--size", "32x32"]);
    assert!(network.starts_with("input(32,32,1)") && !network.contains("kernel=5,stride=1,padding=same"), "{network}");
    // Dropout behind a ReLU of two linear layers; a flatten in front.
    state(path, &[("1.weight", &[32, 784]), ("4.weight", &[10, 32])]);
    let mlp = "input(28,28,1) flatten dense(units=32,bias=false) relu dense(units=10,bias=false)";
    let (network, text) = imported(path, &[]);
    assert!(network == full(mlp) && text.contains("Dropout"), "{text}");
}

#[test]
fn what_is_not_known_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // No padding and a Dropout, or padding and a pooling.
    state(path, &conv_and_linear(&[3, 2, 3, 3], "4.weight", &[5, 12]));
    assert_eq!(offered(&refused(path, &["--size", "4x4"])).len(), 2);
    // A Dropout before or behind a pooling: the same gaps, the same inputs.
    state(path, &[("0.weight", &[2, 1, 3, 3]), ("3.weight", &[2, 2, 3, 3]), ("7.weight", &[10, 392])]);
    let message = refused(path, &[]);
    let readings = offered(&message);
    assert_eq!(readings.len(), 2, "{message}");
    for reading in readings {
        assert_eq!(imported(path, &["--network", &reading]).0, reading);
    }
    // Stride 2 with PyTorch's padding 1 is not `same`; a pooling without a ReLU has the same shapes.
    state(path, &conv_and_linear(&[2, 1, 3, 3], "3.weight", &[10, 392]));
    let strided = "input(28,28,1) conv2d(filters=2,kernel=3,stride=2,padding=1,bias=false) relu flatten \
                   dense(units=10,bias=false)";
    assert!(offered(&refused(path, &[])).contains(&full(strided)));
    assert_eq!(imported(path, &["--network", strided]).0, full(strided));
    // Where the rows are odd, they are the same function.
    state(path, &conv_and_linear(&[2, 1, 3, 3], "3.weight", &[10, 32]));
    assert!(imported(path, &["--size", "7x7"]).0.contains("stride=2,padding=same"));
    // Nothing says what stands before the first convolution.
    state(path, &[("1.weight", &[2, 1, 3, 3]), ("5.weight", &[10, 392])]);
    assert!(refused(path, &[]).contains("before module 1"));
}

#[test]
fn names_say_the_order_or_the_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let named: [(&str, &[usize]); 4] =
        [("conv1.weight", &[2, 1, 3, 3]), ("conv1.bias", &[2]), ("fc1.weight", &[10, 392]), ("fc1.bias", &[10])];
    state(path, &named);
    let network = "input(28,28,1) conv2d(filters=2,kernel=3) relu maxpool2d(pool=2) flatten dense(units=10)";
    assert_eq!(imported(path, &["--network", network]).0, full(network));
    // A class's own names say nothing about what it does between them.
    let message = refused(path, &[]);
    assert!(message.contains("conv1 and fc1") && offered(&message) == [full(network)], "{message}");
    let other = network.replace("units=10", "units=11");
    let message = refused(path, &["--network", &other]);
    assert!(message.contains("[11, 392]") && message.contains("fc1 [10, 392] with bias"), "{message}");
    // The last numbers say the opposite of the truth; the shapes say it.
    state(path, &[("first.1.weight", &[2, 1, 3, 3]), ("second.0.weight", &[3, 2, 3, 3]), ("x.weight", &[10, 3 * 784])]);
    let network = "input(28,28,1) conv2d(filters=2,kernel=3,bias=false) relu conv2d(filters=3,kernel=3,bias=false) relu \
                   flatten dense(units=10,bias=false)";
    assert!(offered(&refused(path, &[])).contains(&full(network)));
    assert_eq!(imported(path, &["--network", network]).0, full(network));
    // Here nothing does.
    state(path, &[("first.1.weight", &[2, 2, 3, 3]), ("second.0.weight", &[2, 2, 3, 3]), ("x.weight", &[10, 2 * 784])]);
    let network = network.replace("28,28,1", "28,28,2").replace("filters=3", "filters=2");
    let message = refused(path, &["--network", &network]);
    assert!(message.contains("first.1, second.0") && message.contains("second.0, first.1"), "{message}");
}

#[test]
fn what_midge_does_not_have_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for (tensors, expected) in [
        (&conv_and_linear(&[2, 1, 17, 17], "4.weight", &[10, 392])[..], "kernel must be 1 to 16"),
        (&[("1.weight", &[1, 784])], "at least two outputs"),
        (&[("0.weight", &[2, 1, 3, 5]), ("4.weight", &[10, 392])], "not square"),
        (&[("0.weight", &[2, 1, 3, 3]), ("1.weight", &[2]), ("1.running_mean", &[2])], "running_var"),
        (
            &[("0.weight", &[2, 1, 3, 3]), ("2.running_mean", &[2]), ("2.running_var", &[2]), ("4.weight", &[10, 392])],
            "stands right behind",
        ),
        (&[("num_batches_tracked", &[1])], "no weights"),
        (&[("0.weight", &[2, 1, 3, 3]), ("1.weight", &[2])], "1.weight has one dimension"),
        (&[("0.weight", &[2, 1, 3, 3]), ("4.weight", &[10, 2])], "global average pooling"),
        (&conv_and_linear(&[2, 1, 3, 3], "4.weight", &[10, 400]), "2 channels of 200 positions"),
        (&[("0.weight", &[2, 1, 3, 3]), ("2.weight", &[2, 1, 3, 3]), ("4.weight", &[10, 2])], "0 [2, 1, 3, 3]"),
        (&[("0.weight", &[2, 1, 3, 3])], "no linear layer"),
        (&[("0.weight", &[2, 1, 3, 3]), ("9.weight", &[10, 392])], "8 modules"),
        (&[("0.weight", &[0, 1, 99999, 99999])], "zero"),
        (&[("4.bias", &[10])], "4.bias has no 4.weight"),
        (&[("lstm.weight_ih_l0", &[10, 10])], "lstm.weight_ih_l0"),
        (&[], "no weights"),
    ] {
        state(path, tensors);
        let message = refused(path, &[]);
        assert!(message.contains(expected), "{expected}: {message}");
    }
}

#[test]
fn files_that_are_no_models_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for (bytes, expected) in [
        (&b"PK\x03\x04\0\0\x08\x08\0\0\0\0state/data.pkl"[..], "zip archive"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "ends in the middle"),
        (b"\x80\x04\x95....", "pickle"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git lfs pull"),
        (b"<!DOCTYPE html><title>403</title>", "web page"),
        (b"\x08\x0a\x12\x07pytorch\0\0", "ONNX model with a graph"),
        (b"\x89HDF\r\n\x1a\n\0\0\0\0", "cut or damaged"),
        (b"", "empty"),
    ] {
        std::fs::write(path.join("file"), bytes).unwrap();
        for command in [&["import", "file", "--out", "none"][..], &["summary", "--model", "file"]] {
            let message = error(path, command);
            assert!(message.starts_with("midge: file: ") && message.contains(expected), "{expected}: {message}");
            assert!(!path.join("none").exists());
        }
    }
    for command in [&["import", ".", "--out", "none"][..], &["summary", "--model", "."]] {
        assert!(error(path, command).contains("folder"));
    }
    state(path, &[("1.weight", &[10, 784])]);
    assert!(error(path, &["summary", "--model", "state"]).contains("midge import"));
    assert!(error(path, &["summary", "--model", "missing"]).starts_with("midge: missing: "));
}

#[test]
fn models_come_from_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    ok(path, &["export", "--dtype", "f16", "--out", "m"]);
    state(path, &[("1.weight", &[10, 784])]);
    for (file, arguments) in [
        ("m", &["summary", "--model", "-"][..]),
        ("m", &["summary", "--model", "/dev/stdin"]),
        ("state", &["import", "-", "--out", "i"]),
    ] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_midge"));
        let input = Stdio::from(std::fs::File::open(path.join(file)).unwrap());
        let output = command.current_dir(path).args(arguments).stdin(input).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    // `midge` of the tests has an empty one.
    let output = midge(path, &["summary", "--model", "-"]);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("empty"));
}

/// A convolution, a dense layer and a softmax of integers; the name of the last operator can be another.
fn tflite(path: &Path, last: Kind) {
    let tensor = |shape: &[usize], element, (scale, zero_point), data: Option<Vec<u8>>| Tensor {
        name: "t".into(),
        shape: shape.to_vec(),
        element,
        quantisation: Quantisation::per_tensor(scale, zero_point),
        data: data.map(Into::into),
        peculiarity: None,
    };
    let bytes = |n: usize| Some((0..n).map(|i| i as u8).collect());
    let words = |n: usize| Some([1, 0, 0, 0].repeat(n));
    let tensors = vec![
        tensor(&[1, 4, 4, 1], ElementType::I8, (0.5, -128), None),
        tensor(&[3, 3, 3, 1], ElementType::I8, (0.25, 0), bytes(27)),
        tensor(&[3], ElementType::I32, (0.125, 0), words(3)),
        tensor(&[1, 4, 4, 3], ElementType::I8, (1.5, -128), None),
        tensor(&[2, 48], ElementType::I8, (0.25, 0), bytes(96)),
        tensor(&[2], ElementType::I32, (0.375, 0), words(2)),
        tensor(&[1, 2], ElementType::I8, (9.0, 3), None),
        tensor(&[1, 2], ElementType::I8, (1.0 / 256.0, -128), None),
    ];
    let conv = Conv2d { padding: Padding::Same, stride: [1; 2], dilation: [1; 2], activation: Activation::Relu };
    let dense = Kind::FullyConnected {
        activation: Activation::None,
        format: WeightsFormat::Default,
        keep_num_dims: false,
        asymmetric_quantize_inputs: false,
    };
    let operator = |kind, inputs: &[usize], output| Operator {
        kind,
        version: 3,
        inputs: inputs.iter().copied().map(Some).collect(),
        outputs: vec![output],
    };
    let operators =
        vec![operator(Kind::Conv2d(conv), &[0, 1, 2], 3), operator(dense, &[3, 4, 5], 6), operator(last, &[6], 7)];
    let graph = Graph { tensors, operators, inputs: vec![0], outputs: vec![7], subgraphs: 1 };
    std::fs::write(path.join("model.tflite"), write(&graph).unwrap()).unwrap();
}

#[test]
fn a_tflite_file_of_integers_becomes_a_model_of_integers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    tflite(path, Kind::Softmax { beta: 1.0 });
    let text = ok(path, &["import", "model.tflite", "--out", "m"]);
    let network = full("input(4,4,1) conv2d(filters=3,kernel=3) relu flatten dense(units=2)");
    assert!(text.starts_with(&network), "{text}");
    let bytes = std::fs::read(path.join("m")).unwrap();
    let mut aligned = vec![0u64; bytes.len().div_ceil(8)];
    bytemuck::cast_slice_mut(&mut aligned)[..bytes.len()].copy_from_slice(&bytes);
    let bytes = &bytemuck::cast_slice(&aligned)[..bytes.len()];
    let header = Header::read(bytes).unwrap();
    assert_eq!(header.dtype(), Ok("I8"));
    let network = header.network().unwrap().int8();
    let model = Model::<i8>::from_safetensors(&network, bytes).unwrap();
    assert_eq!(model.range(), [0.0, 127.5]);
    // Both files are classified, to the same bytes of logits.
    let images: Vec<u8> = (0..5 * 16).map(|i| (i * 37 % 256) as u8).collect();
    let view = TensorView::new(Dtype::I8, vec![5, 4, 4, 1], &images).unwrap();
    std::fs::write(path.join("data"), safetensors::serialize([("input_int8", view)], None).unwrap()).unwrap();
    let logits = |model: &str| {
        let text = ok(path, &["classify", "--model", model, "--data", "data", "--out", "logits"]);
        assert_eq!(text.lines().count(), 2 + 5, "{text}");
        let file = std::fs::read(path.join("logits")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&file).unwrap();
        assert_eq!(file.tensor("logits").unwrap().shape(), [5, 2]);
        file.tensor("logits_int8").unwrap().data().to_vec()
    };
    let found = logits("m");
    assert_eq!(logits("model.tflite"), found);
    let grid = model.grid().unwrap();
    let mut buffer = vec![0.0; network.inference_len()];
    let expected = images.chunks(16).flat_map(|image| {
        let image: Vec<f32> = image.iter().map(|byte| grid.value(*byte as i8)).collect();
        let logits = model.logits(&image, &mut buffer).unwrap();
        logits.iter().map(|x| model.logit_grid().round(*x) as u8).collect::<Vec<_>>()
    });
    assert_eq!(expected.collect::<Vec<_>>(), found);
}

#[test]
fn a_tflite_file_that_midge_cannot_run_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    tflite(path, Kind::Logistic);
    let message = error(path, &["import", "model.tflite", "--out", "m"]);
    assert!(message.starts_with("midge: model.tflite: cannot be imported: "), "{message}");
    assert!(message.contains("operator 2 (LOGISTIC)"), "{message}");
    assert!(error(path, &["import", "model.tflite", "--out", "m", "--size", "4x4"]).contains("--size"));
    let whole = std::fs::read(path.join("model.tflite")).unwrap();
    std::fs::write(path.join("model.tflite"), &whole[..whole.len() / 2]).unwrap();
    error(path, &["import", "model.tflite", "--out", "m"]);
    assert!(!path.join("m").exists());
}

#[test]
fn models_of_others_are_imported_explained_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let (path, models) = (folder.path(), Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/import"));
    let file = |name: &str| models.join(name).display().to_string();
    let (network, check) = (file("mnist.opset17.onnx"), file("mnist.check.safetensors"));
    let text = ok(path, &["import", &network, "--out", "m", "--mean", "0.1307", "--std", "0.3081"]);
    for expected in [
        "Conv2d 3x3, valid",
        "dropped, folded or turned:\n",
        "LogSoftmax at the end dropped",
        "normalisation: folded into",
        "expected input: 28 x 28 x 1 (grey), pixels from 0 to 1",
        "mean 0.1307 std 0.3081; eps stays in pixels",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    // The names of classes that go with it.
    std::fs::write(path.join("names"), ('a'..='j').map(|name| format!("kind {name}\n")).collect::<String>()).unwrap();
    ok(path, &["import", &network, "--out", "named", "--labels", "names"]);
    let classified = ok(path, &["classify", "--model", "named", "--data", "synthetic", "--limit", "1"]);
    assert!(classified.contains("  kind "), "{classified}");
    std::fs::write(path.join("names"), "a\nb").unwrap();
    let message = error(path, &["import", &network, "--out", "n", "--labels", "names"]);
    assert!(message.contains("names: expected 10 names, one for each class of the model, found 2"), "{message}");
    let text = ok(path, &["verify", "--model", "m", "--against", &check]);
    assert!(text.contains("same class          32 of 32") && text.contains("logits of 10 classes"), "{text}");
    assert!(ok(path, &["summary", "--model", "m"]).contains("imported.normalisation: mean 0.1307 std 0.3081"));
    // As it is, without the normalisation: another function, which a script notices.
    let output = midge(path, &["verify", "--model", &network, "--against", &check, "--json"]);
    assert_eq!(output.status.code(), Some(3));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(json["schema"]["name"] == "midge.verify" && json["passed"] == false && json["layout"] == "nchw", "{json}");
    // Keras's outputs are probabilities or logits, its images have channels last.
    let keras =
        ["verify", "--model", &file("keras_cnn.keras"), "--against", &file("keras_cnn.check.safetensors"), "--json"];
    let json: serde_json::Value = serde_json::from_str(&ok(path, &keras)).unwrap();
    assert!(json["layout"] == "nhwc" && json["outputs"] == "logits" && json["same_class"] == 32, "{json}");
    let message = error(path, &["verify", "--against", &check, "--model", &file("residual.opset7.onnx")]);
    assert!(message.contains("expected images of 16x16x3"), "{message}");
    assert!(error(path, &["verify", "--against", &network]).contains("not a safetensors file"));
    for (archive, images) in [("mnist.check.npz", 4), ("mnist.check64.npz", 1)] {
        // Its content counts, not its name.
        std::fs::copy(file(archive), path.join("check")).unwrap();
        let text = ok(path, &["verify", "--model", "m", "--against", "check"]);
        assert!(
            text.contains(&format!("{images} images")) && text.contains(&format!("{images} of {images}")),
            "{text}"
        );
    }
    let message = error(path, &["verify", "--model", "m", "--against", &file("lenet.pt")]);
    assert!(message.contains("a file of torch.save") && message.contains("numpy.savez"), "{message}");
    for (arguments, expected) in [
        (["--mean", "0.5", "--std", "0"], "above 0"),
        (["--mean", "a", "--std", "1"], "one for each channel"),
        (["--mean", "0.1,0.2", "--std", "1"], "1 or 1 channels"),
    ] {
        let message = error(path, &[&["import", &network, "--out", "n"], &arguments[..]].concat());
        assert!(message.contains(expected), "{expected}: {message}");
    }
}

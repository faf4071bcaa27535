//! What is fuzzed: each function reads bytes from outside, and panics if something does not hold for them.
//! The fuzzer runs one of them on bytes that it makes up, a test runs all of them on the committed seeds.

#![allow(dead_code, reason = "a fuzz target takes one of these")]

#[path = "device.rs"]
pub(crate) mod device;
#[path = "link.rs"]
pub(crate) mod link;

use std::fmt::Debug;
use std::io::{self, Read, Write};

use midge_core::{Element, Error, FloatWeights, Header, Model, ModelError, Network, Number as _, checksum, f16};
use midge_trainer::data::{gzip::unpack, idx};
use midge_trainer::export::int8_tflite;
use midge_trainer::import::{
    self,
    tflite::{Imported, from_bytes},
};
use midge_trainer::tflite;
use midge_trainer::weights::Weights;

/// A target: its name, which is also its folder of seeds, and what it does with bytes.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// All targets.
pub(crate) const TARGETS: [Target; 12] = [
    ("model", model),
    ("header", header),
    ("network", network),
    ("import", import),
    ("idx", idx),
    ("gzip", gzip),
    ("tflite", tflite),
    ("torch", torch),
    ("onnx", onnx),
    ("keras", keras),
    ("link", link::link),
    ("device", device::device),
];

/// Networks that need more than this are not run, so that no single input takes long.
const MOST_WORK: usize = 1 << 18;
/// Most bytes of tensors that are added to a header.
const MOST_BYTES: usize = 1 << 16;

/// A model file, as it is and with a sound checksum, which no fuzzer would guess.
pub(crate) fn model(bytes: &[u8]) {
    file(bytes);
    if let Some(mended) = with_checksum(bytes) {
        file(&mended);
    }
}

/// The JSON of a model file's header, in front of as many zeros as it says.
pub(crate) fn header(json: &[u8]) {
    let mut bytes = [&(json.len() as u64).to_le_bytes(), json].concat();
    if let Err(ModelError::Truncated { expected, .. }) = Header::read(&bytes)
        && expected <= bytes.len() + MOST_BYTES
    {
        bytes.resize(expected, 0);
    }
    model(&bytes);
}

/// The file with the checksum that its architecture and tensors have.
fn with_checksum(bytes: &[u8]) -> Option<Vec<u8>> {
    const KEY: &[u8] = b"\"crc32\":\"";
    let header = Header::read(bytes).ok()?;
    let mut text = None;
    header.metadata(&mut |key, value| text = text.or((key == b"network").then_some(value))).ok()?;
    let text = std::str::from_utf8(text?).ok()?;
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().ok()?) as usize;
    let digits = KEY.len() + bytes.windows(KEY.len()).position(|window| window == KEY)?;
    let mut mended = bytes.to_vec();
    let sum = format!("{:08x}", checksum(text, &bytes[start..]));
    mended.get_mut(digits..digits + 8).filter(|_| digits + 8 <= start)?.copy_from_slice(sum.as_bytes());
    Some(mended)
}

/// A device and a host agree about a file, and a file that they take can be run and written.
fn file(bytes: &[u8]) {
    let host = Weights::from_bytes(bytes);
    let architecture = Header::read(bytes).and_then(|header| header.network());
    let Ok(network) = architecture else {
        assert!(host.is_err(), "the host reads a file without an architecture");
        return;
    };
    int8(&network.int8(), bytes);
    // As a device that knows the architecture does, with each type of weights.
    let device = [tensors::<f32>(&network, bytes), tensors::<f16>(&network, bytes)];
    // A network without weights has them in both types.
    let types = if network.parameters() > 0 { 1 } else { 2 };
    let read = usize::from(host.is_ok()) * types;
    assert_eq!(device.iter().flatten().count(), read, "device {device:?}, host {host:?}");
    let Ok(host) = host else { return };
    assert_eq!(host.network, network);
    let again = host.to_bytes(host.dtype).expect("a file that was read can be written");
    assert_eq!(Weights::from_bytes(&again).expect("what was written can be read"), host);
}

/// A file of integers, which only devices read.
fn int8(network: &Network, bytes: &[u8]) {
    let mut words = vec![0u64; bytes.len().div_ceil(8)];
    let place = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..bytes.len()];
    place.copy_from_slice(bytes);
    if let Ok(model) = Model::<i8>::from_safetensors(network, place) {
        run(&model);
    }
}

/// The tensors of a file at an aligned address, in f32; at the addresses behind it they are the same, or misaligned.
fn tensors<T: Element + FloatWeights + Debug>(network: &Network, bytes: &[u8]) -> Option<Vec<Vec<f32>>> {
    let mut words = vec![0u64; bytes.len() / 8 + 2];
    let mut at = |offset: usize| {
        let place = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut words)[offset..offset + bytes.len()];
        place.copy_from_slice(bytes);
        let model = Model::<T>::from_safetensors(network, place)?;
        if offset == 0 {
            run(&model);
            rewrite(&model);
        }
        Ok(model.tensors().map(|tensor| tensor.iter().map(|w| w.to_f32()).collect()).collect())
    };
    let aligned: Result<Vec<Vec<f32>>, ModelError> = at(0);
    for offset in 1..4 {
        let shifted = at(offset);
        let misaligned = |result: &Result<_, _>| matches!(result, Err(ModelError::Misaligned { .. }));
        assert!(shifted == aligned || misaligned(&shifted) || misaligned(&aligned), "{shifted:?}, {aligned:?}");
    }
    aligned.ok()
}

/// No value of a model that is taken overflows in a forward pass; a gradient that does is an error.
fn run<T: Element>(model: &Model<'_, T>) {
    let network = model.network();
    if network.multiply_adds() > MOST_WORK as u64
        || network.input().len() > MOST_WORK
        || network.attack_len() > MOST_WORK
    {
        return;
    }
    let mut buffer = vec![0.0; model.gradient_len()];
    for pixel in model.range() {
        let image = vec![pixel; network.input().len()];
        let logits = model.logits(&image, &mut buffer).expect("logits of a model that was read");
        assert!(logits.len() == network.classes() && logits.iter().all(|x| x.is_finite()));
        match model.input_gradient(&image, 0, &mut buffer) {
            Ok(pass) => assert!(pass.gradient.iter().all(|x| x.is_finite()) && !pass.loss.is_nan()),
            Err(error) => assert_eq!(error, Error::NotFinite { what: "gradient" }),
        }
    }
}

/// A model that is written is read as the same model.
fn rewrite<T: Element + FloatWeights>(model: &Model<'_, T>) {
    let mut file = Vec::new();
    model.write_safetensors(&[("key \"\\\n", "value \"\\\n")], &mut |bytes| file.extend_from_slice(bytes));
    let mut words = vec![0u64; file.len().div_ceil(8)];
    let place = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..file.len()];
    place.copy_from_slice(&file);
    let read = Model::<T>::from_safetensors(model.network(), place).expect("what was written can be read");
    let bytes = |model: &Model<'_, T>| {
        model.tensors().flat_map(bytemuck::cast_slice::<T::Number, u8>).copied().collect::<Vec<_>>()
    };
    assert_eq!(bytes(&read), bytes(model));
}

/// The text of a network says the same after it was read and written, and its plan's numbers fit a device.
pub(crate) fn network(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let network: Network = match text.parse() {
        Ok(network) => network,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let written = network.to_string();
    let again: Network = written.parse().expect("a network's own text");
    assert!(again == network && again.to_string() == written, "{written}");
    assert_eq!(Network::try_new(network.input(), network.layers()).ok(), Some(network));
    let (layers, input) = (network.layers(), network.input());
    let parameters = (0..layers.len()).map(|i| network.layer_parameters(i)).map(|(weight, bias)| weight + bias);
    assert_eq!(parameters.sum::<usize>(), network.parameters(), "{written}");
    let last = network.output_shape(layers.len() - 1).expect("a network has layers");
    assert_eq!(last.len(), network.classes(), "{written}");
    assert!(network.classes() <= network.inference_len() && network.attack_len() > network.gradient_len());
    assert!(network.gradient_len() > input.len() + network.classes(), "{written}");
    // An address of a device has 32 bits.
    for len in [4 * network.attack_len(), 4 * network.inference_len(), network.parameters()] {
        assert!(len <= 1 << 32, "{len}: {written}");
    }
}

/// A file that should be a PyTorch `state_dict`, or a model: read by both commands, and from a stated size of image.
pub(crate) fn import(bytes: &[u8]) {
    for size in [None, Some((8, 8)), Some((28, 28)), Some((1, 3))] {
        match import::from_bytes(bytes, &import::Hints { size, ..Default::default() }) {
            Ok(import::Imported { weights, format, .. }) => {
                let file = weights.to_bytes(weights.dtype).expect("an imported model can be written");
                assert_eq!(Weights::from_bytes(&file).expect("and read"), weights);
                // Given its own architecture it is the same model.
                if !format.is_state_dict() {
                    continue;
                }
                let hints = import::Hints { network: Some(weights.network.to_string()), ..Default::default() };
                assert_eq!(import::from_bytes(bytes, &hints).expect("its own architecture").weights, weights);
            }
            Err(error) => assert!(!format!("{error:#}").is_empty()),
        }
    }
    // Kinds of files are told from their first bytes, before the rest is read.
    let mut file = tempfile::NamedTempFile::new().expect("a file in the system's temporary folder");
    file.write_all(bytes).expect("space for a file");
    let name = file.path().display().to_string();
    for error in [import::read(file.path(), &import::Hints::default()).err(), Weights::load(file.path()).err()] {
        assert!(error.is_none_or(|error| format!("{error:#}").starts_with(&name)));
    }
}

/// A model of another program: an error, or a model that can be written and read.
pub(crate) fn foreign(bytes: &[u8]) {
    match import::from_bytes(bytes, &import::Hints::default()) {
        Ok(import::Imported { weights, .. }) => {
            let file = weights.to_bytes(weights.dtype).expect("an imported model can be written");
            assert_eq!(Weights::from_bytes(&file).expect("and read"), weights);
        }
        Err(error) => assert!(!format!("{error:#}").is_empty()),
    }
}

/// ONNX, under the name of its program.
pub(crate) fn onnx(bytes: &[u8]) {
    foreign(bytes);
}

/// A file of torch.save, and one with such a pickle; no fuzzer would guess an archive's checksums.
pub(crate) fn torch(bytes: &[u8]) {
    foreign(bytes);
    foreign(&archive(&[("m/data.pkl", bytes), ("m/data/0", bytes), ("m/data/1", &[0; 64])]));
}

/// An HDF5 file, and a Keras archive with it, or with such a list of layers.
pub(crate) fn keras(bytes: &[u8]) {
    foreign(bytes);
    let config = br#"{"class_name":"Sequential","config":{"layers":[{"class_name":"InputLayer","config":{"name":"i",
        "batch_shape":[null,28,28,1]}},{"class_name":"Flatten","config":{"name":"f"}},
        {"class_name":"Dense","config":{"name":"dense","units":10}}]}}"#;
    foreign(&archive(&[("config.json", config), ("model.weights.h5", bytes)]));
    foreign(&archive(&[("config.json", bytes), ("model.weights.h5", bytes)]));
}

/// A zip archive of entries that are stored.
fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut records) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let length = (content.len() as u32).to_le_bytes();
        let checksum = crc32(content).to_le_bytes();
        let names = (name.len() as u16).to_le_bytes();
        let common = [&[20, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &checksum, &length, &length, &names, &[0; 2]].concat();
        let place = (file.len() as u32).to_le_bytes();
        records.extend([b"PK\x01\x02\x14\0", &common[..], &[0; 10], &place, name.as_bytes()].concat());
        file.extend([b"PK\x03\x04", &common[..], name.as_bytes(), content].concat());
    }
    let (count, place) = ((entries.len() as u16).to_le_bytes(), (file.len() as u32).to_le_bytes());
    let length = (records.len() as u32).to_le_bytes();
    [&file[..], &records, b"PK\x05\x06\0\0\0\0", &count, &count, &length, &place, &[0; 2]].concat()
}

/// The checksum of zip archives, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}

/// IDX images and labels, plain or gzip: what is taken has as many bytes as its header says, and is read the same again.
pub(crate) fn idx(bytes: &[u8]) {
    if let Ok(images) = idx::images_from(bytes) {
        assert_eq!(images.pixels.len(), images.shape.iter().product::<usize>());
        let sizes = images.shape.map(|n| u32::try_from(n).expect("a size of 32 bits").to_be_bytes());
        let plain = [&[0, 0, 8, 3], sizes.as_flattened(), &images.pixels].concat();
        assert_eq!(idx::images_from(&plain[..]).expect("the same images"), images);
    }
    if let Ok(labels) = idx::labels_from(bytes) {
        let count = u32::try_from(labels.len()).expect("a size of 32 bits").to_be_bytes();
        let plain = [&[0, 0, 8, 1], &count[..], &labels].concat();
        assert_eq!(idx::labels_from(&plain[..]).expect("the same labels"), labels);
    }
}

/// TensorFlow Lite: what a graph names is there, constants fill their shapes, and a sound graph has nothing that is not read.
pub(crate) fn tflite(bytes: &[u8]) {
    let graph = match tflite::read(bytes) {
        Ok(graph) => graph,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let operands =
        graph.operators.iter().flat_map(|operator| operator.inputs.iter().flatten().chain(&operator.outputs));
    assert!(operands.chain(&graph.inputs).chain(&graph.outputs).all(|index| *index < graph.tensors.len()));
    for tensor in &graph.tensors {
        let lengths =
            [tensor.i8s().map(<[i8]>::len), tensor.i32s().map(|all| all.len()), tensor.f32s().map(|all| all.len())];
        assert!(lengths.into_iter().flatten().all(|length| Some(length) == tensor.elements()));
    }
    // As bytes, because a number may be NaN.
    if let Ok(written) = tflite::write(&graph) {
        let again = tflite::read(&written).expect("what was written can be read");
        assert_eq!(tflite::write(&again).as_ref(), Ok(&written));
        let checked = |graph| tflite::check(graph).map_err(|error| error.to_string());
        assert_eq!(checked(&again), checked(&graph));
    }
    match tflite::check(&graph) {
        Ok(()) => assert!(graph.unsupported().is_empty() && graph.outputs.len().min(graph.operators.len()) > 0),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    // What midge can compute is the same model again, if a file can say it.
    if let Ok(Imported::Int8(weights)) = from_bytes(bytes)
        && let Ok(written) = int8_tflite(&weights)
    {
        assert!(matches!(from_bytes(&written), Ok(Imported::Int8(again)) if again.stages == weights.stages));
    }
}

/// Gzip: other bytes come out as they are, and nothing depends on the pieces in which bytes arrive.
pub(crate) fn gzip(bytes: &[u8]) {
    const MOST: u64 = 1 << 22;
    let read = |reader: &mut dyn Read| -> Result<Vec<u8>, io::ErrorKind> {
        let mut content = Vec::new();
        let (unpacked, packed) = unpack(reader).map_err(|error| error.kind())?;
        assert_eq!(packed, bytes.starts_with(&[0x1f, 0x8b]));
        unpacked.take(MOST).read_to_end(&mut content).map_err(|error| error.kind())?;
        Ok(content)
    };
    let whole = read(&mut &bytes[..]);
    assert_eq!(read(&mut Slow(bytes)), whole);
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        assert_eq!(whole.as_deref(), Ok(bytes));
    }
}

/// Bytes that arrive one by one.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = out.len().min(1);
        self.0.read(&mut out[..length])
    }
}

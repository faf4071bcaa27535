//! The line to a board: whatever arrives, on either side, nothing panics, and a board that was sent noise answers the next
//! request.

use std::collections::VecDeque;

use midge_core::{Int8Tensors, Layer, Model, Network, Shape};
use midge_link::service::{About, Board, Memory, OnBoard, Service, work_len};
use midge_link::{Cost, Decoder, ElementType, FRAME, MESSAGE, Request, Response, Unit, encode, read, write};

const NETWORK: Network = Network::new(Shape::hwc(2, 2, 1), &[Layer::Flatten, Layer::Dense { units: 3, bias: false }]);
/// The same in integers, whose board keeps bytes.
const INT8: Network =
    Network::new(Shape::hwc(2, 2, 1), &[Layer::Flatten, Layer::Dense { units: 3, bias: true }]).int8();
/// Most gradients of an attack: no single input takes long.
const MOST_GRADIENTS: usize = 50;

#[derive(Default)]
struct Desk {
    arrived: VecDeque<u8>,
    sent: Vec<u8>,
    gradients: usize,
}

impl Board for &mut Desk {
    fn read(&mut self) -> Option<u8> {
        // A host that has had enough.
        if self.arrived.is_empty() && self.gradients > MOST_GRADIENTS {
            self.gradients = 0;
            self.arrived.extend(frame(9, &Request::Cancel));
        }
        self.arrived.pop_front()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.sent.extend_from_slice(bytes);
    }

    fn is_time_for_progress(&mut self) -> bool {
        self.gradients += 1;
        self.gradients.is_multiple_of(8)
    }

    fn measure<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> (R, Cost) {
        self.gradients = 0;
        (work(self), Cost::default())
    }
}

fn frame(sequence: u16, request: &Request<'_>) -> Vec<u8> {
    let (mut message, mut frame) = ([0; MESSAGE], [0; FRAME]);
    let message = write(request, &mut message).expect("a short request");
    encode(sequence, message, &mut frame).expect("a short message").to_vec()
}

/// Bytes as they are, and as messages in sound frames, which no fuzzer would guess: each begins with its length.
pub(crate) fn link(bytes: &[u8]) {
    serve(bytes);
    let (mut line, mut rest) = (Vec::new(), bytes);
    let mut sequence = 0;
    while let [len, behind @ ..] = rest {
        let message = &behind[..behind.len().min(usize::from(*len)).min(MESSAGE)];
        if let Some(response) = read::<Response<'_>>(message) {
            assert!(write(&response, &mut [0; MESSAGE]).is_some(), "what was read can be written");
        }
        sequence += 1;
        line.extend(encode(sequence, message, &mut [0; FRAME]).expect("a message that fits"));
        rest = &behind[message.len()..];
    }
    serve(&line);
}

/// A board of real numbers and one of integers, with memory for all jobs and for the least.
fn serve(bytes: &[u8]) {
    let weights: [f32; 12] = [0.5, -1.0, 2.0, 0.25, 1.5, -0.5, 1.0, 0.75, -2.0, 0.0, 1.0, -1.0];
    let tensors: [&[f32]; 1] = [&weights];
    let model = Model::<f32>::from_tensors(&NETWORK, &tensors).expect("a sound model");
    serve_with(&model, ElementType::F32, NETWORK.attack_len(), bytes);
    let tensors = Int8Tensors {
        weights: &[64, -128, 32, -64, 96, 16, 48, -32, -64, 127, 32, 64],
        bias: &[10, -20, 30],
        multipliers: &[[1 << 30, -5]; 3],
        range: &[-128, 0, 0, -128, 127],
        scales: &[1.0 / 255.0, 0.25],
    };
    let model = Model::from_int8_tensors(&INT8, &[tensors]).expect("a sound model");
    for work in [work_len(&INT8, false), work_len(&INT8, true) + INT8.input().len()] {
        serve_with(&model, ElementType::I8, work, bytes);
    }
}

fn serve_with<T: OnBoard>(model: &Model<'_, T>, element: ElementType, work: usize, bytes: &[u8]) {
    let (pixels, classes) = (model.network().input().len(), model.network().classes());
    let [mut image, mut result] = [(); 2].map(|()| vec![T::Pixel::default(); pixels]);
    let (mut logits, mut work) = (vec![0.0; classes], vec![0.0; work]);
    let mut desk = Desk::default();
    desk.arrived.extend(bytes);
    desk.arrived.extend(frame(u16::MAX, &Request::Info));
    let about = About { board: "b", model: "m", fingerprint: "f", element, unit: Unit::Cycles };
    let memory = Memory::new(&mut image, &mut result, &mut logits, &mut work);
    let mut service = Service::new(&mut desk, about, model, memory);
    while service.poll() {}
    let (mut decoder, mut is_answered) = (Decoder::new(), false);
    for byte in &desk.sent {
        if let Some(frame) = decoder.push(*byte) {
            let frame = frame.expect("a board sends whole frames");
            assert!(read::<Response<'_>>(frame.message).is_some(), "a board sends messages");
            is_answered |= frame.sequence == u16::MAX;
        }
    }
    // A request in the middle of a job is told that the board is busy, which is an answer too.
    assert!(is_answered, "the last request has an answer");
    assert!(desk.arrived.is_empty());
}

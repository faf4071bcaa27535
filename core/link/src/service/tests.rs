use std::collections::VecDeque;
use std::vec::Vec;

use midge_core::attack::{Attack as _, Bim, MiFgsm, Pgd, Target, Targeted};
use midge_core::camera::Camera as CoreCamera;
use midge_core::{Layer, Network, Shape};
use proptest::prelude::*;

use super::*;
use crate::attack::{Attack, Loss};
use crate::frame::{MESSAGE, encode};
use crate::message::{Camera, Done, Encoding, Part, Refusal, write};

const NETWORK: Network = Network::new(Shape::hwc(1, 4, 1), &[Layer::Flatten, Layer::Dense { units: 3, bias: false }]);
const WEIGHTS: [f32; 12] = [1.0, -2.0, 0.5, -1.0, 1.5, 0.25, 0.75, -0.5, -1.0, 2.0, 0.5, 1.0];
const IMAGE: [f32; 4] = [0.5, 0.25, 1.0, 0.75];

/// Pixels of image and result, the label, whether there are logits, ticks.
type Seen = (Vec<f32>, Vec<f32>, Option<usize>, bool, u64);

/// A line in memory, and how many jobs were measured.
#[derive(Default)]
struct Desk {
    arrived: VecDeque<u8>,
    sent: Vec<u8>,
    jobs: u64,
    tells: bool,
    /// Whether nothing arrives during a job, and whether one runs.
    is_deaf: bool,
    works: bool,
    /// What was to be seen of each job.
    shown: Vec<Seen>,
}

impl Board for &mut Desk {
    fn read(&mut self) -> Option<u8> {
        if self.is_deaf && self.works { None } else { self.arrived.pop_front() }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.sent.extend_from_slice(bytes);
    }

    fn is_time_for_progress(&mut self) -> bool {
        self.tells
    }

    fn measure<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> (R, Cost) {
        self.jobs += 1;
        self.works = true;
        let result = work(self);
        self.works = false;
        (result, Cost { ticks: self.jobs, stack: 1 })
    }

    fn show<P: Pixel>(&mut self, shown: &Shown<'_, P>) {
        let image = (0..9).map_while(|i| shown.image(i)).collect();
        let result = (0..9).map_while(|i| shown.result(i)).collect();
        self.shown.push((image, result, shown.label, shown.logits.is_some(), shown.ticks));
    }
}

/// Has a fresh service answer all bytes; each answer with its number.
fn answers_to(desk: &mut Desk, bytes: &[u8], work: usize, see: &mut dyn FnMut(u16, Response<'_>)) {
    let tensors: [&[f32]; 1] = [&WEIGHTS];
    answers_of(&Model::<f32>::from_tensors(&NETWORK, &tensors).unwrap(), desk, bytes, work, see);
}

/// [`answers_to`] of any model.
fn answers_of<T: OnBoard>(
    model: &Model<'_, T>,
    desk: &mut Desk,
    bytes: &[u8],
    work: usize,
    see: &mut dyn FnMut(u16, Response<'_>),
) {
    let (pixels, classes) = (model.network().input().len(), model.network().classes());
    let [mut image, mut result] = [(); 2].map(|()| std::vec![T::Pixel::default(); pixels]);
    let (mut logits, mut buffer) = (std::vec![0.0; classes], std::vec![0.0; work]);
    let about = About {
        board: "desk",
        model: "three classes",
        fingerprint: "0123abcd",
        element: ElementType::F32,
        unit: Unit::Cycles,
    };
    desk.arrived.extend(bytes);
    let memory = Memory::new(&mut image, &mut result, &mut logits, &mut buffer);
    let mut service = Service::new(&mut *desk, about, model, memory);
    while service.poll() {}
    let mut decoder = Decoder::new();
    for byte in &desk.sent {
        if let Some(frame) = decoder.push(*byte) {
            let frame = frame.expect("the service sends whole frames");
            see(frame.sequence, read(frame.message).expect("the service sends messages"));
        }
    }
}

fn frame(sequence: u16, request: &Request<'_>) -> Vec<u8> {
    let (mut message, mut frame) = ([0; MESSAGE], [0; FRAME]);
    encode(sequence, write(request, &mut message).unwrap(), &mut frame).unwrap().to_vec()
}

/// Requests numbered from 1 on.
fn frames(requests: &[Request<'_>]) -> Vec<u8> {
    (1..).zip(requests).flat_map(|(sequence, request)| frame(sequence, request)).collect()
}

/// What the answers are, in words, behind that the service has started.
fn spoken(desk: &mut Desk, bytes: &[u8]) -> Vec<(u16, std::string::String)> {
    let mut all = Vec::new();
    answers_to(desk, bytes, NETWORK.attack_len(), &mut |sequence, response| {
        all.push((sequence, std::format!("{response:?}")));
    });
    assert_eq!(all.remove(0), (0, "Started".into()));
    all
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

const fn get(part: Part, offset: u32, count: u8) -> Request<'static> {
    Request::Get { part, encoding: Encoding::F32, offset, count }
}

/// The results of requests on [`IMAGE`]: the image's, and the values of the last answer.
fn after_image(requests: &[Request<'_>]) -> (Vec<Done>, Vec<f32>) {
    let image = bytes_of(&IMAGE);
    let put = |offset, bytes| Request::Put { encoding: Encoding::F32, offset, bytes };
    let all = [&[put(0, &image[..12]), put(3, &image[12..])], requests].concat();
    let (mut done, mut values) = (Vec::new(), Vec::new());
    let desk = &mut Desk { is_deaf: true, ..Desk::default() };
    answers_to(desk, &frames(&all), NETWORK.attack_len(), &mut |_, response| match response {
        Response::Done { done: found, .. } => done.push(found),
        Response::Elements { bytes, .. } => values = floats(bytes),
        Response::Stored { .. } | Response::Started => {}
        other => panic!("{other:?}"),
    });
    (done, values)
}

#[test]
fn every_job_is_the_cores() {
    let tensors: [&[f32]; 1] = [&WEIGHTS];
    let model = Model::<f32>::from_tensors(&NETWORK, &tensors).unwrap();
    let mut buffer = std::vec![0.0; NETWORK.attack_len()];

    let (done, values) = after_image(&[Request::Classify, get(Part::Logits, 0, 9)]);
    let expected = model.classify(&IMAGE, &mut buffer).unwrap();
    let confidence = expected.probabilities[expected.class];
    assert_eq!(done, [Done::Class { class: expected.class as u16, confidence }]);
    assert_eq!(values, model.logits(&IMAGE, &mut buffer).unwrap());

    let (done, values) = after_image(&[Request::Gradient { label: 2, loss: Loss::Margin }, get(Part::Image, 1, 2)]);
    let expected = model.loss_gradient(midge_core::loss::Loss::Margin, &IMAGE, 2, &mut buffer).unwrap();
    assert_eq!((done, &values[..]), (std::vec![Done::Gradient { loss: expected.loss }], &expected.gradient[1..3]));

    let pgd = Pgd { restarts: 2, ..Pgd::with_steps(0.25, 3, 7) };
    for attack in [MiFgsm::new(0.25).into(), pgd.into(), Targeted { attack: pgd, target: Target::Next }.into()] {
        let written = Attack::of(attack).unwrap();
        let (done, values) = after_image(&[Request::Attack { attack: written, label: 1 }, get(Part::Image, 0, 4)]);
        let mut adversarial = [0.0; 4];
        let expected = attack.attack(&model, &IMAGE, 1, &mut adversarial, &mut buffer).unwrap();
        assert_eq!(values, adversarial, "{attack:?}");
        let Done::Attack { before, after, largest_change, target, .. } = done[0] else { panic!("{done:?}") };
        assert_eq!((usize::from(before.class), before.loss), (expected.before.class, expected.before.loss));
        assert_eq!((usize::from(after.class), after.loss), (expected.after.class, expected.after.loss));
        assert_eq!((largest_change, target.map(usize::from)), (expected.largest_change, expected.target));
    }

    let camera = CoreCamera { noise: 0.1, down: 1.0, ..CoreCamera::NONE };
    let (_, values) = after_image(&[Request::Camera { camera: camera.into(), seed: 3 }, get(Part::Image, 0, 4)]);
    let mut picture = [0.0; 4];
    camera.apply(NETWORK.input(), &IMAGE, 3, &mut picture, &mut buffer).unwrap();
    assert_eq!(values, picture);
}

#[test]
fn a_repeated_request_is_answered_again_and_done_once() {
    let image = bytes_of(&IMAGE);
    let put = frame(1, &Request::Put { encoding: Encoding::F32, offset: 0, bytes: &image });
    let classify = frame(2, &Request::Classify);
    let noise = [1, 2, 3, 0];
    let mut desk = Desk::default();
    let answers = spoken(&mut desk, &[&put[..], &put, &classify, &noise, &classify, &classify].concat());
    assert_eq!(desk.jobs, 1);
    let [stored, again, first, damaged, second, third] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((stored, first.0, damaged.0), (again, 2, 0));
    assert!(first == second && second == third && damaged.1.contains("Damaged"), "{answers:?}");
    // The same number with other content is another request.
    let mut desk = Desk::default();
    let answers = spoken(&mut desk, &[put, classify, frame(2, &Request::Logits)].concat());
    assert!(desk.jobs == 2 && answers[2].1.contains("Logits"), "{answers:?}");
}

#[test]
fn between_gradients_the_line_is_heard() {
    let image = bytes_of(&IMAGE);
    let put = frame(1, &Request::Put { encoding: Encoding::F32, offset: 0, bytes: &image });
    let attack = Request::Attack { attack: Attack::of(Bim::new(0.25).into()).unwrap(), label: 0 };
    let attack = frame(2, &attack);
    let busy = [&put[..], &attack, &frame(3, &Request::Info), &[9, 9, 0], &attack].concat();
    let answers = spoken(&mut Desk::default(), &busy);
    let words: Vec<_> = answers.iter().map(|(sequence, words)| (*sequence, words.split('{').next().unwrap())).collect();
    let expected = [(1, "Stored "), (3, "Fault(Busy "), (0, "Fault(Damaged)"), (2, "Progress "), (2, "Done ")];
    assert_eq!(words, expected);
    let answers = spoken(&mut Desk::default(), &[put.clone(), attack.clone(), frame(4, &Request::Cancel)].concat());
    assert_eq!(answers[1..], [(4, "Cancelled".into())]);
    // Unasked, before each of ten gradients.
    let answers = spoken(&mut Desk { tells: true, ..Desk::default() }, &[put, attack].concat());
    assert_eq!(answers.len(), 12);
    assert_eq!(answers[10], (2, "Progress { done: 9, of: 10 }".into()));
}

#[test]
fn what_cannot_be_done_is_said() {
    let (image, bad) = (bytes_of(&IMAGE), bytes_of(&[0.5, 0.5, 0.5, 2.0]));
    let put = |offset, bytes| Request::Put { encoding: Encoding::F32, offset, bytes };
    let unknown = encode(9, &[200], &mut [0; FRAME]).unwrap().to_vec();
    let fault = |requests: &[Request<'_>]| {
        let answers = spoken(&mut Desk::default(), &frames(requests));
        answers.last().unwrap().1.clone()
    };
    for (requests, expected) in [
        (&[Request::Classify][..], "NoImage { filled: 0 }"),
        (&[put(0, &image[..8]), Request::Classify], "NoImage { filled: 2 }"),
        (&[put(1, &image[..8])], "Gap { filled: 0 }"),
        (&[put(0, &image), put(3, &image[..8])], "TooLarge { most: 4 }"),
        (&[put(0, &image), put(u32::MAX, &image[..8])], "Gap { filled: 4 }"),
        (&[put(0, &image[..5])], "Unknown"),
        (&[Request::Put { encoding: Encoding::I8, offset: 0, bytes: &[1] }], "Unknown"),
        (&[put(0, &image), put(2, &bad[8..])], "Refused(Pixel { index: 3, value: 2.0 })"),
        // Nothing of such an image is kept.
        (&[put(0, &bad), Request::Logits], "NoImage { filled: 0 }"),
        (&[get(Part::Logits, 0, 1)], "NoResult"),
        // What an earlier image left is not the result of a job that was refused.
        (
            &[
                put(0, &image),
                Request::Logits,
                Request::Gradient { label: 3, loss: Loss::Margin },
                get(Part::Logits, 0, 1),
            ],
            "NoResult",
        ),
    ] {
        assert_eq!(fault(requests), std::format!("Fault({expected})"));
    }
    assert_eq!(spoken(&mut Desk::default(), &unknown), [(9, "Fault(Unknown)".into())]);
    assert_eq!(
        spoken(&mut Desk::default(), &[[7; 300].as_slice(), &[0]].concat())[0].1,
        "Fault(TooLarge { most: 257 })"
    );
}

#[test]
fn what_the_model_refuses_is_said() {
    let put = |offset, bytes| Request::Put { encoding: Encoding::F32, offset, bytes };
    let fault = |requests: &[Request<'_>]| {
        let answers = spoken(&mut Desk::default(), &frames(requests));
        answers.last().unwrap().1.clone()
    };
    let image = bytes_of(&IMAGE);
    let attack = |attack| Request::Attack { attack, label: 0 };
    let fgsm = Attack::of(midge_core::attack::Fgsm { eps: 0.1 }.into()).unwrap();
    let bim = Attack { method: crate::attack::Method::Bim, ..fgsm };
    for (request, expected) in [
        (attack(Attack { steps: 0, ..bim }), Refusal::NoSteps),
        (attack(Attack { eps: -1.0, ..fgsm }), Refusal::Option { value: -1.0 }),
        (attack(Attack { target: Some(crate::attack::Target::Class(0)), ..fgsm }), Refusal::TargetIsLabel),
        (Request::Attack { attack: fgsm, label: 3 }, Refusal::Class { class: 3 }),
        (
            Request::Camera { camera: Camera { gamma: 0.0, ..CoreCamera::NONE.into() }, seed: 0 },
            Refusal::Option { value: 0.0 },
        ),
        // Its buffer would be too large as well.
        (
            Request::Camera { camera: Camera { blur: 1e6, ..CoreCamera::NONE.into() }, seed: 0 },
            Refusal::Option { value: 1e6 },
        ),
    ] {
        assert_eq!(fault(&[put(0, &image), request]), std::format!("Fault(Refused({expected:?}))"));
    }
    // Momentum takes an image's length more than this board has.
    let request = attack(Attack::of(MiFgsm::new(0.1).into()).unwrap());
    let (mut last, most) = (std::string::String::new(), NETWORK.gradient_len());
    answers_to(&mut Desk::default(), &frames(&[put(0, &image), request]), most, &mut |_, response| {
        last = std::format!("{response:?}");
    });
    assert_eq!(last, std::format!("Fault(TooLarge {{ most: {most} }})"));
}

/// In this version.
#[test]
fn another_version_is_answered() {
    let mut other = frame(5, &Request::Info);
    let plain = [VERSION + 1, 5, 0, 0];
    let checksum = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&plain).to_le_bytes();
    other.clear();
    other.extend([3, plain[0], 5, 1, 5].iter().chain(&checksum).chain(&[0]));
    assert_eq!(spoken(&mut Desk::default(), &other), [(5, "Fault(Version { spoken: 1 })".into())]);
}

#[test]
fn a_board_says_who_it_is() {
    let answers = spoken(&mut Desk::default(), &frames(&[Request::Info]));
    for part in ["\"desk\"", "\"three classes\"", "shape: [1, 4, 1]", "classes: 3", "abilities: 7"] {
        assert!(answers[0].1.contains(part), "{answers:?}");
    }
    assert_eq!(name(&"\u{e9}".repeat(30)), "\u{e9}".repeat(20));
}

mod integers;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever arrives, all that is sent is whole, and the next request is answered as ever.
    #[test]
    fn no_bytes_cause_a_panic(noise in prop::collection::vec(any::<u8>(), 0..400), messages: [[u8; 6]; 8]) {
        let sound = (1..).zip(&messages).flat_map(|(sequence, message)| {
            encode(sequence, message, &mut [0; FRAME]).unwrap().to_vec()
        });
        let line: Vec<u8> = sound.chain(noise).chain(frame(99, &Request::Info)).collect();
        let answers = spoken(&mut Desk::default(), &line);
        let last = answers.last().unwrap();
        prop_assert!(last.0 == 99 && last.1.contains("three classes"));
    }
}

#[test]
fn what_a_job_leaves_is_shown_before_the_host_hears_of_it() {
    let attack = Attack::of(MiFgsm::new(0.25).into()).unwrap();
    let requests = [
        Request::Put { encoding: Encoding::F32, offset: 0, bytes: &bytes_of(&IMAGE) },
        Request::Logits,
        Request::Gradient { label: 2, loss: Loss::Margin },
        Request::Attack { attack, label: 1 },
        get(Part::Image, 0, 4),
        // No class 9: a job that is not done is not shown.
        Request::Attack { attack, label: 9 },
    ];
    let desk = &mut Desk { is_deaf: true, ..Desk::default() };
    let mut adversarial = Vec::new();
    answers_to(desk, &frames(&requests), NETWORK.attack_len(), &mut |_, response| {
        if let Response::Elements { bytes, .. } = response {
            adversarial = floats(bytes);
        }
    });
    assert_ne!(adversarial, IMAGE);
    let image = IMAGE.to_vec();
    let expected = [
        (image.clone(), Vec::new(), None, true, 1),
        (image.clone(), Vec::new(), Some(2), true, 2),
        (image, adversarial, Some(1), false, 3),
    ];
    assert_eq!(desk.shown, expected);
}

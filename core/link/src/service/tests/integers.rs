//! A board of integers keeps bytes, and does what the core does with those.

use midge_core::Int8Tensors;
use midge_core::loss::Loss as CoreLoss;

use super::*;

const NETWORK: Network =
    Network::new(Shape::hwc(1, 4, 1), &[Layer::Flatten, Layer::Dense { units: 3, bias: true }]).int8();
const BYTES: [i8; 4] = [64, 0, 127, 32];
const SCALE: f32 = 1.0 / 128.0;

/// A model whose pixels are 0 to 255 / 128, with zero point -128, and what it makes of the requests with so much memory.
fn with_model<R>(see: impl FnOnce(&Model<'_, i8>) -> R) -> R {
    let tensors = Int8Tensors {
        weights: &[64, -128, 32, -64, 96, 16, 48, -32, -64, 127, 32, 64],
        bias: &[10, -20, 30],
        multipliers: &[[1 << 30, -5]; 3],
        range: &[-128, 0, 0, -128, 127],
        scales: &[SCALE, 0.25],
    };
    see(&Model::from_int8_tensors(&NETWORK, &[tensors]).unwrap())
}

/// The words of the last answer, and the bytes of the last elements.
fn last(model: &Model<'_, i8>, work: usize, requests: &[Request<'_>]) -> (std::string::String, Vec<u8>) {
    let (mut words, mut elements) = (std::string::String::new(), Vec::new());
    let desk = &mut Desk { is_deaf: true, ..Desk::default() };
    answers_of(model, desk, &frames(requests), work, &mut |_, response| {
        if let Response::Elements { bytes, .. } = response {
            elements = bytes.to_vec();
        }
        words = std::format!("{response:?}");
    });
    (words, elements)
}

fn put<'b>(encoding: Encoding, bytes: &'b [u8]) -> Request<'b> {
    Request::Put { encoding, offset: 0, bytes }
}

fn written() -> [u8; 4] {
    BYTES.map(|byte| byte as u8)
}

const fn get_bytes() -> Request<'static> {
    Request::Get { part: Part::Image, encoding: Encoding::I8, offset: 0, count: 9 }
}

#[test]
fn attacks_are_those_in_integers() {
    with_model(|model| {
        let bytes = written();
        let pgd = Pgd { restarts: 2, ..Pgd::with_steps(0.25, 3, 7) };
        for attack in [MiFgsm::new(0.25).into(), pgd.into(), Targeted { attack: pgd, target: Target::Next }.into()] {
            let request = Request::Attack { attack: Attack::of(attack).unwrap(), label: 1 };
            let (mut adversarial, mut buffer) = ([0; 4], std::vec![0.0; work_len(&NETWORK, true)]);
            attack.attack_integers(model, &BYTES, 1, &mut adversarial, &mut buffer).unwrap();
            assert_ne!(adversarial, BYTES);
            let (_, found) = last(model, buffer.len(), &[put(Encoding::I8, &bytes), request, get_bytes()]);
            assert_eq!(found, adversarial.map(|byte| byte as u8), "{attack:?}");
            let real = adversarial.map(|byte| SCALE * (f32::from(byte) + 128.0));
            let (_, found) = last(model, buffer.len(), &[put(Encoding::I8, &bytes), request, get(Part::Image, 0, 4)]);
            assert_eq!(floats(&found), real);
        }
    });
}

#[test]
fn logits_gradient_and_picture_are_the_cores() {
    with_model(|model| {
        let (bytes, work) = (written(), work_len(&NETWORK, true) + 8);
        let (mut buffer, mut gradient) = (std::vec![0.0; work], [0.0; 4]);
        let (_, found) = last(model, work, &[put(Encoding::I8, &bytes), Request::Logits, get(Part::Logits, 0, 3)]);
        assert_eq!(floats(&found), model.logits_of_integers(&BYTES, &mut buffer).unwrap());
        let real = BYTES.map(|byte| SCALE * (f32::from(byte) + 128.0));
        let at = (CoreLoss::CrossEntropy, 2);
        let expected =
            model.loss_gradient_of_integers(at, &BYTES, &mut gradient, &mut buffer).unwrap().gradient.to_vec();
        assert_eq!(model.loss_gradient(at.0, &real, at.1, &mut buffer).unwrap().gradient, expected);
        let job = Request::Gradient { label: 2, loss: Loss::CrossEntropy };
        let (_, found) = last(model, work, &[put(Encoding::I8, &bytes), job, get(Part::Image, 0, 9)]);
        assert_eq!(floats(&found), expected);
        // A gradient is no image of the grid.
        assert_eq!(last(model, work, &[put(Encoding::I8, &bytes), job, get_bytes()]).0, "Fault(Unknown)");
        let grey = [-128, -64, -28, 0].map(|byte: i8| byte as u8);
        let camera = CoreCamera { right: 1.0, ..CoreCamera::NONE };
        let job = Request::Camera { camera: camera.into(), seed: 3 };
        let (_, found) = last(model, work, &[put(Encoding::I8, &grey), job, get_bytes()]);
        assert_eq!(found, [-128, -128, -64, -28].map(|byte: i8| byte as u8));
    });
}

#[test]
fn what_is_put_is_rounded_to_the_grid() {
    with_model(|model| {
        let work = work_len(&NETWORK, true);
        let exact = last(model, work, &[put(Encoding::I8, &written()), Request::Logits, get(Part::Logits, 0, 3)]).1;
        let near = BYTES.map(|byte| (SCALE * (f32::from(byte) + 128.3)).min(255.0 * SCALE));
        let near = bytes_of(&near);
        assert_eq!(last(model, work, &[put(Encoding::F32, &near), Request::Logits, get(Part::Logits, 0, 3)]).1, exact);
        // 255 / 255 is 128 steps of the grid.
        let fgsm = Attack::of(midge_core::attack::Fgsm { eps: 0.0 }.into()).unwrap();
        let attack = Request::Attack { attack: fgsm, label: 0 };
        let found = last(model, work, &[put(Encoding::U8, &[0, 51, 102, 255]), attack, get_bytes()]).1;
        assert_eq!(found, [-128, -102, -77, 0].map(|byte: i8| byte as u8));
        let far = bytes_of(&[0.0, 2.5, 0.0, 0.0]);
        let refused = "Fault(Refused(Pixel { index: 1, value: 2.5 }))";
        assert_eq!(last(model, work, &[put(Encoding::F32, &far)]).0, refused);
    });
}

#[test]
fn abilities_are_those_that_there_is_memory_for() {
    with_model(|model| {
        let pixels = NETWORK.input().len();
        let least = work_len(&NETWORK, false);
        assert_eq!([least + 2 * pixels, NETWORK.integers_len()], [work_len(&NETWORK, true), least]);
        let camera = 3 * pixels;
        for work in [least, least + pixels - 1, least + pixels, least + 9 * pixels] {
            let abilities = 10 + u8::from(work >= least + pixels) + 4 * u8::from(work >= camera);
            let found = last(model, work, &[Request::Info]).0;
            assert!(found.contains(&std::format!("abilities: {abilities},")), "{work}: {found}");
        }
        let bytes = written();
        let mi_fgsm = Attack::of(MiFgsm::new(0.1).into()).unwrap();
        for job in [
            Request::Gradient { label: 2, loss: Loss::Margin },
            Request::Attack { attack: mi_fgsm, label: 0 },
            Request::Camera { camera: CoreCamera { blur: 90.0, ..CoreCamera::NONE }.into(), seed: 0 },
        ] {
            let found = last(model, least, &[put(Encoding::I8, &bytes), job]).0;
            assert_eq!(found, std::format!("Fault(TooLarge {{ most: {least} }})"));
        }
        let fgsm = Attack::of(midge_core::attack::Fgsm { eps: 0.1 }.into()).unwrap();
        let attack = Request::Attack { attack: fgsm, label: 0 };
        assert!(last(model, least, &[put(Encoding::I8, &bytes), attack]).0.starts_with("Done"));
    });
}

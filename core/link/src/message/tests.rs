use std::vec::Vec;

use proptest::prelude::*;

use super::*;

/// What another implementation has to write and to read, as `docs/device-protocol.md` describes it.
#[test]
fn messages_are_these_bytes() {
    let requests: [(Request<'_>, &[u8]); 6] = [
        (Request::Info, &[0]),
        (Request::Put { encoding: Encoding::U8, offset: 300, bytes: &[9, 8] }, &[1, 1, 0xac, 2, 2, 9, 8]),
        (Request::Get { part: Part::Logits, encoding: Encoding::F32, offset: 0, count: 10 }, &[2, 0, 0, 0, 10]),
        (Request::Classify, &[3]),
        (Request::Logits, &[4]),
        (Request::Cancel, &[8]),
    ];
    for (request, bytes) in requests {
        assert_eq!(write(&request, &mut [0; MESSAGE]), Some(bytes));
    }
    let cost = Cost { ticks: 128, stack: 1 };
    let responses: [(Response<'_>, &[u8]); 6] = [
        (Response::Started, &[0]),
        (Response::Stored { filled: 784 }, &[2, 0x90, 6]),
        (Response::Elements { offset: 0, bytes: &[1] }, &[3, 0, 1, 1]),
        (
            Response::Done { done: Done::Class { class: 7, confidence: 1.0 }, cost },
            &[4, 0, 7, 0, 0, 0x80, 0x3f, 0x80, 1, 1],
        ),
        (Response::Done { done: Done::Logits, cost }, &[4, 1, 0x80, 1, 1]),
        (Response::Fault(Fault::NoImage { filled: 3 }), &[7, 6, 3]),
    ];
    for (response, bytes) in responses {
        assert_eq!(write(&response, &mut [0; MESSAGE]), Some(bytes));
    }
}

fn floats(all: &[f32]) -> Vec<u8> {
    all.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Of every field another value, so that none can take another's place.
#[test]
fn the_fields_of_a_job_are_in_this_order() {
    use crate::attack::{Method, Target};

    let (eps, alpha, decay) = (1.0, 0.5, 2.0);
    let target = Some(Target::Random(5));
    let attack = Attack {
        method: Method::Pgd,
        eps,
        alpha,
        steps: 300,
        decay,
        restarts: 2,
        seed: 128,
        loss: Loss::Margin,
        target,
    };
    let (gamma, rotation, down, right, blur, brightness, noise) = (1.0, 2.0, -1.0, 0.5, 4.0, -2.0, 0.25);
    let camera = Camera { gamma, rotation, down, right, blur, brightness, noise, eight_bit: true };
    let requests = [
        (Request::Gradient { label: 2, loss: Loss::Margin }, [5, 2, 1].to_vec()),
        (
            Request::Attack { attack, label: 9 },
            [&[6, 3][..], &floats(&[eps, alpha]), &[0xac, 2], &floats(&[decay]), &[2, 0x80, 1, 1, 1, 3, 5, 9]].concat(),
        ),
        (
            Request::Camera { camera, seed: 3 },
            [&[7][..], &floats(&[gamma, rotation, down, right, blur, brightness, noise]), &[1, 3]].concat(),
        ),
    ];
    for (request, bytes) in requests {
        assert_eq!(write(&request, &mut [0; MESSAGE]), Some(&bytes[..]));
    }
}

#[test]
fn what_came_of_a_job_is_these_bytes() {
    let [before, after] =
        [(1, 0.5, 2.0), (2, 0.25, 4.0)].map(|(class, confidence, loss)| Prediction { class, confidence, loss });
    let done = Done::Attack { before, after, zero_gradient_steps: 3, largest_change: 0.125, target: Some(6) };
    let cost = Cost { ticks: 7, stack: 8 };
    for (done, bytes) in [
        (Done::Gradient { loss: 1.5 }, [&[4, 2][..], &floats(&[1.5]), &[7, 8]].concat()),
        (
            done,
            [&[4, 3, 1][..], &floats(&[0.5, 2.0]), &[2], &floats(&[0.25, 4.0]), &[3], &floats(&[0.125]), &[1, 6, 7, 8]]
                .concat(),
        ),
        (Done::Picture, [4, 4, 7, 8].to_vec()),
    ] {
        assert_eq!(write(&Response::Done { done, cost }, &mut [0; MESSAGE]), Some(&bytes[..]));
    }
}

#[test]
fn faults_are_these_bytes() {
    let refused = |refusal| Fault::Refused(refusal);
    for (fault, bytes) in [
        (Fault::Damaged, &[0][..]),
        (Fault::Version { spoken: 1 }, &[1, 1]),
        (Fault::Unknown, &[2]),
        (Fault::Busy { done: 3, of: 10 }, &[3, 3, 10]),
        (Fault::TooLarge { most: 4 }, &[4, 4]),
        (Fault::Gap { filled: 5 }, &[5, 5]),
        (Fault::NoResult, &[7]),
        (refused(Refusal::Pixel { index: 2, value: 1.0 }), &[8, 0, 2, 0, 0, 0x80, 0x3f]),
        (refused(Refusal::Class { class: 3 }), &[8, 1, 3]),
        (refused(Refusal::Option { value: 1.0 }), &[8, 2, 0, 0, 0x80, 0x3f]),
        (refused(Refusal::NoSteps), &[8, 3]),
        (refused(Refusal::NoRestarts), &[8, 4]),
        (refused(Refusal::TargetIsLabel), &[8, 5]),
        (refused(Refusal::NotFinite), &[8, 6]),
        (refused(Refusal::Other), &[8, 7]),
    ] {
        let bytes = [&[7], bytes].concat();
        assert_eq!(write(&Response::Fault(fault), &mut [0; MESSAGE]), Some(&bytes[..]));
    }
    for (response, bytes) in [(Response::Progress { done: 3, of: 10 }, &[5, 3, 10][..]), (Response::Cancelled, &[6])] {
        assert_eq!(write(&response, &mut [0; MESSAGE]), Some(bytes));
    }
}

#[test]
fn what_a_board_says_of_itself_is_these_bytes() {
    let info = Info {
        board: "b",
        model: "mo",
        fingerprint: "",
        element: ElementType::I8,
        shape: [1, 300, 3],
        classes: 4,
        range: [-1.0, 1.0],
        grid: Some(Grid { scale: 0.5, zero_point: -3 }),
        abilities: 7,
        chunk: 240,
        memory: 129,
        unit: Unit::Microseconds,
    };
    let text = &[1, 1, b'b', 2, b'm', b'o', 0];
    let (range, scale) = (floats(&info.range), floats(&[0.5]));
    let bytes = [&text[..], &[2, 1, 0xac, 2, 3, 4], &range, &[1], &scale, &[5], &[7, 240, 0x81, 1, 2]].concat();
    assert_eq!(write(&Response::Info(info), &mut [0; MESSAGE]), Some(&bytes[..]));
}

#[test]
fn the_longest_messages_fit() {
    let bytes = [0; CHUNK];
    let mut message = [0; MESSAGE];
    // Of the last element of the largest image that can be said.
    let put = Request::Put { encoding: Encoding::F32, offset: u32::MAX, bytes: &bytes };
    assert_eq!(write(&put, &mut message).map(<[u8]>::len), Some(MESSAGE));
    assert!(write(&Response::Elements { offset: u32::MAX, bytes: &bytes }, &mut message).is_some());
    let name = "a name of fourty bytes, as long as it is";
    let grid = Some(Grid { scale: 0.1, zero_point: i32::MIN });
    let info = Info {
        board: name,
        model: name,
        fingerprint: name,
        element: ElementType::I8,
        shape: [u16::MAX; 3],
        classes: u16::MAX,
        range: [0.0, 1.0],
        grid,
        abilities: 7,
        chunk: CHUNK as u8,
        memory: u32::MAX,
        unit: Unit::Cycles,
    };
    let written = write(&Response::Info(info), &mut message).unwrap();
    assert_eq!((name.len(), read(written)), (40, Some(Response::Info(info))));
}

proptest! {
    #[test]
    fn no_bytes_cause_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..=MESSAGE)) {
        let mut again = [0; MESSAGE];
        if let Some(request) = read::<Request<'_>>(&bytes) {
            prop_assert!(write(&request, &mut again).is_some());
        }
        if let Some(response) = read::<Response<'_>>(&bytes) {
            prop_assert!(write(&response, &mut again).is_some());
        }
    }
}

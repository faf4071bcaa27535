//! Boards that say what cannot be, and lines that are never there for long.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use midge_link::{
    Cost, Decoder, Done, ElementType, FRAME, Grid, Info, MESSAGE, Request, Response, Unit, encode, read, write,
};
use midge_trainer::training::initialise;
use midge_trainer::weights::DType;
use tempfile::TempDir;

use super::super::{error, json};
use super::cases::write_images;

const INFO: Info<'_> = Info {
    board: "liar",
    model: "m",
    fingerprint: "",
    element: ElementType::F32,
    shape: [30, 1, 1],
    classes: 3,
    range: [0.0, 1.0],
    grid: None,
    abilities: 0,
    chunk: 240,
    memory: 0,
    unit: Unit::Cycles,
};

/// Three logits, of which one is NaN.
const LOGITS: [u8; 12] = [0, 0, 0x80, 0x3f, 0, 0, 0xc0, 0x7f, 0, 0, 0, 0];

/// What a board says whose clock has gone for ever.
fn answer(request: &Request<'_>, info: Info<'static>) -> Response<'static> {
    let done = |done| Response::Done { done, cost: Cost { ticks: u64::MAX, stack: 1 } };
    match request {
        Request::Info => Response::Info(info),
        Request::Put { .. } => Response::Stored { filled: u32::MAX },
        Request::Get { offset, .. } => Response::Elements { offset: *offset, bytes: &LOGITS },
        Request::Classify => done(Done::Class { class: u16::MAX, confidence: 0.0 }),
        Request::Logits => done(Done::Logits),
        _ => Response::Cancelled,
    }
}

/// Answers so many requests, and hangs up.
fn serve(mut line: TcpStream, info: Info<'static>, requests: usize) {
    let (mut decoder, mut answered, mut byte) = (Decoder::new(), 0, [0]);
    while answered < requests && line.read_exact(&mut byte).is_ok() {
        let Some(Ok(frame)) = decoder.push(byte[0]) else { continue };
        let (mut message, mut out) = ([0; MESSAGE], [0; FRAME]);
        let response = answer(&read(frame.message).unwrap(), info);
        let message = write(&response, &mut message).unwrap();
        if line.write_all(encode(frame.sequence, message, &mut out).unwrap()).is_err() {
            return;
        }
        answered += 1;
    }
}

/// A board that answers so many requests of the first connection, and none of the others.
fn start(info: Info<'static>, requests: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("tcp:{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for (number, line) in listener.incoming().enumerate() {
            serve(line.unwrap(), info, if number == 0 { requests } else { 0 });
        }
    });
    port
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let weights = initialise("input(30,1,1) flatten dense(units=3,bias=true)".parse().unwrap(), 5);
    weights.save(&folder.path().join("m.safetensors"), DType::F32).unwrap();
    write_images(folder.path(), [30, 1, 1]);
    folder
}

#[test]
fn what_a_board_says_of_itself_has_to_be_possible() {
    let folder = folder();
    let grid = |scale, zero_point| Info { grid: Some(Grid { scale, zero_point }), ..INFO };
    for info in [
        Info { classes: 0, ..INFO },
        Info { shape: [30, 0, 1], ..INFO },
        Info { range: [1.0, 1.0], ..INFO },
        Info { range: [f32::NAN, 1.0], ..INFO },
        Info { range: [0.0, f32::INFINITY], ..INFO },
        grid(0.0, 0),
        grid(f32::NAN, 0),
        grid(0.1, 128),
        grid(0.1, i32::MIN),
    ] {
        for words in [&["info"][..], &["classify", "--data", "data.safetensors"]] {
            let port = start(info, usize::MAX);
            let message = error(folder.path(), &[&["device", &port], words].concat());
            assert!(message.contains(&port) && message.contains("at least one class"), "{info:?}: {message}");
        }
    }
}

#[test]
fn whatever_a_board_measures_is_counted() {
    let folder = folder();
    let port = start(INFO, usize::MAX);
    let words = ["evaluate", "--data", "data.safetensors", "--attack", "fgsm", "--eps", "0.1", "--json"];
    let report = json(folder.path(), &[&["device", &port, "--model", "m.safetensors"], &words[..]].concat());
    assert_eq!(report["costs"][0]["ticks"], u64::MAX);
    assert!(report["agreement"][0]["logits"].is_null(), "{report}");
}

#[test]
fn a_line_that_is_closed_again_and_again_is_given_up() {
    let folder = folder();
    for answered in [0, 1, 2, 5] {
        let port = start(INFO, answered);
        let words = ["device", &port, "--timeout", "1", "classify", "--data", "data.safetensors"];
        let message = error(folder.path(), &words);
        assert!(message.contains("no answer for 1 seconds"), "{answered}: {message}");
    }
}

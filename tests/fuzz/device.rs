//! The host's side of the line to a board: whatever a board answers, nothing panics and nothing waits for ever.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use midge_core::attack::{MiFgsm, Square};
use midge_link::{Decoder, FRAME, MESSAGE, encode};
use midge_trainer::device::line::Line;
use midge_trainer::device::{Client, Device};
use midge_trainer::evaluation::attack::AttackAt;

/// Most pixels of an image, so that no single input takes long.
const MOST_PIXELS: usize = 64;

/// A board that says what the fuzzer made up, each time under the number of the last request. At the end the user has had enough.
struct Liar {
    messages: VecDeque<Vec<u8>>,
    asked: Decoder,
    sequence: u16,
    stop: Arc<AtomicBool>,
}

impl Line for Liar {
    fn name(&self) -> &str {
        "liar"
    }

    fn read(&mut self, bytes: &mut [u8], _wait: Duration) -> io::Result<usize> {
        let Some(message) = self.messages.pop_front() else {
            self.stop.store(true, Ordering::Relaxed);
            return Ok(0);
        };
        let mut frame = [0; FRAME];
        // A message that is too long for a frame arrives as noise.
        let sent =
            if message.len() > MESSAGE { &message } else { encode(self.sequence, &message, &mut frame).unwrap() };
        bytes[..sent.len()].copy_from_slice(sent);
        Ok(sent.len())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for byte in bytes {
            if let Some(frame) = self.asked.push(*byte) {
                self.sequence = frame.expect("a host sends whole frames").sequence;
            }
        }
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Answers, each behind its length.
pub(crate) fn device(bytes: &[u8]) {
    let (mut messages, mut rest) = (VecDeque::new(), bytes);
    while let [len, behind @ ..] = rest {
        let (message, others) = behind.split_at(behind.len().min(usize::from(*len)));
        messages.push_back(message.to_vec());
        rest = others;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let line = Liar { messages, asked: Decoder::new(), sequence: 0, stop: Arc::clone(&stop) };
    let Ok(client) = Client::open(Box::new(line), Duration::from_secs(3600), stop) else { return };
    let mut device = Device::new(client);
    let pixels = device.client.info().input.len();
    if pixels > MOST_PIXELS {
        return;
    }
    let image = vec![device.client.info().input.range[0]; pixels];
    if let Ok((logits, _)) = device.logits(&image) {
        assert_eq!(logits.len(), device.client.info().input.classes);
    }
    let _ = device.class(&image);
    // By the board, or with its gradients; and with its logits.
    let square = AttackAt::Square(Square { queries: 4, ..Square::new(0.1, 0) });
    for attack in [MiFgsm::new(0.1).into(), square] {
        if let Ok(attacked) = device.attack(attack, (&image, 0)) {
            assert_eq!(attacked.adversarial.len(), pixels);
        }
    }
}

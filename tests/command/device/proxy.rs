//! What cables do: bytes that are lost, repeated, flipped and invented, silence, a plug that is pulled.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng};

/// What happens to the bytes of both directions together.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    /// Bytes in a thousand that are lost, and as many that are repeated, flipped and invented.
    pub per_mille: u64,
    /// After so many bytes, all are lost for a while.
    pub silence: Option<(usize, Duration)>,
    /// After so many bytes, the plug is pulled, and comes back.
    pub pulled_at: Option<usize>,
    /// After so many bytes, the plug is pulled for good.
    pub gone_at: Option<usize>,
}

/// A proxy in front of a board; returns the port to use instead.
pub(super) fn start(board: &str, faults: Faults) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (board, passed) = (board.to_string(), Arc::new(AtomicUsize::new(0)));
    thread::spawn(move || {
        for (number, connection) in (0..).zip(listener.incoming()) {
            let connection = connection.unwrap();
            if faults.gone_at.is_some_and(|at| passed.load(Ordering::Relaxed) >= at) {
                return;
            }
            let Ok(other) = TcpStream::connect(&board) else { return };
            for (a, b, seed) in [(&connection, &other, 2 * number), (&other, &connection, 2 * number + 1)] {
                let (from, to) = (a.try_clone().unwrap(), b.try_clone().unwrap());
                let passed = Arc::clone(&passed);
                thread::spawn(move || forward(from, to, (faults, seed), &passed));
            }
        }
    });
    format!("tcp:{address}")
}

fn forward(mut from: TcpStream, mut to: TcpStream, (faults, seed): (Faults, u64), passed: &AtomicUsize) {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut silent_until: Option<Instant> = None;
    from.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    to.set_nodelay(true).unwrap();
    loop {
        let mut bytes = [0; 256];
        let read = match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => 0,
            Err(_) => break,
        };
        let before = passed.fetch_add(read, Ordering::Relaxed);
        let crossed = |at: usize| (before..before + read).contains(&at);
        let pulled = [faults.pulled_at, faults.gone_at].into_iter().flatten().any(crossed);
        let gone = faults.gone_at.is_some_and(|at| before + read >= at);
        if pulled || gone {
            break;
        }
        if let Some((_, time)) = faults.silence.filter(|(at, _)| crossed(*at)) {
            silent_until = Some(Instant::now() + time);
        }
        if silent_until.is_some_and(|end| Instant::now() < end) {
            continue;
        }
        if to.write_all(&garbled(&bytes[..read], faults.per_mille, &mut random)).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn garbled(bytes: &[u8], per_mille: u64, random: &mut Xoshiro256PlusPlus) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in bytes {
        let draw = random.next_u64();
        match draw % 1000 / per_mille.max(1) {
            _ if per_mille == 0 => out.push(*byte),
            0 => {}
            1 => out.extend([*byte; 2]),
            2 => out.push(byte ^ (1 << (draw >> 32 & 7))),
            3 => out.extend([(draw >> 40) as u8, *byte]),
            _ => out.push(*byte),
        }
    }
    out
}

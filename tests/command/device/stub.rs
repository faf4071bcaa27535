//! A board without a board: the firmware's service over TCP.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use midge_core::Model;
use midge_link::service::{About, Board, Memory, OnBoard, Service, work_len};
use midge_link::{Cost, ElementType, Unit};
use midge_trainer::any_weights::AnyWeights;
use midge_trainer::weights::Weights;

/// What is to befall the board.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fate {
    /// Starts anew before this gradient, the first of all being number 1.
    pub reset_at: usize,
    /// Starts anew in this job, the first of all being number 1.
    pub reset_at_job: usize,
    /// Dies before this one.
    pub die_at: usize,
}

/// A board behind a port; it lives until the test ends.
pub(super) struct Stub {
    pub address: String,
    /// Jobs that it has begun.
    pub jobs: Arc<AtomicUsize>,
}

/// What unwinds the stack of the service.
enum End {
    Reset,
    Death,
}

/// The line that is connected at the moment.
#[derive(Clone)]
struct Line {
    stream: Arc<Mutex<Option<TcpStream>>>,
    arrived: VecDeque<u8>,
    jobs: Arc<AtomicUsize>,
    gradients: usize,
    fate: Fate,
}

impl Board for &mut Line {
    fn read(&mut self) -> Option<u8> {
        if self.arrived.is_empty() {
            let mut bytes = [0; 512];
            let stream = self.stream.lock().unwrap();
            let read = stream.as_ref().and_then(|mut stream| stream.read(&mut bytes).ok()).unwrap_or(0);
            self.arrived.extend(&bytes[..read]);
        }
        self.arrived.pop_front()
    }

    fn write(&mut self, bytes: &[u8]) {
        // A line that is down loses what is sent.
        if let Some(mut stream) = self.stream.lock().unwrap().as_ref() {
            let _ = stream.write_all(bytes);
        }
    }

    fn is_time_for_progress(&mut self) -> bool {
        self.gradients += 1;
        match self.gradients {
            n if n == self.fate.reset_at => resume_unwind(Box::new(End::Reset)),
            n if n == self.fate.die_at => resume_unwind(Box::new(End::Death)),
            n => n.is_multiple_of(2),
        }
    }

    fn measure<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> (R, Cost) {
        if self.jobs.fetch_add(1, Ordering::Relaxed) + 1 == self.fate.reset_at_job {
            resume_unwind(Box::new(End::Reset));
        }
        (work(self), Cost { ticks: 1000, stack: 100 })
    }
}

impl Stub {
    /// Starts a board that runs the model.
    pub(super) fn start(weights: &Weights, fate: Fate) -> Self {
        Self::with(&AnyWeights::Float(weights.clone()), fate)
    }

    /// [`Self::start`] of any model.
    pub(super) fn with(weights: &AnyWeights, fate: Fate) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let jobs = Arc::new(AtomicUsize::new(0));
        let stream = Arc::new(Mutex::new(None));
        let line =
            Line { stream: Arc::clone(&stream), arrived: VecDeque::new(), jobs: Arc::clone(&jobs), gradients: 0, fate };
        let (weights, dead) = (weights.clone(), Arc::new(AtomicBool::new(false)));
        let is_dead = Arc::clone(&dead);
        thread::spawn(move || {
            live(&weights, line);
            dead.store(true, Ordering::Relaxed);
        });
        listener.set_nonblocking(true).unwrap();
        thread::spawn(move || {
            // Dropped with the thread: nobody can connect to a dead board.
            while !is_dead.load(Ordering::Relaxed) {
                if let Ok((connection, _)) = listener.accept() {
                    connection.set_nodelay(true).unwrap();
                    connection.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
                    *stream.lock().unwrap() = Some(connection);
                }
                thread::sleep(Duration::from_millis(2));
            }
            *stream.lock().unwrap() = None;
        });
        Self { address, jobs }
    }

    pub(super) fn port(&self) -> String {
        format!("tcp:{}", self.address)
    }
}

/// Serves until death.
fn live(weights: &AnyWeights, line: Line) {
    let fingerprint = weights.checksum().unwrap();
    let about = |element| About { board: "stub", model: "m", fingerprint: &fingerprint, element, unit: Unit::Cycles };
    match weights {
        AnyWeights::Float(weights) => {
            let tensors: Vec<&[f32]> = weights.tensors.iter().map(|tensor| &**tensor).collect();
            let model = Model::<f32>::from_tensors(&weights.network, &tensors).unwrap();
            serve(&model, about(ElementType::F32), line);
        }
        AnyWeights::Int8(weights) => serve(&weights.model().unwrap(), about(ElementType::I8), line),
    }
}

fn serve<T: OnBoard>(model: &Model<'_, T>, about: About<'_>, mut line: Line) {
    let (pixels, classes) = (model.network().input().len(), model.network().classes());
    loop {
        let [mut image, mut result] = [(); 2].map(|()| vec![T::Pixel::default(); pixels]);
        let (mut logits, mut work) = (vec![0.0; classes], vec![0.0; work_len(model.network(), true)]);
        let memory = Memory::new(&mut image, &mut result, &mut logits, &mut work);
        let served = catch_unwind(AssertUnwindSafe(|| {
            let mut service = Service::new(&mut line, about, model, memory);
            loop {
                if !service.poll() {
                    thread::sleep(Duration::from_micros(100));
                }
            }
        }));
        match served.map_err(|end| end.downcast::<End>()) {
            Err(Ok(end)) if matches!(*end, End::Reset) => line.arrived.clear(),
            _ => return,
        }
    }
}

//! The board as a host's instrument: it does over a serial line what the host asks for.

use midge_core::Model;
use midge_link::service::{About, Board as Desk, Memory, OnBoard, Service, Shown, work_len};
use midge_link::{Cost, Done, ElementType};
use static_cell::StaticCell;

use crate::board::{self, Board, Screen};
use crate::embedded::{self, CLASSES, NETWORK, PIXELS, Weights};
use crate::measure;
use crate::screen::{draw_served, draw_waiting};

type Pixel = <Weights as OnBoard>::Pixel;

/// Elements of the memory for jobs.
const WORK: usize = work_len(&NETWORK, cfg!(not(no_momentum)));

/// All memory of the jobs, besides the stack.
struct Buffers {
    image: [Pixel; PIXELS],
    result: [Pixel; PIXELS],
    logits: [f32; CLASSES],
    work: [f32; WORK],
}

static BUFFERS: StaticCell<Buffers> = StaticCell::new();

const ELEMENT: ElementType = match embedded::DTYPE.as_bytes() {
    b"i8" => ElementType::I8,
    b"f16" => ElementType::F16,
    b"f32" => ElementType::F32,
    _ => panic!("a type of weights that the protocol does not know"),
};

/// The board, and the time of the job that runs.
struct Port {
    board: Board,
    /// Ticks of the job up to the counter's state `lap`.
    elapsed: u64,
    lap: u32,
    /// Ticks up to which the host has heard of it.
    told: u64,
    /// The counter's state when the last picture was drawn.
    drawn: u32,
}

impl Port {
    /// Counts the ticks since the last time, before the counter wraps.
    fn count(&mut self) {
        let now = board::ticks();
        self.elapsed += board::ticks_between(self.lap, now);
        self.lap = now;
    }
}

impl Desk for Port {
    fn read(&mut self) -> Option<u8> {
        self.board.line.read()
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.board.line.write(*byte));
    }

    fn is_time_for_progress(&mut self) -> bool {
        self.count();
        let is_time = self.elapsed - self.told > board::HALF_A_SECOND;
        if is_time {
            self.told = self.elapsed;
        }
        is_time
    }

    fn measure<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> (R, Cost) {
        let timed = || {
            (self.elapsed, self.told, self.lap) = (0, 0, board::ticks());
            let result = work(self);
            self.count();
            (result, self.elapsed)
        };
        let ((result, ticks), stack) = measure::stack_of(timed);
        (result, Cost { ticks, stack: stack as u32 })
    }

    /// Every attack is drawn; of what takes less time, two pictures a second.
    fn show<P: midge_link::service::Pixel>(&mut self, shown: &Shown<'_, P>) {
        let is_time = board::ticks_between(self.drawn, board::ticks()) > board::HALF_A_SECOND;
        if board::HAS_SCREEN && (is_time || matches!(shown.done, Done::Attack { .. })) {
            self.draw(|screen| draw_served(screen, embedded::name(0), shown).is_ok());
        }
    }
}

impl Port {
    /// Not inlined, so that the stack of a picture is not there in a job. A display that does not answer is no reason to end.
    #[inline(never)]
    fn draw(&mut self, picture: impl FnOnce(&mut Screen) -> bool) {
        self.board.begin();
        if picture(&mut self.board.screen) {
            self.board.present();
        }
        self.drawn = board::ticks();
    }
}

/// The first model, opened here so that the stack for that is free again afterwards.
#[inline(never)]
fn open() -> &'static Model<'static, Weights> {
    static MODEL: StaticCell<Model<'static, Weights>> = StaticCell::new();
    MODEL.init_with(|| embedded::model(0).1)
}

/// Serves the first model for ever.
pub fn run(board: Board) -> ! {
    serve(board, open())
}

/// Not inlined, so that its stack is not there yet while the model is opened.
#[inline(never)]
fn serve(board: Board, model: &'static Model<'static, Weights>) -> ! {
    let Buffers { image, result, logits, work } = BUFFERS.init_with(|| Buffers {
        image: [Pixel::default(); PIXELS],
        result: [Pixel::default(); PIXELS],
        logits: [0.0; CLASSES],
        work: [0.0; WORK],
    });
    let about = About {
        board: board::NAME,
        model: embedded::name(0),
        fingerprint: embedded::fingerprint(0),
        element: ELEMENT,
        unit: board::UNIT,
    };
    defmt::info!("{} serves {} ({})", about.board, about.model, about.fingerprint);
    let mut port = Port { board, elapsed: 0, lap: 0, told: 0, drawn: 0 };
    if board::HAS_SCREEN {
        port.draw(|screen| draw_waiting(screen, about.model).is_ok());
    }
    let mut service = Service::new(port, about, model, Memory::new(image, result, logits, work));
    loop {
        service.poll();
    }
}

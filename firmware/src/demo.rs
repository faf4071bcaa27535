//! The demo: every bundled digit, every attack, on every model, on the screen and in the log, and what a camera in front of
//! a display would make of the adversarial images.

use midge_core::attack::{Attack, Fgsm, MiFgsm, Otcm, Outcome, Target, to_8_bits};
use midge_core::camera::Camera;
use midge_core::{Chain, Error, MNIST_CNN, Model, f16};
use static_cell::StaticCell;

use crate::board::{self, Board};
use crate::screen::{Attacked, CLASSES, Cell, Scene, View, draw_attacked, draw_scene};
use crate::{embedded, measure};

const PIXELS: usize = MNIST_CNN.input().len();
/// The button goes from one to the next.
const EPS: [f32; 4] = [0.2, 0.3, 0.05, 0.1];
/// How long a picture stays.
const MILLISECONDS: u32 = 2500;
/// A hand-held camera: nothing that would keep anybody from reading a digit.
const CAMERA: Camera = Camera {
    gamma: 1.0,
    rotation: 5.0,
    down: 1.0,
    right: 1.0,
    blur: 0.5,
    brightness: 0.1,
    noise: 0.05,
    eight_bit: true,
};

/// All memory that attacks take, besides the stack.
struct Buffers {
    image: [f32; PIXELS],
    adversarial: [f32; PIXELS],
    picture: [f32; PIXELS],
    work: [f32; MNIST_CNN.attack_len()],
}

static BUFFERS: StaticCell<Buffers> = StaticCell::new();

const ATTACKS: [&str; 3] = ["FGSM", "MI-FGSM", "OTCM"];

fn attack(
    name: &str,
    model: &Model<'_, Chain<f16>>,
    (eps, label): (f32, usize),
    Buffers { image, adversarial, work, .. }: &mut Buffers,
) -> Result<Outcome, Error> {
    match name {
        "FGSM" => Fgsm { eps }.attack(model, image, label, adversarial, work),
        "MI-FGSM" => MiFgsm::new(eps).attack(model, image, label, adversarial, work),
        _ => Otcm { eps, target: Target::LeastLikely }.attack(model, image, label, adversarial, work),
    }
}

fn view(model: &Model<'_, Chain<f16>>, image: &[f32], work: &mut [f32]) -> Result<View, Error> {
    let result = model.classify(image, work)?;
    let mut probabilities = [0.0; CLASSES];
    probabilities.iter_mut().zip(result.probabilities).for_each(|(target, p)| *target = *p);
    Ok(View { class: result.class, probabilities })
}

/// Shows the adversarial image on a display and takes a picture of it.
fn photograph(seed: u64, eps: f32, Buffers { image, adversarial, picture, work }: &mut Buffers) -> Result<(), Error> {
    let (shown, rest) = work.split_at_mut(PIXELS);
    for ((shown, x), clean) in shown.iter_mut().zip(adversarial).zip(image) {
        *shown = f32::from(to_8_bits(*x, *clean, eps)) / 255.0;
    }
    CAMERA.apply(MNIST_CNN.input(), shown, seed, picture, rest)
}

/// To whole parts, for the log.
fn rounded(x: f32, parts: f32) -> f32 {
    (x * parts + 0.5) as u32 as f32 / parts
}

/// One attack on one model with the digit in `buffers`, measured, photographed and logged.
fn attacked<'b>(
    (model_name, model): &(&'static str, Model<'_, Chain<f16>>),
    (name, seed): (&'static str, u64),
    (eps, label): (f32, usize),
    buffers: &'b mut Buffers,
) -> Result<Attacked<'b>, Error> {
    let before = view(model, &buffers.image, &mut buffers.work)?;
    let (outcome, cost) = measure::measure(|| attack(name, model, (eps, label), buffers));
    let outcome = outcome?;
    let after = view(model, &buffers.adversarial, &mut buffers.work)?;
    photograph(seed, eps, buffers)?;
    let seen = view(model, &buffers.picture, &mut buffers.work)?;
    let percent = |view: &View| rounded(100.0 * view.probabilities[view.class], 10.0);
    defmt::println!(
        "digit {}  {}  eps {}  {}: \"{}\" {} %  ->  \"{}\" {} %  through a lens \"{}\" {} %  largest change {}  {} {}",
        label,
        name,
        eps,
        model_name,
        before.class,
        percent(&before),
        after.class,
        percent(&after),
        seen.class,
        percent(&seen),
        rounded(outcome.largest_change, 1000.0),
        cost.ticks,
        board::TICK
    );
    let Buffers { image, adversarial, picture, .. } = buffers;
    let cells =
        [Cell { image, view: before }, Cell { image: adversarial, view: after }, Cell { image: picture, view: seen }];
    Ok(Attacked { model: model_name, cells, ticks: cost.ticks })
}

/// One attack on all models, one after the other in the same memory; each is drawn when it is done.
fn show(
    board: &mut Board,
    models: &[(&'static str, Model<'_, Chain<f16>>); embedded::MODELS],
    (name, seed): (&'static str, u64),
    (eps, label): (f32, usize),
    buffers: &mut Buffers,
) -> Result<(), Error> {
    let mut drawn = draw_scene(&mut board.screen, &Scene { attack: name, eps });
    for (row, model) in models.iter().enumerate() {
        let attacked = attacked(model, (name, seed), (eps, label), buffers)?;
        drawn = drawn.and_then(|()| draw_attacked(&mut board.screen, row, label, &attacked));
    }
    if drawn.is_err() {
        defmt::error!("the screen does not answer");
    }
    board.present();
    Ok(())
}

/// Runs the demo: forever on a board, once through all digits in the emulator.
pub fn run(mut board: Board) -> ! {
    let buffers = BUFFERS.init_with(|| Buffers {
        image: [0.0; PIXELS],
        adversarial: [0.0; PIXELS],
        picture: [0.0; PIXELS],
        work: [0.0; MNIST_CNN.attack_len()],
    });
    let models = core::array::from_fn(embedded::model);
    let mut eps = 0;
    loop {
        for index in 0..embedded::DIGITS {
            let label = embedded::digit(index, &mut buffers.image);
            for name in ATTACKS {
                if board.button.pressed() {
                    eps = (eps + 1) % EPS.len();
                    defmt::println!("button: eps is now {}", EPS[eps]);
                }
                if let Err(error) = show(&mut board, &models, (name, index as u64), (EPS[eps], label), buffers) {
                    panic!("{}: {}", name, defmt::Display2Format(&error));
                }
                board::show_for(MILLISECONDS);
            }
        }
        if !board::ENDLESS {
            board::exit(0);
        }
    }
}

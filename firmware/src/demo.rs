//! The demo: every embedded image, every attack, on every model, on the screen and in the log, and what a camera in front of
//! a display would make of the adversarial images.

use midge_core::attack::{Attack, Fgsm, MiFgsm, Otcm, Outcome, Target, to_8_bits};
use midge_core::camera::Camera;
use midge_core::{Error, Model, Shape};
use static_cell::StaticCell;

use crate::board::{self, Board};
use crate::embedded::{self, CLASSES, NETWORK, PIXELS, SAMPLES, Weights};
use crate::measure::{self, Cost};
use crate::screen::{Attacked, Cell, Scene, View, draw_attacked, draw_scene};

/// The button goes from one to the next: of a digit's range, or of others' in steps of their grid.
const EPS: [f32; 4] = if IS_DIGIT { [0.2, 0.3, 0.05, 0.1] } else { [2.0, 4.0, 1.0, 8.0] };
const IS_DIGIT: bool = matches!(NETWORK.input(), Shape { height: 28, width: 28, channels: 1 });
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
    work: [f32; NETWORK.attack_len()],
}

static BUFFERS: StaticCell<Buffers> = StaticCell::new();

const ATTACKS: [&str; 3] = ["FGSM", "MI-FGSM", "OTCM"];

fn attack(
    name: &str,
    model: &Model<'_, Weights>,
    (eps, label): (f32, usize),
    Buffers { image, adversarial, work, .. }: &mut Buffers,
) -> Result<Outcome, Error> {
    match name {
        "FGSM" => Fgsm { eps }.attack(model, image, label, adversarial, work),
        "MI-FGSM" => MiFgsm::new(eps).attack(model, image, label, adversarial, work),
        _ => Otcm { eps, target: Target::LeastLikely }.attack(model, image, label, adversarial, work),
    }
}

fn view(model: &Model<'_, Weights>, image: &[f32], work: &mut [f32]) -> Result<View, Error> {
    let result = model.classify(image, work)?;
    let mut probabilities = [0.0; CLASSES];
    probabilities.iter_mut().zip(result.probabilities).for_each(|(target, p)| *target = *p);
    Ok(View { class: result.class, probabilities })
}

/// Whether a camera can take a picture of what the model takes.
fn is_picture(model: &Model<'_, Weights>) -> bool {
    matches!(NETWORK.input().channels, 1 | 3) && NETWORK.input().width > 1 && model.range()[0] == 0.0
}

/// Shows the adversarial image on a display and takes a picture of it.
fn photograph(
    model: &Model<'_, Weights>,
    (seed, eps): (u64, f32),
    Buffers { image, adversarial, picture, work }: &mut Buffers,
) -> Result<(), Error> {
    let (shown, rest) = work.split_at_mut(PIXELS);
    let [_, white] = model.range();
    for ((shown, x), clean) in shown.iter_mut().zip(adversarial).zip(image) {
        // An image of integers is shown as it is.
        *shown = if model.grid().is_some() { *x / white } else { f32::from(to_8_bits(*x, *clean, eps)) / 255.0 };
    }
    CAMERA.apply(NETWORK.input(), shown, seed, picture, rest)?;
    picture.iter_mut().for_each(|x| *x *= white);
    Ok(())
}

/// Largest change of a pixel in the units of the model's input, button position `index`.
fn eps(model: &Model<'_, Weights>, index: usize) -> f32 {
    match (model.grid(), model.range()) {
        (Some(grid), _) if !IS_DIGIT => EPS[index] * grid.scale,
        (None, _) if !IS_DIGIT => EPS[index] / 255.0,
        (_, [low, high]) => EPS[index] * (high - low),
    }
}

/// To whole parts, for the log.
fn rounded(x: f32, parts: f32) -> f32 {
    (x * parts + 0.5) as u32 as f32 / parts
}

/// The confidence of a view's class, with one decimal.
fn percent(view: &View) -> f32 {
    rounded(100.0 * view.probabilities[view.class], 10.0)
}

/// What an attack did to an image of class `label`.
fn log(
    (name, eps, model_name): (&str, f32, &str),
    label: usize,
    [before, after]: [&View; 2],
    (outcome, cost): (&Outcome, &Cost),
) {
    defmt::println!(
        "image {}  {}  eps {}  {}: \"{}\" {} %  ->  \"{}\" {} %  largest change {}  {} {}",
        label,
        name,
        eps,
        model_name,
        before.class,
        percent(before),
        after.class,
        percent(after),
        rounded(outcome.largest_change, 1000.0),
        cost.ticks,
        board::TICK
    );
}

/// One attack on one model with the image in `buffers`, measured, photographed, logged and drawn.
fn attacked(
    board: &mut Board,
    (row, (model_name, model)): (usize, &(&'static str, Model<'_, Weights>)),
    (name, seed): (&'static str, u64),
    (eps, label): (f32, usize),
    buffers: &mut Buffers,
) -> Result<(), Error> {
    let before = view(model, &buffers.image, &mut buffers.work)?;
    let (outcome, cost) = measure::measure(|| attack(name, model, (eps, label), buffers));
    let outcome = outcome?;
    let after = view(model, &buffers.adversarial, &mut buffers.work)?;
    let seen = if is_picture(model) {
        photograph(model, (seed, eps), buffers)?;
        Some(view(model, &buffers.picture, &mut buffers.work)?)
    } else {
        None
    };
    log((name, eps, model_name), label, [&before, &after], (&outcome, &cost));
    let Buffers { image, adversarial, picture, .. } = buffers;
    let mut cells =
        [Cell { image, view: before }, Cell { image: adversarial, view: after }, Cell { image: picture, view: after }];
    let mut count = 2;
    if let Some(seen) = seen {
        defmt::println!("    through a lens \"{}\" {} %", seen.class, percent(&seen));
        cells[2].view = seen;
        count = 3;
    }
    let attacked = Attacked { model: model_name, cells: &cells[..count], range: model.range(), ticks: cost.ticks };
    if draw_attacked(&mut board.screen, row, label, &attacked).is_err() {
        defmt::error!("the screen does not answer");
    }
    Ok(())
}

/// One attack on all models, one after the other in the same memory; each is drawn when it is done.
fn show(
    board: &mut Board,
    models: &[(&'static str, Model<'_, Weights>); embedded::MODELS],
    (name, seed): (&'static str, u64),
    (eps_index, label): (usize, usize),
    buffers: &mut Buffers,
) -> Result<(), Error> {
    let eps = eps(&models[0].1, eps_index);
    let drawn = draw_scene(&mut board.screen, &Scene { attack: name, eps });
    for model in models.iter().enumerate() {
        attacked(board, model, (name, seed), (eps, label), buffers)?;
    }
    if drawn.is_err() {
        defmt::error!("the screen does not answer");
    }
    board.present();
    Ok(())
}

/// Runs the demo: forever on a board, once through all images in the emulator.
pub fn run(mut board: Board) -> ! {
    let buffers = BUFFERS.init_with(|| Buffers {
        image: [0.0; PIXELS],
        adversarial: [0.0; PIXELS],
        picture: [0.0; PIXELS],
        work: [0.0; NETWORK.attack_len()],
    });
    let models = core::array::from_fn(embedded::model);
    let mut eps = 0;
    loop {
        for index in 0..SAMPLES {
            let label = embedded::sample(index, &mut buffers.image);
            for name in ATTACKS {
                if board.button.pressed() {
                    eps = (eps + 1) % EPS.len();
                    defmt::println!("button: eps is now number {}", eps);
                }
                if let Err(error) = show(&mut board, &models, (name, index as u64), (eps, label), buffers) {
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

//! Compares this processor's results with the host's: logits, input gradients and attacks, of the plain model with f32
//! and f16 weights and of the robust one, or of the model that `MIDGE_MODEL` names. Logits of integers are the same to the bit. The runner writes what the host computes to `selftest.bin`
//! (`run/expected.rs`). A camera's pictures must be the host's bit for bit; `build.rs` took those. Exit code 1 if
//! anything is off.
#![no_std]
#![no_main]

use midge_core::attack::Apgd;
use midge_core::{Element, Error, Model, Weights as _};
use midge_firmware::board;
use midge_firmware::embedded::{self, CLASSES, NETWORK, PIXELS, Weights};
use semihosting::fs::File;
use semihosting::io::Read;
use static_cell::StaticCell;

#[path = "../selftest_attacks.rs"]
mod attacks;
#[cfg(not(own_model))]
#[path = "../selftest_cameras.rs"]
mod cameras;

/// Whether the model's numbers are known to give the host's bits, and its attacks the host's pixels: those of integers, and
/// the bundled ones.
const IS_EXACT: bool = Weights::IS_INT8 || !cfg!(own_model);
/// Largest difference of a logit.
const LOGITS: f32 = if IS_EXACT { 0.0 } else { 1e-4 };
/// Largest difference of a gradient, relative to the image's largest.
const GRADIENT: f32 = if IS_EXACT { 1e-5 } else { 1e-3 };
/// Of other models one pixel in so many may differ after each attack: a gradient near zero may have either sign, and later
/// steps follow the first.
const ONE_IN: [usize; attacks::COUNT] = [1000, 50, 1000, 50, 50, 50, 50, 10];

/// One case as the host wrote it.
struct Case {
    image: [f32; PIXELS],
    label: usize,
    logits: [f32; CLASSES],
    gradient: [f32; PIXELS],
    adversarial: [[f32; PIXELS]; attacks::COUNT],
    predicted: [usize; attacks::COUNT],
}

struct Buffers {
    case: Case,
    adversarial: [f32; PIXELS],
    /// As long as that of any attack.
    work: [f32; Apgd::len(&NETWORK)],
}

static BUFFERS: StaticCell<Buffers> = StaticCell::new();

/// How far device and host are apart.
#[derive(Default)]
struct Differences {
    cases: usize,
    logits: f32,
    gradient: f32,
    pixels: [usize; attacks::COUNT],
    classes: usize,
}

impl Differences {
    fn compare<T: Element>(&mut self, model: &Model<'_, T>, buffers: &mut Buffers) -> Result<(), Error> {
        let Buffers { case, adversarial, work } = buffers;
        let result = model.input_gradient(&case.image, case.label, work)?;
        self.cases += 1;
        self.logits = self.logits.max(largest_difference(result.logits, &case.logits));
        let largest = case.gradient.iter().fold(f32::MIN_POSITIVE, |a, g| a.max(g.abs()));
        self.gradient = self.gradient.max(largest_difference(result.gradient, &case.gradient) / largest);
        self.classes += usize::from(class(result.logits) != class(&case.logits));
        for attack in 0..attacks::COUNT {
            let outcome = attacks::run(attack, model, (&case.image, case.label), adversarial, work)?;
            let expected = &case.adversarial[attack];
            // Rounding may differ in the last place; a pixel that took another way is off by much more.
            let differ = |(a, b): &(&f32, &f32)| (*a - *b).abs() > 1e-5;
            self.pixels[attack] += adversarial.iter().zip(expected).filter(differ).count();
            self.classes += usize::from(outcome.after.class != case.predicted[attack]);
        }
        Ok(())
    }

    fn report(&self, model: &str, dtype: &str) -> bool {
        let pixels = self.cases * PIXELS;
        let [fgsm, mi_fgsm, otcm, bim, pgd, targeted, apgd, square] = self.pixels;
        defmt::println!(
            "selftest model={} dtype={} cases={} logits={} gradient={} pixels={} fgsm={} mi_fgsm={} otcm={} \
             bim_margin={} pgd={} targeted_mi_fgsm={} apgd={} square={} classes={}",
            model,
            dtype,
            self.cases,
            self.logits,
            self.gradient,
            pixels,
            fgsm,
            mi_fgsm,
            otcm,
            bim,
            pgd,
            targeted,
            apgd,
            square,
            self.classes
        );
        let most = |one_in: usize| if IS_EXACT { 0 } else { pixels / one_in };
        let few = self.pixels.iter().zip(ONE_IN).all(|(differ, one_in)| *differ <= most(one_in));
        self.cases > 0 && self.classes == 0 && self.logits <= LOGITS && self.gradient <= GRADIENT && few
    }
}

fn class(logits: &[f32]) -> usize {
    midge_core::loss::argmax(logits)
}

/// NaN counts as infinitely far.
fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |largest, d| {
        if d <= largest {
            largest
        } else if d > largest {
            d
        } else {
            f32::INFINITY
        }
    })
}

fn floats(file: &mut File, values: &mut [f32]) {
    for value in values {
        *value = f32::from_le_bytes(word(file));
    }
}

fn number(file: &mut File) -> usize {
    u32::from_le_bytes(word(file)) as usize
}

fn word(file: &mut File) -> [u8; 4] {
    let mut word = [0; 4];
    match file.read(&mut word) {
        Ok(4) => word,
        _ => panic!("selftest.bin is too short"),
    }
}

fn read(file: &mut File, case: &mut Case) {
    floats(file, &mut case.image);
    case.label = number(file);
    floats(file, &mut case.logits);
    floats(file, &mut case.gradient);
    for attack in 0..attacks::COUNT {
        floats(file, &mut case.adversarial[attack]);
        case.predicted[attack] = number(file);
    }
}

/// The checksum of each camera's pictures on the host.
#[cfg(not(own_model))]
const PICTURES: [u32; cameras::CAMERAS.len()] = include!(concat!(env!("OUT_DIR"), "/pictures.rs"));

/// Whether all cameras take the host's pictures.
#[cfg(not(own_model))]
fn same_pictures(Buffers { case, adversarial: picture, work }: &mut Buffers) -> Result<bool, Error> {
    let mut differ = 0;
    for (camera, expected) in cameras::CAMERAS.iter().zip(PICTURES) {
        let mut sum = cameras::START;
        for index in 0..embedded::SAMPLES {
            embedded::sample(index, &mut case.image);
            sum = cameras::add(sum, camera, (index, &case.image), picture, work)?;
        }
        differ += usize::from(sum != expected);
    }
    defmt::println!("selftest cameras={} digits={} differ={}", PICTURES.len(), embedded::SAMPLES, differ);
    Ok(differ == 0)
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let _ = board::init();
    let buffers = BUFFERS.init_with(|| Buffers {
        case: Case {
            image: [0.0; PIXELS],
            label: 0,
            logits: [0.0; CLASSES],
            gradient: [0.0; PIXELS],
            adversarial: [[0.0; PIXELS]; attacks::COUNT],
            predicted: [0; attacks::COUNT],
        },
        adversarial: [0.0; PIXELS],
        work: [0.0; Apgd::len(&NETWORK)],
    });
    let Ok(mut file) = File::open(c"selftest.bin") else { panic!("the runner writes selftest.bin") };
    let wide = embedded::model_f32();
    let mut good = true;
    for index in 0..embedded::MODELS {
        let (name, narrow) = embedded::model(index);
        let (mut of_wide, mut of_narrow) = (Differences::default(), Differences::default());
        for _ in 0..number(&mut file) {
            read(&mut file, &mut buffers.case);
            // Only the plain model is there with f32 weights.
            let wide = wide.as_ref().filter(|_| index == 0);
            let compared = wide.map_or(Ok(()), |wide| of_wide.compare(wide, buffers));
            if let Err(error) = compared.and_then(|()| of_narrow.compare(&narrow, buffers)) {
                panic!("{}", defmt::Display2Format(&error));
            }
        }
        good &= index > 0 || wide.is_none() || of_wide.report(name, "f32");
        good &= of_narrow.report(name, embedded::DTYPE);
    }
    #[cfg(not(own_model))]
    match same_pictures(buffers) {
        Ok(same) => good &= same,
        Err(error) => panic!("{}", defmt::Display2Format(&error)),
    }
    board::exit(i32::from(!good))
}

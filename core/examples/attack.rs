//! Makes the bundled model misread a digit: `cargo run -p midge-core --example attack`.

use std::error::Error;

use midge_core::attack::{Attack, MiFgsm};
use midge_core::{MNIST_CNN, Model, f16, include_model};

static MODEL: &[u8] = include_model!("../../host-trainer/assets/plain.safetensors");
/// MNIST's own format: 16 bytes of header, then 28x28 bytes for each image.
static IMAGES: &[u8] = include_bytes!("../../host-trainer/assets/digits-images.idx3-ubyte");
static LABELS: &[u8] = include_bytes!("../../host-trainer/assets/digits-labels.idx1-ubyte");
const PIXELS: usize = MNIST_CNN.input().len();

fn main() -> Result<(), Box<dyn Error>> {
    let model = Model::<f16>::from_safetensors(&MNIST_CNN, MODEL)?;
    let (mut image, mut adversarial) = ([0.0; PIXELS], [0.0; PIXELS]);
    for (pixel, byte) in image.iter_mut().zip(&IMAGES[16..]) {
        *pixel = f32::from(*byte) / 255.0;
    }
    let label = usize::from(LABELS[8]);

    // No pixel may change by more than a fifth of the range from black to white.
    let attack = MiFgsm::new(0.2);
    let mut buffer = [0.0; MNIST_CNN.attack_len()];
    let outcome = attack.attack(&model, &image, label, &mut adversarial, &mut buffer)?;

    for (before, after) in image.chunks(28).zip(adversarial.chunks(28)) {
        println!("{}    {}", line(before), line(after));
    }
    for (what, seen) in [("clean", outcome.before), ("adversarial", outcome.after)] {
        println!("{what:11}  read as {} with {:.2} %", seen.class, 100.0 * seen.confidence);
    }
    println!("largest change of a pixel: {:.3}", outcome.largest_change);
    Ok(())
}

/// A row of pixels as text, darker letters for brighter pixels.
fn line(row: &[f32]) -> String {
    let shade = |x: &f32| [' ', '.', ':', '+', '*', '#', '@'][(x * 6.0).round() as usize];
    row.iter().map(shade).collect()
}

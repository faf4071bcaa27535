//! Reads ten handwritten digits with the bundled model: `cargo run -p midge-core --example classify`.

use std::error::Error;

use midge_core::{MNIST_CNN, Model, f16, include_model};

static MODEL: &[u8] = include_model!("../../host-trainer/assets/plain.safetensors");
/// MNIST's own format: 16 bytes of header, then 28x28 bytes for each image.
static IMAGES: &[u8] = include_bytes!("../../host-trainer/assets/digits-images.idx3-ubyte");
static LABELS: &[u8] = include_bytes!("../../host-trainer/assets/digits-labels.idx1-ubyte");

fn main() -> Result<(), Box<dyn Error>> {
    // The model borrows the bytes of the file and reads its weights where they lie.
    let model = Model::<f16>::from_safetensors(&MNIST_CNN, MODEL)?;
    // All the memory that a forward pass takes.
    let mut buffer = [0.0; MNIST_CNN.inference_len()];
    println!("{} weights, {} bytes of memory", MNIST_CNN.parameters(), size_of_val(&buffer));

    for (bytes, label) in IMAGES[16..].chunks(28 * 28).zip(&LABELS[8..]).take(10) {
        let image: Vec<f32> = bytes.iter().map(|byte| f32::from(*byte) / 255.0).collect();
        let answer = model.classify(&image, &mut buffer)?;
        println!("\na {label}, read as");
        for (class, probability) in answer.probabilities.iter().enumerate() {
            if *probability > 0.001 {
                println!("  {class}  {:6.2} %  {}", 100.0 * probability, "#".repeat((40.0 * probability) as usize));
            }
        }
    }
    Ok(())
}
